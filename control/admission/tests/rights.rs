//! Who may do what, over every verb of every row of the resource table: a user without rights, a node without a name, and a
//! node that meets what belongs to others.

use bytes::Bytes;
use http::Request;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::{Client, Error};
use sampan_env::Env;
use sampan_registry::{Resource, Verbs};
use sampan_testing::server::{Server, guarded};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where the requests go: a namespace and a name that are not the caller's.
const NAMESPACE: &str = "default";
const NAME: &str = "thing";

/// One request that a row serves: `verb resource.group[/subresource]`, how it is made.
struct Call {
    what: String,
    method: &'static str,
    path: String,
    body: Value,
}

fn calls(server: &Server) -> Vec<Call> {
    let table = server.registry.table();
    let mut calls = Vec::new();
    for row in table.iter() {
        calls.extend(row.verbs.names().map(|verb| call(row, "", verb)));
        for one in &row.subresources {
            calls.extend(one.verbs.names().map(|verb| call(row, &one.name, verb)));
        }
    }
    calls
}

fn call(row: &Resource, subresource: &str, verb: &str) -> Call {
    let mut path = row.gvr().base_path();
    if row.namespaced {
        path.push_str(&format!("/namespaces/{NAMESPACE}"));
    }
    path.push_str(&format!("/{}", row.resource));
    let of_collection = subresource.is_empty() && matches!(verb, "list" | "watch" | "create" | "deletecollection");
    if !of_collection {
        path.push_str(&format!("/{NAME}"));
    }
    let mut what = format!("{verb} {}", row.group_resource());
    if !subresource.is_empty() {
        path.push_str(&format!("/{subresource}"));
        what.push_str(&format!("/{subresource}"));
    }
    let method = match verb {
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        _ => "GET",
    };
    if verb == "watch" {
        path.push_str("?watch=true&timeoutSeconds=1");
    }
    let gvk = row.subresources.iter().find(|one| one.name == subresource).and_then(|one| one.kind.clone());
    let gvk = gvk.unwrap_or_else(|| row.gvk());
    let body = match method {
        "POST" | "PUT" => json!({"apiVersion": gvk.api_version(), "kind": gvk.kind, "metadata": {"name": NAME}}),
        "PATCH" => json!({"metadata": {"labels": {"a": "b"}}}),
        _ => Value::Null,
    };
    Call { what, method, path, body }
}

async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Result<Bytes, Error> {
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let request = Request::builder().method(method).uri(path).header("content-type", media).body(body);
    client.request_bytes(request.expect("a request")).await
}

/// What the user is not refused, of everything that is served.
async fn open_to(server: &Server, user: UserInfo) -> BTreeSet<String> {
    let client = server.client(user);
    let mut open = BTreeSet::new();
    for call in calls(server) {
        match send(&client, call.method, &call.path, &call.body).await {
            Err(error) if error.is_forbidden() => {}
            _ => drop(open.insert(call.what)),
        }
    }
    open
}

fn set<'a>(all: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    all.into_iter().map(str::to_owned).collect()
}

/// What everybody may do who is authenticated.
const EVERYBODY: [&str; 3] = [
    "create selfsubjectaccessreviews.authorization.k8s.io",
    "create selfsubjectreviews.authentication.k8s.io",
    "create selfsubjectrulesreviews.authorization.k8s.io",
];

/// What all nodes may do alike.
const NODES: [&str; 22] = [
    "create certificatesigningrequests.certificates.k8s.io",
    "create events",
    "create events.events.k8s.io",
    "create localsubjectaccessreviews.authorization.k8s.io",
    "create subjectaccessreviews.authorization.k8s.io",
    "create tokenreviews.authentication.k8s.io",
    "get certificatesigningrequests.certificates.k8s.io",
    "get csidrivers.storage.k8s.io",
    "get endpoints",
    "get runtimeclasses.node.k8s.io",
    "get services",
    "list certificatesigningrequests.certificates.k8s.io",
    "list csidrivers.storage.k8s.io",
    "list runtimeclasses.node.k8s.io",
    "list services",
    "patch events",
    "patch events.events.k8s.io",
    "update events",
    "update events.events.k8s.io",
    "watch certificatesigningrequests.certificates.k8s.io",
    "watch csidrivers.storage.k8s.io",
    "watch runtimeclasses.node.k8s.io",
];

/// A pod, Node and so on of another node, under the name that the calls use.
async fn of_another_node(admin: &Client) {
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME},
        "spec": {"nodeName": NAME, "containers": [{"name": "c", "image": "i"}]},
    });
    send(admin, "POST", &pods, &pod).await.expect("a pod");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}});
    send(admin, "POST", "/api/v1/nodes", &node).await.expect("a node");
    let csi = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": NAME}, "spec": {"drivers": []}});
    send(admin, "POST", "/apis/storage.k8s.io/v1/csinodes", &csi).await.expect("a CSINode");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}});
    send(admin, "POST", &format!("/api/v1/namespaces/{NAMESPACE}/secrets"), &secret).await.expect("a secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_right_and_who_has_no_name_may_do_nothing() {
    let server = guarded(Env::system()).await;
    of_another_node(&server.client(UserInfo::new("admin", [GROUP_MASTERS]))).await;
    assert!(calls(&server).len() > 500, "the table has lost its rows");
    assert!(Verbs::ALL.names().count() == 8, "a verb more: how is it called?");
    let nobody = UserInfo::new("nobody", Vec::<String>::new());
    assert_eq!(open_to(&server, nobody).await, set(EVERYBODY));
    // Its calls are authorized as everybody's; admission refuses what it would write.
    let reads_rules = "create selfsubjectrulesreviews.authorization.k8s.io";
    assert_eq!(open_to(&server, UserInfo::node("")).await, set([reads_rules]));
    // In the group alone, or by the name alone, nobody is a node.
    assert_eq!(open_to(&server, UserInfo::new("bob", ["system:nodes"])).await, set(EVERYBODY));
    assert_eq!(open_to(&server, UserInfo::new("system:node:thing", Vec::<String>::new())).await, set(EVERYBODY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_touch_nothing_of_others() {
    let server = guarded(Env::system()).await;
    of_another_node(&server.client(UserInfo::new("admin", [GROUP_MASTERS]))).await;
    let expected = set(EVERYBODY.into_iter().chain(NODES).chain(["watch services"]));
    assert_eq!(open_to(&server, UserInfo::node("n1")).await, expected);
}

/// What a node's own requests come to, through the whole chain: `""` or the end of the refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_its_own_and_steers_nothing() {
    let server = guarded(Env::system()).await;
    let admin = server.client(UserInfo::new("admin", [GROUP_MASTERS]));
    let node = server.client(UserInfo::node("n1"));
    let check = async |client: &Client, method: &str, path: &str, body: Value, expected: &str| {
        let told = match send(client, method, path, &body).await {
            Ok(_) => String::new(),
            Err(error) => error.status().map_or_else(|| error.to_string(), |status| status.message.clone()),
        };
        let right = if expected.is_empty() { told.is_empty() } else { told.ends_with(expected) };
        assert!(right, "{method} {path} {body}: {told:?}, not {expected:?}");
    };
    let own = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux"}}});
    let mut addressed = own.clone();
    addressed["spec"] = json!({"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]});
    check(&node, "POST", "/api/v1/nodes", addressed, "node \"n1\" is not allowed to modify podCIDR").await;
    check(&node, "POST", "/api/v1/nodes", own, "").await;
    for path in ["/api/v1/nodes/n1", "/api/v1/nodes/n1/status"] {
        let check = async |patch: Value, expected: &str| check(&node, "PATCH", path, patch, expected).await;
        let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "m", "uid": "u"}]);
        check(json!({"metadata": {"ownerReferences": owner}}), "node \"n1\" is not allowed to modify ownerReferences")
            .await;
        check(
            json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
            "node \"n1\" is not allowed to modify taints",
        )
        .await;
        check(
            json!({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}}),
            "node \"n1\" is not allowed to modify podCIDR",
        )
        .await;
        for label in ["node-restriction.kubernetes.io/a", "node-role.kubernetes.io/control-plane"] {
            let why = format!("is not allowed to modify labels: {label}");
            check(json!({"metadata": {"labels": {label: "x"}}}), &why).await;
        }
        check(json!({"metadata": {"labels": {"mine": "x"}}}), "").await;
    }
    check(&node, "PATCH", "/api/v1/nodes/n1/status", json!({"status": {"phase": "Running"}}), "").await;
    check(&node, "DELETE", "/api/v1/nodes/n1", Value::Null, "at the cluster scope").await;

    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    for (name, of) in [("mine", "n1"), ("theirs", "n2"), ("unbound", "")] {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"a": "1"}},
            "spec": {"nodeName": of, "containers": [{"name": "c", "image": "i"}]},
        });
        send(&admin, "POST", &pods, &pod).await.expect("a pod");
    }
    let status = format!("{pods}/mine/status");
    check(&node, "PATCH", &status, json!({"status": {"phase": "Running"}}), "").await;
    let relabelled = json!({"metadata": {"labels": {"a": "2"}}, "status": {"phase": "Running"}});
    check(&node, "PATCH", &status, relabelled, "node \"n1\" cannot update labels through pod status").await;
    check(&node, "GET", &format!("{pods}/mine"), Value::Null, "").await;
    let eviction = |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    for other in ["theirs", "unbound"] {
        let why = "no relationship found between node 'n1' and this object";
        check(&node, "GET", &format!("{pods}/{other}"), Value::Null, why).await;
        let why = "node \"n1\" can only update pod status for pods with spec.nodeName set to itself";
        check(&node, "PATCH", &format!("{pods}/{other}/status"), json!({"status": {"phase": "Failed"}}), why).await;
        let why = "node \"n1\" can only delete pods with spec.nodeName set to itself";
        check(&node, "DELETE", &format!("{pods}/{other}"), Value::Null, why).await;
        let why = "node n1 can only evict pods with spec.nodeName set to itself";
        check(&node, "POST", &format!("{pods}/{other}/eviction"), eviction(other), why).await;
    }
    check(&node, "POST", &format!("{pods}/mine/eviction"), eviction("mine"), "").await;
}

/// A text that only the old namespace's objects have.
const MARK: &str = "of-the-old-tenant";

/// Who gets a namespace that another had sees nothing of it, whichever way and whatever time is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_tenant_of_an_old_namespace_reads_nothing_of_the_old_one() {
    let server = guarded(Env::system()).await;
    let admin = server.client(UserInfo::new("admin", [GROUP_MASTERS]));
    let make = async || {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
        send(&admin, "POST", "/api/v1/namespaces", &namespace).await.expect("a namespace");
    };
    make().await;
    let table = server.registry.table();
    let rows: Vec<_> = table.iter().filter(|row| row.namespaced && row.verbs.contains(Verbs::LIST)).cloned().collect();
    let collection = |row: &Resource| format!("{}/namespaces/team/{}", row.gvr().base_path(), row.resource);
    let mut made = 0;
    for row in &rows {
        let object = json!({
            "apiVersion": row.gvk().api_version(), "kind": row.kind,
            "metadata": {"name": NAME, "annotations": {"note": MARK}},
        });
        // Kinds that need more than a name are passed over.
        made += usize::from(send(&admin, "POST", &collection(row), &object).await.is_ok());
    }
    assert!(made >= 10, "only {made} kinds could be made");
    let list = send(&admin, "GET", "/api/v1/namespaces/team/configmaps", &Value::Null).await.expect("a list");
    assert!(String::from_utf8_lossy(&list).contains(MARK));
    let then = serde_json::from_slice::<Value>(&list).expect("JSON")["metadata"]["resourceVersion"].clone();
    let then = then.as_str().expect("a revision").to_owned();
    for row in rows.iter().filter(|row| row.verbs.contains(Verbs::DELETE_COLLECTION)) {
        send(&admin, "DELETE", &format!("{}?gracePeriodSeconds=0", collection(row)), &Value::Null)
            .await
            .expect("emptied");
    }
    send(&admin, "DELETE", "/api/v1/namespaces/team", &Value::Null).await.expect("deleted");
    let last =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}, "spec": {"finalizers": []}});
    send(&admin, "PUT", "/api/v1/namespaces/team/finalize", &last).await.expect("finalized");
    make().await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings";
    send(&admin, "POST", bindings, &binding).await.expect("a binding");
    let tenant = server.client(UserInfo::new("tenant", Vec::<String>::new()));
    // Roles come into force a moment after they are written.
    while send(&tenant, "GET", bindings, &Value::Null).await.is_err() {
        server.env.sleep(std::time::Duration::from_millis(1)).await;
    }
    let exact = format!("resourceVersion={then}&resourceVersionMatch=Exact");
    for row in &rows {
        let collection = collection(row);
        for path in [
            format!("{collection}?{exact}"),
            format!("{collection}?limit=1&{exact}"),
            format!("{collection}?resourceVersion={then}&resourceVersionMatch=NotOlderThan"),
            format!("{collection}?watch=true&timeoutSeconds=1&resourceVersion={then}"),
            format!("{collection}/{NAME}?{exact}"),
            format!("{collection}/{NAME}?resourceVersion={then}"),
        ] {
            let told = match send(&tenant, "GET", &path, &Value::Null).await {
                Ok(body) => String::from_utf8_lossy(&body).into_owned(),
                Err(error) => error.to_string(),
            };
            assert!(!told.contains(MARK), "{path} tells of the old namespace: {told}");
        }
    }
}
