//! Definitions of kinds: what they define is served as long as they are there, and their objects go by their schema.

use sampan_api::admission::{AdmitAll, Warnings};
use sampan_api::object::Object;
use sampan_api::user::UserInfo;
use sampan_env::{Env, Tasks};
use sampan_registry::{
    Caller, Config, Error, GetOptions, ListOptions, Registry, Resource, ResourceTable, UpdateOptions, Verbs, crd,
};
use sampan_schema::{ObjectType, json as decode};
use sampan_store::memory::MemoryStore;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A registry that serves what is defined.
pub struct World {
    pub registry: Registry,
    pub store: Arc<MemoryStore>,
    pub env: Env,
    pub tasks: Tasks,
    user: UserInfo,
    warnings: Warnings,
}

impl World {
    pub async fn new() -> Self {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600));
        let tasks = Tasks::new("test");
        let store = Arc::new(MemoryStore::new(env.clone(), &tasks));
        let registry = Self::open(&store, &env, &tasks).await;
        Self { registry, store, env, tasks, user: UserInfo::new("ann", ["people"]), warnings: Warnings::default() }
    }

    pub async fn open(store: &Arc<MemoryStore>, env: &Env, tasks: &Tasks) -> Registry {
        let table = Arc::new(ResourceTable::builtin().expect("the built-in rows make a table"));
        let registry = Registry::open(Config::new(store.clone(), env.clone(), table)).await.expect("opens");
        crd::follow(&registry, tasks).await.expect("the definitions are read");
        registry
    }

    pub fn caller(&self) -> Caller<'_> {
        Caller {
            user: &self.user,
            verb: "test",
            user_agent: "test/1",
            request_id: "r",
            field_manager: "test",
            dry_run: false,
            options: &Value::Null,
            admission: &AdmitAll,
            warnings: &self.warnings,
        }
    }

    pub fn row(&self, group: &str, version: &str, resource: &str) -> Option<Arc<Resource>> {
        self.registry.table().lookup(group, version, resource).cloned()
    }

    fn definitions(&self) -> Arc<Resource> {
        self.row("apiextensions.k8s.io", "v1", "customresourcedefinitions").expect("a row")
    }

    /// Creates a definition with these versions, accepts its names, and waits until it is served.
    async fn define(&self, versions: Value) {
        self.define_with(versions, json!({"strategy": "None"})).await;
    }

    /// As [`Self::define`], with what converts between the versions.
    pub async fn define_with(&self, versions: Value, conversion: Value) {
        let names = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"});
        let definition = json!({"metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions, "conversion": conversion}});
        let mut changes = self.registry.table_changes();
        let before = changes.table();
        let row = self.definitions();
        let object = object(row.ty.as_ref(), definition);
        self.registry.create(&self.caller(), &row, "", object).await.expect("a valid definition");
        self.change("widgets.example.com", "status", |definition| {
            definition.set(&["status", "acceptedNames"], names.clone());
            definition.set(&["status", "conditions"], json!([{"type": "NamesAccepted", "status": "True"}]));
        })
        .await
        .expect("accepted");
        while changes.changed().await.generation() == before.generation() {}
    }

    pub async fn change(
        &self,
        name: &str,
        view: &str,
        change: impl Fn(&mut Object) + Send + Sync,
    ) -> Result<(), Error> {
        let options = UpdateOptions { subresource: view.to_owned(), ..UpdateOptions::default() };
        let transform = |current: Option<&Object>| {
            let mut object = current.cloned().unwrap_or_default();
            change(&mut object);
            Ok(object)
        };
        let row = self.definitions();
        self.registry.update(&self.caller(), &row, "", name, &options, &transform).await.map(drop)
    }

    pub async fn create(&self, version: &str, value: Value) -> Result<Value, String> {
        let row = self.row("example.com", version, "widgets").ok_or("not served")?;
        let object = object(row.ty.as_ref(), value);
        let made = self.registry.create(&self.caller(), &row, "default", object).await;
        made.map(|record| record.object().fields().clone().into()).map_err(|error| error.status().message)
    }

    pub async fn list(&self, version: &str) -> Vec<Value> {
        let row = self.row("example.com", version, "widgets").expect("served");
        let list = self.registry.list(&row, "default", &ListOptions::default()).await.expect("lists");
        list.items.iter().map(|record| record.object().fields()["spec"].clone()).collect()
    }
}

fn object(ty: Option<&ObjectType>, value: Value) -> Object {
    let ty = ty.expect("a type");
    let decoded = decode::from_value(ty.schema(), ty.id(), &value).expect("decodes");
    Object::from_value(decoded.value).expect("an object")
}

pub fn version(name: &str, storage: bool, spec: Value) -> Value {
    json!({"name": name, "served": true, "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}})
}

fn sized(default: i64) -> Value {
    json!({"type": "object", "properties": {"size": {"type": "integer", "default": default, "maximum": 9},
        "color": {"type": "string"}}})
}

#[tokio::test]
async fn what_is_defined_is_served_by_its_schema() {
    let world = World::new().await;
    assert!(world.row("example.com", "v1", "widgets").is_none());
    world.define(json!([version("v1", true, sized(1))])).await;
    let made = world.create("v1", json!({"metadata": {"name": "a"}, "spec": {"color": "red", "x": 1}})).await;
    let made = made.expect("valid");
    assert_eq!(made["spec"], json!({"color": "red", "size": 1}));
    assert_eq!((&made["metadata"]["generation"], &made["kind"]), (&json!(1), &json!("Widget")));
    let wrong = world.create("v1", json!({"metadata": {"name": "b"}, "spec": {"size": 10}})).await;
    assert_eq!(
        wrong.expect_err("too large"),
        "Widget.example.com \"b\" is invalid: spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9"
    );
}

/// As v1.35 does: with a definition's status its metadata is written, with a custom resource's nothing but the status.
#[tokio::test]
async fn the_metadata_of_a_write_to_the_status_counts_for_definitions_alone() {
    let world = World::new().await;
    let mut served = version("v1", true, sized(1));
    served["subresources"] = json!({"status": {}});
    world.define(json!([served])).await;
    let marked = |definition: &mut Object| definition.set_meta("finalizers", json!(["a/b"]));
    world.change("widgets.example.com", "status", marked).await.expect("changed");
    let definitions = world.definitions();
    let name = "widgets.example.com";
    let definition = world.registry.get(&definitions, "", name, &GetOptions::default()).await.expect("there");
    assert!(definition.object().finalizers().any(|one| one == "a/b"));

    world.create("v1", json!({"metadata": {"name": "a"}})).await.expect("valid");
    let row = world.row("example.com", "v1", "widgets").expect("served");
    let options = UpdateOptions { subresource: "status".to_owned(), ..UpdateOptions::default() };
    let transform = |current: Option<&Object>| {
        let mut object = current.cloned().unwrap_or_default();
        object.set_meta("uid", "x");
        object.set_meta("labels", json!({"x": "y"}));
        Ok(object)
    };
    let updated = world.registry.update(&world.caller(), &row, "default", "a", &options, &transform).await;
    let object = updated.expect("taken").record.object();
    assert!(object.uid() != "x" && object.label("x").is_none(), "{object:?}");
}

#[tokio::test]
async fn another_schema_is_in_force_for_what_is_stored_too() {
    let mut world = World::new().await;
    world.define(json!([version("v1", true, sized(1))])).await;
    world.create("v1", json!({"metadata": {"name": "a"}, "spec": {"color": "red"}})).await.expect("valid");
    let mut changes = world.registry.table_changes();
    let before = changes.table();
    let versions = json!([
        version(
            "v1",
            true,
            json!({"type": "object", "properties": {"size": {"type": "integer"},
            "shape": {"type": "string", "default": "round"}}})
        ),
        version("v2", false, sized(5)),
    ]);
    world
        .change("widgets.example.com", "", |definition| definition.set(&["spec", "versions"], versions.clone()))
        .await
        .expect("changed");
    while changes.changed().await.generation() == before.generation() {}
    assert_eq!(world.list("v1").await, [json!({"size": 1, "shape": "round"})]);
    assert_eq!(world.list("v2").await, [json!({"size": 1})]);
    world.create("v2", json!({"metadata": {"name": "b"}, "spec": {}})).await.expect("valid");
    assert_eq!(world.list("v1").await[1], json!({"size": 5, "shape": "round"}));

    // So it is after a restart.
    world.registry = World::open(&world.store, &world.env, &world.tasks).await;
    assert_eq!(world.list("v1").await.len(), 2);
}

#[tokio::test]
async fn what_is_sent_has_the_defaults_of_its_version_and_what_is_read_those_of_the_stored_one() {
    let world = World::new().await;
    let with = |name: &str, default: &str| {
        let mut properties = json!({"a": {"type": "string"}, "of": {"type": "string", "default": default}});
        properties[name] = json!({"type": "string", "default": default});
        json!({"type": "object", "properties": properties})
    };
    world.define(json!([version("v1", true, with("one", "1")), version("v2", false, with("two", "2"))])).await;
    let spec = async |version: &str, name: &str| {
        let sent = json!({"metadata": {"name": name}, "spec": {"a": "x"}});
        world.create(version, sent).await.expect("valid")["spec"].clone()
    };
    // Whoever wrote in a version reads what is stored, without what is the other's alone.
    assert_eq!(spec("v2", "a").await, json!({"a": "x", "of": "2"}));
    assert_eq!(spec("v1", "b").await, json!({"a": "x", "of": "1", "one": "1"}));
    assert_eq!(
        world.list("v1").await,
        [json!({"a": "x", "of": "2", "one": "1"}), json!({"a": "x", "of": "1", "one": "1"})]
    );
    assert_eq!(world.list("v2").await, [json!({"a": "x", "of": "2"}), json!({"a": "x", "of": "1"})]);
}

#[tokio::test]
async fn what_a_scale_shows_is_told_in_the_words_of_gos_accessors() {
    let world = World::new().await;
    let mut v1 = version("v1", true, json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    v1["subresources"] = json!({"scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}});
    world.define(json!([v1])).await;
    let check = async |spec: Value, expected: &str| {
        let refused = world.create("v1", json!({"metadata": {"name": "w"}, "spec": spec})).await.expect_err(expected);
        let told = refused.split_once(".spec.n: Invalid value: ").expect("an error of the field").1;
        assert_eq!(told.trim_end_matches(']'), expected.trim_end_matches(']'), "{spec}");
    };
    let accessor = |what: &str| format!("0: .spec.n accessor error: {what}");
    check(json!({"n": 1.0}), &accessor("1 is of the type float64, expected int64")).await;
    check(json!({"n": 1e3}), &accessor("1000 is of the type float64, expected int64")).await;
    let large = json!({"n": 9_223_372_036_854_775_808_u64});
    check(large, &accessor("9.223372036854776e+18 is of the type float64, expected int64")).await;
    check(json!({"n": {"a": 1}}), &accessor("map[a:1] is of the type map[string]interface {}, expected int64")).await;
    check(json!(5), &accessor("5 is of the type int64, expected map[string]interface{}")).await;
    check(json!([]), &accessor("[] is of the type []interface {}, expected map[string]interface{}")).await;
    check(json!({"n": -1}), "-1: should be a non-negative integer").await;
}

#[tokio::test]
async fn a_definition_that_goes_takes_no_more_objects_and_is_kept_until_they_are_gone() {
    let world = World::new().await;
    world.define(json!([version("v1", true, sized(1))])).await;
    let mut changes = world.registry.table_changes();
    // This process finds it by its accepted names; discovery and those outside once its status is written to the end.
    let row = world.row("example.com", "v1", "widgets").expect("a row");
    let early = changes.table();
    assert!(!world.registry.is_established(&early, &row));
    let is_shown = |table: Arc<ResourceTable>| table.announced().lookup("example.com", "v1", "widgets").is_some();
    assert!(!is_shown(changes.table()));
    world
        .change("widgets.example.com", "status", |definition| {
            definition.set(
                &["status", "conditions"],
                json!([{"type": "Established", "status": "True"},
            {"type": "NamesAccepted", "status": "True"}]),
            );
        })
        .await
        .expect("established");
    assert!(world.registry.is_established(&early, &row), "at once, whatever the table shows");
    while !is_shown(changes.changed().await) {}
    let kept = json!({"metadata": {"name": "kept", "finalizers": ["example.com/mine"]}});
    world.create("v1", kept).await.expect("valid");
    let before = changes.table();
    let row = world.definitions();
    let gone = world.registry.delete(&world.caller(), &row, "", "widgets.example.com", &Default::default()).await;
    let gone = gone.expect("deleted");
    assert!(!gone.gone, "it waits for its instances");
    assert_eq!(gone.record.object().generation(), 1);
    while changes.changed().await.generation() == before.generation() {}
    let refused = world.create("v1", json!({"metadata": {"name": "a"}})).await.expect_err("it is going");
    assert!(refused.ends_with("create not allowed while custom resource definition is terminating"), "{refused}");
    let row = world.row("example.com", "v1", "widgets").expect("it is served to the last");
    assert_eq!(row.verb_names(), ["delete", "deletecollection", "get", "list", "watch"]);
    for verb in [Verbs::CREATE, Verbs::UPDATE, Verbs::PATCH] {
        assert!(row.verbs.contains(verb), "requests come through, and creations are refused with the reason");
    }
    let let_go = |current: Option<&Object>| {
        let mut object = current.cloned().unwrap_or_default();
        object.set_meta("finalizers", json!([]));
        Ok(object)
    };
    let updated =
        world.registry.update(&world.caller(), &row, "default", "kept", &UpdateOptions::default(), &let_go).await;
    updated.expect("whoever put a finalizer takes it off");
    world
        .change("widgets.example.com", "", |definition| definition.set_meta("finalizers", json!([])))
        .await
        .expect("let go");
    while world.row("example.com", "v1", "widgets").is_some() {
        changes.changed().await;
    }
}

#[tokio::test]
async fn a_new_rule_that_what_is_there_breaks_is_told_and_lets_other_changes_be() {
    let world = World::new().await;
    let ruled = |rules: Value| {
        json!({"type": "object", "properties": {
        "a": {"type": "string", "x-kubernetes-validations": rules}, "b": {"type": "string"}}})
    };
    world.define(json!([version("v1", true, ruled(json!([])))])).await;
    world.create("v1", json!({"metadata": {"name": "w"}, "spec": {"a": "long"}})).await.expect("valid");
    let mut changes = world.registry.table_changes();
    let before = changes.table();
    let later = json!([version("v1", true, ruled(json!([{"rule": "self.startsWith('q')"}])))]);
    world
        .change("widgets.example.com", "", |definition| definition.set(&["spec", "versions"], later.clone()))
        .await
        .expect("valid");
    while changes.changed().await.generation() == before.generation() {}
    let row = world.row("example.com", "v1", "widgets").expect("served");
    let set = async |path: &[&str], value: &str| {
        let transform = |current: Option<&Object>| {
            let mut object = current.cloned().unwrap_or_default();
            object.set(path, value);
            Ok(object)
        };
        world.warnings.take();
        let options = UpdateOptions::default();
        let updated = world.registry.update(&world.caller(), &row, "default", "w", &options, &transform).await;
        (updated.is_ok(), world.warnings.take())
    };
    let told = "spec.a: Invalid value: \"long\": failed rule: self.startsWith('q')".to_owned();
    assert_eq!(set(&["spec", "b"], "x").await, (true, vec![told.clone()]));
    assert_eq!(set(&["metadata", "labels", "l"], "x").await, (true, vec![told]));
    assert_eq!(set(&["spec", "a"], "longer").await, (false, Vec::new()));
    assert_eq!(set(&["spec", "a"], "quick").await, (true, Vec::new()));
}

#[tokio::test]
async fn what_is_no_structural_schema_is_refused_and_leaves_nothing_behind() {
    let world = World::new().await;
    let row = world.definitions();
    let check = async |schema: Value, expected: &str| {
        let names = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"});
        let definition = json!({"metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
        let object = object(row.ty.as_ref(), definition);
        let refused = world.registry.create(&world.caller(), &row, "", object).await.expect_err("not structural");
        let message = refused.status().message;
        assert!(message.contains(expected), "{message}");
        assert_eq!(refused.status().code, 422);
    };
    let of = |property: Value| json!({"type": "object", "properties": {"a": property}});
    check(of(json!({})), "properties[a].type: Required value: must not be empty for specified object fields").await;
    check(of(json!({"type": "array"})), "properties[a].items: Required value: must be specified").await;
    check(of(json!({"type": "object", "$ref": "#/definitions/x"})), "$ref: Forbidden: $ref is not supported").await;
    check(of(json!({"type": "string", "pattern": "("})), "must be a valid regular expression").await;
    check(of(json!({"type": "integer", "default": "x"})), "in body must be of type integer").await;
    check(of(json!({"type": "string", "uniqueItems": true})), "uniqueItems cannot be set to true").await;
    let deep = (0..40).fold(json!({"type": "tuple"}), |inner, _| json!({"type": "object", "properties": {"a": inner}}));
    check(deep, "Unsupported value: \"tuple\"").await;
    assert!(world.row("example.com", "v1", "widgets").is_none());
}
