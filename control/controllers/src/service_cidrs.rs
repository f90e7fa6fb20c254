//! Ranges of Services' addresses: each is Ready while it stands, and one that is deleted stays as long as an address would be in
//! no other (pkg/controller/servicecidrs).

use crate::{Context, Error, limits};
use sampan_api::k8s::api::networking::v1::{IPAddress, ServiceCIDR};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::Condition;
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{Client, Lister, Patch};
use sampan_reconcile::{Reconcile, Requeue, Runtime, condition, time};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const NAME: &str = "service-cidrs-controller";
/// Keeps a range until none of its addresses is held.
pub const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const READY: &str = "Ready";
const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
/// Who draws addresses must have heard of the deletion before the range goes.
const GRACE: Duration = Duration::from_secs(10);

/// What a range needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Its finalizer.
    Keep,
    /// Its conditions are to be these.
    Tell(Vec<Condition>),
    /// It may go so much later, if nothing changes.
    Wait(Duration),
    /// It may go.
    LetGo,
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

/// The bits of an address, as of one family, and how many there are.
fn bits_of(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let network = Self { address: address.parse().ok()?, bits: bits.parse().ok()? };
        (u32::from(network.bits) <= bits_of(network.address).1).then_some(network)
    }

    fn contains(self, address: IpAddr) -> bool {
        let ((own, width), (other, of)) = (bits_of(self.address), bits_of(address));
        let rest = width - u32::from(self.bits);
        width == of && own.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
    }

    fn covers(self, other: Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }
}

fn networks(range: &ServiceCIDR) -> impl Iterator<Item = Network> {
    let cidrs = range.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
    cidrs.iter().filter_map(|cidr| Network::parse(cidr))
}

/// What `range` needs, of all ranges `others` among them itself or not, and of the addresses that the allocator holds.
pub fn plan(range: &ServiceCIDR, others: &[Arc<ServiceCIDR>], held: &[IpAddr], now: SystemTime) -> Vec<Action> {
    let conditions = range.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let tell = |status: &str, reason: &str, message: &str| {
        let same = condition::find(conditions, READY)
            .is_some_and(|known| known.status == status && known.reason == reason && known.message == message);
        let mut all = conditions.to_vec();
        let new = Condition {
            last_transition_time: time::of(now),
            message: message.to_owned(),
            observed_generation: None,
            reason: reason.to_owned(),
            status: status.to_owned(),
            type_: READY.to_owned(),
        };
        condition::set(&mut all, new);
        (!same).then_some(Action::Tell(all))
    };
    let finalizers = range.metadata.finalizers.as_deref().unwrap_or_default();
    let kept = finalizers.iter().any(|one| one == FINALIZER);
    let Some(deleted) = &range.metadata.deletion_timestamp else {
        let ready = tell("True", "", "Kubernetes Service CIDR is ready");
        return (!kept).then_some(Action::Keep).into_iter().chain(ready).collect();
    };
    if !kept {
        return Vec::new();
    }
    let name = range.metadata.name.as_deref();
    let others: Vec<Network> = others
        .iter()
        .filter(|other| other.metadata.name.as_deref() != name)
        .flat_map(|other| networks(other))
        .collect();
    let has_parent = networks(range).all(|own| others.iter().any(|other| other.covers(own)));
    let orphan = |address: &&IpAddr| {
        networks(range).any(|own| own.contains(**address)) && !others.iter().any(|other| other.contains(**address))
    };
    if !has_parent && held.iter().any(|address| orphan(&address)) {
        let why =
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
        return tell("False", "Terminating", why).into_iter().collect();
    }
    match GRACE.checked_sub(time::since(now, deleted)) {
        Some(left) if !left.is_zero() => vec![Action::Wait(left)],
        _ => vec![Action::LetGo],
    }
}

struct Ranges {
    ranges: Lister<ServiceCIDR>,
    addresses: Lister<IPAddress>,
    client: Client,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let client = context.client(UserInfo::controller("service-cidrs"), NAME)?;
    let (ranges, addresses) = (context.informers.of::<ServiceCIDR>()?, context.informers.of::<IPAddress>()?);
    let mut runtime: Runtime = Runtime::new(NAME, &context.config.env, &context.config.tasks);
    // A range or an address that comes or goes may let a range go that waits for it.
    for informer in [&ranges, &addresses] {
        let (queue, known) = (runtime.queue().clone(), ranges.store().clone());
        runtime.watch_with(informer, move |_, _| {
            for range in known.list().iter().filter(|range| range.deletion.is_pending()) {
                queue.add(range.key.clone());
            }
        });
    }
    runtime.watch(&ranges);
    let reconciler = Ranges { ranges: ranges.lister(), addresses: addresses.lister(), client };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

impl Ranges {
    fn held(&self) -> Vec<IpAddr> {
        let (label, manager) = MANAGED_BY;
        let all = self.addresses.list().into_iter().filter(|address| {
            address.metadata.labels.as_ref().and_then(|labels| labels.get(label)).is_some_and(|by| by == manager)
        });
        all.filter_map(|address| address.metadata.name.as_deref()?.parse().ok()).collect()
    }

    async fn apply(&self, range: &ServiceCIDR, action: Action) -> sampan_client::Result<()> {
        let name = range.metadata.name.as_deref().unwrap_or_default();
        let api = self.client.all::<ServiceCIDR>();
        // The version with which the list was read: it is replaced whole.
        let finalizers = |list: Vec<String>| {
            let version = range.metadata.resource_version.as_deref();
            Patch::Merge(json!({"metadata": {"finalizers": list, "resourceVersion": version}}))
        };
        let own = range.metadata.finalizers.clone().unwrap_or_default();
        match action {
            Action::Keep => {
                let list = own.into_iter().chain([FINALIZER.to_owned()]).collect();
                api.patch(name, &finalizers(list)).await.map(drop)
            }
            Action::LetGo => {
                let list = own.into_iter().filter(|one| one != FINALIZER).collect();
                api.patch(name, &finalizers(list)).await.map(drop)
            }
            Action::Tell(conditions) => {
                let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
                api.patch_status(name, &patch).await.map(drop)
            }
            Action::Wait(_) => Ok(()),
        }
    }
}

impl Reconcile for Ranges {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(range) = self.ranges.get("", &key.name) else { return Ok(Requeue::Never) };
        // Only a range that is going asks which addresses are held.
        let going = range.metadata.deletion_timestamp.is_some();
        let held = if going { self.held() } else { Vec::new() };
        let mut again = Requeue::Never;
        for action in plan(&range, &self.ranges.list(), &held, self.client.env().now()) {
            if let Action::Wait(left) = action {
                again = again.sooner(Requeue::After(left));
                continue;
            }
            match self.apply(&range, action).await {
                // The copy is late: what it shows next is looked at again.
                Err(error) if !(error.is_not_found() || error.is_conflict()) => {
                    return Err(Error::of(format!("ServiceCIDR {}", key.name))(error));
                }
                _ => {}
            }
        }
        Ok(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn range(name: &str, cidr: &str, more: Value) -> Arc<ServiceCIDR> {
        let mut object = json!({"metadata": {"name": name, "finalizers": [FINALIZER]}, "spec": {"cidrs": [cidr]}});
        for (key, value) in more.as_object().into_iter().flatten() {
            object["metadata"][key] = value.clone();
        }
        Arc::new(serde_json::from_value(object).expect("a ServiceCIDR"))
    }

    #[test]
    fn a_range_is_ready_and_goes_when_no_address_needs_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_660);
        let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        let check = |of: &ServiceCIDR, others: &[Arc<ServiceCIDR>], held: &[&str], expected: &[&str]| {
            let held: Vec<IpAddr> = held.iter().map(|one| one.parse().expect("an address")).collect();
            let found: Vec<String> = plan(of, others, &held, now)
                .into_iter()
                .map(|action| match action {
                    Action::Keep => "keep".to_owned(),
                    Action::Tell(all) => format!("{} {}", all[0].status, all[0].reason),
                    Action::Wait(left) => format!("wait {}", left.as_secs()),
                    Action::LetGo => "let go".to_owned(),
                })
                .collect();
            assert_eq!(found, expected, "{of:?} {held:?}");
        };
        let new = range("a", "10.1.0.0/24", json!({"finalizers": []}));
        check(&new, &[], &[], &["keep", "True "]);
        let gone = range("a", "10.1.0.0/24", going.clone());
        let wide = range("b", "10.1.0.0/16", Value::Null);
        let beside = range("c", "10.2.0.0/24", Value::Null);
        check(&gone, std::slice::from_ref(&gone), &[], &["let go"]);
        check(&gone, &[gone.clone(), beside.clone()], &["10.1.0.9"], &["False Terminating"]);
        check(&gone, &[beside], &["10.2.0.9"], &["let go"]);
        check(&gone, &[wide], &["10.1.0.9"], &["let go"]);
        let just = range("a", "10.1.0.0/24", json!({"deletionTimestamp": "2026-01-01T00:00:56Z"}));
        check(&just, &[], &[], &["wait 6"]);
        let foreign = range("a", "fd00::/112", going);
        check(&foreign, &[], &["10.1.0.9"], &["let go"]);
        check(&foreign, &[], &["fd00::9"], &["False Terminating"]);
    }
}
