//! Webhooks over TLS in this process, and a server that asks them.

use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sampan_api::k8s::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::{Client, WriteParams};
use sampan_env::{Env, Tasks};
use sampan_testing::server::{Server, guarded};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;

pub const NAMESPACE: &str = "default";

/// What a webhook answers to a review: a code, and a body.
pub type Answer = fn(&Value) -> (u16, String);

pub fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("of its kind")
}

/// The response of a review, with these fields.
pub fn response(review: &Value, mut fields: Value) -> (u16, String) {
    fields["uid"] = review["request"]["uid"].clone();
    let body = json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": fields});
    (200, body.to_string())
}

pub fn patch(operations: &Value) -> String {
    base64::engine::general_purpose::STANDARD.encode(operations.to_string())
}

/// Serves a webhook, and gives its `clientConfig`.
pub async fn serve(server: &Server, answer: Answer) -> Value {
    serve_on(&server.tasks, answer).await
}

/// As above, of these tasks.
pub async fn serve_on(tasks: &Tasks, answer: Answer) -> Value {
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

pub fn webhook(config: &Value, more: &Value) -> Value {
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
pub async fn world(answer: Answer, more: Value, mutating: bool) -> (Client, Server) {
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

/// Sends a request, and gives its code, its `Warning` headers and its body.
pub async fn ask(client: &Client, method: &str, path: &str, content_type: &str, body: &Value) -> (u16, String, Value) {
    let sent = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).header("content-type", content_type).body(sent);
    let response = client.send(request.expect("a request")).await.expect("an answer");
    let (head, body) = response.into_parts();
    let warnings = head.headers.get_all("warning").iter().filter_map(|value| value.to_str().ok());
    let warnings = warnings.collect::<Vec<_>>().join("\n");
    let body = body.collect().await.expect("a body").to_bytes();
    (head.status.as_u16(), warnings, serde_json::from_slice(&body).unwrap_or_default())
}

pub const JSON: &str = "application/json";
pub const MERGE: &str = "application/merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

pub fn rules_of(resource: &str) -> Value {
    json!({"rules": [{"apiGroups": ["*"], "apiVersions": ["v1"], "operations": ["*"], "resources": [resource]}]})
}
