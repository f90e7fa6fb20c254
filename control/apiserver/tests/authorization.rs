//! Every resource and verb of the table refuses a user without rights, and says who may not do what.

mod support;

use futures::future::BoxFuture;
use http::Request;
use sampan_api::user::{Attributes, Authorizer, Decision, UserInfo};
use sampan_auth::bootstrap::{Reconciled, reconcile};
use sampan_auth::node::NodeAuthorizer;
use sampan_auth::rbac::RbacAuthorizer;
use sampan_auth::union::Authorizers;
use sampan_client::{Client, Informers};
use sampan_env::Env;
use sampan_registry::Verbs;
use serde_json::json;
use std::sync::{Arc, OnceLock};
use support::{Masters, Server, server, server_in};

fn request_of(verb: &str) -> (&'static str, bool, &'static str) {
    match verb {
        "get" => ("GET", true, ""),
        "list" => ("GET", false, ""),
        "watch" => ("GET", false, "?watch=1"),
        "create" => ("POST", false, ""),
        "update" => ("PUT", true, ""),
        "patch" => ("PATCH", true, ""),
        "delete" => ("DELETE", true, ""),
        "deletecollection" => ("DELETE", false, ""),
        other => panic!("no request for {other}"),
    }
}

/// Puts off what guards a server until it can be read.
#[derive(Default)]
struct Later(OnceLock<Authorizers>);

impl Authorizer for Later {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        match self.0.get() {
            Some(authorizers) => authorizers.authorize(attributes),
            None => Masters.authorize(attributes),
        }
    }
}

/// A server with the roles and bindings that every cluster has, guarded by them and by the nodes' authorizer.
async fn guarded() -> Server {
    let (env, later) = (Env::system(), Arc::new(Later::default()));
    let server = server_in(env.clone(), later.clone()).await;
    for name in ["kube-system", "kube-public"] {
        server
            .create("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
            .await;
    }
    let own = Client::in_process(server.service.clone(), UserInfo::apiserver(), "test", &env);
    for object in sampan_auth::bootstrap::rbac_objects() {
        let gvk = object.gvk().expect("a kind");
        let row = server.registry.table().of_kind(&gvk).expect("a row").gvr();
        let namespace = Some(object.namespace()).filter(|namespace| !namespace.is_empty());
        own.dynamic(&row, namespace).create(&object).await.expect("made");
    }
    let informers = Informers::new(own.clone(), &env, &server.tasks);
    let rbac = RbacAuthorizer::start(&informers, &server.tasks).expect("it starts");
    rbac.wait_synced().await.expect("it has read all");
    later.0.get_or_init(|| Authorizers(vec![Arc::new(NodeAuthorizer::new(own)), rbac]));
    server
}

#[tokio::test]
async fn a_user_without_rights_is_refused_everywhere() {
    refused_everywhere(&server().await, |_| false).await;
}

#[tokio::test]
async fn roles_of_a_new_cluster_give_a_user_nothing_but_a_look_at_itself() {
    let server = guarded().await;
    refused_everywhere(&server, |resource| resource.starts_with("self")).await;
    assert_eq!(server.call_with("GET", "/api/v1/pods", &[("authorization", "Bearer admin")], "").await.code, 200);
    let review = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = server.call_with("POST", path, &[("authorization", "Bearer user")], review).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
}

#[tokio::test]
async fn a_second_start_finds_nothing_to_mend() {
    let server = guarded().await;
    let own = Client::in_process(server.service.clone(), UserInfo::apiserver(), "test", &Env::system());
    for object in sampan_auth::bootstrap::rbac_objects() {
        let row = server.registry.table().of_kind(&object.gvk().expect("a kind")).expect("a row").gvr();
        let namespace = Some(object.namespace()).filter(|namespace| !namespace.is_empty());
        let live = own.dynamic(&row, namespace).get(object.name()).await.expect("there");
        assert_eq!(reconcile(&live, &object), Reconciled::Kept, "{} {}", object.kind(), object.name());
    }
}

/// `may`: resources that everybody who is somebody may ask for.
async fn refused_everywhere(server: &Server, may: impl Fn(&str) -> bool) {
    let mut asked = 0;
    for row in server.registry.table().iter().filter(|row| !may(&row.resource)) {
        let base = row.gvr().base_path();
        let collection = if row.namespaced {
            format!("{base}/namespaces/default/{}", row.resource)
        } else {
            format!("{base}/{}", row.resource)
        };
        let scope = if row.namespaced { "in the namespace \"default\"" } else { "at the cluster scope" };
        let below =
            row.subresources.iter().map(|one| (format!("{}/{}", row.resource, one.name), Some(&one.name), one.verbs));
        let all = [(row.resource.to_string(), None, row.verbs)].into_iter().chain(below);
        for (shown, subresource, verbs) in all {
            for verb in verbs.names() {
                let (method, named, query) = request_of(verb);
                let mut path = collection.clone();
                if named || subresource.is_some() {
                    path.push_str("/x");
                }
                if let Some(subresource) = subresource {
                    path = format!("{path}/{subresource}");
                }
                path.push_str(query);
                let answer = server.call_with(method, &path, &[("authorization", "Bearer user")], "{}").await;
                let text = format!(
                    "User \"user\" cannot {verb} resource \"{shown}\" in API group \"{}\" {}",
                    row.group,
                    if row.resource == "namespaces" && (named || subresource.is_some()) {
                        "in the namespace \"x\""
                    } else {
                        scope
                    }
                );
                assert_eq!(answer.code, 403, "{method} {path}: {}", answer.text());
                assert!(answer.message().ends_with(&text), "{method} {path}: {} is not {text}", answer.message());
                asked += 1;
            }
        }
    }
    println!("{asked} combinations of resource and verb refused");
    assert!(asked > 400, "the table is there");
    assert!(Verbs::of_name("get").is_some());
}

#[tokio::test]
async fn who_shows_nothing_or_the_wrong_thing_is_not_let_in() {
    let server = server().await;
    let check = async |path: &str, token: Option<&str>, code: u16| {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = server.raw(request.body(sampan_apiserver::body::empty()).expect("a request")).await;
        assert_eq!(response.status().as_u16(), code, "{path} {token:?}");
        assert!(response.headers().contains_key("audit-id"));
    };
    check("/api/v1/namespaces", None, 401).await;
    check("/api/v1/namespaces", Some("nope"), 401).await;
    check("/api/v1/namespaces", Some("user"), 403).await;
    check("/api/v1/namespaces", Some("admin"), 200).await;
    check("/healthz", Some("nope"), 401).await;
    check("/metrics", Some("user"), 403).await;
}

#[tokio::test]
async fn acting_as_another_needs_the_right_to() {
    let server = server().await;
    let list = "/api/v1/namespaces/default/pods";
    let check = async |token: &str, headers: &[(&str, &str)], code: u16, message: &str| {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        let answer = server.call_with("GET", list, &all, "").await;
        assert_eq!(answer.code, code, "{}", answer.text());
        assert_eq!(answer.json()["message"].as_str().unwrap_or(""), message);
    };
    check(
        "admin",
        &[("impersonate-user", "jane")],
        403,
        "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
    )
    .await;
    check("admin", &[("impersonate-user", "jane"), ("impersonate-group", "system:masters")], 200, "").await;
    check("admin", &[("impersonate-user", "")], 200, "").await;
    check(
        "user",
        &[("impersonate-user", "jane")],
        403,
        "users \"jane\" is forbidden: User \"user\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
    )
    .await;
}
