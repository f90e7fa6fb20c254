use crate::world::{World, json_of, widget};
use bytes::Bytes;
use futures::StreamExt;
use sampan_api::record::EventKind;
use sampan_api::selector::FieldSelector;
use sampan_registry::codec::CodecError;
use sampan_registry::{Codec, DeleteOptions, ListOptions, Resource};
use sampan_store::Store;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn two_versions_share_one_storage() {
    let world = World::new().await;
    let created = world
        .create("v1/widgets", json!({"metadata": {"name": "a"}, "spec": {"colour": "red"}}))
        .await
        .expect("created");
    assert_eq!(json_of(&created)["apiVersion"], "toys/v1");
    assert_eq!(json_of(&created)["spec"], json!({"colour": "red", "size": 1}));
    let new = world.get("v2/widgets", "a").await.expect("there");
    assert_eq!(json_of(&new)["apiVersion"], "toys/v2");
    assert_eq!(json_of(&new)["spec"], json!({"color": "red", "size": 1}));
    assert_eq!((new.mod_revision, &new.uid), (created.mod_revision, &created.uid));

    let by = ListOptions { fields: FieldSelector::parse("spec.colour=red").expect("parses"), ..ListOptions::default() };
    let found = world.list("v1/widgets", &by).await.expect("lists");
    assert_eq!(json_of(&found.items[0])["spec"]["colour"], "red");
    let mut events = world.registry.watch(world.row("v1/widgets"), "", &by).await.expect("watches");
    let event = events.next().await.expect("an event").expect("no error");
    assert_eq!(json_of(event.record().expect("one"))["kind"], "Widget");
    assert_eq!(json_of(event.record().expect("one"))["apiVersion"], "toys/v1");

    let updated = world
        .patch("v1/widgets", "a", |object| {
            assert_eq!(object.api_version(), "toys/v1", "a transform sees the version that it was called in");
            object.set(&["spec", "colour"], "blue");
        })
        .await
        .expect("patched");
    assert_eq!(json_of(&updated.record)["spec"]["colour"], "blue");
    assert_eq!(json_of(&updated.record)["metadata"]["generation"], 2);
    let revision = world.registry.revision();
    world.patch("v1/widgets", "a", |_| {}).await.expect("patched");
    assert_eq!(world.registry.revision(), revision, "nothing changed");
}

#[tokio::test]
async fn a_restart_finds_everything_as_it_was() {
    let mut world = World::new().await;
    let mut before = Vec::new();
    for name in ["a", "b"] {
        let object = json!({"metadata": {"name": name, "labels": {"x": "y"}}, "spec": {"color": "red"}});
        before.push(world.create("v2/widgets", object).await.expect("created"));
    }
    world.restart().await;
    let after = world.list("v2/widgets", &ListOptions::default()).await.expect("lists").items;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.to_json(), &before.labels, &before.fields), (after.to_json(), &after.labels, &after.fields));
        assert_eq!((before.version, &before.writer), (after.version, &after.writer));
    }
}

/// Turns bits over: enough to see that nothing reads past it.
struct Inverted;

impl Codec for Inverted {
    fn seal(&self, _prefix: &str, plain: Bytes) -> Result<Bytes, CodecError> {
        Ok(plain.iter().map(|byte| !byte).collect())
    }
    fn open(&self, prefix: &str, stored: Bytes) -> Result<Bytes, CodecError> {
        self.seal(prefix, stored)
    }
}

#[tokio::test]
async fn what_is_stored_is_sealed() {
    let mut world = World::sealed(Arc::new(Inverted)).await;
    let created = world.create("v2/widgets", widget("a", "red")).await.expect("created");
    let entry = world.store.get("/registry/toys/widgets/default/a", None).await.expect("read").expect("there");
    assert_eq!(entry.value[0], !b'{');
    world.restart().await;
    assert_eq!(world.get("v2/widgets", "a").await.expect("there").to_json(), created.to_json());
    world.delete("v2/widgets", "a", DeleteOptions::default()).await.expect("deleted");
    let options = ListOptions { resource_version: created.mod_revision.to_string(), ..ListOptions::default() };
    world.restart().await;
    let mut events = world.registry.watch(world.row("v2/widgets"), "", &options).await.expect("watches");
    let event = events.next().await.expect("an event").expect("no error");
    assert_eq!(event.kind(), EventKind::Deleted);
    assert_eq!(json_of(event.record().expect("one"))["spec"]["color"], "red");
}

#[tokio::test]
async fn another_table_is_served_at_once_and_told_of() {
    let world = World::new().await;
    let registry = &world.registry;
    let mut changes = registry.table_changes();
    let before = changes.table();
    assert!(before.lookup("toys", "v1", "kites").is_none());
    let kite = || Arc::new(Resource::new("toys", "v1", "kites", "Kite"));
    let first = kite();
    registry.use_table(before.with([first.clone()]).expect("a table")).await.expect("taken");
    let table = changes.changed().await;
    assert!(table.generation() > before.generation());
    assert!(table.lookup("toys", "v1", "kites").is_some());

    let object =
        |name: &str| sampan_api::object::Object::from_value(json!({"metadata": {"name": name}})).expect("an object");
    registry.create(&world.caller(), &first, "default", object("a")).await.expect("created");
    let current = ListOptions { send_initial_events: None, ..ListOptions::default() };
    let mut events = registry.watch(&first, "", &current).await.expect("watches");
    let event = events.next().await.expect("an event").expect("no error");
    assert_eq!(event.kind(), EventKind::Added);

    // A stored row that is another: read anew, and the watches of the former end.
    let second = kite();
    registry.use_table(before.with([second.clone()]).expect("a table")).await.expect("taken");
    assert!(events.next().await.is_none(), "it ends without an error");
    registry.create(&world.caller(), &second, "default", object("b")).await.expect("created");
    let all = registry.list(&second, "", &ListOptions::default()).await.expect("lists");
    assert_eq!(all.items.len(), 2);

    // The same row again: nothing of it is touched.
    let mut events = registry.watch(&second, "", &current).await.expect("watches");
    registry.use_table(before.with([second.clone()]).expect("a table")).await.expect("taken");
    for _ in ["a", "b"] {
        events.next().await.expect("an event").expect("no error");
    }
    registry.use_table(before.without(|_| false).expect("a table")).await.expect("taken");
    assert!(events.next().await.is_none(), "what is not served is not watched");
    let gone = registry.create(&world.caller(), &second, "default", object("c")).await.expect_err("gone");
    assert_eq!(gone.status().message, "the server could not find the requested resource");
}
