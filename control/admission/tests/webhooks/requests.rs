//! What webhooks are shown of each sort of request, and when in its course they are asked.

use super::support::{APPLY, Answer, JSON, MERGE, NAMESPACE, ask, patch, response, rules_of, world};
use parking_lot::Mutex;
use sampan_api::user::UserInfo;
use sampan_client::Client;
use sampan_registry::crd;
use sampan_testing::server::Server;
use serde_json::{Value, json};

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

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Has the server serve `crontabs`, which have a scale. `path` is where they are.
async fn define_crontabs(admin: &Client, server: &Server, path: &str) {
    crd::follow(&server.registry, &server.tasks).await.expect("the definitions are read");
    let count = json!({"type": "integer", "default": 1});
    let properties = json!({"spec": {"type": "object", "default": {}, "properties": {"replicas": count}},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}});
    let scale = json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"});
    let version = json!({"name": "v1", "served": true, "storage": true, "subresources": {"status": {}, "scale": scale},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}}});
    let names = json!({"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList"});
    let spec = json!({"group": "stable.example.com", "scope": "Namespaced", "names": names, "versions": [version]});
    let name = "crontabs.stable.example.com";
    let (code, _, made) =
        ask(admin, "POST", DEFINITIONS, JSON, &json!({"metadata": {"name": name}, "spec": spec})).await;
    assert_eq!(code, 201, "{made}");
    // No controller accepts the names here.
    let conditions = ["NamesAccepted", "Established"].map(|of| json!({"type": of, "status": "True"}));
    let status = json!({"status": {"acceptedNames": names, "conditions": conditions}});
    let (code, _, said) = ask(admin, "PATCH", &format!("{DEFINITIONS}/{name}/status"), MERGE, &status).await;
    assert_eq!(code, 200, "{said}");
    while ask(admin, "GET", path, JSON, &Value::Null).await.0 != 200 {
        tokio::task::yield_now().await;
    }
}

/// What is scaled in a test.
struct Scaled {
    /// Where objects of its kind are.
    path: String,
    body: Value,
    /// Of its scale.
    status: Value,
    /// The refusal of a negative number of replicas.
    negative: &'static str,
}

impl Scaled {
    fn all() -> [Self; 2] {
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
        let deployment = Self {
            path: format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments"),
            body: json!({"metadata": {"name": "d"}, "spec": spec}),
            status: json!({"replicas": 0, "selector": "a=b"}),
            negative: "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -9: must be greater than or equal to 0",
        };
        let crontab = Self {
            path: format!("/apis/stable.example.com/v1/namespaces/{NAMESPACE}/crontabs"),
            body: json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": "d"}}),
            status: json!({"replicas": 0}),
            negative: "CronTab.stable.example.com \"d\" is invalid: .spec.replicas: Invalid value: -9: should be a non-negative integer",
        };
        [deployment, crontab]
    }

    /// A server with a webhook for the scale of such an object, which is there.
    async fn world(&self, answer: Answer, mutating: bool) -> (Client, Server) {
        let resource = self.path.rsplit('/').next().expect("a resource");
        let (admin, server) = world(answer, rules_of(&format!("{resource}/scale")), mutating).await;
        if resource == "crontabs" {
            define_crontabs(&admin, &server, &self.path).await;
        }
        let (code, _, made) = ask(&admin, "POST", &self.path, JSON, &self.body).await;
        assert_eq!(code, 201, "{made}");
        (admin, server)
    }
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
    let change = json!({"spec": {"replicas": 5}});
    let without = |mut scale: Value| {
        for name in ["uid", "creationTimestamp", "resourceVersion", "managedFields"] {
            scale["metadata"].as_object_mut().expect("metadata").remove(name);
        }
        scale
    };
    for kind in Scaled::all() {
        let scale = |replicas: u32| {
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d", "namespace": NAMESPACE},
                "spec": {"replicas": replicas}, "status": kind.status})
        };
        let (path, of) = (format!("{}/d", kind.path), format!("{}/d/scale", kind.path));
        for (answer, mutating, becomes) in [(scaled, true, 9), (watched, false, 5)] {
            let (admin, _server) = kind.world(answer, mutating).await;
            SEEN.lock().clear();
            let (code, _, answered) = ask(&admin, "PATCH", &of, MERGE, &change).await;
            assert_eq!((code, without(answered)), (200, scale(becomes)), "{of}");
            let seen = SEEN.lock()[0].clone();
            assert_eq!(seen["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
            assert_eq!(seen["subResource"], "scale");
            assert!(kind.path.ends_with(seen["resource"]["resource"].as_str().unwrap_or("?")), "{seen}");
            // What is validated has no owners of fields.
            assert_eq!(seen["object"]["metadata"]["managedFields"].is_array(), mutating, "{seen}");
            assert_eq!((without(seen["object"].clone()), without(seen["oldObject"].clone())), (scale(5), scale(1)));
            let (_, _, found) = ask(&admin, "GET", &path, JSON, &Value::Null).await;
            assert_eq!(found["spec"]["replicas"], becomes);
            let owners = found["metadata"]["managedFields"].as_array().expect("owners");
            assert!(owners.iter().any(|one| one["subresource"] == "scale"), "{owners:?}");
        }
        let (admin, _server) = kind.world(negative, true).await;
        let (code, _, answered) = ask(&admin, "PATCH", &of, MERGE, &change).await;
        assert_eq!((code, answered["message"].as_str()), (422, Some(kind.negative)), "{of}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_that_plugins_before_it_refuse_are_not_told_to_a_webhook() {
    static SEEN: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let answer: Answer = |review| {
        SEEN.lock().push(review["request"]["name"].clone());
        response(review, json!({"allowed": true}))
    };
    let mut more = rules_of("*");
    more["rules"][0]["operations"] = json!(["DELETE"]);
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    for mutating in [true, false] {
        let (admin, server) = world(answer, more.clone(), mutating).await;
        let node = server.client(UserInfo::new("system:node:n", ["system:nodes"]));
        for of in ["n", "other"] {
            let spec = json!({"nodeName": of, "containers": [{"name": "c", "image": "i"}]});
            let (code, _, made) =
                ask(&admin, "POST", &pods, JSON, &json!({"metadata": {"name": of}, "spec": spec})).await;
            assert_eq!(code, 201, "{made}");
        }
        let cases = [
            (&admin, "/api/v1/namespaces/default".to_owned(), 403, "this namespace may not be deleted", 0),
            (&node, format!("{pods}/other"), 403, "can only delete pods with spec.nodeName set to itself", 0),
            (&node, format!("{pods}/n"), 200, "", 1),
        ];
        for (who, path, code, part, asked) in cases {
            SEEN.lock().clear();
            let (found, _, answered) = ask(who, "DELETE", &path, JSON, &Value::Null).await;
            let message = answered["message"].as_str().unwrap_or_default();
            assert!(found == code && message.contains(part), "{path}: {answered}");
            assert_eq!(SEEN.lock().len(), asked, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_an_object_is_asked_before_its_version_is_compared_and_what_validates_it_after() {
    static SEEN: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let answer: Answer = |review| {
        SEEN.lock().push(review["request"]["name"].clone());
        response(review, json!({"allowed": true}))
    };
    let maps = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let deployments = Scaled::all().into_iter().next().expect("one");
    let stale = json!({"metadata": {"name": "d", "resourceVersion": "1"}});
    let mut scale = stale.clone();
    scale["spec"] = json!({"replicas": 3});
    for mutating in [true, false] {
        let mut more = rules_of("configmaps");
        more["rules"][0]["resources"] = json!(["configmaps", "deployments/scale"]);
        let (admin, _server) = world(answer, more, mutating).await;
        for (path, body) in [(&maps, json!({"metadata": {"name": "d"}})), (&deployments.path, deployments.body.clone())]
        {
            let (code, _, made) = ask(&admin, "POST", path, JSON, &body).await;
            assert_eq!(code, 201, "{made}");
        }
        for (path, body) in [(format!("{maps}/d"), &stale), (format!("{}/d/scale", deployments.path), &scale)] {
            SEEN.lock().clear();
            let (code, _, answered) = ask(&admin, "PUT", &path, JSON, body).await;
            assert_eq!((code, &answered["reason"]), (409, &json!("Conflict")), "{path}: {answered}");
            assert_eq!(SEEN.lock().len(), usize::from(mutating), "{path}");
        }
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_neither_move_an_object_nor_write_what_is_the_servers() {
    let moves: Answer = |review| {
        let elsewhere = json!([{"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}]);
        response(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&elsewhere)}))
    };
    let writes: Answer = |review| {
        let system = json!([
            {"op": "add", "path": "/metadata/deletionTimestamp", "value": "2020-01-01T00:00:00Z"},
            {"op": "add", "path": "/metadata/deletionGracePeriodSeconds", "value": 5},
            {"op": "add", "path": "/metadata/creationTimestamp", "value": "2020-01-01T00:00:00Z"},
            {"op": "add", "path": "/metadata/uid", "value": "mine"},
        ]);
        response(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(&system)}))
    };
    let maps = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let body = json!({"metadata": {"name": "a"}});
    let (admin, _server) = world(moves, json!({}), true).await;
    let (code, _, answered) = ask(&admin, "POST", &maps, JSON, &body).await;
    let text = "the namespace of the provided object does not match the namespace sent on the request";
    assert_eq!((code, &answered["message"]), (400, &json!(text)));

    let (admin, _server) = world(writes, json!({}), true).await;
    let (code, _, made) = ask(&admin, "POST", &maps, JSON, &body).await;
    assert_eq!(code, 201, "{made}");
    let metadata = &made["metadata"];
    assert!(metadata["deletionTimestamp"].is_null() && metadata["deletionGracePeriodSeconds"].is_null(), "{made}");
    assert!(metadata["uid"] != "mine" && metadata["creationTimestamp"] != "2020-01-01T00:00:00Z", "{made}");
}
