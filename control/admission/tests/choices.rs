//! The plugins that a configuration turns on, and what it tells them, on an API server in this process.

use http::Request;
use sampan_admission::{PluginConfiguration, Selection};
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::Client;
use sampan_env::Env;
use sampan_testing::server::{Choice, Server, guarded_by};
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const NAMESPACE: &str = "/api/v1/namespaces/default";

struct World {
    admin: Client,
    server: Server,
}

/// A server on which these act beside the defaults, told `plugins`.
async fn world(enable: &[&str], plugins: Value) -> World {
    world_without(&[], enable, plugins).await
}

/// As above, without some of the defaults.
async fn world_without(disable: &[&str], enable: &[&str], plugins: Value) -> World {
    let names = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let (enable, disable) = (names(enable), names(disable));
    let plugins: Vec<PluginConfiguration> = serde_json::from_value(plugins).expect("a list of configurations");
    let selection = Selection::new(&enable, &disable).expect("known plugins");
    let configurations = selection.configured(&plugins).expect("sound configurations");
    let choice = Choice { selection, configurations, ..Choice::default() };
    let server = guarded_by(Env::system(), choice).await;
    World { admin: server.client(UserInfo::new("admin", [GROUP_MASTERS])), server }
}

async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(path).header("content-type", media);
    let request = request.body(body.to_string().into()).expect("a request");
    let bytes = client.request_bytes(request).await.map_err(|error| error.to_string())?;
    Ok(serde_json::from_slice(&bytes).expect("an object"))
}

impl World {
    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        send(&self.admin, "POST", path, &body).await
    }

    /// Refused, with `text` in what is told.
    async fn refused(&self, path: &str, body: Value, text: &str) {
        let told = self.post(path, body).await.expect_err(text);
        assert!(told.contains(text), "{told}\n{text}");
    }

    /// Annotates the namespace, and waits until the plugins' copy has it: until a dry run is answered as `done` wants.
    async fn annotate(&self, annotations: Value, body: &Value, done: impl Fn(&Result<Value, String>) -> bool) {
        let patch = json!({"metadata": {"annotations": annotations}});
        send(&self.admin, "PATCH", NAMESPACE, &patch).await.expect("annotated");
        while !done(&self.post(&format!("{PODS}?dryRun=All"), body.clone()).await) {
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

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_made_where_they_are_missing() {
    let world = world(&["NamespaceAutoProvision"], json!([])).await;
    let map = json!({"metadata": {"name": "m"}});
    world.post("/api/v1/namespaces/made/configmaps", map).await.expect("its namespace is made");
    let made = send(&world.admin, "GET", "/api/v1/namespaces/made", &Value::Null).await.expect("there");
    assert_eq!(made["metadata"]["name"], "made");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_no_namespace_is_refused() {
    // It would refuse before.
    let world = world_without(&["NamespaceLifecycle"], &["NamespaceExists"], json!([])).await;
    let map = json!({"metadata": {"name": "m"}});
    world.post("/api/v1/namespaces/default/configmaps", map.clone()).await.expect("it is there");
    world.refused("/api/v1/namespaces/nope/configmaps", map, "namespaces \"nope\" not found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn always_admit_changes_nothing_and_always_deny_refuses_all() {
    let map = |name: &str| json!({"metadata": {"name": name}});
    let admits = world(&["AlwaysAdmit"], json!([])).await;
    admits.post("/api/v1/namespaces/default/configmaps", map("m")).await.expect("admitted");
    let denies = world(&["AlwaysDeny"], json!([])).await;
    denies
        .refused("/api/v1/namespaces/default/configmaps", map("m"), "admission control is denying all modifications")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anti_affinity_may_be_over_nodes_alone() {
    let world = world(&["LimitPodHardAntiAffinityTopology"], json!([])).await;
    let spread = |key: &str| {
        let term = json!({"topologyKey": key, "labelSelector": {"matchLabels": {"a": "b"}}});
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
    };
    world.post(PODS, pod("a", spread("kubernetes.io/hostname"))).await.expect("over nodes");
    let text = "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key kubernetes.io/hostname is allowed";
    world.refused(PODS, pod("b", spread("zone")), text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_pulled_anew() {
    let world = world(&["AlwaysPullImages"], json!([])).await;
    let container = json!({"name": "c", "image": "i:v1", "imagePullPolicy": "IfNotPresent"});
    let made = world.post(PODS, pod("a", json!({"containers": [container]}))).await.expect("admitted");
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_requests_an_extended_resource_tolerates_its_taint() {
    let world = world(&["ExtendedResourceToleration"], json!([])).await;
    let resources = json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}});
    let container = json!({"name": "c", "image": "i", "resources": resources});
    let made = world.post(PODS, pod("a", json!({"containers": [container]}))).await.expect("admitted");
    let wanted = json!({"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"});
    let tolerations = made["spec"]["tolerations"].as_array().expect("some");
    assert!(tolerations.contains(&wanted), "{tolerations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_have_no_external_addresses_but_those_that_they_have() {
    let world = world(&["DenyServiceExternalIPs"], json!([])).await;
    let service = |name: &str, addresses: Value| {
        json!({"metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, "externalIPs": addresses}})
    };
    let services = "/api/v1/namespaces/default/services";
    world
        .refused(services, service("a", json!(["192.0.2.1"])), "Use of external IPs is denied by admission control")
        .await;
    world.post(services, service("b", json!([]))).await.expect("without");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_select_nodes_as_their_namespace_does() {
    let told = json!([{"name": "PodNodeSelector", "configuration": {"podNodeSelectorPluginConfig":
        {"clusterDefaultNodeSelector": "region=west", "default": "region=west,env=test,disk=ssd"}}}]);
    let world = world(&["PodNodeSelector"], told).await;
    let selected = |made: &Value| made["spec"]["nodeSelector"].clone();
    let made = world.post(PODS, pod("a", json!({"nodeSelector": {"disk": "ssd"}}))).await.expect("admitted");
    assert_eq!(selected(&made), json!({"region": "west", "disk": "ssd"}));
    let conflict = "pods \"b\" is forbidden: pod node label selector conflicts with its namespace node label selector";
    world.refused(PODS, pod("b", json!({"nodeSelector": {"region": "east"}})), conflict).await;
    let other = "pod node label selector labels conflict with its namespace whitelist";
    world.refused(PODS, pod("c", json!({"nodeSelector": {"disk": "hdd"}})), other).await;
    let own = json!({"scheduler.alpha.kubernetes.io/node-selector": "env=test"});
    world
        .annotate(own, &pod("dry", json!({})), |made| {
            made.as_ref().is_ok_and(|made| selected(made) == json!({"env": "test"}))
        })
        .await;
    let broken = json!({"scheduler.alpha.kubernetes.io/node-selector": "env"});
    world
        .annotate(broken, &pod("dry", json!({})), |made| {
            made.as_ref().is_err_and(|told| told.contains("invalid selector: [env]"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_tolerate_what_their_namespace_lets_them() {
    let told = json!([{"name": "PodTolerationRestriction", "configuration": {
        "default": [{"key": "d", "operator": "Exists"}],
        "whitelist": [{"key": "d", "operator": "Exists"}, {"key": "w", "operator": "Exists"},
            {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"},
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists"}]}}]);
    let world = world(&["PodTolerationRestriction"], told).await;
    let keys = |made: &Value| -> Vec<String> {
        let all = made["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["key"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let made = world.post(PODS, pod("a", json!({}))).await.expect("admitted");
    assert!(keys(&made).contains(&"d".to_owned()), "{made}");
    let limited = json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]});
    let made = world.post(PODS, pod("b", limited)).await.expect("admitted");
    assert!(
        keys(&made).contains(&"node.kubernetes.io/memory-pressure".to_owned()),
        "who asks for much stays longer: {made}"
    );
    let other = json!({"tolerations": [{"key": "x", "operator": "Exists"}]});
    let text =
        "pod tolerations (possibly merged with namespace default tolerations) conflict with its cluster whitelist";
    world.refused(PODS, pod("c", other.clone()), text).await;
    let free = json!({"scheduler.alpha.kubernetes.io/tolerationsWhitelist": "",
        "scheduler.alpha.kubernetes.io/defaultTolerations": r#"[{"key": "n", "operator": "Exists"}]"#});
    world.annotate(free, &pod("dry", other.clone()), Result::is_ok).await;
    let made = world.post(PODS, pod("d", other)).await.expect("its namespace names no bound");
    assert!(["n", "x"].iter().all(|key| keys(&made).contains(&(*key).to_owned())), "{made}");
}

fn event(name: &str, about: &str) -> Value {
    json!({"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "namespace": "default", "name": about},
        "reason": "R", "message": "m", "source": {"component": "test"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_bounded_by_what_the_configuration_names() {
    const EVENTS: &str = "/api/v1/namespaces/default/events";
    let limits = json!([{"type": "SourceAndObject", "qps": 1, "burst": 2, "cacheSize": 10}]);
    let told = json!([{"name": "EventRateLimit", "configuration": {"limits": limits}}]);
    let world = world(&["EventRateLimit"], told).await;
    // One comes back each second: sooner or later these are faster.
    let mut count = 0;
    let refused = loop {
        count += 1;
        match world.post(EVENTS, event(&format!("e{count}"), "p")).await {
            Ok(_) => assert!(count < 10_000, "nothing is bounded"),
            Err(told) => break told,
        }
    };
    let text = "Too many requests: limit reached on type SourceAndObject for key testPoddefaultp";
    assert!(count > 2 && refused.contains(text), "{count} {refused}");
    world.post(EVENTS, event("other", "q")).await.expect("those of another object are counted on their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_are_named_by_who_could_delete_or_keep_them() {
    let world = world(&["OwnerReferencesPermissionEnforcement"], json!([])).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let role = |name: &str, verbs: Value, resources: Value| {
        json!({"metadata": {"name": name},
        "rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs}]})
    };
    let bind = |role: &str, user: &str| {
        json!({"metadata": {"name": format!("{role}-{user}")},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
        "roleRef": {"kind": "Role", "apiGroup": "rbac.authorization.k8s.io", "name": role}})
    };
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let roles = [
        role("edits", json!(["create", "update", "patch", "get"]), json!(["configmaps"])),
        role("deletes", json!(["delete"]), json!(["configmaps"])),
        role("finalizes", json!(["update"]), json!(["configmaps/finalizers"])),
    ];
    for one in roles {
        world.post(&format!("{rbac}/roles"), one).await.expect("a role");
    }
    for (role, user) in [("edits", "eve"), ("edits", "dan"), ("deletes", "dan"), ("edits", "fin"), ("finalizes", "fin")]
    {
        world.post(&format!("{rbac}/rolebindings"), bind(role, user)).await.expect("a binding");
    }
    let owner = world.post(maps, json!({"metadata": {"name": "owner"}})).await.expect("an owner");
    let owned = |name: &str, blocks: bool, kind: &str| {
        json!({"metadata": {"name": name, "ownerReferences": [{
        "apiVersion": "v1", "kind": kind, "name": "owner", "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocks}]}})
    };
    let client = |user: &str| world.server.client(UserInfo::new(user, ["system:authenticated"]));
    let post = |user: &str, body: Value| {
        let client = client(user);
        async move {
            // The authorizer's copy of a binding that was just made may be late.
            loop {
                match send(&client, "POST", maps, &body).await {
                    Err(told) if told.contains("cannot create resource") => tokio::task::yield_now().await,
                    other => break other,
                }
            }
        }
    };
    post("eve", owned("a", false, "ConfigMap")).await.expect("who makes an object may give it owners");
    let told = post("eve", owned("b", true, "ConfigMap")).await.expect_err("she cannot set finalizers");
    assert!(
        told.contains(
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
        ),
        "{told}"
    );
    let told = post("eve", owned("b", true, "Nope")).await.expect_err("no such kind");
    assert!(
        told.contains(
            "cannot find RESTMapping for APIVersion v1 Kind Nope: no matches for kind \"Nope\" in version \"v1\""
        ),
        "{told}"
    );
    loop {
        // As above, of the right to set finalizers.
        match post("fin", owned("c", true, "ConfigMap")).await {
            Ok(_) => break,
            Err(told) => assert!(told.contains("can't set finalizers on"), "{told}"),
        }
        tokio::task::yield_now().await;
    }
    world.post(maps, json!({"metadata": {"name": "free"}})).await.expect("one without owners");
    let path = format!("{maps}/free");
    let patch = owned("free", false, "ConfigMap");
    let told = send(&client("eve"), "PATCH", &path, &patch).await.expect_err("she cannot delete it");
    assert!(told.contains("cannot set an ownerRef on a resource you can't delete"), "{told}");
    loop {
        match send(&client("dan"), "PATCH", &path, &patch).await {
            Ok(_) => break,
            Err(told) => assert!(told.contains("can't delete") || told.contains("cannot patch resource"), "{told}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_says_what_pods_of_unlabelled_namespaces_may() {
    let told = json!([{"name": "PodSecurity", "configuration": {"defaults": {"enforce": "baseline"},
        "exemptions": {"namespaces": ["kube-system"], "usernames": ["root"], "runtimeClasses": ["free"]}}}]);
    let world = world(&[], told).await;
    world
        .post("/apis/node.k8s.io/v1/runtimeclasses", json!({"metadata": {"name": "free"}, "handler": "h"}))
        .await
        .expect("a class");
    let host = || json!({"hostNetwork": true});
    let refused = "violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    world.refused(PODS, pod("a", host()), refused).await;
    world.post("/api/v1/namespaces/kube-system/pods", pod("a", host())).await.expect("its namespace is exempt");
    let root = world.server.client(UserInfo::new("root", [GROUP_MASTERS]));
    send(&root, "POST", PODS, &pod("b", host())).await.expect("the user is exempt");
    let free = json!({"hostNetwork": true, "runtimeClassName": "free"});
    world.post(PODS, pod("c", free)).await.expect("the runtime class is exempt");
    world
        .post(
            "/api/v1/namespaces",
            json!({"metadata": {"name": "own", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        )
        .await
        .expect("a namespace");
    world
        .post("/api/v1/namespaces/own/serviceaccounts", json!({"metadata": {"name": "default"}}))
        .await
        .expect("an account");
    world.post("/api/v1/namespaces/own/pods", pod("a", host())).await.expect("its labels come before the default");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_default_class_is_refused_before_its_name() {
    const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let world = world(&[], json!([])).await;
    let class = |name: &str| json!({"metadata": {"name": name}, "value": 5, "globalDefault": true});
    world.post(CLASSES, class("a")).await.expect("the first");
    // Until the plugin's copy has it.
    while world.post(&format!("{CLASSES}?dryRun=All"), class("b")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    for name in ["b", "a"] {
        let text = "PriorityClass a is already marked as default. Only one default can exist";
        world.refused(CLASSES, class(name), text).await;
    }
    send(&world.admin, "PUT", &format!("{CLASSES}/a"), &class("a")).await.expect("it is the default as it was");
}
