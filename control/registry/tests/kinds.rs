//! The registry over the built-in rows and the real schema.

use sampan_api::admission::{AdmitAll, Warnings};
use sampan_api::object::Object;
use sampan_api::selector::FieldSelector;
use sampan_api::user::UserInfo;
use sampan_env::{Env, Tasks};
use sampan_registry::versions;
use sampan_registry::{
    Caller, Config, DeleteOptions, ListOptions, ManagedWrite, Propagation, Registry, ResourceTable, SubresourceBody,
    UpdateOptions,
};
use sampan_schema::Schema;
use sampan_store::memory::MemoryStore;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn simulated() -> Env {
    Env::simulated(1, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600))
}

async fn registry() -> Registry {
    registry_of(simulated()).await
}

async fn registry_of(env: Env) -> Registry {
    let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
    let table = Arc::new(ResourceTable::builtin().expect("the built-in rows make a table"));
    Registry::open(Config::new(store, env, table)).await.expect("opens")
}

struct Client {
    user: UserInfo,
    warnings: Warnings,
}

impl Client {
    fn new() -> Self {
        Self { user: UserInfo::new("ann", ["people"]), warnings: Warnings::default() }
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            user: &self.user,
            verb: "test",
            user_agent: "test/1",
            request_id: "r",
            field_manager: "test",
            dry_run: false,
            options: &Value::Null,
            admission: &AdmitAll,
            warnings: &self.warnings,
        }
    }
}

fn decode(group: &str, version: &str, kind: &str, value: Value) -> Object {
    let schema = Schema::builtin();
    let id = schema.find(group, version, kind).expect("a kind of the schema");
    let decoded = sampan_schema::json::from_value(schema, id, &value).expect("decodes");
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    Object::from_value(decoded.value).expect("an object")
}

fn pod(name: &str, node: Option<&str>) -> Object {
    let mut spec = json!({"containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}, "env": [{"name": "A", "value": "b"}]}]});
    if let Some(node) = node {
        spec["nodeName"] = json!(node);
    }
    let meta = json!({"name": name, "labels": {"app": "web", "tier": "front"}});
    decode("", "v1", "Pod", json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}))
}

#[tokio::test]
async fn a_pod_lives_and_dies_as_a_kubernetes_pod() {
    let registry = registry().await;
    let table = registry.table();
    let pods = table.lookup("", "v1", "pods").expect("a row");
    let client = Client::new();
    let record = registry.create(&client.caller(), pods, "default", pod("web", None)).await.expect("created");
    let object = record.object();
    assert_eq!(object.get_str(&["spec", "restartPolicy"]), Some("Always"));
    assert_eq!(object.get_str(&["status", "phase"]), Some("Pending"));
    assert_eq!(object.get_str(&["status", "qosClass"]), Some("Burstable"));
    assert_eq!(object.generation(), 1);
    let manager = &object.metadata()["managedFields"][0];
    assert_eq!((&manager["manager"], &manager["operation"]), (&json!("test"), &json!("Update")));
    assert!(manager["fieldsV1"]["f:spec"]["f:containers"].is_object(), "{manager}");

    let transform = |current: Option<&Object>| {
        let mut object = current.cloned().unwrap_or_default();
        object.set(&["spec", "nodeName"], "n1");
        Ok(object)
    };
    let binding = UpdateOptions { subresource: "binding".into(), ..UpdateOptions::default() };
    let bound = registry.update(&client.caller(), pods, "default", "web", &binding, &transform).await.expect("bound");
    assert_eq!(bound.record.field("spec.nodeName"), Some("n1"));
    assert_eq!(bound.record.object().generation(), 1);

    let deleted =
        registry.delete(&client.caller(), pods, "default", "web", &DeleteOptions::default()).await.expect("deleted");
    assert!(!deleted.gone, "a bound pod is given its time");
    assert_eq!(deleted.record.object().deletion_grace_period_seconds(), Some(30));
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    assert!(registry.delete(&client.caller(), pods, "default", "web", &now).await.expect("deleted").gone);

    registry.create(&client.caller(), pods, "default", pod("idle", None)).await.expect("created");
    let deleted =
        registry.delete(&client.caller(), pods, "default", "idle", &DeleteOptions::default()).await.expect("deleted");
    assert!(deleted.gone, "nobody runs it");
}

#[tokio::test]
async fn a_service_gets_an_address_and_a_namespace_its_finalizer() {
    let registry = registry().await;
    let table = registry.table();
    let client = Client::new();
    let services = table.lookup("", "v1", "services").expect("a row");
    let service = json!({"metadata": {"name": "web"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let service = decode("", "v1", "Service", service);
    let record = registry.create(&client.caller(), services, "default", service).await.expect("created");
    let object = record.object();
    assert!(object.get_str(&["spec", "clusterIP"]).is_some_and(|ip| ip.starts_with("10.96.")), "{object:?}");
    assert!(object.get(&["spec", "ports"]).is_some_and(|ports| ports[0]["nodePort"].is_number()), "{object:?}");

    let namespaces = table.lookup("", "v1", "namespaces").expect("a row");
    let namespace = decode("", "v1", "Namespace", json!({"metadata": {"name": "team"}}));
    registry.create(&client.caller(), namespaces, "", namespace).await.expect("created");
    let deleted =
        registry.delete(&client.caller(), namespaces, "", "team", &DeleteOptions::default()).await.expect("marked");
    assert!(!deleted.gone);
    assert_eq!(deleted.record.object().get_str(&["status", "phase"]), Some("Terminating"));
    let finalize = UpdateOptions { subresource: "finalize".into(), ..UpdateOptions::default() };
    let transform = |current: Option<&Object>| {
        let mut object = current.cloned().unwrap_or_default();
        object.remove(&["spec", "finalizers"]);
        Ok(object)
    };
    registry.update(&client.caller(), namespaces, "", "team", &finalize, &transform).await.expect("finalized");
    assert!(registry.list(namespaces, "", &ListOptions::default()).await.expect("lists").items.is_empty());
}

/// Every stored row can be listed and watched, its history class and selectors included.
#[tokio::test]
async fn every_stored_row_is_served() {
    let registry = registry().await;
    let table = registry.table();
    let mut listed = 0;
    for row in table.iter().filter(|row| row.body == sampan_registry::Body::Stored) {
        let list = registry.list(row, "", &ListOptions::default()).await.expect("lists");
        assert!(list.items.is_empty(), "{row:?}");
        assert!(registry.watch(row, "", &ListOptions::default()).await.is_ok(), "{row:?}");
        listed += 1;
    }
    assert!(listed > 50, "{listed}");
}

/// What a creation costs beyond the store's disk, decoding and HTTP. Prints; asserts only that it is not absurd.
#[tokio::test]
async fn the_cost_of_a_creation_is_printed() {
    let registry = registry().await;
    let table = registry.table();
    let pods = table.lookup("", "v1", "pods").expect("a row");
    let client = Client::new();
    let env = Env::system();
    let rounds = 2000;
    let made: Vec<Object> = (0..rounds).map(|i| pod(&format!("p{i}"), Some(&format!("n{}", i % 50)))).collect();
    let start = env.instant();
    for object in made {
        registry.create(&client.caller(), pods, "default", object).await.expect("created");
    }
    let each = start.elapsed() / rounds;
    let start = env.instant();
    let mut out = Vec::new();
    for i in 0..rounds {
        let name = format!("p{i}");
        out.clear();
        registry.get(pods, "default", &name, &Default::default()).await.expect("there").write_json(&mut out);
    }
    let read = start.elapsed() / rounds;
    println!("create {each:?}, get {read:?} ({} bytes)", out.len());
    assert!(each < Duration::from_millis(20), "{each:?}");
}

/// What an endpoint leaves alone nobody comes to own by writing to it.
#[test]
fn fields_that_an_endpoint_does_not_write_are_not_owned_by_it() {
    let table = ResourceTable::builtin().expect("the built-in rows make a table");
    let check = |group: &str, resource: &str, view: &str, mut old: Value, new: Value, owned: &[&str]| {
        let row = table.lookup(group, "v1", resource).expect("a row");
        (old["apiVersion"], old["kind"]) = (row.api_version().into(), row.kind.clone().into());
        old["metadata"]["managedFields"] = json!([{"manager": "other", "operation": "Update",
            "apiVersion": row.api_version(), "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": {}}}}]);
        let mut merged = old.clone();
        for (name, part) in new.as_object().expect("parts") {
            merged[name] = part.clone();
        }
        merged["metadata"]["managedFields"] = old["metadata"]["managedFields"].clone();
        let object = |value: Value| Object::from_value(value).expect("an object");
        let mut written = object(merged);
        let write = ManagedWrite { manager: "me", subresource: view, time: "2026-01-01T00:00:00Z" };
        sampan_registry::shapes::track_managers(
            row,
            Some(&object(old)),
            &mut written,
            &write,
            &*versions::of_row(&table, row),
        );
        let entries = written.metadata()["managedFields"].as_array().cloned().unwrap_or_default();
        let mine =
            entries.iter().find(|entry| entry["manager"] == "me").and_then(|entry| entry["fieldsV1"].as_object());
        let mut found: Vec<String> = Vec::new();
        for (part, fields) in mine.into_iter().flatten() {
            let fields = fields.as_object().into_iter().flatten().filter(|(name, _)| *name != ".");
            found.extend(fields.map(|(name, _)| format!("{part}/{name}")));
        }
        assert_eq!(found, owned, "{resource} {view:?}");
    };
    let old = || json!({"metadata": {"name": "a"}});
    let labelled = || json!({"name": "a", "labels": {"x": "y"}});
    check(
        "apps",
        "deployments",
        "status",
        old(),
        json!({"metadata": labelled(), "spec": {"replicas": 3}, "status": {"replicas": 3}}),
        &["f:status/f:replicas"],
    );
    check(
        "apps",
        "replicasets",
        "status",
        old(),
        json!({"metadata": labelled(), "status": {"replicas": 3}}),
        &["f:metadata/f:labels", "f:status/f:replicas"],
    );
    check(
        "flowcontrol.apiserver.k8s.io",
        "flowschemas",
        "status",
        old(),
        json!({"metadata": labelled(), "status": {"conditions": [{"type": "Dangling", "status": "True"}]}}),
        &["f:status/f:conditions"],
    );
    let request = || json!({"spec": {"signerName": "a.b/c"}, "status": {"certificate": "AQ=="}});
    check("certificates.k8s.io", "certificatesigningrequests", "", old(), request(), &[]);
    check("certificates.k8s.io", "certificatesigningrequests", "status", old(), request(), &["f:status/f:certificate"]);
    check("certificates.k8s.io", "certificatesigningrequests", "approval", old(), request(), &[]);
}

/// What an endpoint leaves alone it neither changes nor comes to own: one list says both, for every kind and view.
#[test]
fn fields_that_an_endpoint_does_not_write_stay_as_they_were() {
    let table = ResourceTable::builtin().expect("the built-in rows make a table");
    let whole = |mark: &str| {
        let part = json!({"certificate": mark, "x": mark});
        let metadata = json!({"name": "a", "labels": {"l": mark}, "annotations": {"a": mark}, "deletionTimestamp": mark,
            "ownerReferences": [{"uid": mark}], "finalizers": [mark]});
        Object::from_value(json!({"metadata": metadata, "spec": part, "status": part})).expect("an object")
    };
    let mut checked = 0;
    for row in table.iter() {
        let views =
            row.subresources.iter().filter(|sub| sub.body == SubresourceBody::View).map(|sub| sub.name.as_ref());
        for view in views.chain([""]) {
            let (mut old, mut new) = (whole("old"), whole("new"));
            let entry = json!([{"manager": "other", "operation": "Update", "apiVersion": row.api_version(),
                "fieldsType": "FieldsV1", "fieldsV1": {"f:other": {}}}]);
            for object in [&mut old, &mut new] {
                object.set_gvk(&row.gvk());
                object.set_meta("managedFields", entry.clone());
            }
            let written = new.clone();
            sampan_registry::shapes::restore_unwritten(row, &mut new, &old, view);
            let reset = row.reset_paths(view);
            for path in [
                vec!["spec", "x"],
                vec!["status", "x"],
                vec!["status", "certificate"],
                vec!["metadata", "labels"],
                vec!["metadata", "annotations"],
                vec!["metadata", "ownerReferences"],
                vec!["metadata", "finalizers"],
            ] {
                let kept = reset.iter().any(|reset| path.starts_with(reset)) || (view == "status" && path[0] == "spec");
                let expected = if kept { old.get(&path) } else { written.get(&path) };
                assert_eq!(new.get(&path), expected, "{row:?} {view:?} {path:?}");
                checked += 1;
            }
            let write = ManagedWrite { manager: "me", subresource: view, time: "2026-01-01T00:00:00Z" };
            sampan_registry::shapes::track_managers(row, Some(&old), &mut new, &write, &*versions::of_row(&table, row));
            let entries = new.metadata()["managedFields"].as_array().cloned().unwrap_or_default();
            let mine = entries.iter().find(|entry| entry["manager"] == "me").map(|entry| entry["fieldsV1"].clone());
            for path in row.unowned_paths(view) {
                let at = path
                    .iter()
                    .try_fold(mine.clone().unwrap_or_default(), |at, name| at.get(format!("f:{name}")).cloned());
                assert_eq!(at, None, "{row:?} {view:?} {path:?}");
            }
        }
    }
    assert!(checked > 500, "{checked}");
}

/// Of every kind that has pods: the administrator's word counts, and Kubernetes' installers allow it.
#[tokio::test]
async fn privileged_containers_are_for_the_administrator_to_allow() {
    let container = json!({"name": "c", "image": "i", "securityContext": {"privileged": true}});
    let always = json!({"containers": [container]});
    let once = json!({"containers": [container], "restartPolicy": "Never"});
    let labels = json!({"app": "a"});
    let template = |spec: &Value| json!({"metadata": {"labels": labels}, "spec": spec});
    let selected = |spec: &Value| json!({"selector": {"matchLabels": labels}, "template": template(spec)});
    let kinds = [
        ("", "v1", "Pod", "spec", always.clone(), "spec.containers[0]"),
        (
            "",
            "v1",
            "Pod",
            "spec",
            json!({"initContainers": [container], "containers": [{"name": "d", "image": "i"}]}),
            "spec.initContainers[0]",
        ),
        ("", "v1", "PodTemplate", "template", template(&always), "template.spec.containers[0]"),
        (
            "",
            "v1",
            "ReplicationController",
            "spec",
            json!({"selector": labels, "template": template(&always)}),
            "spec.template.spec.containers[0]",
        ),
        ("apps", "v1", "ReplicaSet", "spec", selected(&always), "spec.template.spec.containers[0]"),
        ("apps", "v1", "Deployment", "spec", selected(&always), "spec.template.spec.containers[0]"),
        ("apps", "v1", "DaemonSet", "spec", selected(&always), "spec.template.spec.containers[0]"),
        ("apps", "v1", "StatefulSet", "spec", selected(&always), "spec.template.spec.containers[0]"),
        ("batch", "v1", "Job", "spec", json!({"template": {"spec": once}}), "spec.template.spec.containers[0]"),
        (
            "batch",
            "v1",
            "CronJob",
            "spec",
            json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": once}}}}),
            "spec.jobTemplate.spec.template.spec.containers[0]",
        ),
    ];
    for allow_privileged in [true, false] {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600));
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let table = Arc::new(ResourceTable::builtin().expect("the built-in rows make a table"));
        let mut config = Config::new(store, env, table);
        assert!(config.capabilities.allow_privileged, "by default");
        config.capabilities.allow_privileged = allow_privileged;
        let registry = Registry::open(config).await.expect("opens");
        let client = Client::new();
        for (group, version, kind, part, value, place) in &kinds {
            let table = registry.table();
            let gvk = sampan_api::meta::GroupVersionKind::new(*group, *version, *kind);
            let row = table.of_kind(&gvk).expect("a row");
            let text = json!({"apiVersion": row.api_version(), "kind": kind, "metadata": {"name": "x"}, *part: value});
            let object = decode(group, version, kind, text);
            let caller = Caller { dry_run: true, ..client.caller() };
            let made = registry.create(&caller, row, "default", object).await;
            if allow_privileged {
                made.unwrap_or_else(|error| panic!("{kind}: {error}"));
                continue;
            }
            let told = made.expect_err("it is not allowed").status().message;
            let refusal = format!("{place}.securityContext.privileged: Forbidden: disallowed by cluster policy");
            assert!(told.contains(&refusal), "{kind}: {told}");
        }
    }
}

const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod by that name, changed through one of its views; the error's message.
async fn changed(
    registry: &Registry,
    view: &str,
    name: &str,
    change: impl Fn(&mut Object) + Sync,
) -> Result<Object, String> {
    let (table, client) = (registry.table(), Client::new());
    let pods = table.lookup("", "v1", "pods").expect("a row");
    let options = UpdateOptions { subresource: view.into(), ..UpdateOptions::default() };
    let transform = |current: Option<&Object>| {
        let mut object = current.cloned().unwrap_or_default();
        change(&mut object);
        Ok(object)
    };
    let outcome = registry.update(&client.caller(), pods, "default", name, &options, &transform).await;
    outcome.map(|updated| updated.record.object()).map_err(|error| error.status().message)
}

/// Who may change its containers alone does not come to relabel a pod, to have it collected or to keep it from its end.
#[tokio::test]
async fn views_of_containers_write_no_metadata() {
    let registry = registry().await;
    let (table, client) = (registry.table(), Client::new());
    let pods = table.lookup("", "v1", "pods").expect("a row");
    let made = registry.create(&client.caller(), pods, "default", pod("web", Some("n1"))).await.expect("created");
    let made = made.object();
    let parts = [
        ("labels", json!({"a": "evil"})),
        ("annotations", json!({"a": "evil"})),
        ("finalizers", json!(["e.vil/x"])),
        ("ownerReferences", json!([{"apiVersion": "v1", "kind": "Namespace", "name": "nope", "uid": "u"}])),
    ];
    for view in ["ephemeralcontainers", "resize"] {
        for (part, value) in &parts {
            let pod = changed(&registry, view, "web", |pod| pod.set_meta(part, value.clone())).await.expect("accepted");
            assert_eq!(pod.metadata().get(*part), made.metadata().get(*part), "{part} through {view}");
        }
    }
}

/// What marks a pod as the mirror of another is fixed, by whatever path it is written.
#[tokio::test]
async fn annotations_that_a_pod_is_made_with_stay() {
    const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/c";
    let registry = registry().await;
    let (table, client) = (registry.table(), Client::new());
    let pods = table.lookup("", "v1", "pods").expect("a row");
    let mut mirror = pod("mirror", Some("n1"));
    mirror.set_meta("annotations", json!({MIRROR: "m", APP_ARMOR: "unconfined"}));
    for object in [mirror, pod("plain", Some("n1"))] {
        registry.create(&client.caller(), pods, "default", object).await.expect("created");
    }
    for view in ["", "status"] {
        for (name, annotations, why) in [
            ("plain", json!({MIRROR: "m"}), "may not add mirror pod annotation"),
            ("plain", json!({APP_ARMOR: "unconfined"}), "may not add AppArmor annotations"),
            (
                "mirror",
                json!({MIRROR: "other", APP_ARMOR: "unconfined"}),
                "may not remove or update mirror pod annotation",
            ),
            ("mirror", json!({APP_ARMOR: "unconfined"}), "may not remove or update mirror pod annotation"),
            ("mirror", json!({MIRROR: "m"}), "may not remove or update AppArmor annotations"),
            ("mirror", json!({MIRROR: "m", APP_ARMOR: "unconfined", "more": "x"}), ""),
        ] {
            let outcome = changed(&registry, view, name, |pod| pod.set_meta("annotations", annotations.clone())).await;
            match (why, outcome) {
                ("", outcome) => drop(outcome.expect("other annotations are free")),
                (why, outcome) => {
                    let message = outcome.expect_err(why);
                    assert!(message.contains(why), "{view:?} of {name}: {message}");
                }
            }
        }
    }
    for (view, why) in [
        ("ephemeralcontainers", "static pods do not support ephemeral containers"),
        ("resize", "static pods cannot be resized"),
    ] {
        let message = changed(&registry, view, "mirror", |_| {}).await.expect_err("it is a mirror");
        assert!(message.contains(why), "{view}: {message}");
    }
}

/// A node writes the slices of its own devices, by name of the node: they stay there.
/// As recorded of kube-apiserver v1.35.0.
#[tokio::test]
async fn events_have_no_dependents_and_go_at_once() {
    let registry = registry().await;
    let table = registry.table();
    let client = Client::new();
    let row = table.lookup("", "v1", "events").expect("a row");
    let foreground = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() };
    let orphan = DeleteOptions { orphan_dependents: Some(true), ..DeleteOptions::default() };
    for how in [foreground, orphan] {
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": "default"},
            "involvedObject": {"namespace": "default"}});
        let event = decode("", "v1", "Event", event);
        registry.create(&client.caller(), row, "default", event).await.expect("created");
        let deleted = registry.delete(&client.caller(), row, "default", "a", &how).await.expect("deleted");
        assert!(deleted.gone, "{how:?}");
    }
}

/// As recorded of kube-apiserver v1.35.0.
#[tokio::test]
async fn kinds_refuse_labels_of_fields_in_their_own_words() {
    let registry = registry().await;
    let table = registry.table();
    let check = async |group: &str, resource: &str, text: &str| {
        let row = table.lookup(group, "v1", resource).expect("a row");
        let fields = FieldSelector::parse("foo=x").expect("parses");
        let options = ListOptions { fields, ..ListOptions::default() };
        let refused = registry.list(row, "", &options).await.expect_err(resource);
        assert_eq!(refused.status().message, text, "{resource}");
    };
    check("", "pods", "field label not supported: foo").await;
    check("batch", "jobs", "field label \"foo\" not supported for Job").await;
    let slices = "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: foo";
    check("resource.k8s.io", "resourceslices", slices).await;
    let others = "\"foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    check("batch", "cronjobs", others).await;
}

#[tokio::test]
async fn a_slice_of_devices_stays_where_it_is() {
    let registry = registry().await;
    let (table, client) = (registry.table(), Client::new());
    let slices = table.lookup("resource.k8s.io", "v1", "resourceslices").expect("a row");
    let slice = |spec: Value| {
        let mut whole =
            json!({"driver": "d.example.com", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}});
        whole.as_object_mut().expect("a map").extend(spec.as_object().cloned().expect("a map"));
        let value = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"}, "spec": whole});
        decode("resource.k8s.io", "v1", "ResourceSlice", value)
    };
    for (spec, why) in [
        (json!({}), "Required value: exactly one of `nodeName`"),
        (json!({"allNodes": true, "nodeName": "n"}), "\"{`nodeName`, `allNodes`}\": exactly one of"),
        (json!({"allNodes": false}), "must be either unset or set to true"),
        (json!({"nodeName": ""}), "must be either unset or set to a non-empty string"),
    ] {
        let error = registry.create(&client.caller(), slices, "", slice(spec)).await.expect_err(why);
        assert!(error.status().message.contains(why), "{}", error.status().message);
    }
    registry.create(&client.caller(), slices, "", slice(json!({"nodeName": "n1"}))).await.expect("created");
    for spec in [
        json!({"nodeName": "n2"}),
        json!({"allNodes": true}),
        json!({"nodeName": "n1", "driver": "e.example.com"}),
        json!({"nodeName": "n1", "pool": {"name": "q", "generation": 1, "resourceSliceCount": 1}}),
    ] {
        let new = slice(spec.clone());
        let transform = |current: Option<&Object>| {
            let mut object = current.cloned().unwrap_or_default();
            object.set(&["spec"], new.get(&["spec"]).cloned().unwrap_or_default());
            Ok(object)
        };
        let options = UpdateOptions::default();
        let error =
            registry.update(&client.caller(), slices, "", "s", &options, &transform).await.expect_err("it moves");
        assert!(error.status().message.contains("field is immutable"), "{spec}: {}", error.status().message);
    }
}

#[tokio::test]
async fn an_object_is_checked_by_the_rules_of_the_version_that_it_is_sent_in() {
    let registry = registry().await;
    let table = registry.table();
    let client = Client::new();
    let event = |group: &str, name: &str, about: &str| {
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let mut event = json!({"apiVersion": version, "kind": "Event", "metadata": {"name": name}, "reason": "Tried"});
        event[about] = json!({"kind": "Pod", "namespace": "default", "name": "p"});
        event
    };
    let core = table.lookup("", "v1", "events").expect("a row");
    let strict = table.lookup("events.k8s.io", "v1", "events").expect("a row");
    let object = decode("", "v1", "Event", event("", "a", "involvedObject"));
    registry.create(&client.caller(), core, "default", object).await.expect("the core group asks for little");

    let object = decode("events.k8s.io", "v1", "Event", event("events.k8s.io", "b", "regarding"));
    let refused = registry.create(&client.caller(), strict, "default", object).await.expect_err("no time, no type");
    let told = refused.status().message;
    assert!(told.contains("eventTime: Required value") && told.contains("type: Invalid value"), "{told}");

    let mut full = event("events.k8s.io", "c", "regarding");
    for (field, value) in [
        ("eventTime", "2026-01-01T00:00:00.000000Z"),
        ("type", "Normal"),
        ("action", "Try"),
        ("reportingController", "example.com/test"),
        ("reportingInstance", "test-1"),
        ("note", "before"),
    ] {
        full[field] = value.into();
    }
    let object = decode("events.k8s.io", "v1", "Event", full);
    registry.create(&client.caller(), strict, "default", object).await.expect("whole");
    let rewrite = |field: &'static str, row: &'static str| {
        let (registry, client, table) = (&registry, &client, &table);
        async move {
            let row = table.lookup(row, "v1", "events").expect("a row");
            let transform = |current: Option<&Object>| {
                let mut object = current.expect("there").clone();
                object.set(&[field], json!("after"));
                Ok(object)
            };
            let options = UpdateOptions::default();
            registry.update(&client.caller(), row, "default", "c", &options, &transform).await
        }
    };
    let refused = rewrite("note", "events.k8s.io").await.expect_err("it is fixed in this version").status().message;
    assert!(refused.contains("field is immutable"), "{refused}");
    rewrite("message", "").await.expect("and not in the other");
    // One of the core group, which has less, may be labelled in either.
    for group in ["", "events.k8s.io"] {
        let row = table.lookup(group, "v1", "events").expect("a row");
        let transform = |current: Option<&Object>| {
            let mut object = current.expect("there").clone();
            object.set_meta("labels", json!({"in": if group.is_empty() { "core" } else { "events" }}));
            Ok(object)
        };
        let options = UpdateOptions::default();
        registry.update(&client.caller(), row, "default", "a", &options, &transform).await.expect("labelled");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_an_hour_after_its_last_write() {
    let env = simulated();
    let registry = registry_of(env.clone()).await;
    let table = registry.table();
    let events = table.lookup("", "v1", "events").expect("a row");
    let client = Client::new();
    let event = |name: &str| {
        let about = json!({"kind": "Pod", "namespace": "default", "name": "p"});
        let value = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"},
            "involvedObject": about, "reason": "Pulled", "message": "m", "type": "Normal"});
        decode("", "v1", "Event", value)
    };
    let names = async || {
        let list = registry.list(events, "default", &ListOptions::default()).await.expect("a list");
        list.items.iter().map(|one| one.key.name.to_string()).collect::<Vec<_>>()
    };
    for name in ["left", "told"] {
        registry.create(&client.caller(), events, "default", event(name)).await.expect("created");
    }
    env.sleep(Duration::from_secs(50 * 60)).await;
    let again = |current: Option<&Object>| {
        let mut object = current.cloned().unwrap_or_default();
        object.set(&["count"], 2);
        Ok(object)
    };
    let how = UpdateOptions::default();
    registry.update(&client.caller(), events, "default", "told", &how, &again).await.expect("updated");
    env.sleep(Duration::from_secs(9 * 60)).await;
    assert_eq!(names().await, ["left", "told"], "the hour is not over");
    env.sleep(Duration::from_secs(3 * 60)).await;
    assert_eq!(names().await, ["told"]);
    env.sleep(Duration::from_secs(60 * 60)).await;
    assert!(names().await.is_empty());
}

#[tokio::test]
async fn the_old_name_of_a_field_selects_as_the_new_one() {
    let registry = registry().await;
    let table = registry.table();
    let pods = table.lookup("", "v1", "pods").expect("a row");
    let client = Client::new();
    for (name, node) in [("a", "n1"), ("b", "n2")] {
        registry.create(&client.caller(), pods, "default", pod(name, Some(node))).await.expect("created");
    }
    let check = async |selector: &str, names: &[&str]| {
        let fields = FieldSelector::parse(selector).expect("a selector");
        let found = registry.list(pods, "default", &ListOptions { fields, ..ListOptions::default() }).await;
        let found = found.expect("a list").items;
        assert_eq!(found.iter().map(|record| &*record.key.name).collect::<Vec<_>>(), names, "{selector}");
    };
    check("spec.host=n1", &["a"]).await;
    check("spec.nodeName=n1", &["a"]).await;
    check("spec.host!=n1", &["b"]).await;
    check("spec.host=n3", &[]).await;
}
