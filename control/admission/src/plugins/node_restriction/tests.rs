//! The table of what is allowed and refused, after Kubernetes' own (noderestriction/admission_test.go).

use super::*;
use base64::Engine as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use sampan_api::admission::{NoKinds, Warnings};
use sampan_api::user::{self, Decision, UserInfo};
use sampan_api::{GroupVersionResource, Object};
use sampan_client::{ApiService, Body, full};
use sampan_env::Env;
use serde_json::json;

/// Grants tokens for the audience `granted`, and nothing else.
struct Granted;

impl Authorizer for Granted {
    fn authorize<'a>(&'a self, attributes: &'a user::Attributes) -> BoxFuture<'a, Decision> {
        let granted = attributes.verb == "request-serviceaccounts-token-audience" && attributes.resource == "granted";
        Box::pin(std::future::ready(if granted { Decision::allow("") } else { Decision::no_opinion("") }))
    }
}

fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", "uid": format!("{name}-uid"), "resourceVersion": "1", "labels": {"a": "1"}},
        "spec": {"nodeName": node, "serviceAccountName": "sa", "containers": [], "volumes": [
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"audience": "projected", "path": "t"}}]}},
            {"name": "d", "csi": {"driver": "driver"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
        ]},
        "status": {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "c1"}]},
    })
}

/// What the plugin reads of the cluster.
fn stored(path: &str) -> Option<Value> {
    let driver = |name: &str, audience: &str| {
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": name, "resourceVersion": "1"},
            "spec": {"tokenRequests": [{"audience": audience}]},
        })
    };
    Some(match path {
        "/api/v1/namespaces/ns/pods/mine" => pod("mine", "mynode"),
        "/api/v1/namespaces/ns/pods/theirs" => pod("theirs", "othernode"),
        "/api/v1/namespaces/ns/pods/unbound" => pod("unbound", ""),
        "/api/v1/nodes/mynode" => {
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mynode", "uid": "mynode-uid", "resourceVersion": "1"}})
        }
        "/api/v1/namespaces/ns/serviceaccounts/sa" => {
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa", "uid": "sa-uid", "resourceVersion": "1"}})
        }
        "/api/v1/namespaces/ns/pods/mirror" => {
            let mut pod = pod("mirror", "mynode");
            pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
            pod
        }
        "/apis/storage.k8s.io/v1/csidrivers/driver" => driver("driver", "inline"),
        "/apis/storage.k8s.io/v1/csidrivers/of-claim" => driver("of-claim", "claimed"),
        "/api/v1/namespaces/ns/persistentvolumeclaims/claim" => json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim", "resourceVersion": "1"}, "spec": {"volumeName": "volume"},
        }),
        "/api/v1/persistentvolumes/volume" => json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "volume", "resourceVersion": "1"},
            "spec": {"csi": {"driver": "of-claim", "volumeHandle": "h"}},
        }),
        _ => return None,
    })
}

fn plugin() -> NodeRestriction {
    let service = tower::service_fn(async |request: Request<Body>| {
        let found = stored(request.uri().path());
        let code = if found.is_some() { 200 } else { 404 };
        let missing =
            json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
        let response = Response::builder().status(code).header("content-type", "application/json");
        Ok(response.body(full(found.unwrap_or(missing).to_string())).expect("an answer"))
    });
    let service = ApiService::new(tower::util::MapFuture::new(service, |future| {
        let future: BoxFuture<'static, _> = Box::pin(future);
        future
    }));
    NodeRestriction::new(Client::in_process(service, UserInfo::apiserver(), "test", &Env::system()), Arc::new(Granted))
}

/// One write: by `mynode`, to an object of namespace `ns` where nothing else is said.
struct Case {
    user: UserInfo,
    operation: Operation,
    /// `group/resource` or `resource`, then `:subresource`.
    resource: &'static str,
    namespace: &'static str,
    name: &'static str,
    object: Value,
    old: Value,
}

impl Case {
    fn new(operation: Operation, resource: &'static str, name: &'static str) -> Self {
        let user = UserInfo::node("mynode");
        Self { user, operation, resource, namespace: "ns", name, object: Value::Null, old: Value::Null }
    }

    fn create(resource: &'static str, name: &'static str, object: Value) -> Self {
        Self { object, ..Self::new(Operation::Create, resource, name) }
    }

    fn update(resource: &'static str, name: &'static str, old: Value, object: Value) -> Self {
        Self { object, old, ..Self::new(Operation::Update, resource, name) }
    }

    fn delete(resource: &'static str, name: &'static str, old: Value) -> Self {
        Self { old, ..Self::new(Operation::Delete, resource, name) }
    }

    fn in_namespace(self, namespace: &'static str) -> Self {
        Self { namespace, ..self }
    }

    fn by(self, user: UserInfo) -> Self {
        Self { user, ..self }
    }

    async fn run(&self) -> Result<(), Status> {
        let (resource, subresource) = self.resource.split_once(':').unwrap_or((self.resource, ""));
        let (group, resource) = resource.split_once('/').unwrap_or(("", resource));
        let resource = GroupVersionResource::new(group, "v1", resource);
        let object = |value: &Value| Object::from_value(value.clone());
        let old = object(&self.old);
        let attributes = Attributes {
            operation: self.operation,
            resource: &resource,
            subresource,
            namespace: self.namespace,
            name: self.name,
            user: &self.user,
            dry_run: false,
            options: &Value::Null,
            old: old.as_ref(),
            warnings: &Warnings::default(),
            kinds: &NoKinds,
            annotations: None,
        };
        let plugin = plugin();
        let mut sent = object(&self.object);
        match &mut sent {
            Some(sent) => assert_eq!(plugin.mutate(&attributes, sent).await?, Mutated::No),
            None => plugin.admit_deletion(&attributes).await?,
        }
        plugin.validate(&attributes, sent.as_ref()).await
    }
}

/// Whether the case is allowed (`""`), or refused with a message that ends so.
async fn check(expected: &str, case: Case) {
    let what = format!("{} {} {} {}", case.operation, case.resource, case.name, case.object);
    match case.run().await {
        Ok(()) => assert_eq!(expected, "", "{what}: it was allowed"),
        Err(status) => {
            assert!(!expected.is_empty() && status.message.ends_with(expected), "{what}: {}", status.message);
        }
    }
}

/// `of` with the value at a path replaced.
fn with(of: &Value, path: &str, value: Value) -> Value {
    let mut changed = of.clone();
    let mut at = &mut changed;
    let fields: Vec<&str> = path.split('.').collect();
    for field in &fields {
        if at.is_null() {
            *at = json!({});
        }
        at = match field.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[field.replace('~', ".")],
        };
    }
    *at = value;
    changed
}

fn mirror() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "mirror", "namespace": "ns", "annotations": {"kubernetes.io/config.mirror": "true"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "mynode", "uid": "mynode-uid", "controller": true}],
        },
        "spec": {"nodeName": "mynode", "containers": [{"name": "c"}]},
    })
}

#[tokio::test]
async fn who_is_no_node_is_none_of_its_business_and_a_nameless_one_may_do_nothing() {
    let theirs = || Case::delete("pods", "theirs", pod("theirs", "othernode"));
    check("", theirs().by(UserInfo::new("bob", Vec::<String>::new()))).await;
    // The name alone makes no node, nor does the group.
    check("", theirs().by(UserInfo::new("system:node:mynode", Vec::<String>::new()))).await;
    check("", theirs().by(UserInfo::new("bob", ["system:nodes"]))).await;
    for resource in ["pods", "nodes", "configmaps", "secrets", "apps/deployments", "coordination.k8s.io/leases"] {
        for case in [
            Case::create(resource, "x", json!({"metadata": {"name": "x"}})),
            Case::update(resource, "x", pod("x", ""), pod("x", "")),
            Case::delete(resource, "x", pod("x", "")),
        ] {
            check("could not determine node from user \"system:node:\"", case.by(UserInfo::node(""))).await;
        }
    }
}

#[tokio::test]
async fn a_node_makes_mirror_pods_only() {
    let good = mirror();
    let make = |pod: Value| Case::create("pods", "mirror", pod);
    check("", make(good.clone())).await;
    let owner = |field: &str, value: Value| with(&good, &format!("metadata.ownerReferences.0.{field}"), value);
    let volume = |mut volume: Value, why: &'static str| {
        volume["name"] = "v".into();
        (with(&good, "spec.volumes", json!([volume])), why)
    };
    let itself = "node \"mynode\" can only create pods with an owner reference set to itself";
    for (pod, why) in [
        (
            with(&good, "metadata.annotations", json!({})),
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"mynode\" can only create mirror pods",
        ),
        (
            with(&good, "spec.nodeName", "othernode".into()),
            "node \"mynode\" can only create pods with spec.nodeName set to itself",
        ),
        (
            with(&good, "spec.nodeName", "".into()),
            "node \"mynode\" can only create pods with spec.nodeName set to itself",
        ),
        (with(&good, "metadata.ownerReferences", json!([])), itself),
        (
            with(&good, "metadata.ownerReferences", json!([{}, {}])),
            "node \"mynode\" can only create pods with a single owner reference set to itself",
        ),
        (owner("kind", "Pod".into()), itself),
        (owner("apiVersion", "v2".into()), itself),
        (owner("name", "othernode".into()), itself),
        (
            owner("controller", Value::Null),
            "node \"mynode\" can only create pods with a controller owner reference set to itself",
        ),
        (
            owner("controller", false.into()),
            "node \"mynode\" can only create pods with a controller owner reference set to itself",
        ),
        (
            owner("blockOwnerDeletion", true.into()),
            "node \"mynode\" must not set blockOwnerDeletion on an owner reference",
        ),
        (owner("uid", "other".into()), "node mynode UID mismatch: expected other got mynode-uid"),
        (
            with(&good, "spec.serviceAccountName", "sa".into()),
            "node \"mynode\" can not create pods that reference serviceaccounts",
        ),
        (
            with(&good, "spec.imagePullSecrets", json!([{"name": "s"}])),
            "node \"mynode\" can not create pods that reference secrets",
        ),
        (
            with(
                &good,
                "spec.containers.0.env",
                json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            ),
            "reference secrets",
        ),
        (with(&good, "spec.initContainers", json!([{"envFrom": [{"secretRef": {"name": "s"}}]}])), "reference secrets"),
        (with(&good, "spec.volumes", json!([{"name": "v", "secret": {"secretName": "s"}}])), "reference secrets"),
        (
            with(&good, "spec.volumes", json!([{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}])),
            "reference secrets",
        ),
        (
            with(&good, "spec.containers.0.envFrom", json!([{"configMapRef": {"name": "m"}}])),
            "node \"mynode\" can not create pods that reference configmaps",
        ),
        (with(&good, "spec.volumes", json!([{"name": "v", "configMap": {"name": "m"}}])), "reference configmaps"),
        (
            with(
                &good,
                "spec.volumes",
                json!([{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"name": "b"}}]}}]),
            ),
            "node \"mynode\" can not create pods that reference clustertrustbundles",
        ),
        (
            with(&good, "spec.volumes", json!([{"name": "v", "persistentVolumeClaim": {"claimName": "p"}}])),
            "node \"mynode\" can not create pods that reference persistentvolumeclaims",
        ),
        (
            with(&good, "spec.resourceClaims", json!([{"name": "r", "resourceClaimName": "c"}])),
            "reference resourceclaims",
        ),
        volume(json!({"csi": {"driver": "d"}}), "csidrivers (via CSI volumes)"),
        volume(json!({"glusterfs": {"endpoints": "e", "path": "p"}}), "endpoints (via glusterFS volumes)"),
        volume(json!({"ephemeral": {}}), "persistentvolumeclaims (via ephemeral volumes)"),
        volume(
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
            "serviceaccounts (via projected volumes)",
        ),
        volume(json!({"projected": {"sources": [{"podCertificate": {}}]}}), "podcertificates"),
        volume(json!({"projected": {"sources": [{"other": {}}]}}), "unknown source for projected volume \"v\""),
        volume(json!({"other": {}}), "unknown volume type for volume  \"v\""),
    ] {
        check(why, make(pod)).await;
    }
    let unregistered =
        with(&with(&good, "spec.nodeName", "new".into()), "metadata.ownerReferences.0.name", "new".into());
    check("nodes \"new\" not found", make(unregistered).by(UserInfo::node("new"))).await;
}

#[tokio::test]
async fn a_node_ends_and_reports_on_its_own_pods_only() {
    let (mine, theirs, unbound) = (pod("mine", "mynode"), pod("theirs", "othernode"), pod("unbound", ""));
    check("", Case::delete("pods", "mine", mine.clone())).await;
    let only = "node \"mynode\" can only delete pods with spec.nodeName set to itself";
    check(only, Case::delete("pods", "theirs", theirs.clone())).await;
    check(only, Case::delete("pods", "unbound", unbound.clone())).await;
    let update = "unexpected operation \"UPDATE\", node \"mynode\" can only create and delete mirror pods";
    check(update, Case::update("pods", "mine", mine.clone(), mine.clone())).await;

    let status = |old: &Value, new: Value| Case::update("pods:status", "mine", old.clone(), new);
    check("", status(&mine, with(&mine, "status.phase", "Running".into()))).await;
    let only = "node \"mynode\" can only update pod status for pods with spec.nodeName set to itself";
    check(only, status(&theirs, theirs.clone())).await;
    check(only, status(&unbound, unbound.clone())).await;
    // Who binds a pod to itself in the same write is judged by what is stored.
    check(only, status(&unbound, mine.clone())).await;
    let labels = "node \"mynode\" cannot update labels through pod status";
    check(labels, status(&mine, with(&mine, "metadata.labels", json!({"a": "2"})))).await;
    check(labels, status(&mine, with(&mine, "metadata.labels", json!({})))).await;
    check(labels, status(&mine, with(&mine, "metadata.labels.b", "1".into()))).await;
    let claims = "node \"mynode\" cannot update resource claim statues";
    check(claims, status(&mine, with(&mine, "status.resourceClaimStatuses", json!([])))).await;
    check(claims, status(&mine, with(&mine, "status.resourceClaimStatuses.0.resourceClaimName", "c2".into()))).await;
    let extended = "node \"mynode\" cannot update extended resource claim status";
    check(
        extended,
        status(&mine, with(&mine, "status.extendedResourceClaimStatus", json!({"resourceClaimName": "x"}))),
    )
    .await;
    check("unexpected operation \"CREATE\"", Case::create("pods:status", "mine", mine.clone())).await;

    let evict = |name| Case::create("pods:eviction", name, json!({"metadata": {"name": name}}));
    check("", evict("mine")).await;
    check("node mynode can only evict pods with spec.nodeName set to itself", evict("theirs")).await;
    check("node mynode can only evict pods with spec.nodeName set to itself", evict("unbound")).await;
    check("pods \"gone\" not found", evict("gone")).await;
    check("could not determine pod from request data", evict("")).await;
    check("unexpected operation UPDATE", Case::update("pods:eviction", "mine", mine.clone(), mine.clone())).await;
    for subresource in ["pods:binding", "pods:resize", "pods:ephemeralcontainers", "pods:exec"] {
        let name = subresource.split_once(':').expect("one").1;
        let why = format!("unexpected pod subresource \"{name}\", only 'status' and 'eviction' are allowed");
        check(&why, Case::update(subresource, "mine", mine.clone(), mine.clone())).await;
    }
}

#[tokio::test]
async fn a_node_writes_its_own_node_without_what_others_steer_it_by() {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mynode", "labels": {"kubernetes.io/os": "linux"}}, "spec": {}});
    let make = |node: Value| Case::create("nodes", "mynode", node).in_namespace("");
    let change = |old: &Value, new: Value| Case::update("nodes", "mynode", old.clone(), new).in_namespace("");
    check("", make(node.clone())).await;
    // A node comes with taints of its own; it cannot change them later.
    let tainted = with(&node, "spec.taints", json!([{"key": "k", "effect": "NoSchedule"}]));
    check("", make(tainted.clone())).await;
    check("", change(&tainted, with(&tainted, "status", json!({"phase": "Running"})))).await;
    let other = with(&node, "metadata.name", "othernode".into());
    let modify = "node \"mynode\" is not allowed to modify node \"othernode\"";
    check(modify, Case::create("nodes", "othernode", other.clone()).in_namespace("")).await;
    for resource in ["nodes", "nodes:status"] {
        check(modify, Case::update(resource, "othernode", other.clone(), other.clone()).in_namespace("")).await;
    }
    check(modify, Case::delete("nodes", "othernode", other.clone()).in_namespace("")).await;
    check(
        "is not allowed to create pods with a non-nil configSource",
        make(with(&node, "spec.configSource", json!({"configMap": {}}))),
    )
    .await;
    check(
        "is not allowed to update configSource to a new non-nil configSource",
        change(&node, with(&node, "spec.configSource", json!({"configMap": {"name": "m"}}))),
    )
    .await;
    let taints = "node \"mynode\" is not allowed to modify taints";
    check(taints, change(&tainted, node.clone())).await;
    check(taints, change(&node, tainted.clone())).await;
    check(taints, change(&tainted, with(&tainted, "spec.taints.0.value", "v".into()))).await;
    let owned = with(
        &node,
        "metadata.ownerReferences",
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "m", "uid": "u"}]),
    );
    let owners = "node \"mynode\" is not allowed to modify ownerReferences";
    check(owners, change(&node, owned.clone())).await;
    check(owners, change(&owned, node.clone())).await;
    check(owners, make(owned.clone())).await;
    check("", change(&owned, owned.clone())).await;
    let addressed = with(&with(&node, "spec.podCIDR", "10.0.0.0/24".into()), "spec.podCIDRs", json!(["10.0.0.0/24"]));
    check("node \"mynode\" is not allowed to modify podCIDR", make(addressed.clone())).await;
    check("node \"mynode\" is not allowed to modify podCIDR", change(&node, addressed.clone())).await;
    check("node \"mynode\" is not allowed to modify podCIDR", change(&addressed, node.clone())).await;
    check(
        "node \"mynode\" is not allowed to modify podCIDRs",
        change(&node, with(&node, "spec.podCIDRs", json!(["10.0.0.0/24"]))),
    )
    .await;
    check("", change(&addressed, addressed.clone())).await;
}

#[tokio::test]
async fn labels_that_steer_workloads_are_not_a_nodes_to_set() {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mynode"}});
    for (label, allowed) in [
        ("mine", true),
        ("example.com/mine", true),
        ("kubernetes.io/hostname", true),
        ("kubernetes.io/os", true),
        ("kubernetes.io/arch", true),
        ("beta.kubernetes.io/os", true),
        ("beta.kubernetes.io/arch", true),
        ("beta.kubernetes.io/instance-type", true),
        ("node.kubernetes.io/instance-type", true),
        ("topology.kubernetes.io/zone", true),
        ("topology.kubernetes.io/region", true),
        ("failure-domain.beta.kubernetes.io/zone", true),
        ("failure-domain.beta.kubernetes.io/region", true),
        ("kubelet.kubernetes.io/x", true),
        ("a.kubelet.kubernetes.io/x", true),
        ("node.kubernetes.io/x", true),
        ("a.node.kubernetes.io/x", true),
        ("node-role.kubernetes.io/control-plane", false),
        ("kubernetes.io/role", false),
        ("node-restriction.kubernetes.io/x", false),
        ("a.node-restriction.kubernetes.io/x", false),
        ("other.kubernetes.io/x", false),
        ("k8s.io/x", false),
        ("other.k8s.io/x", false),
        ("notkubernetes.io/x", true),
        ("xnode.kubernetes.io/x", false),
    ] {
        let labelled = with(&node, "metadata.labels", json!({label: "1"}));
        let relabelled = with(&node, "metadata.labels", json!({label: "2"}));
        let set = format!("node \"mynode\" is not allowed to set the following labels: {label}");
        let modify = format!("is not allowed to modify labels: {label}");
        let expected = |why: &str| if allowed { String::new() } else { why.to_owned() };
        check(&expected(&set), Case::create("nodes", "mynode", labelled.clone())).await;
        for resource in ["nodes", "nodes:status"] {
            check(&expected(&modify), Case::update(resource, "mynode", node.clone(), labelled.clone())).await;
            check(&expected(&modify), Case::update(resource, "mynode", labelled.clone(), relabelled.clone())).await;
            check(&expected(&modify), Case::update(resource, "mynode", labelled.clone(), node.clone())).await;
        }
        check("", Case::update("nodes", "mynode", labelled.clone(), labelled)).await;
    }
    let two = with(&node, "metadata.labels", json!({"b.k8s.io/x": "", "a.k8s.io/x": "", "c": ""}));
    check("set the following labels: a.k8s.io/x, b.k8s.io/x", Case::create("nodes", "mynode", two)).await;
}

#[tokio::test]
async fn claims_leases_csi_nodes_and_slices_are_a_nodes_own() {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "resourceVersion": "1"}, "spec": {}, "status": {"capacity": {"storage": "1Gi"}}});
    let status = |new: Value| Case::update("persistentvolumeclaims:status", "c", claim.clone(), new);
    check("", status(with(&claim, "status.capacity.storage", "2Gi".into()))).await;
    check("", status(with(&claim, "status.conditions", json!([{"type": "Resizing"}])))).await;
    check("", status(with(&claim, "status.allocatedResources", json!({"storage": "2Gi"})))).await;
    check("", status(with(&claim, "metadata.resourceVersion", "".into()))).await;
    let fields = "node \"mynode\" is not allowed to update fields other than status.quantity and status.conditions";
    check(fields, status(with(&claim, "metadata.labels", json!({"a": "1"})))).await;
    check(fields, status(with(&claim, "metadata.finalizers", json!(["x"])))).await;
    check(fields, status(with(&claim, "status.phase", "Bound".into()))).await;
    check("may only update PVC status", Case::update("persistentvolumeclaims", "c", claim.clone(), claim.clone()))
        .await;
    check("may only update PVC status", Case::delete("persistentvolumeclaims", "c", claim.clone())).await;
    check("unexpected operation \"CREATE\"", Case::create("persistentvolumeclaims:status", "c", claim.clone())).await;

    let named = |name: &str| json!({"metadata": {"name": name}});
    let lease = "can only access node lease with the same name as the requesting node";
    let of = "coordination.k8s.io/leases";
    for (resource, namespace, why) in [
        (of, "kube-node-lease", lease),
        ("storage.k8s.io/csinodes", "", "can only access CSINode with the same name as the requesting node"),
    ] {
        check("", Case::create(resource, "", named("mynode")).in_namespace(namespace)).await;
        check("", Case::update(resource, "mynode", named("mynode"), named("mynode")).in_namespace(namespace)).await;
        check("", Case::delete(resource, "mynode", named("mynode")).in_namespace(namespace)).await;
        check(why, Case::create(resource, "mynode", named("other")).in_namespace(namespace)).await;
        check(why, Case::update(resource, "other", named("other"), named("other")).in_namespace(namespace)).await;
        check(why, Case::delete(resource, "other", named("other")).in_namespace(namespace)).await;
    }
    let namespace = "can only access leases in the \"kube-node-lease\" system namespace";
    check(namespace, Case::create(of, "mynode", named("mynode"))).await;
    check(namespace, Case::update(of, "mynode", named("mynode"), named("mynode"))).await;
    check(namespace, Case::delete(of, "mynode", named("mynode"))).await;

    let slice = |node: &str| json!({"metadata": {"name": "s"}, "spec": {"nodeName": node}});
    let of = "resource.k8s.io/resourceslices";
    check("", Case::create(of, "s", slice("mynode"))).await;
    check("", Case::delete(of, "s", slice("mynode"))).await;
    check(
        "can only create ResourceSlice with the same NodeName as the requesting node",
        Case::create(of, "s", slice("other")),
    )
    .await;
    check(
        "can only create ResourceSlice with the same NodeName as the requesting node",
        Case::create(of, "s", named("s")),
    )
    .await;
    check(
        "can only delete ResourceSlice with the same NodeName as the requesting node",
        Case::delete(of, "s", slice("other")),
    )
    .await;
    check("", Case::create("", "x", json!({"metadata": {"name": "x"}}))).await;
}

#[tokio::test]
async fn tokens_are_for_pods_of_the_node_and_what_they_name() {
    let request = |name: &str, uid: &str, audiences: &[&str]| {
        let object = json!({"spec": {"audiences": audiences, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}}});
        Case::create("serviceaccounts:token", "sa", object)
    };
    for audience in ["projected", "inline", "claimed", "granted"] {
        check("", request("mine", "mine-uid", &[audience])).await;
    }
    let not_found = |audience: &str| {
        format!(
            "audience \"{audience}\" not found in pod spec volume, system:node:mynode is not authorized to request tokens for this audience"
        )
    };
    check(&not_found("other"), request("mine", "mine-uid", &["other"])).await;
    check(&not_found(""), request("mine", "mine-uid", &[])).await;
    check("node may only request 0 or 1 audiences", request("mine", "mine-uid", &["projected", "inline"])).await;
    check("node requested token not bound to a pod", Case::create("serviceaccounts:token", "sa", json!({"spec": {}})))
        .await;
    check("node requested token with a pod binding without a uid", request("mine", "", &["projected"])).await;
    check("pods \"gone\" not found", request("gone", "u", &["projected"])).await;
    check("The object might have been deleted and then recreated", request("mine", "old", &["projected"])).await;
    check(
        "node requested token bound to a pod scheduled on a different node",
        request("theirs", "theirs-uid", &["projected"]),
    )
    .await;
    check("", Case::create("serviceaccounts", "sa", json!({"metadata": {"name": "sa"}}))).await;
}

#[tokio::test]
async fn a_node_asks_for_certificates_under_its_own_name() {
    let request = |signer: &str, name: &str| {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().expect("a key");
        let pem = parameters.serialize_request(&key).and_then(|request| request.pem()).expect("a request");
        let request = base64::engine::general_purpose::STANDARD.encode(pem);
        Case::create(
            "certificates.k8s.io/certificatesigningrequests",
            "r",
            json!({"spec": {"signerName": signer, "request": request}}),
        )
    };
    let own = "can only create a node CSR with CN=system:node:mynode";
    for signer in ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"] {
        check("", request(signer, "system:node:mynode")).await;
        check(own, request(signer, "system:node:othernode")).await;
        check(own, request(signer, "admin")).await;
    }
    check("", request("example.com/signer", "admin")).await;
    let garbage = json!({"spec": {"signerName": "kubernetes.io/kubelet-serving", "request": "AAAA"}});
    let refused = Case::create("certificates.k8s.io/certificatesigningrequests", "r", garbage).run().await;
    assert!(refused.is_err_and(|status| status.message.contains("unable to parse csr")));
}

#[tokio::test]
async fn a_node_asks_for_certificates_of_its_own_pods() {
    const RESOURCE: &str = "certificates.k8s.io/podcertificaterequests";
    let asked = |other: &[(&str, &str)]| {
        let mut spec = json!({
            "nodeName": "mynode", "nodeUID": "mynode-uid", "podName": "mine", "podUID": "mine-uid",
            "serviceAccountName": "sa", "serviceAccountUID": "sa-uid",
        });
        for (field, value) in other {
            spec[*field] = json!(value);
        }
        Case::create(RESOURCE, "r", json!({"spec": spec}))
    };
    check("", asked(&[])).await;
    check(
        "PodCertificateRequest.Spec.NodeName=\"othernode\", which is not the requesting node \"mynode\"",
        asked(&[("nodeName", "othernode")]),
    )
    .await;
    check(
        "PodCertificateRequest for pod \"ns/mine\" names node UID \"old\", inconsistent with the running node (\"mynode-uid\")",
        asked(&[("nodeUID", "old")]),
    )
    .await;
    check(
        "while retrieving pod \"ns/gone\" named in the PodCertificateRequest: pod \"gone\" not found",
        asked(&[("podName", "gone")]),
    )
    .await;
    check(
        "PodCertificateRequest for pod \"ns/mine\" contains pod UID (\"old\") which differs from running pod \"mine-uid\"",
        asked(&[("podUID", "old")]),
    )
    .await;
    check(
        "pod \"ns/theirs\" is not running on node \"mynode\" named in the PodCertificateRequest",
        asked(&[("podName", "theirs"), ("podUID", "theirs-uid")]),
    )
    .await;
    check("pod \"ns/mirror\" is a mirror pod", asked(&[("podName", "mirror"), ("podUID", "mirror-uid")])).await;
    check(
        "PodCertificateRequest for pod \"ns/mine\" contains serviceAccountName (\"x\") that differs from running pod (\"sa\")",
        asked(&[("serviceAccountName", "x")]),
    )
    .await;
    check(
        "names service account UID \"old\", which differs from the running service account (\"sa-uid\")",
        asked(&[("serviceAccountUID", "old")]),
    )
    .await;
    check("unexpected operation UPDATE", Case::update(RESOURCE, "r", json!({}), json!({}))).await;
    check(
        "unexpected subresource status",
        Case { resource: "certificates.k8s.io/podcertificaterequests:status", ..asked(&[]) },
    )
    .await;
}
