//! Fixed routes, a router for each: health, metrics, version, the index, and the services of other rooms at their
//! places. Under them stands one fallback: discovery, which the resource table decides. A request that names a resource
//! does not come here: it is dispatched by the reading of its path that authorization saw.

use crate::ApiService;
use crate::Build;
use crate::Route;
use crate::body::{Body, BoxError};
use crate::chain;
use crate::core::Core;
use crate::discovery::openapi::{self, OpenApi};
use crate::discovery::{self, Documents};
use crate::encode;
use crate::exchange::Exchange;
use crate::health::{self, Check};
use crate::negotiate::Output;
use crate::query::Query;
use crate::respond;
use axum::Router;
use axum::routing::{MethodRouter, any, any_service};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use sampan_api::{Status, time};
use serde::Serialize;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;
use tower::ServiceExt;

type AxumRequest = axum::extract::Request;
type AxumResponse = axum::response::Response;

/// The server's router: one of each kind of fixed routes, and the fallback.
pub(crate) fn router(core: &Arc<Core>, checks: Vec<Arc<dyn Check>>, routes: Vec<Route>) -> Router {
    let prefixes: Arc<[String]> = routes.iter().map(|route| route.prefix.clone()).collect();
    let documents = Arc::new(Documents::default());
    let fallback = handler(core, move |core, parts, path, _| discovered(core, &documents, parts, path));
    Router::new()
        .merge(health_routes(core, checks))
        .merge(at("/metrics", handler(core, |core, _, _, _| Ok(metrics(core)))))
        .merge(at("/version", handler(core, version)))
        .merge(openapi_routes(core))
        .route("/", handler(core, move |core, _, _, output| Ok(index(core, &prefixes, output))))
        .merge(routes.into_iter().fold(Router::new(), |all, route| all.merge(elsewhere(route))))
        .fallback_service(fallback)
}

/// Answers a request that names no resource.
pub(crate) async fn serve(router: &Router, request: Request<Body>) -> Response<Body> {
    match router.clone().oneshot(request.map(axum::body::Body::new)).await {
        Ok(response) => response.map(|body| body.map_err(BoxError::from).boxed_unsync()),
        Err(never) => match never {},
    }
}

/// A path, with or without a slash at its end.
fn at(path: &str, answer: MethodRouter) -> Router {
    Router::new().route(path, answer.clone()).route(&format!("{path}/"), answer)
}

/// A path and everything below it.
fn under(path: &str, answer: MethodRouter) -> Router {
    at(path, answer.clone()).route(&format!("{path}/{{*rest}}"), answer)
}

/// A route whose errors are answered as a Status in the format that the request asked for.
fn handler(
    core: &Arc<Core>,
    answer: impl Fn(&Core, &Parts, &str, Output) -> Result<Response<Body>, Status> + Clone + Send + Sync + 'static,
) -> MethodRouter {
    let core = core.clone();
    any(move |request: AxumRequest| async move {
        let (parts, _) = request.into_parts();
        let Some(exchange) = parts.extensions.get::<Arc<Exchange>>() else {
            return respond::status(&incomplete(), Output::JSON).map(axum::body::Body::new);
        };
        let output = exchange.refusals;
        let answered = answer(&core, &parts, exchange.info.path(), output);
        answered.unwrap_or_else(|status| respond::status(&status, output)).map(axum::body::Body::new)
    })
}

fn incomplete() -> Status {
    Status::internal("the chain is incomplete")
}

fn health_routes(core: &Arc<Core>, checks: Vec<Arc<dyn Check>>) -> Router {
    let (core, checks): (_, Arc<[Arc<dyn Check>]>) = (core.clone(), checks.into());
    let answer = any(move |request: AxumRequest| async move {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().map(str::to_owned);
        let stopping = core.stopping.is_cancelled();
        health::serve(&checks, stopping, &path, &Query::parse(query.as_deref())).await.map(axum::body::Body::new)
    });
    ["/healthz", "/livez", "/readyz"]
        .into_iter()
        .fold(Router::new(), |all, path| all.merge(under(path, answer.clone())))
}

fn openapi_routes(core: &Arc<Core>) -> Router {
    let (core, documents) = (core.clone(), Arc::new(OpenApi::default()));
    let answer = any(move |request: AxumRequest| async move {
        let (parts, _) = request.into_parts();
        let Some(exchange) = parts.extensions.get::<Arc<Exchange>>().cloned() else {
            return respond::status(&incomplete(), Output::JSON).map(axum::body::Body::new);
        };
        let answered = openapi::serve(&documents, &core, &parts, &exchange).await;
        answered.unwrap_or_else(|status| respond::status(&status, exchange.refusals)).map(axum::body::Body::new)
    });
    under("/openapi", answer)
}

/// Another room's service, which sees the whole path.
fn elsewhere(route: Route) -> Router {
    let Route { prefix, service } = route;
    under(&prefix, any_service(tower::service_fn(move |request| forward(service.clone(), request))))
}

async fn forward(service: ApiService, request: AxumRequest) -> Result<AxumResponse, Infallible> {
    let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
    Ok(chain::call(service, request).await.map(axum::body::Body::new))
}

fn discovered(core: &Core, documents: &Documents, parts: &Parts, path: &str) -> Result<Response<Body>, Status> {
    let is_under =
        |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if ["/api", "/apis"].into_iter().any(is_under) {
        discovery::serve(documents, core, parts, path)
    } else {
        Ok(respond::page_not_found())
    }
}

fn metrics(core: &Core) -> Response<Body> {
    respond::bytes(200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", core.metrics.text())
}

fn index(core: &Core, prefixes: &[String], output: Output) -> Response<Body> {
    respond::object(200, Output { pretty: true, ..output }, None, &json!({ "paths": paths(core, prefixes) }))
}

/// `/version`: clients compare major and minor, and show the rest. It is JSON, whatever was asked for.
fn version(core: &Core, parts: &Parts, _: &str, output: Output) -> Result<Response<Body>, Status> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(respond::method_not_allowed());
    }
    let version = Version::of(&core.version, &core.build);
    let (content_type, encoded) = encode::ordered(Output { pretty: true, ..output }, &version);
    Ok(respond::bytes(200, content_type, encoded))
}

/// `version.Info` of k8s.io/apimachinery, its members in their order there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version<'a> {
    major: &'a str,
    minor: &'a str,
    emulation_major: &'a str,
    emulation_minor: &'a str,
    min_compatibility_major: &'a str,
    min_compatibility_minor: String,
    git_version: &'a str,
    git_commit: &'a str,
    /// A build is not told whether somebody has changed its sources.
    git_tree_state: &'a str,
    build_date: String,
    /// There is no Go in it.
    go_version: &'a str,
    compiler: &'a str,
    platform: String,
}

impl<'a> Version<'a> {
    fn of(version: &'a str, build: &'a Build) -> Self {
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or(""), numbers.next().unwrap_or(""));
        let previous: u32 = minor.parse::<u32>().unwrap_or(1).saturating_sub(1);
        Self {
            major,
            minor,
            emulation_major: major,
            emulation_minor: minor,
            min_compatibility_major: major,
            min_compatibility_minor: previous.to_string(),
            git_version: version,
            git_commit: &build.commit,
            git_tree_state: "",
            // Kubernetes' word for a time that it was not told, too.
            build_date: time::rfc3339(build.date.unwrap_or(SystemTime::UNIX_EPOCH)),
            go_version: "",
            compiler: "rustc",
            platform: format!("{}/{}", std::env::consts::OS, go_arch()),
        }
    }
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
fn paths(core: &Core, prefixes: &[String]) -> Vec<String> {
    let mut paths: Vec<String> =
        ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
            .map(str::to_owned)
            .into();
    for row in core.registry.table().announced().iter() {
        let gv = row.gvr().base_path();
        if let Some((group, _)) = gv.rsplit_once('/') {
            paths.push(group.to_owned());
        }
        paths.push(gv);
    }
    paths.extend(prefixes.iter().cloned());
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_version_has_its_members_in_kubernetes_order() {
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let build = Build { commit: "0123456789ab".to_owned(), date: Some(date) };
        let text = serde_json::to_string(&Version::of("v1.35.0+sampan", &build)).expect("JSON");
        let platform = format!("{}/{}", std::env::consts::OS, go_arch());
        let expected = [
            r#"{"major":"1","minor":"35","emulationMajor":"1","emulationMinor":"35","minCompatibilityMajor":"1","#,
            r#""minCompatibilityMinor":"34","gitVersion":"v1.35.0+sampan","gitCommit":"0123456789ab","gitTreeState":"","#,
            r#""buildDate":"2023-11-14T22:13:20Z","goVersion":"","compiler":"rustc","platform":""#,
        ];
        assert_eq!(text, format!("{}{platform}\"}}", expected.concat()));
        assert_eq!(Version::of("v1.35.0", &Build::default()).build_date, "1970-01-01T00:00:00Z");
    }
}
