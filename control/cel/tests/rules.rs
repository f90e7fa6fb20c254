//! Rules of definitions: what is told when they are written, and what they let pass.

use sampan_api::field::{FieldErrors, Path};
use sampan_cel::rules::{Rules, check};
use serde_json::{Value as Json, json};

fn written(schema: Json) -> Vec<String> {
    let mut errors = FieldErrors::new();
    check(&schema, &Path::new("schema"), &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

fn spec(properties: Json, rules: Json) -> Json {
    json!({"type": "object", "properties": {"spec": {
        "type": "object", "properties": properties, "x-kubernetes-validations": rules,
    }}})
}

fn ran(schema: &Json, object: Json, old: Option<Json>) -> Vec<String> {
    let rules = Rules::compile(schema).expect("there are rules");
    rules.validate(&object, old.as_ref()).errors.iter().map(ToString::to_string).collect()
}

#[test]
fn rules_decide_over_objects() {
    let two = json!({"a": {"type": "integer"}, "b": {"type": "integer"}, "s": {"type": "string", "maxLength": 9}});
    let check = |rule: Json, object: Json, old: Option<Json>, expected: &[&str]| {
        let old = old.map(|old| json!({"spec": old}));
        assert_eq!(ran(&spec(two.clone(), json!([rule])), json!({"spec": object}), old), *expected, "{rule} {object}");
    };
    let less = json!({"rule": "self.a < self.b", "message": "a must be less than b"});
    check(less.clone(), json!({"a": 1, "b": 2}), None, &[]);
    check(less.clone(), json!({"a": 2, "b": 1}), None, &["spec: Invalid value: a must be less than b"]);
    let missing = "spec: Invalid value: \"object\": no such key: b evaluating rule: a must be less than b";
    check(less.clone(), json!({"a": 2}), None, &[missing]);
    // What is as it was is let be; a change elsewhere in the same object is not.
    check(less.clone(), json!({"a": 2, "b": 1}), Some(json!({"a": 2, "b": 1})), &[]);
    check(
        less,
        json!({"a": 3, "b": 1}),
        Some(json!({"a": 2, "b": 1})),
        &["spec: Invalid value: a must be less than b"],
    );
    let grows = json!({"rule": "self.a >= oldSelf.a", "message": "no decrease"});
    check(grows.clone(), json!({"a": 1}), None, &[]);
    check(grows, json!({"a": 1}), Some(json!({"a": 2})), &["spec: Invalid value: no decrease"]);
    let optional = json!({"rule": "oldSelf.hasValue() || self.a == 1", "optionalOldSelf": true});
    check(
        optional.clone(),
        json!({"a": 2}),
        None,
        &["spec: Invalid value: failed rule: oldSelf.hasValue() || self.a == 1"],
    );
    check(optional, json!({"a": 2}), Some(json!({"a": 3})), &[]);
    let told = json!({"rule": "self.a == 1", "messageExpression": "'a is ' + string(self.a)", "reason": "FieldValueForbidden", "fieldPath": ".a"});
    check(told, json!({"a": 2}), None, &["spec.a: Forbidden: a is 2"]);
    let required =
        json!({"rule": "has(self.s)", "reason": "FieldValueRequired", "fieldPath": "['s']", "message": "say it"});
    check(required, json!({"a": 2}), None, &["spec.s: Required value: say it"]);
}

#[test]
fn members_of_maps_lists_and_keyed_lists_have_rules_of_their_own() {
    let schema = json!({"type": "object", "properties": {
        "map": {"type": "object", "additionalProperties": {"type": "string", "x-kubernetes-validations": [{"rule": "self != 'bad'"}]}},
        "list": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0", "message": "positive"}]}},
        "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
            "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.v == oldSelf.v", "message": "fixed"}]}},
    }});
    let object = json!({"map": {"x": "bad"}, "list": [1, 0], "keyed": [{"k": "b", "v": 2}, {"k": "a", "v": 9}]});
    let old = json!({"keyed": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]});
    let expected = [
        "keyed[1]: Invalid value: fixed",
        "list[1]: Invalid value: 0: positive",
        "map[x]: Invalid value: \"bad\": failed rule: self != 'bad'",
    ];
    assert_eq!(ran(&schema, object, Some(old)), expected);
}

#[test]
fn what_is_wrong_with_a_rule_is_told_when_it_is_written() {
    let check = |properties: Json, rule: Json, expected: &str| {
        let found = written(spec(properties, json!([rule])));
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        assert!(
            found[0].starts_with(&format!("schema.properties[spec].x-kubernetes-validations[0].{expected}")),
            "{}",
            found[0]
        );
    };
    let int = || json!({"a": {"type": "integer"}});
    check(int(), json!({"rule": " "}), "rule: Required value: rule is not specified");
    check(
        int(),
        json!({"rule": "true", "message": " "}),
        "message: Invalid value: \" \": must be non-empty if specified",
    );
    check(int(), json!({"rule": "true", "reason": "X"}), "reason: Unsupported value: \"X\"");
    check(
        int(),
        json!({"rule": "true", "fieldPath": ".zz"}),
        "fieldPath: Invalid value: \".zz\": must be a valid path",
    );
    check(
        int(),
        json!({"rule": "true", "optionalOldSelf": true}),
        "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
    );
    check(
        int(),
        json!({"rule": "self.a + 1"}),
        "rule: Invalid value: {\"Rule\":\"self.a + 1\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: cel expression must evaluate to a bool",
    );
    check(
        int(),
        json!({"rule": "self.b > 1"}),
        "rule: Invalid value: {\"Rule\":\"self.b \\u003e 1\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:5: undefined field 'b'",
    );
    check(int(), json!({"rule": "true", "messageExpression": "self.a"}), "messageExpression: Invalid value: ");
    let costly = json!({"l": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}});
    let found = written(spec(costly, json!([{"rule": "self.l.all(a, a.all(b, b != 'x'))"}])));
    assert!(
        found[0].contains("Forbidden: estimated rule cost exceeds budget by factor of more than 100x"),
        "{found:?}"
    );
    assert!(
        found.last().is_some_and(
            |last| last.starts_with("schema: Forbidden: x-kubernetes-validations estimated rule cost total")
        ),
        "{found:?}"
    );
    let loose = json!({"type": "object", "properties": {"l": {"type": "array", "maxItems": 3, "items": {
        "type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}});
    let found = written(loose);
    assert!(
        found[0]
            .contains("oldSelf cannot be used on the uncorrelatable portion of the schema within schema.properties[l]"),
        "{found:?}"
    );
}
