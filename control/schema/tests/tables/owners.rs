//! Owners of fields, as a real server notes them of objects that are not what a client should send.

use sampan_schema::managed::scale::{Replicas, set_from_scale, to_scale};
use sampan_schema::{ObjectType, Schema, json, managed, stored};
use serde_json::{Map, Value, json as value};

/// The fields of an object as they are read.
fn read(ty: &ObjectType, sent: &Value) -> Map<String, Value> {
    let decoded = json::from_value(ty.schema(), ty.id(), sent).expect("an object");
    decoded.value.as_object().cloned().expect("fields")
}

/// The object after a write, with who owns what.
fn write(ty: &ObjectType, old: Option<&Map<String, Value>>, sent: &Value) -> Map<String, Value> {
    let mut new = read(ty, sent);
    let writer = managed::Writer { manager: "m", subresource: "", time: "2026-01-01T00:00:01Z" };
    managed::update(ty.schema(), ty.id(), old, &mut new, writer, &[], &managed::one_version);
    stored::settle(ty, &mut new);
    new
}

fn owned(object: &Map<String, Value>) -> Vec<Value> {
    let list = object["metadata"]["managedFields"].as_array();
    list.into_iter().flatten().map(|entry| entry["fieldsV1"].clone()).collect()
}

#[test]
fn an_object_with_an_element_that_no_path_leads_to_has_no_owners() {
    let ty = ObjectType::find(Schema::builtin(), "", "v1", "ServiceAccount").expect("a type");
    let account = |secrets: Value| value!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}, "secrets": secrets});
    assert_eq!(owned(&write(&ty, None, &account(value!([{}])))), Vec::<Value>::new());
    let named = write(&ty, None, &account(value!([{"name": "x"}])));
    assert_eq!(owned(&named), [value!({"f:secrets": {".": {}, "k:{\"name\":\"x\"}": {}}})]);
    assert_eq!(owned(&write(&ty, Some(&named), &account(value!([{}])))), Vec::<Value>::new());
}

#[test]
fn who_sends_an_empty_list_that_is_always_written_owns_it() {
    let ty = ObjectType::find(Schema::builtin(), "", "v1", "LimitRange").expect("a type");
    let range =
        |spec: Value| value!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "a"}, "spec": spec});
    let empty = write(&ty, None, &range(value!({"limits": []})));
    assert_eq!(owned(&empty), [value!({"f:spec": {"f:limits": {}}})]);
    assert_eq!(empty["spec"], value!({"limits": null}));
    let unset = write(&ty, None, &range(value!({})));
    assert_eq!(owned(&unset), Vec::<Value>::new());
    assert_eq!(unset["spec"], value!({"limits": null}));
}

#[test]
fn a_scale_that_changes_nothing_makes_an_entry_of_its_own_and_of_two_of_one_manager_the_last_counts() {
    let entry = |fields: Value, time: Option<&str>| {
        let mut entry = value!({
            "manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
        });
        if let Some(time) = time {
            entry["time"] = time.into();
        }
        entry
    };
    let replicas = Replicas { api_version: "v1", path: &["spec", "replicas"] };
    let scaled = |list: Value| {
        let scale = to_scale(list.as_array().expect("entries"), &replicas);
        let mut object = Map::from_iter([("metadata".to_owned(), value!({"managedFields": list}))]);
        set_from_scale(&mut object, &scale, &replicas);
        object["metadata"]["managedFields"].clone()
    };
    let time = Some("2026-01-01T00:00:01Z");
    let rest = entry(value!({"f:spec": {"f:selector": {}}}), time);
    let once = scaled(value!([entry(value!({"f:spec": {"f:replicas": {}, "f:selector": {}}}), time)]));
    assert_eq!(once, value!([entry(value!({"f:spec": {"f:replicas": {}}}), None), rest.clone()]));
    assert_eq!(scaled(once), value!([rest]));
    // Who applies the scale without its number keeps the number.
    let applied = |api_version: &str, spec: Value| {
        value!({"manager": "a", "operation": "Apply", "apiVersion": api_version, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": spec}, "subresource": "scale"})
    };
    let owner = applied("v1", value!({"f:replicas": {}}));
    let mut object = Map::from_iter([("metadata".to_owned(), value!({"managedFields": [owner.clone()]}))]);
    set_from_scale(&mut object, &[applied("autoscaling/v1", value!({}))], &replicas);
    assert_eq!(object["metadata"]["managedFields"], value!([owner]));
}

#[test]
fn who_has_an_entry_of_the_scale_keeps_its_own() {
    let applied = |api_version: &str, fields: Value| {
        value!({
            "manager": "m", "operation": "Apply", "apiVersion": api_version, "fieldsType": "FieldsV1",
            "fieldsV1": fields, "subresource": "scale",
        })
    };
    let replicas = Replicas { api_version: "v1", path: &["spec", "replicas"] };
    let owner = applied("v1", value!({"f:spec": {"f:replicas": {}}}));
    let check = |scale: &[Value], left: Option<&[Value]>| {
        let mut object = Map::from_iter([("metadata".to_owned(), value!({"managedFields": [owner]}))]);
        set_from_scale(&mut object, scale, &replicas);
        let list = object["metadata"].get("managedFields").and_then(Value::as_array);
        assert_eq!(list.map(Vec::as_slice), left);
    };
    // It applied an empty spec, and owns no replicas there any more.
    check(&[applied("autoscaling/v1", value!({"f:spec": {}}))], Some(std::slice::from_ref(&owner)));
    check(&[], None);
}

#[test]
fn what_a_client_says_of_nobody_s_fields_or_of_no_version_is_dropped() {
    let ty = ObjectType::find(Schema::builtin(), "", "v1", "ConfigMap").expect("a type");
    let map = |entries: Value| value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": entries}, "data": {"a": "b"}});
    let entry = |version: &str, fields: Value| value!({"manager": "q", "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": fields});
    let old = write(&ty, None, &map(value!([])));
    let check = |entries: Value, left: &[Value]| {
        assert_eq!(owned(&write(&ty, Some(&old), &map(entries.clone()))), left, "{entries}");
    };
    let named = value!({"f:data": {"f:a": {}}});
    check(value!([entry("v1", named.clone())]), std::slice::from_ref(&named));
    check(value!([entry("v1", value!({"f:data": {"f:a": null}}))]), std::slice::from_ref(&named));
    for nothing in [value!(null), value!({}), value!({"x:y": {}}), value!({".": {}})] {
        check(value!([entry("v1", nothing)]), &[]);
    }
    check(value!([entry("v9", named.clone())]), &[]);
    check(value!([entry("apps/v1", named.clone()), entry("v1", named.clone())]), &[named]);
}
