//! Events about objects, as kubelet, controllers and scheduler write them (core/v1), correlated as client-go does so
//! that a crash loop costs one object and not thousands.

mod correlator;
mod recent;

use crate::client::Client;
use crate::error::Error;
use crate::params::{Patch, WriteParams};
use crate::{Api, limits};
use correlator::{Correlated, Correlator};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use sampan_api::k8s::api::core::v1::{Event, EventSource, ObjectReference};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use sampan_api::k8s::{Metadata, Resource};
use sampan_env::{Env, Tasks};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// A reference to the object that an event is about.
pub fn reference<K: Resource + Metadata<Ty = ObjectMeta>>(object: &K) -> ObjectReference {
    let meta = object.metadata();
    ObjectReference {
        api_version: Some(K::API_VERSION.into()),
        kind: Some(K::KIND.into()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        resource_version: meta.resource_version.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Records events of one source. Recording never waits: what does not fit into the queue is dropped and counted.
#[derive(Clone)]
pub struct EventRecorder {
    queue: mpsc::Sender<Message>,
    source: Arc<EventSource>,
    dropped: Arc<AtomicU64>,
    env: Env,
}

enum Message {
    Record(Box<Event>),
    Flush(oneshot::Sender<()>),
}

impl EventRecorder {
    /// `component`: as Kubernetes names the source; `host`: the node, where the source is one's kubelet.
    pub fn new(client: Client, component: &str, host: Option<&str>, env: &Env, tasks: &Tasks) -> Self {
        let (queue, messages) = mpsc::channel(limits::EVENT_QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer { client, env: env.clone(), dropped: dropped.clone() };
        tasks.spawn_until_cancelled(run(writer, messages));
        let source = EventSource { component: Some(component.into()), host: host.map(str::to_owned) };
        Self { queue, source: Arc::new(source), dropped, env: env.clone() }
    }

    pub fn event(&self, regarding: ObjectReference, kind: EventType, reason: &str, message: impl Into<String>) {
        let now = self.env.now();
        let nanos = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let now = Time(Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH));
        let namespace = regarding.namespace.clone().filter(|namespace| !namespace.is_empty());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{nanos:x}", regarding.name.as_deref().unwrap_or_default())),
                // Events about cluster-scoped objects stand in `default`, as client-go puts them.
                namespace: Some(namespace.unwrap_or_else(|| "default".into())),
                ..ObjectMeta::default()
            },
            involved_object: regarding,
            reason: Some(reason.into()),
            message: Some(shorten(message.into())),
            type_: Some(kind.as_str().into()),
            source: Some(EventSource::clone(&self.source)),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            ..Event::default()
        };
        if self.queue.try_send(Message::Record(Box::new(event))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that were not written: the queue was full, the spam filter refused them, or the server did.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything recorded before is written or given up.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            // An error here says that the writer has ended: there is nothing left to wait for.
            wait.await.ok();
        }
    }
}

fn shorten(mut message: String) -> String {
    if message.len() > limits::EVENT_MESSAGE_MAX {
        let mut end = limits::EVENT_MESSAGE_MAX - "...".len();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push_str("...");
    }
    message
}

/// Writes in the order of arrival as seen by each event: its first write is acknowledged before its count is raised.
async fn run(writer: Writer, mut messages: mpsc::Receiver<Message>) {
    let mut correlator = Correlator::default();
    let mut writes: FuturesUnordered<BoxFuture<'_, String>> = FuturesUnordered::new();
    let mut being_written: HashSet<String> = HashSet::new();
    loop {
        let message = tokio::select! {
            Some(name) = writes.next(), if !writes.is_empty() => {
                being_written.remove(&name);
                continue;
            }
            message = messages.recv() => message,
        };
        match message {
            None => break,
            Some(Message::Flush(done)) => {
                while let Some(name) = writes.next().await {
                    being_written.remove(&name);
                }
                // Whoever asked may have stopped waiting.
                done.send(()).ok();
            }
            Some(Message::Record(event)) => {
                let now = writer.env.instant();
                let Some(correlated) = correlator.correlate(*event, now) else {
                    writer.dropped.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                let name = correlated.event.metadata.name.clone().unwrap_or_default();
                while being_written.contains(&name) || writes.len() >= limits::EVENT_WRITES_MAX {
                    let Some(done) = writes.next().await else { break };
                    being_written.remove(&done);
                }
                being_written.insert(name.clone());
                let writer = &writer;
                writes.push(Box::pin(async move {
                    writer.write(correlated).await;
                    name
                }));
            }
        }
    }
}

struct Writer {
    client: Client,
    env: Env,
    dropped: Arc<AtomicU64>,
}

impl Writer {
    async fn write(&self, correlated: Correlated) {
        for attempt in 1..=limits::EVENT_ATTEMPTS_MAX {
            match self.try_write(&correlated).await {
                Ok(()) => return,
                Err(error)
                    if error.status().is_none() && error.is_retriable() && attempt < limits::EVENT_ATTEMPTS_MAX =>
                {
                    let jitter =
                        limits::EVENT_RETRY_WAIT.mul_f64((self.env.random_u64() >> 11) as f64 / (1u64 << 53) as f64);
                    self.env.sleep(limits::EVENT_RETRY_WAIT / 2 + jitter / 2).await;
                }
                Err(error) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, reason = correlated.event.reason.as_deref(), "event not written");
                    return;
                }
            }
        }
    }

    async fn try_write(&self, correlated: &Correlated) -> Result<(), Error> {
        let event = &correlated.event;
        let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = self.client.namespaced(namespace);
        if correlated.repeated {
            let patch = Patch::Merge(json!({
                "count": event.count,
                "lastTimestamp": event.last_timestamp,
                "message": event.message,
            }));
            let name = event.metadata.name.as_deref().unwrap_or_default();
            match api.patch_with(name, None, &patch, &WriteParams::default()).await {
                // It has expired meanwhile: it begins anew with the count it had reached.
                Err(error) if error.is_not_found() => {}
                other => return other.map(drop),
            }
        }
        match api.create(event).await {
            Err(error) if error.is_already_exists() => Ok(()),
            other => other.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, env};
    use std::time::Duration;

    const EVENTS: &str = "/api/v1/namespaces/shop/events";

    fn about(name: &str) -> ObjectReference {
        ObjectReference {
            kind: Some("Pod".into()),
            api_version: Some("v1".into()),
            name: Some(name.into()),
            namespace: Some("shop".into()),
            uid: Some(format!("uid-{name}")),
            ..ObjectReference::default()
        }
    }

    fn written(fake: &Fake) -> Vec<String> {
        fake.names(EVENTS)
            .iter()
            .map(|name| {
                let event = fake.object(&format!("{EVENTS}/{name}")).expect("listed");
                format!(
                    "{} {} {}",
                    event["involvedObject"]["name"].as_str().expect("a name"),
                    event["count"],
                    event["message"]
                )
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_events_are_one_object_with_a_count() {
        let (fake, tasks) = (Fake::new(true), Tasks::new("test"));
        let recorder = EventRecorder::new(fake.client(), "kubelet", Some("node-1"), &env(), &tasks);
        for _ in 0..3 {
            recorder.event(about("a"), EventType::Warning, "BackOff", "again");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        recorder.event(about("b"), EventType::Normal, "Started", "once");
        recorder.flush().await;
        assert_eq!(written(&fake), ["a 3 \"again\"", "b 1 \"once\""]);
        let name = &fake.names(EVENTS)[0];
        let event = fake.object(&format!("{EVENTS}/{name}")).expect("listed");
        assert_eq!((&event["source"]["component"], &event["source"]["host"]), (&"kubelet".into(), &"node-1".into()));
        assert_eq!((&event["type"], &event["kind"]), (&"Warning".into(), &"Event".into()));
        assert_eq!(recorder.dropped(), 0);
        tasks.drain(Duration::from_secs(1)).await.expect("ends");
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_has_expired_begins_anew() {
        let (fake, tasks) = (Fake::new(true), Tasks::new("test"));
        let recorder = EventRecorder::new(fake.client(), "kubelet", None, &env(), &tasks);
        recorder.event(about("a"), EventType::Normal, "Pulled", "x");
        recorder.flush().await;
        fake.remove(&format!("{EVENTS}/{}", fake.names(EVENTS)[0]));
        recorder.event(about("a"), EventType::Normal, "Pulled", "x");
        recorder.flush().await;
        assert_eq!(written(&fake), ["a 2 \"x\""]);
        tasks.drain(Duration::from_secs(1)).await.expect("ends");
    }

    #[test]
    fn long_messages_are_cut_at_a_letter() {
        let text = shorten("ä".repeat(limits::EVENT_MESSAGE_MAX));
        assert!(text.len() <= limits::EVENT_MESSAGE_MAX && text.ends_with("ä..."));
        assert_eq!(shorten("short".into()), "short");
    }
}
