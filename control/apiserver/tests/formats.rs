//! The same objects in every form: lists, tables, metadata, YAML, protobuf, watches.

mod support;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::BodyExt;
use sampan_apiserver::{Check, body, of_components};
use sampan_env::Env;
use sampan_testing::server::Parts;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use support::{CONFIG_MAPS, Masters, config_map, server, server_in, server_with};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

#[tokio::test]
async fn the_answer_of_a_dry_run_has_no_revision() {
    let server = server().await;
    let check = async |accept: &str, metadata: &[&str]| {
        let headers = [("accept", accept), ("content-type", "application/json")];
        let path = format!("{CONFIG_MAPS}?dryRun=All");
        let answer = server.call_with("POST", &path, &headers, config_map("a").to_string()).await;
        assert_eq!(answer.code, 201, "{accept}: {}", answer.text());
        let answer = answer.json();
        let metadata = metadata.iter().fold(&answer, |value, name| match name.parse::<usize>() {
            Ok(at) => &value[at],
            Err(_) => &value[*name],
        });
        assert_eq!((&metadata["name"], &metadata["resourceVersion"]), (&json!("a"), &Value::Null), "{accept}");
    };
    check("application/json", &["metadata"]).await;
    check(METADATA, &["metadata"]).await;
    check(TABLE, &["rows", "0", "object", "metadata"]).await;
}

#[tokio::test]
async fn a_list_names_its_kind_once() {
    let server = server().await;
    for name in ["b", "a"] {
        server.create(CONFIG_MAPS, &config_map(name)).await;
    }
    let list = server.get(CONFIG_MAPS).await.json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    let items = list["items"].as_array().expect("items");
    assert_eq!(items.iter().map(|item| item["metadata"]["name"].as_str()).collect::<Vec<_>>(), [Some("a"), Some("b")]);
    assert!(items.iter().all(|item| item.get("kind").is_none() && item.get("apiVersion").is_none()));
    assert!(items.iter().all(|item| item["metadata"]["resourceVersion"].is_string()));
    assert_eq!(items[0]["data"], json!({"k": "v"}));

    let page = server.get(&format!("{CONFIG_MAPS}?limit=1")).await.json();
    assert_eq!((page["items"].as_array().map(Vec::len), &page["metadata"]["remainingItemCount"]), (Some(1), &json!(1)));
    let token = page["metadata"]["continue"].as_str().expect("a token").to_owned();
    let rest = server.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await.json();
    assert_eq!(rest["items"][0]["metadata"]["name"], "b");
    assert!(rest["metadata"].get("continue").is_none());
}

#[tokio::test]
async fn objects_are_shown_as_asked() {
    let server = server().await;
    server.create(CONFIG_MAPS, &config_map("a")).await;
    let path = format!("{CONFIG_MAPS}/a");
    let get = async |path: &str, accept: &str| server.call_with("GET", path, &[("accept", accept)], "").await;

    let table = get(CONFIG_MAPS, TABLE).await.json();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert!(table["rows"][0]["object"].get("data").is_none());
    let whole = get(&format!("{CONFIG_MAPS}?includeObject=Object"), TABLE).await.json();
    assert_eq!(whole["rows"][0]["object"]["data"], json!({"k": "v"}));
    let refused = get(&format!("{CONFIG_MAPS}?includeObject=Foo"), TABLE).await;
    assert_eq!(
        (refused.code, refused.message().as_str()),
        (
            400,
            "Unable to convert to Table as requested: includeObject: Invalid value: \"Foo\": must be 'Metadata', 'Object', 'None', \
             or empty"
        )
    );

    let metadata = get(&path, METADATA).await.json();
    assert_eq!((&metadata["kind"], &metadata["metadata"]["name"]), (&json!("PartialObjectMetadata"), &json!("a")));
    assert!(metadata.get("data").is_none() && metadata["metadata"]["resourceVersion"].is_string());
    let list = get(CONFIG_MAPS, METADATA_LIST).await.json();
    assert_eq!(
        (&list["kind"], &list["items"][0]["metadata"]["name"]),
        (&json!("PartialObjectMetadataList"), &json!("a"))
    );
    let item = &list["items"][0];
    assert_eq!((&item["kind"], &item["apiVersion"]), (&json!("PartialObjectMetadata"), &json!("meta.k8s.io/v1")));

    let yaml = get(&path, "application/yaml").await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    assert!(yaml.text().starts_with("apiVersion: v1\ndata:\n  k: v\nkind: ConfigMap\nmetadata:\n"), "{}", yaml.text());

    for path in [path.as_str(), CONFIG_MAPS] {
        let protobuf = get(path, PROTOBUF).await;
        assert_eq!((protobuf.code, protobuf.header("content-type")), (200, PROTOBUF));
        assert!(protobuf.bytes.starts_with(b"k8s\0"));
    }
    let refused = get(&format!("{CONFIG_MAPS}/nope"), PROTOBUF).await;
    assert_eq!((refused.code, refused.header("content-type")), (404, PROTOBUF));

    let pretty = server.get(&format!("{path}?pretty=true")).await.text();
    assert!(pretty.starts_with("{\n  \"kind\": \"ConfigMap\",\n  \"apiVersion\": \"v1\",\n  \"metadata\""), "{pretty}");
    // What no object is begins in the same way.
    let refused = server.get(&format!("{CONFIG_MAPS}/nope")).await.text();
    assert!(refused.starts_with("{\"kind\":\"Status\",\"apiVersion\":\"v1\","), "{refused}");
    assert_eq!(get(&path, "application/*").await.code, 406);
}

/// As v1.35 answers them.
#[tokio::test]
async fn lists_and_watches_read_their_options_as_kubernetes_does() {
    let server = server().await;
    for name in ["a", "b", "c"] {
        server.create(CONFIG_MAPS, &config_map(name)).await;
    }
    let count = async |query: &str| {
        let list = server.get(&format!("{CONFIG_MAPS}?{query}")).await.json();
        (list["items"].as_array().map(Vec::len), list["metadata"].get("continue").is_some())
    };
    // Any state will do: then it is given whole.
    assert_eq!(count("limit=2&resourceVersion=0").await, (Some(3), false));
    assert_eq!(count("limit=2&resourceVersion=0&resourceVersionMatch=NotOlderThan").await, (Some(3), false));
    assert_eq!(count("limit=2&resourceVersion=1&resourceVersionMatch=NotOlderThan").await, (Some(2), true));
    // What names neither a field nor a value asks for nothing.
    for selector in ["%3D", "!%3D", "metadata.name!%3Dz,%3D%3D"] {
        assert_eq!(count(&format!("fieldSelector={selector}")).await, (Some(3), false), "{selector}");
    }
    assert_eq!(server.get(&format!("{CONFIG_MAPS}?fieldSelector=%3D%3Dx")).await.code, 400);

    let forbidden = "resourceVersionMatch: Forbidden: ";
    let with_token = format!("{forbidden}resourceVersionMatch is forbidden when continue is provided");
    let without =
        format!("{forbidden}resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    let requires = format!("{forbidden}sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    let unknown = "resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"";
    for (query, expected) in [
        ("continue=x", with_token.clone()),
        ("sendInitialEvents=true&continue=x", requires.clone()),
        ("resourceVersionMatch=Exact", format!("[{without}, {unknown}]")),
        ("resourceVersionMatch=NotOlderThan&continue=x", format!("[{without}, {with_token}]")),
        (
            "sendInitialEvents=false&resourceVersionMatch=Exact&continue=x",
            format!("[{requires}, {unknown}, {with_token}]"),
        ),
    ] {
        let refused = server.get(&format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1&{query}")).await;
        let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {expected}");
        assert_eq!((refused.code, refused.message()), (422, message), "{query}");
    }
    // A watch that names a revision does not look at the token.
    let watched = server.get(&format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1&resourceVersion=1&continue=x")).await;
    assert_eq!(watched.code, 200);
}

/// The router refuses a form that it does not know, and the handler one that it cannot make: lists read their options
/// between the two, and calls their body after both. As v1.35 answers.
#[tokio::test]
async fn forms_of_answers_are_refused_in_kubernetes_order() {
    let server = server().await;
    let check = async |method: &str, path: &str, accept: &str, code: u16, told: &str, warned: bool| {
        let answer = server.call_with(method, path, &[("accept", accept)], "{").await;
        let told = (answer.code, answer.message().contains(told), !answer.header("warning").is_empty());
        assert_eq!(told, (code, true, warned), "{method} {path} {accept}: {}", answer.text());
    };
    let (unknown, bogus) = ("text/html", "application/json;as=Bogus;v=v1;g=meta.k8s.io");
    let (router, handler) = ("406: Not Acceptable", "only the following media types are accepted");
    check("GET", &format!("{CONFIG_MAPS}?limit=x"), bogus, 400, "invalid syntax", false).await;
    check("GET", &format!("{CONFIG_MAPS}?resourceVersionMatch=x"), bogus, 422, "is forbidden", false).await;
    check("GET", &format!("{CONFIG_MAPS}?watch=1&limit=x"), bogus, 400, "invalid syntax", false).await;
    check("GET", &format!("{CONFIG_MAPS}?limit=x"), unknown, 406, router, false).await;
    check("GET", &format!("{CONFIG_MAPS}?fieldSelector=a%3Db"), bogus, 406, handler, false).await;
    check("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", bogus, 406, handler, false).await;
    check("GET", "/api/v1/namespaces/default/endpoints", unknown, 406, router, false).await;
    check("GET", "/api/v1/namespaces/default/endpoints", bogus, 406, handler, true).await;
}

/// What calls answer has metadata, if none of a stored object.
#[tokio::test]
async fn answers_of_calls_are_shown_as_metadata() {
    let server = server().await;
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = r#"{"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}"#;
    let ask = async |accept: &str| server.call_with("POST", reviews, &[("accept", accept)], review).await;
    let shown = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {}});
    let mut answer = ask(METADATA).await.json();
    // Who asked owns what was asked, as of every object that is sent.
    let owned = answer["metadata"]["managedFields"].take();
    assert_eq!(owned[0]["operation"], "Update", "{owned}");
    answer["metadata"] = json!({});
    assert_eq!(answer, shown);
    let refused = ask(METADATA_LIST).await;
    let text = "you requested PartialObjectMetadataList, but the requested object is not a list (*authorization.SelfSubjectAccessReview)";
    assert_eq!((refused.code, refused.message().as_str()), (406, text));
    assert_eq!(ask(TABLE).await.code, 406);

    // Go keeps the types of this group with the core's.
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let refused = server.call_with("GET", events, &[("accept", METADATA)], "").await;
    let text = "you requested PartialObjectMetadata, but the requested object is a list (*core.EventList)";
    assert_eq!((refused.code, refused.message().as_str()), (406, text));
}

#[tokio::test]
async fn watches_show_what_changes() {
    let server = server().await;
    let revision =
        server.get(CONFIG_MAPS).await.json()["metadata"]["resourceVersion"].as_str().expect("one").to_owned();
    server.create(CONFIG_MAPS, &config_map("a")).await;
    server.call("PATCH", &format!("{CONFIG_MAPS}/a"), r#"{"metadata":{"labels":{"x":"y"}}}"#).await;
    server.call("DELETE", &format!("{CONFIG_MAPS}/a"), "").await;
    let watch = async |query: &str, accept: &str| {
        let path = format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1&{query}");
        server.call_with("GET", &path, &[("accept", accept)], "").await
    };
    let types = |events: &[Value]| {
        events.iter().map(|event| event["type"].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    let since = format!("resourceVersion={revision}");
    let all = watch(&since, "application/json").await;
    assert_eq!(all.header("content-type"), "application/json");
    assert_eq!(types(&all.events()), ["ADDED", "MODIFIED", "DELETED"]);
    let selected = watch(&format!("{since}&labelSelector=x%3Dy"), "application/json").await.events();
    assert_eq!(types(&selected), ["ADDED", "DELETED"]);
    let table = watch(&since, TABLE).await.events();
    assert!(table[0]["object"]["columnDefinitions"].is_array() && table[1]["object"]["columnDefinitions"].is_null());
    let protobuf = watch(&since, "application/vnd.kubernetes.protobuf;stream=watch").await;
    assert_eq!(protobuf.header("content-type"), "application/vnd.kubernetes.protobuf;stream=watch");
    let length = u32::from_be_bytes(protobuf.bytes[..4].try_into().expect("four bytes")) as usize;
    assert!(length > 0 && length < protobuf.bytes.len());
    assert_eq!(watch(&since, "application/yaml").await.code, 406);
    let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    server.create(CONFIG_MAPS, &config_map("b")).await;
    let table = watch(&format!("{since}&allowWatchBookmarks=true"), TABLE).await.events();
    let last = table.last().expect("a bookmark");
    let row = &last["object"]["rows"][0];
    assert_eq!((&last["type"], &row["cells"]), (&json!("BOOKMARK"), &json!(["", 0, "<unknown>"])));
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    // What names no revision begins with the state too.
    for begun in [initial, "allowWatchBookmarks=true"] {
        let events = watch(begun, "application/json").await.events();
        assert_eq!(types(&events)[..2], ["ADDED", "BOOKMARK"], "{begun}");
        assert_eq!(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true", "{begun}");
    }
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() {
    let server = server().await;
    let answer = server.call("POST", &format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a").to_string()).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/a")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn ages_in_a_watch_are_those_of_the_moment() {
    let server = server_in(Env::simulated(1, SystemTime::UNIX_EPOCH), Arc::new(Masters)).await;
    server.create(CONFIG_MAPS, &config_map("a")).await;
    let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion=0&timeoutSeconds=1000");
    let request = Request::get(path).header("authorization", "Bearer admin").header("accept", TABLE);
    let mut watch = server.raw(request.body(body::empty()).expect("a request")).await.into_body();
    let mut age = async || {
        let frame = watch.frame().await.expect("more").expect("a frame").into_data().expect("data");
        let event: Value = serde_json::from_slice(&frame).expect("one event");
        event["object"]["rows"][0]["cells"][2].as_str().expect("an age").to_owned()
    };
    assert_eq!(age().await, "0s");
    tokio::time::sleep(Duration::from_secs(100)).await;
    server.call("PATCH", &format!("{CONFIG_MAPS}/a"), r#"{"data":{"k":"w"}}"#).await;
    assert_eq!(age().await, "100s");
}

/// A component that is well, or what is wrong with it.
struct Component(&'static str, Result<(), &'static str>);

impl Check for Component {
    fn name(&self) -> &str {
        self.0
    }
    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        std::future::ready(self.1.map_err(str::to_owned)).boxed()
    }
}

/// As v1.35 answers them, but for the words of a connection that is refused there.
#[tokio::test]
async fn components_are_asked_when_they_are_read() {
    let components: Vec<Arc<dyn Check>> =
        vec![Arc::new(Component("scheduler", Err("it does not run"))), Arc::new(Component("etcd-0", Ok(())))];
    let parts =
        Parts { actions: vec![of_components(components)], authorizer: Arc::new(Masters), ..Parts::new(Env::system()) };
    let server = server_with(parts).await;
    let get = async |path: &str, accept: &str| server.call_with("GET", path, &[("accept", accept)], "").await;
    const PATH: &str = "/api/v1/componentstatuses";
    let scheduler = json!({"metadata": {"name": "scheduler"},
        "conditions": [{"type": "Healthy", "status": "False", "message": "it does not run"}]});
    let store =
        json!({"metadata": {"name": "etcd-0"}, "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]});
    let list =
        |items: Value| json!({"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": items});
    let check = async |query: &str, items: Value| {
        let answer = get(&format!("{PATH}{query}"), "application/json").await;
        assert_eq!(answer.json(), list(items), "{query}");
    };
    check("", json!([scheduler, store])).await;
    check("?limit=1", json!([scheduler, store])).await;
    check("?fieldSelector=metadata.name%3Detcd-0", json!([store])).await;
    check("?labelSelector=a%3Db", json!([])).await;
    let mut one = store.clone();
    (one["kind"], one["apiVersion"]) = (json!("ComponentStatus"), json!("v1"));
    assert_eq!(get(&format!("{PATH}/etcd-0"), "application/json").await.json(), one);
    let none = get(&format!("{PATH}/none"), "application/json").await.json();
    assert_eq!(none["message"], "componentstatus \"none\" not found");
    let table = get(PATH, TABLE).await.json();
    assert_eq!(table["rows"][0]["cells"], json!(["scheduler", "Unhealthy", "it does not run", ""]));
}
