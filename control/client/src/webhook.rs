//! The one client of webhooks: posts a JSON body to a URL or a Service, checks the certificate against the configured bundle
//! (without one, the authorities of the system),
//! follows no redirect, and bounds the time and the answer.

use crate::body::collect;
use crate::error::Error;
use crate::remote::Remote;
use crate::tls::{CertificateAuthority, Credentials, RemoteConfig};
use crate::{Client, limits, roots, service};
use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use parking_lot::Mutex;
use sampan_api::webhook::{CallError, WebhookCaller};
use sampan_env::{Env, Tasks};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Calls webhooks, over connections that it keeps.
pub struct WebhookClient {
    /// Reads the Services that webhooks are behind.
    client: Client,
    env: Env,
    tasks: Tasks,
    remotes: Mutex<HashMap<RemoteKey, Arc<Remote>>>,
}

/// A server, the name that its certificate must have, and the bundle that it is checked against.
type RemoteKey = (String, Option<String>, Vec<u8>);

/// Where a webhook is.
struct Endpoint {
    server: String,
    /// The server as errors name it: of a Service not where it is, but its name.
    shown: String,
    tls_server_name: Option<String>,
    /// With the query.
    path: String,
}

impl Endpoint {
    /// An error of the question, as Go's client names its method and URL.
    fn told(&self, why: &str) -> String {
        format!("Post \"{}{}\": {why}", self.shown, self.path)
    }

    /// What happened, without the layers around it and in the words of Go's client where it has some.
    fn cause(&self, error: Error) -> String {
        let (Error::Connect { source, .. } | Error::Transport(source)) = error else { return error.to_string() };
        let is_refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        if source.downcast_ref::<std::io::Error>().is_some_and(is_refused) {
            // What was dialled, as Go's client tells it.
            let address = self.server.parse::<Uri>().ok().and_then(|uri| {
                let port = uri.port_u16().map_or(DEFAULT_PORT, u64::from);
                Some(format!("{}:{port}", uri.host()?))
            });
            return format!("dial tcp {}: connect: {source}", address.unwrap_or_default());
        }
        if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) = source.downcast_ref()
        {
            return "tls: failed to verify certificate: x509: certificate signed by unknown authority".into();
        }
        source.to_string()
    }
}

const DEFAULT_PORT: u64 = 443;

#[async_trait]
impl WebhookCaller for WebhookClient {
    async fn call(&self, config: &Value, body: Bytes, timeout: Duration) -> Result<Bytes, CallError> {
        self.post(config, body, timeout).await.map_err(CallError)
    }
}

impl WebhookClient {
    /// `client` reads Services; `tasks` own the connections.
    pub fn new(client: Client, tasks: &Tasks) -> Self {
        let env = client.env().clone();
        Self { client, env, tasks: tasks.clone(), remotes: Mutex::default() }
    }

    /// Posts `body` to the webhook of a `clientConfig` (`url` or `service`, and `caBundle`), and gives its answer.
    ///
    /// # Errors
    /// What kept it from answering with success in time, as the reference says it where it can be told.
    pub async fn post(&self, config: &Value, body: Bytes, timeout: Duration) -> Result<Bytes, String> {
        let endpoint = self.endpoint(config, timeout).await?;
        let told = |why: String| endpoint.told(&why);
        if config["caBundle"].as_str().is_none_or(str::is_empty) {
            roots::ready().await.map_err(|error| error.to_string())?;
        }
        let remote = self.remote(&endpoint, config)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(endpoint.path.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, */*")
            .header(USER_AGENT, "kube-apiserver-admission")
            .body(body)
            .map_err(|error| told(error.to_string()))?;
        let answer = async {
            let response = remote.send(request).await.map_err(|error| told(endpoint.cause(error)))?;
            let code = response.status();
            let max = if code.is_success() { limits::WEBHOOK_ANSWER_MAX } else { limits::WEBHOOK_REFUSAL_MAX };
            let (head, body) = response.into_parts();
            let body = collect(body, max).await.map_err(|error| match error {
                Error::Transport(source) => unreadable(&*source),
                other => told(endpoint.cause(other)),
            })?;
            if code.is_success() { Ok(body) } else { Err(refusal(code, is_text(&head.headers), &body)) }
        };
        match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(told("context deadline exceeded".into())),
        }
    }

    async fn endpoint(&self, config: &Value, timeout: Duration) -> Result<Endpoint, String> {
        let timed = |path: &str| format!("{path}{}timeout={}s", separator(path), timeout.as_secs());
        if let Some(url) = config["url"].as_str() {
            let uri: Uri = url.parse().map_err(|error| format!("Unparsable webhook URL: {error}"))?;
            let authority = uri.authority().ok_or("Unparsable webhook URL: it names no host")?;
            if uri.scheme_str() != Some("https") {
                return Err("webhook URL must be https".into());
            }
            let mut path = clean(uri.path());
            if let Some(query) = uri.query() {
                path.push('?');
                path.push_str(query);
            }
            let server = format!("https://{authority}");
            return Ok(Endpoint { shown: server.clone(), server, tls_server_name: None, path: timed(&path) });
        }
        let service = &config["service"];
        let text = |name: &str| service[name].as_str().unwrap_or_default();
        let (name, namespace) = (text("name"), text("namespace"));
        if name.is_empty() {
            return Err("webhook configuration must have either service or URL".into());
        }
        let port = service["port"].as_u64().unwrap_or(DEFAULT_PORT);
        let known_as = format!("{name}.{namespace}.svc");
        let shown = format!("https://{known_as}:{port}");
        let path = timed(&clean(text("path")));
        let mut endpoint = Endpoint { server: shown.clone(), shown, tls_server_name: Some(known_as), path };
        let host = service::host(&self.client, namespace, name).await.map_err(|why| endpoint.told(&why))?;
        endpoint.server = format!("https://{host}:{port}");
        Ok(endpoint)
    }

    /// The connections to a webhook; made where there are none yet.
    fn remote(&self, endpoint: &Endpoint, config: &Value) -> Result<Arc<Remote>, String> {
        let bundle = config["caBundle"].as_str().unwrap_or_default();
        let bundle = base64::engine::general_purpose::STANDARD.decode(bundle);
        let bundle = bundle.map_err(|error| format!("unable to load root certificates: {error}"))?;
        let key = (endpoint.server.clone(), endpoint.tls_server_name.clone(), bundle);
        let mut remotes = self.remotes.lock();
        if let Some(known) = remotes.get(&key) {
            return Ok(known.clone());
        }
        let made = RemoteConfig {
            server: endpoint.server.clone(),
            ca: Some(match key.2.is_empty() {
                true => CertificateAuthority::System,
                false => CertificateAuthority::Pem(key.2.clone()),
            }),
            credentials: Credentials::None,
            tls_server_name: endpoint.tls_server_name.clone(),
        };
        let made = Arc::new(Remote::new(made, &self.env, &self.tasks).map_err(|error| error.to_string())?);
        // Webhooks that are no longer called are forgotten with the rest.
        if remotes.len() >= limits::WEBHOOKS_MAX {
            remotes.clear();
        }
        remotes.insert(key, made.clone());
        Ok(made)
    }
}

/// The path as Go's clients send it (`path.Join`): no empty parts, no `.` and `..`, no slash at its end.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn separator(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

/// A body that broke off, in the words of the reference's client.
fn unreadable(source: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = std::iter::successors(Some(source), |error| error.source());
    let ends = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
    };
    let why = if causes.any(ends) { "unexpected EOF".to_owned() } else { source.to_string() };
    format!("unexpected error when reading response body. Please retry. Original error: {why}")
}

/// Whether the body is text that a person may read: what says nothing of itself is.
fn is_text(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|media| media.as_bytes().starts_with(b"text/"))
}

/// A refusal in the words of the reference's client.
fn refusal(code: StatusCode, is_text: bool, body: &[u8]) -> String {
    let text = if is_text { String::from_utf8_lossy(body) } else { "unknown".into() };
    match code.as_u16() {
        404 => "the server could not find the requested resource".into(),
        401 => "the server has asked for the client to provide credentials".into(),
        500.. => format!("an error on the server ({:?}) has prevented the request from succeeding", text.trim()),
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_service_that_was_asked_for() {
        let endpoint = Endpoint {
            server: "https://10.0.0.1:443".into(),
            shown: "https://hook.default.svc:443".into(),
            tls_server_name: Some("hook.default.svc".into()),
            path: "/c?timeout=10s".into(),
        };
        let told = "Post \"https://hook.default.svc:443/c?timeout=10s\": service \"hook\" not found";
        assert_eq!(endpoint.told("service \"hook\" not found"), told);
    }

    #[test]
    fn paths_are_cleaned() {
        let check = |path: &str, expected: &str| assert_eq!(clean(path), expected, "{path}");
        check("", "/");
        check("/validate", "/validate");
        check("//validate/", "/validate");
        check("a/./b/../c", "/a/c");
        check("/../x", "/x");
    }
}
