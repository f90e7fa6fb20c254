//! A server on a store in memory, called through its tower service as code of this process would call it.
#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use sampan_api::Object;
use sampan_api::admission::{Admission, AdmitAll, Warnings};
use sampan_api::user::{Authorizer, GROUP_MASTERS, UserInfo};
use sampan_apiserver::flow::seats::Seats;
use sampan_apiserver::line::Ledgers;
use sampan_apiserver::{ApiService, Body, body};
use sampan_env::{CancellationToken, Env, Tasks};
use sampan_registry::Registry;
use sampan_registry::options::Caller;
pub use sampan_testing::server::Masters;
use sampan_testing::server::{Parts, Tokens};
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

pub struct Server {
    pub service: ApiService,
    pub registry: Registry,
    pub tasks: Tasks,
    pub stopping: CancellationToken,
    pub seats: Seats,
    pub ledgers: Ledgers,
}

/// An answer, read whole.
pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or("").to_owned()
    }
    /// The JSON documents of a watch.
    pub fn events(&self) -> Vec<Value> {
        serde_json::Deserializer::from_slice(&self.bytes).into_iter().map(|value| value.expect("JSON")).collect()
    }
}

pub fn admin() -> UserInfo {
    UserInfo::new("admin", [GROUP_MASTERS])
}

pub async fn server() -> Server {
    server_in(Env::system(), Arc::new(Masters)).await
}

/// A server of that world, guarded by that authorizer; it has the namespace `default`.
pub async fn server_in(env: Env, authorizer: Arc<dyn Authorizer>) -> Server {
    server_of(env, authorizer, Arc::new(AdmitAll)).await
}

/// The same with that admission. Whoever shows the token `as:NAME` is NAME, for a few names.
pub async fn server_of(env: Env, authorizer: Arc<dyn Authorizer>, admission: Arc<dyn Admission>) -> Server {
    server_with(Parts { authorizer, admission, ..Parts::new(env) }).await
}

/// The server of these parts, with those users.
pub async fn server_with(parts: Parts) -> Server {
    let someone = |name: &str| UserInfo::new(name, Vec::<String>::new());
    let mut users = vec![("admin".to_owned(), admin()), ("user".to_owned(), someone("user"))];
    let names = ["bad", "slow", "other", "reader", "reader-0", "reader-1", "reader-2", "reader-3"];
    users.extend(names.map(|name| (format!("as:{name}"), someone(name))));
    let users = users.iter().map(|(token, user)| (token.as_str(), user.clone()));
    let server = Parts { authenticator: Arc::new(Tokens::new(users)), ..parts }.start().await;
    Server {
        service: server.service,
        registry: server.registry,
        tasks: server.tasks,
        stopping: server.stopping,
        seats: server.seats,
        ledgers: server.ledgers,
    }
}

impl Server {
    /// Stores an object of the core group without a request.
    pub async fn store(&self, resource: &str, namespace: &str, object: &Value) {
        let warnings = Warnings::default();
        let user = admin();
        let caller = Caller {
            user: &user,
            verb: "create",
            user_agent: "test",
            request_id: "",
            field_manager: "test",
            dry_run: false,
            options: &serde_json::Value::Null,
            admission: &AdmitAll,
            warnings: &warnings,
        };
        let table = self.registry.table();
        let row = table.lookup("", "v1", resource).expect("a built-in row");
        let object = Object::from_value(object.clone()).expect("an object");
        self.registry.create(&caller, row, namespace, object).await.expect("stored");
    }

    /// Any request, as it would come over a socket.
    pub async fn raw(&self, request: Request<Body>) -> Response<Body> {
        match self.service.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    pub async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            request = request.header("authorization", "Bearer admin");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.raw(request.body(body::full(body)).expect("a request")).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        Answer { code: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    pub async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers: &[(&str, &str)] = match method {
            "PATCH" => &[("content-type", "application/merge-patch+json")],
            _ => &[("content-type", "application/json")],
        };
        self.call_with(method, path, headers, body.to_owned()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call_with("GET", path, &[], Bytes::new()).await
    }

    pub async fn create(&self, path: &str, value: &Value) -> Value {
        let answer = self.call("POST", path, &value.to_string()).await;
        assert_eq!(answer.code, 201, "{}", answer.text());
        answer.json()
    }
}

pub fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
