//! What happened: the history of an object, and the changes of all.

mod support;

use futures::future::BoxFuture;
use sampan_api::user::{Attributes, Authorizer, Decision};
use sampan_env::Env;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use support::{CONFIG_MAPS, Server, config_map, server, server_in};

const CHANGES: &str = "/apis/history.sampan.dev/v1alpha1/namespaces/default/changes";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// A ConfigMap that was made, changed and deleted.
async fn lived(server: &Server, name: &str) {
    server.create(CONFIG_MAPS, &config_map(name)).await;
    let path = format!("{CONFIG_MAPS}/{name}");
    let patch = [("content-type", "application/merge-patch+json")];
    assert_eq!(server.call_with("PATCH", &path, &patch, r#"{"data":{"k":"w"}}"#).await.code, 200);
    assert_eq!(server.call("DELETE", &path, "").await.code, 200);
}

fn each<'v>(list: &'v Value, pointer: &str) -> Vec<&'v Value> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item.pointer(pointer).unwrap_or(&Value::Null)).collect()
}

#[tokio::test]
async fn an_object_shows_what_became_of_it_even_when_it_is_gone() {
    let server = server().await;
    // Its name begins another's.
    server.create(CONFIG_MAPS, &config_map("ab")).await;
    lived(&server, "a").await;
    let path = format!("{CONFIG_MAPS}/a?history=true");
    let history = server.get(&path).await.json();
    assert_eq!((&history["kind"], &history["apiVersion"]), (&json!("History"), &json!("history.sampan.dev/v1alpha1")));
    assert_eq!(each(&history, "/action"), ["Created", "Modified", "Deleted"]);
    assert_eq!(each(&history, "/verb"), ["create", "patch", "delete"]);
    assert_eq!(each(&history, "/user"), ["admin", "admin", "admin"]);
    assert_eq!(each(&history, "/object/data/k"), ["v", "w", "w"]);
    let revisions: Vec<u64> = each(&history, "/revision").into_iter().filter_map(Value::as_u64).collect();
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    // In pages.
    let (mut paged, mut token) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{path}&limit=1&continue={token}")).await.json();
        paged.extend(each(&page, "/action").into_iter().cloned());
        match page["metadata"]["continue"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(paged, ["Created", "Modified", "Deleted"]);
    let until = server.get(&format!("{path}&since=1h&until=1m")).await;
    assert_eq!(until.code, 404, "nothing of it is that old: {}", until.text());
    for name in ["none", "a%00"] {
        assert_eq!(server.get(&format!("{CONFIG_MAPS}/{name}?history=true")).await.code, 404, "{name}");
    }
    for bad in ["since=yesterday", "until=10", "limit=x", "continue=x"] {
        assert_eq!(server.get(&format!("{path}&{bad}")).await.code, 400, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_there_has_a_history_though_nothing_of_it_is_shown() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let server = server_in(Env::simulated(1, start), Arc::new(Only(|_| true))).await;
    server.create(CONFIG_MAPS, &config_map("a")).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(server.call("DELETE", &format!("{CONFIG_MAPS}/a"), "").await.code, 200);
    tokio::time::advance(Duration::from_secs(10)).await;
    let check = async |span: &str, code: u16| {
        let answer = server.get(&format!("{CONFIG_MAPS}/a?history=true&{span}")).await;
        assert_eq!(answer.code, code, "{span}: {}", answer.text());
        answer.json()
    };
    let then = check("since=15s&until=15s", 200).await;
    assert_eq!(each(&then, "/action"), [&Value::Null; 0]);
    // The revision at which it can be read.
    let revision = then["metadata"]["resourceVersion"].as_str().expect("a revision");
    let path = format!("{CONFIG_MAPS}/a?resourceVersion={revision}&resourceVersionMatch=Exact");
    assert_eq!(server.get(&path).await.json()["data"]["k"], "v");
    check("since=5s&until=5s", 404).await;
    check("since=1h&until=30m", 404).await;
}

#[tokio::test]
async fn values_of_secrets_are_no_part_of_their_history() {
    let server = server().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"p": "c2VjcmV0"}});
    server.create(SECRETS, &secret).await;
    let answer = server.get(&format!("{SECRETS}/s?history=true")).await;
    assert_eq!(each(&answer.json(), "/action"), ["Created"]);
    assert!(!answer.text().contains("c2VjcmV0"), "{}", answer.text());
    let changes = server.get(&format!("{CHANGES}?kind=Secret")).await;
    assert_eq!(each(&changes.json(), "/name"), ["s"]);
    assert!(!changes.text().contains("c2VjcmV0"), "{}", changes.text());
}

#[tokio::test]
async fn changes_of_all_kinds_come_in_order_and_in_pages() {
    let server = server().await;
    lived(&server, "a").await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    server.create(SECRETS, &secret).await;
    lived(&server, "b").await;
    let of = ["/name", "/action", "/resource/kind"];
    let told = |list: &Value| -> Vec<String> {
        let columns = of.map(|pointer| each(list, pointer));
        (0..columns[0].len())
            .map(|at| columns.iter().filter_map(|c| c[at].as_str()).collect::<Vec<_>>().join(" "))
            .collect()
    };
    let all = told(&server.get(CHANGES).await.json());
    let map =
        |name: &str| ["Created", "Modified", "Deleted"].map(|action| format!("{name} {action} ConfigMap")).to_vec();
    let expected = [map("a"), vec!["s Created Secret".to_owned()], map("b")].concat();
    assert_eq!(all, expected);
    let (mut paged, mut token) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{CHANGES}?limit=2&continue={token}")).await.json();
        paged.extend(told(&page));
        match page["metadata"]["continue"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(paged, expected);
    let count = async |query: &str| told(&server.get(&format!("{CHANGES}?{query}")).await.json()).len();
    assert_eq!(count("kind=secrets").await, 1);
    assert_eq!(count("user=nobody").await, 0);
    assert_eq!(count("since=10m&user=admin").await, expected.len());
    let other = server.get(&format!("{CHANGES}?namespace=kube-system")).await;
    assert_eq!(other.code, 400, "{}", other.text());
    let everywhere = server.get("/apis/history.sampan.dev/v1alpha1/changes?kind=Namespace").await.json();
    assert_eq!(each(&everywhere, "/name"), ["default"]);
}

/// Allows what the closure allows.
struct Only(fn(&Attributes) -> bool);

impl Authorizer for Only {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        let allowed = (self.0)(attributes);
        Box::pin(std::future::ready(if allowed { Decision::allow("") } else { Decision::no_opinion("") }))
    }
}

#[tokio::test]
async fn who_may_not_list_a_kind_sees_no_change_of_it() {
    let no_secrets = |attributes: &Attributes| attributes.resource != "secrets" || attributes.verb == "create";
    let server = server_in(Env::system(), Arc::new(Only(no_secrets))).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    server.create(SECRETS, &secret).await;
    server.create(CONFIG_MAPS, &config_map("a")).await;
    assert_eq!(each(&server.get(CHANGES).await.json(), "/name"), ["a"]);
    assert_eq!(server.get(&format!("{SECRETS}/s?history=true")).await.code, 403);
    let nothing = server_in(Env::system(), Arc::new(Only(|attributes| attributes.resource != "changes"))).await;
    assert_eq!(nothing.get(CHANGES).await.code, 403);
}
