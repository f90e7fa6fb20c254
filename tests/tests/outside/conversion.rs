use super::server::{Doing, Outside, Said};
use super::{ENDLESS_BYTES_MAX, ENDLESS_KIB_MAX, resident, up};
use http::Method;
use sampan_tests::exchange::{Answer, Asker};
use sampan_tests::{eventually, is_nightly};
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TIMEOUT: &str = "Timeout: request did not complete within the allotted timeout";

/// Answers as a webhook should.
fn honest(body: &[u8]) -> Value {
    let review: Value = serde_json::from_slice(body).expect("a review");
    let request = &review["request"];
    let converted = |object: &Value| {
        let mut object = object.clone();
        object["apiVersion"] = request["desiredAPIVersion"].clone();
        object
    };
    let objects: Vec<Value> = request["objects"].as_array().expect("objects").iter().map(converted).collect();
    let response = json!({"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects});
    json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})
}

fn spoiled(body: &[u8], spoil: impl Fn(&mut Value)) -> Said {
    let mut answer = honest(body);
    spoil(&mut answer["response"]);
    Said::json(200, &answer)
}

const HONEST: Doing = |_, body| Said::json(200, &honest(body));

fn widgets(group: &str, version: &str) -> String {
    format!("/apis/{group}/{version}/namespaces/default/widgets")
}

fn widget(group: &str, version: &str, name: &str) -> Value {
    json!({"apiVersion": format!("{group}/{version}"), "kind": "Widget", "metadata": {"name": name}})
}

/// Widgets of a group, stored as `v1`, whose webhook this is; `a` and `b` are there.
fn define(admin: &Asker, group: &str, webhook: &Outside) {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = |name: &str| json!({"name": name, "served": true, "storage": name == "v1", "schema": schema});
    let client = json!({"url": format!("https://localhost:{}/convert", webhook.port), "caBundle": webhook.bundle});
    let conversion = json!({"conversionReviewVersions": ["v1"], "clientConfig": client});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [version("v1"), version("v2")],
            "conversion": {"strategy": "Webhook", "webhook": conversion},
        },
    });
    let made = admin.post(DEFINITIONS, &definition);
    assert_eq!(made.code, 201, "{}", made.text());
    eventually("it is served", || (admin.get(&widgets(group, "v1"), &[]).code == 200).then_some(()));
    for name in ["a", "b"] {
        let made = admin.post(&widgets(group, "v1"), &widget(group, "v1", name));
        assert_eq!(made.code, 201, "{}", made.text());
    }
}

const BAD: &str = "bad.example.com";
const GOOD: &str = "good.example.com";

fn refused(what: &str, answer: &Answer, code: u16, reason: Option<&str>, message: &str) {
    let status = answer.json();
    let told = status["message"].as_str().unwrap_or_default();
    assert_eq!((answer.code, status["reason"].as_str()), (code, reason), "{what}: {status}");
    assert!(told.contains(message), "{what}: {told}\nexpected: {message}");
}

/// What came to be of a webhook that does this: nobody reads or writes through it, each is told so in the same words, and what
/// is stored stays as it was.
fn check(admin: &Asker, webhook: &Outside, name: &str, doing: Doing, message: &str) {
    let before = admin.get(&widgets(BAD, "v1"), &[]).json()["items"].clone();
    webhook.does(doing);
    let from = |version: &str| format!("conversion webhook for {BAD}/{version}, Kind=Widget ");
    let read = admin.get(&format!("{}/a", widgets(BAD, "v2")), &[]);
    refused(name, &read, 500, None, &format!("{}{message}", from("v1")));
    let made = admin.post(&widgets(BAD, "v2"), &widget(BAD, "v2", "a-new"));
    refused(name, &made, 500, None, &from("v2"));
    let merge = [("content-type", "application/merge-patch+json")];
    let path = format!("{}/a", widgets(BAD, "v2"));
    let changed = admin.send(Method::PATCH, &path, &merge, br#"{"spec":{"x":1}}"#.to_vec());
    refused(name, &changed, 500, None, &from("v1"));
    let gone = admin.delete(&path);
    refused(name, &gone, 500, None, &from("v1"));
    assert_eq!(admin.get(&widgets(BAD, "v1"), &[]).json()["items"], before, "{name}");
    let other = admin.get(&widgets(GOOD, "v2"), &[]);
    assert_eq!(other.code, 200, "{name}: {}", other.text());
}

#[test]
fn a_conversion_webhook_that_lies_is_told_of_and_nothing_is_written() {
    let (_folder, sampan) = up();
    let admin = Asker::admin(&sampan);
    let (webhook, good) = (Outside::start(HONEST), Outside::start(HONEST));
    define(&admin, BAD, &webhook);
    define(&admin, GOOD, &good);
    assert_eq!(admin.get(&widgets(BAD, "v2"), &[]).json()["items"].as_array().map(Vec::len), Some(2));
    let cases: [(&str, Doing, &str); 12] = [
        ("uid", |_, body| spoiled(body, |said| said["uid"] = "x".into()), "failed: expected response.uid="),
        (
            "refusal",
            |_, body| spoiled(body, |said| said["result"] = json!({"status": "Failed", "message": "no"})),
            "failed: no",
        ),
        (
            "count",
            |_, body| spoiled(body, |said| said["convertedObjects"] = json!([])),
            "returned 0 objects, expected 1",
        ),
        (
            "name",
            |_, body| spoiled(body, |said| said["convertedObjects"][0]["metadata"]["name"] = "z".into()),
            "returned invalid object: must have the same name: a != z",
        ),
        (
            "namespace",
            |_, body| spoiled(body, |said| said["convertedObjects"][0]["metadata"]["namespace"] = "z".into()),
            "returned invalid object: must have the same namespace: default != z",
        ),
        (
            "uid of the object",
            |_, body| spoiled(body, |said| said["convertedObjects"][0]["metadata"]["uid"] = "z".into()),
            "returned invalid object: must have the same UID: ",
        ),
        (
            "kind",
            |_, body| spoiled(body, |said| said["convertedObjects"][0]["kind"] = "Gadget".into()),
            "returned invalid object at index 0: invalid kind (expected Widget, received Gadget)",
        ),
        (
            "labels",
            |_, body| spoiled(body, |said| said["convertedObjects"][0]["metadata"]["labels"] = json!({"a": 1})),
            "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object",
        ),
        ("no review", |_, _| Said::json(200, &json!("hello")), "failed: couldn't get version/kind; json parse error: "),
        ("elsewhere", |_, _| Said::moved(), "failed: the server responded with the status code 302"),
        (
            "an error",
            |_, _| Said::json(500, &json!("ouch")),
            "failed: an error on the server (\"unknown\") has prevented the request from succeeding",
        ),
        (
            "a part",
            |_, _| Said::Cut("{\"kind\":"),
            "failed: unexpected error when reading response body. Please retry. Original error: unexpected EOF",
        ),
    ];
    for (name, doing, message) in cases {
        check(&admin, &webhook, name, doing, message);
    }
    let before = resident(&sampan);
    check(&admin, &webhook, "no end", |_, _| Said::Endless("        "), "failed: Post ");
    assert!(resident(&sampan) < before + ENDLESS_KIB_MAX, "{before} KiB before");
    assert!(webhook.endless_bytes() < ENDLESS_BYTES_MAX, "{}", webhook.endless_bytes());
    webhook.does(|_, body| {
        spoiled(body, |said| said["convertedObjects"].as_array_mut().into_iter().for_each(|all| all.reverse()))
    });
    let listed = admin.get(&widgets(BAD, "v2"), &[]);
    let words = "returned invalid converted object at index 0: must have the same name: a != b";
    refused("order", &listed, 500, None, words);
    webhook.does(HONEST);
    assert_eq!(admin.get(&widgets(BAD, "v2"), &[]).json()["items"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_conversion_webhook_that_keeps_silent_holds_nobody_else_up() {
    let (_folder, sampan) = up();
    let admin = Asker::admin(&sampan);
    let (webhook, good) = (Outside::start(HONEST), Outside::start(HONEST));
    define(&admin, BAD, &webhook);
    define(&admin, GOOD, &good);
    webhook.does(|_, _| Said::Nothing);
    // More of them than are asked at once.
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..20).map(|_| scope.spawn(|| admin.get(&format!("{}/a?timeout=2s", widgets(BAD, "v2")), &[]))).collect();
        let others = [
            widgets(GOOD, "v2"),
            widgets(BAD, "v1"),
            "/api/v1/namespaces/default/configmaps".to_owned(),
            "/apis".to_owned(),
        ];
        let mut turns = 0;
        while waiting.iter().any(|one| !one.is_finished()) || turns == 0 {
            turns += 1;
            for path in &others {
                let answer = admin.get(path, &[]);
                assert_eq!(answer.code, 200, "{path}: {}", answer.text());
            }
        }
        assert!(turns > 1, "others were answered while they waited");
        for one in waiting {
            let answer = one.join().expect("it was asked");
            refused("silent", &answer, 504, Some("Timeout"), TIMEOUT);
        }
    });
    let made = admin.post(&format!("{}?timeout=1s", widgets(BAD, "v2")), &widget(BAD, "v2", "new"));
    refused("silent", &made, 504, Some("Timeout"), TIMEOUT);
    if is_nightly() {
        let read = admin.get(&format!("{}/a", widgets(BAD, "v2")), &[]);
        refused("silent", &read, 500, None, "context deadline exceeded");
    }
    webhook.does(HONEST);
    assert_eq!(admin.get(&format!("{}/new", widgets(BAD, "v1")), &[]).code, 404, "nothing was written");
    assert_eq!(admin.get(&format!("{}/a", widgets(BAD, "v2")), &[]).code, 200);
}
