//! Expressions that make changes: what they may be, and what comes of them (k8s.io/apiserver/pkg/cel/mutation).

use sampan_cel::{Environment, Inputs, Program, Type, Value, admission, patch};
use serde_json::{Value as Json, json};

fn environment() -> Environment {
    Environment::from([("object".into(), Type::Dyn)]).with_patches()
}

/// What `read` makes of an expression's value, over this object.
fn made<T>(text: &str, object: &Json, read: fn(&Value<'_>) -> Result<T, String>) -> Result<T, String> {
    let program = Program::compile(text, &environment()).map_err(|issues| issues.to_string())?;
    let inputs = Inputs::new([("object", Value::of_json(object))]);
    let (value, _) = program.run(&inputs, u64::MAX);
    read(&value.map_err(|error| error.to_string())?)
}

#[test]
fn values_are_made_of_objects() {
    let object = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 3}});
    let check = |text: &str, expected: Json| {
        let found = made(text, &object, |value| value.to_json());
        assert_eq!(found, Ok(expected), "{text}");
    };
    check("Object{}", json!({}));
    check("Object{spec: Object.spec{replicas: 3}}", json!({"spec": {"replicas": 3}}));
    check(
        "Object{spec: Object.spec{template: Object.spec.template{containers: [Object.spec.template.containers.item{name: 'nginx', args: ['-g']}]}}}",
        json!({"spec": {"template": {"containers": [{"name": "nginx", "args": ["-g"]}]}}}),
    );
    check("Object{intList: [1, 2, 3]}", json!({"intList": [1, 2, 3]}));
    check("Object{annotations: {'foo': 'bar'}}", json!({"annotations": {"foo": "bar"}}));
    check("Object{intList: [1, 2, 3]}.intList.sum()", json!(6));
    check("Object{labels: object.metadata.labels}", json!({"labels": {"a": "b"}}));
    check("Object{spec: Object.spec{replicas: 3}} == Object{spec: Object.spec{replicas: 1 + 2}}", json!(true));
    check("Object{a: 1} == Object{a: 2}", json!(false));
    check("Object{?existing: optional.none()}", json!({}));
    check("Object{?existing: object.spec.?replicas}", json!({"existing": 3}));
    check("Object{?spec: optional.ofNonZeroValue(Object.spec{?replicas: Object{}.?replicas})}", json!({}));
    check("Object{}.?existing.hasValue()", json!(false));
    check("has(Object{a: 1}.a) && !has(Object{a: 1}.b)", json!(true));
    check("jsonpatch.escapeKey('k8s.io/my~label')", json!("k8s.io~1my~0label"));
    check("type(Object.spec{}) == Object.spec", json!(true));
}

#[test]
fn operations_are_those_of_a_json_patch() {
    let check = |text: &str, expected: Result<Json, &str>| {
        let found = made(text, &json!({"n": 1}), patch::to_operations);
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    };
    check(
        "[JSONPatch{op: 'add', path: '/spec/replicas', value: object.n + 2}]",
        Ok(json!([{"op": "add", "path": "/spec/replicas", "value": 3}])),
    );
    check(
        "[JSONPatch{op: 'move', from: '/a', path: '/b'}, JSONPatch{op: 'remove', path: '/c'}]",
        Ok(json!([{"op": "move", "from": "/a", "path": "/b"}, {"op": "remove", "path": "/c"}])),
    );
    check(
        "[JSONPatch{op: 'add', path: '/a', value: Object.a{b: Object.a.b{c: 1}}}]",
        Ok(json!([{"op": "add", "path": "/a", "value": {"b": {"c": 1}}}])),
    );
    check(
        "[JSONPatch{op: 'add', path: '/a', value: Object.a{b: Object.a.wrong{c: 1}}}]",
        Err(
            "type mismatch: unexpected type name \"Object.a.wrong\", expected \"Object.a.b\", which matches field name path from root Object type",
        ),
    );
    check("object.n == 1 ? [JSONPatch{op: 'remove', path: '/c'}] : []", Ok(json!([{"op": "remove", "path": "/c"}])));
}

#[test]
fn a_configuration_names_its_objects_by_their_paths() {
    let check = |text: &str, expected: Result<Json, &str>| {
        let found = made(text, &json!({}), patch::to_configuration).map(Json::Object);
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    };
    check("Object{spec: Object.spec{a: [Object.spec.a{b: 1}]}}", Ok(json!({"spec": {"a": [{"b": 1}]}})));
    check(
        "Object{spec: Object.spek{a: 1}}",
        Err(
            "type mismatch: unexpected type name \"Object.spek\", expected \"Object.spec\", which matches field name path from root Object type",
        ),
    );
    check(
        "Object{x: {'k': Object.y{}}}",
        Err(
            "type mismatch: unexpected type name \"Object.y\", expected \"Object.x\", which matches field name path from root Object type",
        ),
    );
}

#[test]
fn what_does_not_fit_is_told() {
    let check = |text: &str, wanted: &Type, expected: &str| {
        let found = admission::compile(text, &environment(), std::slice::from_ref(wanted));
        let error = found.err().unwrap_or_default();
        assert!(error.contains(expected), "{text}: {error}");
    };
    let (object, operations) = (patch::configuration(), patch::operations());
    check("Invalid{}", &object, "undeclared reference to 'Invalid'");
    check(
        "JSONPatch{op: 1, path: '/a'}",
        &object,
        "expected type of field 'op' is 'string' but provided type is 'int'",
    );
    check("JSONPatch{op: 'add', path: Invalid{}}", &object, "undeclared reference to 'Invalid'");
    check("JSONPatch{nothing: 1}", &object, "undefined field 'nothing'");
    check("Object{?a: 1}", &object, "expected type 'optional_type(int)' but found 'int'");
    check("1", &object, "must evaluate to Object but got int");
    check("Object.spec{}", &object, "must evaluate to Object but got Object.spec");
    check("Object{}", &operations, "must evaluate to list(JSONPatch) but got Object");
    check("[]", &operations, "must evaluate to list(JSONPatch) but got list(dyn)");
    check("int{}", &object, "'int' is not a message type");
    check("object{}", &object, "'dyn' is not a type");
}

#[test]
fn others_have_no_such_types() {
    let plain = Environment::from([("object".into(), Type::Dyn)]);
    for text in ["Object{}", "JSONPatch{op: 'add'}", "jsonpatch.escapeKey('a')"] {
        let error = Program::compile(text, &plain).err().map(|issues| issues.to_string()).unwrap_or_default();
        assert!(error.contains("undeclared reference to"), "{text}: {error}");
    }
}
