//! Types out of structural schemas: what is pruned, defaulted and refused, in Kubernetes' words.

use std::sync::Arc;

use sampan_schema::{ObjectType, Schema, default, json, values};
use serde_json::{Value, json as value};

fn ty(definition: Value) -> ObjectType {
    let kinds = value!({"Widget": definition});
    let kinds = kinds.as_object().expect("kinds by name");
    let schema = Schema::extend(Schema::builtin(), "example.com", "v1", kinds, |kind| format!("{kind}List"));
    ObjectType::find(&Arc::new(schema.expect("a structural schema")), "example.com", "v1", "Widget").expect("the kind")
}

/// A type whose `spec` has that schema.
fn of_spec(spec: Value) -> ObjectType {
    ty(value!({"type": "object", "properties": {"spec": spec}}))
}

/// What decoding and defaulting make of a `spec`, and what they drop.
fn taken(ty: &ObjectType, spec: Value) -> (Value, Vec<String>) {
    let body = value!({"metadata": {"name": "a"}, "spec": spec});
    let decoded = json::from_value(ty.schema(), ty.id(), &body).expect("decodes");
    let mut object = decoded.value;
    default::apply(ty.schema(), ty.id(), object.as_object_mut().expect("an object")).expect("short");
    (object["spec"].take(), decoded.problems.iter().map(|problem| problem.path.clone()).collect())
}

#[test]
fn what_is_not_described_is_pruned_and_what_is_kept_stays() {
    let check = |schema: Value, sent: Value, kept: Value, dropped: &[&str]| {
        let (found, problems) = taken(&of_spec(schema.clone()), sent);
        assert_eq!((found, problems), (kept, dropped.iter().map(ToString::to_string).collect()), "{schema}");
    };
    let object = value!({"type": "object", "properties": {"a": {"type": "string"}}});
    check(object.clone(), value!({"z": 1, "a": "x", "b": {"c": 1}}), value!({"a": "x"}), &["spec.b", "spec.z"]);
    check(value!({"type": "object"}), value!({"a": 1}), value!({}), &["spec.a"]);
    check(
        value!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"in": object}}),
        value!({"any": [1, null], "in": {"a": "x", "b": 1}}),
        value!({"any": [1, null], "in": {"a": "x"}}),
        &["spec.in.b"],
    );
    let matrix = value!({"type": "array", "items": {"type": "array", "items": object}});
    let of_matrix = value!({"type": "object", "properties": {"m": matrix}});
    check(of_matrix, value!({"m": [[{"a": "x", "b": 1}], []]}), value!({"m": [[{"a": "x"}], []]}), &["spec.m[0][0].b"]);
    let maps = value!({"type": "object", "additionalProperties": {"type": "object", "additionalProperties": object}});
    check(maps, value!({"k": {"l": {"a": "x", "b": 1}}}), value!({"k": {"l": {"a": "x"}}}), &["spec.k.l.b"]);
    // Of a wrong type: validation's to refuse, and nothing describes what stands in it.
    check(object, value!({"a": {"b": [1.5]}}), value!({"a": {}}), &["spec.a.b"]);
    let list = value!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}}}});
    check(list.clone(), value!({"l": {"k": 1}}), value!({"l": {}}), &["spec.l.k"]);
    check(list, value!({"l": [[{"k": 1}, 2]]}), value!({"l": [[{}, 2]]}), &["spec.l[0][0].k"]);
    check(
        value!({"type": "object", "properties": {"n": {"type": "string", "nullable": true}, "s": {"type": "string"}}}),
        value!({"n": null, "s": null}),
        value!({"n": null}),
        &[],
    );
    // Nothing is said of what is in it: null stays, and of what stands deeper nothing does.
    let open = value!({"type": "object", "additionalProperties": true});
    let sent = value!({"a": null, "b": {"c": null}, "d": 1});
    check(open.clone(), sent.clone(), value!({"a": null, "b": {}, "d": 1}), &["spec.b.c"]);
    check(
        value!({"type": "object", "additionalProperties": open}),
        value!({"a": null, "k": sent}),
        value!({"k": {"a": null, "b": {}, "d": 1}}),
        &["spec.k.b.c"],
    );
    check(
        value!({"type": "array", "items": {"type": "object", "additionalProperties": true}}),
        value!([{"a": null}]),
        value!([{"a": null}]),
        &[],
    );
    check(
        value!({"type": "object", "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true}}),
        value!({"a": null, "b": {"c": null}}),
        value!({"b": {"c": null}}),
        &[],
    );
}

#[test]
fn defaults_fill_what_is_absent_and_nulls_that_may_not_be() {
    let check = |schema: Value, sent: Value, expected: Value| {
        assert_eq!(taken(&of_spec(schema.clone()), sent).0, expected, "{schema}");
    };
    let of = |properties: Value| value!({"type": "object", "properties": properties});
    let text = |more: Value| {
        let mut schema = value!({"type": "string", "default": "d"});
        schema.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        schema
    };
    check(of(value!({"a": text(value!({}))})), value!({}), value!({"a": "d"}));
    check(of(value!({"a": text(value!({}))})), value!({"a": ""}), value!({"a": ""}));
    check(of(value!({"a": text(value!({}))})), value!({"a": null}), value!({"a": "d"}));
    check(of(value!({"a": text(value!({"nullable": true}))})), value!({"a": null}), value!({"a": null}));
    let list = value!({"type": "array", "items": of(value!({"x": text(value!({}))})), "default": []});
    check(of(value!({"l": list})), value!({}), value!({"l": []}));
    check(of(value!({"l": list})), value!({"l": [{}, {"x": "y"}]}), value!({"l": [{"x": "d"}, {"x": "y"}]}));
    let map = value!({"type": "object", "additionalProperties": text(value!({}))});
    check(of(value!({"m": map})), value!({"m": {"k": null, "l": "v"}}), value!({"m": {"k": "d", "l": "v"}}));
    let rows = value!({"type": "array", "items": {"type": "array", "items": of(value!({"x": text(value!({}))}))}});
    check(of(value!({"rows": rows})), value!({"rows": [[{}]]}), value!({"rows": [[{"x": "d"}]]}));
    let outer = value!({"type": "object", "default": {}, "properties": {"x": text(value!({}))}});
    check(of(value!({"o": outer})), value!({}), value!({"o": {"x": "d"}}));
}

fn errors(schema: &Value, spec: &Value, old: Option<&Value>) -> Vec<String> {
    let ty = of_spec(schema.clone());
    let object = |spec: &Value| value!({"spec": spec}).as_object().expect("an object").clone();
    let (object, old) = (object(spec), old.map(object));
    let found = values::validate(ty.schema(), ty.id(), &object, old.as_ref());
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn values_are_refused_in_the_words_of_kube_openapi() {
    let check = |schema: Value, spec: Value, expected: &[&str]| {
        assert_eq!(errors(&schema, &spec, None), expected, "{schema} {spec}");
    };
    check(
        value!({"type": "string"}),
        value!(5),
        &[r#"spec: Invalid value: "integer": spec in body must be of type string: "integer""#],
    );
    check(value!({"type": "integer"}), value!(1.0), &[]);
    check(value!({"type": "object", "additionalProperties": true}), value!({"a": 1, "b": [2], "c": {}}), &[]);
    check(
        value!({"type": "number", "minimum": 2}),
        value!(-1e10),
        &["spec: Invalid value: -1e+10: spec in body should be greater than or equal to 2"],
    );
    check(
        value!({"type": "integer"}),
        value!(1.5),
        &[r#"spec: Invalid value: "number": spec in body must be of type integer: "number""#],
    );
    check(value!({"type": "number"}), value!(1), &[]);
    check(
        value!({"type": "integer", "minimum": 3, "multipleOf": 2}),
        value!(1),
        &[
            "spec: Invalid value: 1: spec in body should be a multiple of 2",
            "spec: Invalid value: 1: spec in body should be greater than or equal to 3",
        ],
    );
    check(value!({"type": "number", "multipleOf": 0.5}), value!(1e15), &[]);
    check(
        value!({"type": "number", "multipleOf": 0.5}),
        value!(1e20),
        &["spec: Invalid value: 1e+20: spec in body should be a multiple of 0.5"],
    );
    check(
        value!({"type": "number", "maximum": 0.5, "exclusiveMaximum": true}),
        value!(0.5),
        &["spec: Invalid value: 0.5: spec in body should be less than 0.5"],
    );
    check(value!({"type": "string", "maxLength": 2}), value!("abc"), &["spec: Too long: may not be more than 2 bytes"]);
    check(
        value!({"type": "string", "minLength": 2, "pattern": "^b"}),
        value!("a"),
        &[r#"spec: Invalid value: "a": spec in body should be at least 2 chars long"#],
    );
    check(
        value!({"type": "string", "pattern": "^[a-z]+$"}),
        value!("A"),
        &[r#"spec: Invalid value: "A": spec in body should match '^[a-z]+$'"#],
    );
    check(
        value!({"type": "string", "enum": ["a", "b"]}),
        value!("c"),
        &[r#"spec: Unsupported value: "c": supported values: "a", "b""#],
    );
    check(
        value!({"type": "string", "format": "date-time"}),
        value!("x"),
        &[r#"spec: Invalid value: "x": spec in body must be of type date-time: "x""#],
    );
    check(value!({"type": "integer", "format": "int32"}), value!(3_000_000_000_i64), &[]);
    check(value!({"x-kubernetes-int-or-string": true}), value!("x"), &[]);
    check(
        value!({"x-kubernetes-int-or-string": true}),
        value!(true),
        &[r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#],
    );
    check(
        value!({"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 1}),
        value!([1, "x"]),
        &[
            r#"spec[1]: Invalid value: "string": spec[1] in body must be of type integer: "string""#,
            "spec: Invalid value: 2: spec in body should have at least 3 items",
            "spec: Too many: 2: must have at most 1 item",
        ],
    );
    check(
        value!({"type": "object", "required": ["b", "a"], "properties": {"a": {"type": "string"}}}),
        value!({}),
        &["spec.b: Required value", "spec.a: Required value"],
    );
    let one_of = value!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    check(one_of.clone(), value!({"a": "x"}), &[]);
    check(
        one_of,
        value!({"a": "x", "b": "y"}),
        &[
            r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
        ],
    );
    check(
        value!({"type": "string", "not": {"enum": ["x"]}}),
        value!("x"),
        &[r#"<nil>: Invalid value: "": "spec" must not validate the schema (not)"#],
    );
    check(
        value!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]}),
        value!(3),
        &[
            r#"<nil>: Invalid value: "": "spec" must validate at least one schema (anyOf)"#,
            "spec: Invalid value: 3: spec in body should be greater than or equal to 5",
        ],
    );
}

/// Metadata is decoded by itself, and what an embedded resource is by hand: as v1.35 answers.
#[test]
fn what_cannot_be_read_is_refused_where_kubernetes_reads_it() {
    let embedded =
        value!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"q": {"type": "string"}}});
    let ty = of_spec(embedded);
    let check = |body: Value, text: &str| {
        let body = body.to_string();
        let error = json::decode(ty.schema(), ty.id(), body.as_bytes()).expect_err(&body).to_string();
        assert!(error.ends_with(text), "{body}: {error}");
    };
    let number = "json: cannot unmarshal number into Go";
    check(
        value!({"metadata": {"labels": 5}}),
        &format!("{number} struct field ObjectMeta.labels of type map[string]string"),
    );
    check(
        value!({"metadata": {"ownerReferences": [{"kind": 5}]}}),
        &format!("{number} struct field OwnerReference.ownerReferences.kind of type string"),
    );
    check(value!({"metadata": 5}), &format!("{number} value of type v1.ObjectMeta"));
    check(value!({"spec": {"apiVersion": 5}}), "spec.apiVersion: Invalid value: 5: must be a string");
    check(value!({"spec": {"kind": 5}}), "spec.kind: Invalid value: 5: must be a string");
    check(
        value!({"spec": {"metadata": 5}}),
        &format!("spec.metadata: Invalid value: 5: {number} value of type v1.ObjectMeta"),
    );
}

#[test]
fn what_was_wrong_and_is_as_it_was_is_no_error_of_a_change() {
    let schema = value!({"type": "object", "properties": {
        "a": {"type": "string", "maxLength": 1}, "b": {"type": "string"},
        "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 1}}}},
        "s": {"type": "array", "items": {"type": "integer", "maximum": 1}}}});
    let check = |spec: Value, old: Value, expected: usize| {
        assert_eq!(errors(&schema, &spec, Some(&old)).len(), expected, "{spec} {old}");
    };
    check(value!({"a": "long", "b": "y"}), value!({"a": "long", "b": "x"}), 0);
    check(value!({"a": "longer", "b": "y"}), value!({"a": "long", "b": "x"}), 1);
    let by_keys = |one: i64, two: i64| value!({"l": [{"k": "a", "v": one}, {"k": "b", "v": two}]});
    check(by_keys(5, 1), by_keys(5, 0), 0);
    check(by_keys(5, 6), by_keys(5, 0), 1);
    check(value!({"s": [5, 0]}), value!({"s": [5, 1]}), 1);
    check(value!({"s": [5, 1], "b": "y"}), value!({"s": [5, 1]}), 0);
}

#[test]
fn sets_and_keys_stand_once_and_embedded_resources_are_whole() {
    let ty = of_spec(value!({"type": "object", "properties": {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true}}}));
    let object = value!({"spec": {"set": ["a", "b", "a", "a"], "map": [{"k": "x"}, {"k": "x"}],
        "template": {"kind": "", "spec": {"x": 1}}}});
    let object = object.as_object().expect("an object");
    let texts = |errors: sampan_api::field::FieldErrors| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        texts(values::repeated(ty.schema(), ty.id(), object)),
        [r#"spec.map[1]: Duplicate value: {"k":"x"}"#, r#"spec.set[2]: Duplicate value: "a""#]
    );
    let metadata = |_: &serde_json::Map<String, Value>, _: &sampan_api::field::Path| Default::default();
    assert_eq!(
        texts(values::embedded(ty.schema(), ty.id(), object, &metadata)),
        ["spec.template.apiVersion: Required value", r#"spec.template.kind: Invalid value: "": must not be empty"#]
    );
}
