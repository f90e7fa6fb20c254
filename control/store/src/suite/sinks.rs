//! What sinks are handed, and when.

use super::{Case, World, show, writer};
use crate::entry::{Event, Payload};
use crate::store::{Range, Sink};
use crate::txn::{Compare, Op, Txn};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use parking_lot::Mutex;
use std::sync::Arc;

pub(super) const CASES: &[(&str, Case)] = &[
    ("sinks see every event once, in order", |w| ordered(w).boxed()),
    ("sinks see a transaction before its writer does", |w| before_ack(w).boxed()),
    ("a late sink continues where it was told", |w| late(w).boxed()),
    ("payloads are handed through and not stored", |w| payloads(w).boxed()),
    ("deletions carry the last value", |w| deletions(w).boxed()),
    ("what is refused is not published", |w| refused(w).boxed()),
];

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Sink for Recorder {
    fn committed(&self, events: &[Event]) {
        assert!(!events.is_empty(), "a call says something");
        self.0.lock().extend_from_slice(events);
    }
}

impl Recorder {
    fn seen(&self) -> Vec<Event> {
        self.0.lock().clone()
    }
}

async fn ordered(w: World) {
    let recorder = Arc::new(Recorder::default());
    assert_eq!(w.store.subscribe(recorder.clone()), 0);
    let writes = (0..40).map(|i| {
        let ops = vec![Op::put(format!("/p/{}", i % 7), "x"), Op::put(format!("/q/{i}"), "x")];
        w.txn(vec![], ops)
    });
    for done in join_all(writes).await {
        done.expect("nothing to refuse");
    }
    let seen: Vec<(u64, u32)> = recorder.seen().iter().map(|event| (event.revision(), event.index)).collect();
    let expected: Vec<(u64, u32)> = (1..=40).flat_map(|revision| [(revision, 0), (revision, 1)]).collect();
    assert_eq!(seen, expected);
    assert_eq!(show(&recorder.seen()), show(&w.store.history("", 0, 40, 1_000).await.expect("readable")));
}

async fn before_ack(w: World) {
    let recorder = Arc::new(Recorder::default());
    w.store.subscribe(recorder.clone());
    for _ in 0..20 {
        let revision = w.put("/a", "x").await;
        assert_eq!(recorder.seen().last().map(Event::revision), Some(revision));
    }
}

async fn late(w: World) {
    w.put("/a", "1").await;
    let recorder = Arc::new(Recorder::default());
    let from = w.store.subscribe(recorder.clone());
    let base = w.store.range(Range::default(), None).await.expect("readable");
    w.put("/b", "2").await;
    assert_eq!((from, base.revision), (1, 1));
    assert_eq!(show(&recorder.seen()), ["+/b@2.0=2"]);
}

async fn payloads(w: World) {
    let recorder = Arc::new(Recorder::default());
    w.store.subscribe(recorder.clone());
    let payload: Payload = Arc::new("parsed");
    let value = Bytes::from_static(b"x");
    let put = Op::Put { key: "/a".into(), value: value.clone(), payload: Some(payload.clone()), lease: None };
    let done = w.txn(vec![], vec![put]).await.expect("nothing to refuse");
    let delete = Op::Delete { key: "/a".into(), payload: Some(payload.clone()), last: Some(value) };
    w.txn(vec![Compare::ModRevision { key: "/a".into(), equals: done.revision }], vec![delete]).await.expect("current");
    let is_ours = |event: &Event| event.entry.payload.as_ref().is_some_and(|p| Arc::ptr_eq(p, &payload));
    assert!(done.events.iter().all(is_ours));
    assert!(recorder.seen().iter().all(is_ours));
    let read = w.store.get("/a", Some(1)).await.expect("readable").expect("existed");
    assert!(read.payload.is_none());
}

async fn deletions(w: World) {
    let recorder = Arc::new(Recorder::default());
    w.store.subscribe(recorder.clone());
    w.put("/a", "one").await;
    w.put("/b", "two").await;
    let delete = |key: &str| w.txn(vec![], vec![Op::delete(key)]);
    // Together, so that an engine that batches does so: a value of this very batch, one of an earlier one.
    let (put, a, c) = futures::join!(w.txn(vec![], vec![Op::put("/c", "three")]), delete("/a"), delete("/c"));
    put.expect("nothing to refuse");
    a.expect("nothing to refuse");
    c.expect("nothing to refuse");
    w.delete("/b").await;
    let values: Vec<String> = show(&recorder.seen()).into_iter().filter(|event| event.starts_with('-')).collect();
    assert_eq!(values, ["-/a@4.0=one", "-/c@5.0=three", "-/b@6.0=two"]);
    let history = w.store.history("", 0, 6, 100).await.expect("readable");
    assert_eq!(show(&history), show(&recorder.seen()));
}

async fn refused(w: World) {
    let recorder = Arc::new(Recorder::default());
    w.store.subscribe(recorder.clone());
    w.put("/a", "x").await;
    let txn = Txn { compares: vec![Compare::absent("/a")], ops: vec![Op::put("/a", "y")], writer: writer("create") };
    w.store.txn(txn).await.expect_err("it exists");
    w.txn(vec![], vec![Op::delete("/none")]).await.expect("nothing to refuse");
    assert_eq!(show(&recorder.seen()), ["+/a@1.0=x"]);
}
