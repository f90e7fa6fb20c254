//! A server on a store in memory, called through its tower service as code of this process would call it.
#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use sampan_api::Object;
use sampan_api::user::{Attributes, Authorizer, Decision, GROUP_MASTERS, UserInfo};
use sampan_apiserver::{Anonymous, ApiServer, ApiService, Body, Config, NoNodes, body};
use sampan_auth::authenticator::{Authenticator, Credentials, Refused};
use sampan_env::{CancellationToken, Env, Tasks};
use sampan_registry::options::{Caller, Warnings};
use sampan_registry::{AdmitAll, Registry, ResourceTable, SchemaShapes};
use sampan_store::memory::MemoryStore;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

pub struct Server {
    pub service: ApiService,
    pub registry: Registry,
    pub tasks: Tasks,
    pub stopping: CancellationToken,
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

struct Tokens;

impl Authenticator for Tokens {
    fn authenticate<'a>(&'a self, shown: Credentials<'a>) -> BoxFuture<'a, Result<Option<Arc<UserInfo>>, Refused>> {
        let found = match shown.bearer_token() {
            None => Ok(None),
            Some("admin") => Ok(Some(Arc::new(admin()))),
            Some("user") => Ok(Some(Arc::new(UserInfo::new("user", Vec::<String>::new())))),
            Some(_) => Err(Refused("unknown".to_owned())),
        };
        Box::pin(std::future::ready(found))
    }
}

/// Masters may do all, nobody else anything but ask for the server's health.
pub struct Masters;

impl Authorizer for Masters {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        let allowed = attributes.user.in_group(GROUP_MASTERS) || attributes.path == "/healthz";
        Box::pin(std::future::ready(if allowed { Decision::allow("") } else { Decision::no_opinion("") }))
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
    let tasks = Tasks::new("test");
    let store = Arc::new(MemoryStore::new(env.clone(), &tasks));
    let table = Arc::new(ResourceTable::builtin().expect("the built-in table is sound"));
    let config = sampan_registry::Config::new(store, env.clone(), table, Arc::new(SchemaShapes));
    let registry = Registry::open(config).await.expect("an empty store opens");
    let server = ApiServer::new(Config {
        env,
        tasks: tasks.clone(),
        registry: registry.clone(),
        authenticator: Arc::new(Tokens),
        authorizer,
        admission: Arc::new(AdmitAll),
        nodes: Arc::new(NoNodes),
        actions: Vec::new(),
        rules: None,
        routes: Vec::new(),
        checks: Vec::new(),
        anonymous: Anonymous::Health,
        version: "v1.35.0+sampan".to_owned(),
    })
    .expect("every action is bound");
    let server = Server { service: server.service(), registry, tasks, stopping: server.stopping() };
    server.namespace("default").await;
    server
}

impl Server {
    async fn namespace(&self, name: &str) {
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
        let row = table.lookup("", "v1", "namespaces").expect("a built-in row");
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let object = Object::from_value(object).expect("an object");
        self.registry.create(&caller, row, "", object).await.expect("a first namespace");
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
