//! Taking and leaving dependents: client-go's ControllerRefManager.

use crate::Error;
use crate::owner::{controller, is_being_deleted, is_controlled_by, matches, name, reference, uid};
use sampan_api::LabelSelector;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_api::k8s::{Metadata, Resource};
use sampan_client::{Api, Informer, Patch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::Arc;

/// Index of an informer: objects by the UID of their controller ([`sampan_client::informer::by_controller_uid`]).
pub const BY_CONTROLLER: &str = "controller";
/// Index of an informer: objects without a controller, by namespace.
pub const ORPHANS: &str = "orphans";

/// Gives the informer the index [`ORPHANS`].
pub fn index_orphans(informer: &Informer) {
    informer.add_index(ORPHANS, |record| {
        let owned = record.owners.iter().any(|owner| owner.controller);
        if owned { Vec::new() } else { vec![record.key.namespace.to_string()] }
    });
}

/// The treatment of an object of the kind that an owner controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The owner controls and selects it.
    Mine,
    /// The owner selects it and nobody controls it.
    Adopt,
    /// The owner controls it and no longer selects it.
    Release,
    /// Another's, or nobody's that the owner may take.
    NotMine,
}

/// The treatment of `object` by `owner`.
pub fn claim(owner: &ObjectMeta, selector: &LabelSelector, object: &ObjectMeta) -> Claim {
    let matches = matches(selector, object);
    match controller(object) {
        Some(reference) if reference.uid != uid(owner) => Claim::NotMine,
        Some(_) if matches => Claim::Mine,
        // An owner that is going leaves its objects to the garbage collector.
        Some(_) if is_being_deleted(owner) => Claim::NotMine,
        Some(_) => Claim::Release,
        None if matches && !is_being_deleted(owner) && !is_being_deleted(object) => Claim::Adopt,
        None => Claim::NotMine,
    }
}

/// Makes `owner` the controller; the UID in the patch refuses a successor of the object's name.
pub fn adopt<K: Resource + Metadata<Ty = ObjectMeta>>(owner: &K, object: &ObjectMeta) -> Patch {
    Patch::Strategic(json!({"metadata": {"ownerReferences": [reference(owner)], "uid": uid(object)}}))
}

/// Takes the owner's reference off the object.
pub fn release(owner: &ObjectMeta, object: &ObjectMeta) -> Patch {
    Patch::Strategic(json!({
        "metadata": {"ownerReferences": [{"$patch": "delete", "uid": uid(owner)}], "uid": uid(object)}
    }))
}

/// Objects of a kind that are bound to an owner.
pub trait Owned:
    Resource + Metadata<Ty = ObjectMeta> + Clone + Serialize + DeserializeOwned + Send + Sync + 'static
{
}
impl<K: Resource + Metadata<Ty = ObjectMeta> + Clone + Serialize + DeserializeOwned + Send + Sync + 'static> Owned
    for K
{
}

/// The dependents of one owner: who they are, and how they are reached.
pub struct Dependents<'a, O, K> {
    /// The owner as its informer has it.
    pub owner: &'a O,
    /// The owner's own selector.
    pub selector: &'a LabelSelector,
    /// The owner's kind in its namespace.
    pub owners: Api<O>,
    /// The dependents' kind in the owner's namespace.
    pub objects: Api<K>,
}

impl<O: Owned, K: Owned> Dependents<'_, O, K> {
    /// Those of `candidates` that are the owner's, after taking the ones that it selects and nobody has, if `may_adopt`
    /// says so of the object, and leaving the ones that it no longer selects. Candidates: what the owner controls
    /// ([`BY_CONTROLLER`]) and what nobody does ([`ORPHANS`]).
    ///
    /// # Errors
    /// Errors of the API, and [`Error::Invalid`] where something is to be adopted by an owner that is gone or going:
    /// the informer's copy may be late.
    pub async fn claim(
        &self,
        candidates: impl IntoIterator<Item = Arc<K>>,
        may_adopt: impl Fn(&K) -> bool,
    ) -> Result<Vec<Arc<K>>, Error> {
        let owner = self.owner.metadata();
        let (mut owned, mut checked) = (Vec::new(), false);
        for one in candidates {
            let object = one.metadata();
            let (patch, verb) = match claim(owner, self.selector, object) {
                Claim::Mine => {
                    owned.push(one);
                    continue;
                }
                Claim::NotMine => continue,
                Claim::Adopt if !may_adopt(&one) => continue,
                Claim::Adopt => {
                    if !checked {
                        self.check_alive().await?;
                        checked = true;
                    }
                    (adopt(self.owner, object), "adopt")
                }
                Claim::Release => (release(owner, object), "release"),
            };
            match self.objects.patch(name(object), &patch).await {
                Ok(patched) if is_controlled_by(patched.metadata(), owner) => owned.push(Arc::new(patched)),
                Ok(_) => {}
                // Gone, another of its name, or another controller was first.
                Err(error) if error.is_not_found() || error.is_conflict() || error.is_invalid() => {}
                Err(error) => return Err(Error::of(format!("{verb} {} {}", K::KIND, name(object)))(error)),
            }
        }
        Ok(owned)
    }

    async fn check_alive(&self) -> Result<(), Error> {
        let owner = self.owner.metadata();
        let fresh = self.owners.get(name(owner)).await?;
        if fresh.metadata().uid != owner.uid || is_being_deleted(fresh.metadata()) {
            return Err(Error::Invalid(format!("{} {} is gone or going: it adopts nothing", O::KIND, name(owner))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_and_who_leaves() {
        let meta = |uid: &str, labelled: bool, controller: Option<&str>, going: bool| -> ObjectMeta {
            let mut value = json!({"uid": uid, "labels": {"app": if labelled { "a" } else { "b" }}});
            if let Some(owner) = controller {
                let reference = json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": owner, "controller": true});
                value["ownerReferences"] = json!([reference]);
            }
            if going {
                value["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            serde_json::from_value(value).expect("metadata")
        };
        let selector = LabelSelector::parse("app=a").expect("a selector");
        let check = |owner_going: bool, labelled: bool, controller: Option<&str>, going: bool, expected: Claim| {
            let owner = meta("owner", false, None, owner_going);
            let object = meta("object", labelled, controller, going);
            assert_eq!(claim(&owner, &selector, &object), expected, "{owner_going} {labelled} {controller:?} {going}");
        };
        for going in [false, true] {
            check(going, true, Some("owner"), false, Claim::Mine);
            check(going, true, Some("another"), false, Claim::NotMine);
            check(going, false, None, false, Claim::NotMine);
        }
        check(false, false, Some("owner"), false, Claim::Release);
        check(true, false, Some("owner"), false, Claim::NotMine);
        check(false, true, None, false, Claim::Adopt);
        check(false, true, None, true, Claim::NotMine);
        check(true, true, None, false, Claim::NotMine);
    }
}
