//! Paths that name no resource: health, version, metrics, discovery, OpenAPI, and what others plug in.

use crate::body::Body;
use crate::chain::Next;
use crate::core::Core;
use crate::discovery;
use crate::exchange::Exchange;
use crate::health;
use crate::negotiate::{Output, error_output};
use crate::query::Query;
use crate::respond;
use http::request::Parts;
use http::{Method, Request, Response};
use sampan_api::Status;
use serde_json::{Value, json};

pub(crate) async fn serve(core: &Core, parts: Parts, body: Body, exchange: &Exchange) -> Response<Body> {
    let path = exchange.info.path();
    if let Some((_, service)) = core.routes.iter().find(|(prefix, _)| is_under(path, prefix)) {
        return Next::of(service.clone()).run(Request::from_parts(parts, body)).await;
    }
    let output = error_output(&parts.headers, parts.uri.query());
    match answer(core, &parts, path, output).await {
        Ok(response) => response,
        Err(status) => respond::status(&status, output),
    }
}

fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn answer(core: &Core, parts: &Parts, path: &str, output: Output) -> Result<Response<Body>, Status> {
    let query = Query::parse(parts.uri.query());
    if ["/healthz", "/livez", "/readyz"].iter().any(|one| is_under(path, one)) {
        return Ok(health::serve(core, path, &query).await);
    }
    match path.trim_end_matches('/') {
        "/version" => {
            only_get(parts)?;
            Ok(respond::object(200, Output { pretty: true, ..output }, None, &version(&core.version)))
        }
        "/metrics" => {
            Ok(respond::bytes(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", core.metrics.text()))
        }
        "" => Ok(respond::object(200, Output { pretty: true, ..output }, None, &json!({ "paths": paths(core) }))),
        _ if is_under(path, "/openapi") || is_under(path, "/api") || is_under(path, "/apis") => {
            discovery::serve(core, parts, path)
        }
        _ => Ok(respond::page_not_found()),
    }
}

fn only_get(parts: &Parts) -> Result<(), Status> {
    if matches!(parts.method, Method::GET | Method::HEAD) { Ok(()) } else { Err(respond::method_not_allowed()) }
}

/// What clients read of a version: they compare major and minor, and show the rest.
fn version(version: &str) -> Value {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or(""), numbers.next().unwrap_or(""));
    let previous: u32 = minor.parse::<u32>().unwrap_or(1).saturating_sub(1);
    json!({
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": previous.to_string(),
        "gitVersion": version,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, go_arch()),
    })
}

/// The architecture as Go, and so every Kubernetes client, names it.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The paths that are served, for those who look around.
fn paths(core: &Core) -> Vec<String> {
    let mut paths: Vec<String> =
        ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version"]
            .map(str::to_owned)
            .into();
    for row in core.registry.table().iter() {
        let gv = row.gvr().base_path();
        if let Some((group, _)) = gv.rsplit_once('/') {
            paths.push(group.to_owned());
        }
        paths.push(gv);
    }
    paths.extend(core.routes.iter().map(|(prefix, _)| prefix.clone()));
    paths.sort();
    paths.dedup();
    paths
}
