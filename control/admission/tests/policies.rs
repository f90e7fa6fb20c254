//! ValidatingAdmissionPolicies on an API server in this process.

use sampan_api::k8s::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use sampan_api::k8s::api::autoscaling::v2::HorizontalPodAutoscaler;
use sampan_api::k8s::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::{Client, DeleteParams, WriteParams};
use sampan_env::Env;
use sampan_testing::server::{Server, guarded};
use serde_json::{Value, json};

const NAMESPACE: &str = "default";

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("of its kind")
}

fn config_map(name: &str, labels: Value, data: Value) -> ConfigMap {
    typed(json!({"metadata": {"name": name, "labels": labels}, "data": data}))
}

/// The rules of a policy about ConfigMaps that are created.
fn about_config_maps(mut spec: Value) -> Value {
    let constraints = spec.as_object_mut().expect("a spec").entry("matchConstraints").or_insert(json!({}));
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "DELETE"], "resources": ["configmaps"]}]);
    constraints.as_object_mut().expect("constraints").entry("resourceRules").or_insert(rules);
    spec
}

/// Makes a policy and its binding, and waits until it is heard of.
async fn world(spec: Value, binding: Value) -> (Client, Server) {
    let server = guarded(Env::system()).await;
    let admin = server.client(UserInfo::new("admin", [GROUP_MASTERS]));
    let marker = json!({"validations": [{"expression": "object == null || object.metadata.name != 'marker'", "message": "heard"}]});
    for (name, spec, binding) in [
        ("p", about_config_maps(spec), binding),
        ("marker", about_config_maps(marker), json!({"validationActions": ["Deny"]})),
    ] {
        let policy = json!({"metadata": {"name": name}, "spec": spec});
        admin.all::<ValidatingAdmissionPolicy>().create(&typed(policy)).await.expect("a policy");
        let mut bound = json!({"metadata": {"name": format!("{name}-binding")}, "spec": binding});
        bound["spec"]["policyName"] = name.into();
        admin.all::<ValidatingAdmissionPolicyBinding>().create(&typed(bound)).await.expect("a binding");
    }
    let dry = WriteParams { dry_run: true, ..WriteParams::default() };
    let marked = config_map("marker", json!({}), json!({}));
    loop {
        match admin.namespaced::<ConfigMap>(NAMESPACE).create_with(&marked, &dry).await {
            Err(error) if error.to_string().contains("heard") => return (admin, server),
            _ => tokio::task::yield_now().await,
        }
    }
}

/// What the policy answers to a ConfigMap; empty where it lets it pass.
async fn answer(spec: Value, binding: Value, object: ConfigMap) -> String {
    let (admin, _server) = world(spec, binding).await;
    match admin.namespaced::<ConfigMap>(NAMESPACE).create(&object).await {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

fn deny() -> Value {
    json!({"validationActions": ["Deny"]})
}

const DENIED: &str =
    "configmaps \"c\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-binding' denied request: ";

#[tokio::test(flavor = "multi_thread")]
async fn expressions_decide() {
    let check = async |spec: Value, binding: Value, expected: &str| {
        let found = answer(spec.clone(), binding, config_map("c", json!({"a": "b"}), json!({"n": "5"}))).await;
        let expected = if expected.is_empty() { String::new() } else { format!("{DENIED}{expected}") };
        assert!(found.ends_with(&expected) && found.is_empty() == expected.is_empty(), "{spec}: {found}");
    };
    let one = |expression: &str| json!({"validations": [{"expression": expression}]});
    check(one("int(object.data.n) < 6"), deny(), "").await;
    check(one("int(object.data.n) < 5"), deny(), "failed expression: int(object.data.n) < 5").await;
    check(one("object.data.x == 'y'"), deny(), "expression 'object.data.x == 'y'' resulted in error: no such key: x")
        .await;
    check(one("object.data.n != '5'"), json!({"validationActions": ["Audit"]}), "").await;
    let ignored = json!({"failurePolicy": "Ignore", "validations": [{"expression": "object.data.x == 'y'"}]});
    check(ignored, deny(), "").await;
    let told = json!({
        "variables": [{"name": "n", "expression": "int(object.data.n)"}, {"name": "twice", "expression": "variables.n * 2"}],
        "validations": [{"expression": "variables.twice < 10", "messageExpression": "'twice is ' + string(variables.twice)"}],
    });
    check(told, deny(), "twice is 10").await;
    check(
        json!({"matchConditions": [{"name": "a", "expression": "has(object.metadata.labels.zz)"}], "validations": [{"expression": "false"}]}),
        deny(),
        "",
    )
    .await;
    check(
        json!({"matchConstraints": {"objectSelector": {"matchLabels": {"a": "c"}}}, "validations": [{"expression": "false"}]}),
        deny(),
        "",
    )
    .await;
    let elsewhere = json!({"validationActions": ["Deny"], "matchResources": {"namespaceSelector": {"matchLabels": {"no": "such"}}}});
    check(one("false"), elsewhere, "").await;
    check(one("namespaceObject.metadata.name == 'default' && request.userInfo.username == 'admin'"), deny(), "").await;
    check(
        json!({"matchConditions": [{"name": "a", "expression": "namespaceObject == null"}], "validations": [{"expression": "false", "message": "asked"}]}),
        deny(),
        "asked",
    )
    .await;
    let rights = "authorizer.group('').resource('secrets').namespace('default').check('get').allowed() && authorizer.requestResource.check('create').allowed()";
    check(one(rights), deny(), "").await;
    let account =
        "!authorizer.serviceAccount('default', 'default').group('').resource('secrets').check('delete').allowed()";
    check(one(account), deny(), "").await;
    check(
        json!({"validations": [{"expression": "[1, 2, 3].all(a, lists.range(1000).all(b, lists.range(1000).all(c, a + b + c >= 0)))"}]}),
        deny(),
        "expression '[1, 2, 3].all(a, lists.range(1000).all(b, lists.range(1000).all(c, a + b + c >= 0)))' resulted in error: operation cancelled: actual cost limit exceeded",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_has_the_reason_of_the_validation() {
    for (reason, code) in [("Forbidden", 403), ("Invalid", 422), ("RequestEntityTooLarge", 413)] {
        let spec = json!({"validations": [{"expression": "false", "reason": reason, "message": "no"}]});
        let (admin, _server) = world(spec, deny()).await;
        let made = admin.namespaced::<ConfigMap>(NAMESPACE).create(&config_map("c", json!({}), json!({}))).await;
        let status = made.expect_err("it is denied").status().cloned().expect("a status");
        assert_eq!((status.code, status.reason.as_str()), (code, reason));
        let causes = status.details.map(|details| details.causes).unwrap_or_default();
        let cause = "ValidatingAdmissionPolicy 'p' with binding 'p-binding' denied request: no";
        assert_eq!(causes.iter().map(|one| one.message.as_str()).collect::<Vec<_>>(), [cause]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_are_decided_by_what_is_deleted() {
    let spec =
        json!({"validations": [{"expression": "request.operation != 'DELETE' || oldObject.metadata.name != 'kept'"}]});
    let (admin, _server) = world(spec, deny()).await;
    let maps = admin.namespaced::<ConfigMap>(NAMESPACE);
    for name in ["kept", "free"] {
        maps.create(&config_map(name, json!({}), json!({}))).await.expect("made");
    }
    maps.delete("free", &DeleteParams::default()).await.expect("deleted");
    maps.delete("kept", &DeleteParams::default()).await.expect_err("it is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_another_version_sees_the_object_as_that_has_it() {
    let rule = json!([{"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["horizontalpodautoscalers"]}]);
    let target = json!({"type": "Utilization", "averageUtilization": 40});
    let autoscaler: HorizontalPodAutoscaler = typed(json!({"metadata": {"name": "a"}, "spec": {
        "maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }}));
    let check = async |policy: &str, expression: &str, expected: &str| {
        let constraints = json!({"resourceRules": rule, "matchPolicy": policy});
        let spec =
            json!({"matchConstraints": constraints, "validations": [{"expression": expression, "message": "no"}]});
        let (admin, _server) = world(spec, deny()).await;
        let made = admin.namespaced::<HorizontalPodAutoscaler>(NAMESPACE).create(&autoscaler).await;
        let found = made.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{policy} {expression}: {found}");
    };
    check("Equivalent", "object.spec.targetCPUUtilizationPercentage == 40", "").await;
    check("Equivalent", "object.spec.targetCPUUtilizationPercentage > 40", "denied request: no").await;
    check("Equivalent", "request.kind.version == 'v1' && request.resource.version == 'v1'", "").await;
    check("Equivalent", "request.requestKind.version == 'v2' && request.requestResource.version == 'v2'", "").await;
    check("Exact", "false", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_objects_of_the_cluster() {
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ServiceAccount"},
        "validations": [{"expression": "params == null || object.metadata.name in params.metadata.annotations", "message": "not listed"}],
    });
    let named = json!({"validationActions": ["Deny"], "paramRef": {"name": "list", "parameterNotFoundAction": "Deny"}});
    let (admin, _server) = world(spec.clone(), named).await;
    let maps = admin.namespaced::<ConfigMap>(NAMESPACE);
    let refused = maps.create(&config_map("c", json!({}), json!({}))).await.expect_err("no parameters");
    let missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    assert!(refused.to_string().contains(missing), "{refused}");
    let list: ServiceAccount = typed(json!({"metadata": {"name": "list", "annotations": {"listed": ""}}}));
    admin.namespaced::<ServiceAccount>(NAMESPACE).create(&list).await.expect("parameters");
    maps.create(&config_map("listed", json!({}), json!({}))).await.expect("it is listed");
    let refused = maps.create(&config_map("c", json!({}), json!({}))).await.expect_err("not listed");
    assert!(refused.to_string().contains("not listed"), "{refused}");
    let selected = json!({"validationActions": ["Deny"], "paramRef": {"selector": {"matchLabels": {"none": "has-it"}}, "parameterNotFoundAction": "Allow"}});
    assert_eq!(answer(spec, selected, config_map("c", json!({}), json!({}))).await, "");
    let unknown = json!({"paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"}, "validations": [{"expression": "true"}]});
    let named = json!({"validationActions": ["Deny"], "paramRef": {"name": "x", "parameterNotFoundAction": "Allow"}});
    let told = answer(unknown, named, config_map("c", json!({}), json!({}))).await;
    let expected = "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'";
    assert!(told.contains(expected), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_matched_by_their_own_labels() {
    let spec = json!({
        "matchConstraints": {"namespaceSelector": {"matchLabels": {"strict": "yes"}}},
        "validations": [{"expression": "object.metadata.name == 'x'", "message": "only x"}],
    });
    let (admin, _server) = world(spec, deny()).await;
    let namespace: Namespace = typed(json!({"metadata": {"name": "strict", "labels": {"strict": "yes"}}}));
    admin.all::<Namespace>().create(&namespace).await.expect("a namespace");
    let map = config_map("c", json!({}), json!({}));
    admin.namespaced::<ConfigMap>(NAMESPACE).create(&map).await.expect("it is elsewhere");
    admin.namespaced::<ConfigMap>("strict").create(&map).await.expect_err("it is strict there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_compile_is_refused_when_it_is_written() {
    let server = guarded(Env::system()).await;
    let admin = server.client(UserInfo::new("admin", [GROUP_MASTERS]));
    let check = async |spec: Value, expected: &str| {
        let policy = json!({"metadata": {"name": "p"}, "spec": about_config_maps(spec)});
        let made = admin.all::<ValidatingAdmissionPolicy>().create(&typed(policy)).await;
        let error = made.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    let one = |expression: &str| json!({"validations": [{"expression": expression}]});
    check(one("object."), "spec.validations[0].expression: Invalid value: \"object.\": compilation failed: ERROR: <input>:1:8: Syntax error: no viable alternative at input '.'").await;
    check(one("1 + 1"), "spec.validations[0].expression: Invalid value: \"1 + 1\": must evaluate to bool but got int")
        .await;
    check(one("params.x"), "undeclared reference to 'params' (in container '')").await;
    // Without variables there is no object of them.
    check(one("variables.x == 1"), "undeclared reference to 'variables' (in container '')").await;
    let twice = json!({"matchConditions": [{"name": "a", "expression": "true"}, {"name": "a", "expression": "1"}], "validations": [{"expression": "true"}]});
    check(twice.clone(), "spec.matchConditions[1].expression: Invalid value: \"1\": must evaluate to bool but got int")
        .await;
    check(twice, "spec.matchConditions[1].name: Duplicate value: \"a\"").await;
    let audit = json!({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]});
    check(audit, "spec.auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of [string null_type] but got int").await;
    let bad = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny", "Warn"], "paramRef": {}}});
    let made = admin.all::<ValidatingAdmissionPolicyBinding>().create(&typed(bad)).await;
    let error = made.expect_err("it is wrong").to_string();
    for part in [
        "spec.validationActions: Invalid value",
        "spec.paramRef: Required value: one of name or selector must be specified",
        "spec.paramRef.parameterNotFoundAction: Required value",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
