//! Of several things that are wrong with a request Kubernetes tells one: the first that it looks at.

mod support;

use support::{CONFIG_MAPS, config_map, server};

#[tokio::test]
async fn what_is_wrong_is_told_in_kubernetes_order() {
    let server = server().await;
    server.create(CONFIG_MAPS, &config_map("a")).await;
    let check = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str, code: u16, message: &str| {
        let answer = server.call_with(method, path, headers, body.to_owned()).await;
        assert_eq!(answer.code, code, "{method} {path} {body}: {}", answer.text());
        assert!(answer.message().contains(message), "{method} {path} {body}: {}", answer.message());
    };
    // The method before the form of the answer, and that before the body and what is there.
    let foreign = [("accept", "application/*"), ("content-type", "application/json")];
    check("PUT", CONFIG_MAPS, &foreign, "{}", 405, "does not allow this method").await;
    let foo = [("accept", "application/json;as=Foo;v=v1;g=meta.k8s.io"), ("content-type", "application/json")];
    let scale = "/apis/apps/v1/namespaces/default/statefulsets/none/scale";
    for (method, body) in [("PUT", "x"), ("GET", "")] {
        check(method, scale, &foo, body, 406, "only the following media types are accepted").await;
    }
    // The fields of a selection before the options of a deletion.
    let unknown = format!("{CONFIG_MAPS}?fieldSelector=spec.foo%3D1&dryRun=None");
    check("DELETE", &unknown, &[], "", 400, "\"spec.foo\" is not a known field selector").await;
    check("DELETE", &format!("{CONFIG_MAPS}?dryRun=None"), &[], "", 422, "dryRun: Unsupported value").await;
    // Kinds outside namespaces that are selected by fields of their own know no field of namespaces.
    let text = "field label not supported: metadata.namespace";
    check("GET", "/api/v1/nodes?fieldSelector=metadata.namespace%3Da", &[], "", 400, text).await;
    check("GET", "/api/v1/persistentvolumes?fieldSelector=metadata.namespace%3Da", &[], "", 200, "").await;
    check("GET", "/api/v1/pods?fieldSelector=metadata.namespace%3Da", &[], "", 200, "").await;
    // What a patch makes is no object.
    let operations = [("content-type", "application/json-patch+json")];
    let replaced = |value: &str| format!("[{{\"op\":\"replace\",\"path\":\"\",\"value\":{value}}}]");
    let at = format!("{CONFIG_MAPS}/a");
    let no_object =
        "patch: Invalid value: \"[]\": couldn't get version/kind; json parse error: json: cannot unmarshal array";
    check("PATCH", &at, &operations, &replaced("[]"), 422, no_object).await;
    for scalar in ["5", "null", "\"x\""] {
        let text = "the server rejected our request due to an error in our request";
        check("PATCH", &at, &operations, &replaced(scalar), 422, text).await;
    }
    // The converter of merges reads the fields of types with readers of their own.
    let merge = [("content-type", "application/strategic-merge-patch+json")];
    let text = "\"map[binaryData:map[a:!!!]]\": error decoding from json: illegal base64 data at input byte 0";
    check("PATCH", &at, &merge, r#"{"binaryData":{"a":"!!!"}}"#, 422, text).await;
}
