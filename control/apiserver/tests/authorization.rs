//! Every resource and verb of the table refuses a user without rights, and says who may not do what.

mod support;

use futures::future::BoxFuture;
use http::Request;
use sampan_api::user::{Attributes, Authorizer, Decision, UserInfo};
use sampan_api::{GroupVersionResource, Object};
use sampan_apiserver::RuleResolver;
use sampan_auth::bootstrap::{Reconciled, reconcile};
use sampan_auth::node::NodeAuthorizer;
use sampan_auth::rbac::RbacAuthorizer;
use sampan_auth::union::Authorizers;
use sampan_client::{Client, Informers};
use sampan_env::Env;
use sampan_registry::Verbs;
use sampan_testing::server::Parts;
use serde_json::{Value, json};
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
    for object in sampan_auth::bootstrap::rbac_objects(|_| false) {
        let gvk = object.gvk().expect("a kind");
        let row = server.registry.table().of_kind(&gvk).expect("a row").gvr();
        let namespace = Some(object.namespace()).filter(|namespace| !namespace.is_empty());
        own.dynamic(&row, namespace).create(&object).await.expect("made");
    }
    let informers = Informers::new(own.clone(), &env, &server.tasks);
    let rbac = RbacAuthorizer::start(&informers, &server.tasks).expect("it starts");
    rbac.wait_synced().await.expect("it has read all");
    let nodes = NodeAuthorizer::new(own, &informers).expect("an authorizer");
    later.0.get_or_init(|| Authorizers(vec![Arc::new(nodes), rbac]));
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
    for object in sampan_auth::bootstrap::rbac_objects(|_| false) {
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

#[tokio::test]
async fn another_identity_is_taken_whole_and_each_part_of_it_needs_a_right() {
    const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let server = guarded().await;
    let ask = async |token: &str, headers: &[(&str, &str)]| {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        let review = r#"{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}"#;
        server.call_with("POST", SELF, &all, review).await
    };
    let whole = [
        ("impersonate-user", "jane"),
        ("impersonate-user", "eve"),
        ("impersonate-group", "system:masters"),
        ("impersonate-uid", "u-1"),
        ("impersonate-extra-scopes", "view"),
        ("impersonate-extra-scopes", "development"),
        ("impersonate-extra-acme.com%2Fproject", "p"),
    ];
    let answer = ask("admin", &whole).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    let expected = json!({"username": "jane", "uid": "u-1", "groups": ["system:masters", "system:authenticated"],
        "extra": {"scopes": ["view", "development"], "acme.com/project": ["p"]}});
    assert_eq!(answer.json()["status"]["userInfo"], expected);

    let refused = async |token: &str, headers: &[(&str, &str)], code: u16, message: &str| {
        let answer = ask(token, headers).await;
        assert_eq!((answer.code, answer.message()), (code, message.to_owned()));
    };
    refused(
        "admin",
        &[("impersonate-group", "g"), ("impersonate-uid", "u-1"), ("impersonate-extra-scopes", "view")],
        400,
        "requested [{Group  g    } {UserExtra  view  authentication.k8s.io/v1  scopes} {UID  u-1  authentication.k8s.io/v1  }] without impersonating a user",
    )
    .await;
    // May act as jane and as the group, and as nothing else of an identity.
    let metadata = json!({"name": "acts"});
    let api = "rbac.authorization.k8s.io/v1";
    let rules = json!([{"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]}]);
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    server
        .create(roles, &json!({"apiVersion": api, "kind": "ClusterRole", "metadata": metadata, "rules": rules}))
        .await;
    let role = json!({"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "acts"});
    let subjects = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "user"}]);
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    server
        .create(bindings, &json!({"apiVersion": api, "kind": "ClusterRoleBinding", "metadata": metadata, "subjects": subjects, "roleRef": role}))
        .await;
    let jane = [("impersonate-user", "jane"), ("impersonate-group", "g")];
    let asked = async {
        while ask("user", &jane).await.code != 201 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("the binding is in force");
    let with = |more: (&'static str, &'static str)| [jane[0], jane[1], more];
    let cannot = |what: &str, resource: &str| {
        format!(
            "{what} is forbidden: User \"user\" cannot impersonate resource \"{resource}\" in API group \"authentication.k8s.io\" at the cluster scope"
        )
    };
    refused("user", &with(("impersonate-uid", "u-1")), 403, &cannot("uids.authentication.k8s.io \"u-1\"", "uids"))
        .await;
    refused(
        "user",
        &with(("impersonate-extra-scopes", "view")),
        403,
        &cannot("userextras.authentication.k8s.io \"view\"", "userextras/scopes"),
    )
    .await;
}

/// Longest that anything takes to be in force.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Asks until it is allowed. The authorizers follow what is written; nothing tells when they have.
async fn becomes_allowed(authorizer: &dyn Authorizer, attributes: &Attributes) {
    let asked = async {
        while !authorizer.authorize(attributes).await.allowed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never allowed: {attributes:?}"));
}

fn asks(user: UserInfo, verb: &str, resource: &str, name: &str) -> Attributes {
    Attributes {
        user: user.into(),
        verb: verb.into(),
        resource: resource.into(),
        namespace: "default".into(),
        name: name.into(),
        resource_request: true,
        ..Attributes::default()
    }
}

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
const ROLE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";

async fn make_role(server: &Server, name: &str, resources: &[String]) {
    let rules: Vec<_> =
        resources.iter().map(|one| json!({"verbs": ["get"], "apiGroups": [""], "resources": [one]})).collect();
    let metadata = json!({"name": name});
    let api = "rbac.authorization.k8s.io/v1";
    server.create(ROLES, &json!({"apiVersion": api, "kind": "Role", "metadata": metadata, "rules": rules})).await;
    let subjects = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}]);
    let role = json!({"kind": "Role", "apiGroup": "rbac.authorization.k8s.io", "name": name});
    let binding =
        json!({"apiVersion": api, "kind": "RoleBinding", "metadata": metadata, "subjects": subjects, "roleRef": role});
    server.create(ROLE_BINDINGS, &binding).await;
}

#[tokio::test]
async fn what_changes_a_label_compiles_no_rules() {
    let server = server().await;
    let own = Client::in_process(server.service.clone(), UserInfo::apiserver(), "test", &Env::system());
    let large: Vec<String> = (0..2_000).map(|n| format!("r{n}")).collect();
    for n in 0..4 {
        make_role(&server, &format!("large-{n}"), &large).await;
    }
    let informers = Informers::new(own, &Env::system(), &server.tasks);
    let rbac = RbacAuthorizer::start(&informers, &server.tasks).expect("it starts");
    rbac.wait_synced().await.expect("it has read all");
    let someone = |name: &str| UserInfo::new(name, Vec::<String>::new());
    assert!(rbac.authorize(&asks(someone("large-1"), "get", "r1999", "")).await.allowed());
    assert_eq!(rbac.compiled(), 4);
    for (n, label) in (0..20).map(|n| (n % 4, json!({"metadata": {"labels": {"n": n.to_string()}}}))) {
        for collection in [ROLES, ROLE_BINDINGS] {
            let headers = [("content-type", "application/merge-patch+json")];
            let path = format!("{collection}/large-{n}");
            let answer = server.call_with("PATCH", &path, &headers, label.to_string()).await;
            assert_eq!(answer.code, 200, "{}", answer.text());
        }
    }
    // All of this is behind what comes last.
    make_role(&server, "last", &["pods".to_owned()]).await;
    becomes_allowed(&*rbac, &asks(someone("last"), "get", "pods", "")).await;
    assert_eq!(rbac.compiled(), 5, "the last one alone");
    let gone = server.call("DELETE", &format!("{ROLE_BINDINGS}/large-1"), "").await;
    assert_eq!(gone.code, 200, "{}", gone.text());
    make_role(&server, "later", &["pods".to_owned()]).await;
    becomes_allowed(&*rbac, &asks(someone("later"), "get", "pods", "")).await;
    assert!(!rbac.authorize(&asks(someone("large-1"), "get", "r1999", "")).await.allowed());
    assert!(rbac.authorize(&asks(someone("large-2"), "get", "r1999", "")).await.allowed());
}

/// A volume that is bound to a claim of the namespace `default`.
fn volume(name: &str, claim: &str, secret: &str) -> Value {
    let secret = json!({"namespace": "default", "name": secret});
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "claimRef": {"namespace": "default", "name": claim},
        "csi": {"driver": "d.example.com", "volumeHandle": name, "nodePublishSecretRef": secret}}})
}

#[tokio::test]
async fn a_node_has_the_secrets_of_its_pods_volumes() {
    let server = server().await;
    let own = Client::in_process(server.service.clone(), UserInfo::apiserver(), "test", &Env::system());
    let informers = Informers::new(own.clone(), &Env::system(), &server.tasks);
    let nodes = NodeAuthorizer::new(own, &informers).expect("it starts");
    let pod = |name: &str, node: &str, claim: &str| {
        let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]);
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": {
            "nodeName": node, "volumes": volumes, "containers": [{"name": "c", "image": "x"}]}})
    };
    for (name, node, claim) in [("mine", "n1", "mine"), ("theirs", "n2", "theirs")] {
        server.store("pods", "default", &pod(name, node, claim)).await;
    }
    for (name, claim) in [("mine", "mine"), ("theirs", "theirs"), ("nobodys", "nobodys"), ("last", "mine")] {
        server.create("/api/v1/persistentvolumes", &volume(name, claim, &format!("of-{name}"))).await;
    }
    let gets = |node: &str, name: &str| asks(UserInfo::node(node), "get", "secrets", name);
    becomes_allowed(&nodes, &gets("n1", "of-last")).await;
    let check = async |node: &str, secret: &str, expected: bool| {
        assert_eq!(nodes.authorize(&gets(node, secret)).await.allowed(), expected, "{node} {secret}");
    };
    check("n1", "of-mine", true).await;
    check("n1", "of-theirs", false).await;
    check("n1", "of-nobodys", false).await;
    check("n2", "of-theirs", true).await;
    check("n2", "of-mine", false).await;
    check("n3", "of-mine", false).await;
    // As soon as the volume or the pod is gone, and not when the authorizer has heard of it.
    assert_eq!(server.call("DELETE", "/api/v1/persistentvolumes/mine", "").await.code, 200);
    check("n1", "of-mine", false).await;
    check("n1", "of-last", true).await;
    let gone = server.call("DELETE", "/api/v1/namespaces/default/pods/mine?gracePeriodSeconds=0", "").await;
    assert_eq!(gone.code, 200, "{}", gone.text());
    check("n1", "of-last", false).await;
}

/// Answers, and tells by which thread.
#[derive(Default)]
struct Noted(OnceLock<std::thread::ThreadId>);

impl RuleResolver for Noted {
    fn rules(&self, user: &UserInfo, namespace: &str) -> Value {
        self.0.get_or_init(|| std::thread::current().id());
        let rule = json!({"verbs": ["get"], "resources": [namespace], "resourceNames": [user.name]});
        json!({"resourceRules": [rule], "nonResourceRules": [], "incomplete": true, "evaluationError": "too long"})
    }
}

#[tokio::test]
async fn rules_are_listed_beside_the_threads_that_serve() {
    let noted = Arc::new(Noted::default());
    let server = Parts { rules: Some(noted.clone()), ..Parts::new(Env::system()) }.start().await;
    let own = server.client(UserInfo::new("bob", Vec::<String>::new()));
    let resource = GroupVersionResource::new("authorization.k8s.io", "v1", "selfsubjectrulesreviews");
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "metadata": {}, "spec": {"namespace": "ns"}});
    let review = Object::from_value(review).expect("an object");
    let answer = own.dynamic(&resource, None).create(&review).await.expect("answered");
    let expected = noted.rules(&UserInfo::new("bob", Vec::<String>::new()), "ns");
    assert_eq!(answer.get(&["status"]), Some(&expected));
    assert_ne!(noted.0.get(), Some(&std::thread::current().id()), "this thread serves");
}

/// CPU time of this thread, seconds.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[tokio::test]
async fn large_pods_are_read_beside_the_threads_that_serve_and_once() {
    const PODS: usize = 8;
    let server = server().await;
    let own = Client::in_process(server.service.clone(), UserInfo::apiserver(), "test", &Env::system());
    let informers = Informers::new(own.clone(), &Env::system(), &server.tasks);
    let nodes = NodeAuthorizer::new(own.clone(), &informers).expect("it starts");
    let variable = |pod: usize, n: usize| json!({"name": format!("A{n}"), "valueFrom": {"secretKeyRef": {"name": format!("s{pod}"), "key": "k"}}});
    for pod in 0..PODS {
        let env: Vec<Value> = (0..10_000).map(|n| variable(pod, n)).collect();
        let spec = json!({"nodeName": "n1", "containers": [{"name": "c", "image": "x", "env": env}]});
        let metadata = json!({"name": format!("p{pod}"), "namespace": "default"});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        server.store("pods", "default", &pod).await;
    }
    let gets = |name: &str| asks(UserInfo::node("n1"), "get", "secrets", name);
    let pods = own.namespaced::<sampan_api::k8s::api::core::v1::Pod>("default");
    let record = pods.get_record("p0").await.expect("there");
    let spent = |began: f64| cpu() - began;
    let began = cpu();
    std::hint::black_box(record.object());
    let one = spent(began);
    let began = cpu();
    assert!(nodes.authorize(&gets("s5")).await.allowed() && !nodes.authorize(&gets("other")).await.allowed());
    let first = spent(began);
    let began = cpu();
    for _ in 0..20 {
        assert!(nodes.authorize(&gets("s5")).await.allowed() && !nodes.authorize(&gets("other")).await.allowed());
    }
    let later = spent(began) / 20.0;
    println!("reading one pod: {one} s; what this thread does at first: {first} s; later: {later} s");
    assert!(first < one && later < one / 4.0, "{first} s and {later} s, where reading one pod takes {one} s");
}
