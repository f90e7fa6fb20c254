//! Who reads what was: of every stored kind, by every way there is to an old revision.

use async_trait::async_trait;
use futures::StreamExt;
use sampan_api::record::{Record, RecordEvent};
use sampan_api::status::Status;
use sampan_env::{Env, Tasks};
use sampan_registry::limits::HISTORY_FREE;
use sampan_registry::resource::Body;
use sampan_registry::{
    Config, Error, GetOptions, HistoryRight, ListOptions, OfferedRight, OldValues, Past, Registry, Resource,
    ResourceTable,
};
use sampan_store::memory::MemoryStore;
use sampan_store::{Op, Store, Txn, Writer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// A right that is held or not, and how often it was asked for.
#[derive(Debug)]
struct Right {
    held: bool,
    asked: AtomicUsize,
}

#[async_trait]
impl HistoryRight for Right {
    async fn check(&self, _: Past) -> Result<(), Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.held { Ok(()) } else { Err(Status::failure(sampan_api::Reason::Forbidden, "no history for you")) }
    }
}

fn right(held: bool) -> (Arc<Right>, OfferedRight) {
    let right = Arc::new(Right { held, asked: AtomicUsize::new(0) });
    (right.clone(), Some(right))
}

struct World {
    registry: Registry,
    store: Arc<MemoryStore>,
}

/// What marks an object of the tenant before, and of the one now.
const OLD: &str = "the-old-tenants";
const NEW: &str = "the-new-tenants";
const TENANT: &str = "tenant";

impl World {
    async fn new() -> Self {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600));
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let table = Arc::new(ResourceTable::builtin().expect("the built-in rows make a table"));
        let config = Config::new(store.clone(), env, table);
        Self { registry: Registry::open(config).await.expect("opens"), store }
    }

    async fn write(&self, op: Op) -> u64 {
        let txn = Txn { compares: Vec::new(), ops: vec![op], writer: Writer::default() };
        let revision = self.store.txn(txn).await.expect("nothing to refuse").revision;
        self.registry.table();
        revision
    }

    /// The object `x` of the row (of the storage that it shares), marked.
    async fn put(&self, row: &Resource, mark: &str, uid: &str) -> u64 {
        let table = self.registry.table();
        let storage = table.storage_of(row);
        let (name, _) = name_of(storage);
        self.write(Op::put(key(storage), object(storage, name, mark, uid))).await
    }

    async fn remove(&self, row: &Resource) -> u64 {
        let table = self.registry.table();
        let key = key(table.storage_of(row));
        let last = self.store.get(&key, None).await.expect("reads").map(|entry| entry.value);
        self.write(Op::Delete { key: key.into(), payload: None, last }).await
    }

    /// All that can be read as of a revision, by everyone who may read the kind in the tenant's namespace or in all.
    async fn reads(&self, row: &Resource, revision: u64, history: &OfferedRight) -> Vec<(&'static str, String)> {
        let (name, namespace) = name_of(row);
        let version = revision.to_string();
        let exact = "Exact".to_owned();
        let get =
            GetOptions { resource_version: version.clone(), version_match: exact.clone(), history: history.clone() };
        let list = ListOptions {
            resource_version: version.clone(),
            version_match: exact,
            history: history.clone(),
            ..ListOptions::default()
        };
        let limited = ListOptions {
            resource_version: version.clone(),
            limit: 5,
            history: history.clone(),
            ..ListOptions::default()
        };
        let paged = ListOptions { continue_token: token(revision), history: history.clone(), ..ListOptions::default() };
        let watch = ListOptions { resource_version: version, history: history.clone(), ..ListOptions::default() };
        let mut found = vec![("get", told(self.registry.get(row, namespace, name, &get).await.map(|one| vec![one])))];
        for (how, list) in [("list", &list), ("limited list", &limited), ("page", &paged)] {
            for scope in [namespace, ""] {
                found.push((how, told(self.registry.list(row, scope, list).await.map(|list| list.items))));
            }
        }
        for scope in [namespace, ""] {
            found.push(("watch", self.watched(row, scope, &watch).await));
        }
        found
    }

    async fn watched(&self, row: &Resource, namespace: &str, options: &ListOptions) -> String {
        let mut events = match self.registry.watch(row, namespace, options).await {
            Ok(events) => events,
            Err(error) => return error.status().message,
        };
        let mut text = String::new();
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(5), events.next()).await {
            match event {
                Ok(RecordEvent::Added(one) | RecordEvent::Modified(one) | RecordEvent::Deleted(one)) => {
                    text.push_str(&shown(&one));
                }
                Ok(RecordEvent::Bookmark { .. }) => {}
                Err(status) => text.push_str(&status.message),
            }
        }
        text
    }
}

/// The object's name and namespace: those of the tenant's namespace, where the rows are namespaces.
fn name_of(row: &Resource) -> (&'static str, &'static str) {
    match (row.names_namespaces, row.namespaced) {
        (true, _) => (TENANT, ""),
        (false, true) => ("x", TENANT),
        (false, false) => ("x", ""),
    }
}

fn key(storage: &Resource) -> String {
    let group = if storage.group.is_empty() { "core" } else { &storage.group };
    let (name, namespace) = name_of(storage);
    let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    format!("/registry/{group}/{}/{namespace}{name}", storage.resource)
}

/// An object of the row by that name, marked.
fn object(storage: &Resource, name: &str, mark: &str, uid: &str) -> String {
    let (_, namespace) = name_of(storage);
    let namespace = if namespace.is_empty() { String::new() } else { format!(r#""namespace":"{namespace}","#) };
    format!(
        r#"{{"apiVersion":"{}","kind":"{}","metadata":{{"name":"{name}",{namespace}"uid":"{uid}","annotations":{{"mark":"{mark}"}}}}}}"#,
        storage.api_version(),
        storage.kind
    )
}

/// A token that anybody can write.
fn token(revision: u64) -> String {
    use base64::Engine;
    let text = format!(r#"{{"v":"meta.k8s.io/v1","rv":{revision},"start":"a"}}"#);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

fn shown(record: &Record) -> String {
    let mut bytes = Vec::new();
    record.write_json(&mut bytes);
    String::from_utf8(bytes).expect("JSON")
}

fn told(found: Result<Vec<Arc<Record>>, Error>) -> String {
    match found {
        Ok(records) => records.iter().map(|record| shown(record)).collect(),
        Err(error) => error.status().message,
    }
}

fn stored(registry: &Registry) -> Vec<Arc<Resource>> {
    registry.table().iter().filter(|row| row.body == Body::Stored).cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_tenant_reads_nothing_of_the_old_one() {
    let world = World::new().await;
    let namespaces = world.registry.table().lookup("", "v1", "namespaces").expect("a row").clone();
    let mut compared = 0;
    for row in stored(&world.registry).iter().filter(|row| row.namespaced || row.names_namespaces) {
        let mut old = Vec::new();
        old.push(world.put(&namespaces, OLD, "1").await);
        if !row.names_namespaces {
            old.push(world.put(row, OLD, "2").await);
            old.push(world.put(row, OLD, "2").await);
            old.push(world.remove(row).await);
        }
        old.push(world.remove(&namespaces).await);
        // While there is none, and once there is another one.
        for again in [false, true] {
            if again {
                world.put(&namespaces, NEW, "3").await;
                if !row.names_namespaces {
                    world.put(row, NEW, "4").await;
                }
            }
            for revision in &old {
                let (asked, none) = right(false);
                for (how, text) in world.reads(row, *revision, &none).await {
                    assert!(!text.contains(OLD), "{row:?} {how} at {revision} (again: {again}): {text}");
                    compared += 1;
                }
                // What nothing has come after is what is current. What is never shown is refused without a question.
                let shown = row.old_values == OldValues::Shown;
                if shown && (again || Some(revision) != old.last()) {
                    assert!(asked.asked.load(Ordering::Relaxed) > 0, "{row:?} at {revision}: the right is asked for");
                }
                for (how, text) in world.reads(row, *revision, &None).await {
                    assert!(!text.contains(OLD), "{row:?} {how} at {revision} without any right: {text}");
                }
            }
        }
        // Whoever holds the right sees it, but for what nobody may ask for.
        let (_, held) = right(true);
        let position = if row.names_namespaces { 0 } else { 2 };
        let seen = world.reads(row, old[position], &held).await;
        let table = world.registry.table();
        let hidden = table.storage_of(row).old_values == OldValues::Hidden;
        for (how, text) in seen {
            let outright = matches!(how, "get" | "list" | "limited list" | "page");
            // After the last change of the old object, a watch tells of its end.
            assert_eq!(text.contains(OLD), !(outright && hidden), "{row:?} {how}: {text}");
        }
        // What is the new tenant's own is read without it.
        let now = world.registry.revision();
        let (asked, none) = right(false);
        for (how, text) in world.reads(row, now, &none).await.iter().filter(|(how, _)| *how != "watch") {
            assert!(text.contains(NEW), "{row:?} {how} at {now}: {text}");
        }
        assert_eq!(asked.asked.load(Ordering::Relaxed), 0, "{row:?}");
        if !row.names_namespaces {
            world.remove(row).await;
        }
        world.remove(&namespaces).await;
    }
    println!("{compared} reads of what was another's");
    assert!(compared > 1_000);
}

/// Old values that are not shown are those of the list that a page goes on from, and of no other: a token that the server
/// did not hand out for this list is none.
#[tokio::test(start_paused = true)]
async fn pages_go_on_by_the_tokens_of_their_list_alone() {
    let world = World::new().await;
    let table = world.registry.table();
    let rows = ["secrets", "configmaps"].map(|name| table.lookup("", "v1", name).expect("a row"));
    world.put(table.lookup("", "v1", "namespaces").expect("a row"), NEW, "1").await;
    for row in rows {
        let first = Op::put(key(row).replace("/x", "/a"), object(row, "a", NEW, "2"));
        world.write(first).await;
        world.put(row, OLD, "3").await;
    }
    let old = world.registry.revision();
    let (_, none) = right(false);
    let begin = async |row: &Resource, namespace: &str| {
        let options = ListOptions { limit: 1, history: none.clone(), ..ListOptions::default() };
        world.registry.list(row, namespace, &options).await.expect("a page").continue_token.expect("there is more")
    };
    let [secrets, config_maps] = rows;
    let (own, of_all, of_others) =
        (begin(secrets, TENANT).await, begin(secrets, "").await, begin(config_maps, TENANT).await);
    for row in rows {
        world.put(row, NEW, "3").await;
    }
    for (what, token, shows) in [
        ("its own", own, true),
        ("of all namespaces", of_all, false),
        ("of another resource", of_others, false),
        ("made up", token(old), false),
    ] {
        let options = ListOptions { continue_token: token, history: none.clone(), ..ListOptions::default() };
        let text = told(world.registry.list(secrets, TENANT, &options).await.map(|list| list.items));
        assert_eq!(text.contains(OLD), shows, "{what}: {text}");
    }
}

/// Informers over all namespaces go on where they were: what they knew is gone, and they hear so.
#[tokio::test(start_paused = true)]
async fn a_resumed_watch_over_all_namespaces_hears_what_is_gone() {
    let world = World::new().await;
    let table = world.registry.table();
    let (namespaces, secrets) =
        (table.lookup("", "v1", "namespaces").expect("a row"), table.lookup("", "v1", "secrets").expect("a row"));
    world.put(namespaces, OLD, "1").await;
    let known = world.put(secrets, OLD, "2").await;
    let gone = world.remove(secrets).await;
    world.remove(namespaces).await;
    world.put(namespaces, NEW, "3").await;
    let new = world.put(secrets, NEW, "4").await;
    let (_, none) = right(false);
    let options = ListOptions { resource_version: known.to_string(), history: none, ..ListOptions::default() };
    let mut events = world.registry.watch(secrets, "", &options).await.expect("it goes on");
    let deleted = events.next().await.expect("an event").expect("no error");
    let RecordEvent::Deleted(deleted) = deleted else { panic!("{deleted:?}") };
    assert_eq!((deleted.mod_revision, &*deleted.uid, deleted.key.to_string()), (gone, "2", "tenant/x".to_owned()));
    assert!(!shown(&deleted).contains(OLD));
    let added = events.next().await.expect("an event").expect("no error");
    let RecordEvent::Added(added) = added else { panic!("{added:?}") };
    assert_eq!(added.mod_revision, new);
    assert!(shown(&added).contains(NEW));
}

#[tokio::test(start_paused = true)]
async fn history_of_long_ago_needs_the_right_to_it() {
    let world = World::new().await;
    let namespaces = world.registry.table().lookup("", "v1", "namespaces").expect("a row").clone();
    world.put(&namespaces, NEW, "1").await;
    for row in stored(&world.registry).iter().filter(|row| row.stored_as.is_none() && !row.names_namespaces) {
        let first = world.put(row, OLD, "2").await;
        world.put(row, NEW, "2").await;
        let hidden = row.old_values == OldValues::Hidden;
        let outright = |how: &str| matches!(how, "get" | "list" | "limited list" | "page");
        let (asked, none) = right(false);
        for (how, text) in world.reads(row, first, &none).await {
            let shows = if how == "watch" { NEW } else { OLD };
            assert_eq!(text.contains(shows), !(outright(how) && hidden), "{row:?} {how}: {text}");
        }
        assert_eq!(asked.asked.load(Ordering::Relaxed), 0, "{row:?}: of a moment ago");
        tokio::time::advance(HISTORY_FREE + Duration::from_secs(1)).await;
        world.put(&namespaces, NEW, "1").await;
        for (how, text) in world.reads(row, first, &none).await {
            assert!(!text.contains(OLD), "{row:?} {how}: {text}");
        }
        let (_, held) = right(true);
        for (how, text) in world.reads(row, first, &held).await {
            let shows = if how == "watch" { NEW } else { OLD };
            assert_eq!(text.contains(shows), !(outright(how) && hidden), "{row:?} {how}: {text}");
        }
    }
}
