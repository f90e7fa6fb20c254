//! Single requests, as they are, and the whole of their answers.

use crate::Sampan;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use sampan_client::{Client, Credentials, Kubeconfig, collect};
use sampan_env::{Env, Tasks};
use serde_json::Value;
use std::time::Duration;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Time that an answer may take, a watch's included.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The media type of aggregated discovery.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// An answer, read whole. Code 0: there was none, and the body says why.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// A header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.code, self.text()))
    }
}

/// Sends a request and reads its answer whole.
pub async fn ask(client: &Client, request: Request<Bytes>) -> Answer {
    let answer = async {
        let (head, body) = client.send(request).await?.into_parts();
        let body = collect(body, ANSWER_BYTES_MAX).await?;
        Ok::<_, sampan_client::Error>(Answer { code: head.status.as_u16(), headers: head.headers, body })
    };
    let failed =
        |error: sampan_client::Error| Answer { code: 0, headers: HeaderMap::new(), body: error.to_string().into() };
    // Of a body that does not end the client would wait for the end.
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => answer.unwrap_or_else(failed),
        Err(_) => Answer { code: 0, headers: HeaderMap::new(), body: "no end of the answer in time".into() },
    }
}

/// Whoever asks a server, from a thread that waits for each answer.
pub struct Asker {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Asker {
    /// With the credentials of the kubeconfig.
    pub fn admin(sampan: &Sampan) -> Self {
        Self::new(sampan, None)
    }

    /// With these credentials.
    pub fn with(sampan: &Sampan, credentials: Credentials) -> Self {
        Self::new(sampan, Some(credentials))
    }

    fn new(sampan: &Sampan, credentials: Option<Credentials>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut config = Kubeconfig::load_file(&sampan.kubeconfig)
            .and_then(|file| file.remote_config(None))
            .unwrap_or_else(|error| panic!("{}: {error}", sampan.kubeconfig.display()));
        config.credentials = credentials.unwrap_or(config.credentials);
        let client = {
            let _entered = runtime.enter();
            Client::remote(config, "sampan-tests", &Env::system(), &Tasks::new("tests")).expect("a client")
        };
        Self { runtime, client: client.with_request_timeout(ANSWER_TIMEOUT) }
    }

    /// `GET`, with further headers.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, path, headers, Bytes::new())
    }

    /// `POST` of an object.
    pub fn post(&self, path: &str, object: &Value) -> Answer {
        self.send(Method::POST, path, &[("content-type", "application/json")], object.to_string())
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], Bytes::new())
    }

    /// Any request.
    ///
    /// # Panics
    /// When a part of it cannot stand in one.
    pub fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(ask(&self.client, request.body(body.into()).expect("a request")))
    }
}
