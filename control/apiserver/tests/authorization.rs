//! Every resource and verb of the table refuses a user without rights, and says who may not do what.

mod support;

use http::Request;
use sampan_registry::Verbs;
use support::server;

fn request_of(verb: &str) -> (&'static str, bool, &'static str) {
    match verb {
        "get" => ("GET", true, ""),
        "list" => ("GET", false, ""),
        "watch" => ("GET", false, "?watch=1"),
        "create" => ("POST", false, ""),
        "update" => ("PUT", true, ""),
        "patch" => ("PATCH", true, ""),
        "delete" => ("DELETE", true, ""),
        "deletecollection" => ("DELETE", false, ""),
        other => panic!("no request for {other}"),
    }
}

#[tokio::test]
async fn a_user_without_rights_is_refused_everywhere() {
    let server = server().await;
    let mut asked = 0;
    for row in server.registry.table().iter() {
        let base = row.gvr().base_path();
        let collection = if row.namespaced {
            format!("{base}/namespaces/default/{}", row.resource)
        } else {
            format!("{base}/{}", row.resource)
        };
        let scope = if row.namespaced { "in the namespace \"default\"" } else { "at the cluster scope" };
        let below =
            row.subresources.iter().map(|one| (format!("{}/{}", row.resource, one.name), Some(&one.name), one.verbs));
        let all = [(row.resource.to_string(), None, row.verbs)].into_iter().chain(below);
        for (shown, subresource, verbs) in all {
            for verb in verbs.names() {
                let (method, named, query) = request_of(verb);
                let mut path = collection.clone();
                if named || subresource.is_some() {
                    path.push_str("/x");
                }
                if let Some(subresource) = subresource {
                    path = format!("{path}/{subresource}");
                }
                path.push_str(query);
                let answer = server.call_with(method, &path, &[("authorization", "Bearer user")], "{}").await;
                let text = format!(
                    "User \"user\" cannot {verb} resource \"{shown}\" in API group \"{}\" {}",
                    row.group,
                    if row.resource == "namespaces" && (named || subresource.is_some()) {
                        "in the namespace \"x\""
                    } else {
                        scope
                    }
                );
                assert_eq!(answer.code, 403, "{method} {path}: {}", answer.text());
                assert!(answer.message().ends_with(&text), "{method} {path}: {} is not {text}", answer.message());
                asked += 1;
            }
        }
    }
    println!("{asked} combinations of resource and verb refused");
    assert!(asked > 400, "the table is there");
    assert!(Verbs::of_name("get").is_some());
}

#[tokio::test]
async fn who_shows_nothing_or_the_wrong_thing_is_not_let_in() {
    let server = server().await;
    let check = async |path: &str, token: Option<&str>, code: u16| {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = server.raw(request.body(sampan_apiserver::body::empty()).expect("a request")).await;
        assert_eq!(response.status().as_u16(), code, "{path} {token:?}");
        assert!(response.headers().contains_key("audit-id"));
    };
    check("/api/v1/namespaces", None, 401).await;
    check("/api/v1/namespaces", Some("nope"), 401).await;
    check("/api/v1/namespaces", Some("user"), 403).await;
    check("/api/v1/namespaces", Some("admin"), 200).await;
    check("/healthz", Some("nope"), 401).await;
    check("/metrics", Some("user"), 403).await;
}

#[tokio::test]
async fn acting_as_another_needs_the_right_to() {
    let server = server().await;
    let list = "/api/v1/namespaces/default/pods";
    let check = async |token: &str, headers: &[(&str, &str)], code: u16, message: &str| {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        let answer = server.call_with("GET", list, &all, "").await;
        assert_eq!(answer.code, code, "{}", answer.text());
        assert_eq!(answer.json()["message"].as_str().unwrap_or(""), message);
    };
    check(
        "admin",
        &[("impersonate-user", "jane")],
        403,
        "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
    )
    .await;
    check("admin", &[("impersonate-user", "jane"), ("impersonate-group", "system:masters")], 200, "").await;
    check("admin", &[("impersonate-user", "")], 200, "").await;
    check(
        "user",
        &[("impersonate-user", "jane")],
        403,
        "users \"jane\" is forbidden: User \"user\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
    )
    .await;
}
