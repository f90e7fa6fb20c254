//! What is owned goes with its owners, in the background, in the foreground, or not at all.

use crate::world::{World, deployment, of, world};
use sampan_api::k8s::api::apps::v1::{Deployment, ReplicaSet};
use sampan_api::k8s::api::core::v1::{ConfigMap, Event, Namespace};
use sampan_client::{DeleteParams, ListParams, Patch, Propagation};
use sampan_env::Env;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletions_in_the_foreground_wait_and_orphans_stay() {
    let world = world().await;
    let deployments = world.admin.namespaced::<Deployment>("default");
    for name in ["front", "orphan"] {
        deployments.create(&deployment(name, 2, name)).await.expect("created");
        world.done(name).await;
    }
    let with = |propagation| DeleteParams { propagation: Some(propagation), ..DeleteParams::default() };
    deployments.delete("front", &with(Propagation::Foreground)).await.expect("going");
    world.becomes(true, async || deployments.get_opt("front").await.expect("answers").is_none()).await;
    assert_eq!(world.running("default").await, ["orphan=2"]);

    deployments.delete("orphan", &with(Propagation::Orphan)).await.expect("going");
    world.becomes(true, async || deployments.get_opt("orphan").await.expect("answers").is_none()).await;
    let sets = world.admin.namespaced::<ReplicaSet>("default").list(&ListParams::default()).await.expect("sets").items;
    assert_eq!(sets.len(), 1);
    assert!(sets[0].metadata.owner_references.iter().flatten().next().is_none());

    // One of the same selector takes it over: no pod is made anew.
    deployments.create(&deployment("orphan", 2, "orphan")).await.expect("created");
    world.done("orphan").await;
    assert_eq!(world.running("default").await, ["orphan=2"]);
    let after = world.admin.namespaced::<ReplicaSet>("default").list(&ListParams::default()).await.expect("sets").items;
    assert_eq!((after.len(), &after[0].metadata.uid), (1, &sets[0].metadata.uid));
    world.end().await;
}

/// A ConfigMap with these owners, each of which may be made to wait for it.
fn map(name: &str, owners: &[Value]) -> ConfigMap {
    of(json!({"metadata": {"name": name, "ownerReferences": owners}}))
}

fn owned_by(kind: &str, name: &str, uid: Option<&str>) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": uid.expect("a uid"), "blockOwnerDeletion": true})
}

impl World {
    /// Names of the owners of a ConfigMap; `None`: it is gone.
    async fn owners(&self, name: &str) -> Option<Vec<String>> {
        let found = self.admin.namespaced::<ConfigMap>("default").get_opt(name).await.expect("answers")?;
        Some(found.metadata.owner_references.into_iter().flatten().map(|owner| owner.name).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_reference_to_a_living_owner_costs_only_itself() {
    let world = world().await;
    world.admin.all::<Namespace>().create(&of(json!({"metadata": {"name": "other"}}))).await.expect("created");
    let (own, other) = (world.admin.namespaced::<ConfigMap>("default"), world.admin.namespaced::<ConfigMap>("other"));
    let owner = own.create(&map("owner", &[])).await.expect("created").metadata.uid;
    own.create(&map("kept", &[owned_by("ConfigMap", "owner", owner.as_deref())])).await.expect("created");
    // The same UID: of another kind, under another name, from another namespace.
    let lies = [("Secret", "owner"), ("ConfigMap", "nobody"), ("ConfigMap", "owner")];
    for (at, (kind, name)) in lies.iter().enumerate() {
        let lie = map(&format!("lie-{at}"), &[owned_by(kind, name, owner.as_deref())]);
        other.create(&lie).await.expect("created");
        world.becomes(true, async || other.get_opt(&format!("lie-{at}")).await.expect("answers").is_none()).await;
    }
    // It is looked at again, and stays.
    let owners = [owned_by("ConfigMap", "owner", owner.as_deref()), owned_by("ConfigMap", "gone", Some("never"))];
    own.patch("kept", &Patch::Merge(json!({"metadata": {"ownerReferences": owners}}))).await.expect("patched");
    world.becomes(Some(vec!["owner".to_owned()]), async || world.owners("kept").await).await;
    own.delete("owner", &DeleteParams::default()).await.expect("deleted");
    world.becomes(None, async || world.owners("kept").await).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_in_the_foreground_waits_for_nobody_that_another_keeps_or_that_no_longer_blocks() {
    let world = world().await;
    let maps = world.admin.namespaced::<ConfigMap>("default");
    let mut uids = Vec::new();
    for name in ["goes", "stays", "waits"] {
        uids.push(maps.create(&map(name, &[])).await.expect("created").metadata.uid);
    }
    let owners =
        [owned_by("ConfigMap", "goes", uids[0].as_deref()), owned_by("ConfigMap", "stays", uids[1].as_deref())];
    maps.create(&map("shared", &owners)).await.expect("created");
    let mut held = map("held", &[owned_by("ConfigMap", "waits", uids[2].as_deref())]);
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    maps.create(&held).await.expect("created");

    let foreground = DeleteParams { propagation: Some(Propagation::Foreground), ..DeleteParams::default() };
    maps.delete("goes", &foreground).await.expect("going");
    world.becomes(None, async || world.owners("goes").await).await;
    assert_eq!(world.owners("shared").await, Some(vec!["stays".to_owned()]));

    maps.delete("waits", &foreground).await.expect("going");
    world.becomes(true, async || maps.get("held").await.expect("held").metadata.deletion_timestamp.is_some()).await;
    assert!(world.owners("waits").await.is_some());
    let mut owner = owned_by("ConfigMap", "waits", uids[2].as_deref());
    owner["blockOwnerDeletion"] = false.into();
    maps.patch("held", &Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}))).await.expect("patched");
    world.becomes(None, async || world.owners("waits").await).await;
    world.end().await;
}

/// Objects that own each other: for each, its owners and whether their deletion waits for it; and who is deleted, how.
struct OwnerGraph {
    owners: Vec<Vec<(usize, bool)>>,
    deleted: Vec<(usize, Propagation)>,
}

impl OwnerGraph {
    /// Each object owns the next, the last one the first. Bit `n` of `blocking`: whether the `n`th waits for the next.
    fn ring(size: usize, blocking: usize, deleted: Vec<usize>) -> Self {
        let owners = (0..size).map(|at| (at + size - 1) % size).map(|owner| vec![(owner, blocking >> owner & 1 == 1)]);
        Self {
            owners: owners.collect(),
            deleted: deleted.into_iter().map(|at| (at, Propagation::Foreground)).collect(),
        }
    }

    fn random(env: &Env) -> Self {
        let below = |bound: u64| env.random_u64() % bound;
        let size = 2 + below(5) as usize;
        let owners = (0..size).map(|_| {
            let chosen = (0..size).filter(|_| below(3) == 0);
            chosen.map(|owner| (owner, below(3) != 0)).collect()
        });
        let owners = owners.collect();
        let mut deleted: Vec<(usize, Propagation)> = Vec::new();
        for at in (0..size).filter(|_| below(2) == 0) {
            let how = match below(4) {
                0 => Propagation::Background,
                1 => Propagation::Orphan,
                _ => Propagation::Foreground,
            };
            deleted.push((at, how));
        }
        Self { owners, deleted }
    }

    /// Puts it into the API under names that begin with `name`, and asks for the deletions.
    async fn put(&self, world: &World, name: &str) {
        let maps = world.admin.namespaced::<ConfigMap>("default");
        let name_of = |at: usize| format!("{name}-{at}");
        let mut uids = Vec::new();
        for at in 0..self.owners.len() {
            uids.push(maps.create(&map(&name_of(at), &[])).await.expect("created").metadata.uid);
        }
        for (at, owners) in self.owners.iter().enumerate() {
            let references = owners.iter().map(|(owner, blocks)| {
                let mut reference = owned_by("ConfigMap", &name_of(*owner), uids[*owner].as_deref());
                reference["blockOwnerDeletion"] = (*blocks).into();
                reference
            });
            let patch = json!({"metadata": {"ownerReferences": references.collect::<Vec<_>>()}});
            maps.patch(&name_of(at), &Patch::Merge(patch)).await.expect("patched");
        }
        for (at, how) in &self.deleted {
            let params = DeleteParams { propagation: Some(*how), ..DeleteParams::default() };
            // One that another's deletion took away before.
            if let Err(error) = maps.delete(&name_of(*at), &params).await {
                assert!(error.is_not_found(), "{error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_deletion_ends_whoever_owns_whom() {
    let world = world().await;
    let mut graphs = Vec::new();
    for size in 1..=3 {
        for blocking in 0..1 << size {
            graphs.push(OwnerGraph::ring(size, blocking, vec![0]));
            graphs.push(OwnerGraph::ring(size, blocking, (0..size).collect()));
        }
    }
    let env = Env::simulated(7, std::time::SystemTime::UNIX_EPOCH);
    graphs.extend((0..60).map(|_| OwnerGraph::random(&env)));
    for (at, graph) in graphs.iter().enumerate() {
        graph.put(&world, &format!("g{at}")).await;
    }
    let maps = world.admin.namespaced::<ConfigMap>("default");
    // Of a ring whose first was deleted nothing is left, whoever blocks whom.
    let rings = 2 * (2 + 4 + 8);
    let of_ring = |name: &str| (0..rings).any(|at| name.starts_with(&format!("g{at}-")));
    world
        .becomes(Vec::<String>::new(), async || {
            let all = maps.list_all(&ListParams::default()).await.expect("maps").items;
            let name = |one: &ConfigMap| one.metadata.name.clone().unwrap_or_default();
            let left = all.iter().filter(|one| one.metadata.deletion_timestamp.is_some() || of_ring(&name(one)));
            left.map(name).collect()
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_in_another_namespace_is_none_and_that_is_told() {
    let world = world().await;
    let maps = |namespace: &str| world.admin.namespaced::<ConfigMap>(namespace);
    let owner = maps("kube-system").create(&of(json!({"metadata": {"name": "owner"}}))).await.expect("created");
    let uid = owner.metadata.uid.expect("a UID");
    let owned = json!({"metadata": {"name": "owned", "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]}});
    maps("default").create(&of(owned)).await.expect("created");
    let events = world.admin.namespaced::<Event>("default");
    let told = async || {
        let all = events.list(&ListParams::default()).await.expect("events").items;
        let found = all.into_iter().find(|one| one.reason.as_deref() == Some("OwnerRefInvalidNamespace"));
        found.and_then(|one| one.message)
    };
    let text = format!(
        "ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: {uid}] does not exist in namespace \"default\""
    );
    world.becomes(Some(text), told).await;
    world.becomes(true, async || maps("default").get_opt("owned").await.expect("an answer").is_none()).await;
    assert!(maps("kube-system").get_opt("owner").await.expect("an answer").is_some());
    world.end().await;
}
