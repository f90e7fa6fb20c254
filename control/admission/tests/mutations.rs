//! MutatingAdmissionPolicies on an API server in this process.

use http::Request;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::Client;
use sampan_env::Env;
use sampan_registry::RuntimeConfig;
use sampan_schema::gates::Gates;
use sampan_testing::server::{Choice, Server, guarded_by};
use serde_json::{Value, json};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicybindings";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A server with the feature on, and its kinds served.
struct World {
    admin: Client,
    _server: Server,
}

async fn world() -> World {
    let gates = Gates::with(&[("MutatingAdmissionPolicy".to_owned(), true)].into()).expect("a gate");
    let runtime = [("admissionregistration.k8s.io/v1beta1".to_owned(), true)].into();
    let table = RuntimeConfig::new(&runtime).expect("a version").table(&gates).expect("a table");
    let choice = Choice { gates, table: Some(table), ..Choice::default() };
    let server = guarded_by(Env::system(), choice).await;
    World { admin: server.client(UserInfo::new("admin", [GROUP_MASTERS])), _server: server }
}

/// A policy about the creation of objects of this resource, and its binding.
struct Policy {
    name: &'static str,
    spec: Value,
    binding: Value,
}

fn policy(name: &'static str, resource: &str, mut spec: Value) -> Policy {
    let (group, resource) = resource.split_once('/').unwrap_or(("", resource));
    let rule = json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]});
    let fields = spec.as_object_mut().expect("a spec");
    fields.entry("matchConstraints").or_insert(json!({"resourceRules": [rule]}));
    fields.entry("reinvocationPolicy").or_insert("Never".into());
    Policy { name, spec, binding: json!({}) }
}

fn patches(name: &'static str, expression: &str) -> Policy {
    policy(
        name,
        "configmaps",
        json!({"mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]}),
    )
}

fn configures(name: &'static str, resource: &str, expression: &str) -> Policy {
    let mutation = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}});
    policy(name, resource, json!({"mutations": [mutation]}))
}

impl World {
    async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(body.to_string().into()).expect("a request");
        let bytes = self.admin.request_bytes(request).await.map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&bytes).expect("an object"))
    }

    /// Makes the policies, and waits until they act.
    async fn with(self, policies: Vec<Policy>) -> Self {
        // Its name comes last, so that all others are heard of before it acts.
        let marker = patches(
            "zz-marker",
            "object.metadata.name == 'marker' ? [JSONPatch{op: 'add', path: '/data/heard', value: 'yes'}] : [JSONPatch{op: 'test', path: '/data', value: 'x'}]",
        );
        let alone = policies.len() == 1;
        for Policy { name, spec, mut binding } in policies.into_iter().chain([marker]) {
            let policy = json!({"metadata": {"name": name}, "spec": spec});
            self.post(POLICIES, &policy).await.expect("a policy");
            binding["policyName"] = name.into();
            let binding = json!({"metadata": {"name": format!("{name}-binding")}, "spec": binding});
            self.post(BINDINGS, &binding).await.expect("a binding");
        }
        let marker = json!({"metadata": {"name": "marker", "labels": {"a": "b"}}, "data": {"n": "5"}});
        loop {
            match self.post(&format!("{MAPS}?dryRun=All"), &marker).await {
                Ok(made) if made["data"]["heard"] == "yes" => return self,
                Ok(_) => tokio::task::yield_now().await,
                // The one policy refuses it, and so acts.
                Err(_) if alone => return self,
                Err(told) => panic!("the policies let the marker pass: {told}"),
            }
        }
    }
}

fn map(data: Value) -> Value {
    json!({"metadata": {"name": "c", "labels": {"a": "b"}}, "data": data})
}

/// What becomes of a ConfigMap with `n: 5` under these policies.
async fn written(policies: Vec<Policy>) -> Result<Value, String> {
    world().await.with(policies).await.post(MAPS, &map(json!({"n": "5"}))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_change_what_is_written() {
    let check = async |expression: &str, expected: Value| {
        let made = written(vec![patches("p", expression)]).await.expect(expression);
        assert_eq!(made["data"], expected, "{expression}");
    };
    check(
        "[JSONPatch{op: 'add', path: '/data/m', value: string(int(object.data.n) + 1)}]",
        json!({"n": "5", "m": "6"}),
    )
    .await;
    check("[JSONPatch{op: 'replace', path: '/data', value: Object.data{x: object.metadata.name}}]", json!({"x": "c"}))
        .await;
    let untouched = "[JSONPatch{op: 'test', path: '/data/n', value: '6'}, JSONPatch{op: 'remove', path: '/data/n'}]";
    check(untouched, json!({"n": "5"})).await;
    check("[JSONPatch{op: 'add', path: '/data/user', value: request.userInfo.username}, JSONPatch{op: 'add', path: '/data/in', value: namespaceObject.metadata.name}]", json!({"n": "5", "user": "admin", "in": "default"})).await;
    let labelled = "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('k8s.io/x'), value: 'q'}]";
    let made = written(vec![patches("p", labelled)]).await.expect("labelled");
    assert_eq!(made["metadata"]["labels"], json!({"a": "b", "k8s.io/x": "q"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_for_another_version_changes_the_object_as_that_has_it() {
    let target =
        "Object{spec: Object.spec{targetCPUUtilizationPercentage: object.spec.targetCPUUtilizationPercentage + 1}}";
    let mut policy = configures("p", "autoscaling/horizontalpodautoscalers", target);
    let world = world().await.with(vec![policy]).await;
    let path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let made = world.post(path, &autoscaler()).await.expect("changed");
    assert_eq!(made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 41);
    policy = configures("q", "autoscaling/horizontalpodautoscalers", target);
    policy.spec["matchConstraints"]["matchPolicy"] = "Exact".into();
    let exact = self::world().await.with(vec![policy]).await;
    let made = exact.post(path, &autoscaler()).await.expect("passed");
    assert_eq!(made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 40);
}

/// Of autoscaling/v2, at 40 percent.
fn autoscaler() -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": 40});
    json!({"metadata": {"name": "a"}, "spec": {
        "maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_are_merged() {
    let labels = "Object{metadata: Object.metadata{labels: {'x': 'y', 'was': string(object.metadata.labels.a)}}}";
    let made = written(vec![configures("p", "configmaps", labels)]).await.expect("merged");
    assert_eq!(made["metadata"]["labels"], json!({"a": "b", "x": "y", "was": "b"}));
    assert_eq!(made["data"], json!({"n": "5"}), "what it does not name stays");
    let managers = made["metadata"]["managedFields"].to_string();
    assert!(!managers.contains("f:x"), "nobody comes to own what a policy sets: {managers}");
    let containers = "Object{spec: Object.spec{containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, imagePullPolicy: 'Always'})}}";
    let world = world().await.with(vec![configures("p", "pods", containers)]).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}});
    let made = world.post("/api/v1/namespaces/default/pods?dryRun=All", &pod).await.expect("a pod");
    for (at, image) in ["a:1", "b:1"].iter().enumerate() {
        let container = &made["spec"]["containers"][at];
        assert_eq!((&container["image"], &container["imagePullPolicy"]), (&json!(image), &json!("Always")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_in_kubernetes_words() {
    let denied = "configmaps \"c\" is forbidden: ";
    let check = async |policy: Policy, expected: &str| {
        let told = written(vec![policy]).await.expect_err(expected);
        assert!(told.contains(expected) && !told.contains(denied), "{told}\n{expected}");
    };
    let by = "policy 'p' with binding 'p-binding' denied request: ";
    check(
        patches("p", "[JSONPatch{op: 'add', path: '/data/x', value: object.data.y}]"),
        &format!("{by}expression '[JSONPatch{{op: 'add', path: '/data/x', value: object.data.y}}]' resulted in error: no such key: y"),
    )
    .await;
    check(
        patches("p", "[JSONPatch{op: 'remove', path: '/no/such'}]"),
        &format!("{by}JSON Patch: remove operation does not apply: doc is missing path: \"/no/such\": missing value"),
    )
    .await;
    check(
        configures("p", "configmaps", "Object{spec: Object.spec{a: 1}}"),
        &format!("{by}error applying patch: failed to convert patch object to typed object: .spec: field not declared in schema"),
    )
    .await;
    check(
        configures("p", "configmaps", "Object{metadata: Object.meta{}}"),
        &format!("{by}type mismatch: unexpected type name \"Object.meta\", expected \"Object.metadata\", which matches field name path from root Object type"),
    )
    .await;
    let mut conditional = patches("p", "[JSONPatch{op: 'remove', path: '/data/n'}]");
    conditional.spec["matchConditions"] = json!([{"name": "a", "expression": "object.data.zz == 'a'"}]);
    check(conditional, &format!("{by}expression 'object.data.zz == 'a'' resulted in error: no such key: zz")).await;
    check(
        patches("p", "[JSONPatch{op: 'add', path: '/nothing', value: 1}]"),
        "Internal error occurred: strict decoding error: unknown field \"nothing\"",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_are_one_whole_are_not_replaced() {
    let tolerations = "Object{spec: Object.spec{tolerations: [Object.spec.tolerations{key: 'a', operator: 'Exists'}]}}";
    let world = world().await.with(vec![configures("p", "pods", tolerations)]).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}});
    let told = world.post("/api/v1/namespaces/default/pods", &pod).await.expect_err("it is atomic");
    let expected = "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.tolerations";
    assert!(told.contains(expected), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_fail_may_be_passed_over() {
    let fails = "[JSONPatch{op: 'add', path: '/data/x', value: object.data.y}]";
    let mut ignored = patches("p", fails);
    ignored.spec["failurePolicy"] = "Ignore".into();
    let made = written(vec![ignored, patches("q", "[JSONPatch{op: 'add', path: '/data/q', value: '1'}]")]).await;
    assert_eq!(made.expect("the other acts")["data"], json!({"n": "5", "q": "1"}));
    let mut unmet = patches("p", fails);
    unmet.spec["matchConditions"] = json!([{"name": "a", "expression": "object.metadata.name == 'other'"}]);
    assert_eq!(written(vec![unmet]).await.expect("it does not act")["data"], json!({"n": "5"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_parameters_are_given() {
    let expression =
        "[JSONPatch{op: 'add', path: '/data/v', value: variables.text + (params == null ? '' : params.data.suffix)}]";
    let with = |param_kind: Value, binding: Value| {
        let mut policy = patches("p", expression);
        policy.spec["variables"] = json!([{"name": "text", "expression": "'is ' + object.data.n"}]);
        policy.spec["paramKind"] = param_kind;
        policy.binding = binding;
        policy
    };
    let kind = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let world = world().await;
    for name in ["p1", "p2"] {
        let parameter =
            json!({"metadata": {"name": name, "labels": {"of": "all"}}, "data": {"suffix": format!("-{name}")}});
        world.post("/api/v1/namespaces/kube-public/configmaps", &parameter).await.expect("a parameter");
    }
    let named = json!({"paramRef": {"name": "p1", "namespace": "kube-public", "parameterNotFoundAction": "Deny"}});
    let world = world.with(vec![with(kind, named)]).await;
    let made = world.post(MAPS, &map(json!({"n": "5"}))).await.expect("changed");
    assert_eq!(made["data"]["v"], "is 5-p1");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_asked_again_where_they_say_so() {
    // Each adds a letter when it is asked; the second changes what the first has seen.
    let appends = |name: &'static str, letter: &str, again: &str| {
        let expression = format!("[JSONPatch{{op: 'add', path: '/data/n', value: object.data.n + '{letter}'}}]");
        let mut policy = patches(name, &expression);
        policy.spec["reinvocationPolicy"] = again.into();
        policy
    };
    let check = async |first: &str, second: &str, expected: &str| {
        let made = written(vec![appends("p", "a", first), appends("q", "b", second)]).await.expect("changed");
        assert_eq!(made["data"]["n"], expected, "{first} {second}");
    };
    check("Never", "Never", "5ab").await;
    check("IfNeeded", "Never", "5aba").await;
    check("IfNeeded", "IfNeeded", "5abab").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_are_checked_when_they_are_written() {
    let world = world().await;
    let check = async |policy: Policy, expected: &str| {
        let body = json!({"metadata": {"name": policy.name}, "spec": policy.spec});
        let told = world.post(POLICIES, &body).await.expect_err(expected);
        assert!(told.contains(expected), "{told}\n{expected}");
    };
    check(
        patches("p", "1"),
        "spec.mutations[0].jsonPatch.expression: Invalid value: \"1\": must evaluate to list(JSONPatch) but got int",
    )
    .await;
    check(configures("p", "pods", "[]"), "spec.mutations[0].applyConfiguration.expression: Invalid value: \"[]\": must evaluate to Object but got list(dyn)").await;
    check(patches("p", "[JSONPatch{op: 1}]"), "expected type of field 'op' is 'string' but provided type is 'int'")
        .await;
    // Without variables there is no object of them.
    let none = "undeclared reference to 'variables' (in container '')";
    check(patches("p", "[JSONPatch{op: variables.no}]"), none).await;
}
