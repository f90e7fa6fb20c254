//! OpenAPI's definitions of custom kinds, as k8s.io/apiextensions-apiserver publishes them.

use sampan_schema::openapi::{Definitions, Dialect};
use sampan_schema::{ObjectType, Schema};
use serde_json::{Map, Value, json};

fn published(dialect: Dialect, definition: Value) -> Map<String, Value> {
    let kinds = Map::from_iter([("Widget".to_owned(), definition)]);
    let schema = Schema::extend(Schema::builtin(), "example.com", "v1", &kinds, |kind| format!("{kind}List"));
    let schema = schema.expect("a structural schema").into();
    let ty = ObjectType::find(&schema, "example.com", "v1", "Widget").expect("the kind");
    let mut definitions = Definitions::new(dialect);
    assert_eq!(definitions.add(&ty), "com.example.v1.Widget");
    let mut all = Map::new();
    definitions.each(|name, value| drop(all.insert(name.to_owned(), value)));
    all
}

/// The properties of `spec` in both dialects.
fn check(spec: Value, v3: Value, v2: Value) {
    let definition = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}});
    for (dialect, expected) in [(Dialect::V3, v3), (Dialect::V2, v2)] {
        let all = published(dialect, definition.clone());
        let found = &all["com.example.v1.Widget"]["properties"]["spec"]["properties"];
        assert_eq!(found, &expected, "{dialect:?}");
    }
}

#[test]
fn what_a_schema_says_is_published() {
    let same = |spec: Value| check(spec.clone(), spec.clone(), spec);
    same(json!({"a": {
        "type": "string",
        "description": "A text.",
        "title": "t",
        "example": 1,
        "format": "date",
        "pattern": "^x$",
        "minLength": 1,
        "maxLength": 9,
        "enum": ["x", "y"],
    }}));
    same(json!({"n": {"type": "number", "minimum": 0, "maximum": 1.5, "multipleOf": 0.5, "exclusiveMaximum": true}}));
    same(json!({"l": {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "maxItems": 3,
        "items": {
            "type": "object",
            "description": "One.",
            "required": ["k"],
            "properties": {"k": {"type": "string"}, "deep": {"type": "array", "items": {"type": "array", "items": {"type": "integer", "format": "int64"}}}},
            "x-kubernetes-validations": [{"rule": "self.k != ''"}],
        },
    }}));
    same(
        json!({"m": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string", "maxLength": 3}}}),
    );
    same(json!({"o": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"x": {"type": "boolean"}}}}));
}

/// v2 knows no null, no alternatives, and no object of which only a part is known.
#[test]
fn what_v2_cannot_say_is_left_out_of_it() {
    let alternatives = json!([{"type": "integer"}, {"type": "string"}]);
    check(
        json!({"p": {"x-kubernetes-int-or-string": true}}),
        json!({"p": {"x-kubernetes-int-or-string": true, "anyOf": alternatives}}),
        json!({"p": {"x-kubernetes-int-or-string": true}}),
    );
    check(
        json!({"p": {"type": "object", "nullable": true, "properties": {"x": {"type": "string"}}}}),
        json!({"p": {"type": "object", "nullable": true, "properties": {"x": {"type": "string"}}}}),
        json!({"p": {}}),
    );
    let keeps = json!({"p": {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"x": {"type": "string"}},
    }});
    check(keeps.clone(), keeps, json!({"p": {"x-kubernetes-preserve-unknown-fields": true}}));
    let one_of = json!({"p": {
        "type": "object",
        "properties": {"x": {"type": "string"}},
        "oneOf": [{"required": ["x"]}, {"not": {"required": ["x"]}}],
    }});
    check(one_of.clone(), one_of, json!({"p": {"type": "object", "properties": {"x": {"type": "string"}}}}));
}

#[test]
fn an_embedded_resource_has_a_type_of_its_own_words() {
    let template = |more: Value| {
        let mut template = json!({"type": "object", "x-kubernetes-embedded-resource": true});
        template.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"t": template}}}})
    };
    let of = |dialect: Dialect, more: Value| {
        published(dialect, template(more))["com.example.v1.Widget"]["properties"]["spec"]["properties"]["t"].clone()
    };
    for dialect in [Dialect::V2, Dialect::V3] {
        let found = of(
            dialect,
            json!({"required": ["kind", "spec"], "properties": {
                "spec": {"type": "object"}, "kind": {"type": "string", "description": "mine", "pattern": "x"}}}),
        );
        assert_eq!(found["required"], json!(["kind", "spec", "apiVersion"]), "{dialect:?}");
        let kind = found["properties"]["kind"].as_object().expect("an object");
        assert_eq!(kind.len(), 2);
        assert!(
            kind["description"].as_str().is_some_and(|text| text.starts_with("kind is a string value representing"))
        );
    }
    let keeps = || json!({"x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(of(Dialect::V3, keeps())["required"], json!(["kind", "apiVersion"]));
    assert!(of(Dialect::V2, keeps()).get("required").is_none(), "kubectl would refuse what is unknown");
}

#[test]
fn v2_tells_no_defaults() {
    let with = |default: bool| {
        let mut text = json!({"type": "string"});
        let mut of = json!({"type": "object", "properties": {}});
        if default {
            text["default"] = "x".into();
            of["default"] = json!({});
        }
        of["properties"]["t"] = text;
        json!({"o": of})
    };
    check(with(true), with(true), with(false));
}

#[test]
fn kinds_have_their_metadata_and_names() {
    let definition = json!({
        "type": "object",
        "description": "A widget.",
        "required": ["spec"],
        "properties": {"spec": {"type": "object", "nullable": true}, "metadata": {"type": "object"}},
    });
    let all = published(Dialect::V3, definition.clone());
    let widget = &all["com.example.v1.Widget"];
    assert_eq!(widget["description"], "A widget.");
    assert_eq!(widget["required"], json!(["spec"]));
    let names = json!([{"group": "example.com", "version": "v1", "kind": "Widget"}]);
    assert_eq!(widget["x-kubernetes-group-version-kind"], names);
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let reference = json!([{"$ref": format!("#/components/schemas/{meta}")}]);
    assert_eq!(widget["properties"]["metadata"]["allOf"], reference);
    assert!(widget["properties"]["kind"]["description"].is_string());
    assert!(all.contains_key(meta) && all.contains_key("io.k8s.apimachinery.pkg.apis.meta.v1.Time"));
    assert!(published(Dialect::V2, definition)["com.example.v1.Widget"].get("required").is_none());

    // Of a kind whose unknown fields are kept, v2 tells nothing: kubectl would refuse them.
    let keeps = json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"spec": {"type": "string"}},
    });
    let names = json!({"type": "object", "x-kubernetes-group-version-kind": names});
    assert_eq!(published(Dialect::V2, keeps)["com.example.v1.Widget"], names);
}
