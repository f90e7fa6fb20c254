//! Definitions of custom resources: what the server takes of them can be compiled, and any object can be held against it.

use crate::corpus::{OBJECTS, REQUESTS};
use crate::input::{Input, bend, bent, pick};
use crate::target::{Bound, Target, Verdict};
use crate::world::World;
use http::Request;
use sampan_api::FieldErrors;
use sampan_cel::rules::Rules;
use sampan_schema::openapi::{Definitions, Dialect};
use sampan_schema::{ObjectType, Schema, default, json as codec, values};
use sampan_tests::expressions::ABOUT;
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};

const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All";

/// A definition with most of what one may say.
fn rich() -> Value {
    let mut spec = ABOUT.0["properties"]["spec"].clone();
    spec["x-kubernetes-validations"] = json!([
        {"rule": "self.n > 0 || has(self.m)", "message": "n or m"},
        {"rule": "!has(oldSelf.s) || self.s == oldSelf.s", "messageExpression": "'was ' + oldSelf.s", "reason": "FieldValueForbidden", "fieldPath": ".s"},
        {"rule": "self.names.all(x, x.size() < 9)", "optionalOldSelf": false},
    ]);
    spec["properties"]["t"] =
        json!({"type": "string", "pattern": "^[a-z]*$", "default": "abc", "minLength": 1, "maxLength": 9});
    spec["properties"]["one"] = json!({"type": "integer", "minimum": 0, "exclusiveMinimum": true, "multipleOf": 3,
        "oneOf": [{"maximum": 5}, {"minimum": 10}], "not": {"enum": [7]}, "default": 3});
    spec["properties"]["tmpl"]["x-kubernetes-preserve-unknown-fields"] = true.into();
    spec["properties"]["ports"]["default"] = json!([{"name": "a", "port": 1}]);
    let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": spec,
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}}}});
    let names =
        json!({"kind": "Thing", "plural": "things", "singular": "thing", "shortNames": ["th"], "categories": ["all"]});
    let version = |name: &str, stored: bool| {
        json!({"name": name, "served": true, "storage": stored, "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector"}},
            "selectableFields": [{"jsonPath": ".spec.s"}],
            "additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.n", "priority": 1}]})
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names,
            "versions": [version("v1", true), version("v2beta1", false)]}})
}

static DEFINITIONS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let bodies = REQUESTS.iter().map(|request| &request["body"]);
    let mut all: Vec<Value> = bodies.filter(|body| body["kind"] == "CustomResourceDefinition").cloned().collect();
    // The rich one most often.
    all.extend(std::iter::repeat_n(rich(), 2 * all.len()));
    all
});

/// What is promised of a version that the server took, and of an object of it.
fn version(group: &str, kind: &str, version: &Value, object: &[u8]) {
    let name = version["name"].as_str().expect("a version's name");
    let definition = &version["schema"]["openAPIV3Schema"];
    if !definition.is_object() {
        return;
    }
    let kinds = Map::from_iter([(kind.to_owned(), definition.clone())]);
    let schema = Schema::extend(Schema::builtin(), group, name, &kinds, |kind| format!("{kind}List"));
    let schema = Arc::new(schema.expect("what the server takes can be compiled"));
    let ty = ObjectType::find(&schema, group, name, kind).expect("its type");
    let rules = Rules::compile(definition);
    for dialect in [Dialect::V2, Dialect::V3] {
        let mut definitions = Definitions::new(dialect);
        let _ = definitions.add(&ty);
        definitions.each(|_, _| {});
    }
    let Ok(decoded) = codec::decode(&schema, ty.id(), object) else { return };
    let again = codec::from_value(&schema, ty.id(), &decoded.value).expect("what was read is read again");
    assert_eq!((&again.value, again.problems.len()), (&decoded.value, 0), "pruned again it is another");
    let Value::Object(mut map) = decoded.value else { panic!("no object") };
    if default::apply(&schema, ty.id(), &mut map).is_ok() {
        let once = map.clone();
        assert_eq!(default::apply(&schema, ty.id(), &mut map), Ok(()));
        assert_eq!(map, once, "its defaults have defaults");
    }
    let _ = values::validate(&schema, ty.id(), &map, None);
    let same = values::validate(&schema, ty.id(), &map, Some(&map));
    assert!(same.iter().all(|error| !error.to_string().is_empty()));
    let _ = values::repeated(&schema, ty.id(), &map);
    let _ = values::embedded(&schema, ty.id(), &map, &|_, _| FieldErrors::new());
    if let Some(rules) = rules {
        let object = Value::Object(map);
        let _ = rules.validate(&object, None);
        let _ = rules.validate(&object, Some(&object));
    }
}

/// Definitions as the server is sent them, each with an object.
pub fn definitions() {
    let world = World::start();
    let target = Target {
        name: "definitions",
        cases: 500,
        input: &|dice| {
            let (mut definition, other) = (pick(dice, &DEFINITIONS).clone(), pick(dice, &DEFINITIONS));
            if dice.one_in(2) {
                bend(dice, &mut definition, other);
            }
            let mut object = ABOUT.1.clone();
            let stranger = pick(dice, &OBJECTS);
            bend(dice, &mut object, stranger);
            Input(vec![definition.to_string().into_bytes(), bent(dice, object, other)])
        },
        read: &|input| {
            let request = Request::post(PATH).header("content-type", "application/json");
            let answer = world.send(request.body(input.part(0).to_vec()).expect("a request"));
            if answer.code != 201 {
                return Verdict::Refused;
            }
            let taken = answer.json().expect("an object");
            let spec = &taken["spec"];
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let (group, kind) = (text(&spec["group"]), text(&spec["names"]["kind"]));
            for one in spec["versions"].as_array().into_iter().flatten() {
                version(&group, &kind, one, input.part(1));
            }
            Verdict::Taken
        },
        // Rules are run under a budget of their own.
        bound: Bound { held: 96 << 20, held_a_byte: 4_000, turnover: 12 },
    };
    target.check();
}
