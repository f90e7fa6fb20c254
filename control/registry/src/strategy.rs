//! The rules of a kind on the way from a request to the store: pure functions over objects, and policy flags.

use crate::allocate::Allocator;
use crate::options::{DeleteOptions, Propagation};
use sampan_api::field::FieldErrors;
use sampan_api::object::Object;
use sampan_api::user::UserInfo;
use sampan_cel::rules::Outcome;
use sampan_schema::gates::Gates;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

/// Facts that a strategy may use besides the objects.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The user who writes (a CertificateSigningRequest records it).
    pub user: &'a UserInfo,
    /// The time of the request.
    pub now: SystemTime,
    /// `""` for the object itself, otherwise the stored view being written: `status`, `finalize`, `approval`, ...
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub capabilities: Capabilities,
    /// The features that are on.
    pub gates: &'a Gates,
    /// The namespace that the object is in, where it exists and [`Strategy::asks_for_namespace`] says that it is looked at.
    pub home: Option<&'a Object>,
}

/// Features that the cluster's administrator allows to objects (Kubernetes' pkg/capabilities).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Containers may be `privileged`.
    pub allow_privileged: bool,
    /// Addresses that endpoints may have though Kubernetes' rules would refuse them.
    pub own_addresses: OwnAddresses,
}

/// The addresses of this cluster: its pods', its Services' and its API server's. Where they are loopback addresses,
/// endpoints may have them all the same: the one deliberate difference from Kubernetes' rules. None by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// Networks, each with its prefix.
    pub ranges: [Option<(Ipv4Addr, u8)>; 2],
    /// The API server's.
    pub api: Option<IpAddr>,
}

impl OwnAddresses {
    /// Whether the address is one of the cluster's own.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let within = |(network, prefix): &(Ipv4Addr, u8)| {
            let mask = u32::MAX.checked_shl(32 - u32::from((*prefix).min(32))).unwrap_or(0);
            matches!(ip, IpAddr::V4(ip) if u32::from(ip) & mask == u32::from(*network) & mask)
        };
        self.api == Some(ip) || self.ranges.iter().flatten().any(within)
    }
}

impl Default for Capabilities {
    /// As kubeadm and k3s start their API servers.
    fn default() -> Self {
        Self { allow_privileged: true, own_addresses: OwnAddresses::default() }
    }
}

/// The changes that make `metadata.generation` grow.
#[derive(Clone, Copy)]
pub enum Generation {
    /// The kind has none.
    Uncounted,
    /// 1 at the creation, one more with each change of `spec`.
    Spec,
    /// As the one before, but that `spec` is looked at before fields of features that are off are dropped from it.
    AsSent,
    /// None at the creation, one more with each change of `spec`.
    Changes,
    /// 1 at the creation, and so for ever.
    Constant,
    /// 1 at the creation, one more where `changed(new, old)`.
    By(fn(new: &Object, old: &Object) -> bool),
}

/// What warnings are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warned {
    /// A new object as it was sent, before it is prepared: told whatever becomes of it.
    AsSent,
    /// An object that is written.
    Object,
    /// The status that is written.
    Status,
}

impl Warned {
    /// What a write to the object (`""`) or to a view of it is warned of; `None`: of nothing.
    pub(crate) fn of_view(subresource: &str) -> Option<Self> {
        match subresource {
            "" => Some(Self::Object),
            "status" => Some(Self::Status),
            _ => None,
        }
    }
}

/// What checks of a kind ask of the metadata of an update, beyond what is asked of every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataOfUpdate {
    /// Nothing.
    Nothing,
    /// That what may not change did not.
    Change,
    /// What is asked of a creation.
    Creation,
    /// What is asked of a change and of a creation.
    Both,
}

/// A kind's rules. Objects are in the *stored* version, defaulted, with `metadata` already checked and filled in.
///
/// The order (Kubernetes' `registry/rest/create.go`, `update.go`):
/// defaults -> mutating admission -> prepare -> validate -> warnings -> canonicalize -> validating admission.
///
/// The generic registry does by itself, so a strategy need not: metadata and its immutability; `status` (dropped at a
/// create and kept from the old object at an update where the row has a `status` view; a status update takes *only*
/// `status` and the metadata from the new object); the generation; deletion.
///
/// Invariant: no I/O, no clock, no randomness, and the same answer for the same input: it may run again in the
/// compare-and-swap loop.
pub trait Strategy: Send + Sync + 'static {
    /// Whether a PUT to a name that does not exist creates it.
    fn allow_create_on_update(&self) -> bool {
        false
    }
    /// Whether an update without `metadata.resourceVersion` overwrites whatever is there.
    fn allow_unconditional_update(&self) -> bool {
        true
    }
    fn generation(&self) -> Generation {
        Generation::Uncounted
    }
    /// Whether a creator's `status` is kept, where others' is dropped.
    fn keeps_created_status(&self) -> bool {
        false
    }
    /// Whether `status` starts as `{}` (kinds whose Go struct always writes it) rather than being absent.
    fn status_starts_empty(&self) -> bool {
        true
    }

    /// Whether validation of this object looks at its namespace.
    fn asks_for_namespace(&self, _object: &Object) -> bool {
        false
    }

    /// Sets what the server sets and drops what a creator may not set.
    fn prepare_for_create(&self, _ctx: &Context<'_>, _object: &mut Object) {}
    /// Prepares an update of the object or of one of its views (`ctx.subresource`): fields that may not change by it
    /// are put back from `old`. Runs after the generic split of status, before the generation is counted.
    fn prepare_for_update(&self, _ctx: &Context<'_>, _object: &mut Object, _old: &Object) {}

    /// Everything that is wrong with a new object, `metadata` aside.
    fn validate(&self, _ctx: &Context<'_>, _object: &Object) -> FieldErrors {
        FieldErrors::default()
    }
    /// Everything that is wrong with a change, `metadata` aside, for the object or the view in `ctx.subresource`.
    /// Kinds whose updates are to be valid by themselves too call their own `validate` from here.
    fn validate_update(&self, _ctx: &Context<'_>, _object: &Object, _old: &Object) -> FieldErrors {
        FieldErrors::default()
    }
    /// What the expressions of the kind's schema say of an object that is written over `old`, or new. `found`: what is wrong
    /// with it otherwise. Of what is as it was a rule that is broken is told alone.
    fn validate_rules(&self, _object: &Object, _old: Option<&Object>, _found: &FieldErrors) -> Outcome {
        Outcome::default()
    }
    /// What the kind's own checks ask of the metadata of an update of the object itself.
    fn metadata_of_update(&self) -> MetadataOfUpdate {
        MetadataOfUpdate::Change
    }
    /// Whether finalizers need no domain: kinds that are not validated by Kubernetes' core rules of metadata, but by those of
    /// apimachinery alone.
    fn finalizers_without_domain(&self) -> bool {
        false
    }
    /// Whether the kind's own checks ask nothing of metadata: then only what is asked of every kind is, of a creation once nothing
    /// else is wrong with it.
    fn bare_metadata(&self) -> bool {
        false
    }
    /// Checks a name of this kind and returns the errors' texts. The default is a DNS-1123 subdomain.
    fn validate_name(&self, name: &str, _gates: &Gates) -> Vec<String> {
        sampan_api::names::dns1123_subdomain(name)
    }

    /// Whether a `generateName` is not looked at, but the name alone that came of it (ValidateObjectMetaWithOpts).
    fn prefix_unchecked(&self) -> bool {
        false
    }

    /// Whether a `generateName` is the whole name, to which nothing is added.
    fn named_by_prefix(&self) -> bool {
        false
    }

    /// Whether a new object that has no name gets a UUID as its name.
    fn names_nameless(&self) -> bool {
        false
    }

    /// Brings a valid object into the one form that is stored.
    fn canonicalize(&self, _object: &mut Object) {}

    /// Texts for `Warning` headers about `of`, in a new object or in a write over `old`.
    fn warnings(&self, _of: Warned, _ctx: &Context<'_>, _object: &Object, _old: Option<&Object>) -> Vec<String> {
        Vec::new()
    }
    /// Whether the use of fields is told of changes too.
    fn tells_of_changes(&self) -> bool {
        true
    }

    /// The reason why the object of a name cannot be deleted by it; a collection may be deleted with it.
    fn refuses_deletion(&self, _name: &str) -> Option<&'static str> {
        None
    }

    /// What a deletion is warned of that does not say what becomes of the dependents.
    fn warning_on_delete(&self) -> Option<&'static str> {
        None
    }

    /// Whether and how long a deletion waits: `None`: the kind knows no grace and goes at once (finalizers aside);
    /// `Some(seconds)`: the object is marked with `deletionTimestamp` = now + seconds, and with 0 seconds deleted right
    /// after that, with more when somebody deletes it again with 0. Asked only for objects that are not being deleted.
    /// `options.grace_period_seconds` is what the caller said, negative already made 1.
    fn graceful_deletion(&self, _ctx: &Context<'_>, _object: &Object, _options: &DeleteOptions) -> Option<i64> {
        None
    }
    /// Whether a deletion answers the last state instead of a Status (Go's `ReturnDeletedObject`).
    fn returns_deleted_object(&self) -> bool {
        false
    }
    /// Propagation when neither the options nor the object's finalizers say (Orphan for batch/v1 Jobs). `None`: the kind has
    /// no dependents, whatever they say (Events, of which Go's policy is `Unsupported`).
    fn default_propagation(&self) -> Option<Propagation> {
        Some(Propagation::Background)
    }
    /// Whether a deletion must be kept from taking effect although `metadata.finalizers` is empty
    /// (a Namespace's `spec.finalizers`). Such an object gets `deletionTimestamp` and stays.
    fn finalizing(&self, _object: &Object) -> bool {
        false
    }
    /// Whether objects of the kind may be [`Self::finalizing`]: Kubernetes looks at the preconditions of their deletion by
    /// itself, and has words of its own for those that do not hold.
    fn finalizes(&self) -> bool {
        false
    }
    /// Changes the object as its deletion begins (a Namespace's phase becomes Terminating).
    fn prepare_for_deletion(&self, _ctx: &Context<'_>, _object: &mut Object) {}

    /// Keys and values taken out of a shared pool in the same transaction: addresses, ports.
    fn allocator(&self) -> Option<&dyn Allocator> {
        None
    }
}

/// The strategy of kinds that have no rules of their own.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Strategy for Nothing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clusters_own_addresses() {
        let own = OwnAddresses {
            ranges: [Some((Ipv4Addr::new(127, 96, 64, 0), 18)), Some((Ipv4Addr::new(127, 64, 0, 0), 11))],
            api: "127.0.0.1".parse().ok(),
        };
        let check = |ip: &str, expected: bool| {
            let ip = ip.parse().expect("an address");
            assert_eq!(own.contains(ip), expected, "{ip}");
            assert!(!OwnAddresses::default().contains(ip), "{ip}");
        };
        for ip in ["127.0.0.1", "127.96.64.0", "127.96.127.255", "127.64.0.1", "127.95.255.255"] {
            check(ip, true);
        }
        for ip in ["127.0.0.2", "127.96.128.0", "127.96.63.255", "127.96.0.1", "::1", "10.0.0.1"] {
            check(ip, false);
        }
    }
}
