//! The node's own HTTP service, as a kubelet's: `/containerLogs/{namespace}/{pod}/{container}`.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::image::{ERR_IMAGE_PULL, IMAGE_PULL_BACK_OFF};
use crate::limits::LOG_BYTES_MAX;
use crate::logs::{Found, Position, RunLog};
use crate::observed::CONTAINER_CREATING;
use crate::worker::Shared;
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::routing::any;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use sampan_api::Status;
use sampan_api::time::{parse, rfc3339_nano};
use sampan_client::{ApiService, Body};
use sampan_env::{Env, Tasks};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tower::ServiceExt;

/// Lines that are put into one frame of the answer.
const LINES_PER_FRAME: usize = 1024;

/// A service over what the workers share.
pub(crate) fn service(shared: Arc<Shared>, tasks: Tasks) -> ApiService {
    let logs = move |Path((namespace, pod, container)): Path<(String, String, String)>, RawQuery(query): RawQuery| {
        let answered =
            container_logs(&shared, &tasks, [&namespace, &pod, &container], query.as_deref().unwrap_or_default());
        std::future::ready(answered.map(axum::body::Body::new))
    };
    let text = |status, text: &'static str| whole(status, "text/plain", text.into()).map(axum::body::Body::new);
    let router = Router::new()
        .route("/healthz", any(move || async move { text(StatusCode::OK, "ok") }))
        .route("/containerLogs/{namespace}/{pod}/{container}", any(logs))
        .fallback(move || async move { text(StatusCode::NOT_FOUND, "404 page not found\n") });
    ApiService::new(tower::service_fn(move |request: Request<Body>| {
        let answered = router.clone().oneshot(request.map(axum::body::Body::new));
        async move { answered.await.map(|response| response.map(|body| body.map_err(Into::into).boxed_unsync())) }
    }))
}

fn whole(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let body = Full::new(Bytes::from(bytes)).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// As a kubelet refuses: the reason as plain text, which the API server puts into a `Status`.
fn refuse(status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(code, "text/plain", status.message.clone().into_bytes())
}

fn container_logs(
    shared: &Shared,
    tasks: &Tasks,
    [namespace, pod, container]: [&str; 3],
    query: &str,
) -> Response<Body> {
    let options = match LogOptions::parse(query) {
        Ok(options) => options,
        Err(status) => return refuse(&status),
    };
    match find(shared, namespace, pod, container, options.previous) {
        Ok(log) => stream_log(log, options, &shared.env, tasks),
        Err(status) => refuse(&status),
    }
}

fn find(shared: &Shared, namespace: &str, pod: &str, container: &str, previous: bool) -> Result<Arc<RunLog>, Status> {
    let logs = shared.logs.lock();
    let of_pod = logs.get(&(namespace.to_owned(), pod.to_owned()));
    let of_container = of_pod.and_then(|logs| logs.containers.get(container));
    if previous {
        return of_container.and_then(|logs| logs.before()).cloned().ok_or_else(|| {
            Status::bad_request(format!("previous terminated container \"{container}\" in pod \"{pod}\" not found"))
        });
    }
    of_container.and_then(|logs| logs.current.clone()).ok_or_else(|| {
        let reason = of_container.and_then(|logs| logs.waiting.as_deref()).unwrap_or(CONTAINER_CREATING);
        let why = match reason {
            ERR_IMAGE_PULL => "image can't be pulled",
            IMAGE_PULL_BACK_OFF => "trying and failing to pull image",
            other => other,
        };
        Status::bad_request(format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {why}"))
    })
}

/// `PodLogOptions`, as query parameters.
#[derive(Debug, Default)]
struct LogOptions {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<usize>,
    limit_bytes: Option<usize>,
    since_seconds: Option<u64>,
    since_time: Option<SystemTime>,
}

impl LogOptions {
    fn parse(query: &str) -> Result<Self, Status> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let invalid = || Status::bad_request(format!("{name}: {value:?} is not valid"));
            let flag = || matches!(value, "true" | "1" | "");
            match name {
                "follow" => options.follow = flag(),
                "previous" => options.previous = flag(),
                "timestamps" => options.timestamps = flag(),
                "tailLines" => options.tail_lines = Some(value.parse().map_err(|_| invalid())?),
                "limitBytes" => options.limit_bytes = Some(value.parse().map_err(|_| invalid())?),
                "sinceSeconds" => options.since_seconds = Some(value.parse().map_err(|_| invalid())?),
                "sinceTime" => {
                    let text = value.replace("%3A", ":").replace("%3a", ":").replace("%2B", "+");
                    options.since_time = Some(parse(&text).ok_or_else(invalid)?);
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

struct Reader {
    log: Arc<RunLog>,
    seen: tokio::sync::watch::Receiver<(u64, bool)>,
    position: Position,
    /// Whether what comes next begins a line of the answer.
    at_line_start: bool,
    since: Option<SystemTime>,
    bytes_left: usize,
    follow: bool,
    timestamps: bool,
    end: sampan_env::CancellationToken,
}

impl Reader {
    /// The next lines as bytes. `None`: nothing more will come.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.bytes_left == 0 {
                return None;
            }
            let over = self.seen.borrow_and_update().1;
            let found = self.log.read(&mut self.position, LINES_PER_FRAME);
            if !found.lines.is_empty() {
                let bytes = self.render(&found);
                if !bytes.is_empty() {
                    return Some(bytes);
                }
                continue;
            }
            if over || !self.follow {
                return None;
            }
            tokio::select! {
                () = self.end.cancelled() => return None,
                changed = self.seen.changed() => if changed.is_err() { return None },
            }
        }
    }

    fn render(&mut self, found: &Found) -> Bytes {
        let mut out = BytesMut::new();
        if let (1.., Some(first)) = (found.dropped, found.lines.first()) {
            if !self.at_line_start {
                out.put_u8(b'\n');
            }
            self.put_time(&mut out, first.time);
            out.put_slice(dropped_mark(found.dropped).as_bytes());
            self.at_line_start = true;
        }
        for line in found.lines.iter().filter(|line| self.since.is_none_or(|since| line.time >= since)) {
            // The pieces of a long line have one time, that of the first.
            if self.at_line_start {
                self.put_time(&mut out, line.time);
            }
            out.put_slice(&line.text);
            self.at_line_start = line.ended;
            if line.ended {
                out.put_u8(b'\n');
            }
        }
        out.truncate(self.bytes_left);
        self.bytes_left = self.bytes_left.saturating_sub(out.len());
        out.freeze()
    }

    fn put_time(&self, out: &mut BytesMut, time: SystemTime) {
        if self.timestamps {
            out.put_slice(rfc3339_nano(time).as_bytes());
            out.put_u8(b' ');
        }
    }
}

/// The line that stands in an answer where older ones are no longer kept.
fn dropped_mark(bytes: u64) -> String {
    format!("[{bytes} bytes were dropped here: of one run of a container the last {LOG_BYTES_MAX} bytes are kept]\n")
}

fn stream_log(log: Arc<RunLog>, options: LogOptions, env: &Env, tasks: &Tasks) -> Response<Body> {
    let ago = options.since_seconds.and_then(|seconds| env.now().checked_sub(Duration::from_secs(seconds)));
    let reader = Reader {
        position: options.tail_lines.map_or_else(Position::default, |tail| log.tail(tail)),
        at_line_start: true,
        seen: log.seen(),
        log,
        since: options.since_time.or(ago),
        bytes_left: options.limit_bytes.unwrap_or(usize::MAX),
        follow: options.follow,
        timestamps: options.timestamps,
        end: tasks.token().clone(),
    };
    let frames = stream::unfold(reader, |mut reader| async move {
        let bytes = reader.next().await?;
        Some((Ok(Frame::data(bytes)), reader))
    });
    let mut response = Response::new(StreamBody::new(frames.boxed()).boxed_unsync());
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_PIECE_MAX;
    use crate::logs::{ContainerLogs, Stream};
    use crate::tests::World;
    use crate::worker::PodLogs;
    use sampan_client::collect;

    /// A node that has the log of pod ns/p, container c, with `written` in it.
    fn world(written: &[&[u8]]) -> World {
        let world = World::new();
        let log = RunLog::new(&world.shared.env);
        for part in written {
            log.write(Stream::Stdout, part);
        }
        log.finish();
        let mut containers = ContainerLogs::default();
        containers.next_run(log);
        let mut logs = PodLogs { uid: "uid-1".into(), ..PodLogs::default() };
        logs.containers.insert("c".into(), containers);
        world.shared.logs.lock().insert(("ns".into(), "p".into()), logs);
        world
    }

    async fn get(world: &World, path: &str) -> (u16, String) {
        let request = Request::get(path).body(sampan_client::full(String::new())).expect("a request");
        let response = service(world.shared.clone(), world.tasks.clone()).oneshot(request).await.expect("answered");
        let status = response.status().as_u16();
        let body = collect(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_plain_text_that_the_api_server_wraps() {
        let world = world(&[b"x\n"]);
        let check = async |path: &str, code: u16, text: &str| {
            assert_eq!(get(&world, path).await, (code, text.to_owned()), "{path}");
        };
        let none = "container \"d\" in pod \"p\" is waiting to start: ContainerCreating";
        check("/containerLogs/ns/p/d", 400, none).await;
        let none = "container \"c\" in pod \"q\" is waiting to start: ContainerCreating";
        check("/containerLogs/ns/q/c", 400, none).await;
        let none = "previous terminated container \"c\" in pod \"p\" not found";
        check("/containerLogs/ns/p/c?previous=true", 400, none).await;
        check("/containerLogs/ns/p/c?tailLines=x", 400, "tailLines: \"x\" is not valid").await;
        check("/no/such/path", 404, "404 page not found\n").await;
        check("/containerLogs/ns/p/c", 200, "x\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_line_is_one_line_with_one_time() {
        let long = "y".repeat(3 * LOG_PIECE_MAX + 5);
        let world = world(&[b"a\n", long.as_bytes(), b"\nb\n"]);
        let (_, text) = get(&world, "/containerLogs/ns/p/c").await;
        assert_eq!(text, format!("a\n{long}\nb\n"));
        let (_, text) = get(&world, "/containerLogs/ns/p/c?timestamps=true").await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{}", text.len());
        assert!(lines.iter().all(|line| line.starts_with("20") && line.contains("Z ")));
        assert_eq!(get(&world, "/containerLogs/ns/p/c?tailLines=2").await.1, format!("{long}\nb\n"));
        assert_eq!(get(&world, "/containerLogs/ns/p/c?limitBytes=4").await.1, "a\nyy");
        assert_eq!(
            get(&world, &format!("/containerLogs/ns/p/c?sinceSeconds={}", u64::MAX)).await.1.len(),
            text.len() - 93
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_dropped_leaves_a_mark() {
        let lines: Vec<String> = (0..60_000).map(|i| format!("line {i:040}\n")).collect();
        let written: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        let world = world(&written);
        let (_, text) = get(&world, "/containerLogs/ns/p/c").await;
        let (mark, rest) = text.split_once('\n').expect("lines");
        let dropped = (lines.len() * lines[0].len() - rest.len()) as u64;
        assert_eq!(format!("{mark}\n"), dropped_mark(dropped));
        let (_, tail) = get(&world, "/containerLogs/ns/p/c?tailLines=10").await;
        assert_eq!(tail, lines[lines.len() - 10..].concat(), "nothing is missing of what was asked for");
    }
}
