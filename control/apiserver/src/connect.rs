//! Streams to nodes: this room knows which node and what to ask it, somebody else how to reach it.

use crate::ask::Ask;
use crate::body::{self, Body};
use crate::limits::CONTAINERS_IN_MESSAGE_MAX;
use crate::options;
use crate::query::Query;
use crate::respond;
use async_trait::async_trait;
use http::{HeaderValue, Request, Response, StatusCode};
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::time::{Fraction, UnixTime};
use sampan_api::{GroupKind, Object, Status, percent};
use sampan_registry::options::GetOptions;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// The code of a subresource that is a stream. It is reached only by those who may do the request's verb to it.
#[async_trait]
pub trait Stream: Send + Sync + 'static {
    async fn connect(&self, ask: &Ask) -> Result<Response<Body>, Status>;
}

/// The streams by the names that rows use.
pub type Streams = HashMap<String, Arc<dyn Stream>>;

/// The streams that this room binds by itself.
pub(crate) fn builtin() -> Streams {
    let mut all: Streams = HashMap::from([("log".to_owned(), Arc::new(Log) as Arc<dyn Stream>)]);
    all.extend(["attach", "exec", "portforward", "proxy"].map(|name| {
        let stream: Arc<dyn Stream> = Arc::new(NotServed);
        (name.to_owned(), stream)
    }));
    all
}

/// A stream that the API has and nobody serves yet: says so.
struct NotServed;

#[async_trait]
impl Stream for NotServed {
    async fn connect(&self, ask: &Ask) -> Result<Response<Body>, Status> {
        Err(respond::not_served(&format!("{}/{}", ask.row().resource, ask.subresource())))
    }
}

struct Log;

#[async_trait]
impl Stream for Log {
    async fn connect(&self, ask: &Ask) -> Result<Response<Body>, Status> {
        log(ask).await
    }
}

/// Query parameters of a log that the node is asked with, as they are.
const LOG_OPTIONS: [&str; 7] =
    ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes"];

async fn log(ask: &Ask) -> Result<Response<Body>, Status> {
    check_log_options(ask)?;
    let record = ask
        .registry()
        .get(ask.row(), ask.namespace(), ask.name(), &GetOptions::default())
        .await
        .map_err(Status::from)?;
    let object = record.object();
    let query = ask.query();
    let container = container(&object, query.get("container").unwrap_or(""))?;
    let Some(node) = object.get_str(&["spec", "nodeName"]).filter(|node| !node.is_empty()) else {
        // A pod without a node has written nothing yet.
        return Ok(respond::bytes(200, "text/plain", &b""[..]));
    };
    let mut path = format!("/containerLogs/{}/{}/{container}", ask.namespace(), ask.name());
    let mut separator = '?';
    for name in LOG_OPTIONS {
        if let Some(value) = query.get(name) {
            // Writing to a String cannot fail.
            write!(path, "{separator}{name}={}", percent::encode(value)).unwrap_or_default();
            separator = '&';
        }
    }
    let service = match ask.core.nodes.connect(node).await {
        Ok(service) => service,
        Err(status) => return Err(unreachable_node(ask, node, status).await),
    };
    let request = Request::get(path)
        .body(body::empty())
        .map_err(|error| Status::bad_request(format!("the log cannot be asked for: {error}")))?;
    let response = crate::chain::call(service, request).await;
    if response.status().is_success() {
        let (parts, body) = response.into_parts();
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::OK;
        let content_type = parts.headers.get(http::header::CONTENT_TYPE).cloned();
        let content_type = content_type.unwrap_or(HeaderValue::from_static("text/plain"));
        response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
        return Ok(response);
    }
    Err(refused_by_node(ask, response).await)
}

/// The Status for a node that cannot be reached: of one that there is not, that it was not found. Go names the pod's resource.
async fn unreachable_node(ask: &Ask, node: &str, status: Status) -> Status {
    let table = ask.registry().table();
    let Some(row) = table.lookup("", "v1", "nodes").cloned() else { return status };
    match ask.registry().get(&row, "", node, &GetOptions::default()).await {
        Err(sampan_registry::Error::NotFound { .. }) => Status::not_found(&ask.row().group_resource(), node),
        _ => status,
    }
}

/// The Status for a node's answer that is no log (k8s.io/apiserver's GenericHttpResponseChecker). Redirects are not
/// followed: they are refusals like any other.
async fn refused_by_node(ask: &Ask, response: Response<Body>) -> Status {
    let code = response.status().as_u16();
    let text = body::read_trusted(response.into_body()).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_end();
    match code {
        400 => Status::bad_request(text),
        404 => Status {
            message: format!("the server could not find the requested resource: {text}"),
            ..Status::not_found(&ask.row().group_resource(), ask.name())
        },
        503 => Status::service_unavailable(text),
        _ => Status::internal(text),
    }
}

/// `ValidatePodLogOptions`, once all parameters could be read.
fn check_log_options(ask: &Ask) -> Result<(), Status> {
    let query = ask.query();
    let errors = log_option_errors(&query)?;
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(&GroupKind::new("", "PodLogOptions"), ask.name(), &errors))
    }
}

/// # Errors
/// 400 for a parameter that cannot be read, in Go's order.
fn log_option_errors(query: &Query<'_>) -> Result<FieldErrors, Status> {
    let since_seconds = options::integer(query, "sinceSeconds")?;
    let since_time = query.get("sinceTime").filter(|text| !text.is_empty());
    if let Some(text) = since_time {
        UnixTime::parse(text, Fraction::Any).map_err(Status::bad_request)?;
    }
    let (tail_lines, limit_bytes) = (options::integer(query, "tailLines")?, options::integer(query, "limitBytes")?);
    let mut errors = FieldErrors::new();
    let mut at_least = |name: &str, number: Option<i64>, least: i64, text: &str| {
        if let Some(number) = number.filter(|number| *number < least) {
            errors.push(FieldError::invalid(&Path::new(name), number, text));
        }
    };
    at_least("tailLines", tail_lines, 0, "must be greater than or equal to 0");
    at_least("limitBytes", limit_bytes, 1, "must be greater than 0");
    if since_time.is_none() {
        at_least("sinceSeconds", since_seconds, 1, "must be greater than 0");
    }
    if since_seconds.is_some() && since_time.is_some() {
        // Go's path has one part, which is empty.
        let path = Path::new("[]");
        errors.push(FieldError::forbidden(&path, "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if query.has("stream") {
        errors.push(FieldError::forbidden(&Path::new("stream"), "may not be specified"));
    }
    Ok(errors)
}

/// The container that is meant: the one named, or the only one.
fn container<'a>(object: &'a Object, wanted: &'a str) -> Result<&'a str, Status> {
    let names = |field: &str| -> Vec<&'a str> {
        let list = object.get(&["spec", field]).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|one| one["name"].as_str()).collect()
    };
    let (containers, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    let name = object.name();
    if !wanted.is_empty() {
        return if containers.iter().chain(&init).chain(&ephemeral).any(|one| *one == wanted) {
            Ok(wanted)
        } else {
            Err(Status::bad_request(format!("container {wanted} is not valid for pod {name}")))
        };
    }
    if let Some(named) = object.annotation("kubectl.kubernetes.io/default-container")
        && containers.contains(&named)
    {
        return Ok(named);
    }
    if let ([only], true, true) = (containers.as_slice(), init.is_empty(), ephemeral.is_empty()) {
        return Ok(only);
    }
    let shown = |names: &[&str]| names.iter().take(CONTAINERS_IN_MESSAGE_MAX).copied().collect::<Vec<_>>().join(" ");
    let mut text = format!("a container name must be specified for pod {name}");
    if !containers.is_empty() {
        write!(text, ", choose one of: [{}]", shown(&containers)).unwrap_or_default();
    }
    if !init.is_empty() {
        write!(text, " or one of the init containers: [{}]", shown(&init)).unwrap_or_default();
    }
    if !ephemeral.is_empty() {
        write!(text, " or one of the ephemeral containers: [{}]", shown(&ephemeral)).unwrap_or_default();
    }
    Err(Status::bad_request(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_of_logs_are_checked_in_the_order_of_kubernetes() {
        let check = |query: &str, expected: Result<&str, &str>| {
            let found = log_option_errors(&Query::parse(Some(query))).map(|errors| errors.to_string());
            let found = found.map_err(|status| status.message);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{query}");
        };
        let time = |text: &str, rest: &str, element: &str| {
            format!(r#"parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{rest}" as "{element}""#)
        };
        check("sinceTime=x", Err(&time("x", "x", "2006")));
        check("sinceTime=2020-01-01", Err(&time("2020-01-01", "", "T")));
        check("sinceSeconds=0&sinceTime=x&stream=Zork", Err(&time("x", "x", "2006")));
        check("sinceSeconds=x&sinceTime=x", Err("strconv.ParseInt: parsing \"x\": invalid syntax"));
        check("tailLines=", Err("strconv.ParseInt: parsing \"\": invalid syntax"));
        check("stream=Stdout", Ok("stream: Forbidden: may not be specified"));
        let both = "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
        check("sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z", Ok(both));
        check("sinceSeconds=0", Ok("sinceSeconds: Invalid value: 0: must be greater than 0"));
        check(
            "tailLines=-1&limitBytes=0",
            Ok(
                "[tailLines: Invalid value: -1: must be greater than or equal to 0, limitBytes: Invalid value: 0: must be greater than 0]",
            ),
        );
        check("sinceTime=&follow=zz", Ok("[]"));
    }

    #[test]
    fn the_container_is_the_one_named_or_the_only_one() {
        let check = |spec: Value, wanted: &str, expected: Result<&str, &str>| {
            let object = Object::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).expect("an object");
            let found = container(&object, wanted);
            assert_eq!(found.as_ref().map(|name| *name).map_err(|status| status.message.as_str()), expected);
        };
        let two = json!({"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]});
        check(json!({"containers": [{"name": "a"}]}), "", Ok("a"));
        check(two.clone(), "i", Ok("i"));
        check(two.clone(), "z", Err("container z is not valid for pod p"));
        check(
            two,
            "",
            Err(
                "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]",
            ),
        );
    }
}
