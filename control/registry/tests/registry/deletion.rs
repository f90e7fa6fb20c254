use crate::world::{NOW, World, names, told, widget};
use sampan_registry::{Caller, DeleteOptions, ListOptions, Propagation};
use serde_json::{Value, json};

fn plain(name: &str, finalizers: Value) -> Value {
    json!({"metadata": {"name": name, "finalizers": finalizers}})
}

#[tokio::test]
async fn what_nothing_holds_goes_at_once() {
    let world = World::new().await;
    let created = world.create("plains", json!({"metadata": {"name": "a"}})).await.expect("created");
    let deleted = world.delete("plains", "a", DeleteOptions::default()).await.expect("deleted");
    assert!(deleted.gone && !deleted.answer_object);
    assert_eq!(deleted.record.uid, created.uid);
    assert_eq!(deleted.record.mod_revision, created.mod_revision + 1);
    assert_eq!(told(world.get("plains", "a").await), (404, "plains \"a\" not found".into()));
    assert_eq!(told(world.delete("plains", "a", DeleteOptions::default()).await).0, 404);
    let again = world.create("plains", json!({"metadata": {"name": "a"}})).await.expect("created");
    assert_ne!(again.uid, created.uid);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let world = World::new().await;
    world.create("plains", plain("a", json!(["example.com/x"]))).await.expect("created");
    let deleted = world.delete("plains", "a", DeleteOptions::default()).await.expect("marked");
    assert!(!deleted.gone && deleted.answer_object);
    let object = deleted.record.object();
    assert_eq!((object.deletion_timestamp(), object.deletion_grace_period_seconds()), (Some(NOW), Some(0)));
    let again = world.delete("plains", "a", DeleteOptions::default()).await.expect("pending");
    assert_eq!(again.record.mod_revision, deleted.record.mod_revision, "nothing more is written");
    let text = "object is being deleted: plains \"a\" already exists";
    assert_eq!(told(world.create("plains", plain("a", json!([]))).await), (409, text.into()));
    // What has a base for other names is told that it may be tried again, though it has a name.
    let based = world.create("plains", json!({"metadata": {"name": "a", "generateName": "a-"}})).await;
    let status = based.expect_err("taken").status();
    assert_eq!(status.message, format!("{text}, the server was not able to generate a unique name for the object"));
    assert_eq!(status.details.and_then(|details| details.retry_after_seconds), Some(1));
    let added = world.patch("plains", "a", |object| {
        object.set_meta("finalizers", json!(["example.com/x", "example.com/y"]));
    });
    assert_eq!(told(added.await).0, 422, "no new ones");
    let kept = world.patch("plains", "a", |object| object.set(&["still"], "mutable")).await.expect("patched").record;
    let last =
        world.patch("plains", "a", |object| drop(object.metadata_mut().remove("finalizers"))).await.expect("gone");
    assert_eq!(last.record.mod_revision, kept.mod_revision);
    assert_eq!(told(world.get("plains", "a").await).0, 404);
}

#[tokio::test]
async fn propagation_becomes_finalizers() {
    let world = World::new().await;
    let check = async |name: &str, before: Value, options: DeleteOptions, after: Option<Value>| {
        world.create("plains", plain(name, before)).await.expect("created");
        let deleted = world.delete("plains", name, options).await.expect("deleted");
        assert_eq!(deleted.gone, after.is_none(), "{name}");
        if let Some(after) = after {
            assert_eq!(deleted.record.object().metadata().get("finalizers"), Some(&after), "{name}");
        }
    };
    let by = |propagation| DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
    let orphan = |orphan| DeleteOptions { orphan_dependents: Some(orphan), ..DeleteOptions::default() };
    check("orphan", json!([]), by(Propagation::Orphan), Some(json!(["orphan"]))).await;
    check("foreground", json!(["a/b"]), by(Propagation::Foreground), Some(json!(["a/b", "foregroundDeletion"]))).await;
    check("background", json!(["orphan"]), by(Propagation::Background), None).await;
    check("kept", json!(["orphan"]), DeleteOptions::default(), Some(json!(["orphan"]))).await;
    check("old", json!([]), orphan(true), Some(json!(["orphan"]))).await;
    check("old-not", json!(["orphan"]), orphan(false), None).await;
}

#[tokio::test]
async fn grace_is_a_mark_and_a_second_deletion() {
    let world = World::new().await;
    let mut graceful = widget("a", "red");
    graceful["spec"]["grace"] = json!(30);
    world.create("v2/widgets", graceful.clone()).await.expect("created");
    let marked = world.delete("v2/widgets", "a", DeleteOptions::default()).await.expect("marked");
    let object = marked.record.object();
    assert_eq!(object.deletion_timestamp(), Some("2026-01-01T00:00:30Z"));
    assert_eq!((object.deletion_grace_period_seconds(), object.generation()), (Some(30), 2));
    let seconds = |seconds| DeleteOptions { grace_period_seconds: Some(seconds), ..DeleteOptions::default() };
    let longer = world.delete("v2/widgets", "a", seconds(60)).await.expect("pending");
    assert_eq!(longer.record.mod_revision, marked.record.mod_revision, "it may only be hastened");
    let shorter = world.delete("v2/widgets", "a", seconds(10)).await.expect("hastened");
    assert_eq!(shorter.record.object().deletion_timestamp(), Some("2026-01-01T00:00:10Z"));
    let before = world.registry.revision();
    let gone = world.delete("v2/widgets", "a", seconds(0)).await.expect("gone");
    assert!(gone.gone);
    assert_eq!(world.registry.revision(), before + 2, "marked with 0, then deleted");
    assert_eq!(told(world.get("v2/widgets", "a").await).0, 404);

    world.create("v2/widgets", graceful.clone()).await.expect("created");
    assert!(world.delete("v2/widgets", "a", seconds(0)).await.expect("gone").gone);
    graceful["metadata"]["finalizers"] = json!(["a/b"]);
    world.create("v2/widgets", graceful.clone()).await.expect("created");
    assert!(!world.delete("v2/widgets", "a", seconds(0)).await.expect("held").gone);
    world.patch("v2/widgets", "a", |object| drop(object.metadata_mut().remove("finalizers"))).await.expect("gone");
    assert_eq!(told(world.get("v2/widgets", "a").await).0, 404);

    // Held by a finalizer, with time left: a second deletion changes nothing, not even the finalizers of propagation.
    world.create("v2/widgets", graceful).await.expect("created");
    let marked = world.delete("v2/widgets", "a", DeleteOptions::default()).await.expect("marked");
    let orphan = DeleteOptions { propagation: Some(Propagation::Orphan), ..DeleteOptions::default() };
    let again = world.delete("v2/widgets", "a", orphan).await.expect("pending");
    assert_eq!((again.gone, again.record.mod_revision), (false, marked.record.mod_revision));
}

/// A grace that no clock reaches is the last time that can be written, and a second deletion counts from the first.
#[tokio::test]
async fn grace_of_any_length_can_be_written_and_hastened() {
    let seconds = |seconds| DeleteOptions { grace_period_seconds: Some(seconds), ..DeleteOptions::default() };
    for grace in [1, i64::from(u32::MAX), 300_000_000_000, i64::MAX / 2, i64::MAX] {
        let world = World::new().await;
        let mut graceful = widget("a", "red");
        graceful["spec"]["grace"] = json!(grace);
        graceful["metadata"]["finalizers"] = json!(["a/b"]);
        world.create("v2/widgets", graceful).await.expect("created");
        let marked = world.delete("v2/widgets", "a", DeleteOptions::default()).await.expect("marked");
        for (options, expected) in [(None, None), (Some(grace - 1), None), (Some(0), Some(NOW))] {
            let deleted = match options {
                None => marked.record.clone(),
                Some(grace) => world.delete("v2/widgets", "a", seconds(grace)).await.expect("hastened").record,
            };
            let object = deleted.object();
            let text = object.deletion_timestamp().expect("marked").to_owned();
            let time = sampan_api::time::parse(&text).unwrap_or_else(|| panic!("{grace}: {text} can be read"));
            assert!(time >= sampan_api::time::parse(NOW).expect("a time"), "{grace}: {text}");
            assert_eq!(expected.unwrap_or(&text), text, "{grace} {options:?}");
        }
    }
}

#[tokio::test]
async fn spec_finalizers_hold_it_until_the_finalize_view_takes_them() {
    let world = World::new().await;
    world
        .create("houses", json!({"metadata": {"name": "h", "generation": 1}, "spec": {"finalizers": ["kubernetes"]}}))
        .await
        .expect("created");
    let marked = world.delete("houses", "h", DeleteOptions::default()).await.expect("marked");
    let object = marked.record.object();
    assert_eq!((object.deletion_timestamp(), object.deletion_grace_period_seconds()), (Some(NOW), None));
    assert_eq!(object.get_str(&["status", "phase"]), Some("Terminating"));
    assert_eq!(object.generation(), 1, "as Go's own deletions of such kinds leave it");
    let again = world.delete("houses", "h", DeleteOptions::default()).await.expect("pending");
    assert_eq!(again.record.mod_revision, marked.record.mod_revision);
    let version = marked.record.mod_revision.to_string();
    let empty = json!({"metadata": {"name": "h", "resourceVersion": version}, "spec": {"finalizers": []}});
    world.put("houses", "finalize", empty).await.expect("gone");
    assert_eq!(told(world.get("houses", "h").await).0, 404);
}

#[tokio::test]
async fn preconditions_spare_what_is_not_meant() {
    let world = World::new().await;
    let created = world.create("plains", json!({"metadata": {"name": "a"}})).await.expect("created");
    let uid = DeleteOptions { uid: Some("other".into()), ..DeleteOptions::default() };
    let (code, text) = told(world.delete("plains", "a", uid).await);
    assert_eq!(code, 409);
    assert!(text.starts_with(
        "Operation cannot be fulfilled on Plain \"a\": the UID in the precondition (other) does not match"
    ));
    let version = DeleteOptions { resource_version: Some("1234".into()), ..DeleteOptions::default() };
    assert_eq!(told(world.delete("plains", "a", version).await).0, 409);
    let both = DeleteOptions {
        uid: Some(created.uid.to_string()),
        resource_version: Some(created.mod_revision.to_string()),
        ..DeleteOptions::default()
    };
    let caller = Caller { dry_run: true, ..world.caller() };
    let dry = world.registry.delete(&caller, world.row("plains"), "default", "a", &both).await.expect("would go");
    assert!(dry.gone);
    world.get("plains", "a").await.expect("a dry run deletes nothing");
    assert!(world.delete("plains", "a", both).await.expect("deleted").gone);
}

#[tokio::test]
async fn a_collection_goes_as_selected() {
    let world = World::new().await;
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        world.create("v2/widgets", widget(name, color)).await.expect("created");
    }
    let red = ListOptions {
        labels: sampan_api::selector::LabelSelector::parse("color=red").expect("parses"),
        ..ListOptions::default()
    };
    let row = world.row("v2/widgets");
    let gone = world.registry.delete_collection(&world.caller(), row, "default", &red, &DeleteOptions::default()).await;
    assert_eq!(names(&gone.expect("deleted")), ["default/a", "default/c"]);
    assert_eq!(names(&world.list("v2/widgets", &ListOptions::default()).await.expect("lists")), ["default/b"]);
}
