use super::*;
use http::{Request, Response};
use sampan_api::user::UserInfo;
use sampan_client::{ApiService, Body, full};
use sampan_env::{Env, Tasks};
use serde_json::{Value, json};

fn pod(name: &str, node: &str, spec: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns", "resourceVersion": "1"}, "spec": {"containers": []},
    });
    for (field, value) in spec.as_object().expect("an object") {
        pod["spec"][field] = value.clone();
    }
    pod["spec"]["nodeName"] = node.into();
    pod
}

/// A cluster: `mine` is bound to n1 and refers to one object of each kind, named as the way in which it does; `theirs`
/// is bound to n2, `unbound` to nothing; `broken` cannot be read.
fn pods() -> Vec<Value> {
    let mine = json!({
        "serviceAccountName": "own",
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [{"name": "c",
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k"}}},
            ],
            "envFrom": [{"secretRef": {"name": "env-from"}}, {"configMapRef": {"name": "env-from"}}],
        }],
        "initContainers": [{"name": "i", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "init", "key": "k"}}}]}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "volume"}},
            {"name": "b", "configMap": {"name": "volume"}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "projected"}}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
        ],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "claim"}],
    });
    let theirs = json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "theirs"}}]}]});
    let mut mirror = pod("mirror", "n1", json!({"volumes": [{"name": "a", "secret": {"secretName": "mirrored"}}]}));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    let unbound = json!({"volumes": [{"name": "a", "secret": {"secretName": "unbound"}}]});
    vec![pod("mine", "n1", mine), pod("theirs", "n2", theirs), mirror, pod("unbound", "", unbound)]
}

fn node_of(query: &str) -> &str {
    query.split_once("spec.nodeName%3D").expect("by node").1.split('&').next().expect("a node")
}

fn answer(path: &str, query: &str) -> (u16, Value) {
    let of_node = |kind: &str, node: &str| {
        (
            200,
            json!({"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "x", "resourceVersion": "1"}, "spec": {"nodeName": node}}),
        )
    };
    let volume = |claim: &str| {
        let claim = json!({"namespace": "ns", "name": claim});
        (
            200,
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v", "resourceVersion": "1"}, "spec": {"claimRef": claim}}),
        )
    };
    match path {
        "/api/v1/namespaces/ns/pods" => {
            let node = node_of(query);
            let items: Vec<Value> = pods().into_iter().filter(|pod| pod["spec"]["nodeName"] == node).collect();
            (200, json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items}))
        }
        "/api/v1/persistentvolumes/of-mine" => volume("claim"),
        "/api/v1/persistentvolumes/of-theirs" => volume("other"),
        "/apis/storage.k8s.io/v1/volumeattachments/mine" => of_node("VolumeAttachment", "n1"),
        "/apis/storage.k8s.io/v1/volumeattachments/theirs" => of_node("VolumeAttachment", "n2"),
        "/apis/resource.k8s.io/v1/resourceslices/mine" => of_node("ResourceSlice", "n1"),
        "/apis/resource.k8s.io/v1/resourceslices/theirs" => of_node("ResourceSlice", "n2"),
        "/apis/certificates.k8s.io/v1beta1/namespaces/ns/podcertificaterequests/mine" => {
            of_node("PodCertificateRequest", "n1")
        }
        "/apis/certificates.k8s.io/v1beta1/namespaces/ns/podcertificaterequests/theirs" => {
            of_node("PodCertificateRequest", "n2")
        }
        "/api/v1/namespaces/ns/pods/broken" => {
            (500, json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 500}))
        }
        _ => {
            let name = path.strip_prefix("/api/v1/namespaces/ns/pods/").unwrap_or_default();
            let found = pods().into_iter().find(|pod| pod["metadata"]["name"] == name);
            let missing =
                json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
            found.map_or((404, missing), |pod| (200, pod))
        }
    }
}

fn authorizer() -> NodeAuthorizer {
    client_of(answer)
}

/// Asks a server that answers paths and queries so.
fn client_of(answer: impl Fn(&str, &str) -> (u16, Value) + Clone + Send + Sync + 'static) -> NodeAuthorizer {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (code, body) = answer(request.uri().path(), request.uri().query().unwrap_or_default());
        let response = Response::builder().status(code).header("content-type", "application/json");
        std::future::ready(Ok(response.body(full(body.to_string())).expect("an answer")))
    });
    let service = ApiService::new(tower::util::MapFuture::new(service, |future| {
        let future: BoxFuture<'static, _> = Box::pin(future);
        future
    }));
    let client = Client::in_process(service, UserInfo::apiserver(), "test", &Env::system());
    let informers = Informers::new(client.clone(), &Env::system(), &Tasks::new("test"));
    NodeAuthorizer::new(client, &informers).expect("an authorizer")
}

/// `verb [group/]resource[/subresource] [namespace:]name [selector]`; `-` for no name.
fn attributes(user: UserInfo, request: &str) -> Attributes {
    let mut words = request.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (verb, resource, name, selector) = (next(), next(), next(), next());
    let (group, resource) = resource.split_once(':').unwrap_or(("", resource));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (namespace, name) = name.split_once(':').unwrap_or(("", name));
    let text = |text: &str| if text == "-" { String::new() } else { text.to_owned() };
    Attributes {
        user: user.into(),
        verb: verb.into(),
        group: group.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: text(name),
        field_selector: selector.into(),
        resource_request: true,
        ..Attributes::default()
    }
}

const UNRELATED: &str = "no relationship found between node 'n1' and this object";

/// What n1 may do.
const ALLOWED: &[&str] = &[
    "create nodes -",
    "update nodes n1",
    "patch nodes n1",
    "get nodes n1",
    "list nodes n1",
    "watch nodes n1",
    "update nodes/status n1",
    "patch nodes/status n1",
    // Whose it is, admission looks at.
    "update nodes n2",
    "patch nodes/status n2",
    "create pods ns:-",
    "delete pods ns:theirs",
    "update pods/status ns:theirs",
    "patch pods/status ns:mine",
    "create pods/eviction ns:mine",
    "get pods ns:mine",
    "list pods - spec.nodeName=n1",
    "watch pods - spec.nodeName=n1",
    "list pods ns:mine",
    "get secrets ns:pull",
    "get secrets ns:env",
    "get secrets ns:env-from",
    "get secrets ns:init",
    "get secrets ns:volume",
    "list secrets ns:volume",
    "watch secrets ns:projected",
    "get configmaps ns:env",
    "get configmaps ns:env-from",
    "get configmaps ns:volume",
    "get configmaps ns:projected",
    "get persistentvolumeclaims ns:claim",
    "get persistentvolumeclaims ns:mine-e",
    "patch persistentvolumeclaims/status ns:claim",
    "get persistentvolumes of-mine",
    "get resource.k8s.io:resourceclaims ns:claim",
    "get storage.k8s.io:volumeattachments mine",
    "get serviceaccounts ns:own",
    "create serviceaccounts/token ns:own",
    "create coordination.k8s.io:leases kube-node-lease:-",
    "get coordination.k8s.io:leases kube-node-lease:n1",
    "update coordination.k8s.io:leases kube-node-lease:n1",
    "delete coordination.k8s.io:leases kube-node-lease:n1",
    "create storage.k8s.io:csinodes -",
    "patch storage.k8s.io:csinodes n1",
    "delete storage.k8s.io:csinodes n1",
    "create resource.k8s.io:resourceslices -",
    "get resource.k8s.io:resourceslices mine",
    "delete resource.k8s.io:resourceslices mine",
    "deletecollection resource.k8s.io:resourceslices - spec.nodeName=n1",
    "create certificates.k8s.io:podcertificaterequests ns:-",
    "get certificates.k8s.io:podcertificaterequests ns:mine",
    "list certificates.k8s.io:podcertificaterequests - spec.nodeName=n1",
    "watch certificates.k8s.io:podcertificaterequests ns:- spec.nodeName=n1",
    "list services -",
    "watch services ns:-",
    "get endpoints ns:x",
    "create events ns:-",
    "patch events ns:x",
    "create events.k8s.io:events ns:-",
    "list node.k8s.io:runtimeclasses -",
    "get storage.k8s.io:csidrivers x",
    "create certificates.k8s.io:certificatesigningrequests -",
    "create authentication.k8s.io:tokenreviews -",
    "create authorization.k8s.io:subjectaccessreviews -",
];

/// What n1 may not do, and why.
const REFUSED: &[(&str, &str)] = &[
    ("delete nodes n1", ""),
    ("deletecollection nodes -", ""),
    ("get nodes/proxy n1", ""),
    ("get nodes/status n1", ""),
    ("get nodes n2", "node 'n1' cannot read 'n2', only its own Node object"),
    ("list nodes -", "node 'n1' cannot read all nodes, only its own Node object"),
    ("get pods ns:theirs", UNRELATED),
    ("get pods ns:unbound", UNRELATED),
    ("get pods ns:gone", UNRELATED),
    ("get pods ns:broken", UNRELATED),
    ("list pods ns:theirs", UNRELATED),
    ("list pods -", "can only list/watch pods with spec.nodeName field selector"),
    ("watch pods - spec.nodeName=n2", "can only list/watch pods with spec.nodeName field selector"),
    ("list pods - spec.nodeName!=n1", "can only list/watch pods with spec.nodeName field selector"),
    ("list pods - spec.nodeName=", "can only list/watch pods with spec.nodeName field selector"),
    ("update pods ns:mine", ""),
    ("patch pods ns:mine", ""),
    ("deletecollection pods ns:-", ""),
    ("get pods/log ns:mine", ""),
    ("create pods/exec ns:mine", ""),
    ("create pods/binding ns:mine", ""),
    ("patch pods/ephemeralcontainers ns:mine", ""),
    ("patch pods/resize ns:mine", ""),
    ("get pods/status ns:mine", ""),
    ("get secrets ns:theirs", UNRELATED),
    ("get secrets ns:mirrored", UNRELATED),
    ("get secrets ns:unbound", UNRELATED),
    ("get secrets ns:claim", UNRELATED),
    ("get secrets ns:-", "No Object name found"),
    ("list secrets ns:-", "No Object name found"),
    ("list secrets -", "can only read namespaced object of this type"),
    ("create secrets ns:-", "can only read resources of this type"),
    ("delete secrets ns:env", "can only read resources of this type"),
    ("get secrets/status ns:env", "cannot read subresource"),
    ("update configmaps ns:env", "can only read resources of this type"),
    ("get configmaps ns:other", UNRELATED),
    ("list persistentvolumeclaims ns:-", "can only get individual resources of this type"),
    ("get persistentvolumeclaims ns:other", UNRELATED),
    ("get persistentvolumeclaims/x ns:claim", "cannot get subresource"),
    ("get persistentvolumeclaims/status ns:claim", "can only get/update/patch this type"),
    ("patch persistentvolumeclaims/status ns:other", UNRELATED),
    ("get persistentvolumes of-theirs", UNRELATED),
    ("get persistentvolumes gone", UNRELATED),
    ("get storage.k8s.io:volumeattachments theirs", UNRELATED),
    ("get resource.k8s.io:resourceclaims ns:other", UNRELATED),
    ("get serviceaccounts ns:other", UNRELATED),
    ("create serviceaccounts/token ns:other", UNRELATED),
    ("create serviceaccounts ns:-", "can only create tokens for individual service accounts"),
    ("update serviceaccounts ns:own", "can only create tokens for individual service accounts"),
    ("create serviceaccounts/other ns:own", "can only create token subresource of serviceaccount"),
    (
        "list coordination.k8s.io:leases kube-node-lease:-",
        "can only get, create, update, patch, or delete a node lease",
    ),
    ("get coordination.k8s.io:leases ns:n1", "can only access leases in the \"kube-node-lease\" system namespace"),
    (
        "update coordination.k8s.io:leases kube-node-lease:n2",
        "can only access node lease with the same name as the requesting node",
    ),
    ("list storage.k8s.io:csinodes -", "can only get, create, update, patch, or delete a CSINode"),
    ("get storage.k8s.io:csinodes n2", "can only access CSINode with the same name as the requesting node"),
    ("get storage.k8s.io:csinodes/status n1", "cannot authorize CSINode subresources"),
    ("delete resource.k8s.io:resourceslices theirs", UNRELATED),
    (
        "list resource.k8s.io:resourceslices -",
        "can only list/watch/deletecollection resourceslices with nodeName field selector",
    ),
    (
        "proxy resource.k8s.io:resourceslices x",
        "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
    ),
    ("get resource.k8s.io:resourceslices/x mine", "cannot authorize ResourceSlice subresources"),
    ("get certificates.k8s.io:podcertificaterequests ns:theirs", UNRELATED),
    (
        "list certificates.k8s.io:podcertificaterequests - spec.nodeName=n2",
        "can only list/watch podcertificaterequests with nodeName field selector",
    ),
    (
        "update certificates.k8s.io:podcertificaterequests/status ns:mine",
        "nodes may not access the status subresource of PodCertificateRequests",
    ),
    ("delete certificates.k8s.io:podcertificaterequests ns:mine", "nodes may not delete podcertificaterequests"),
    ("list namespaces -", ""),
    ("create namespaces -", ""),
    ("delete events ns:x", ""),
    ("create services ns:-", ""),
    ("get rbac.authorization.k8s.io:clusterroles x", ""),
    ("create apps:deployments ns:-", ""),
    ("impersonate users x", ""),
];

#[tokio::test(start_paused = true)]
async fn a_node_has_what_is_its_own() {
    let authorizer = authorizer();
    for request in ALLOWED {
        let decision = authorizer.authorize(&attributes(UserInfo::node("n1"), request)).await;
        assert!(decision.allowed(), "{request}: {}", decision.reason);
    }
    for (request, why) in REFUSED {
        let decision = authorizer.authorize(&attributes(UserInfo::node("n1"), request)).await;
        assert_eq!((decision.allowed(), decision.reason.as_str()), (false, *why), "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_nameless_node_may_do_nothing_and_who_is_no_node_is_left_to_others() {
    let authorizer = authorizer();
    let requests = ALLOWED.iter().copied().chain(REFUSED.iter().map(|(request, _)| *request));
    for request in requests {
        let of = |user| attributes(user, request);
        let nameless = authorizer.authorize(&of(UserInfo::node(""))).await;
        assert_eq!(nameless, Decision::no_opinion("unknown node for user \"system:node:\""), "{request}");
        for user in [
            UserInfo::new("system:node:n1", Vec::<String>::new()),
            UserInfo::new("n1", [GROUP_NODES]),
            UserInfo::new("bob", Vec::<String>::new()),
        ] {
            assert_eq!(authorizer.authorize(&of(user)).await, Decision::no_opinion(""), "{request}");
        }
    }
    let path = Attributes {
        user: UserInfo::node("n1").into(),
        verb: "get".into(),
        path: "/metrics".into(),
        ..Attributes::default()
    };
    assert!(!authorizer.authorize(&path).await.allowed());
}

#[test]
fn a_user_is_a_node_by_group_and_name() {
    let check = |expected: Option<&str>, name: &str, groups: &[&str]| {
        assert_eq!(node_name(&UserInfo::new(name, groups.iter().copied())), expected, "{name} {groups:?}");
    };
    check(Some("n1"), "system:node:n1", &[GROUP_NODES]);
    check(Some(""), "system:node:", &[GROUP_NODES]);
    check(Some("a:b"), "system:node:a:b", &[GROUP_NODES]);
    check(None, "system:node", &[GROUP_NODES]);
    check(None, "n1", &[GROUP_NODES]);
    check(None, "system:node:n1", &[]);
    check(None, "system:node:n1", &["system:masters"]);
}

#[path = "known_tests.rs"]
mod known_tests;
