//! Admission webhooks over TLS, in this process.

use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use sampan_admission::{PluginConfiguration, Selection};
use sampan_api::k8s::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use sampan_api::k8s::api::autoscaling::v2::HorizontalPodAutoscaler;
use sampan_api::k8s::api::core::v1::{ConfigMap, Pod};
use sampan_api::k8s::api::scheduling::v1::PriorityClass;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::{Client, WriteParams};
use sampan_env::{Env, Tasks};
use sampan_testing::server::{Choice, Server, guarded, guarded_by};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;

const NAMESPACE: &str = "default";

/// What a webhook answers to a review: a code, and a body.
type Answer = fn(&Value) -> (u16, String);

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("of its kind")
}

fn config_map(name: &str) -> ConfigMap {
    typed(json!({"metadata": {"name": name}, "data": {"a": "b"}}))
}

/// The response of a review, with these fields.
fn response(review: &Value, mut fields: Value) -> (u16, String) {
    fields["uid"] = review["request"]["uid"].clone();
    let body = json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": fields});
    (200, body.to_string())
}

fn patch(operations: &Value) -> String {
    base64::engine::general_purpose::STANDARD.encode(operations.to_string())
}

/// Serves a webhook, and gives its `clientConfig`.
async fn serve(server: &Server, answer: Answer) -> Value {
    serve_on(&server.tasks, answer).await
}

/// As above, of these tasks.
async fn serve_on(tasks: &Tasks, answer: Answer) -> Value {
    let pair = sampan_testing::tls::pair();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(pair.server));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let connections = tasks.clone();
    tasks.spawn_until_cancelled(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let service = hyper::service::service_fn(move |request: Request<Incoming>| async move {
                let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let review: Value = serde_json::from_slice(&body).unwrap_or_default();
                let (code, body) = answer(&review);
                if code == 0 {
                    std::future::pending::<()>().await;
                }
                let answer = Response::builder().status(code).header("location", "https://localhost:1/");
                Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(body))).expect("a response"))
            });
            // A client that goes away ends its connection, and nothing else.
            connections.spawn_until_cancelled(async move {
                drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await);
            });
        }
    });
    let bundle = base64::engine::general_purpose::STANDARD.encode(pair.certificate_pem);
    json!({"url": format!("https://localhost:{port}/review"), "caBundle": bundle})
}

fn webhook(config: &Value, more: &Value) -> Value {
    let mut hook = json!({
        "name": "hook.example.com", "clientConfig": config, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        hook[name] = value.clone();
    }
    hook
}

/// A server with one webhook in both sorts of configurations, or in one of them, which it has heard of.
async fn world(answer: Answer, more: Value, mutating: bool) -> (Client, Server) {
    let server = guarded(Env::system()).await;
    let admin = server.client(UserInfo::new("admin", [GROUP_MASTERS]));
    let hook = webhook(&serve(&server, answer).await, &more);
    // The marker stands behind the hook, and its own refusal tells that both are known.
    let marked = |name: &str| json!({"clientConfig": {"url": "https://localhost:1/marker", "caBundle": hook["clientConfig"]["caBundle"]}, "name": "marker.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "matchConditions": [{"name": "marked", "expression": "object.metadata.name == 'marker'"}], "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [name]}]});
    let body = json!({"metadata": {"name": "hooks"}, "webhooks": [hook, marked("secrets")]});
    if mutating {
        admin.all::<MutatingWebhookConfiguration>().create(&typed(body)).await.expect("a configuration");
    } else {
        admin.all::<ValidatingWebhookConfiguration>().create(&typed(body)).await.expect("a configuration");
    }
    let dry = WriteParams { dry_run: true, ..WriteParams::default() };
    let secret: sampan_api::k8s::api::core::v1::Secret = typed(json!({"metadata": {"name": "marker"}}));
    while admin.namespaced(NAMESPACE).create_with(&secret, &dry).await.is_ok() {
        tokio::task::yield_now().await;
    }
    (admin, server)
}

async fn outcome(answer: Answer, more: Value, mutating: bool) -> Result<ConfigMap, String> {
    let (admin, _server) = world(answer, more, mutating).await;
    admin.namespaced::<ConfigMap>(NAMESPACE).create(&config_map("c")).await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_refuse_and_let_pass() {
    let check = async |answer: Answer, more: Value, expected: &str| {
        let found = outcome(answer, more.clone(), false).await.err().unwrap_or_default();
        assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{more}: {found}");
    };
    check(|review| response(review, json!({"allowed": true})), json!({}), "").await;
    check(
        |review| response(review, json!({"allowed": false, "status": {"message": "no", "code": 403}})),
        json!({}),
        "admission webhook \"hook.example.com\" denied the request: no",
    )
    .await;
    check(
        |review| response(review, json!({"allowed": false})),
        json!({}),
        "admission webhook \"hook.example.com\" denied the request without explanation",
    )
    .await;
    let refuses: Answer = |review| response(review, json!({"allowed": false}));
    check(refuses, json!({"matchConditions": [{"name": "a", "expression": "object.metadata.name != 'c'"}]}), "").await;
    check(refuses, json!({"objectSelector": {"matchLabels": {"a": "b"}}}), "").await;
    check(refuses, json!({"failurePolicy": "Ignore"}), "denied the request").await;
    check(refuses, json!({"admissionReviewVersions": ["v1beta1"]}), "denied the request").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_fail_closed_or_open() {
    let check = async |answer: Answer, more: Value, expected: &str| {
        let found = outcome(answer, more.clone(), false).await.expect_err(expected);
        let before = "failed calling webhook \"hook.example.com\": ";
        assert!(found.contains(before) && found.contains(expected), "{found}");
        let mut open = more;
        open["failurePolicy"] = "Ignore".into();
        outcome(answer, open, false).await.expect("it goes on without an answer");
    };
    check(|_| (500, "ouch".into()), json!({}), "failed to call webhook: an error on the server (\"ouch\")").await;
    check(|_| (302, String::new()), json!({}), "the server responded with the status code 302").await;
    check(|_| (200, "{}".into()), json!({}), "received invalid webhook response: webhook response was absent").await;
    check(|_| (200, "not json".into()), json!({}), "couldn't decode the response").await;
    check(
        |_| (200, json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "x", "allowed": true}}).to_string()),
        json!({}),
        "expected response.uid=",
    )
    .await;
    check(
        |review| response(review, json!({"allowed": true, "patch": "W10=", "patchType": "JSONPatch"})),
        json!({}),
        "validating webhook may not return response.patch",
    )
    .await;
    check(|_| (200, "x".repeat(9 << 20)), json!({}), "is larger than").await;
    check(|_| (0, String::new()), json!({"timeoutSeconds": 1}), "context deadline exceeded").await;
    check(
        |_| (200, String::new()),
        json!({"clientConfig": {"service": {"name": "nobody", "namespace": "default"}}}),
        "service \"nobody\" not found",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_change_objects() {
    let made = outcome(
        |review| {
            let patch =
                patch(&json!([{"op": "add", "path": "/data/by", "value": review["request"]["userInfo"]["username"]}]));
            response(
                review,
                json!({"allowed": true, "patchType": "JSONPatch", "patch": patch, "warnings": ["careful"]}),
            )
        },
        json!({}),
        true,
    )
    .await
    .expect("made");
    assert_eq!(json!(made.data), json!({"a": "b", "by": "admin"}));
    let check = async |operations: Answer, expected: &str| {
        let found = outcome(operations, json!({}), true).await.expect_err(expected);
        assert!(found.contains(expected), "{found}");
    };
    check(
        |review| response(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&json!([{"op": "add", "path": "/data", "value": 7}]))})),
        "cannot unmarshal number into Go struct field ConfigMap.data",
    )
    .await;
    check(
        |review| response(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&json!([{"op": "replace", "path": "/kind", "value": "Secret"}]))})),
        "made another kind of the object",
    )
    .await;
    check(
        |review| response(review, json!({"allowed": true, "patch": patch(&json!([]))})),
        "webhook returned response.patch but not response.patchType",
    )
    .await;
    check(
        |review| response(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": "!"})),
        "received undecodable patch in webhook response",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_for_another_version_is_shown_the_object_as_that_has_it() {
    let target = json!({"type": "Utilization", "averageUtilization": 40});
    let autoscaler: HorizontalPodAutoscaler = typed(json!({"metadata": {"name": "a"}, "spec": {
        "maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }}));
    let answer: Answer = |review| {
        let (request, path) = (&review["request"], "/spec/targetCPUUtilizationPercentage");
        let versions = ["kind", "resource", "requestKind", "requestResource"].map(|name| &request[name]["version"]);
        let shown = versions == ["v1", "v1", "v2", "v2"] && request["object"].pointer(path) == Some(&json!(40));
        let patch = patch(&json!([{"op": "replace", "path": path, "value": 50}]));
        response(review, json!({"allowed": shown, "patchType": "JSONPatch", "patch": patch}))
    };
    let rules = json!([{"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["horizontalpodautoscalers"]}]);
    for (policy, expected) in [("Equivalent", 50), ("Exact", 40)] {
        let (admin, _server) = world(answer, json!({"rules": rules, "matchPolicy": policy}), true).await;
        let made = admin.namespaced::<HorizontalPodAutoscaler>(NAMESPACE).create(&autoscaler).await.expect(policy);
        let found = json!(made)["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"].clone();
        assert_eq!(found, expected, "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_ask_only_those_without_side_effects() {
    let (admin, _server) =
        world(|review| response(review, json!({"allowed": review["request"]["dryRun"]})), json!({}), false).await;
    let maps = admin.namespaced::<ConfigMap>(NAMESPACE);
    let dry = WriteParams { dry_run: true, ..WriteParams::default() };
    maps.create_with(&config_map("c"), &dry).await.expect("a dry run is told to the webhook");
    maps.create(&config_map("c")).await.expect_err("and the write too");
}

/// Refuses images that say so, and is broken by those that say so.
fn reviewed(review: &Value) -> (u16, String) {
    let image = review["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    let noted = review["spec"]["annotations"]["mykind.image-policy.k8s.io/ticket"] == "1";
    let status = match image {
        "bad" => json!({"allowed": false, "reason": "it is bad"}),
        "mute" => json!({"allowed": false}),
        "noted" => json!({"allowed": noted}),
        _ => json!({"allowed": true}),
    };
    let mut answer = review.clone();
    answer["status"] = status;
    (if image == "broken" { 418 } else { 200 }, answer.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_says_which_images_may_run() {
    let tasks = Tasks::new("image policy");
    let config = serve_on(&tasks, reviewed).await;
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": config["url"], "certificate-authority-data": config["caBundle"]}}],
        "users": [{"name": "u", "user": {}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]});
    std::fs::write(&kubeconfig, text.to_string()).expect("written");
    let check = async |default_allow: bool, cases: &[(&str, Option<&str>)]| {
        let policy = json!({"kubeConfigFile": kubeconfig, "retryBackoff": 1, "defaultAllow": default_allow});
        let told: Vec<PluginConfiguration> =
            serde_json::from_value(json!([{"name": "ImagePolicyWebhook", "configuration": {"imagePolicy": policy}}]))
                .expect("a configuration");
        let selection = Selection::new(&["ImagePolicyWebhook".to_owned()], &[]).expect("known");
        let configurations = selection.configured(&told).expect("sound");
        let choice = Choice { selection, configurations, ..Choice::default() };
        let server = guarded_by(Env::system(), choice).await;
        let admin = server.client(UserInfo::new("admin", [GROUP_MASTERS]));
        for (image, refused) in cases {
            let annotations = json!({"mykind.image-policy.k8s.io/ticket": "1", "other": "2"});
            let pod: sampan_api::k8s::api::core::v1::Pod = typed(json!({
                "metadata": {"name": image, "annotations": annotations},
                "spec": {"containers": [{"name": "c", "image": image}]}}));
            let found = admin.namespaced(NAMESPACE).create(&pod).await.map(|_| ()).map_err(|error| error.to_string());
            match (refused, found) {
                (None, Ok(())) => {}
                (Some(text), Err(told)) => assert!(told.contains(text), "{image}: {told}"),
                (_, found) => panic!("{image}: {found:?}"),
            }
        }
    };
    let cases = [
        ("good", None),
        ("noted", None),
        ("bad", Some("pods \"bad\" is forbidden: image policy webhook backend denied one or more images: it is bad")),
        ("mute", Some("pods \"mute\" is forbidden: one or more images rejected by webhook backend")),
        ("broken", Some("pods \"broken\" is forbidden: Error contacting webhook: 418")),
    ];
    check(false, &cases).await;
    check(true, &[("broken", None), ("bad", Some("it is bad"))]).await;
    tasks.drain(std::time::Duration::from_secs(5)).await.expect("the webhook ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_see_what_webhooks_made_of_an_object() {
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]);
    let (admin, _server) = world(
        |review| {
            let operations = json!([{"op": "add", "path": "/spec/priorityClassName", "value": "high"},
                {"op": "remove", "path": "/spec/priority"}]);
            let bare = review["request"]["object"]["spec"]["priorityClassName"].is_null();
            let fields = match bare {
                true => json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&operations)}),
                false => json!({"allowed": true}),
            };
            response(review, fields)
        },
        json!({"rules": rules}),
        true,
    )
    .await;
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    admin.all::<PriorityClass>().create(&typed(class)).await.expect("a class");
    let pods = admin.namespaced::<Pod>(NAMESPACE);
    let pod = |name: &str, class: Value| -> Pod {
        let spec = json!({"containers": [{"name": "c", "image": "i"}], "priorityClassName": class});
        typed(json!({"metadata": {"name": name}, "spec": spec}))
    };
    let dry = WriteParams { dry_run: true, ..WriteParams::default() };
    while pods.create_with(&pod("known", json!("high")), &dry).await.is_err() {
        tokio::task::yield_now().await;
    }
    let made = pods.create(&pod("p", Value::Null)).await.expect("made");
    let spec = made.spec.expect("a spec");
    assert_eq!((spec.priority_class_name.as_deref(), spec.priority), (Some("high"), Some(1000)));
}

/// Sends a request, and gives its code, its `Warning` headers and its body.
async fn ask(client: &Client, method: &str, path: &str, content_type: &str, body: &Value) -> (u16, String, Value) {
    let sent = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).header("content-type", content_type).body(sent);
    let response = client.send(request.expect("a request")).await.expect("an answer");
    let (head, body) = response.into_parts();
    let warnings = head.headers.get_all("warning").iter().filter_map(|value| value.to_str().ok());
    let warnings = warnings.collect::<Vec<_>>().join("\n");
    let body = body.collect().await.expect("a body").to_bytes();
    (head.status.as_u16(), warnings, serde_json::from_slice(&body).unwrap_or_default())
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn rules_of(resource: &str) -> Value {
    json!({"rules": [{"apiGroups": ["*"], "apiVersions": ["v1"], "operations": ["*"], "resources": [resource]}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_shown_the_options_of_what_happens() {
    static SEEN: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let answer: Answer = |review| {
        SEEN.lock().push(review["request"].clone());
        response(review, json!({"allowed": true}))
    };
    // As a kube-apiserver v1.35 shows them.
    let cases = [
        (
            "POST",
            "configmaps?fieldValidation=Strict",
            JSON,
            json!({"metadata": {"name": "a"}}),
            json!({"kind": "CreateOptions", "fieldValidation": "Strict"}),
        ),
        (
            "PUT",
            "configmaps/a?fieldManager=x",
            JSON,
            json!({"metadata": {"name": "a"}, "data": {"a": "b"}}),
            json!({"kind": "UpdateOptions", "fieldManager": "x"}),
        ),
        (
            "PATCH",
            "configmaps/a?fieldValidation=Ignore",
            MERGE,
            json!({"data": {"a": "c"}}),
            json!({"kind": "UpdateOptions", "fieldValidation": "Ignore"}),
        ),
        (
            "PATCH",
            "configmaps/b?fieldManager=m&force=true&fieldValidation=Strict",
            APPLY,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}),
            json!({"kind": "CreateOptions", "fieldManager": "m", "fieldValidation": "Strict"}),
        ),
        (
            "PATCH",
            "configmaps/b?fieldManager=m&force=true",
            APPLY,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"x": "y"}}),
            json!({"kind": "UpdateOptions", "fieldManager": "m"}),
        ),
        (
            "DELETE",
            "configmaps/b?gracePeriodSeconds=3&propagationPolicy=Foreground&dryRun=All",
            JSON,
            Value::Null,
            json!({"kind": "DeleteOptions", "gracePeriodSeconds": 3, "propagationPolicy": "Foreground", "dryRun": ["All"]}),
        ),
        (
            "DELETE",
            "configmaps/b",
            JSON,
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": -5, "bogus": 1,
                "preconditions": null, "orphanDependents": false, "ignoreStoreReadErrorWithClusterBreakingPotential": true}),
            json!({"kind": "DeleteOptions", "gracePeriodSeconds": 1, "orphanDependents": false}),
        ),
        ("DELETE", "configmaps?labelSelector=!none", JSON, Value::Null, json!({"kind": "DeleteOptions"})),
    ];
    for mutating in [true, false] {
        let (admin, _server) = world(answer, rules_of("configmaps"), mutating).await;
        for (method, path, content_type, body, mut expected) in cases.clone() {
            SEEN.lock().clear();
            let path = format!("/api/v1/namespaces/{NAMESPACE}/{path}");
            let (code, _, answered) = ask(&admin, method, &path, content_type, &body).await;
            assert!(code < 300, "{method} {path}: {answered}");
            expected["apiVersion"] = "meta.k8s.io/v1".into();
            let seen = SEEN.lock().clone();
            assert!(seen.iter().all(|request| request["options"] == expected), "{method} {path}: {seen:?}");
            assert!(!seen.is_empty(), "{method} {path}");
            let named =
                path.split('?').next().and_then(|path| path.rsplit('/').next()).filter(|last| *last != "configmaps");
            let named = named.or(answered["metadata"]["name"].as_str());
            assert_eq!(seen[0]["name"].as_str(), named, "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_asked_of_deletions_and_change_nothing_in_them() {
    static SEEN: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let answer: Answer = |review| {
        let request = &review["request"];
        SEEN.lock().push(request.clone());
        let label = json!([{"op": "add", "path": "/metadata/labels", "value": {}}]);
        let fields = match request["operation"] == "DELETE" && request["name"] == "kept" {
            true => json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&label)}),
            false => json!({"allowed": request["name"] != "refused"}),
        };
        response(review, fields)
    };
    let mut more = rules_of("pods");
    more["rules"][0]["operations"] = json!(["DELETE"]);
    let (admin, _server) = world(answer, more, true).await;
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    for name in ["kept", "refused", "gone"] {
        let (code, _, answered) = ask(&admin, "POST", &pods, JSON, &pod(name)).await;
        assert_eq!(code, 201, "{answered}");
    }
    let check = async |path: &str, code: u16, part: &str, asked: usize| {
        SEEN.lock().clear();
        let (found, _, answered) = ask(&admin, "DELETE", &format!("{pods}/{path}"), JSON, &Value::Null).await;
        let message = answered["message"].as_str().unwrap_or_default();
        assert!(found == code && message.contains(part), "{path}: {answered}");
        assert_eq!(SEEN.lock().len(), asked, "{path}");
    };
    let refusal = "Internal error occurred: admission webhook \"hook.example.com\" attempted to modify the object, which \
                   is not supported for this operation";
    check("kept", 500, refusal, 1).await;
    check("refused", 400, "denied the request", 1).await;
    check("gone?gracePeriodSeconds=50", 200, "", 1).await;
    let shown = SEEN.lock()[0].clone();
    assert_eq!((&shown["object"], &shown["oldObject"]["metadata"]["name"]), (&Value::Null, &json!("gone")));
    // It is under way: nobody is asked again, until it is hastened.
    check("gone?gracePeriodSeconds=60", 200, "", 0).await;
    check("gone?gracePeriodSeconds=7", 200, "", 1).await;
    assert_eq!(SEEN.lock()[0]["options"]["gracePeriodSeconds"], 7);
    let (_, _, kept) = ask(&admin, "GET", &format!("{pods}/kept"), JSON, &Value::Null).await;
    assert!(kept["metadata"]["deletionTimestamp"].is_null(), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_see_the_scale_of_what_is_scaled() {
    static SEEN: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let scaled: Answer = |review| {
        SEEN.lock().push(review["request"].clone());
        let replicas = json!([{"op": "replace", "path": "/spec/replicas", "value": 9}]);
        response(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&replicas)}))
    };
    let watched: Answer = |review| {
        SEEN.lock().push(review["request"].clone());
        response(review, json!({"allowed": true}))
    };
    let negative: Answer = |review| {
        let replicas = json!([{"op": "replace", "path": "/spec/replicas", "value": -9}]);
        response(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&replicas)}))
    };
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment =
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments");
    let change = json!({"spec": {"replicas": 5}});
    let without = |mut scale: Value| {
        for name in ["uid", "creationTimestamp", "resourceVersion", "managedFields"] {
            scale["metadata"].as_object_mut().expect("metadata").remove(name);
        }
        scale
    };
    let scale = |replicas: u32| {
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d", "namespace": NAMESPACE},
            "spec": {"replicas": replicas}, "status": {"replicas": 0, "selector": "a=b"}})
    };
    for (answer, mutating, becomes) in [(scaled, true, 9), (watched, false, 5)] {
        let (admin, _server) = world(answer, rules_of("deployments/scale"), mutating).await;
        let (code, _, made) = ask(&admin, "POST", &path, JSON, &deployment).await;
        assert_eq!(code, 201, "{made}");
        SEEN.lock().clear();
        let (code, _, answered) = ask(&admin, "PATCH", &format!("{path}/d/scale"), MERGE, &change).await;
        assert_eq!((code, without(answered)), (200, scale(becomes)));
        let seen = SEEN.lock()[0].clone();
        assert_eq!(seen["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
        assert_eq!(seen["subResource"], "scale");
        // What is validated has no owners of fields.
        assert_eq!(seen["object"]["metadata"]["managedFields"].is_array(), mutating, "{seen}");
        assert_eq!((without(seen["object"].clone()), without(seen["oldObject"].clone())), (scale(5), scale(1)));
        let (_, _, found) = ask(&admin, "GET", &format!("{path}/d"), JSON, &Value::Null).await;
        assert_eq!(found["spec"]["replicas"], becomes);
        let owners = found["metadata"]["managedFields"].as_array().expect("owners");
        assert!(owners.iter().any(|one| one["subresource"] == "scale"), "{owners:?}");
    }
    let (admin, _server) = world(negative, rules_of("deployments/scale"), true).await;
    drop(ask(&admin, "POST", &path, JSON, &deployment).await);
    let (code, _, answered) = ask(&admin, "PATCH", &format!("{path}/d/scale"), MERGE, &change).await;
    let message =
        "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -9: must be greater than or equal to 0";
    assert_eq!((code, answered["message"].as_str()), (422, Some(message)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_webhooks_break_in_the_metadata_is_mended_and_told() {
    let owner = || json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "1"});
    let owned: Answer = |review| {
        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "1"});
        let twice = json!([{"op": "add", "path": "/metadata/ownerReferences", "value": [owner, owner]}]);
        response(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&twice)}))
    };
    let managed: Answer = |review| {
        let entry = json!({"manager": "w", "operation": "Bogus", "apiVersion": "v1", "fieldsType": "FieldsV1"});
        let broken = json!([{"op": "add", "path": "/metadata/managedFields", "value": [entry]}]);
        response(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&broken)}))
    };
    let lets: Answer = |review| response(review, json!({"allowed": true}));
    let maps = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let own = json!([owner(), owner()]);
    let named = json!({"metadata": {"name": "a"}, "data": {"a": "b"}});
    let owning = json!({"metadata": {"name": "a", "ownerReferences": own}, "data": {"a": "d"}});
    let after = ".metadata.ownerReferences contains duplicate entries after mutating admission happens; API server dedups \
                 owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; \
                 duplicate UID(s) observed: 1";
    let before = after.replace(" after mutating admission happens", "");
    let reset = ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated \
                 mutating admission controller; please fix your requests: operation must be `Apply` or `Update`";
    let writes = |object: &Value| {
        [
            ("POST", maps.clone(), JSON, object.clone()),
            ("PUT", format!("{maps}/a"), JSON, object.clone()),
            ("PATCH", format!("{maps}/a"), MERGE, json!({"metadata": object["metadata"], "data": {"a": "e"}})),
        ]
    };
    let sent = [before.as_str(), &before, after];
    let cases = [(owned, &named, [after; 3], 1), (managed, &named, [reset; 3], 0), (lets, &owning, sent, 1)];
    for (answer, object, told, expected) in cases {
        let (admin, _server) = world(answer, rules_of("configmaps"), true).await;
        for ((method, path, content_type, body), told) in writes(object).into_iter().zip(told) {
            let (code, warnings, made) = ask(&admin, method, &path, content_type, &body).await;
            assert!(code < 300 && warnings == format!("299 - \"{told}\""), "{method}: {code} {warnings} {made}");
            let owners = made["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
            assert_eq!(owners, expected, "{method}");
            let managers = made["metadata"]["managedFields"].as_array().expect("owners of fields");
            assert!(managers.iter().all(|one| one["operation"] == "Update"), "{managers:?}");
        }
    }
}
