//! Group versions that other servers have: requests go there, discovery says so.

use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_apiserver::{Backend, Backends, Body, body};
use sampan_env::Env;
use sampan_testing::server::{Parts, Server};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tower::ServiceExt;

/// Another server, which remembers what it was asked.
#[derive(Default)]
struct Other {
    asked: Mutex<Vec<(String, http::HeaderMap, Vec<u8>)>>,
}

const GROUP: &str = "wardle.example.com";
const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

impl Other {
    fn answer(path: &str) -> (u16, Value) {
        let resource = json!({"resource": "flunders", "scope": "Namespaced", "verbs": ["get", "list"],
            "singularResource": "flunder", "responseKind": {"group": "", "version": "", "kind": "Flunder"}});
        match path {
            "/apis" => {
                let version = json!({"version": "v1", "resources": [resource]});
                let item = json!({"metadata": {"name": "wardle.example.com"}, "versions": [version]});
                let kind = "APIGroupDiscoveryList";
                (200, json!({"kind": kind, "apiVersion": "apidiscovery.k8s.io/v2", "items": [item]}))
            }
            "/openapi/v3" => {
                let path = "apis/wardle.example.com/v1";
                let address = format!("/openapi/v3/{path}?hash=1");
                (200, json!({"paths": {path: {"serverRelativeURL": address}}}))
            }
            "/apis/wardle.example.com/v1/moved" => (307, json!({})),
            path => (200, json!({"kind": "Answer", "path": path})),
        }
    }
}

impl Backends for Other {
    fn send<'a>(&'a self, to: &'a Backend, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, String>> {
        Box::pin(async move {
            assert_eq!((to.namespace.as_str(), to.name.as_str(), to.port), ("wardle", "api", 8443));
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes().to_vec();
            self.asked.lock().push((parts.uri.to_string(), parts.headers, body));
            let (code, answer) = Self::answer(parts.uri.path());
            let response = Response::builder().status(code).header("content-type", "application/json");
            let response = if code == 307 { response.header("location", "https://evil/") } else { response };
            response
                .header("connection", "close")
                .body(body::full(answer.to_string()))
                .map_err(|error| error.to_string())
        })
    }
}

/// Servers of which the one behind the Service `silent` never answers.
#[derive(Default)]
struct WithSilent {
    other: Other,
    /// Told of each question to the silent one.
    asked: Notify,
}

impl Backends for WithSilent {
    fn send<'a>(&'a self, to: &'a Backend, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, String>> {
        if to.name != "silent" {
            return self.other.send(to, request);
        }
        self.asked.notify_one();
        Box::pin(std::future::pending())
    }
}

struct World {
    server: Server,
    other: Arc<Other>,
}

impl World {
    async fn new() -> Self {
        let other = Arc::new(Other::default());
        let server = Parts { backends: other.clone(), ..Parts::new(Env::system()) }.start().await;
        Self { server, other }
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { body::empty() } else { body::full(body.to_string()) };
        let mut request = request.body(body).expect("a request");
        request.extensions_mut().insert(UserInfo::new("ann", [GROUP_MASTERS]));
        let response = self.server.service.clone().oneshot(request).await.expect("an answer");
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (code, String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.call("GET", path, &[], Value::Null).await
    }

    /// Registers the group version.
    async fn register(&self, available: &str) {
        self.register_of(GROUP, "api", available).await;
    }

    /// Registers the version `v1` of a group, which a Service's server has.
    async fn register_of(&self, group: &str, service: &str, available: &str) {
        let json = [("content-type", "application/json")];
        let path = "/apis/apiregistration.k8s.io/v1/apiservices";
        let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("v1.{group}")},
            "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 17790,
                "versionPriority": 15, "insecureSkipTLSVerify": true,
                "service": {"namespace": "wardle", "name": service, "port": 8443}}});
        let (code, text) = self.call("POST", path, &json, service).await;
        assert_eq!(code, 201, "{text}");
        self.say_of(group, available).await;
    }

    /// Says whether its server answers.
    async fn say(&self, available: &str) {
        self.say_of(GROUP, available).await;
    }

    async fn say_of(&self, group: &str, available: &str) {
        let status = json!({"status": {"conditions": [{"type": "Available", "status": available}]}});
        let path = &format!("/apis/apiregistration.k8s.io/v1/apiservices/v1.{group}/status");
        let merge = [("content-type", "application/merge-patch+json")];
        let (code, text) = self.call("PATCH", path, &merge, status).await;
        assert_eq!(code, 200, "{text}");
    }

    /// The version in aggregated discovery, once it is as fresh as that.
    async fn discovered(&self, freshness: &str) -> Value {
        for _ in 0..1000 {
            let (_, text) = self.call("GET", "/apis", &[("accept", V2)], Value::Null).await;
            let list: Value = serde_json::from_str(&text).expect("JSON");
            let items = list["items"].as_array().expect("groups");
            let at = items.iter().position(|item| item["metadata"]["name"] == GROUP);
            if let Some(at) = at.filter(|at| items[*at]["versions"][0]["freshness"] == freshness) {
                assert!(items[..at].iter().any(|item| item["metadata"]["name"] == "apps"), "it stands by its priority");
                return items[at]["versions"][0].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never was {freshness}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_to_the_server_of_their_group_version() {
    let world = World::new().await;
    assert_eq!(world.get("/apis/wardle.example.com/v1").await.0, 404);
    world.register("False").await;
    let version = world.discovered("Stale").await;
    assert_eq!(version["resources"], Value::Null);
    assert_eq!(world.get("/apis/wardle.example.com/v1").await, (503, "service unavailable\n".to_owned()));
    let (_, groups) = world.get("/apis").await;
    assert!(groups.contains("wardle.example.com/v1"), "what does not answer is there still: {groups}");

    world.say("True").await;
    assert_eq!(world.discovered("Current").await["resources"][0]["resource"], "flunders");
    world.other.asked.lock().clear();
    let path = "/apis/wardle.example.com/v1/namespaces/default/flunders?dryRun=All";
    let headers = [("x-remote-user", "root"), ("content-type", "application/json"), ("te", "trailers")];
    let (code, text) = world.call("POST", path, &headers, json!({"a": 1})).await;
    assert_eq!(code, 200, "{text}");
    assert!(text.contains("/namespaces/default/flunders"), "{text}");
    let (asked, headers, body) = world.other.asked.lock().pop().expect("asked");
    assert_eq!((asked.as_str(), body.as_slice()), (path, &br#"{"a":1}"#[..]));
    let all = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
    assert_eq!(
        (all("x-remote-user"), all("x-remote-group")),
        (vec!["ann"], vec![GROUP_MASTERS, "system:authenticated"])
    );
    assert_eq!(all("te"), Vec::<&str>::new());
    assert_eq!(world.get("/apis/wardle.example.com/v1").await.0, 200, "its own discovery");

    let (code, text) = world.get("/apis/wardle.example.com/v1/moved").await;
    assert_eq!(code, 502);
    assert_eq!(text, "the backend attempted to redirect this request, which is not permitted");
    let upgrade = [("upgrade", "websocket"), ("connection", "upgrade")];
    assert_eq!(world.call("GET", "/apis/wardle.example.com/v1/x", &upgrade, Value::Null).await.0, 501);

    let (_, index) = world.get("/openapi/v3").await;
    assert!(index.contains("/openapi/v3/apis/wardle.example.com/v1?hash=1"), "{index}");
    let (_, document) = world.get("/openapi/v3/apis/wardle.example.com/v1?hash=1").await;
    assert!(document.contains("\"path\":\"/openapi/v3/apis/wardle.example.com/v1\""), "{document}");

    // It vanishes.
    world.say("False").await;
    world.discovered("Stale").await;
    assert_eq!(world.get("/apis/wardle.example.com/v1/x").await.0, 503);
    world.call("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.wardle.example.com", &[], Value::Null).await;
    for _ in 0..1000 {
        if world.get("/apis/wardle.example.com/v1/x").await.0 == 404 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is served still");
}

/// Another server has as long to say what it serves.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// Who is registered is asked within it.
const ASKED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_delays_nobody() {
    let silent = Arc::new(WithSilent::default());
    let server = Parts { backends: silent.clone(), ..Parts::new(Env::system()) }.start().await;
    let world = World { server, other: Arc::default() };
    world.register_of("silent.example.com", "silent", "True").await;
    tokio::time::timeout(ASKED_WITHIN, silent.asked.notified()).await.expect("it is asked");
    // Discovery has both, and of the one that is silent it says so.
    let freshness = async |group: &str| {
        let (_, text) = world.call("GET", "/apis", &[("accept", V2)], Value::Null).await;
        let list: Value = serde_json::from_str(&text).expect("JSON");
        let item = list["items"].as_array().and_then(|items| items.iter().find(|one| one["metadata"]["name"] == group));
        item.expect("there")["versions"][0]["freshness"].clone()
    };
    assert_eq!((freshness("silent.example.com").await, freshness("apps").await), (json!("Stale"), json!("Current")));
    // Who comes meanwhile is asked at once, and shown when it has answered: the silent one's time is not over yet.
    let began = world.server.env.instant();
    world.register("True").await;
    let version = world.discovered("Current").await;
    assert_eq!(version["resources"][0]["resource"], "flunders");
    assert!(began.elapsed() < SILENT_MAX, "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_names_no_server_is_refused() {
    let world = World::new().await;
    let check = async |change: Value, expected: &str| {
        let mut service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "v1.example.com"}, "spec": {"group": "example.com", "version": "v1",
                "groupPriorityMinimum": 100, "versionPriority": 15, "service": {"namespace": "n", "name": "s"}}});
        for (name, value) in change.as_object().expect("fields") {
            service["spec"][name] = value.clone();
        }
        let json = [("content-type", "application/json")];
        let path = "/apis/apiregistration.k8s.io/v1/apiservices?dryRun=All";
        let (code, text) = world.call("POST", path, &json, service).await;
        assert_eq!(code, if expected.is_empty() { 201 } else { 422 }, "{text}");
        assert!(text.contains(expected), "{text}");
    };
    check(json!({}), "").await;
    check(json!({"group": "other.com"}), "metadata.name: Invalid value").await;
    check(json!({"groupPriorityMinimum": 0}), "must be positive and less than 20000").await;
    check(json!({"versionPriority": 1001}), "must be positive and less than 1000").await;
    check(json!({"insecureSkipTLSVerify": true, "caBundle": "QQ=="}), "may not be true if caBundle is present").await;
    check(json!({"service": null, "insecureSkipTLSVerify": true}), "local APIServices may not have").await;
    check(json!({"service": {"name": "s"}}), "spec.service.namespace: Required value").await;
    check(json!({"service": {"namespace": "n", "name": "s", "port": 70000}}), "port is not valid").await;
}
