//! Whole requests: paths, queries, headers and bodies, to a server that is guarded as a cluster's is.

use crate::corpus::{OBJECTS, REQUESTS};
use crate::input::{Input, bend, bent, garble, pick, several};
use crate::target::{Bound, Target, Verdict};
use crate::world::{Answer, STRATEGIC, World};
use http::{Method, Request};
use sampan_api::percent;
use sampan_testing::Dice;
use serde_json::{Value, json};

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "get"];

/// Paths besides those of recorded requests.
const PATHS: &[&str] = &[
    "/",
    "/api",
    "/apis",
    "/api/v1",
    "/apis/apps/v1",
    "/version",
    "/healthz",
    "/readyz",
    "/livez/ping",
    "/metrics",
    "/openapi/v3",
    "/openapi/v3/api/v1",
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
    "/logs",
    "/debug/pprof",
    "/api/v1/watch/pods",
    "/api/v1/namespaces/default/pods/a/log",
    "/api/v1/namespaces/default/pods/a/exec",
    "/api/v1/namespaces/default/pods/a/proxy/x",
    "/api/v1/namespaces/default/services/https:a:b/proxy/",
    "/api/v1/namespaces/default/configmaps",
    "/api/v1/namespaces/default/configmaps/c1",
    "/api/v1/namespaces/kube-system",
    "/api/v1/namespaces/default/finalize",
    "/api/v1/namespaces/default/serviceaccounts/default/token",
    "/apis/apps/v1/namespaces/default/deployments/a/scale",
    "/api/v1/nodes/n/proxy",
    "/api/v1/componentstatuses",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/history.sampan.dev/v1alpha1/changes",
];

/// Pieces that a path may be changed by.
const PIECES: &[&str] = &[
    "/", "//", "%2F", "%2e%2e", "..", ".", "%00", "%zz", "%", "watch/", "status", "/log", "~", "é", ":", ";", "*", "a",
];

const PARAMETERS: &[&str] = &[
    "limit",
    "continue",
    "fieldSelector",
    "labelSelector",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "pretty",
    "dryRun",
    "fieldManager",
    "fieldValidation",
    "force",
    "includeObject",
    "sendInitialEvents",
    "allowWatchBookmarks",
    "propagationPolicy",
    "gracePeriodSeconds",
    "orphanDependents",
    "timeout",
    "history",
    "watch",
    "container",
    "since",
];

const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "true",
    "false",
    "All",
    "Strict",
    "Exact",
    "NotOlderThan",
    "Object",
    "None",
    "Metadata",
    "Background",
    "a=b",
    "a in (b",
    "metadata.name=a",
    "metadata.name!=c1",
    "spec.nodeName=x,status.phase=y",
    "18446744073709551615",
    "9223372036854775808",
    "1s",
    "-1h",
    "99999999999999h",
    "é",
    "a b",
    "0x10",
    "1e3",
    "[]",
    "{}",
    "3",
];

const ACCEPTS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "*/*",
    "text/html",
    "",
    "application/json;as=Table;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io",
    "application/json;q=0, */*;q=0.1",
    "application/cbor",
    ";;;",
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
];

const TYPES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json-patch+json",
    "application/merge-patch+json",
    STRATEGIC,
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
    "text/plain",
    "application/json; charset=utf-8",
    "",
    "APPLICATION/JSON",
];

/// Names a header may have.
const HEADERS: &[&str] = &[
    "impersonate-user",
    "impersonate-group",
    "impersonate-extra-a%2fb",
    "impersonate-uid",
    "if-none-match",
    "accept-encoding",
    "audit-id",
    "user-agent",
    "kubectl-command",
    "connection",
    "upgrade",
    "sec-websocket-protocol",
    "authorization",
    "x-stream-protocol-version",
    "origin",
    "host",
    "content-encoding",
    "range",
];

const HEADER_VALUES: &[&str] = &[
    "a",
    "system:masters",
    "gzip",
    "websocket",
    "Upgrade",
    "SPDY/3.1",
    "v4.channel.k8s.io",
    "Bearer x",
    "Bearer  admin",
    "Bearer admin",
    "Basic YTpi",
    "base64url.bearer.authorization.k8s.io.YWRtaW4",
    "",
    "\t",
    "*",
    "\"x\"",
    "bytes=0-1",
];

fn query(dice: &mut Dice, pages: &[String]) -> String {
    let pairs = (0..dice.roll(4)).map(|_| {
        let name = *pick(dice, PARAMETERS);
        let value = if name == "continue" && !pages.is_empty() {
            let mut page = pick(dice, pages).clone().into_bytes();
            if dice.one_in(2) {
                garble(dice, &mut page);
            }
            String::from_utf8_lossy(&page[..page.len().min(4096)]).into_owned()
        } else {
            (*pick(dice, VALUES)).to_owned()
        };
        format!("{name}={}", percent::encode(&value))
    });
    let pairs: Vec<String> = pairs.collect();
    let odd = if dice.one_in(10) { *pick(dice, &["&", "&&=", "&=x", ";a=b", "&%zz=1", "&a=%ff", "?"]) } else { "" };
    if pairs.is_empty() && odd.is_empty() { String::new() } else { format!("?{}{odd}", pairs.join("&")) }
}

fn path(dice: &mut Dice) -> String {
    let recorded = pick(dice, &REQUESTS)["path"].as_str().unwrap_or("/");
    let recorded = recorded.split('?').next().unwrap_or(recorded);
    let mut path = if dice.one_in(2) { recorded.to_owned() } else { (*pick(dice, PATHS)).to_owned() };
    if dice.one_in(3) {
        let places: Vec<usize> = path.match_indices('/').map(|(at, _)| at).chain([path.len()]).collect();
        path.insert_str(*pick(dice, &places), &percent_free(&several(dice, 3, PIECES)));
    }
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// What a URI may hold as it is.
fn percent_free(text: &str) -> String {
    text.chars().map(|one| if one.is_ascii() { one.to_string() } else { percent::encode(&one.to_string()) }).collect()
}

/// `METHOD path`, headers a line each, and the body.
fn as_input(method: &str, path: &str, headers: &[(String, String)], body: Vec<u8>) -> Input {
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    Input(vec![format!("{method} {path}").into_bytes(), headers.join("\n").into_bytes(), body])
}

/// `None`: it could not come over a socket.
fn request(input: &Input) -> Option<Request<Vec<u8>>> {
    let line = input.text(0);
    let (method, uri) = line.split_once(' ')?;
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).ok()?).uri(uri);
    for line in input.text(1).lines() {
        let (name, value) = line.split_once(':')?;
        request = request.header(name, value.trim());
    }
    request.body(input.part(2).to_vec()).ok()
}

/// Every refusal is a Status, which says the code that it came with.
fn is_told(answer: &Answer) -> Verdict {
    if answer.code < 400 {
        return Verdict::Taken;
    }
    if let Some(status) = answer.json().filter(|status| status["kind"] == "Status") {
        assert_eq!(status["code"], answer.code, "{status}");
        assert_ne!(status["message"], "", "{status}");
    }
    Verdict::Refused
}

const OF_REQUESTS: Bound = Bound { held: 64 << 20, held_a_byte: 4_000, turnover: 12 };

/// ConfigMaps, and the tokens by which their list goes on.
fn pages(world: &World) -> Vec<String> {
    let maps = "/api/v1/namespaces/default/configmaps";
    for at in 0..4 {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{at}")}, "data": {"k": "v"}});
        let request = Request::post(maps).header("content-type", "application/json").body(map.to_string().into_bytes());
        assert_eq!(world.send(request.expect("a request")).code, 201);
    }
    let page = |limit: u64| {
        let request = Request::get(format!("{maps}?limit={limit}")).body(Vec::new()).expect("a request");
        let list = world.send(request).json().expect("a list");
        list["metadata"]["continue"].as_str().expect("more follows").to_owned()
    };
    vec![page(1), page(2)]
}

/// Paths, queries and headers, with bodies of any kind.
pub fn router() {
    let world = World::start();
    let pages = pages(&world);
    let target = Target {
        name: "router",
        cases: 1_200,
        input: &|dice| {
            let method = if dice.one_in(2) { "GET" } else { pick(dice, METHODS) };
            let mut headers = vec![("accept".to_owned(), (*pick(dice, ACCEPTS)).to_owned())];
            if method != "GET" {
                headers.push(("content-type".to_owned(), (*pick(dice, TYPES)).to_owned()));
            }
            for _ in 0..dice.roll(2) {
                headers.push(((*pick(dice, HEADERS)).to_owned(), (*pick(dice, HEADER_VALUES)).to_owned()));
            }
            let body = if method == "GET" { Vec::new() } else { pick(dice, &OBJECTS).to_string().into_bytes() };
            let path = path(dice) + &query(dice, &pages);
            as_input(method, &path, &headers, body)
        },
        read: &|input| request(input).map_or(Verdict::Refused, |request| is_told(&world.send(request))),
        bound: OF_REQUESTS,
    };
    target.check();
}

/// Recorded requests, their bodies changed: what decoding, patches, defaults, admission, strategies and validation make of
/// any object.
pub fn bodies() {
    let world = World::start();
    // What is changed and replaced must be there.
    let made = REQUESTS.iter().filter(|request| request["method"] == "POST");
    for request in made.filter(|request| !request["path"].as_str().unwrap_or_default().contains("dryRun")) {
        let input = of_recorded(request, request["body"].to_string().into_bytes());
        world.send(self::request(&input).expect("a recorded request"));
    }
    let target = Target {
        name: "bodies",
        cases: 4_000,
        input: &|dice| {
            let request = pick(dice, &REQUESTS);
            let (mut body, other) = (request["body"].clone(), pick(dice, &OBJECTS));
            let text = if dice.one_in(5) {
                bent(dice, body, other)
            } else {
                bend(dice, &mut body, other);
                body.to_string().into_bytes()
            };
            of_recorded(request, text)
        },
        read: &|input| request(input).map_or(Verdict::Refused, |request| is_told(&world.send(request))),
        bound: OF_REQUESTS,
    };
    target.check();
}

/// A recorded request with another body.
fn of_recorded(request: &Value, body: Vec<u8>) -> Input {
    let (method, path) = (request["method"].as_str().unwrap_or("POST"), request["path"].as_str().unwrap_or("/"));
    let headers: Vec<(String, String)> = match &request["headers"] {
        Value::Object(map) => {
            map.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned())).collect()
        }
        _ => vec![("content-type".to_owned(), "application/json".to_owned())],
    };
    as_input(method, path, &headers, body)
}
