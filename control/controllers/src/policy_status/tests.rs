use super::check::{kinds, warnings};
use super::schema::type_of;
use sampan_api::{GroupVersionKind, GroupVersionResource};
use sampan_cel::Type;
use sampan_client::{ApiResource, Discovery};
use serde_json::{Value, json};

fn kind(name: &str) -> GroupVersionKind {
    GroupVersionKind::parse("example.com/v1", name).expect("a kind")
}

/// Two kinds: a Widget, which has itself within itself, and a Gadget.
fn document() -> Value {
    let named = |name: &str| json!([{"group": "example.com", "version": "v1", "kind": name}]);
    let metadata =
        json!({"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}});
    json!({"components": {"schemas": {
        "Meta": metadata,
        "Spec": {"type": "object", "properties": {
            "replicas": {"type": "integer", "format": "int32"},
            "port": {"format": "int-or-string"},
            "size": {"oneOf": [{"type": "string"}, {"type": "number"}]},
            "inner": {"allOf": [{"$ref": "#/components/schemas/Spec"}], "description": "itself"},
        }},
        "Widget": {"type": "object", "x-kubernetes-group-version-kind": named("Widget"), "properties": {
            "metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}]},
            "spec": {"$ref": "#/components/schemas/Spec"},
        }},
        "Gadget": {"type": "object", "x-kubernetes-group-version-kind": named("Gadget"), "properties": {
            "metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}]},
            "spec": {"type": "object", "properties": {"replicas": {"type": "string"}}},
        }},
    }}})
}

fn types(names: &[&str]) -> Vec<(Type, GroupVersionKind)> {
    names.iter().map(|name| (type_of(&document(), &kind(name)).expect("described"), kind(name))).collect()
}

#[test]
fn expressions_are_checked_against_each_kind() {
    let check = |names: &[&str], spec: Value, expected: &[(&str, &str)]| {
        let found = warnings(&spec, &types(names), None);
        let found: Vec<(&str, &str)> = found.iter().map(|one| (one.field.as_str(), one.text.as_str())).collect();
        assert_eq!(found, expected, "{spec}");
    };
    let one = |expression: &str| json!({"validations": [{"expression": expression}]});
    check(&["Widget"], one("object.spec.replicas > 1"), &[]);
    check(&["Widget"], one("object.metadata.name == 'a' && object.kind == 'Widget'"), &[]);
    check(&["Widget"], one("object.spec.port == 1 || object.spec.port == 'http'"), &[]);
    check(
        &["Widget"],
        one("object.spec.inner.replicas == 1 && has(oldObject.spec)"),
        &[(
            "spec.validations[0].expression",
            "example.com/v1, Kind=Widget: ERROR: <input>:1:18: undefined field 'replicas'\n | object.spec.inner.replicas == 1 && has(oldObject.spec)\n | .................^\n",
        )],
    );
    check(
        &["Widget"],
        one("object.spec.size == 'a'"),
        &[(
            "spec.validations[0].expression",
            "example.com/v1, Kind=Widget: ERROR: <input>:1:12: undefined field 'size'\n | object.spec.size == 'a'\n | ...........^\n",
        )],
    );
    check(
        &["Gadget", "Widget"],
        one("object.spec.replicas > 1"),
        &[(
            "spec.validations[0].expression",
            "example.com/v1, Kind=Gadget: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(string, int)'\n | object.spec.replicas > 1\n | .....................^\n",
        )],
    );
    check(
        &["Gadget", "Widget"],
        one("object.no"),
        &[(
            "spec.validations[0].expression",
            "example.com/v1, Kind=Gadget: ERROR: <input>:1:7: undefined field 'no'\n | object.no\n | ......^\n\nexample.com/v1, Kind=Widget: ERROR: <input>:1:7: undefined field 'no'\n | object.no\n | ......^\n",
        )],
    );
    let told = json!({"validations": [{"expression": "true", "messageExpression": "object.spec.no"}]});
    check(
        &["Widget"],
        told,
        &[(
            "spec.validations[0].messageExpression",
            "example.com/v1, Kind=Widget: ERROR: <input>:1:12: undefined field 'no'\n | object.spec.no\n | ...........^\n",
        )],
    );
    let variables = json!({
        "variables": [{"name": "n", "expression": "object.spec.replicas"}, {"name": "s", "expression": "object.spec"}],
        "validations": [{"expression": "variables.n.startsWith('a')"}, {"expression": "variables.s.any == 1"}],
    });
    check(
        &["Widget"],
        variables,
        &[(
            "spec.validations[0].expression",
            "example.com/v1, Kind=Widget: ERROR: <input>:1:23: found no matching overload for 'startsWith' applied to 'int.(string)'\n | variables.n.startsWith('a')\n | ......................^\n",
        )],
    );
    check(
        &["Widget"],
        one("params.x == 1"),
        &[(
            "spec.validations[0].expression",
            "example.com/v1, Kind=Widget: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.x == 1\n | ^\n",
        )],
    );
    check(&[], one("object.no"), &[]);
}

#[test]
fn parameters_have_the_type_of_their_kind() {
    let params = type_of(&document(), &kind("Gadget")).expect("described");
    let spec =
        json!({"validations": [{"expression": "params.spec.replicas == 'a'"}, {"expression": "params.spec.no"}]});
    let found = warnings(&spec, &types(&["Widget"]), Some(&params));
    assert_eq!(found.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["spec.validations[1].expression"]);
}

#[test]
fn kinds_are_those_that_rules_name() {
    let served = |resource: &str, kind: &str| ApiResource {
        resource: GroupVersionResource::new("example.com", "v1", resource),
        kind: kind.into(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        verbs: Vec::new(),
        subresources: Vec::new(),
    };
    let discovery =
        Discovery { resources: vec![served("widgets", "Widget"), served("gadgets", "Gadget")], stale: Vec::new() };
    let check = |groups: &[&str], versions: &[&str], resources: &[&str], expected: &[&str]| {
        let rule = json!({"apiGroups": groups, "apiVersions": versions, "resources": resources});
        let found = kinds(&json!({"matchConstraints": {"resourceRules": [rule]}}), &discovery);
        let found: Vec<&str> = found.iter().map(|kind| kind.kind.as_str()).collect();
        assert_eq!(found, expected, "{groups:?} {versions:?} {resources:?}");
    };
    check(&["example.com"], &["v1"], &["widgets", "gadgets"], &["Gadget", "Widget"]);
    check(&["example.com", "other"], &["v1", "v2"], &["widgets"], &["Widget"]);
    check(&["*"], &["v1"], &["widgets"], &[]);
    check(&["example.com"], &["v1", "*"], &["widgets"], &[]);
    check(&["example.com"], &["v1"], &["widgets", "*", "gadgets/status"], &["Widget"]);
}

#[test]
fn schemas_that_grow_without_end_are_none() {
    let mut schemas = serde_json::Map::new();
    for at in 0..40 {
        let next = json!({"$ref": format!("#/components/schemas/S{}", at + 1)});
        let schema = json!({"type": "object", "properties": {"a": next, "b": next}});
        schemas.insert(format!("S{at}"), schema);
    }
    schemas.insert("S40".into(), json!({"type": "string"}));
    schemas["S0"]["x-kubernetes-group-version-kind"] =
        json!([{"group": "example.com", "version": "v1", "kind": "Big"}]);
    assert!(type_of(&json!({"components": {"schemas": schemas}}), &kind("Big")).is_none());
}
