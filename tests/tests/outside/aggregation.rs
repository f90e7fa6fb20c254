use super::server::{Doing, Outside, Said};
use super::{ENDLESS_BYTES_MAX, ENDLESS_KIB_MAX, resident, up};
use http::Method;
use sampan_tests::exchange::{AGGREGATED, Asker};
use sampan_tests::{eventually, is_nightly};
use serde_json::{Value, json};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const BAD: &str = "bad.example.com";
const GOOD: &str = "good.example.com";
const FLUNDERS: &str = "/namespaces/default/flunders";

/// Serves `flunders` of any group, as its discovery says.
fn honest(path: &str) -> Said {
    let path = path.split('?').next().unwrap_or_default();
    match path.strip_prefix("/apis/").and_then(|rest| rest.strip_suffix("/v1")) {
        Some(group) => {
            let resource = json!({"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"]});
            let list = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/v1"), "resources": [resource]});
            Said::json(200, &list)
        }
        None if path.ends_with(FLUNDERS) => Said::json(200, &json!({"kind": "FlunderList", "items": []})),
        None => Said::json(404, &json!({"kind": "Status", "code": 404})),
    }
}

const HONEST: Doing = |path, _| honest(path);

/// Registers `v1` of a group with a server.
fn register(admin: &Asker, group: &str, server: &Outside) {
    let name = group.split('.').next().expect("a name");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"type": "ExternalName", "externalName": "localhost"}});
    let api = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": name, "port": server.port}}});
    for (path, object) in [("/api/v1/namespaces/default/services", &service), (SERVICES, &api)] {
        let made = admin.post(path, object);
        assert_eq!(made.code, 201, "{}", made.text());
    }
}

/// The condition of a registered group: its status, its reason and its message.
fn condition(admin: &Asker, group: &str) -> (String, String, String) {
    let found = admin.get(&format!("{SERVICES}/v1.{group}"), &[]).json();
    let text = |name: &str| found["status"]["conditions"][0][name].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

fn becomes(admin: &Asker, group: &str, status: &str, reason: &str, message: &str) {
    eventually(message, || {
        let found = condition(admin, group);
        ((found.0.as_str(), found.1.as_str()) == (status, reason) && found.2.contains(message)).then_some(())
    });
}

/// Changes the registered object, so that its server is looked at again: whether it answers, and what it serves.
fn look_again(admin: &Asker, group: &str, priority: u16) {
    let merge = [("content-type", "application/merge-patch+json")];
    let change = json!({"spec": {"versionPriority": priority}}).to_string();
    let changed = admin.send(Method::PATCH, &format!("{SERVICES}/v1.{group}"), &merge, change.into_bytes());
    assert_eq!(changed.code, 200, "{}", changed.text());
}

/// The freshness of a group in aggregated discovery.
fn freshness(admin: &Asker, group: &str) -> Value {
    let answer = admin.get("/apis", &[("accept", AGGREGATED)]);
    assert_eq!(answer.code, 200, "{}", answer.text());
    let list = answer.json();
    let items = list["items"].as_array().expect("groups");
    let item = items.iter().find(|item| item["metadata"]["name"] == group);
    item.unwrap_or_else(|| panic!("{group} is not in discovery"))["versions"][0]["freshness"].clone()
}

/// Everybody else is served and discovered, whatever a server does.
fn others_are_served(admin: &Asker) {
    assert_eq!((freshness(admin, GOOD), freshness(admin, "apps")), (json!("Current"), json!("Current")));
    for path in ["/api", "/apis", "/openapi/v3", "/openapi/v2", &format!("/apis/{GOOD}/v1{FLUNDERS}")] {
        let answer = admin.get(path, &[]);
        assert_eq!(answer.code, 200, "{path}: {}", answer.text());
    }
    // What was registered is there still, with its version.
    assert_eq!(admin.get(&format!("/apis/{BAD}"), &[]).json()["preferredVersion"]["version"], "v1");
}

#[test]
fn an_aggregated_server_that_misbehaves_costs_only_its_own() {
    let (_folder, sampan) = up();
    let admin = Asker::admin(&sampan);
    let (bad, good) = (Outside::start(HONEST), Outside::start(HONEST));
    for (group, server) in [(BAD, &bad), (GOOD, &good)] {
        register(&admin, group, server);
        becomes(&admin, group, "True", "Passed", "all checks passed");
        eventually("it is discovered", || (freshness(&admin, group) == "Current").then_some(()));
    }
    let path = format!("/apis/{BAD}/v1{FLUNDERS}");

    // It answers for itself, and badly where it is asked for more.
    let cases: [(Doing, u16, &str); 4] = [
        (|_, _| Said::moved(), 502, "the backend attempted to redirect this request, which is not permitted"),
        (|_, _| Said::Whole(500, String::new(), b"ouch".to_vec()), 500, "ouch"),
        (|_, _| Said::Cut("{\"kind\":"), 0, ""),
        (|_, _| Said::Nothing, 504, "Timeout: request did not complete within the allotted timeout"),
    ];
    for (doing, code, words) in cases {
        bad.does(doing);
        let answer = admin.get(&format!("{path}?timeout=1s"), &[]);
        assert!(answer.code == code && answer.text().contains(words), "{code}: {} {}", answer.code, answer.text());
        others_are_served(&admin);
    }

    // What it serves has no end.
    let before = resident(&sampan);
    bad.does(|_, _| Said::Endless("[[[[[[[["));
    look_again(&admin, BAD, 16);
    eventually("its discovery is given up", || (freshness(&admin, BAD) == "Stale").then_some(()));
    others_are_served(&admin);
    assert!(resident(&sampan) < before + ENDLESS_KIB_MAX, "{before} KiB before");
    assert!(bad.endless_bytes() < ENDLESS_BYTES_MAX, "{}", bad.endless_bytes());

    // It sends everybody elsewhere.
    bad.does(|_, _| Said::moved());
    look_again(&admin, BAD, 17);
    becomes(&admin, BAD, "False", "FailedDiscoveryCheck", &format!("/apis/{BAD}/v1: 302"));
    others_are_served(&admin);

    if is_nightly() {
        bad.does(|_, _| Said::Nothing);
        look_again(&admin, BAD, 18);
        let words = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        becomes(&admin, BAD, "False", "FailedDiscoveryCheck", words);
        others_are_served(&admin);
    }

    // It comes back, and goes away.
    bad.does(HONEST);
    look_again(&admin, BAD, 19);
    becomes(&admin, BAD, "True", "Passed", "all checks passed");
    eventually("it is discovered again", || (freshness(&admin, BAD) == "Current").then_some(()));
    let port = bad.port;
    drop(bad);
    let answer = admin.get(&path, &[]);
    assert_eq!(answer.code, 503, "{}", answer.text());
    look_again(&admin, BAD, 20);
    let missing = format!("failing or missing response from https://localhost:{port}/apis/{BAD}/v1: ");
    becomes(&admin, BAD, "False", "FailedDiscoveryCheck", &missing);
    let answer = admin.get(&path, &[]);
    assert_eq!((answer.code, answer.text().as_str()), (503, "service unavailable\n"));
    eventually("its discovery is stale", || (freshness(&admin, BAD) == "Stale").then_some(()));
    others_are_served(&admin);
}
