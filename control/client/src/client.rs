use crate::api::Api;
use crate::body::{ApiService, Body, collect, full};
use crate::error::Error;
use crate::remote::Remote;
use crate::tls::RemoteConfig;
use crate::{Result, limits};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use sampan_api::k8s::Resource;
use sampan_api::{GroupVersionResource, Object, Reason, Status, UserInfo, WantRecords, typed};
use sampan_env::{Env, Tasks};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// A client of one API server under one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    user_agent: HeaderValue,
    timeout: Duration,
    env: Env,
}

#[derive(Clone)]
enum Transport {
    InProcess { service: ApiService, user: Arc<UserInfo> },
    Remote(Arc<Remote>),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.transport {
            Transport::InProcess { user, .. } => write!(f, "Client(in process, {})", user.name),
            Transport::Remote(remote) => write!(f, "Client({})", remote.server()),
        }
    }
}

impl Client {
    /// Calls the API server in this process as `user`, through the same chain as everyone else.
    pub fn in_process(service: ApiService, user: UserInfo, user_agent: &str, env: &Env) -> Self {
        Self::new(Transport::InProcess { service, user: Arc::new(user) }, user_agent, env)
    }

    /// Calls an API server over HTTP(S). Connections are made when first needed; their tasks belong to `tasks`.
    ///
    /// # Errors
    /// `Config` for an address, certificate or key that cannot be used; `File` for a token file that cannot be read.
    pub fn remote(config: RemoteConfig, user_agent: &str, env: &Env, tasks: &Tasks) -> Result<Self> {
        let remote = Remote::new(config, env, tasks)?;
        Ok(Self::new(Transport::Remote(Arc::new(remote)), user_agent, env))
    }

    fn new(transport: Transport, user_agent: &str, env: &Env) -> Self {
        let user_agent = HeaderValue::from_str(user_agent).unwrap_or_else(|_| HeaderValue::from_static("sampan"));
        Self { transport, user_agent, timeout: limits::REQUEST_TIMEOUT, env: env.clone() }
    }

    pub fn is_in_process(&self) -> bool {
        matches!(self.transport, Transport::InProcess { .. })
    }

    pub fn env(&self) -> &Env {
        &self.env
    }

    pub fn with_user_agent(&self, user_agent: &str) -> Self {
        let user_agent = HeaderValue::from_str(user_agent).unwrap_or_else(|_| self.user_agent.clone());
        Self { user_agent, ..self.clone() }
    }

    /// A client of the same service under another identity: for the process that starts the parts of a control plane.
    ///
    /// # Errors
    /// `Unsupported` for a remote client, whose identity is in its credentials.
    pub fn with_user(&self, user: UserInfo) -> Result<Self> {
        match &self.transport {
            Transport::InProcess { service, .. } => Ok(Self {
                transport: Transport::InProcess { service: service.clone(), user: Arc::new(user) },
                ..self.clone()
            }),
            Transport::Remote(_) => Err(Error::Unsupported("another identity on a remote client".into())),
        }
    }

    pub fn with_request_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Objects of a cluster-scoped kind, or of all namespaces.
    pub fn all<K: Resource>(&self) -> Api<K> {
        Api::typed(self.clone(), None)
    }

    pub fn namespaced<K: Resource>(&self, namespace: &str) -> Api<K> {
        Api::typed(self.clone(), Some(namespace))
    }

    /// Objects of any resource as value trees; `None`: cluster-scoped, or of all namespaces.
    pub fn dynamic(&self, resource: &GroupVersionResource, namespace: Option<&str>) -> Api<Object> {
        Api::dynamic(self.clone(), resource, namespace)
    }

    /// Sends a request whose URI is a path and query. Answers 429 and 503 that say `Retry-After` are tried again, a
    /// limited number of times and within the timeout; any other answer is given back as it is.
    ///
    /// # Errors
    /// Errors of the transport; never `Api`.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        tokio::time::timeout(self.timeout, self.attempt(request, false)).await.map_err(|_| self.timed_out())?
    }

    /// Sends a request and decodes the answer.
    ///
    /// # Errors
    /// `Api` when the server refuses; those of the transport; `Decode`.
    pub async fn request<T: DeserializeOwned>(&self, request: Request<Bytes>) -> Result<T> {
        let what = format!("the answer to {} {}", request.method(), request.uri().path());
        let bytes = self.request_bytes(request).await?;
        typed::from_slice(&bytes).map_err(Error::decode(what))
    }

    /// Sends a request and reads the answer whole, however it is encoded.
    ///
    /// # Errors
    /// `Api` when the server refuses; those of the transport; `TooLarge`.
    pub async fn request_bytes(&self, request: Request<Bytes>) -> Result<Bytes> {
        let call = async {
            let response = accepted(self.attempt(request, false).await?).await?;
            collect(response.into_body(), limits::BODY_MAX).await
        };
        tokio::time::timeout(self.timeout, call).await.map_err(|_| self.timed_out())?
    }

    /// Sends a request whose answer goes on: a log that is followed. Only its head is waited for under the timeout.
    ///
    /// # Errors
    /// `Api` when the server refuses; those of the transport.
    pub async fn stream(&self, request: Request<Bytes>) -> Result<Body> {
        Ok(self.open(request, false).await?.into_body())
    }

    /// As [`Client::stream`], asking an API server in this process for records instead of bytes.
    pub(crate) async fn open(&self, request: Request<Bytes>, want_records: bool) -> Result<Response<Body>> {
        let call = async { accepted(self.attempt(request, want_records).await?).await };
        tokio::time::timeout(self.timeout, call).await.map_err(|_| self.timed_out())?
    }

    fn timed_out(&self) -> Error {
        Error::Timeout { after: self.timeout }
    }

    async fn attempt(&self, request: Request<Bytes>, want_records: bool) -> Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        head.headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        for attempt in 1.. {
            let response = match &self.transport {
                Transport::InProcess { service, user } => {
                    let mut request = Request::from_parts(head.clone(), full(body.clone()));
                    request.extensions_mut().insert(UserInfo::clone(user));
                    if want_records {
                        request.extensions_mut().insert(WantRecords);
                    }
                    call(service.clone(), request).await
                }
                Transport::Remote(remote) => remote.send(Request::from_parts(head.clone(), body.clone())).await?,
            };
            match retry_after(&response) {
                Some(wait) if attempt < limits::ATTEMPTS_MAX => {
                    tracing::debug!(path = head.uri.path(), ?wait, "the server asks to wait");
                    self.env.sleep(wait).await;
                }
                _ => return Ok(response),
            }
        }
        unreachable!("the last attempt returns")
    }
}

/// Boxed: the service's type holds a trait object whose lifetime the compiler cannot generalise inside an async block.
fn call(service: ApiService, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
    Box::pin(service.oneshot(request).map(|answer| match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }))
}

/// The wait before the next attempt, where the answer asks for one (429 or 503 with `Retry-After` in seconds).
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(limits::RETRY_AFTER_MAX))
}

/// A refusal becomes an error that carries the server's Status, or one made up of what it said instead.
async fn accepted(response: Response<Body>) -> Result<Response<Body>> {
    if response.status().is_success() {
        return Ok(response);
    }
    let code = response.status();
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    let body = collect(response.into_body(), limits::ERROR_BODY_MAX).await?;
    let status = is_json.then(|| serde_json::from_slice::<Status>(&body).ok()).flatten();
    Err(match status {
        Some(status) if !status.status.is_empty() => status,
        _ => {
            let reason = match code.as_u16() {
                401 => Reason::Unauthorized,
                403 => Reason::Forbidden,
                404 => Reason::NotFound,
                410 => Reason::Gone,
                429 => Reason::TooManyRequests,
                503 => Reason::ServiceUnavailable,
                _ => Reason::Unknown,
            };
            let text = String::from_utf8_lossy(&body);
            let mut status = Status::failure(reason, format!("the server answered {code}: {}", text.trim()));
            status.code = code.as_u16();
            status
        }
    }
    .into())
}
