//! Rights that are asked for on the way: to create by an update, and to history.

mod support;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use sampan_api::user::{Attributes, Authorizer, Decision};
use sampan_env::Env;
use serde_json::{Value, json};
use std::sync::Arc;
use support::{CONFIG_MAPS, Server, config_map, server_in};

/// Allows what the closure allows, and remembers what it was asked.
struct Asked {
    allows: fn(&Attributes) -> bool,
    all: Mutex<Vec<String>>,
}

impl Authorizer for Asked {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        let Attributes { verb, group, resource, namespace, name, .. } = attributes;
        self.all.lock().push(format!("{verb} {group}/{resource} {namespace}/{name}"));
        let allowed = (self.allows)(attributes);
        Box::pin(std::future::ready(if allowed { Decision::allow("") } else { Decision::no_opinion("") }))
    }
}

async fn guarded(allows: fn(&Attributes) -> bool) -> (Server, Arc<Asked>) {
    let asked = Arc::new(Asked { allows, all: Mutex::new(Vec::new()) });
    (server_in(Env::system(), asked.clone()).await, asked)
}

async fn put(server: &Server, path: &str, body: &Value) -> support::Answer {
    server.call("PUT", path, &body.to_string()).await
}

#[tokio::test]
async fn an_update_that_creates_asks_once_for_the_right_to_create() {
    let (server, asked) = guarded(|_| true).await;
    let mut lease =
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}});
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let answer = put(&server, path, &lease).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    let (update, create) =
        ("update coordination.k8s.io/leases default/l", "create coordination.k8s.io/leases default/l");
    assert_eq!(std::mem::take(&mut *asked.all.lock()), [update, create]);
    // Leases are not updated without a version.
    lease["metadata"]["resourceVersion"] = answer.json()["metadata"]["resourceVersion"].take();
    assert_eq!(put(&server, path, &lease).await.code, 200);
    assert_eq!(std::mem::take(&mut *asked.all.lock()), [update], "nothing is created");
    // A kind that no update creates is not found, whoever asks.
    assert_eq!(put(&server, &format!("{CONFIG_MAPS}/absent"), &config_map("absent")).await.code, 404);

    let (server, _) = guarded(|attributes| attributes.verb != "create").await;
    lease["metadata"]["resourceVersion"].take();
    let answer = put(&server, path, &lease).await;
    let text = "leases.coordination.k8s.io \"l\" is forbidden: User \"admin\" cannot create resource \"leases\" in API group \
                \"coordination.k8s.io\" in the namespace \"default\"";
    assert_eq!((answer.code, answer.message()), (403, text.to_owned()));
    assert_eq!(server.get(path).await.code, 404, "nothing was written");
}

/// A server whose namespace `tenant` was another one's before, and a revision of that time.
async fn made_again(allows: fn(&Attributes) -> bool) -> (Server, Arc<Asked>, String) {
    let (server, asked) = guarded(allows).await;
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let made = server.create("/api/v1/namespaces", &namespace("tenant")).await;
    let old = server.create(TENANT, &config_map("c")).await;
    let revision = old["metadata"]["resourceVersion"].as_str().expect("a revision").to_owned();
    assert_eq!(server.call("DELETE", &format!("{TENANT}/c"), "").await.code, 200);
    server.call("DELETE", "/api/v1/namespaces/tenant", "").await;
    let mut gone = made.clone();
    gone["spec"] = json!({"finalizers": []});
    for field in ["resourceVersion", "deletionTimestamp"] {
        gone["metadata"].as_object_mut().expect("metadata").remove(field);
    }
    let answer = server.call("PUT", "/api/v1/namespaces/tenant/finalize", &gone.to_string()).await;
    assert_eq!(answer.code, 200, "{}", answer.text());
    assert_eq!(server.get("/api/v1/namespaces/tenant").await.code, 404);
    server.create("/api/v1/namespaces", &namespace("tenant")).await;
    asked.all.lock().clear();
    (server, asked, revision)
}

const TENANT: &str = "/api/v1/namespaces/tenant/configmaps";

/// Whoever owns the namespace of today may have every right in it, that to its history too: what was before it takes the
/// right over all namespaces.
#[tokio::test]
async fn history_of_another_namespace_of_that_name_is_asked_for_over_all_namespaces() {
    let in_the_namespace: fn(&Attributes) -> bool =
        |attributes| attributes.group != "history.sampan.dev" || attributes.namespace == "tenant";
    for allows in [|attributes: &Attributes| attributes.group != "history.sampan.dev", in_the_namespace] {
        let (server, asked, revision) = made_again(allows).await;
        let exact = format!("resourceVersion={revision}&resourceVersionMatch=Exact");
        let check = async |path: &str, question: &str, code: u16, text: &str| {
            let answer = server.get(path).await;
            let questions = std::mem::take(&mut *asked.all.lock());
            assert_eq!(questions.get(1).map(String::as_str), Some(question), "{path}: {questions:?}");
            assert_eq!(questions.len(), 2, "{path}: {questions:?}");
            assert_eq!(answer.code, code, "{path}: {}", answer.text());
            assert!(answer.text().contains(text), "{path}: {}", answer.text());
        };
        let refusal = |verb: &str| {
            format!(r#"cannot {verb} resource \"configmaps\" in API group \"history.sampan.dev\" at the cluster scope"#)
        };
        let all = "history.sampan.dev/configmaps /";
        check(&format!("{TENANT}/c?{exact}"), &format!("get {all}c"), 403, &refusal("get")).await;
        check(&format!("{TENANT}?{exact}"), &format!("list {all}"), 403, &refusal("list")).await;
        check(&format!("/api/v1/configmaps?{exact}"), &format!("list {all}"), 200, r#""items":[]"#).await;
        let watch = format!("{TENANT}?watch=1&resourceVersion={revision}");
        check(&watch, &format!("watch {all}"), 200, "too old resource version").await;
    }
    let (server, _, revision) = made_again(|_| true).await;
    let exact = format!("resourceVersion={revision}&resourceVersionMatch=Exact");
    for path in [format!("{TENANT}/c?{exact}"), format!("{TENANT}?{exact}"), format!("/api/v1/configmaps?{exact}")] {
        let answer = server.get(&path).await;
        assert_eq!(answer.code, 200, "{path}: {}", answer.text());
        assert!(answer.text().contains(r#""name":"c""#), "{path}: who holds the right reads it: {}", answer.text());
    }
}

#[tokio::test]
async fn what_is_current_has_no_further_price() {
    let (server, asked) = guarded(|_| true).await;
    server.create(CONFIG_MAPS, &config_map("c")).await;
    asked.all.lock().clear();
    let current = server.get(&format!("{CONFIG_MAPS}/c")).await.json();
    let revision = current["metadata"]["resourceVersion"].as_str().expect("a revision");
    let answer = server.get(&format!("{CONFIG_MAPS}/c?resourceVersion={revision}&resourceVersionMatch=Exact")).await;
    assert_eq!(answer.code, 200);
    assert_eq!(asked.all.lock().len(), 2, "one question a read");
}

#[tokio::test]
async fn an_eviction_under_a_precondition_is_whole_or_nothing() {
    let (server, _) = guarded(|_| true).await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    let conditions = |pod: &Value| pod["status"]["conditions"].to_string().contains("DisruptionTarget");
    let evict = async |preconditions: Value| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"},
            "deleteOptions": {"preconditions": preconditions}});
        server.call("POST", &format!("{pods}/p/eviction"), &eviction.to_string()).await
    };
    // Of a pod that only begins, and of one that runs.
    for phase in ["Pending", "Running"] {
        server.create(pods, &pod).await;
        let body = json!({"status": {"phase": phase}}).to_string();
        assert_eq!(server.call("PATCH", &format!("{pods}/p/status"), &body).await.code, 200);
        let current = server.get(&format!("{pods}/p")).await.json();
        let version = current["metadata"]["resourceVersion"].as_str().expect("a version");
        for wrong in [json!({"resourceVersion": "1"}), json!({"uid": "other"})] {
            let answer = evict(wrong.clone()).await;
            assert_eq!(answer.code, 409, "{phase} {wrong}: {}", answer.text());
            assert!(answer.message().contains("in the precondition ("), "{}", answer.message());
            let now = server.get(&format!("{pods}/p")).await.json();
            assert_eq!(now, current, "{phase} {wrong}: nothing was written");
        }
        let answer = evict(json!({"resourceVersion": version, "uid": current["metadata"]["uid"]})).await;
        assert_eq!(answer.code, 201, "{phase}: {}", answer.text());
        let now = server.get(&format!("{pods}/p")).await.json();
        assert!(now["metadata"]["deletionTimestamp"].is_string() && conditions(&now), "{phase}: {now}");
        let answer = server.call("DELETE", &format!("{pods}/p"), r#"{"gracePeriodSeconds":0}"#).await;
        assert_eq!(answer.code, 200, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_budget_is_asked_before_a_pod_goes() {
    let (server, _) = guarded(|_| true).await;
    let (pods, budgets) =
        ("/api/v1/namespaces/default/pods", "/apis/policy/v1/namespaces/default/poddisruptionbudgets");
    let pod = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "a"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}})
    };
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
    server.create(budgets, &budget).await;
    let evict = async |name: &str, query: &str| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        server.call("POST", &format!("{pods}/{name}/eviction{query}"), &eviction.to_string()).await
    };
    let set = async |path: String, status: Value| {
        let answer = server.call("PATCH", &path, &json!({"status": status}).to_string()).await;
        assert_eq!(answer.code, 200, "{}", answer.text());
    };
    for (name, ready) in [("a", "True"), ("b", "True"), ("c", "False"), ("d", "False")] {
        server.create(pods, &pod(name)).await;
        let conditions = json!([{"type": "Ready", "status": ready}]);
        set(format!("{pods}/{name}/status"), json!({"phase": "Running", "conditions": conditions})).await;
    }
    let counted = |current: i64, allowed: i64| json!({"observedGeneration": 1, "expectedPods": 4, "currentHealthy": current, "desiredHealthy": 1, "disruptionsAllowed": allowed});
    let allowed = async || server.get(&format!("{budgets}/b")).await.json()["status"]["disruptionsAllowed"].clone();
    assert_eq!(evict("a", "").await.code, 429, "the controller has not counted yet");
    set(format!("{budgets}/b/status"), counted(2, 1)).await;
    assert_eq!(evict("a", "?dryRun=All").await.code, 201);
    assert_eq!(
        (allowed().await, server.get(&format!("{pods}/a")).await.json()["metadata"]["deletionTimestamp"].clone()),
        (json!(1), Value::Null),
        "a dry run takes nothing"
    );
    assert_eq!(evict("a", "").await.code, 201);
    assert_eq!(allowed().await, 0);
    assert_eq!(evict("b", "").await.code, 429);
    assert_eq!(evict("b", "?dryRun=All").await.code, 429);
    assert_eq!(evict("c", "").await.code, 201, "not ready, and enough others are healthy");
    set(format!("{budgets}/b/status"), counted(0, 0)).await;
    assert_eq!(evict("d", "").await.code, 429, "not ready, and too few are healthy");
    let policy = json!({"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}}).to_string();
    assert_eq!(server.call("PATCH", &format!("{budgets}/b"), &policy).await.code, 200);
    assert_eq!(evict("d", "").await.code, 201);
    let mut second = budget.clone();
    second["metadata"]["name"] = "second".into();
    server.create(budgets, &second).await;
    let answer = evict("b", "").await;
    assert_eq!(answer.code, 500, "{}", answer.text());
    assert!(answer.message().contains("more than one PodDisruptionBudget"), "{}", answer.message());
}

/// The changes of an object of the namespace before are left out of its history, unless the right over all namespaces is
/// held.
#[tokio::test]
async fn what_became_of_anothers_object_is_shown_to_nobody_else() {
    for (allows, shown) in [
        (
            (|attributes| attributes.group != "history.sampan.dev" || attributes.namespace == "tenant")
                as fn(&Attributes) -> bool,
            0,
        ),
        (|_| true, 2),
    ] {
        let (server, _, _) = made_again(allows).await;
        let answer = server.get(&format!("{TENANT}/c?history=true")).await;
        let count = answer.json()["items"].as_array().map_or(0, Vec::len);
        assert_eq!((answer.code, count), (if shown == 0 { 404 } else { 200 }, shown), "{}", answer.text());
    }
}
