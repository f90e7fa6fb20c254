use crate::world::{NOW, Picky, World, json_of, parse, told, widget};
use sampan_api::limits::{NESTING_MAX, OBJECT_MAX};
use sampan_api::object::Object;
use sampan_registry::{Caller, Error, UpdateOptions};
use serde_json::{Value, json};

#[tokio::test]
async fn a_creation_fills_in_what_the_server_sets() {
    let world = World::new().await;
    let mut sent = widget("a", "red");
    sent["metadata"]["uid"] = json!("mine");
    sent["metadata"]["generation"] = json!(7);
    sent["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    sent["metadata"]["deletionTimestamp"] = json!("2001-01-01T00:00:00Z");
    sent["status"] = json!({"made": "up"});
    sent["spec"]["warn"] = json!("careful");
    let record = world.create("v2/widgets", sent).await.expect("created");
    assert_eq!(
        json_of(&record),
        json!({
            "apiVersion": "toys/v2", "kind": "Widget",
            "metadata": {"name": "a", "namespace": "default", "labels": {"color": "red"}, "uid": &*record.uid,
                "creationTimestamp": NOW, "generation": 1, "resourceVersion": record.mod_revision.to_string()},
            "spec": {"color": "red", "size": 1, "warn": "careful"}, "status": {},
        })
    );
    assert!(record.json.starts_with(br#"{"kind":"Widget","apiVersion":"toys/v2","metadata":{"#));
    assert_eq!((record.field("spec.color"), &*record.writer.user), (Some("red"), "ann"));
    assert_eq!(world.warnings.take(), ["careful"]);
    assert_eq!(world.get("v2/widgets", "a").await.expect("there").to_json(), record.to_json());
    assert_eq!(
        told(world.create("v2/widgets", widget("a", "red")).await),
        (409, "widgets.toys \"a\" already exists".into())
    );
}

#[tokio::test]
async fn bad_creations_are_refused_with_all_that_is_wrong() {
    let world = World::new().await;
    let mut bad = widget("Bad", "bad");
    bad["metadata"]["labels"] = json!({"a b": "c"});
    let error = world.create("v2/widgets", bad).await.expect_err("bad");
    let Error::Invalid { errors, .. } = &error else { panic!("{error:?}") };
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["metadata.name", "metadata.labels", "spec.color"]);
    assert_eq!(error.status().code, 422);

    let mut versioned = widget("a", "red");
    versioned["metadata"]["resourceVersion"] = json!("5");
    assert_eq!(
        told(world.create("v2/widgets", versioned).await),
        (500, "resourceVersion should not be set on objects to be created".into())
    );
    let mut elsewhere = widget("a", "red");
    elsewhere["metadata"]["namespace"] = json!("other");
    assert_eq!(
        told(world.create("v2/widgets", elsewhere).await),
        (400, "the namespace of the provided object does not match the namespace sent on the request".into())
    );
    assert_eq!(told(world.get("v2/widgets", "a").await).0, 404);
}

#[tokio::test]
async fn names_are_generated() {
    let world = World::new().await;
    let record = world.create("plains", json!({"metadata": {"generateName": "web-"}})).await.expect("created");
    assert!(record.key.name.starts_with("web-") && record.key.name.len() == 9, "{}", record.key);
    let long = "a".repeat(100);
    let record = world.create("plains", json!({"metadata": {"generateName": long}})).await.expect("created");
    assert_eq!(record.key.name.len(), 63);
}

#[tokio::test]
async fn a_dry_run_does_everything_but_the_write() {
    let world = World::new().await;
    let before = world.registry.revision();
    let caller = Caller { dry_run: true, ..world.caller() };
    let row = world.row("v2/widgets");
    let record = world.registry.create(&caller, row, "default", parse(widget("a", "red"))).await.expect("made");
    assert_eq!((&*record.key.name, record.mod_revision), ("a", 0));
    assert!(world.registry.create(&caller, row, "default", parse(widget("a", "bad"))).await.is_err());
    assert_eq!(world.registry.revision(), before);
    assert!(matches!(world.get("v2/widgets", "a").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn an_update_splits_status_and_counts_generations() {
    let world = World::new().await;
    let created = world.create("v2/widgets", widget("a", "red")).await.expect("created");
    let mut new = widget("a", "blue");
    new["status"] = json!({"ready": true});
    let updated = world.put("v2/widgets", "", new).await.expect("updated").record;
    let object = updated.object();
    assert_eq!((object.generation(), object.get(&["status"])), (2, Some(&json!({}))));
    assert_eq!(updated.uid, created.uid);

    let mut status = widget("a", "green");
    status["status"] = json!({"ready": true});
    status["metadata"]["labels"] = json!({"from": "status"});
    let updated = world.put("v2/widgets", "status", status).await.expect("updated").record;
    let object = updated.object();
    assert_eq!(object.get_str(&["spec", "color"]), Some("blue"), "a status update leaves the spec alone");
    assert_eq!(object.get(&["status"]), Some(&json!({"ready": true})));
    assert_eq!((object.generation(), object.label("from")), (2, Some("status")));

    let updated = world.patch("v2/widgets", "a", |object| object.set_annotation("x", "y")).await.expect("updated");
    assert_eq!(updated.record.object().generation(), 2, "metadata is not counted");
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let world = World::new().await;
    let created = world.create("v2/widgets", widget("a", "red")).await.expect("created");
    let revision = world.registry.revision();
    let mut same = widget("a", "red");
    same["spec"]["size"] = json!(1);
    let record = world.put("v2/widgets", "", same).await.expect("updated").record;
    assert_eq!((record.to_json(), world.registry.revision()), (created.to_json(), revision));
    world.patch("v2/widgets", "a", |object| object.set_meta("generation", 9)).await.expect("patched");
    assert_eq!(world.registry.revision(), revision, "the generation is not the client's to set");
}

#[tokio::test]
async fn a_stale_or_foreign_object_is_a_conflict_in_kubernetes_words() {
    let world = World::new().await;
    let created = world.create("plains", json!({"metadata": {"name": "a"}})).await.expect("created");
    let modified = "Operation cannot be fulfilled on plains \"a\": the object has been modified; please apply your changes to \
                    the latest version and try again";
    let with = |version: &str| json!({"metadata": {"name": "a", "resourceVersion": version}, "x": version});
    let version = created.mod_revision.to_string();
    let updated = world.put("plains", "", with(&version)).await.expect("the current one").record;
    assert_eq!(told(world.put("plains", "", with(&version)).await), (409, modified.into()));
    assert_eq!(
        told(world.put("plains", "", with("abc")).await),
        (500, "strconv.ParseUint: parsing \"abc\": invalid syntax".into())
    );
    world.put("plains", "", with("0")).await.expect("0 is unconditional");
    world.put("plains", "", json!({"metadata": {"name": "a"}})).await.expect("none is unconditional");
    let options = UpdateOptions { uid: Some("other".into()), ..UpdateOptions::default() };
    let transform = |current: Option<&Object>| Ok(current.cloned().unwrap_or_default());
    let caller = world.caller();
    let foreign = world.registry.update(&caller, world.row("plains"), "default", "a", &options, &transform).await;
    let text = format!(
        "Operation cannot be fulfilled on plains \"a\": StorageError: invalid object, Code: 4, Key: \
         /registry/plains/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: other, \
         UID in object meta: {}",
        updated.uid
    );
    assert_eq!(told(foreign), (409, text.clone()));
    let dry = Caller { dry_run: true, ..caller };
    let foreign = world.registry.update(&dry, world.row("plains"), "default", "a", &options, &transform).await;
    assert_eq!(told(foreign), (409, text.replace("/registry/", "/")));
    let options = UpdateOptions { version: Some("1".into()), ..UpdateOptions::default() };
    let stale = world.registry.update(&caller, world.row("plains"), "default", "a", &options, &transform).await;
    let text = text.split("UID in").next().unwrap_or_default().to_owned();
    let current = world.get("plains", "a").await.expect("there").mod_revision;
    let rest = format!("ResourceVersion in precondition: 1, ResourceVersion in object meta: {current}");
    assert_eq!(told(stale), (409, text + &rest));
    let patched = world.patch("plains", "a", |object| object.set_meta("resourceVersion", "1")).await;
    assert_eq!(told(patched), (409, modified.into()));
}

#[tokio::test]
async fn metadata_is_immutable() {
    let world = World::new().await;
    world.create("plains", json!({"metadata": {"name": "a"}})).await.expect("created");
    let (code, text) = told(world.patch("plains", "a", |object| object.set_meta("uid", "x")).await);
    assert_eq!(
        (code, text.as_str()),
        (422, "Plain \"a\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable")
    );
    let renamed = world.patch("plains", "a", |object| object.set_meta("name", "b")).await;
    assert_eq!(told(renamed), (400, "the name of the object (b) does not match the name on the URL (a)".into()));
    let fixed = world.create("v2/widgets", widget("w", "fixed")).await.expect("created");
    let error = world.put("v2/widgets", "", widget("w", "red")).await.expect_err("immutable");
    assert_eq!(error.status().code, 422);
    assert_eq!(world.get("v2/widgets", "w").await.expect("there").mod_revision, fixed.mod_revision);
}

#[tokio::test]
async fn put_creates_where_the_kind_allows_it_and_wants_a_version_where_it_says_so() {
    let world = World::new().await;
    let house = json!({"metadata": {"name": "h", "resourceVersion": "5"}, "spec": {}});
    assert!(world.put("houses", "", house).await.expect("created").created);
    assert_eq!(
        told(world.put("houses", "", json!({"metadata": {"name": "h"}})).await),
        (
            422,
            "houses \"h\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
                .into()
        )
    );
    assert_eq!(
        told(world.put("plains", "", json!({"metadata": {"name": "p"}})).await),
        (404, "plains \"p\" not found".into())
    );
    assert_eq!(told(world.put("houses", "status", json!({"metadata": {"name": "x"}})).await).0, 404);
}

#[tokio::test]
async fn patches_that_meet_are_all_applied() {
    let world = World::new().await;
    world.create("plains", json!({"metadata": {"name": "a"}, "count": 0})).await.expect("created");
    let add = || {
        world.patch("plains", "a", |object| {
            let count = object.get(&["count"]).and_then(|count| count.as_i64()).unwrap_or(0);
            object.set(&["count"], count + 1);
        })
    };
    let results = futures::future::join_all((0..50).map(|_| add())).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(world.get("plains", "a").await.expect("there").object().get(&["count"]), Some(&json!(50)));
}

#[tokio::test]
async fn admission_changes_and_refuses_inside_the_loop() {
    let mut world = World::new().await;
    world.admission = Box::new(Picky);
    let record = world.create("plains", json!({"metadata": {"name": "a"}})).await.expect("created");
    assert_eq!(record.object().annotation("seen"), Some("Create a"));
    let refused = json!({"metadata": {"name": "b", "annotations": {"refuse": "me"}}});
    assert_eq!(told(world.create("plains", refused).await), (403, "plains \"b\" is forbidden: picky".into()));
    let updated = world.patch("plains", "a", |_| {}).await.expect("patched").record;
    assert_eq!(updated.object().annotation("seen"), Some("Update a"));
    let refused = world.patch("plains", "a", |object| object.set_annotation("refuse", "me")).await;
    assert_eq!(told(refused).0, 403);
}

#[tokio::test]
async fn a_batch_is_one_transaction() {
    let world = World::new().await;
    let object = |name: &str| parse(json!({"metadata": {"name": name, "namespace": "default"}}));
    let row = world.row("plains");
    let caller = world.caller();
    let before = world.registry.revision();
    let all = world.registry.create_batch(&caller, row, vec![object("a"), object("b")]).await.expect("created");
    assert_eq!(all.iter().map(|r| r.mod_revision).collect::<Vec<_>>(), [before + 1, before + 1]);
    let error =
        world.registry.create_batch(&caller, row, vec![object("c"), object("b")]).await.expect_err("b is there");
    assert_eq!(error.status().message, "plains \"b\" already exists");
    assert_eq!(told(world.get("plains", "c").await).0, 404, "all or none");
    let twice = world.registry.create_batch(&caller, row, vec![object("d"), object("d")]).await;
    assert_eq!(told(twice), (409, "plains \"d\" already exists".into()));
}

#[tokio::test]
async fn what_readers_could_not_read_is_refused() {
    let world = World::new().await;
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let plain = |name: &str, data: Value| json!({"metadata": {"name": name}, "data": data});
    world.create("plains", plain("a", nested(NESTING_MAX - 1))).await.expect("created");
    assert_eq!(told(world.create("plains", plain("b", nested(NESTING_MAX))).await).0, 400);
    let deepen = world.patch("plains", "a", |object| object.set(&["data"], nested(NESTING_MAX))).await;
    assert_eq!(told(deepen).0, 400, "whatever the transform was");
    let long = plain("c", "x".repeat(OBJECT_MAX).into());
    assert_eq!(told(world.create("plains", long).await).0, 413);
}
