//! Kinds whose objects a webhook converts: read and written in every version, stored in one, whatever the webhook answers.

use crate::definitions::{World, version};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use sampan_api::object::Object;
use sampan_api::record::RecordEvent;
use sampan_api::selector::{FieldSelector, LabelSelector};
use sampan_api::webhook::{CallError, WebhookCaller};
use sampan_registry::{Error, GetOptions, ListOptions, Resource, UpdateOptions};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What a webhook makes of a review; null: it does not answer.
type Answer = fn(&Value) -> Value;

struct Webhook {
    answer: Mutex<Answer>,
    asked: Mutex<Vec<Value>>,
}

#[async_trait::async_trait]
impl WebhookCaller for Webhook {
    async fn call(&self, config: &Value, body: Bytes, _: Duration) -> Result<Bytes, CallError> {
        assert_eq!(config["url"], "https://hook.example.com/convert");
        let review: Value = serde_json::from_slice(&body).expect("a review");
        self.asked.lock().push(review.clone());
        let answer = *self.answer.lock();
        match answer(&review) {
            Value::Null => std::future::pending().await,
            Value::String(why) => Err(CallError(why)),
            answer => Ok(answer.to_string().into()),
        }
    }
}

/// The answer that converts as it should: `v1` has a `color`, which `v2` calls `colour` and labels.
fn honest(review: &Value) -> Value {
    let wanted = review["request"]["desiredAPIVersion"].as_str().expect("a version");
    let objects = review["request"]["objects"].as_array().expect("objects").iter().map(|given| {
        let mut object = given.clone();
        let (from, to) = if wanted == "example.com/v2" { ("color", "colour") } else { ("colour", "color") };
        object["apiVersion"] = wanted.into();
        if let Some(value) = object["spec"].as_object_mut().and_then(|spec| spec.remove(from)) {
            object["spec"][to] = value.clone();
            object["metadata"]["labels"] = if to == "colour" { json!({"is": value}) } else { Value::Null };
        }
        object
    });
    let converted: Vec<Value> = objects.collect();
    respond(review, json!({"convertedObjects": converted, "result": {"status": "Success"}}))
}

fn respond(review: &Value, mut response: Value) -> Value {
    response["uid"] = review["request"]["uid"].clone();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response})
}

/// What the honest webhook answers, and what a liar makes of it.
fn spoiled(review: &Value, spoil: impl Fn(&mut Value)) -> Value {
    let mut answer = honest(review);
    spoil(&mut answer);
    answer
}

fn versions(stored: &str) -> Value {
    let of = |name: &str, field: &str| {
        let spec = json!({"type": "object", "properties": {field: {"type": "string"}, "size": {"type": "integer"}}});
        let mut version = version(name, name == stored, spec);
        version["selectableFields"] = json!([{"jsonPath": format!(".spec.{field}")}]);
        version
    };
    json!([of("v1", "color"), of("v2", "colour")])
}

/// A world with such a kind, stored as `v1`.
async fn world(answer: Answer) -> (World, Arc<Webhook>) {
    world_of(versions("v1"), answer).await
}

async fn world_of(versions: Value, answer: Answer) -> (World, Arc<Webhook>) {
    let world = World::new().await;
    let webhook = Arc::new(Webhook { answer: Mutex::new(answer), asked: Mutex::default() });
    world.registry.call_webhooks_by(webhook.clone());
    let conversion = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://hook.example.com/convert"}}});
    world.define_with(versions, conversion).await;
    (world, webhook)
}

fn row(world: &World, version: &str) -> Arc<Resource> {
    world.row("example.com", version, "widgets").expect("served")
}

async fn get(world: &World, version: &str, name: &str) -> Result<Value, String> {
    let found = world.registry.get(&row(world, version), "default", name, &GetOptions::default()).await;
    found.map(|record| record.object().fields().clone().into()).map_err(|error| error.status().message)
}

async fn update(world: &World, version: &str, name: &str, change: fn(&mut Object)) -> Result<(), Error> {
    let transform = |current: Option<&Object>| {
        let mut object = current.cloned().unwrap_or_default();
        change(&mut object);
        Ok(object)
    };
    let (caller, row) = (world.caller(), row(world, version));
    world.registry.update(&caller, &row, "default", name, &UpdateOptions::default(), &transform).await.map(drop)
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn objects_are_read_and_written_in_each_version() {
    let (world, webhook) = world(honest).await;
    let made = world.create("v2", widget("a", json!({"colour": "red"}))).await.expect("made");
    assert_eq!((&made["apiVersion"], &made["spec"]), (&json!("example.com/v2"), &json!({"colour": "red"})));
    assert_eq!(get(&world, "v1", "a").await.expect("there")["spec"], json!({"color": "red"}));
    assert_eq!(get(&world, "v2", "a").await.expect("there")["metadata"]["labels"], json!({"is": "red"}));
    update(&world, "v2", "a", |object| object.set(&["spec", "size"], 3)).await.expect("changed");
    assert_eq!(get(&world, "v1", "a").await.expect("there")["spec"], json!({"color": "red", "size": 3}));

    // One question for many objects.
    for name in 0..20 {
        world.create("v1", widget(&format!("b{name}"), json!({"color": "blue"}))).await.expect("made");
    }
    webhook.asked.lock().clear();
    assert_eq!(world.list("v2").await.len(), 21);
    assert_eq!(webhook.asked.lock().len(), 1);
    assert_eq!(world.list("v1").await.len(), 21);
    assert_eq!(webhook.asked.lock().len(), 1, "nothing is asked about what is stored so");
}

#[tokio::test]
async fn what_is_read_in_the_stored_version_has_its_defaults() {
    let mut versions = versions("v1");
    versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"]["default"] = 7.into();
    let (world, _) = world_of(versions, honest).await;
    world.create("v2", widget("a", json!({"colour": "red"}))).await.expect("made");
    let stored = get(&world, "v1", "a").await.expect("there");
    assert_eq!(stored["spec"], json!({"color": "red", "size": 7}));
    update(&world, "v1", "a", |object| object.set(&["metadata", "annotations", "a"], "b")).await.expect("changed");
    let changed = get(&world, "v1", "a").await.expect("there");
    assert_eq!((&changed["spec"], &changed["metadata"]["generation"]), (&stored["spec"], &json!(1)));
}

#[tokio::test]
async fn objects_are_selected_as_they_are_shown() {
    let (world, _) = world(honest).await;
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red"), ("d", "red")] {
        world.create("v1", widget(name, json!({"color": color}))).await.expect("made");
    }
    let row = row(&world, "v2");
    let options = |labels: &str, fields: &str, limit: u64| ListOptions {
        labels: LabelSelector::parse(labels).expect("a selector"),
        fields: FieldSelector::parse(fields).expect("a selector"),
        limit,
        ..ListOptions::default()
    };
    let names = |list: &sampan_registry::List| -> Vec<String> {
        list.items.iter().map(|record| record.key.name.to_string()).collect()
    };
    for (labels, fields) in [("is=red", ""), ("", "spec.colour=red"), ("is=red", "metadata.namespace=default")] {
        let whole = world.registry.list(&row, "default", &options(labels, fields, 0)).await.expect("lists");
        assert_eq!(names(&whole), ["a", "c", "d"], "{labels} {fields}");
        let mut page = world.registry.list(&row, "default", &options(labels, fields, 2)).await.expect("lists");
        assert_eq!(names(&page), ["a", "c"]);
        let token = page.continue_token.take().expect("there is more");
        let rest = ListOptions { continue_token: token, ..options(labels, fields, 2) };
        let rest = world.registry.list(&row, "default", &rest).await.expect("lists");
        assert_eq!((names(&rest), rest.continue_token), (vec!["d".to_owned()], None));
    }
    let refused = world.registry.list(&row, "default", &options("", "spec.color=red", 0)).await.map(drop);
    assert_eq!(refused.expect_err("of the other version").status().message, "field label not supported: spec.color");

    // Who watches a selection is told what enters and leaves it.
    let mut events = world.registry.watch(&row, "default", &options("is=red", "", 0)).await.expect("a watch");
    let mut next = async || match events.next().await.expect("goes on").expect("no error") {
        RecordEvent::Added(record) => ("ADDED", record.key.name.to_string()),
        RecordEvent::Modified(record) => ("MODIFIED", record.key.name.to_string()),
        RecordEvent::Deleted(record) => ("DELETED", record.key.name.to_string()),
        RecordEvent::Bookmark { .. } => ("BOOKMARK", String::new()),
    };
    for name in ["a", "c", "d"] {
        assert_eq!(next().await, ("ADDED", name.to_owned()));
    }
    update(&world, "v1", "b", |object| object.set(&["spec", "color"], "red")).await.expect("changed");
    update(&world, "v1", "a", |object| object.set(&["spec", "color"], "blue")).await.expect("changed");
    update(&world, "v1", "a", |object| object.set(&["spec", "size"], 1)).await.expect("changed");
    update(&world, "v1", "c", |object| object.set(&["spec", "size"], 1)).await.expect("changed");
    assert_eq!(next().await, ("ADDED", "b".to_owned()));
    assert_eq!(next().await, ("DELETED", "a".to_owned()));
    assert_eq!(next().await, ("MODIFIED", "c".to_owned()));
}

#[tokio::test]
async fn what_was_stored_in_another_version_is_converted_when_it_is_read() {
    let (mut world, webhook) = world(honest).await;
    world.create("v1", widget("a", json!({"color": "red"}))).await.expect("made");
    let mut changes = world.registry.table_changes();
    let before = changes.table();
    let stored = versions("v2");
    world
        .change("widgets.example.com", "", |definition| definition.set(&["spec", "versions"], stored.clone()))
        .await
        .expect("changed");
    while changes.changed().await.generation() == before.generation() {}
    let seen = async |world: &World| {
        assert_eq!(get(world, "v2", "a").await.expect("there")["spec"], json!({"colour": "red"}));
        assert_eq!(get(world, "v1", "a").await.expect("there")["spec"], json!({"color": "red"}));
    };
    seen(&world).await;
    world.registry = World::open(&world.store, &world.env, &world.tasks).await;
    world.registry.call_webhooks_by(webhook.clone());
    seen(&world).await;
    // A write brings it into the version that is stored now.
    update(&world, "v1", "a", |object| object.set(&["spec", "size"], 2)).await.expect("changed");
    webhook.asked.lock().clear();
    assert_eq!(get(&world, "v2", "a").await.expect("there")["spec"], json!({"colour": "red", "size": 2}));
    assert_eq!(webhook.asked.lock().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_webhook_answers_wrongly_is_told_and_leaves_nothing_behind() {
    const SAYS: &str = "conversion webhook for example.com/v2, Kind=Widget";
    let check = async |answer: Answer, expected: &str| {
        let (world, webhook) = world(honest).await;
        world.create("v1", widget("there", json!({"color": "red"}))).await.expect("made");
        *webhook.answer.lock() = answer;
        let refused = world.create("v2", widget("a", json!({"colour": "red"}))).await.expect_err(expected);
        assert_eq!(refused, format!("{SAYS} {expected}"));
        let changed = update(&world, "v2", "there", |object| object.set(&["spec", "size"], 1)).await;
        let status = changed.expect_err(expected).status();
        assert_eq!((status.code, status.reason.as_str()), (500, ""));
        assert_eq!(world.list("v1").await, [json!({"color": "red"})], "nothing was written");
        let listed = world.registry.list(&row(&world, "v2"), "default", &ListOptions::default()).await;
        listed.map(drop).expect_err("it cannot be shown");
    };
    check(|_| "Post \"https://hook\": no".into(), "failed: Post \"https://hook\": no").await;
    check(|_| Value::Null, "failed: context deadline exceeded").await;
    check(
        |_| json!({"apiVersion": "v1", "kind": "Pod"}),
        "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got /v1, Kind=Pod",
    )
    .await;
    check(
        |_| json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview"}),
        "failed: no response provided",
    )
    .await;
    check(
        |review| respond(review, json!({"result": {"status": "Failed", "message": "I would not"}})),
        "failed: I would not",
    )
    .await;
    check(
        |review| respond(review, json!({"result": {"status": "Sure"}})),
        "failed: response.result.status was 'Sure', not 'Success'",
    )
    .await;
    check(
        |review| spoiled(review, |answer| answer["response"]["convertedObjects"] = json!([])),
        "returned 0 objects, expected 1",
    )
    .await;
    check(
        |review| spoiled(review, |answer| answer["response"]["convertedObjects"][0]["kind"] = "Gadget".into()),
        "returned invalid object at index 0: invalid kind (expected Widget, received Gadget)",
    )
    .await;
    check(
        |review| {
            spoiled(review, |answer| answer["response"]["convertedObjects"][0]["apiVersion"] = "example.com/v3".into())
        },
        "returned invalid object at index 0: invalid groupVersion (expected example.com/v1, received example.com/v3)",
    )
    .await;
    check(
        |review| spoiled(review, |answer| answer["response"]["convertedObjects"][0]["metadata"]["name"] = "b".into()),
        "returned invalid object: must have the same name: a != b",
    )
    .await;
    check(
        |review| {
            spoiled(review, |answer| answer["response"]["convertedObjects"][0]["metadata"]["namespace"] = "x".into())
        },
        "returned invalid object: must have the same namespace: default != x",
    )
    .await;
    check(
        |review| {
            spoiled(review, |answer| answer["response"]["convertedObjects"][0]["metadata"]["labels"] = json!({"a": 1}))
        },
        "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object",
    )
    .await;
    check(
        |review| {
            spoiled(review, |answer| answer["response"]["convertedObjects"][0]["metadata"]["annotations"] = json!([]))
        },
        "returned invalid metadata: invalid metadata.annotations of type []interface {} in converted object",
    )
    .await;
}

#[tokio::test]
async fn a_webhook_changes_labels_and_annotations_and_nothing_else_of_the_metadata() {
    let liar: Answer = |review| {
        spoiled(review, |answer| {
            let metadata = &mut answer["response"]["convertedObjects"][0]["metadata"];
            metadata["finalizers"] = json!(["example.com/kept"]);
            metadata["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]);
            metadata["annotations"] = json!({"by": "webhook"});
            answer["response"]["convertedObjects"][0]["unknown"] = 1.into();
        })
    };
    let (world, _) = world(liar).await;
    let made = world.create("v2", widget("a", json!({"colour": "red"}))).await.expect("made");
    let stored = get(&world, "v1", "a").await.expect("there");
    for shown in [&made, &stored] {
        assert_eq!(shown["metadata"]["finalizers"], Value::Null);
        assert_eq!(shown["metadata"]["ownerReferences"], Value::Null);
        assert_eq!(shown["metadata"]["annotations"], json!({"by": "webhook"}));
        assert_eq!(shown.get("unknown"), None, "what the schema does not have is pruned");
    }
}

#[tokio::test]
async fn no_more_wait_for_a_webhook_than_may() {
    let (world, webhook) = world(honest).await;
    world.create("v1", widget("a", json!({"color": "red"}))).await.expect("made");
    *webhook.answer.lock() = |_| Value::Null;
    let row = row(&world, "v2");
    let options = GetOptions::default();
    let mut waiting: Vec<_> = (0..sampan_registry::limits::CONVERSIONS_WAITING_MAX)
        .map(|_| Box::pin(world.registry.get(&row, "default", "a", &options)))
        .collect();
    for one in &mut waiting {
        // Reads catch up with the store first.
        for _ in 0..16 {
            assert!(futures::poll!(one.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(webhook.asked.lock().len(), sampan_registry::limits::CONVERSIONS_MAX);
    let refused = world.registry.get(&row, "default", "a", &options).await.expect_err("too many");
    assert_eq!(refused.status().code, 429);
    drop(waiting);
    *webhook.answer.lock() = honest;
    world.registry.get(&row, "default", "a", &options).await.expect("they are gone");
}
