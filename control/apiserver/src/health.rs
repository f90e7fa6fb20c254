//! `/healthz`, `/livez`, `/readyz`: checks by name, as `k8s.io/apiserver` shows them.

use crate::body::Body;
use crate::query::Query;
use crate::respond::{TEXT, bytes, page_not_found};
use futures::future::BoxFuture;
use http::{HeaderValue, Response};
use std::fmt::Write as _;
use std::sync::Arc;

/// One thing that must be well.
pub trait Check: Send + Sync + 'static {
    /// As it stands in the list: `etcd`, `informer-sync`.
    fn name(&self) -> &str;
    /// Whether a failure means that the process is to be replaced (livez too), or only that it is to be waited for.
    fn is_for_life(&self) -> bool {
        false
    }
    /// `Err`: what is wrong, for the log; the answer withholds it.
    fn check(&self) -> BoxFuture<'_, Result<(), String>>;
}

pub(crate) async fn serve(checks: &[Arc<dyn Check>], stopping: bool, path: &str, query: &Query<'_>) -> Response<Body> {
    let mut parts = path.trim_matches('/').splitn(2, '/');
    let (endpoint, one) = (parts.next().unwrap_or(""), parts.next());
    let shutting_down = endpoint == "readyz" && stopping;
    let mut results: Vec<(&str, Result<(), String>)> = vec![("ping", Ok(()))];
    for check in checks {
        if endpoint == "readyz" || check.is_for_life() {
            results.push((check.name(), check.check().await));
        }
    }
    if endpoint == "readyz" {
        let result = if shutting_down { Err("process is shutting down".to_owned()) } else { Ok(()) };
        results.push(("shutdown", result));
    }
    if let Some(one) = one {
        let Some((_, result)) = results.into_iter().find(|(name, _)| *name == one) else { return page_not_found() };
        return match result {
            Ok(()) => text(200, "ok".to_owned()),
            Err(error) => text(500, format!("internal server error: {error}\n")),
        };
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    let mut lines = String::new();
    let mut failed = false;
    for (name, result) in &results {
        let line = match result {
            _ if excluded.contains(name) => format!("[+]{name} excluded: ok\n"),
            Ok(()) => format!("[+]{name} ok\n"),
            Err(error) => {
                tracing::warn!(check = name, error, "not well");
                failed = true;
                format!("[-]{name} failed: reason withheld\n")
            }
        };
        // Writing to a String cannot fail.
        write!(lines, "{line}").unwrap_or_default();
    }
    if failed {
        return text(500, format!("{lines}{endpoint} check failed\n"));
    }
    if query.has("verbose") {
        return text(200, format!("{lines}{endpoint} check passed\n"));
    }
    text(200, "ok".to_owned())
}

fn text(code: u16, text: String) -> Response<Body> {
    let mut response = bytes(code, TEXT, text);
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
