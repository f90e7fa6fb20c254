//! What is wrong with a request is said in Kubernetes' words, and changes nothing.

mod support;

use support::{CONFIG_MAPS, config_map, server};

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let server = server().await;
    let check = async |content_type: &str, query: &str, body: &str, code: u16, message: &str| {
        let path = format!("{CONFIG_MAPS}{query}");
        let answer = server.call_with("POST", &path, &[("content-type", content_type)], body.to_owned()).await;
        assert_eq!((answer.code, answer.message().as_str()), (code, message), "{body}");
        assert_eq!(answer.header("content-type"), "application/json");
    };
    let (json, yaml, protobuf) = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf");
    check(
        json,
        "",
        "hello",
        400,
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character 'h' looking for beginning of value (68656c6c6f)",
    )
    .await;
    check(
        yaml,
        "",
        "apiVersion: v1\n  kind: [",
        400,
        "the object provided is unrecognized (must be of type ConfigMap): yaml: line 2: mapping values are not allowed in this context (61706956657273696f6e3a2076310a20206b696e643a205b)",
    )
    .await;
    let answer = server.call_with("POST", CONFIG_MAPS, &[("content-type", protobuf)], "k8s\0garbage").await;
    assert_eq!((answer.code, answer.json()["reason"].as_str()), (400, Some("BadRequest")), "{}", answer.text());
    check(
        json,
        "",
        r#"{"apiVersion":"v1","kind":"Nope","metadata":{"name":"a"}}"#,
        400,
        "Nope in version \"v1\" cannot be handled as a ConfigMap: no kind \"Nope\" is registered for version \"v1\" in scheme \"pkg/runtime/scheme.go:111\"",
    )
    .await;
    check(
        json,
        "",
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#,
        400,
        "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion",
    )
    .await;
    check(
        json,
        "",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":7}}"#,
        400,
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
    )
    .await;
    check(
        json,
        "?fieldValidation=Strict",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"bogus":1}"#,
        400,
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"bogus\"",
    )
    .await;
    // What names another kind is read as that first.
    let no_pod = "Pod in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field Pod.spec of type v1.PodSpec";
    check(json, "", r#"{"apiVersion":"v1","kind":"Pod","spec":5}"#, 400, no_pod).await;
    check(yaml, "", "apiVersion: v1\nkind: Pod\nspec: 5\ndata: 7\n", 400, no_pod).await;
    check(
        "text/plain",
        "",
        "x",
        415,
        "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    )
    .await;
    let list = server.get(CONFIG_MAPS).await.json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0), "nothing was made");
}

#[tokio::test]
async fn unknown_fields_are_warned_about_and_dropped() {
    let server = server().await;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"bogus":1}"#;
    let answer = server.call("POST", CONFIG_MAPS, body).await;
    assert_eq!((answer.code, answer.header("warning")), (201, r#"299 - "unknown field \"bogus\"""#));
    assert!(answer.json().get("bogus").is_none());
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let server = server().await;
    let answer = server.call("POST", CONFIG_MAPS, &" ".repeat(3 * 1024 * 1024 + 1)).await;
    assert_eq!((answer.code, answer.message().as_str()), (413, "Request entity too large: limit is 3145728"));
}

#[tokio::test]
async fn names_versions_and_selectors() {
    let server = server().await;
    let made = server.create(CONFIG_MAPS, &config_map("a")).await;
    let check = async |method: &str, path: &str, body: &str, code: u16, message: &str| {
        let answer = server.call(method, &format!("{CONFIG_MAPS}{path}"), body).await;
        assert_eq!((answer.code, answer.message().as_str()), (code, message), "{method} {path} {body}");
    };
    let named = |name: &str, version: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","resourceVersion":"{version}"}}}}"#
        )
    };
    check("PUT", "/a", &named("b", ""), 400, "the name of the object (b) does not match the name on the URL (a)").await;
    check(
        "PUT",
        "/a",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}"#,
        400,
        "the name of the object (a based on URL) was undeterminable: name must be provided",
    )
    .await;
    check(
        "PUT",
        "/a",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"other"}}"#,
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    )
    .await;
    let stale = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again";
    check("PUT", "/a", &named("a", "999999"), 409, stale).await;
    check("POST", "", &config_map("a").to_string(), 409, "configmaps \"a\" already exists").await;
    check("GET", "/nope", "", 404, "configmaps \"nope\" not found").await;
    check(
        "GET",
        "?fieldSelector=data.k%3D1",
        "",
        400,
        "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    )
    .await;
    check(
        "GET",
        "?labelSelector=a%20b",
        "",
        400,
        "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    )
    .await;
    let answer = server.call("POST", CONFIG_MAPS, &config_map("Upper").to_string()).await;
    assert_eq!((answer.code, answer.json()["reason"].as_str()), (422, Some("Invalid")));
    let now = server.get(&format!("{CONFIG_MAPS}/a")).await.json();
    assert_eq!(now["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"], "nothing was changed");
}

#[tokio::test]
async fn paths_and_methods_that_are_not_served() {
    let server = server().await;
    let check = async |method: &str, path: &str, code: u16| {
        let answer = server.call(method, path, "{}").await;
        assert_eq!(answer.code, code, "{method} {path}: {}", answer.text());
    };
    let (missing, not_allowed) = (404, 405);
    check("POST", "/api/v1/namespaces/default/configmaps/a", not_allowed).await;
    check("PUT", "/api/v1/namespaces/default/configmaps", not_allowed).await;
    check("PATCH", "/api/v1/namespaces/default/configmaps", not_allowed).await;
    check("POST", "/api/v1/configmaps", not_allowed).await;
    check("DELETE", "/api/v1/configmaps", not_allowed).await;
    check("PUT", "/api/v1/configmaps/a", missing).await;
    check("GET", "/api/v1/namespaces/default/nodes", missing).await;
    check("GET", "/api/v1/namespaces/default/nodes/n", missing).await;
    check("GET", "/api/v1/namespaces/%2e%2e/configmaps", missing).await;
    check("GET", "/api/v9", missing).await;
    check("GET", "/apis/nope.io/v1/namespaces/default/things", missing).await;
    check("GET", "/api/v1/namespaces/default/configmaps/a/status", missing).await;
    check("FOO", "/api/v1/namespaces/default/configmaps", not_allowed).await;
    check("HEAD", "/api/v1/namespaces/default/nope", missing).await;
    check("HEAD", "/api/v1/namespaces/default/pods/a/nope", missing).await;
    check("HEAD", "/api/v1/configmaps", not_allowed).await;
    check("PUT", "/version", not_allowed).await;
    let answer = server.call("POST", "/api/v1/namespaces/default/configmaps/a", "{}").await;
    assert_eq!(answer.message(), "the server does not allow this method on the requested resource");
    let answer = server.call("GET", "/api/v9", "").await;
    assert_eq!(answer.message(), "the server could not find the requested resource");
}

#[tokio::test]
async fn configurations_that_cannot_be_applied() {
    let server = server().await;
    let headers = [("content-type", "application/apply-patch+yaml")];
    let apply = async |query: &str, body: &str| {
        let answer = server.call_with("PATCH", &format!("{CONFIG_MAPS}/a{query}"), &headers, body.to_owned()).await;
        (answer.code, answer.message())
    };
    let check = async |query: &str, body: &str, code: u16, message: &str| {
        assert_eq!(apply(query, body).await, (code, message.to_owned()), "{query} {body}");
    };
    let required =
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
    check("", "{}", 422, required).await;
    check("?fieldManager=me", "", 400, "invalid object type: /, Kind=").await;
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let twice = format!("{head}data:\n  a: '1'\n  a: '2'\n");
    let strict = "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 6: key \"a\" already set in map";
    check("?fieldManager=me&fieldValidation=Strict", &twice, 400, strict).await;
    let unknown = "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .bogus: field not declared in schema";
    check("?fieldManager=me", &format!("{head}bogus: 1\n"), 500, unknown).await;
    let named = format!("{}  uid: u\n", head.replace("{name: a}", "\n  name: a"));
    let gone = "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid u, and no existing object was found";
    check("?fieldManager=me", &named, 409, gone).await;
    assert_eq!(
        apply("?fieldManager=me&fieldValidation=Ignore", &twice).await.0,
        201,
        "nothing of the above was written"
    );
    let other = format!("{head}data: {{a: '3'}}\n");
    let conflict = "Apply failed with 1 conflict: conflict with \"me\": .data.a";
    check("?fieldManager=you", &other, 409, conflict).await;
    assert_eq!(apply("?fieldManager=you&force=true", &other).await.0, 200);
}

#[tokio::test]
async fn patches_are_read_strictly_before_they_are_applied() {
    let server = server().await;
    server.create(CONFIG_MAPS, &config_map("a")).await;
    let patch = async |kind: &str, query: &str, body: &str| {
        let media_type = format!("application/{kind}+json");
        let headers = [("content-type", media_type.as_str())];
        server.call_with("PATCH", &format!("{CONFIG_MAPS}/a{query}"), &headers, body.to_owned()).await
    };
    let check = async |kind: &str, query: &str, body: &str, code: u16, message: &str| {
        let answer = patch(kind, query, body).await;
        assert_eq!((answer.code, answer.message().as_str()), (code, message), "{kind} {query} {body}");
    };
    let (json, merge, strategic) = ("json-patch", "merge-patch", "strategic-merge-patch");
    let ignore = "?fieldValidation=Ignore";
    let of = "json: cannot unmarshal";
    let object = "map[string]interface {}";
    let op = "Go struct field jsonPatchOp";
    check(
        json,
        "",
        "[1]",
        400,
        &format!("error decoding patch: {of} number into Go value of type handlers.jsonPatchOp"),
    )
    .await;
    check(json, "", r#"[{"op":5}]"#, 400, &format!("error decoding patch: {of} number into {op}.op of type string"))
        .await;
    check(
        json,
        "",
        r#"[{"from":{}}]"#,
        400,
        &format!("error decoding patch: {of} object into {op}.from of type string"),
    )
    .await;
    check(
        json,
        "",
        r#"{"op":5}"#,
        400,
        &format!("error decoding patch: {of} object into Go value of type []handlers.jsonPatchOp"),
    )
    .await;
    check(json, ignore, "[1]", 400, &format!("{of} number into Go value of type jsonpatch.Operation")).await;
    check(json, ignore, r#"{"op":5}"#, 400, &format!("{of} object into Go value of type jsonpatch.Patch")).await;
    check(json, "", "[null]", 422, "the server rejected our request due to an error in our request").await;
    check(json, "", "[{", 400, "error decoding patch: unexpected end of JSON input").await;
    check(merge, "", "[1]", 400, &format!("error decoding patch: {of} array into Go value of type {object}")).await;
    check(merge, "", "null", 400, "Invalid JSON Patch").await;
    check(strategic, "", "[1]", 400, &format!("{of} array into Go value of type {object}")).await;
    let strict = "?fieldValidation=Strict";
    let twice = r#"{"data":{"z":"1","z":"2"},"bogus":1}"#;
    let told = " \"\" is invalid: patch: Invalid value: \"map[bogus:1 data:map[z:2]]\": strict decoding error: duplicate field \"data.z\", unknown field \"bogus\"";
    check(strategic, strict, twice, 422, told).await;
    let answer = patch(merge, strict, twice).await.message();
    assert!(answer.ends_with("strict decoding error: duplicate field \"data.z\", unknown field \"bogus\""), "{answer}");
    let odd = r#"[{"op":"test","path":"/metadata/name","value":"a","x":1,"op":"test","Op":2}]"#;
    let answer = patch(json, strict, odd).await.message();
    let all = "json patch unknown field \"[0].x\", json patch duplicate field \"[0].op\", json patch unknown field \"[0].Op\"";
    assert!(answer.ends_with(all), "{answer}");
    for (kind, body) in [(json, "null"), (strategic, "null"), (json, odd), (merge, twice)] {
        assert_eq!(patch(kind, "", body).await.code, 200, "{kind} {body}");
    }
}

#[tokio::test]
async fn the_old_path_of_a_watch_names_one_object_and_no_selector_another() {
    let server = server().await;
    for name in ["a", "b"] {
        server.create(CONFIG_MAPS, &config_map(name)).await;
    }
    let check = async |selector: &str, names: Option<&[&str]>| {
        let path = "/api/v1/watch/namespaces/default/configmaps/a?resourceVersion=0&timeoutSeconds=1";
        let answer = server.get(&format!("{path}&fieldSelector={selector}")).await;
        let Some(names) = names else {
            assert_eq!(
                (answer.code, answer.message().as_str()),
                (400, "fieldSelector metadata.name doesn't match requested name"),
                "{selector}"
            );
            return;
        };
        assert_eq!(answer.code, 200, "{selector}: {}", answer.text());
        let seen: Vec<String> =
            answer.events().iter().map(|event| event["object"]["metadata"]["name"].to_string()).collect();
        assert_eq!(seen, names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>(), "{selector}");
    };
    check("", Some(&["a"])).await;
    check("metadata.name%3Da", Some(&["a"])).await;
    check("metadata.name%3Da,metadata.namespace%3Ddefault", Some(&["a"])).await;
    check("metadata.name%3Da,metadata.namespace%3Dother", Some(&[])).await;
    check("metadata.name%3Db", None).await;
    check("metadata.namespace%3Ddefault", None).await;
}

#[tokio::test]
async fn refusals_that_random_requests_showed() {
    let server = server().await;
    let check = async |method: &str, path: &str, body: &str, code: u16, message: &str| {
        let answer = server.call(method, path, body).await;
        assert_eq!((answer.code, answer.message().as_str()), (code, message), "{method} {path} {body}");
    };
    let (missing, no_method) = (
        "the server could not find the requested resource",
        "the server does not allow this method on the requested resource",
    );
    // A resource that is only made has no path below its own.
    let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    check("GET", &format!("{reviews}/a"), "", 404, missing).await;
    check("PATCH", &format!("{reviews}/a"), "{}", 404, missing).await;
    check("GET", reviews, "", 405, no_method).await;
    check("GET", "/api/v1/namespaces/default/bindings/a", "", 404, missing).await;
    check("PUT", CONFIG_MAPS, "{}", 405, no_method).await;
    // The old paths of watches take no writes.
    server.create(CONFIG_MAPS, &config_map("kept")).await;
    let watched = "/api/v1/watch/namespaces/default/configmaps";
    check("DELETE", watched, "", 405, no_method).await;
    check("DELETE", &format!("{watched}/kept"), "", 405, no_method).await;
    check("POST", watched, &config_map("b").to_string(), 405, no_method).await;
    check("PUT", &format!("{watched}/kept"), &config_map("kept").to_string(), 405, no_method).await;
    check("PATCH", &format!("{watched}/kept"), "{}", 405, no_method).await;
    // Preconditions may stand in the query.
    let made = server.get(&format!("{CONFIG_MAPS}/kept")).await.json();
    let uid = made["metadata"]["uid"].as_str().unwrap_or("");
    let other = format!(
        "Operation cannot be fulfilled on ConfigMap \"kept\": the UID in the precondition (x) does not match the UID in record \
         ({uid}). The object might have been deleted and then recreated"
    );
    check("DELETE", &format!("{CONFIG_MAPS}/kept?uid=x"), "", 409, &other).await;
    // Options that say nothing.
    check("DELETE", &format!("{CONFIG_MAPS}/a"), "null", 404, "configmaps \"a\" not found").await;
    // The version that is asked names itself.
    let events = "/apis/events.k8s.io/v1/namespaces/default/events/a";
    check("GET", events, "", 404, "events.events.k8s.io \"a\" not found").await;
    check("DELETE", events, "", 404, "events.events.k8s.io \"a\" not found").await;
    check("GET", "/api/v1/namespaces/default/events/a", "", 404, "events \"a\" not found").await;
    let manager = "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\n\": invalid character U+000A (at position 1)";
    check("POST", &format!("{CONFIG_MAPS}?fieldManager=a%0A"), "{}", 422, manager).await;
    let matching = "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided, resourceVersionMatch: Unsupported value: \"x\": supported values: \"Exact\", \"NotOlderThan\", \"\"]";
    check("GET", &format!("{CONFIG_MAPS}?resourceVersionMatch=x"), "", 422, matching).await;
    let token = "invalid continue token: continue key is not valid: illegal base64 data at input byte 0";
    check("GET", &format!("{CONFIG_MAPS}?continue=x"), "", 400, token).await;
    let eviction = r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{}}"#;
    let unnamed = "name in URL does not match name in Eviction object";
    check("POST", "/api/v1/namespaces/default/pods/a/eviction", eviction, 400, unnamed).await;
    let scale = r#"{"apiVersion":"autoscaling/v1","kind":"Scale"}"#;
    let nameless = "the name of the object (a based on URL) was undeterminable: name must be provided";
    check("PUT", "/apis/apps/v1/namespaces/default/deployments/a/scale", scale, 400, nameless).await;
    let range = r#"{"metadata":{"name":"a","uid":"u"},"spec":{"limits":[]}}"#;
    let nobody = "Operation cannot be fulfilled on limitranges \"a\": StorageError: invalid object, Code: 4, Key: /registry/limitranges/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: u, UID in object meta: ";
    check("PUT", "/api/v1/namespaces/default/limitranges/a", range, 409, nobody).await;
    let elsewhere =
        nobody.replace("limitranges \"a\"", "endpoints \"a\"").replace("limitranges/", "services/endpoints/");
    let endpoints = r#"{"metadata":{"name":"a","uid":"u"}}"#;
    check("PUT", "/api/v1/namespaces/default/endpoints/a", endpoints, 409, &elsewhere).await;
    let binding = r#"{"apiVersion":"v1","kind":"Binding","metadata":{},"target":{"kind":"Node","name":"n"}}"#;
    let unnamed = "name in URL does not match name in Binding object";
    check("POST", "/api/v1/namespaces/default/pods/a/binding", binding, 400, unnamed).await;
    let bindings = "/api/v1/namespaces/default/bindings";
    check("POST", bindings, binding, 400, "Name parameter required.").await;
    let of = |name: &str| binding.replace("{}", &format!(r#"{{"name":"{name}","uid":"u"}}"#));
    check("POST", bindings, &of("a/b"), 400, "Name parameter invalid: \"a/b\": may not contain '/'").await;
    check("POST", bindings, &of("a"), 404, "pods \"a\" not found").await;
    check("PUT", &format!("{CONFIG_MAPS}/a"), range, 404, "configmaps \"a\" not found").await;
    // Numbers are read before selectors.
    let query = "labelSelector=a%3D%3Db%3D%3Dc&limit=x&fieldSelector=a";
    check("GET", &format!("{CONFIG_MAPS}?{query}"), "", 400, "strconv.ParseInt: parsing \"x\": invalid syntax").await;
    // What is not served is not old.
    let answer = server.get("/api/v1/namespaces/default/endpoints/a/nothing").await;
    assert_eq!((answer.code, answer.header("warning")), (404, ""));
    let answer = server.get("/api/v1/namespaces/default/endpoints/a").await;
    assert!(answer.code == 404 && !answer.header("warning").is_empty(), "{}", answer.text());
    let answer = server.call("HEAD", CONFIG_MAPS, "").await;
    assert_eq!((answer.code, answer.text().as_str()), (405, ""));
}

#[tokio::test]
async fn reviews_have_no_metadata() {
    let server = server().await;
    let check = async |path: &str, kind: &str, spec: &str, code: u16, told: &str| {
        let body = format!(
            r#"{{"apiVersion":"authorization.k8s.io/v1","kind":"{kind}","metadata":{{"name":"a"}},"spec":{spec}}}"#
        );
        let answer = server.call("POST", &format!("/apis/authorization.k8s.io/v1/{path}"), &body).await;
        assert_eq!(answer.code, code, "{kind}: {}", answer.text());
        assert!(answer.text().contains(told), "{kind}: {}", answer.text());
    };
    let spec = r#"{"user":"u","resourceAttributes":{"verb":"get","resource":"pods","namespace":"default"}}"#;
    check("subjectaccessreviews", "SubjectAccessReview", spec, 422, ": must be empty\"").await;
    check("selfsubjectaccessreviews", "SelfSubjectAccessReview", spec, 422, ": must be empty\"").await;
    let local = "namespaces/default/localsubjectaccessreviews";
    check(local, "LocalSubjectAccessReview", spec, 422, ": must be empty except for namespace\"").await;
    // These answer with what is known of the caller, and nothing that was sent.
    let body = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","metadata":{"name":"a","labels":{"b":"c"}}}"#;
    let answer = server.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body).await;
    let metadata = answer.json()["metadata"].as_object().map(|it| it.keys().cloned().collect::<Vec<_>>());
    assert_eq!((answer.code, metadata), (201, Some(vec!["creationTimestamp".to_owned()])), "{}", answer.text());
}

#[tokio::test]
async fn line_ends_pass_into_no_header_and_no_log() {
    let server = server().await;
    let made = server.create(CONFIG_MAPS, &config_map("a")).await;
    let check = async |method: &str, path: &str, headers: &[(&str, &str)], body: &serde_json::Value, code: u16| {
        let sent = if body.is_null() { String::new() } else { body.to_string() };
        let answer = server.call_with(method, path, headers, sent).await;
        assert_eq!(answer.code, code, "{method} {path} {body}: {}", answer.text());
        let unprintable = |value: &http::HeaderValue| value.as_bytes().iter().any(|byte| *byte < 0x20);
        assert!(!answer.headers.values().any(unprintable), "{:?}", answer.headers);
        answer
    };
    let json = [("content-type", "application/json")];
    let merge = [("content-type", "application/merge-patch+json")];
    let with = |field: &str, value: serde_json::Value| {
        let mut object = config_map("b");
        object["metadata"][field] = value;
        object
    };
    use serde_json::{Value, json};
    check("POST", CONFIG_MAPS, &json, &with("name", json!("b\r\nx-evil: 1")), 422).await;
    check("POST", CONFIG_MAPS, &json, &with("labels", json!({"a\r\nb": "c"})), 422).await;
    check("POST", CONFIG_MAPS, &json, &with("labels", json!({"a": "c\r\nd"})), 422).await;
    check("POST", CONFIG_MAPS, &json, &with("generateName", json!("c\r\n")), 422).await;
    check("POST", &format!("{CONFIG_MAPS}?fieldManager=a%0d%0ab"), &json, &config_map("b"), 422).await;
    check("GET", &format!("{CONFIG_MAPS}/a%0d%0ab"), &[], &Value::Null, 404).await;
    check("GET", "/api/v1/namespaces/x%0d%0ay/configmaps", &[], &Value::Null, 200).await;
    check("GET", &format!("{CONFIG_MAPS}?labelSelector=a%0d%0ab"), &[], &Value::Null, 400).await;
    // Of a field that nobody knows its name is told, in a header.
    let unknown = check("PATCH", &format!("{CONFIG_MAPS}/a"), &merge, &json!({"a\r\nx-evil: 1": 1}), 200).await;
    assert!(unknown.header("warning").contains("unknown field"), "{:?}", unknown.headers);
    // What a client calls its request is taken where it can stand in a log.
    for (id, taken) in [("a-1", true), ("a b", false), ("a\tb", false), ("", false)] {
        let answer = check("GET", CONFIG_MAPS, &[("audit-id", id)], &Value::Null, 200).await;
        assert_eq!(answer.header("audit-id") == id, taken, "{id:?}");
    }
    let now = server.get(&format!("{CONFIG_MAPS}/a")).await.json();
    assert_eq!(now["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"], "nothing was changed");
}

#[tokio::test]
async fn resources_are_those_of_their_own_group_alone() {
    let server = server().await;
    server.create(CONFIG_MAPS, &config_map("a")).await;
    for path in [
        "/apis/apps/v1/namespaces/default/configmaps",
        "/apis/apps/v1/namespaces/default/configmaps/a",
        "/apis/apps/v1/configmaps",
        "/apis/apps/v1/secrets",
        "/apis/events.k8s.io/v1/pods",
        "/apis//v1/configmaps",
        "/apis/v1/namespaces/default/configmaps",
        "/apis/batch/v1/deployments",
        "/api/v1/deployments",
        "/api/v1/namespaces/default/roles",
        "/api/v2/configmaps",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.code, 404, "{path}: {}", answer.text());
        assert!(!answer.text().contains("\"items\""), "{path}");
    }
}

#[tokio::test]
async fn priority_classes_of_the_system_are_kept() {
    let server = server().await;
    for name in ["system-node-critical", "system-cluster-critical"] {
        let path = format!("/apis/scheduling.k8s.io/v1/priorityclasses/{name}?dryRun=All");
        let text = "is forbidden: this is a system priority class and cannot be deleted";
        let refused = server.call_with("DELETE", &path, &[], "").await;
        let message = format!("priorityclasses.scheduling.k8s.io \"{name}\" {text}");
        assert_eq!((refused.code, refused.message()), (403, message));
    }
}

#[tokio::test]
async fn types_in_patches() {
    let server = server().await;
    server.create(CONFIG_MAPS, &config_map("typed")).await;
    let check = async |form: &str, query: &str, patch: &str, code: u16| {
        let path = format!("{CONFIG_MAPS}/typed{query}");
        let content_type = format!("application/{form}+json");
        let answer =
            server.call_with("PATCH", &path, &[("content-type", content_type.as_str())], patch.to_owned()).await;
        assert_eq!(answer.code, code, "{form} {patch}: {}", answer.text());
        answer
    };
    // What a strategic merge names is not looked at.
    for patch in [r#"{"kind":"X"}"#, r#"{"apiVersion":"zz/v1","kind":"Secret"}"#, r#"{"apiVersion":null}"#] {
        assert_eq!(check("strategic-merge-patch", "", patch, 200).await.json()["kind"], "ConfigMap");
    }
    check("merge-patch", "", r#"{"kind":"X"}"#, 422).await;
    check("merge-patch", "", r#"{"kind":null}"#, 200).await;
    // Without a version it is read as what has none of the fields.
    let text = "the name of the object (typed based on URL) was undeterminable: name must be provided";
    for patch in [r#"{"apiVersion":null,"kind":null}"#, r#"{"apiVersion":""}"#] {
        assert_eq!(check("merge-patch", "?fieldValidation=Ignore", patch, 400).await.message(), text);
        let strict = check("merge-patch", "?fieldValidation=Strict", patch, 422).await.message();
        let fields = "strict decoding error: unknown field \"data\", unknown field \"metadata\"";
        assert!(strict.ends_with(fields), "{strict}");
    }
    check("MERGE-patch", "", "{}", 415).await;
}

#[tokio::test]
async fn a_scale_that_names_another_object_changes_nothing() {
    let server = server().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let labels = serde_json::json!({"a": "b"});
    let deployment = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let made = server.create(path, &deployment).await;
    let uid = made["metadata"]["uid"].as_str().unwrap_or("");
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = r#"{"metadata":{"uid":"1"},"spec":{"replicas":3}}"#;
    let refused = server.call_with("PATCH", &format!("{path}/d/scale"), &merge, patch).await;
    let message = format!(
        "Operation cannot be fulfilled on deployments/scale.apps \"d\": Precondition failed: UID in precondition: 1, UID in \
         object meta: {uid}"
    );
    assert_eq!((refused.code, refused.message()), (409, message));
    assert_eq!(server.get(&format!("{path}/d")).await.json()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn names_that_no_key_takes_are_the_clients_mistake() {
    let server = server().await;
    let (events, roles) = ("/api/v1/namespaces/default/events", "/apis/rbac.authorization.k8s.io/v1/clusterroles");
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let event = |metadata: &str| format!(r#"{{"metadata":{metadata},"involvedObject":{{"namespace":"default"}}}}"#);
    let told = |field: &str| format!("metadata.{field}: Invalid value: \"a\\nb\": may not contain control characters");
    let check = async |method: &str, path: &str, body: &str, code: u16, message: &str| {
        let patch = if method == "PATCH" { "application/apply-patch+yaml" } else { "application/json" };
        let answer = server.call_with(method, path, &[("content-type", patch)], body.to_owned()).await;
        assert_eq!(answer.code, code, "{method} {path} {body}: {}", answer.text());
        assert!(answer.message().contains(message), "{method} {path} {body}: {}", answer.text());
    };
    let named = r#"{"name":"a\nb"}"#;
    check("POST", events, &event(named), 422, &told("name")).await;
    check("POST", &format!("{events}?dryRun=All"), &event(named), 422, &told("name")).await;
    check("POST", events, &event(r#"{"generateName":"a\nb"}"#), 422, &told("generateName")).await;
    check("PUT", &format!("{events}/a%0Ab"), &event(named), 422, &told("name")).await;
    check("POST", budgets, &format!(r#"{{"metadata":{named},"spec":{{}}}}"#), 422, &told("name")).await;
    check("POST", roles, &format!(r#"{{"metadata":{named}}}"#), 422, &told("name")).await;
    let role = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"a\nb"}}"#;
    check("PATCH", &format!("{roles}/a%0Ab?fieldManager=x"), role, 422, &told("name")).await;
    check("POST", requests, &format!(r#"{{"metadata":{named},"spec":{{}}}}"#), 422, &told("name")).await;
    // There is nothing of such a name.
    let missing = r#"events "a\nb" not found"#;
    for method in ["GET", "DELETE"] {
        check(method, &format!("{events}/a%0Ab"), "", 404, missing).await;
    }
    let answer = server
        .call_with("PATCH", &format!("{events}/a%0Ab"), &[("content-type", "application/merge-patch+json")], "{}")
        .await;
    assert_eq!((answer.code, answer.message().as_str()), (404, missing));
    for path in [events.to_owned(), "/api/v1/namespaces/a%0Ab/events".to_owned()] {
        let answer = server.get(&path).await;
        assert_eq!((answer.code, answer.json()["items"].as_array().map(Vec::len)), (200, Some(0)), "{path}");
    }
}

#[tokio::test]
async fn versions_that_were_served_once_are_told_from_those_that_never_were() {
    let server = server().await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = |version: &str| serde_json::json!({"apiVersion": version, "kind": "PodDisruptionBudget", "metadata": {"name": "a"}, "spec": {"minAvailable": 1}});
    let check = async |version: &str, code: u16, message: &str| {
        let answer = server.call("POST", budgets, &budget(version).to_string()).await;
        assert_eq!((answer.code, answer.message().as_str()), (code, message), "{version}");
    };
    let old = "the API version in the data (policy/v1beta1) does not match the expected API version (policy/v1)";
    check("policy/v1beta1", 400, old).await;
    let never = "PodDisruptionBudget in version \"v9\" cannot be handled as a PodDisruptionBudget: no kind \"PodDisruptionBudget\" is registered for version \"policy/v9\" in scheme \"pkg/runtime/scheme.go:111\"";
    check("policy/v9", 400, never).await;
    check("policy/v1", 201, "").await;
    let patched = async |form: &str, patch: &str, version: &str, code: u16| {
        let headers = [("content-type", form)];
        let answer =
            server.call_with("PATCH", &format!("{budgets}/a"), &headers, patch.replace("VERSION", version)).await;
        assert_eq!(answer.code, code, "{patch} {version}: {}", answer.text());
        if code == 200 {
            assert_eq!(answer.json()["apiVersion"], "policy/v1");
        }
    };
    let merge = ("application/merge-patch+json", r#"{"apiVersion":"VERSION"}"#);
    let replace = ("application/json-patch+json", r#"[{"op":"replace","path":"/apiVersion","value":"VERSION"}]"#);
    for (form, patch) in [merge, replace] {
        patched(form, patch, "policy/v1beta1", 200).await;
        patched(form, patch, "policy/v9", 422).await;
    }
}
