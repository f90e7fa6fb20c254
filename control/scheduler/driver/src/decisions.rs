//! Decisions onto the record: kept in memory, and posted many at a time, those that say something new.

use crate::limits;
use crate::posted::Posted;
use crate::record::{Records, decision};
use crate::writer::Decided;
use bytes::Bytes;
use futures::{StreamExt, stream};
use sampan_api::scheduling::{API_VERSION, Decision};
use sampan_client::{Client, DeleteParams, Error};
use sampan_env::Env;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Keeps decisions in the ring and posts them.
pub(crate) struct Decisions {
    pub client: Client,
    pub env: Env,
    pub records: Records,
    pub run: String,
    pub dropped: Arc<AtomicU64>,
}

/// A decision as it is posted: encoded once.
#[derive(Debug)]
struct Encoded {
    json: Vec<u8>,
    uid: Arc<str>,
    namespace: String,
    name: String,
}

/// Decisions that wait to be posted.
#[derive(Default)]
struct Waiting {
    line: VecDeque<Encoded>,
    posted: Posted,
    /// The server could not take any: until then nobody asks it again.
    paused_until: Option<tokio::time::Instant>,
    told: bool,
}

impl Waiting {
    /// As many as fit into one write; at least one.
    fn batch(&mut self) -> Vec<Encoded> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.line.front() {
            bytes += next.json.len();
            let is_full = batch.len() == limits::DECISIONS_BATCH || bytes > limits::DECISIONS_BATCH_BYTES;
            if is_full && !batch.is_empty() {
                break;
            }
            batch.extend(self.line.pop_front());
        }
        batch
    }

    fn put_back(&mut self, batch: Vec<Encoded>) {
        batch.into_iter().rev().for_each(|one| self.line.push_front(one));
    }
}

impl Decisions {
    pub async fn run(self, mut decided: mpsc::Receiver<Decided>) {
        let mut waiting = Waiting::default();
        loop {
            let pause = waiting.paused_until.filter(|_| !waiting.line.is_empty());
            let pause = pause.map(|until| until.saturating_duration_since(self.env.instant()));
            tokio::select! {
                first = decided.recv() => {
                    let Some(first) = first else { return };
                    self.take(first, &mut waiting);
                    // Wait a little for others: one write for many.
                    self.env.sleep(limits::DECISIONS_WAIT).await;
                    while let Ok(more) = decided.try_recv() {
                        self.take(more, &mut waiting);
                    }
                }
                () = self.env.sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {}
            }
            if waiting.paused_until.is_none_or(|until| self.env.instant() >= until) {
                self.post_all(&mut waiting).await;
            }
        }
    }

    fn drop_one(&self, waiting: &mut Waiting, one: &Encoded) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        waiting.posted.lost(&one.uid);
    }

    fn take(&self, decided: Decided, waiting: &mut Waiting) {
        let uid = Arc::clone(&decided.cycled.pod.uid);
        let decision = Arc::new(decision(&decided.cycled, &self.run, self.env.now(), decided.micros));
        self.records.keep(Arc::clone(&decision));
        if waiting.posted.is_news(&uid, &decision.outcome) {
            self.enqueue(&decision, uid, waiting);
        }
    }

    fn enqueue(&self, decision: &Decision, uid: Arc<str>, waiting: &mut Waiting) {
        let json = match serde_json::to_vec(decision) {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(%error, "a decision cannot be encoded");
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        if waiting.line.len() == limits::DECISIONS_WAITING
            && let Some(oldest) = waiting.line.pop_front()
        {
            self.drop_one(waiting, &oldest);
        }
        let (namespace, name) = (decision.pod.namespace.clone(), decision.metadata.name.clone().unwrap_or_default());
        waiting.line.push_back(Encoded { json, uid, namespace, name });
    }

    /// Posts until nothing waits or the server cannot take more.
    async fn post_all(&self, waiting: &mut Waiting) {
        waiting.paused_until = None;
        while !waiting.line.is_empty() && waiting.paused_until.is_none() {
            let batch = waiting.batch();
            self.post_batch(batch, waiting).await;
        }
    }

    /// Posts a batch; where it is refused, its halves, so that a decision that cannot be stored costs only itself.
    async fn post_batch(&self, batch: Vec<Encoded>, waiting: &mut Waiting) {
        let (size, mut stored, mut parts) = (batch.len(), 0, vec![batch]);
        while let Some(mut part) = parts.pop() {
            let error = match self.post(&part).await {
                Ok(()) => {
                    stored += part.len();
                    self.stored(part, waiting).await;
                    continue;
                }
                Err(error) => error,
            };
            if !is_refusal(&error) {
                // It may be able to later: nothing is lost, and the order is kept.
                self.pause(waiting, &error);
                parts.push(part);
                parts.into_iter().for_each(|part| waiting.put_back(part));
                return;
            }
            if part.len() > 1 {
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
            } else if error.is_already_exists() {
                // An earlier try, whose answer was lost, has stored it.
                stored += 1;
            } else {
                tracing::debug!(%error, "a decision record is not stored");
                part.iter().for_each(|one| self.drop_one(waiting, one));
            }
            if parts.is_empty() && stored == 0 && size > 1 {
                // All of many: it is not for one of them.
                self.pause(waiting, &error);
            }
        }
    }

    fn pause(&self, waiting: &mut Waiting, error: &Error) {
        waiting.paused_until = Some(self.env.instant() + limits::DECISIONS_PAUSE);
        if !waiting.told {
            tracing::warn!(%error, "decision records are not posted for now; the latest are kept in memory");
            waiting.told = true;
        }
    }

    /// Deletes what the newer decisions of the same pods make superfluous.
    async fn stored(&self, part: Vec<Encoded>, waiting: &mut Waiting) {
        waiting.told = false;
        let old: Vec<(String, String)> = part
            .into_iter()
            .filter_map(|one| Some((one.namespace, waiting.posted.stored(&one.uid, one.name)?)))
            .collect();
        let client = &self.client;
        let deletions =
            stream::iter(old).for_each_concurrent(limits::DECISIONS_DELETED_AT_ONCE, async |(namespace, name)| {
                let deleted = client.namespaced::<Decision>(&namespace).delete(&name, &DeleteParams::default()).await;
                if let Err(error) = deleted
                    && !error.is_not_found()
                {
                    tracing::debug!(%error, %namespace, %name, "an old decision record is not deleted");
                }
            });
        deletions.await;
    }

    async fn post(&self, part: &[Encoded]) -> Result<(), Error> {
        let request = http::Request::post(format!("/apis/{API_VERSION}/decisionbatches"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json")
            .body(body(part))
            .map_err(|error| Error::Config(error.to_string()))?;
        self.client.request::<serde_json::Value>(request).await.map(|_| ())
    }
}

/// The batch's body. Its items are objects with at least one member each.
fn body(part: &[Encoded]) -> Bytes {
    let head = |kind: &str| format!(r#"{{"apiVersion":"{API_VERSION}","kind":"{kind}","#);
    let item = head("Decision");
    let bytes: usize = part.iter().map(|one| one.json.len() + item.len()).sum();
    let mut body = Vec::with_capacity(bytes + 256);
    body.extend_from_slice(head("DecisionBatch").as_bytes());
    body.extend_from_slice(br#""metadata":{},"items":["#);
    for (at, one) in part.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item.as_bytes());
        body.extend_from_slice(&one.json[1..]);
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// It is for what was asked: the same again will be refused again.
fn is_refusal(error: &Error) -> bool {
    error.status().is_some() && matches!(error.code(), 400..=499) && !matches!(error.code(), 401 | 408 | 429)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Request, Response, StatusCode};
    use parking_lot::Mutex;
    use sampan_api::UserInfo;
    use sampan_client::{ApiService, Body, collect, full};
    use std::time::SystemTime;

    /// An API that refuses some batches.
    #[derive(Clone, Default)]
    struct Fake(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        stored: Vec<String>,
        posts: usize,
        /// The answer to a batch that holds a pod of this name.
        refused: Vec<(&'static str, u16)>,
        down: bool,
    }

    impl Fake {
        async fn answer(&self, request: Request<Body>) -> Response<Body> {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let bytes = collect(request.into_body(), usize::MAX).await.expect("a body");
            let mut state = self.0.lock();
            let answer = |code: u16, value: serde_json::Value| {
                let mut response = Response::new(full(value.to_string()));
                *response.status_mut() = StatusCode::from_u16(code).expect("a code");
                response.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
                response
            };
            let refusal = |code: u16| {
                let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                    "reason": "Because", "message": "no"});
                answer(code, status)
            };
            if method == Method::DELETE {
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                state.stored.retain(|stored| *stored != name);
                return answer(200, serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
            }
            state.posts += 1;
            if state.down {
                return refusal(503);
            }
            let batch: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(batch["kind"], "DecisionBatch");
            let items = batch["items"].as_array().expect("items");
            for item in items {
                assert_eq!((item["kind"].as_str(), item["apiVersion"].as_str()), (Some("Decision"), Some(API_VERSION)));
                let pod = item["pod"]["name"].as_str().expect("a pod");
                if let Some((_, code)) = state.refused.iter().find(|(name, _)| *name == pod) {
                    return refusal(*code);
                }
            }
            let names = items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned());
            state.stored.extend(names);
            answer(201, serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
        }
    }

    fn decisions(fake: &Fake) -> Decisions {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH);
        let fake = fake.clone();
        let service = ApiService::new(tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, std::convert::Infallible>(fake.answer(request).await) }
        }));
        Decisions {
            client: Client::in_process(
                service,
                UserInfo::new("system:kube-scheduler", Vec::<String>::new()),
                "test",
                &env,
            ),
            env,
            records: Records::default(),
            run: "run".into(),
            dropped: Arc::default(),
        }
    }

    fn decision_of(pod: &str, number: u64, message: &str) -> Decision {
        let mut decision = Decision { sequence: number, ..Decision::default() };
        decision.pod.name = pod.into();
        decision.pod.namespace = "d".into();
        decision.outcome.message = message.into();
        decision.metadata.name = Some(format!("{pod}.{number}"));
        decision
    }

    fn add(decisions: &Decisions, waiting: &mut Waiting, decision: &Decision) {
        let uid: Arc<str> = decision.pod.name.as_str().into();
        if waiting.posted.is_news(&uid, &decision.outcome) {
            decisions.enqueue(decision, uid, waiting);
        }
    }

    fn dropped(decisions: &Decisions) -> u64 {
        decisions.dropped.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_refused_costs_only_itself() {
        for code in [400, 403, 404, 409, 413, 422] {
            let fake = Fake::default();
            let (decisions, mut waiting) = (decisions(&fake), Waiting::default());
            fake.0.lock().refused = vec![("p77", code)];
            for number in 0..200 {
                add(&decisions, &mut waiting, &decision_of(&format!("p{number}"), number, "m"));
            }
            decisions.post_all(&mut waiting).await;
            let state = fake.0.lock();
            let expected: Vec<String> = (0..200).filter(|n| *n != 77).map(|n| format!("p{n}.{n}")).collect();
            assert_eq!(state.stored, expected, "{code}: all others, in order");
            assert!(state.posts < 20, "{code}: {} posts", state.posts);
            assert_eq!((dropped(&decisions), waiting.paused_until), (1, None), "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_server_is_down_they_wait() {
        let fake = Fake::default();
        let (decisions, mut waiting) = (decisions(&fake), Waiting::default());
        fake.0.lock().down = true;
        for number in 0..300 {
            add(&decisions, &mut waiting, &decision_of(&format!("p{number}"), number, "m"));
        }
        decisions.post_all(&mut waiting).await;
        assert!(waiting.paused_until.is_some_and(|until| until > decisions.env.instant()));
        assert_eq!((fake.0.lock().posts, waiting.line.len(), dropped(&decisions)), (1, 300, 0));
        fake.0.lock().down = false;
        decisions.post_all(&mut waiting).await;
        let expected: Vec<String> = (0..300).map(|n| format!("p{n}.{n}")).collect();
        assert_eq!(fake.0.lock().stored, expected);
        assert_eq!((fake.0.lock().posts, dropped(&decisions), waiting.paused_until), (3, 0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_do_not_fill_the_store() {
        let fake = Fake::default();
        let (decisions, mut waiting) = (decisions(&fake), Waiting::default());
        let mut number = 0;
        let mut tell = |waiting: &mut Waiting, message: &str| {
            number += 1;
            add(&decisions, waiting, &decision_of("p", number, message));
        };
        for _ in 0..50 {
            tell(&mut waiting, "0/3 nodes are available");
            decisions.post_all(&mut waiting).await;
        }
        assert_eq!(fake.0.lock().stored, ["p.1"], "the same again is not news");
        for count in 0..20 {
            tell(&mut waiting, &format!("0/{count} nodes are available"));
            decisions.post_all(&mut waiting).await;
        }
        let last: Vec<String> = (66..=70).map(|n| format!("p.{n}")).collect();
        assert_eq!(fake.0.lock().stored, last, "the last few of a pod");
        assert_eq!(last.len(), limits::DECISIONS_OF_POD);
    }

    #[test]
    fn a_batch_is_bounded_by_count_and_bytes() {
        let check = |sizes: &[usize], expected: &[usize]| {
            let mut waiting = Waiting::default();
            for size in sizes {
                let one =
                    Encoded { json: vec![0; *size], uid: "u".into(), namespace: String::new(), name: String::new() };
                waiting.line.push_back(one);
            }
            let mut batches = Vec::new();
            while !waiting.line.is_empty() {
                batches.push(waiting.batch().len());
            }
            assert_eq!(batches, expected);
        };
        check(&[10; limits::DECISIONS_BATCH + 1], &[limits::DECISIONS_BATCH, 1]);
        let half = limits::DECISIONS_BATCH_BYTES / 2;
        check(&[half, half, half], &[2, 1]);
        check(&[3 * half, 1, 3 * half], &[1, 1, 1]);
    }
}
