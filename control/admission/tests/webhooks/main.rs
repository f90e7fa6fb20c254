//! Admission webhooks over TLS, in this process.

mod requests;
mod support;

use sampan_admission::{PluginConfiguration, Selection};
use sampan_api::k8s::api::autoscaling::v2::HorizontalPodAutoscaler;
use sampan_api::k8s::api::core::v1::{ConfigMap, Pod};
use sampan_api::k8s::api::scheduling::v1::PriorityClass;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::WriteParams;
use sampan_env::{Env, Tasks};
use sampan_testing::server::{Choice, guarded_by};
use serde_json::{Value, json};
use support::{Answer, NAMESPACE, patch, response, serve_on, typed, world};

fn config_map(name: &str) -> ConfigMap {
    typed(json!({"metadata": {"name": name}, "data": {"a": "b"}}))
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
    let nobody = || json!({"clientConfig": {"service": {"name": "nobody", "namespace": "default", "path": "/c"}}});
    let asked = "failed to call webhook: Post \"https://nobody.default.svc:443/c?timeout=";
    for expected in [asked, "s\": service \"nobody\" not found"] {
        check(|_| (200, String::new()), nobody(), expected).await;
    }
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
