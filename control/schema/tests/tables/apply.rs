//! Server-side apply: sequences of applies and updates by several managers, and what each leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use sampan_schema::apply::{self, Applier, ApplyError, OnConflict};
use sampan_schema::managed::{self, Writer};
use sampan_schema::{ObjectType, Schema};
use serde_json::{Map, Value, json};

/// One object and the hands that change it.
struct World {
    ty: ObjectType,
    live: Option<Value>,
    time: u32,
}

impl World {
    fn new(group: &str, kind: &str) -> World {
        let ty = ObjectType::find(Schema::builtin(), group, "v1", kind).expect("a kind");
        World { ty, live: None, time: 0 }
    }

    fn now(&mut self) -> String {
        self.time += 1;
        format!("2026-01-01T00:00:{:02}Z", self.time)
    }

    fn try_apply(&mut self, manager: &str, conflicts: OnConflict, config: &Value) -> Result<(), ApplyError> {
        let time = self.now();
        let writer = Writer { manager, subresource: "", time: &time };
        let applier = Applier { writer, conflicts, reset: &[] };
        let live = self.live.as_ref().and_then(Value::as_object);
        let config = config.as_object().expect("an object");
        let applied = apply::apply(&self.ty, live, config, &applier, &|_, _| None)?;
        self.live = Some(Value::Object(applied));
        Ok(())
    }

    fn apply(&mut self, manager: &str, config: &Value) {
        self.try_apply(manager, OnConflict::Refuse, config).expect("no conflict");
    }

    fn update(&mut self, manager: &str, change: impl FnOnce(&mut Value)) {
        let time = self.now();
        let old = self.live.clone();
        let mut new = old.clone().expect("an object");
        change(&mut new);
        let writer = Writer { manager, subresource: "", time: &time };
        let fields = new.as_object_mut().expect("an object");
        managed::update(
            self.ty.schema(),
            self.ty.id(),
            old.as_ref().and_then(Value::as_object),
            fields,
            writer,
            &[],
            &managed::one_version,
        );
        self.live = Some(new);
    }

    fn at(&self, pointer: &str) -> Value {
        self.live.as_ref().and_then(|live| live.pointer(pointer)).cloned().unwrap_or(Value::Null)
    }

    /// By manager what it owns, and whether it applied.
    fn owners(&self) -> BTreeMap<String, Value> {
        let list = self.at("/metadata/managedFields");
        let each = list.as_array().into_iter().flatten();
        each.map(|one| (format!("{} {}", text(one, "manager"), text(one, "operation")), one["fieldsV1"].clone()))
            .collect()
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
}

fn data(names: &[&str]) -> Value {
    let fields: Map<String, Value> = names.iter().map(|name| (format!("f:{name}"), json!({}))).collect();
    json!({"f:data": fields})
}

#[test]
fn appliers_share_what_they_agree_on_and_refuse_the_rest() {
    let mut world = World::new("", "ConfigMap");
    world.apply("m1", &config_map(json!({"a": "1", "b": "1"})));
    world.apply("m2", &config_map(json!({"b": "1", "c": "2"})));
    assert_eq!(world.at("/data"), json!({"a": "1", "b": "1", "c": "2"}));
    let refused = world.try_apply("m3", OnConflict::Refuse, &config_map(json!({"a": "9", "b": "9"})));
    let message = "Apply failed with 3 conflicts: conflicts with \"m1\":\n- .data.a\n- .data.b\nconflicts with \"m2\":\n- .data.b";
    assert_eq!(refused.expect_err("others own it").to_string(), message);
    world.try_apply("m3", OnConflict::Take, &config_map(json!({"a": "9", "b": "9"}))).expect("forced");
    assert_eq!(world.at("/data"), json!({"a": "9", "b": "9", "c": "2"}));
    let expected = [("m2 Apply".to_owned(), data(&["c"])), ("m3 Apply".to_owned(), data(&["a", "b"]))];
    assert_eq!(world.owners(), BTreeMap::from(expected));
}

#[test]
fn what_is_applied_no_more_is_removed_unless_others_own_it() {
    let mut world = World::new("", "ConfigMap");
    world.apply("m1", &config_map(json!({"a": "1", "b": "1", "c": "1"})));
    world.apply("m2", &config_map(json!({"b": "1"})));
    world.update("u", |object| object["data"]["c"] = "2".into());
    world.apply("m1", &config_map(json!({})));
    assert_eq!(world.at("/data"), json!({"b": "1", "c": "2"}), "m2 has b, u took c over");
    world.apply("m2", &config_map(json!({})));
    assert_eq!(world.at("/data"), json!({"c": "2"}));
}

#[test]
fn an_update_takes_fields_and_applying_them_again_conflicts_with_it() {
    let mut world = World::new("", "ConfigMap");
    world.apply("m1", &config_map(json!({"a": "1"})));
    world.update("u", |object| object["data"]["a"] = "2".into());
    assert_eq!(world.owners(), BTreeMap::from([("u Update".to_owned(), data(&["a"]))]));
    let refused = world.try_apply("m1", OnConflict::Refuse, &config_map(json!({"a": "1"})));
    assert_eq!(
        refused.expect_err("u owns it").to_string(),
        "Apply failed with 1 conflict: conflict with \"u\" using v1: .data.a"
    );
}

#[test]
fn what_stands_for_a_number_or_a_text_is_owned_as_a_whole_whatever_it_is() {
    let budget = |least: Value| {
        let spec = json!({"minAvailable": least});
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": spec})
    };
    for odd in [json!([{}]), json!({}), json!({"a": {"b": 1}}), json!([null])] {
        let mut world = World::new("policy", "PodDisruptionBudget");
        world.apply("m1", &budget(json!(1)));
        let refused = world.try_apply("m2", OnConflict::Refuse, &budget(odd.clone())).expect_err("m1 owns it");
        assert_eq!(
            refused.to_string(),
            "Apply failed with 1 conflict: conflict with \"m1\": .spec.minAvailable",
            "{odd}"
        );
        // That it is neither is found when it is converted.
        world.try_apply("m2", OnConflict::Take, &budget(odd.clone())).expect("forced");
        let wanted = "json: cannot unmarshal ";
        let restored = sampan_schema::json::restore(world.ty.schema(), world.ty.id(), &world.at(""));
        assert!(restored.is_err_and(|error| error.starts_with(wanted)), "{odd}");
    }
}

#[test]
fn nothing_that_changes_leaves_the_times() {
    let mut world = World::new("", "ConfigMap");
    world.apply("m1", &config_map(json!({"a": "1"})));
    let before = world.live.clone();
    world.apply("m1", &config_map(json!({"a": "1"})));
    assert_eq!(world.live, before);
    // Owned together from now on, since a time that nothing changed at is none.
    world.apply("m2", &config_map(json!({"a": "1"})));
    let entry = world.at("/metadata/managedFields/0");
    assert_eq!((text(&entry, "manager"), entry.get("time")), ("m2", None));
}

#[test]
fn elements_of_lists_are_told_apart_by_their_keys() {
    let container = |name: &str, image: &str| json!({"name": name, "image": image});
    let of = |list: Value| deployment(json!({"template": {"spec": {"containers": list}}}));
    let mut world = World::new("apps", "Deployment");
    world.apply("m1", &of(json!([container("a", "1"), container("b", "1")])));
    world.apply("m2", &of(json!([container("c", "2"), container("a", "1")])));
    let names = |world: &World| -> Vec<String> {
        let list = world.at("/spec/template/spec/containers");
        list.as_array().into_iter().flatten().map(|one| text(one, "name").to_owned()).collect()
    };
    assert_eq!(names(&world), ["c", "a", "b"], "the applied order, the others in between");
    let refused = world.try_apply("m3", OnConflict::Refuse, &of(json!([container("b", "3")])));
    assert_eq!(
        refused.expect_err("m1 owns it").to_string(),
        "Apply failed with 1 conflict: conflict with \"m1\": .spec.template.spec.containers[name=\"b\"].image"
    );
    world.apply("m1", &of(json!([container("a", "1")])));
    assert_eq!(names(&world), ["c", "a"], "b was m1's alone");
}

#[test]
fn a_clients_last_applied_annotation_lets_kubectl_take_its_fields_over() {
    let annotated = |mut object: Value, last: &Value| {
        let text = format!("{last}\n");
        object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": text});
        object
    };
    let mut world = World::new("", "ConfigMap");
    let last = config_map(json!({"a": "1", "b": "1"}));
    let object = annotated(last.clone(), &last);
    world.live = Some(object);
    let writer = Writer { manager: "kubectl-client-side-apply", subresource: "", time: "2026-01-01T00:00:00Z" };
    let (schema, id) = (world.ty.schema().clone(), world.ty.id());
    managed::update(
        &schema,
        id,
        None,
        world.live.as_mut().and_then(Value::as_object_mut).expect("one"),
        writer,
        &[],
        &managed::one_version,
    );
    world.update("hpa", |object| object["data"]["b"] = "7".into());
    // What is still as it was applied goes over; what another changed since does not.
    let refused = world.try_apply("kubectl", OnConflict::Refuse, &config_map(json!({"a": "2", "b": "2"})));
    assert_eq!(
        refused.expect_err("hpa owns b").to_string(),
        "Apply failed with 1 conflict: conflict with \"hpa\" using v1: .data.b"
    );
    world.apply("kubectl", &config_map(json!({"a": "2<"})));
    assert_eq!(world.at("/data"), json!({"a": "2<", "b": "7"}));
    assert_eq!(
        world.at("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"),
        json!(
            "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\\u003c\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}\n"
        )
    );
}

#[test]
fn what_does_not_fit_its_type_is_refused_in_structured_merge_diffs_words() {
    let check = |config: Value, errors: &str| {
        let mut world = World::new("apps", "Deployment");
        let refused = world.try_apply("m", OnConflict::Refuse, &config).expect_err(errors);
        let expected = format!("failed to create typed patch object (/d; apps/v1, Kind=Deployment): {errors}");
        assert_eq!(refused.to_string(), expected);
    };
    check(deployment(json!({"bogus": 1})), ".spec.bogus: field not declared in schema");
    check(deployment(json!({"replicas": "x"})), ".spec.replicas: expected numeric (int or float), got string");
    check(deployment(json!({"paused": 1})), ".spec.paused: expected boolean, got &{1}");
    check(deployment(json!([1])), ".spec: expected map, got &{[1]}");
    let containers = |list: Value| deployment(json!({"template": {"spec": {"containers": list}}}));
    check(containers(json!({})), ".spec.template.spec.containers: expected list, got &{map[]}");
    check(
        containers(json!([{"name": "a"}, {"name": "a"}])),
        ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
    );
    check(
        containers(json!([{"image": 5}])),
        ".spec.template.spec.containers[name=\"\"].image: expected string, got &value.valueUnstructured{Value:5}",
    );
    check(
        containers(json!([{"name": "a", "image": 5, "command": [1.5]}])),
        "errors:\n  .spec.template.spec.containers[name=\"a\"].command[0]: expected string, got \
         &value.valueUnstructured{Value:1.5}\n  .spec.template.spec.containers[name=\"a\"].image: expected string, got \
         &value.valueUnstructured{Value:5}",
    );
    let mut world = World::new("", "ConfigMap");
    let mut managed = config_map(json!({}));
    managed["metadata"]["managedFields"] = json!([]);
    let refused = world.try_apply("m", OnConflict::Refuse, &managed).expect_err("managedFields");
    assert_eq!(refused.to_string(), "metadata.managedFields must be nil");
}

#[test]
fn an_untracked_object_belongs_to_whoever_was_before_the_first_apply() {
    let mut world = World::new("", "ConfigMap");
    world.live = Some(config_map(json!({"a": "1"})));
    world.apply("m", &config_map(json!({"b": "1"})));
    let expected = [
        ("before-first-apply Update".to_owned(), json!({"f:data": {".": {}, "f:a": {}}})),
        ("m Apply".to_owned(), data(&["b"])),
    ];
    assert_eq!(world.owners(), BTreeMap::from(expected));
}

#[test]
fn what_is_there_fits_the_version_that_is_applied_in() {
    let list = json!({"type": "array", "items": {"type": "integer"}, "x-kubernetes-list-type": "set"});
    let spec = json!({"type": "object", "properties": {"l": list, "a": {"type": "string"}}});
    let kinds = json!({"Widget": {"type": "object", "properties": {"spec": spec}}});
    let kinds = kinds.as_object().expect("kinds by name");
    let schema = Schema::extend(Schema::builtin(), "example.com", "v1", kinds, |kind| format!("{kind}List"));
    let schema = Arc::new(schema.expect("a structural schema"));
    let ty = ObjectType::find(&schema, "example.com", "v1", "Widget").expect("the kind");
    let mut world = World { ty, live: None, time: 0 };
    let widget = |spec: Value| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    world.apply("m", &widget(json!({"l": [1]})));
    // As a version without that rule may have stored it.
    world.live.as_mut().expect("an object")["spec"]["l"] = json!(["x"]);
    let refused = world.try_apply("m", OnConflict::Take, &widget(json!({"a": "1"}))).expect_err("it does not fit");
    let why = r#"(/w; example.com/v1, Kind=Widget): .spec.l[="x"]: expected numeric (int or float), got string"#;
    assert_eq!(refused.to_string(), format!("failed to create typed live object {why}"));
}

/// What pkg/schemaconv of kube-openapi makes of schemas that leave something open (recorded from kube-apiserver v1.35.0).
#[test]
fn what_a_schema_leaves_open_may_be_applied_and_is_owned_by_its_keys() {
    let keeps = "x-kubernetes-preserve-unknown-fields";
    let named = |properties: Value| json!({"type": "object", "properties": properties});
    let deep = json!({"r": {"type": "string"},
        "l": {"type": "array", "items": named(json!({"q": {"type": "string"}}))},
        "m": {"type": "object", "additionalProperties": named(json!({"z": {"type": "string"}}))}});
    let spec = named(json!({
        "keeps": {"type": "object", keeps: true, "properties": {"in": named(deep)}},
        "any": {"type": "object", "additionalProperties": true},
        "anys": {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": true}},
        "plain": {"type": "object"},
        "plains": {"type": "object", "additionalProperties": {"type": "object"}},
        "list": {"type": "array", "items": {"type": "object"}},
        "closed": {"type": "object", "additionalProperties": false},
        "free": {"type": "object", keeps: true},
        "number": {"x-kubernetes-int-or-string": true},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true, keeps: true,
            "properties": {"spec": named(json!({"a": {"type": "string"}}))}},
    }));
    let kinds = json!({"Widget": named(json!({"spec": spec}))});
    let kinds = kinds.as_object().expect("kinds by name");
    let schema = Schema::extend(Schema::builtin(), "example.com", "v1", kinds, |kind| format!("{kind}List"));
    let schema = Arc::new(schema.expect("a structural schema"));
    let ty = ObjectType::find(&schema, "example.com", "v1", "Widget").expect("the kind");
    let widget = |spec: &Value| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    let taken = |spec: Value, fields: Value| {
        let mut world = World { ty: ty.clone(), live: None, time: 0 };
        world.apply("m", &widget(&spec));
        let expected = [("m Apply".to_owned(), json!({"f:spec": fields}))];
        assert_eq!(world.owners(), BTreeMap::from(expected), "{spec}");
    };
    taken(json!({"keeps": {"in": {"s": 1}}}), json!({"f:keeps": {"f:in": {"f:s": {}}}}));
    taken(json!({"keeps": {"in": {"s": {"a": 1}}}}), json!({"f:keeps": {"f:in": {"f:s": {".": {}, "f:a": {}}}}}));
    taken(json!({"keeps": {"in": {"l": [{"w": 1}]}}}), json!({"f:keeps": {"f:in": {"f:l": {}}}}));
    let inner = json!({"f:keeps": {"f:in": {"f:m": {"f:a": {".": {}, "f:w": {}}}}}});
    taken(json!({"keeps": {"in": {"m": {"a": {"w": 1}}}}}), inner);
    taken(json!({"any": {"a": 1}}), json!({"f:any": {"f:a": {}}}));
    taken(json!({"any": {"a": [1]}}), json!({"f:any": {"f:a": {}}}));
    taken(json!({"any": {"a": {"b": 1}}}), json!({"f:any": {"f:a": {".": {}, "f:b": {}}}}));
    let inner = json!({"f:anys": {"f:a": {".": {}, "f:b": {".": {}, "f:c": {}}, "f:d": {}}}});
    taken(json!({"anys": {"a": {"b": {"c": 1}, "d": 2}}}), inner);
    taken(json!({"plain": {"a": {"b": [1]}}}), json!({"f:plain": {"f:a": {".": {}, "f:b": {}}}}));
    taken(json!({"plains": {"k": {"a": 1}}}), json!({"f:plains": {"f:k": {".": {}, "f:a": {}}}}));
    taken(json!({"list": [{"a": 1}]}), json!({"f:list": {}}));
    let refused = |spec: Value, errors: &str| {
        let mut world = World { ty: ty.clone(), live: None, time: 0 };
        let refused = world.try_apply("m", OnConflict::Refuse, &widget(&spec)).expect_err(errors);
        let expected = format!("failed to create typed patch object (/w; example.com/v1, Kind=Widget): {errors}");
        assert_eq!(refused.to_string(), expected);
    };
    refused(json!({"keeps": {"in": {"m": {"a": 3}}}}), ".spec.keeps.in.m.a: expected map, got &{3}");
    refused(json!({"closed": {"a": 1}}), ".spec.closed.a: field not declared in schema");
    refused(json!({"free": 5}), ".spec.free: expected map, got &{5}");
    refused(json!({"x": 1}), ".spec.x: field not declared in schema");
    // Metadata is described elsewhere, which nothing above changes.
    let embedded = json!({"template": {"spec": {"b": 1}, "foo": 1, "metadata": {"name": "x", "foo": 1}}});
    refused(embedded, ".spec.template.metadata.foo: field not declared in schema");
    // What stands in no form is taken, for validation to refuse.
    let mut world = World { ty: ty.clone(), live: None, time: 0 };
    world.apply("m", &widget(&json!({"number": {}})));
    // A value of another form takes the place of what is there.
    world.apply("m", &widget(&json!({"any": {"a": {"b": 1}}})));
    world.apply("m", &widget(&json!({"any": {"a": 1}})));
    assert_eq!(world.live.expect("an object")["spec"]["any"], json!({"a": 1}));
}
