//! An API server in this process that is guarded as a cluster's is, and requests to it as they would come over a socket.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_apiserver::request_info::RequestInfo;
use sampan_apiserver::{Body, body};
use sampan_env::Env;
use sampan_testing::server::{Choice, Server, Tokens, guarded_by};
use sampan_tests::PATIENCE;
use serde_json::Value;
use std::time::Duration;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// The token of who may do everything.
pub const TOKEN: &str = "admin";
/// How long its tasks may take to end.
const END: Duration = Duration::from_secs(20);

pub struct World {
    runtime: Runtime,
    pub server: Server,
}

/// An answer, read whole where it ends by itself.
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl World {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let users = Tokens::new([(TOKEN, UserInfo::new("admin", [GROUP_MASTERS]))]);
        let server = runtime.block_on(guarded_by(Env::system(), Choice { users, ..Choice::default() }));
        Self { runtime, server }
    }

    /// Does what starts tasks of this world.
    pub fn within<T>(&self, what: impl FnOnce() -> T) -> T {
        let _entered = self.runtime.enter();
        what()
    }

    /// Waits for something of this world.
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// Sends a request as who may do everything, unless it says who it is.
    ///
    /// # Panics
    /// When there is no answer, or one that no request may get.
    pub fn send(&self, mut request: Request<Vec<u8>>) -> Answer {
        request.headers_mut().entry("authorization").or_insert(http::HeaderValue::from_static("Bearer admin"));
        let strategic = request.headers().get("content-type").is_some_and(|one| one == STRATEGIC);
        let method = request.method().clone();
        // What does not end by itself is not read.
        let endless = RequestInfo::read(request.method(), request.uri()).is_some_and(|info| info.is_long_running());
        let request = request.map(|bytes| -> Body { body::full(bytes) });
        let answer = self.wait(async {
            let answered = tokio::time::timeout(PATIENCE, self.server.service.clone().oneshot(request));
            let Ok(response) = answered.await.expect("a request is answered");
            let (parts, body) = response.into_parts();
            let bytes = if endless {
                Bytes::new()
            } else {
                let read = tokio::time::timeout(PATIENCE, body.collect()).await;
                read.expect("an answer ends").expect("a whole body").to_bytes()
            };
            Answer { code: parts.status.as_u16(), headers: parts.headers, bytes }
        });
        let text = String::from_utf8_lossy(&answer.bytes);
        // As kube-apiserver answers what its strategic merge cannot do, and a revision that is no number or of a new object.
        let begins = |told: &str| text.contains(&format!("\"message\":\"{told}"));
        let revision = method != http::Method::GET
            && (begins("strconv.ParseUint: parsing ")
                || begins("resourceVersion should not be set on objects to be created"));
        let told = (strategic || revision) && !text.contains("panic");
        assert!(answer.code != 500 || told, "500: {text}");
        answer
    }
}

/// The media type of strategic merges.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";

impl Answer {
    /// `None`: it is no JSON, or was not read.
    pub fn json(&self) -> Option<Value> {
        let is_json = self.headers.get("content-type").is_some_and(|one| one == "application/json");
        (is_json && !self.bytes.is_empty())
            .then(|| serde_json::from_slice(&self.bytes).expect("what says that it is JSON is"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.stopping.cancel();
        let drained = self.runtime.block_on(self.server.tasks.drain(END));
        // A test that fails has said why.
        assert!(drained.is_ok() || std::thread::panicking(), "its tasks go on");
    }
}
