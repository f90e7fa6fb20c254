//! What the server does by objects that it follows: ranges of Services, priority and fairness, versions that are served.

use crate::cluster::Cluster;
use crate::config::{Components, Config};
use http::Request;
use sampan_api::k8s::api::core::v1::Service;
use sampan_api::k8s::api::networking::v1::ServiceCIDR;
use sampan_api::{GroupVersionResource, Object};
use sampan_client::{CertificateAuthority, Client, Credentials, DeleteParams, Patch, RemoteConfig};
use sampan_env::{Env, Tasks};
use sampan_registry::RuntimeConfig;
use sampan_schema::gates::Gates;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// Longest that anything takes to become what it should.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that says nothing when it changes.
const LOOK: Duration = Duration::from_millis(20);

struct World {
    cluster: Cluster,
    admin: Client,
    env: Env,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

async fn world(change: impl FnOnce(&mut Config)) -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::of_tests(folder.path());
    config.components = Components { controllers: true, ..config.components };
    change(&mut config);
    let (env, tasks) = (Env::system(), Tasks::new("test"));
    let cluster = Cluster::start(&config, &env, &|_| ()).await.expect("it starts");
    let remote = RemoteConfig {
        server: cluster.server_url(),
        ca: Some(CertificateAuthority::Pem(cluster.pki.ca_pem().as_bytes().to_vec())),
        tls_server_name: None,
        credentials: Credentials::ClientCertificate {
            cert_pem: cluster.pki.admin.certificate_pem.as_bytes().to_vec(),
            key_pem: cluster.pki.admin.key_pem.as_bytes().to_vec(),
        },
    };
    let admin = Client::remote(remote, "test", &env, &tasks).expect("a client");
    World { cluster, admin, env, tasks, _folder: folder }
}

fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("of its kind")
}

fn object(value: Value) -> Object {
    Object::from_value(value).expect("an object")
}

impl World {
    /// Looks until it is so.
    async fn becomes(&self, what: &str, is: impl AsyncFn() -> bool) {
        let looked = async {
            while !is().await {
                self.env.sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    async fn end(self) {
        self.cluster.drain().await;
        self.tasks.drain(PATIENCE).await.expect("the client ends");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_come_out_of_all_ranges_that_are_ready() {
    let world = world(|_| ()).await;
    let (ranges, services) = (world.admin.all::<ServiceCIDR>(), world.admin.namespaced::<Service>("default"));
    let range = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/28"]}});
    let service = |name: &str| {
        typed::<Service>(json!({"metadata": {"name": name},
            "spec": {"clusterIP": "10.200.0.5", "clusterIPs": ["10.200.0.5"], "ports": [{"port": 80}]}}))
    };
    let told = services.create(&service("a")).await.expect_err("of no range").to_string();
    assert!(told.contains("the provided network does not match the current range"), "{told}");
    ranges.create(&typed(range)).await.expect("a range");
    world
        .becomes("the range is Ready and kept", async || {
            let range = ranges.get("more").await.expect("there");
            let conditions = range.status.and_then(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
            let kept = range.metadata.finalizers.unwrap_or_default();
            ready && kept == ["networking.k8s.io/service-cidr-finalizer"]
        })
        .await;
    world.becomes("an address of the range is given", async || services.create(&service("a")).await.is_ok()).await;
    ranges.delete("more", &DeleteParams::default()).await.expect("on its way");
    world
        .becomes("the range waits for its address", async || {
            let range = ranges.get("more").await.expect("it stays");
            let conditions = range.status.and_then(|status| status.conditions).unwrap_or_default();
            conditions.iter().any(|one| one.type_ == "Ready" && one.reason == "Terminating")
        })
        .await;
    let other = |name: &str| {
        typed::<Service>(json!({"metadata": {"name": name},
            "spec": {"clusterIP": "10.200.0.6", "clusterIPs": ["10.200.0.6"], "ports": [{"port": 80}]}}))
    };
    world
        .becomes("nothing is drawn of it any more", async || {
            let refused = services.create(&other("b")).await.is_err();
            if !refused {
                services.delete("b", &DeleteParams::default()).await.expect("deleted");
            }
            refused
        })
        .await;
    services.delete("a", &DeleteParams::default()).await.expect("deleted");
    world.becomes("the range goes", async || ranges.get_opt("more").await.expect("an answer").is_none()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_where_objects_send_them() {
    let world = world(|_| ()).await;
    let group = "flowcontrol.apiserver.k8s.io";
    let of = |resource: &str| world.admin.dynamic(&GroupVersionResource::new(group, "v1", resource), None);
    let (levels, schemas) = (of("prioritylevelconfigurations"), of("flowschemas"));
    let api = format!("{group}/v1");
    let rule =
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true});
    let subject = json!({"kind": "User", "user": {"name": "ann"}});
    let schema = json!({"apiVersion": api, "kind": "FlowSchema", "metadata": {"name": "mine"}, "spec": {
        "matchingPrecedence": 50, "priorityLevelConfiguration": {"name": "mine"},
        "rules": [{"subjects": [subject], "resourceRules": [rule]}]}});
    let schema = schemas.create(&object(schema)).await.expect("a schema");
    let dangling = async |wanted: &str| {
        let schema = schemas.get("mine").await.expect("there");
        let conditions = schema.get(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "Dangling" && one["status"] == wanted)
    };
    world.becomes("its level is missed", async || dangling("True").await).await;
    let told = schemas.get("mine").await.expect("there");
    let entries = told.get(&["metadata", "managedFields"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let consumer = "api-priority-and-fairness-config-consumer-v1";
    let applied =
        |one: &Value| one["manager"] == consumer && one["operation"] == "Apply" && one["subresource"] == "status";
    assert!(entries.iter().any(applied), "{entries:?}");
    let level = json!({"apiVersion": api, "kind": "PriorityLevelConfiguration", "metadata": {"name": "mine"},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}}}});
    let level = levels.create(&object(level)).await.expect("a level");
    world.becomes("its level is there", async || dangling("False").await).await;
    let placed = async || {
        let request = Request::get("/api/v1/namespaces/default")
            .header("impersonate-user", "ann")
            .body(Default::default())
            .expect("a request");
        let response = world.admin.send(request).await.expect("an answer");
        ["x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"]
            .map(|name| response.headers().get(name).and_then(|uid| uid.to_str().ok()).unwrap_or_default().to_owned())
    };
    let wanted = [schema.uid().to_owned(), level.uid().to_owned()];
    world.becomes("requests are of the schema", async || placed().await == wanted).await;
    schemas.patch("mine", &Patch::Merge(json!({"spec": {"matchingPrecedence": 9999}}))).await.expect("changed");
    world.becomes("another comes first", async || placed().await[0] != wanted[0]).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_served_that_the_configuration_asks_for() {
    let settings = [("networking.k8s.io/v1beta1".to_owned(), true), ("api/alpha".to_owned(), true)];
    let world = world(|config| config.runtime = RuntimeConfig::new(&settings.into()).expect("known")).await;
    let served = world.admin.discover().await.expect("discovery");
    let has = |group: &str, version: &str| {
        served.resources.iter().any(|one| one.resource.group == group && one.resource.version == version)
    };
    assert!(has("networking.k8s.io", "v1beta1") && has("resource.k8s.io", "v1alpha3"));
    assert!(!has("resource.k8s.io", "v1beta1") && !has("certificates.k8s.io", "v1alpha1"));
    let ranges = world.admin.dynamic(&GroupVersionResource::new("networking.k8s.io", "v1beta1", "servicecidrs"), None);
    let range = ranges.get("kubernetes").await.expect("the default one, in the other version");
    assert_eq!(range.api_version(), "networking.k8s.io/v1beta1");
    let request = |path: &str| Request::get(path).body(Default::default()).expect("a request");
    let openapi =
        world.admin.request_bytes(request("/openapi/v3/apis/networking.k8s.io/v1beta1")).await.expect("a document");
    let document: Value = serde_json::from_slice(&openapi).expect("JSON");
    assert!(document["components"]["schemas"]["io.k8s.api.networking.v1beta1.ServiceCIDR"].is_object());
    world.admin.request_bytes(request("/openapi/v2")).await.expect("the whole");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_versions_can_be_served_at_once() {
    let all = [("api/all".to_owned(), true)];
    let gates = ["ClusterTrustBundle", "GenericWorkload", "StorageVersionMigrator"].map(|name| (name.to_owned(), true));
    let world = world(|config| {
        config.runtime = RuntimeConfig::new(&all.into()).expect("known");
        config.gates = Gates::with(&gates.into()).expect("known");
    })
    .await;
    let get = async |path: &str, accept: &str| {
        let request = Request::get(path).header("accept", accept).body(Default::default()).expect("a request");
        world.admin.request_bytes(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let served = world.admin.discover().await.expect("discovery");
    let mut listed = 0;
    for one in served.resources.iter().filter(|one| one.has_verb("list") && one.has_verb("watch")) {
        let (version, plural) = (one.resource.group_version(), &one.resource.resource);
        let root = if version.group.is_empty() { "api" } else { "apis" };
        for accept in ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"] {
            get(&format!("/{root}/{version}/{plural}"), accept).await;
        }
        listed += 1;
    }
    assert!(listed > 70, "{listed}");
    let index: Value = serde_json::from_slice(&get("/openapi/v3", "application/json").await).expect("JSON");
    for (path, at) in index["paths"].as_object().expect("paths") {
        let url = at["serverRelativeURL"].as_str().unwrap_or_else(|| panic!("{path} has a URL"));
        get(url, "application/json").await;
        get(url, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf").await;
    }
    let whole: Value = serde_json::from_slice(&get("/openapi/v2", "application/json").await).expect("JSON");
    for kind in
        ["resource.v1alpha3.DeviceTaintRule", "certificates.v1beta1.ClusterTrustBundle", "scheduling.v1alpha1.Workload"]
    {
        assert!(whole["definitions"][format!("io.k8s.api.{kind}")].is_object(), "{kind}");
    }
    get("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf").await;
    world.end().await;
}
