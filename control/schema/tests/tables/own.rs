//! Kinds of our own: they walk the same ways.

use std::sync::Arc;

use sampan_schema::{ObjectType, Origin, Schema, default, json, meta, protobuf, values};
use serde_json::{Value, json as value};

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
    default::apply(schema, id, policy.as_object_mut().expect("an object")).expect("short");
    let spec = value!({"component": "", "weight": 0, "args": {"any": [1, null]}, "points": [], "mode": "Enforce", "failurePolicy": "Fail"});
    assert_eq!(policy["spec"], spec, "empty values stay as they were sent");
    assert!(!schema.get(id).has_protobuf());
    assert_eq!(schema.get(id).origin, Origin::Structural);
    let mut out = Vec::new();
    assert!(protobuf::encode(schema, id, &policy, &mut out).is_err());
    assert!(schema.find("scheduling.sampan.dev", "v1alpha1", "DecisionList").is_some());
    // A wrong type is not the decoder's to refuse, but validation's.
    let wrong = json::decode(schema, id, br#"{"spec":{"component":"c","weight":"x"}}"#).expect("decodes").value;
    let errors = values::validate(schema, id, wrong.as_object().expect("an object"), None);
    assert_eq!(
        errors.to_string(),
        r#"spec.weight: Invalid value: "string": spec.weight in body must be of type integer: "string""#
    );
}

#[test]
fn what_follows_from_other_parts_is_set_without_a_walk_through_them() {
    let check = |group: &str, kind: &str, object: Value, expected: Value| {
        let schema = Schema::builtin();
        let id = schema.find(group, "v1", kind).expect("a built-in kind");
        let mut found = object;
        default::apply_own(schema, id, found.as_object_mut().expect("an object"));
        assert_eq!(found["metadata"], expected["metadata"], "{kind}");
        assert_eq!(found["spec"]["template"], expected["spec"]["template"], "{kind}");
    };
    let template = value!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (group, kind) in [("batch", "Job"), ("", "ReplicationController")] {
        let object = |metadata: Value| value!({"metadata": metadata, "spec": {"template": template}});
        check(group, kind, object(value!({"name": "x"})), object(value!({"name": "x", "labels": {"a": "b"}})));
        check(group, kind, object(value!({"labels": {"c": "d"}})), object(value!({"labels": {"c": "d"}})));
    }
    let plain = value!({"metadata": {"name": "x"}, "spec": {"template": template}});
    check("apps", "Deployment", plain.clone(), plain);
    let named = value!({"name": "x", "labels": {"kubernetes.io/metadata.name": "x"}});
    check("", "Namespace", value!({"metadata": {"name": "x"}}), value!({"metadata": named}));
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

/// A schema with one kind more, whose one field has that default.
fn extended(base: &Arc<Schema>, group: &str, kind: &str, default: Value) -> Arc<Schema> {
    let property =
        if default.is_null() { value!({"type": "string"}) } else { value!({"type": "string", "default": default}) };
    let definition = value!({kind: {"properties": {"spec": {"type": "object", "default": {},
        "properties": {"mode": property, "template": {"$ref": "io.k8s.api.core.v1.PodTemplateSpec"}}}}}});
    let kinds = definition.as_object().expect("kinds by name");
    Arc::new(Schema::extend(base, group, "v1", kinds, |kind| format!("{kind}List")).expect("a structural schema"))
}

/// What defaulting makes of an object, by the type that the kind has in the schema.
fn defaulted(schema: &Arc<Schema>, group: &str, kind: &str, mut object: Value) -> Value {
    let ty = ObjectType::find(schema, group, "v1", kind).expect("the kind that was added");
    default::apply(ty.schema(), ty.id(), object.as_object_mut().expect("an object")).expect("short");
    object
}

#[test]
fn a_type_that_is_added_at_run_time_has_its_own_defaults_and_no_strangers() {
    let builtin = Schema::builtin();
    // The same name and the same number in each; and names that the rules of built-in types go by.
    let fast = extended(builtin, "example.com", "Widget", value!("Fast"));
    let slow = extended(builtin, "example.com", "Widget", value!("Slow"));
    let none = extended(builtin, "example.com", "Gadget", Value::Null);
    let pod = extended(builtin, "core", "Pod", Value::Null);
    let id =
        |schema: &Arc<Schema>, group: &str, kind: &str| ObjectType::find(schema, group, "v1", kind).map(|ty| ty.id());
    assert_eq!(id(&fast, "example.com", "Widget"), id(&slow, "example.com", "Widget"));
    assert_eq!(id(&fast, "example.com", "Widget"), id(&none, "example.com", "Gadget"));
    let empty = || value!({});
    assert_eq!(defaulted(&fast, "example.com", "Widget", empty()), value!({"spec": {"mode": "Fast"}}));
    assert_eq!(defaulted(&slow, "example.com", "Widget", empty()), value!({"spec": {"mode": "Slow"}}));
    assert_eq!(defaulted(&none, "example.com", "Gadget", empty()), value!({"spec": {}}));
    assert_eq!(defaulted(&pod, "core", "Pod", empty()), value!({"spec": {}}));
    // What it holds of built-in types keeps their rules, and one that extends an extension keeps both.
    let both = extended(&fast, "example.org", "Wheel", value!("Round"));
    let template = value!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let wheel = defaulted(&both, "example.org", "Wheel", template);
    assert_eq!(wheel["spec"]["mode"], "Round");
    assert_eq!(wheel["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(defaulted(&both, "example.com", "Widget", empty()), value!({"spec": {"mode": "Fast"}}));
    let pod = defaulted(&both, "", "Pod", value!({"spec": {"containers": []}}));
    assert_eq!(pod["spec"]["restartPolicy"], "Always");
    // The base is as it was.
    assert!(builtin.find("example.com", "v1", "Widget").is_none());
    assert!(
        both.find("example.org", "v1", "WheelList").is_some() && both.find("apps", "v1", "DeleteOptions").is_some()
    );
    let wrong = value!({"Broken": {"properties": {"x": {"type": "tuple"}}}});
    let wrong =
        Schema::extend(builtin, "example.com", "v1", wrong.as_object().expect("kinds by name"), |_| String::new());
    assert_eq!(wrong.expect_err("no such type").to_string(), "Broken.x: type tuple is not understood");
}

#[test]
fn the_types_of_meta_are_found_by_kind_alone() {
    for kind in ["Status", "DeleteOptions", "PartialObjectMetadata", "APIGroupList", "APIResourceList", "APIVersions"] {
        assert!(meta::find(kind).is_some_and(|ty| ty.def().has_protobuf()), "{kind}");
    }
    assert!(meta::find("Pod").is_none() && meta::find("Scale").is_none());
}
