//! Kinds of our own: they walk the same ways.

use sampan_schema::{Schema, default, json, protobuf};
use serde_json::json as value;

#[test]
fn a_policy_is_pruned_and_defaulted() {
    let schema = Schema::builtin();
    let id = schema.find("scheduling.sampan.dev", "v1alpha1", "SchedulingPolicy").expect("our kind");
    let body = value!({"apiVersion": "scheduling.sampan.dev/v1alpha1", "kind": "SchedulingPolicy", "metadata": {"name": "p"},
        "spec": {"component": "", "weight": 0, "args": {"any": [1, null]}, "bogus": 1, "points": []}});
    let decoded = json::from_value(schema, id, &body).expect("decodes");
    let problems: Vec<String> = decoded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, [r#"unknown field "spec.bogus""#]);
    let mut policy = decoded.value;
    default::apply(schema, id, &mut policy);
    let spec = value!({"component": "", "weight": 0, "args": {"any": [1, null]}, "points": [], "mode": "Enforce", "failurePolicy": "Fail"});
    assert_eq!(policy["spec"], spec, "empty values stay as they were sent");
    assert!(!schema.get(id).has_protobuf());
    let mut out = Vec::new();
    assert!(protobuf::encode(schema, id, &policy, &mut out).is_err());
    assert!(schema.find("scheduling.sampan.dev", "v1alpha1", "DecisionList").is_some());
    let wrong = json::decode(schema, id, br#"{"spec":{"weight":"x"}}"#).expect_err("a wrong type");
    assert_eq!(
        wrong.to_string(),
        "json: cannot unmarshal string into Go struct field SchedulingPolicy.spec.spec.weight of type int32"
    );
}

#[test]
fn options_and_events_are_found_in_every_group() {
    let schema = Schema::builtin();
    for kind in ["DeleteOptions", "CreateOptions", "PatchOptions", "WatchEvent"] {
        assert_eq!(schema.find("apps", "v1", kind), schema.find("", "v1", kind), "{kind}");
        assert!(schema.find("meta.k8s.io", "v1", kind).is_some(), "{kind}");
    }
    assert!(schema.find("apps", "v1", "Pod").is_none());
    assert!(schema.find("apps", "v1", "DeploymentList").is_some());
    assert!(schema.find("autoscaling", "v1", "Scale").is_some());
    assert!(schema.find("meta.k8s.io", "v1", "PartialObjectMetadataList").is_some());
}
