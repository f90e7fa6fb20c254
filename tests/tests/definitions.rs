//! Kinds that clients define: how soon they are served and shown, how large a definition may be, what its rules may cost, and
//! what is left when definitions have come and gone.

use http::Method;
use sampan_tests::exchange::{AGGREGATED, Answer, Asker};
use sampan_tests::measure::resident_kib;
use sampan_tests::{Sampan, check_all, eventually, is_nightly, now};
use serde_json::{Map, Value, json};
use std::time::Duration;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// From the answer to the creation of a definition until its kind is served and shown, where nobody else loads the machine: held
/// by the nightly tests.
const SERVED_WITHIN: Duration = Duration::from_millis(100);
/// Definitions that are made one after the other, and how many of them may be slower: others use this machine too.
const TIMED: usize = 10;
const SLOWER_MAX: usize = 5;
/// Between two questions whether it is there yet.
const AGAIN: Duration = Duration::from_millis(2);
/// Definitions that come and go, and what of them may be left, KiB.
const COME_AND_GO: usize = 500;
const LEFT_KIB_MAX: u64 = 32 * 1024;

/// The definition of `boats` of a group, with such a spec.
fn definition(group: &str, spec: &Value) -> Value {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("boats.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat"},
            "versions": [version],
        },
    })
}

fn boat(group: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("{group}/v1"), "kind": "Boat", "metadata": {"name": name}, "spec": spec})
}

fn boats(group: &str) -> String {
    format!("/apis/{group}/v1/namespaces/default/boats")
}

fn taken(answer: &Answer) {
    assert!(matches!(answer.code, 200 | 201), "{}: {:.2000}", answer.code, answer.text());
}

/// Asks until an answer is as wanted.
fn until(what: &str, admin: &Asker, path: &str, accept: &str, wanted: impl Fn(&Answer) -> bool) {
    let end = now() + sampan_tests::PATIENCE;
    while !wanted(&admin.get(path, &[("accept", accept)])) {
        assert!(now() < end, "{what}");
        std::thread::sleep(AGAIN);
    }
}

/// Waits until the kind is served, in aggregated discovery and in OpenAPI v3.
fn shown(admin: &Asker, group: &str) {
    let version = format!("/openapi/v3/apis/{group}/v1");
    until("served", admin, &boats(group), "application/json", |answer| answer.code == 200);
    until("in discovery", admin, "/apis", AGGREGATED, |answer| answer.text().contains(group));
    until("in OpenAPI", admin, &version, "application/json", |answer| answer.text().contains("\"Boat\""));
}

/// Who writes a status that the kind does not have is told that the object is not there, and of methods which they are for, in
/// the words of the handler of all defined kinds (recorded from kube-apiserver v1.35.0).
fn what_a_kind_does_not_have_is_told(_: &Sampan, admin: &Asker) {
    let group = "plain.example.com";
    taken(&admin.post(DEFINITIONS, &definition(group, &json!({"type": "object"}))));
    shown(admin, group);
    taken(&admin.post(&boats(group), &boat(group, "a", &json!({}))));
    let path = |below: &str| format!("{}/a{below}", boats(group));
    for below in ["/status", "/scale", "/other", "/status/more"] {
        let answer = admin.get(&path(below), &[]).json();
        assert_eq!(answer["message"], "boats.plain.example.com \"a\" not found", "{below}");
        let details = json!({"name": "a", "group": group, "kind": "boats"});
        assert_eq!((&answer["code"], &answer["details"]), (&json!(404), &details), "{below}");
    }
    let with_status = "status.example.com";
    let mut defined = definition(with_status, &json!({"type": "object"}));
    defined["spec"]["versions"][0]["subresources"] =
        json!({"status": {}, "scale": {"specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.crew"}});
    taken(&admin.post(DEFINITIONS, &defined));
    shown(admin, with_status);
    taken(&admin.post(&boats(with_status), &boat(with_status, "a", &json!({}))));
    let answer = admin.post(&format!("{}/a/status", boats(with_status)), &json!({})).json();
    assert_eq!(answer["message"], "create is not supported on resources of kind \"boats.status.example.com\"");
    let details = json!({"group": with_status, "kind": "boats"});
    assert_eq!((&answer["code"], &answer["details"]), (&json!(405), &details));
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let answer = admin.send(Method::PATCH, &format!("{}/a/scale", boats(with_status)), &strategic, "{}");
    assert_eq!(answer.code, 415, "{}", answer.text());
    // A body that is no scale.
    let json = [("content-type", "application/json")];
    for body in [r#"{"metadata":{"name":"a"},"spec":{"replicas":"b"}}"#, r#"{"kind":"Boat"}"#, "{"] {
        let answer = admin.send(Method::PUT, &format!("{}/a/scale", boats(with_status)), &json, body).json();
        let message = "no kind is registered for the type v1.Scale in scheme \"pkg/runtime/scheme.go:111\"";
        assert_eq!((&answer["code"], answer["message"].as_str()), (&json!(400), Some(message)), "{body}");
    }
}

/// Who has read that a kind is established has it served, and who finds it in discovery finds it in OpenAPI, at the first question.
fn a_kind_comes_in_order(_: &Sampan, admin: &Asker) {
    for n in 0..TIMED {
        let group = format!("in-order-{n}.example.com");
        taken(&admin.post(DEFINITIONS, &definition(&group, &json!({"type": "object"}))));
        let path = format!("{DEFINITIONS}/boats.{group}");
        until("established", admin, &path, "application/json", |answer| answer.code == 200 && is_established(answer));
        let served = admin.get(&boats(&group), &[]);
        assert_eq!(served.code, 200, "{}", served.text());
        until("in discovery", admin, "/apis", AGGREGATED, |answer| answer.text().contains(&group));
        let document = admin.get(&format!("/openapi/v3/apis/{group}/v1"), &[]);
        assert!(
            document.code == 200 && document.text().contains("\"Boat\""),
            "{}: {:.2000}",
            document.code,
            document.text()
        );
    }
}

/// Whether a definition says that its kind is served.
fn is_established(definition: &Answer) -> bool {
    let definition = definition.json();
    let mut conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

fn a_kind_is_there_at_once(_: &Sampan, admin: &Asker) {
    if !is_nightly() {
        return;
    }
    let time = |n: usize| {
        let group = format!("at-once-{n}.example.com");
        let began = now();
        taken(&admin.post(DEFINITIONS, &definition(&group, &json!({"type": "object"}))));
        shown(admin, &group);
        began.elapsed()
    };
    let mut times: Vec<Duration> = (0..TIMED).map(time).collect();
    times.sort();
    println!("definitions served, in discovery and in OpenAPI: {times:?}");
    assert!(times[TIMED - 1 - SLOWER_MAX] <= SERVED_WITHIN, "{times:?}");
}

/// A spec of that many fields, each described in 200 bytes.
fn large(fields: usize) -> Value {
    let field = |n: usize| (format!("field{n}"), json!({"type": "string", "description": "d".repeat(200)}));
    json!({"type": "object", "properties": (0..fields).map(field).collect::<Map<String, Value>>()})
}

/// As large as an object may be, stored with its managedFields; a little more is refused, and nothing is left of it.
fn a_definition_may_be_as_large_as_an_object(_: &Sampan, admin: &Asker) {
    let group = "large.example.com";
    let refused = admin.post(DEFINITIONS, &definition("larger.example.com", &large(8_000)));
    assert_eq!(refused.code, 413, "{:.500}", refused.text());
    assert_eq!(admin.get(&format!("{DEFINITIONS}/boats.larger.example.com"), &[]).code, 404);
    let sent = definition(group, &large(4_400));
    assert!(sent.to_string().len() > 1024 * 1024, "{}", sent.to_string().len());
    taken(&admin.post(DEFINITIONS, &sent));
    shown(admin, group);
    taken(&admin.post(&boats(group), &boat(group, "b", &json!({"field4399": "x", "unknown": "y"}))));
    let stored = admin.get(&format!("{}/b", boats(group)), &[]).json();
    assert_eq!(stored["spec"], json!({"field4399": "x"}));
    for (path, part) in [
        (format!("/openapi/v3/apis/{group}/v1"), "field4399"),
        ("/openapi/v2".to_owned(), "field4399"),
        (format!("/apis/{group}/v1"), "boats"),
    ] {
        let answer = admin.get(&path, &[]);
        assert!(answer.code == 200 && answer.text().contains(part), "{path}: {}", answer.code);
    }
    taken(&admin.delete(&format!("{DEFINITIONS}/boats.{group}")));
    eventually("it is gone", || (admin.get(&boats(group), &[]).code == 404).then_some(()));
    eventually("of OpenAPI v2 too", || (!admin.get("/openapi/v2", &[]).text().contains("field4399")).then_some(()));
}

/// What a rule costs where it is evaluated is bounded as it is in Kubernetes, whose words these are.
fn a_rule_ends(_: &Sampan, admin: &Asker) {
    let group = "budget.example.com";
    let rule = json!([{"rule": "self.all(x, self.all(y, x == y))", "message": "all alike"}]);
    let crew = json!({
        "type": "array", "maxItems": 1000, "items": {"type": "integer"}, "x-kubernetes-validations": rule,
    });
    let spec = json!({"type": "object", "properties": {"crew": crew}});
    taken(&admin.post(DEFINITIONS, &definition(group, &spec)));
    shown(admin, group);
    let of = |count: usize| json!({"crew": vec![1; count]});
    taken(&admin.post(&boats(group), &boat(group, "few", &of(100))));
    let answer = admin.post(&boats(group), &boat(group, "many", &of(1000)));
    assert_eq!(answer.code, 422, "{}", answer.text());
    let cause = "Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules will \
                 be run due to call cost exceeds limit for rule: all alike";
    let expected = json!([{"reason": "FieldValueInvalid", "message": cause, "field": "spec.crew"}]);
    assert_eq!(answer.json()["details"]["causes"], expected);
}

/// The one version of a definition without conversion may be selected by.
fn fields_of_one_version_are_selected_by(_: &Sampan, admin: &Asker) {
    let group = "selectable.example.com";
    let spec = json!({"type": "object", "properties": {"colour": {"type": "string"}}});
    let mut sent = definition(group, &spec);
    sent["spec"]["conversion"] = json!({"strategy": "None"});
    sent["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.colour"}]);
    taken(&admin.post(DEFINITIONS, &sent));
    shown(admin, group);
    for (name, colour) in [("a", "red"), ("b", "blue")] {
        taken(&admin.post(&boats(group), &boat(group, name, &json!({"colour": colour}))));
    }
    let select = |selector: &str| admin.get(&format!("{}?fieldSelector={selector}", boats(group)), &[]);
    let found = select("spec.colour%3Dblue").json();
    let names: Vec<&Value> =
        found["items"].as_array().into_iter().flatten().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, ["b"]);
    let refused = select("spec.length%3D1");
    let words = "field label not supported: spec.length";
    assert!(refused.code == 400 && refused.text().contains(words), "{}", refused.text());
}

/// A custom resource has no message of its own in protobuf, and its metadata has: of one object, of a list, of a watch.
fn metadata_is_shown_in_protobuf(_: &Sampan, admin: &Asker) {
    let group = "protobuf.example.com";
    taken(&admin.post(DEFINITIONS, &definition(group, &json!({"type": "object"}))));
    shown(admin, group);
    taken(&admin.post(&boats(group), &boat(group, "argo", &json!({}))));
    let check = |path: &str, kind: &str, media_type: &str| {
        let accept = format!("application/vnd.kubernetes.protobuf;as={kind};g=meta.k8s.io;v=v1");
        let answer = admin.get(path, &[("accept", &accept)]);
        assert_eq!((answer.code, answer.header("content-type")), (200, media_type), "{path}: {}", answer.text());
        let text = answer.text();
        assert!(text.contains(kind) && text.contains("argo") && !text.contains("Boat"), "{path}: {text}");
    };
    let (protobuf, stream) =
        ("application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf;stream=watch");
    check(&format!("{}/argo", boats(group)), "PartialObjectMetadata", protobuf);
    check(&boats(group), "PartialObjectMetadataList", protobuf);
    let watch = format!("{}?watch=1&resourceVersion=0&timeoutSeconds=1", boats(group));
    check(&watch, "PartialObjectMetadata", stream);
}

/// Paths of a group and of its versions, as v1.35 answers them.
fn its_documents_are_found(_: &Sampan, admin: &Asker) {
    let group = "documents.example.com";
    let mut sent = definition(group, &json!({"type": "object"}));
    let paths = json!({"specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.crew"});
    sent["spec"]["versions"][0]["subresources"] = json!({"status": {}, "scale": paths});
    sent["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] =
        json!({"name": {"type": "string"}});
    sent["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.name"}]);
    taken(&admin.post(DEFINITIONS, &sent));
    shown(admin, group);
    let document = admin.get(&format!("/openapi/v3/apis/{group}/v1"), &[]).json();
    let schemas = &document["components"]["schemas"];
    let (boat, list) = (&schemas["com.example.documents.v1.Boat"], &schemas["com.example.documents.v1.BoatList"]);
    for kind in [boat, list] {
        assert_eq!(kind["x-kubernetes-selectable-fields"], json!([{"fieldPath": "spec.name"}]));
    }
    assert_eq!(list["description"], "BoatList is a list of Boat");
    let items = list["properties"]["items"]["description"].as_str().unwrap_or_default();
    assert!(items.starts_with("List of boats. More info: "), "{items}");
    assert_eq!(list["properties"]["items"]["type"], "array");
    let paths = document["paths"].as_object().expect("paths");
    assert!(!paths.contains_key(&format!("/apis/{group}/v1/")), "of built-in groups alone");
    let scale = &paths[&format!("/apis/{group}/v1/namespaces/{{namespace}}/boats/{{name}}/scale")]["get"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Boat");
    let index = admin.get("/openapi/v3", &[]).json();
    assert!(
        index["paths"][format!("apis/{group}/v1")].is_object() && index["paths"].get(format!("apis/{group}")).is_none()
    );
    let found = admin.get(&format!("/apis/{group}/v1"), &[]);
    let json = found.json();
    let names: Vec<&Value> = json["resources"].as_array().into_iter().flatten().map(|one| &one["name"]).collect();
    assert_eq!(names, ["boats", "boats/status", "boats/scale"]);
    assert_eq!(found.header("vary"), "");
    for path in [format!("/apis/{group}/v3"), format!("/apis/{group}/v3/boats"), "/apis/nobody.example.com/v1".into()] {
        let answer = admin.get(&path, &[("accept", "text/html")]);
        assert_eq!((answer.code, answer.text().as_str()), (404, "404 page not found\n"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    let answer = admin.get("/apis/apps/v9", &[]);
    assert_eq!((answer.code, &answer.json()["kind"]), (404, &json!("Status")));
    let answer = admin.get(&boats(group), &[("impersonate-group", "x")]);
    assert_eq!((answer.code, answer.header("x-content-type-options")), (400, "nosniff"));
    let answer = admin.get(&format!("{}?fieldSelector=spec.crew%3D1", boats(group)), &[]);
    let words = "field label not supported: spec.crew";
    assert!(answer.code == 400 && answer.text().contains(words), "{}", answer.text());
}

/// Nothing of definitions that are gone is held.
fn what_came_and_went_holds_no_memory(sampan: &Sampan, admin: &Asker) {
    if !is_nightly() {
        return;
    }
    let round = |from: usize, count: usize| {
        let name = |n: usize| format!("gone-{n}.example.com");
        for n in from..from + count {
            taken(&admin.post(DEFINITIONS, &definition(&name(n), &large(20))));
        }
        shown(admin, &name(from + count - 1));
        for n in from..from + count {
            taken(&admin.delete(&format!("{DEFINITIONS}/boats.{}", name(n))));
        }
        let gone = |n: usize| admin.get(&boats(&name(n)), &[]).code == 404;
        eventually("all are gone", || (from..from + count).all(gone).then_some(()));
    };
    // What is made once, and pages that the allocator keeps, are there after the first.
    round(0, COME_AND_GO / 5);
    let before = resident_kib(sampan.pid()).expect("its memory");
    for begin in 1..5 {
        round(begin * COME_AND_GO / 5, COME_AND_GO / 5);
    }
    let left = || resident_kib(sampan.pid()).expect("its memory").saturating_sub(before);
    eventually("the memory is given back", || (left() <= LEFT_KIB_MAX).then_some(()));
    println!("{COME_AND_GO} definitions came and went: {} KiB are left", left());
}

/// Custom resources name their type: a body always, and a patch of the object itself the one of its path.
fn a_custom_resource_names_its_type(_: &Sampan, admin: &Asker) {
    let group = "typed.example.com";
    let path = boats(group);
    taken(&admin.post(DEFINITIONS, &definition(group, &json!({"type": "object"}))));
    until("served", admin, &path, "application/json", |answer| answer.code == 200);
    let check = |query: &str, body: Value, code: u16, message: &str| {
        let answer = admin.post(&format!("{path}{query}"), &body);
        assert_eq!((answer.code, answer.json()["message"].as_str()), (code, Some(message)), "{body}");
    };
    check("?fieldValidation=Ignore", json!({"metadata": {}}), 400, MISSING);
    let other = |found: &str| {
        format!("the API version in the data ({found}) does not match the expected API version ({group}/v1)")
    };
    check("", json!({"kind": "Boat", "metadata": {"name": "b"}}), 400, &other(""));
    check("", json!({"kind": "Boat", "apiVersion": "typed.example.com/v9"}), 400, &other("typed.example.com/v9"));
    check("", json!({"kind": "Tub", "apiVersion": "v1"}), 400, &other("v1"));
    let named = json!({"kind": "Tub", "apiVersion": "typed.example.com/v1", "metadata": {"name": "b"}});
    check("", named, 422, "Tub.typed.example.com \"b\" is invalid: kind: Invalid value: \"Tub\": must be Boat");
    let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    taken(&admin.post(&path, &boat(group, "b", &json!({}))));
    for (path, accept) in [(path.clone(), metadata), (format!("{path}/b"), metadata.replace("List;", ";").as_str())] {
        let answer = admin.get(&path, &[("accept", accept)]);
        assert_eq!(answer.code, 200, "{path}");
    }
    assert_eq!(admin.get(&path, &[("accept", "application/vnd.kubernetes.protobuf")]).code, 406);
}

const MISSING: &str =
    "Boat in version \"v1\" cannot be handled as a Boat: Object 'Kind' is missing in '{\"metadata\":{}}'";

type Check = fn(&Sampan, &Asker);

#[test]
fn definitions() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver,controllers"]);
    let admin = Asker::admin(&sampan);
    let checks: [(&'static str, Check); 10] = [
        ("in order", a_kind_comes_in_order),
        ("at once", a_kind_is_there_at_once),
        ("absent", what_a_kind_does_not_have_is_told),
        ("typed", a_custom_resource_names_its_type),
        ("large", a_definition_may_be_as_large_as_an_object),
        ("budget", a_rule_ends),
        ("selectable", fields_of_one_version_are_selected_by),
        ("protobuf", metadata_is_shown_in_protobuf),
        ("documents", its_documents_are_found),
        ("memory", what_came_and_went_holds_no_memory),
    ];
    let (sampan, admin) = (&sampan, &admin);
    check_all(checks.map(|(name, check)| (name, move || check(sampan, admin))));
}
