//! Clients that mean no good, one table for each sort: what they make the server hold, and whether others notice.

mod support;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, FuturesUnordered, StreamExt};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sampan_api::admission::{self, Admission, Mutated};
use sampan_api::limits::REQUEST_BODY_MAX;
use sampan_api::user::{Attributes, Authorizer, Decision};
use sampan_api::{Object, Status};
use sampan_apiserver::Body;
use sampan_apiserver::limits::{
    ANSWER_PIECE_BYTES, ANSWER_STALL_MAX, ANSWERS_UNSENT, BODIES_ARRIVING, BODY_GRACE, LEDGER_UNIT_BYTES,
    REFUSED_BODY_BYTES_MAX, REFUSED_BODY_TIME, SEATS_MAX, WHOLE_ANSWERS_RESERVE,
};
use sampan_apiserver::line::Line;
use sampan_env::Env;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use support::{CONFIG_MAPS, Server, config_map, server_in};

/// Everybody may do everything; what `slow` asks for is never decided.
struct All;

impl Authorizer for All {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        if attributes.user.name == "slow" {
            return std::future::pending().boxed();
        }
        std::future::ready(Decision::allow("")).boxed()
    }
}

fn world() -> Env {
    Env::simulated(7, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

fn request(user: &str, method: &str, path: &str, line: Option<&Arc<Line>>, body: Body) -> Request<Body> {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer as:{user}"))
        .header("content-type", content_type)
        .body(body)
        .expect("a request");
    if let Some(line) = line {
        request.extensions_mut().insert(line.clone());
    }
    request
}

/// Half of what was promised, and then nothing.
fn half() -> Body {
    let first = stream::once(async { Ok(Frame::data(Bytes::from_static(b"{\"apiVersion\":"))) });
    StreamBody::new(first.chain(stream::pending())).boxed_unsync()
}

fn empty() -> Body {
    sampan_apiserver::body::empty()
}

/// The object that is changed.
fn whole() -> Body {
    sampan_apiserver::body::full(config_map("a").to_string())
}

fn review() -> Body {
    let attributes = json!({"verb": "get", "resource": "pods"});
    sampan_apiserver::body::full(json!({"spec": {"resourceAttributes": attributes}}).to_string())
}

/// Another user reads and writes within a second.
async fn others_are_served(server: &Server, name: &str) {
    let body = config_map(name).to_string();
    for (method, path, body, expected) in [
        ("POST", CONFIG_MAPS, body, 201),
        ("GET", CONFIG_MAPS, String::new(), 200),
        ("GET", "/livez", String::new(), 200),
    ] {
        let asked = server.call_with(
            method,
            path,
            &[("authorization", "Bearer as:other"), ("content-type", "application/json")],
            body,
        );
        let answer = tokio::time::timeout(Duration::from_secs(1), asked).await.expect("at once");
        assert_eq!(answer.code, expected, "{name}: {method} {path}: {}", answer.text());
    }
}

/// A method, a path, and what makes the body.
type Attack = (&'static str, String, fn() -> Body);

#[tokio::test(start_paused = true)]
async fn what_waits_holds_no_seat() {
    let future = "999999999";
    let attacks: [Attack; 16] = [
        ("POST", CONFIG_MAPS.to_owned(), half),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(), half),
        ("PUT", format!("{CONFIG_MAPS}/a"), half),
        ("PATCH", format!("{CONFIG_MAPS}/a"), half),
        ("DELETE", format!("{CONFIG_MAPS}/a"), half),
        ("DELETE", CONFIG_MAPS.to_owned(), half),
        ("GET", format!("{CONFIG_MAPS}/a?resourceVersion={future}"), empty),
        ("GET", format!("{CONFIG_MAPS}?resourceVersion={future}"), empty),
        ("GET", format!("{CONFIG_MAPS}?resourceVersion={future}&resourceVersionMatch=Exact"), empty),
        ("DELETE", format!("{CONFIG_MAPS}?resourceVersion={future}"), empty),
        ("GET", format!("{CONFIG_MAPS}?watch=1&resourceVersion={future}"), empty),
        ("POST", CONFIG_MAPS.to_owned(), whole),
        ("PUT", format!("{CONFIG_MAPS}/a"), whole),
        ("PATCH", format!("{CONFIG_MAPS}/a"), whole),
        ("DELETE", format!("{CONFIG_MAPS}/a"), empty),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(), review),
    ];
    let server = support::server_of(world(), Arc::new(All), Arc::new(Silent)).await;
    server.create(CONFIG_MAPS, &config_map("a")).await;
    for (at, (method, path, body)) in attacks.iter().enumerate() {
        let mut asked: FuturesUnordered<_> = (0..405)
            .map(|_| server.raw(request("bad", method, path, None, body())).map(|answer| answer.status()))
            .collect();
        // Everything that can be done at once is done.
        tokio::time::timeout(Duration::from_millis(500), async { while asked.next().await.is_some() {} }).await.ok();
        if !path.contains("watch") {
            assert!(!asked.is_empty(), "{method} {path} waits");
        }
        assert_eq!(server.seats.counts(), (0, 0), "{method} {path}");
        others_are_served(&server, &format!("o{at}")).await;
    }
}

/// Admission that waits for ever, for `bad`.
struct Silent;

impl Silent {
    async fn answer(&self, attributes: &admission::Attributes<'_>) {
        if attributes.user.name == "bad" {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait::async_trait]
impl Admission for Silent {
    async fn mutate(&self, attributes: &admission::Attributes<'_>, _: Option<&mut Object>) -> Result<Mutated, Status> {
        self.answer(attributes).await;
        Ok(Mutated::No)
    }
    async fn validate(&self, attributes: &admission::Attributes<'_>, _: Option<&Object>) -> Result<(), Status> {
        self.answer(attributes).await;
        Ok(())
    }
}

/// Admission that takes long, on the thread that it is called on, for everybody but `other`.
struct Long {
    began: tokio::sync::mpsc::UnboundedSender<()>,
    goes_on: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Long {
    fn work(&self, attributes: &admission::Attributes<'_>) {
        if attributes.user.name == "bad" {
            self.began.send(()).expect("somebody listens");
            let goes_on = self.goes_on.lock().expect("nobody panicked");
            goes_on.recv_timeout(Duration::from_secs(60)).expect("told in time");
        }
    }
}

#[async_trait::async_trait]
impl Admission for Long {
    async fn mutate(&self, _: &admission::Attributes<'_>, _: Option<&mut Object>) -> Result<Mutated, Status> {
        Ok(Mutated::No)
    }
    async fn validate(&self, attributes: &admission::Attributes<'_>, _: Option<&Object>) -> Result<(), Status> {
        self.work(attributes);
        Ok(())
    }
}

#[tokio::test]
async fn long_work_leaves_the_threads_that_serve() {
    let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, goes_on) = std::sync::mpsc::channel();
    let long = Long { began, goes_on: std::sync::Mutex::new(goes_on) };
    let server = support::server_of(Env::system(), Arc::new(All), Arc::new(long)).await;
    let large = |name: &str| {
        let mut object = config_map(name);
        object["data"]["k"] = "v".repeat(100_000).into();
        object
    };
    for name in ["a", "b", "c"] {
        server.store("configmaps", "default", &large(name)).await;
    }
    let attacks = [
        ("POST", CONFIG_MAPS.to_owned(), large("d").to_string()),
        ("PUT", format!("{CONFIG_MAPS}/a"), large("a").to_string().replace("vvvv", "wwww")),
        ("PATCH", format!("{CONFIG_MAPS}/b"), r#"{"data":{"x":"y"}}"#.to_owned()),
        ("DELETE", format!("{CONFIG_MAPS}/c"), String::new()),
        ("DELETE", CONFIG_MAPS.to_owned(), String::new()),
    ];
    for (at, (method, path, body)) in attacks.into_iter().enumerate() {
        let mut asked = Box::pin(server.raw(request("bad", method, &path, None, sampan_apiserver::body::full(body))));
        tokio::select! {
            answer = &mut asked => panic!("{method} {path}: {}", answer.status()),
            _ = begins.recv() => {}
        }
        // The one thread of this runtime is free: whoever comes now is served.
        others_are_served(&server, &format!("o{at}")).await;
        let answer = loop {
            go_on.send(()).expect("it waits");
            tokio::select! {
                answer = &mut asked => break answer,
                _ = begins.recv() => {}
            }
        };
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
    }
}

#[tokio::test]
async fn long_answers_are_made_by_the_threads_of_long_work() {
    let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, goes_on) = std::sync::mpsc::channel();
    let long = Long { began, goes_on: std::sync::Mutex::new(goes_on) };
    let server = support::server_of(Env::system(), Arc::new(All), Arc::new(long)).await;
    let mut large = config_map("a");
    large["data"]["k"] = "v".repeat(100_000).into();
    server.store("configmaps", "default", &large).await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "reason": "Long", "type": "Normal",
        "metadata": {"name": "e", "namespace": "default", "annotations": {"k": "v".repeat(100_000)}},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "x"},
    });
    server.store("events", "default", &event).await;
    for at in 0..300 {
        server.store("configmaps", "default", &config_map(&format!("s{at}"))).await;
    }
    // All of those threads are busy.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).max(2);
    let write = |at: usize| {
        let mut object = config_map(&format!("w{at}"));
        object["data"]["k"] = "v".repeat(40_000).into();
        let body = sampan_apiserver::body::full(object.to_string());
        server.raw(request("bad", "POST", CONFIG_MAPS, None, body))
    };
    let mut writes: FuturesUnordered<_> = (0..threads).map(write).collect();
    for _ in 0..threads {
        tokio::select! {
            answer = writes.next() => panic!("{:?}", answer.map(|answer| answer.status())),
            _ = begins.recv() => {}
        }
    }
    let (json, protobuf) = ("application/json", "application/vnd.kubernetes.protobuf");
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let mut asked = Vec::new();
    for (at, (path, accept)) in [
        (format!("{CONFIG_MAPS}/a"), "application/yaml"),
        (format!("{CONFIG_MAPS}/a"), protobuf),
        (CONFIG_MAPS.to_owned(), "application/yaml"),
        (CONFIG_MAPS.to_owned(), table),
        (format!("{CONFIG_MAPS}?watch=1"), table),
        (format!("{CONFIG_MAPS}?watch=1"), "application/vnd.kubernetes.protobuf;stream=watch"),
        // What is stored in another version.
        (format!("{events}/e"), json),
        (events.to_owned(), json),
        (format!("{events}?watch=1"), json),
    ]
    .into_iter()
    .enumerate()
    {
        let mut read = request("bad", "GET", &path, None, empty());
        read.headers_mut().insert("accept", accept.parse().expect("a media type"));
        let answer = server.raw(read);
        let mut read = Box::pin(async {
            let mut answer = answer.await;
            let first = answer.body_mut().frame().await.expect("a frame").expect("whole");
            (answer.status(), first.into_data().map_or(0, |data| data.len()))
        });
        let name = format!("o{at}");
        tokio::select! {
            biased;
            answer = &mut read => panic!("{path} as {accept} was made on the serving thread: {answer:?}"),
            () = others_are_served(&server, &name) => {}
        }
        asked.push(read);
    }
    for _ in 0..threads {
        go_on.send(()).expect("they wait");
    }
    let all = async {
        while let Some(answer) = writes.next().await {
            assert_eq!(answer.status(), 201);
        }
        for (status, bytes) in futures::future::join_all(asked).await {
            assert!(status == 200 && bytes > 0, "{status}: {bytes}");
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("answered");
}

/// The lines of a watch that ends after a second.
async fn watched(server: &Server, path: &str, accept: &str) -> Vec<serde_json::Value> {
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut read = request("other", "GET", &format!("{path}?{query}&timeoutSeconds=1"), None, empty());
    read.headers_mut().insert("accept", accept.parse().expect("a media type"));
    let body = server.raw(read).await.into_body().collect().await.expect("whole").to_bytes();
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn watches_whose_frames_take_long_to_make_are_whole_and_in_order() {
    let server = server_in(Env::system(), Arc::new(All)).await;
    let names: Vec<String> = (0..200).map(|at| format!("n{at:03}")).collect();
    for (at, name) in names.iter().enumerate() {
        let mut object = config_map(name);
        // Some that are long alone, and many that are so together.
        object["data"]["k"] = "v".repeat(if at % 50 == 7 { 100_000 } else { 200 }).into();
        server.store("configmaps", "default", &object).await;
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "reason": "Long", "type": "Normal",
            "metadata": {"name": name, "namespace": "default", "annotations": {"k": "v".repeat(at * 50)}},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "x"},
        });
        server.store("events", "default", &event).await;
    }
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let lines = watched(&server, CONFIG_MAPS, table).await;
    let mut kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap_or_default()).collect();
    // One after the initial events, and one as the watch ends.
    kinds.dedup();
    assert_eq!((lines.len() > 200, &kinds[..]), (true, &["ADDED", "BOOKMARK"][..]), "{} lines", lines.len());
    let columns = |line: &serde_json::Value| line["object"]["columnDefinitions"].as_array().map_or(0, Vec::len);
    assert!(columns(&lines[0]) > 0 && lines[1..200].iter().all(|line| columns(line) == 0), "once, at the beginning");
    let shown: Vec<_> = lines[..200].iter().map(|line| line["object"]["rows"][0]["cells"][0].clone()).collect();
    assert_eq!(shown, names);

    let lines = watched(&server, "/apis/events.k8s.io/v1/namespaces/default/events", "application/json").await;
    let shown: Vec<_> = lines[..200].iter().map(|line| line["object"]["metadata"]["name"].clone()).collect();
    assert_eq!(shown, names);
    assert!(lines[..200].iter().all(|line| line["object"]["regarding"]["name"] == "x"), "in the version asked for");
    assert_eq!(lines[200]["object"]["apiVersion"], "events.k8s.io/v1");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let server = server_in(world(), Arc::new(All)).await;
    let env = world();
    let line = Line::new(&env);
    let began = env.instant();
    let answer = server.raw(request("bad", "POST", CONFIG_MAPS, Some(&line), half())).await;
    assert_eq!(answer.status(), 504);
    assert!(env.instant() - began < BODY_GRACE + Duration::from_secs(1), "{:?}", env.instant() - began);
    drop(answer);
    assert_eq!((server.ledgers.bodies.held(), server.ledgers.arriving.held()), (0, 0));

    // One connection has so many on their way, and no more.
    let mut asked: FuturesUnordered<_> =
        (0..70).map(|_| server.raw(request("bad", "POST", CONFIG_MAPS, Some(&line), half()))).collect();
    let refused = asked.next().await.expect("the last");
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()), (429, &b"1"[..]));
}

/// What is sent, as it comes.
fn fed(pieces: tokio::sync::mpsc::Receiver<Bytes>) -> Body {
    let frames = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((Ok(Frame::data(piece)), pieces))
    });
    StreamBody::new(frames).boxed_unsync()
}

#[tokio::test(start_paused = true)]
async fn what_follows_in_a_refused_body_is_dropped_within_a_bound() {
    const PIECE: usize = 64 * 1024;
    let server = server_in(world(), Arc::new(All)).await;
    let (pieces, body) = tokio::sync::mpsc::channel(1);
    let sent = async {
        let mut sent = 0;
        while pieces.send(Bytes::from_static(&[b' '; PIECE])).await.is_ok() {
            sent += PIECE;
        }
        sent
    };
    let answer = server.raw(request("bad", "POST", CONFIG_MAPS, None, fed(body)));
    let (answer, sent) = tokio::join!(answer, sent);
    assert_eq!(answer.status(), 413);
    let expected = REQUEST_BODY_MAX + REFUSED_BODY_BYTES_MAX;
    assert!((expected..expected + 4 * PIECE).contains(&sent), "{sent}");

    // Who sends nothing more is not waited for longer.
    let (pieces, body) = tokio::sync::mpsc::channel(1);
    let answer = server.raw(request("bad", "POST", CONFIG_MAPS, None, fed(body)));
    let too_much = async {
        for _ in 0..=REQUEST_BODY_MAX / PIECE {
            pieces.send(Bytes::from_static(&[b' '; PIECE])).await.expect("it is read");
        }
        tokio::time::timeout(2 * REFUSED_BODY_TIME, pieces.closed()).await.expect("it is given up");
    };
    let (answer, ()) = tokio::join!(answer, too_much);
    assert_eq!(answer.status(), 413);
}

#[tokio::test(start_paused = true)]
async fn what_follows_in_a_refused_body_arrives_at_its_senders_cost() {
    const PIECE: usize = 64 * 1024;
    let server = server_in(world(), Arc::new(All)).await;
    let line = Line::new(&world());
    let (pieces, body) = tokio::sync::mpsc::channel(1);
    let answer = server.raw(request("bad", "POST", CONFIG_MAPS, Some(&line), fed(body)));
    let too_much = async {
        for _ in 0..=REQUEST_BODY_MAX / PIECE {
            pieces.send(Bytes::from_static(&[b' '; PIECE])).await.expect("it is read");
        }
    };
    let (answer, ()) = tokio::join!(answer, too_much);
    assert_eq!((answer.status().as_u16(), server.ledgers.arriving.held()), (413, 1));
    pieces.closed().await;
    assert_eq!(server.ledgers.arriving.held(), 0, "it is given up");

    // As many arrive as may: of one more that is refused nothing is read.
    let asked =
        (0..=BODIES_ARRIVING.connection).map(|_| server.raw(request("bad", "POST", CONFIG_MAPS, Some(&line), half())));
    let mut asked: FuturesUnordered<_> = asked.collect();
    assert_eq!(asked.next().await.expect("the last").status(), 429);
    let known = sampan_apiserver::body::full(vec![b' '; REQUEST_BODY_MAX + 1]);
    let answer = server.raw(request("bad", "POST", CONFIG_MAPS, Some(&line), known)).await;
    assert_eq!((answer.status().as_u16(), server.ledgers.arriving.held()), (413, BODIES_ARRIVING.connection));
}

#[tokio::test(start_paused = true)]
async fn seats_are_fair_by_identity() {
    let server = server_in(world(), Arc::new(All)).await;
    // Requests that are worked on for ever.
    let mut flood: FuturesUnordered<_> =
        (0..2 * SEATS_MAX).map(|_| server.raw(request("slow", "GET", CONFIG_MAPS, None, empty()))).collect();
    let refused = flood.next().await.expect("there is no place left to wait");
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()), (429, &b"1"[..]));
    let (taken, waiting) = server.seats.counts();
    assert!(taken < SEATS_MAX && taken + waiting < 2 * SEATS_MAX, "{taken} {waiting}");
    others_are_served(&server, "o").await;
    let admin = tokio::time::timeout(Duration::from_secs(1), server.get(CONFIG_MAPS)).await.expect("at once");
    assert_eq!(admin.code, 200);
    // All are answered in the end, and nothing is left.
    while let Some(answer) = flood.next().await {
        assert!([429, 504].contains(&answer.status().as_u16()), "{}", answer.status());
    }
    assert_eq!(server.seats.counts(), (0, 0));
}

const OBJECTS: usize = 10_000;

/// 10,000 objects of 1.5 KB.
async fn full_server() -> Server {
    let server = server_in(world(), Arc::new(All)).await;
    for at in 0..OBJECTS {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{at:05}"), "namespace": "default"}, "data": {"k": "v".repeat(1300)}});
        server.store("configmaps", "default", &object).await;
    }
    server
}

async fn list(server: &Server, line: &Arc<Line>, user: &str, accept: &str, gzip: bool) -> Response<Body> {
    let mut request = request(user, "GET", CONFIG_MAPS, Some(line), empty());
    request.headers_mut().insert("accept", accept.parse().expect("a header value"));
    if gzip {
        request.headers_mut().insert("accept-encoding", "gzip".parse().expect("a header value"));
    }
    server.raw(request).await
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const FORMS: [(&str, bool); 6] = [
    ("application/json", false),
    ("application/json", true),
    (TABLE, false),
    ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", false),
    ("application/yaml", false),
    ("application/vnd.kubernetes.protobuf", false),
];

#[tokio::test(start_paused = true)]
async fn lists_are_sent_in_pieces_and_held_in_none() {
    let env = world();
    let server = full_server().await;
    let held = || server.ledgers.answers.held() * LEDGER_UNIT_BYTES;
    for (accept, gzip) in FORMS {
        let line = Line::new(&env);
        let mut body = list(&server, &line, "reader", accept, gzip).await.into_body();
        let (mut frames, mut whole, mut most) = (0, 0, 0);
        while let Some(frame) = body.frame().await {
            let data = frame.expect("a piece").into_data().expect("data");
            assert!(data.len() <= ANSWER_PIECE_BYTES, "{accept}: {}", data.len());
            most = most.max(held());
            whole += data.len();
            frames += 1;
        }
        assert!(frames >= 2 && whole >= 64 * 1024, "{accept} {gzip}: {frames} {whole}");
        assert!(most <= 4 * ANSWER_PIECE_BYTES, "{accept} {gzip}: {most} bytes at one time");
        drop(body);
        assert_eq!(held(), 0, "{accept}");
    }
    // Readers who take nothing: what the transport is given of each stays in its hands.
    for (accept, gzip) in FORMS {
        let mut kept = Vec::new();
        for connection in 0..4 {
            let (line, reader) = (Line::new(&env), format!("reader-{connection}"));
            let mut answered = 0;
            for _ in 0..200 {
                let asked = list(&server, &line, &reader, accept, gzip);
                // For whose first piece there is no room, that one is not made.
                let Ok(answer) = tokio::time::timeout(Duration::from_millis(10), asked).await else { continue };
                assert_eq!(answer.status(), 200);
                answered += 1;
                let mut body = answer.into_body();
                while let Some(frame) = body.frame().now_or_never() {
                    let Some(Ok(frame)) = frame else { break };
                    kept.push((frame.into_data().ok(), None));
                }
                kept.push((None, Some(body)));
            }
            let most = (ANSWERS_UNSENT.connection + WHOLE_ANSWERS_RESERVE) * LEDGER_UNIT_BYTES / ANSWER_PIECE_BYTES;
            assert!((1..=most).contains(&answered), "{accept} {gzip}: {answered} have begun, at most {most}");
        }
        assert!(held() <= ANSWERS_UNSENT.server * LEDGER_UNIT_BYTES, "{accept}: {}", held());
        let of_connection = ANSWERS_UNSENT.connection + WHOLE_ANSWERS_RESERVE;
        assert!(held() <= 4 * of_connection * LEDGER_UNIT_BYTES, "{accept}: {}", held());
        // Others read meanwhile.
        let other = Line::new(&env);
        let mut body = list(&server, &other, "other", "application/json", false).await.into_body();
        let read = async {
            while let Some(frame) = body.frame().await {
                frame.expect("a piece");
            }
        };
        tokio::time::timeout(Duration::from_secs(5), read).await.expect("at once");
        drop(kept);
        assert_eq!(held(), 0, "{accept}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_is_cut() {
    let env = world();
    let server = full_server().await;
    let line = Line::new(&env);
    let mut stalled = list(&server, &line, "reader", "application/json", false).await.into_body();
    let piece = stalled.frame().await.expect("more").expect("a piece");
    let mut slow = list(&server, &line, "reader", "application/json", false).await.into_body();
    for _ in 0..4 {
        drop(slow.frame().await.expect("more").expect("a piece"));
        tokio::time::advance(ANSWER_STALL_MAX / 4 + Duration::from_millis(1)).await;
        line.sweep(env.instant());
    }
    assert!(stalled.frame().await.expect("an end").is_err(), "it must not look whole");
    assert!(slow.frame().await.expect("more").is_ok(), "who takes its pieces goes on");
    drop((piece, stalled, slow));
    assert_eq!(server.ledgers.answers.held(), 0);
}

/// Watches with long selectors hold what their identity may hold, and others go on watching.
#[tokio::test(start_paused = true)]
async fn what_watches_select_by_is_charged() {
    let server = full_server().await;
    let terms: Vec<String> = (0..5_000).map(|at| format!("k{at}!=v")).collect();
    let selected = format!("{CONFIG_MAPS}?watch=1&labelSelector={}", terms.join(","));
    let plain = format!("{CONFIG_MAPS}?watch=1&labelSelector=a%3Db");
    let watch = async |user: &str, path: &str| {
        let line = Line::new(&world());
        server.raw(request(user, "GET", path, Some(&line), empty())).await
    };
    let mut held = Vec::new();
    loop {
        let answer = watch("reader", &selected).await;
        if answer.status() == 429 {
            break;
        }
        assert_eq!(answer.status(), 200);
        held.push(answer);
        let bytes = server.ledgers.selectors.held() * LEDGER_UNIT_BYTES;
        assert!(bytes >= held.len() * selected.len(), "{bytes} bytes of {} watches", held.len());
        assert!(held.len() < 1_000, "nothing bounds them");
    }
    assert!(held.len() > 4, "{}", held.len());
    for (user, path) in [("reader", &plain), ("other", &selected)] {
        assert_eq!(watch(user, path).await.status(), 200, "{user}");
    }
    drop(held);
    assert_eq!(watch("reader", &selected).await.status(), 200);
    assert_eq!(server.ledgers.selectors.held(), 0);
}

/// A probe is answered whoever of the same name has taken all that the name may hold.
#[tokio::test(start_paused = true)]
async fn probes_are_told_whatever_others_leave_unread() {
    let server = full_server().await;
    for user in ["reader", "system:anonymous"] {
        let mut unread = Vec::new();
        // Streams of as many connections as it takes.
        for at in 0..ANSWERS_UNSENT.identity + 64 {
            let line = Line::new(&world());
            for path in ["/version", "/livez"] {
                let mut request = request(user, "GET", path, Some(&line), empty());
                if user == "system:anonymous" {
                    request.headers_mut().remove("authorization");
                }
                let answer = server.raw(request).await;
                if path == "/livez" {
                    assert_eq!(answer.status(), 200, "{user}, after {at} answers that nobody reads");
                }
                unread.push(answer);
            }
        }
        drop(unread);
    }
    assert_eq!(server.ledgers.answers.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn lists_read_the_same_whole_and_in_pieces() {
    let server = server_in(world(), Arc::new(All)).await;
    let long = "x".repeat(100 * 1024);
    let nasty = "a: b\n\n  c\n#d\n\"e\" {f}\n";
    for (name, value) in [("a", "v"), ("b", &long), ("c", nasty), ("d", ""), ("e", "- 1\n- 2"), ("f", "\u{1F600}\\\"")]
    {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"k": value}});
        server.store("configmaps", "default", &object).await;
    }
    let get = async |path: &str, accept: &str| server.call_with("GET", path, &[("accept", accept)], "").await;
    for path in
        [CONFIG_MAPS.to_owned(), format!("{CONFIG_MAPS}?limit=2"), "/api/v1/namespaces/none/configmaps".to_owned()]
    {
        for accept in ["application/json", TABLE, FORMS[3].0] {
            let json = get(&path, accept).await.json();
            let pretty_path = format!("{path}{}pretty=true", if path.contains('?') { '&' } else { '?' });
            let pretty = get(&pretty_path, accept).await;
            let expected = serde_json::from_slice::<serde_json::Value>(&pretty.bytes).expect("JSON");
            assert_eq!(expected, json, "{path} {accept}");
            let indented = serde_json::to_string_pretty(&json).expect("JSON");
            assert_eq!(pretty.text().lines().count(), indented.lines().count(), "{path} {accept}");
            let yaml = get(&path, &accept.replace("json", "yaml")).await;
            assert_eq!(yaml.code, 200, "{}", yaml.text());
            let (value, _) = sampan_schema::yaml::to_json(&yaml.bytes).expect("YAML");
            assert_eq!(value, json, "{path} {accept}");
            assert_eq!(yaml.text(), sampan_schema::yaml::encode(&json), "{path} {accept}");
        }
    }
}

/// Large objects of one identity are worked on one after the other, and others' beside them.
#[tokio::test]
async fn large_objects_are_worked_on_few_at_a_time() {
    let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, goes_on) = std::sync::mpsc::channel();
    let long = Long { began, goes_on: std::sync::Mutex::new(goes_on) };
    let server = support::server_of(Env::system(), Arc::new(All), Arc::new(long)).await;
    let large = |name: &str| {
        // What counts is the size of the body.
        sampan_apiserver::body::full(format!("{}{}", config_map(name), " ".repeat(1_400_000)))
    };
    let ask = |user: &str, name: &str| server.raw(request(user, "POST", CONFIG_MAPS, None, large(name)));
    let mut first = Box::pin(ask("bad", "a"));
    tokio::select! {
        answer = &mut first => panic!("{}", answer.status()),
        _ = begins.recv() => {}
    }
    let mut second = Box::pin(ask("bad", "b"));
    let other = tokio::time::timeout(Duration::from_secs(10), ask("other", "c"));
    tokio::select! {
        answer = &mut first => panic!("{}", answer.status()),
        answer = &mut second => panic!("{}", answer.status()),
        _ = begins.recv() => panic!("two at a time"),
        answer = other => assert_eq!(answer.expect("at once").status(), 201),
    }
    others_are_served(&server, "small").await;
    go_on.send(()).expect("it waits");
    assert_eq!(first.await.status(), 201);
    tokio::select! {
        answer = &mut second => panic!("{}", answer.status()),
        _ = begins.recv() => {}
    }
    go_on.send(()).expect("it waits");
    assert_eq!(second.await.status(), 201);
    assert_eq!(server.ledgers.working.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_query_gives_its_request_less_time() {
    let env = Env::system();
    let server = support::server_of(env.clone(), Arc::new(All), Arc::new(Silent)).await;
    let body = || config_map("a").to_string();
    let token = [("authorization", "Bearer as:bad"), ("content-type", "application/json")];
    let began = env.instant();
    let answer = server.call_with("POST", &format!("{CONFIG_MAPS}?timeout=2s"), &token, body()).await;
    let took = env.instant().duration_since(began);
    assert_eq!(answer.code, 504, "{}", answer.text());
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{took:?}");
    let none = "invalid timeout specified in the request URL - time: invalid duration \"abc\"";
    for path in [CONFIG_MAPS, "/healthz"] {
        let answer = server.get(&format!("{path}?timeout=abc")).await;
        assert_eq!((answer.code, answer.message().as_str()), (400, none));
    }
}
