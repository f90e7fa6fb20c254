//! The node's own HTTP service, as a kubelet's: `/containerLogs/{namespace}/{pod}/{container}`.

use crate::image::{ERR_IMAGE_PULL, IMAGE_PULL_BACK_OFF};
use crate::logs::{Line, RunLog};
use crate::observed::CONTAINER_CREATING;
use crate::worker::Shared;
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

/// Lines that are put into one frame of the answer.
const LINES_PER_FRAME: usize = 1024;

/// A service over what the workers share.
pub(crate) fn service(shared: Arc<Shared>, tasks: Tasks) -> ApiService {
    let handle = move |request: Request<Body>| {
        let (shared, tasks) = (shared.clone(), tasks.clone());
        async move { Ok::<_, Infallible>(answer(&shared, &tasks, &request)) }
    };
    ApiService::new(tower::service_fn(handle))
}

fn whole(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let body = Full::new(Bytes::from(bytes)).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn refuse(status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(code, "application/json", status.to_value().to_string().into_bytes())
}

fn answer(shared: &Arc<Shared>, tasks: &Tasks, request: &Request<Body>) -> Response<Body> {
    let parts: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["healthz"] => whole(StatusCode::OK, "text/plain", b"ok".to_vec()),
        ["containerLogs", namespace, pod, container] => {
            let options = match LogOptions::parse(request.uri().query().unwrap_or_default()) {
                Ok(options) => options,
                Err(status) => return refuse(&status),
            };
            match find(shared, namespace, pod, container, options.previous) {
                Ok(log) => stream_log(log, options, &shared.env, tasks),
                Err(status) => refuse(&status),
            }
        }
        _ => whole(StatusCode::NOT_FOUND, "text/plain", b"404 page not found\n".to_vec()),
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
    next: u64,
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
            let (lines, next) = self.log.read(self.next, LINES_PER_FRAME);
            self.next = next;
            if !lines.is_empty() {
                let bytes = self.render(&lines);
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

    fn render(&mut self, lines: &[Line]) -> Bytes {
        let mut out = BytesMut::new();
        for line in lines.iter().filter(|line| self.since.is_none_or(|since| line.time >= since)) {
            if self.timestamps {
                out.put_slice(rfc3339_nano(line.time).as_bytes());
                out.put_u8(b' ');
            }
            out.put_slice(&line.text);
            if line.ended {
                out.put_u8(b'\n');
            }
        }
        out.truncate(self.bytes_left);
        self.bytes_left -= out.len();
        out.freeze()
    }
}

fn stream_log(log: Arc<RunLog>, options: LogOptions, env: &Env, tasks: &Tasks) -> Response<Body> {
    let ago = options.since_seconds.and_then(|seconds| env.now().checked_sub(Duration::from_secs(seconds)));
    let reader = Reader {
        next: options.tail_lines.map_or(0, |tail| log.tail(tail)),
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
