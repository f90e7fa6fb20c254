//! The plugins that act by default, on an API server in this process.

use http::Request;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::Client;
use sampan_env::Env;
use sampan_testing::server::{Server, guarded};
use serde_json::{Value, json};
use std::time::Duration;

struct World {
    admin: Client,
    _server: Server,
}

async fn world() -> World {
    let server = guarded(Env::system()).await;
    World { admin: server.client(UserInfo::new("admin", [GROUP_MASTERS])), _server: server }
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

impl World {
    async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        let request = request.body(body.to_string().into()).expect("a request");
        let bytes = self.admin.request_bytes(request).await.map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&bytes).expect("an object"))
    }

    async fn make(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, &body).await.expect("made")
    }

    /// Asks in dry runs until the plugin's own copy has what was made a moment ago.
    async fn until(&self, path: &str, body: &Value, done: impl Fn(&Result<Value, String>) -> bool) {
        let dry = format!("{path}?dryRun=All");
        while !done(&self.send("POST", &dry, body).await) {
            tokio::task::yield_now().await;
        }
    }
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn claim(name: &str, spec: Value) -> Value {
    let storage = json!({"requests": {"storage": "1Gi"}});
    let mut claim =
        json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": storage}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        claim["spec"][key] = value.clone();
    }
    claim
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_fill_in_and_bound() {
    let world = world().await;
    let limits = json!([{"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}},
        {"type": "Pod", "max": {"cpu": "1"}}]);
    world
        .make("/api/v1/namespaces/default/limitranges", json!({"metadata": {"name": "l"}, "spec": {"limits": limits}}))
        .await;
    world
        .until(PODS, &pod("dry", json!({})), |made| {
            made.as_ref().is_ok_and(|pod| !pod["metadata"]["annotations"].is_null())
        })
        .await;
    let made = world.make(PODS, pod("a", json!({}))).await;
    let expected = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}});
    assert_eq!(made["spec"]["containers"][0]["resources"], expected);
    assert_eq!(made["status"]["qosClass"], "Burstable", "what is filled in counts");
    let large = json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "3"}}}]});
    let refused = world.send("POST", PODS, &pod("b", large)).await.expect_err("too large");
    let text = "pods \"b\" is forbidden: [maximum cpu usage per Container is 1, but limit is 3, maximum cpu usage per Pod is 1, but limit is 3]";
    assert!(refused.contains(text), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_get_what_their_runtime_class_says() {
    let world = world().await;
    let missing = world.send("POST", PODS, &pod("p", json!({"runtimeClassName": "nope"}))).await.expect_err("no class");
    assert!(missing.contains("pods \"p\" is forbidden: pod rejected: RuntimeClass \"nope\" not found"), "{missing}");
    let class = json!({"metadata": {"name": "rc"}, "handler": "h", "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]}});
    world.make("/apis/node.k8s.io/v1/runtimeclasses", class).await;
    let named = || json!({"runtimeClassName": "rc", "nodeSelector": {"c": "d"}});
    let made = world.make(PODS, pod("q", named())).await;
    assert_eq!(
        (&made["spec"]["overhead"], &made["spec"]["nodeSelector"]),
        (&json!({"cpu": "10m"}), &json!({"a": "b", "c": "d"}))
    );
    let tolerations = made["spec"]["tolerations"].as_array().expect("some");
    assert!(tolerations.iter().any(|one| one["key"] == "k"), "{tolerations:?}");
    let refused = |spec: Value, text: &'static str| {
        let world = &world;
        async move {
            let refused = world.send("POST", PODS, &pod("r", spec)).await.expect_err(text);
            assert!(refused.contains(text), "{refused}");
        }
    };
    let conflict = json!({"runtimeClassName": "rc", "nodeSelector": {"a": "x"}});
    refused(conflict, "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = x").await;
    let other = json!({"runtimeClassName": "rc", "overhead": {"cpu": "20m"}});
    refused(other, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead").await;
    let none = json!({"overhead": {"cpu": "20m"}});
    refused(none, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_get_the_default_class_and_grow_where_they_may() {
    let world = world().await;
    let class = |name: &str, default: bool| {
        let annotation = json!({"storageclass.kubernetes.io/is-default-class": default.to_string()});
        json!({"metadata": {"name": name, "annotations": annotation}, "provisioner": "x.dev/p", "allowVolumeExpansion": default})
    };
    world.make("/apis/storage.k8s.io/v1/storageclasses", class("fixed", false)).await;
    world.make("/apis/storage.k8s.io/v1/storageclasses", class("gold", true)).await;
    let classed =
        |made: &Result<Value, String>| made.as_ref().is_ok_and(|claim| claim["spec"]["storageClassName"] == "gold");
    world.until(CLAIMS, &claim("dry", json!({})), classed).await;
    let made = world.make(CLAIMS, claim("a", json!({}))).await;
    assert_eq!(made["spec"]["storageClassName"], "gold");
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let none = world.make(CLAIMS, claim("b", json!({"storageClassName": ""}))).await;
    assert_eq!(none["spec"]["storageClassName"], "", "no class is a choice, too");
    world.make(CLAIMS, claim("c", json!({"storageClassName": "fixed"}))).await;
    let larger = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
    for name in ["a", "c"] {
        world.send("PATCH", &format!("{CLAIMS}/{name}/status"), &bound).await.expect("bound");
    }
    world.send("PATCH", &format!("{CLAIMS}/a"), &larger).await.expect("grown");
    let refused = world.send("PATCH", &format!("{CLAIMS}/c"), &larger).await.expect_err("a class that does not grow");
    let text = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    assert!(refused.contains(text), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ingresses_get_the_default_class_and_pods_their_place() {
    let world = world().await;
    let class = json!({"metadata": {"name": "web", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "x.dev/c"}});
    world.make("/apis/networking.k8s.io/v1/ingressclasses", class).await;
    let ingress = json!({"metadata": {"name": "i"}, "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}});
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let classed =
        |made: &Result<Value, String>| made.as_ref().is_ok_and(|one| one["spec"]["ingressClassName"] == "web");
    world.until(ingresses, &ingress, classed).await;

    let node = json!({"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z", "other": "o"}}});
    let node = world.make("/api/v1/nodes", node).await;
    let taints = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
    assert_eq!(node["spec"]["taints"], taints);
    let placed = |made: &Result<Value, String>| made.as_ref().is_ok_and(|pod| !pod["metadata"]["labels"].is_null());
    world.until(PODS, &pod("dry", json!({"nodeName": "n"})), placed).await;
    world.make(PODS, pod("p", json!({}))).await;
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    world.make(&format!("{PODS}/p/binding"), binding).await;
    let bound = world.send("GET", &format!("{PODS}/p"), &Value::Null).await.expect("there");
    assert_eq!(bound["metadata"]["labels"], json!({"topology.kubernetes.io/zone": "z"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespaces_labels_say_what_its_pods_may() {
    let world = world().await;
    let shared = |name: &str| pod(name, json!({"hostPID": true}));
    world.make(PODS, shared("old")).await;
    let label = |level: &str| json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}});
    let wrong = world.send("PATCH", "/api/v1/namespaces/default", &label("strict")).await.expect_err("no level");
    let text = "Namespace \"default\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted";
    assert!(wrong.contains(text), "{wrong}");
    world.send("PATCH", "/api/v1/namespaces/default", &label("baseline")).await.expect("labelled");
    world.until(PODS, &shared("dry"), |made| made.is_err()).await;
    let refused = world.send("POST", PODS, &shared("new")).await.expect_err("forbidden");
    let text = "pods \"new\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    assert!(refused.contains(text), "{refused}");
    world.make(PODS, pod("plain", json!({}))).await;
    // Who writes a template is only told.
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"hostPID": true, "containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    world.make("/apis/apps/v1/namespaces/default/deployments", json!({"metadata": {"name": "d"}, "spec": spec})).await;
}

#[tokio::test(start_paused = true)]
async fn the_account_of_a_new_namespace_is_waited_for() {
    let world = world().await;
    world.make("/api/v1/namespaces", json!({"metadata": {"name": "new"}})).await;
    let pods = "/api/v1/namespaces/new/pods";
    let began = world.admin.env().instant();
    let refused = world.send("POST", pods, &pod("none", json!({}))).await.expect_err("nobody makes the account");
    let text = "error looking up service account new/default: serviceaccount \"default\" not found";
    assert!(refused.contains(text), "{refused}");
    let waited = world.admin.env().instant() - began;
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    let other = pod("other", json!({"serviceAccountName": "other"}));
    let began = world.admin.env().instant();
    world.send("POST", pods, &other).await.expect_err("nobody waits for another account");
    let waited = world.admin.env().instant() - began;
    assert!(waited < Duration::from_millis(100), "{waited:?}");
    let body = pod("p", json!({}));
    let (made, ()) = tokio::join!(world.send("POST", pods, &body), async {
        // By then the pod waits: time passes only when nothing else can go on.
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.make("/api/v1/namespaces/new/serviceaccounts", json!({"metadata": {"name": "default"}})).await;
    });
    assert_eq!(made.expect("waited for")["spec"]["serviceAccountName"], "default");
}
