//! Transactions: revisions, versions, compares, limits.

use super::{Case, World, writer};
use crate::error::Error;
use crate::limits::{KEY_BYTES_MAX, TXN_OPS_MAX, VALUE_BYTES_MAX};
use crate::txn::{Compare, Op, Txn};
use futures::FutureExt;
use futures::future::join_all;
use std::time::UNIX_EPOCH;

pub(super) const CASES: &[(&str, Case)] = &[
    ("revisions begin at 1 and have no gaps", |w| revisions(w).boxed()),
    ("create, modify and version follow a key", |w| versions(w).boxed()),
    ("a re-created key starts anew", |w| recreated(w).boxed()),
    ("a transaction has one revision and an index per row", |w| one_revision(w).boxed()),
    ("a compare that fails changes nothing", |w| conflicts(w).boxed()),
    ("compares over several keys all have to hold", |w| several_compares(w).boxed()),
    ("of concurrent creates one wins", |w| concurrent_creates(w).boxed()),
    ("concurrent increments lose nothing", |w| concurrent_increments(w).boxed()),
    ("deleting what is absent uses no revision", |w| delete_absent(w).boxed()),
    ("a transaction without operations only compares", |w| only_compares(w).boxed()),
    ("limits and malformed keys are refused", |w| refused(w).boxed()),
    ("the greatest transaction fits", |w| greatest(w).boxed()),
    ("the writer and the time are kept", |w| identity(w).boxed()),
    ("a closed store says so", |w| closed(w).boxed()),
];

async fn revisions(w: World) {
    assert_eq!(w.store.current_revision().await, Ok(0));
    for expected in 1..=5 {
        assert_eq!(w.put("/a", "x").await, expected);
    }
    assert_eq!(w.delete("/a").await, 6);
    assert_eq!(w.put("/b", "x").await, 7);
    assert_eq!(w.store.current_revision().await, Ok(7));
}

async fn versions(w: World) {
    w.put("/other", "x").await;
    for (value, version) in [("one", 1), ("two", 2), ("three", 3)] {
        w.put("/a", value).await;
        let entry = w.store.get("/a", None).await.expect("readable").expect("exists");
        assert_eq!((entry.create_revision, entry.mod_revision, entry.version), (2, 1 + version, version));
        assert_eq!(entry.value, value.as_bytes());
    }
}

async fn recreated(w: World) {
    w.put("/a", "x").await;
    w.put("/a", "y").await;
    w.delete("/a").await;
    assert_eq!(w.value("/a", None).await, None);
    w.put("/a", "z").await;
    let entry = w.store.get("/a", None).await.expect("readable").expect("exists");
    assert_eq!((entry.create_revision, entry.mod_revision, entry.version), (4, 4, 1));
}

async fn one_revision(w: World) {
    w.put("/b", "old").await;
    let done =
        w.txn(vec![], vec![Op::put("/a", "1"), Op::delete("/b"), Op::put("/c", "3")]).await.expect("nothing to refuse");
    assert_eq!(super::show(&done.events), ["+/a@2.0=1", "-/b@2.1=old", "+/c@2.2=3"]);
    assert_eq!(done.revision, 2);
    assert_eq!(w.put("/d", "x").await, 3);
}

async fn conflicts(w: World) {
    let revision = w.put("/a", "x").await;
    for (compare, actual) in [
        (Compare::absent("/a"), revision),
        (Compare::ModRevision { key: "/a".into(), equals: revision + 1 }, revision),
        (Compare::CreateRevision { key: "/a".into(), equals: 9 }, revision),
        (Compare::Version { key: "/a".into(), equals: 2 }, revision),
        (Compare::ModRevision { key: "/none".into(), equals: 1 }, 0),
    ] {
        let key = compare.key().to_string();
        let refused = w.txn(vec![compare], vec![Op::put("/a", "y"), Op::put("/b", "y")]).await;
        assert_eq!(refused.map(|done| done.revision), Err(Error::Conflict { key, actual_mod_revision: actual }));
    }
    assert_eq!(w.value("/a", None).await.as_deref(), Some("x"));
    assert_eq!(w.value("/b", None).await, None);
    assert_eq!(w.store.current_revision().await, Ok(revision));
}

async fn several_compares(w: World) {
    let (a, b) = (w.put("/a", "x").await, w.put("/b", "x").await);
    let compares = |b| {
        vec![
            Compare::ModRevision { key: "/a".into(), equals: a },
            Compare::ModRevision { key: "/b".into(), equals: b },
            Compare::absent("/c"),
        ]
    };
    let ops = || vec![Op::put("/a", "y"), Op::delete("/b"), Op::put("/c", "y")];
    let refused = w.txn(compares(b + 1), ops()).await.map(|done| done.revision);
    assert_eq!(refused, Err(Error::Conflict { key: "/b".into(), actual_mod_revision: b }));
    assert_eq!(w.txn(compares(b), ops()).await.expect("all hold").revision, 3);
    assert_eq!(w.value("/b", None).await, None);
}

async fn concurrent_creates(w: World) {
    let attempts = (0..32).map(|_| w.txn(vec![Compare::absent("/a")], vec![Op::put("/a", "x")]));
    let results = join_all(attempts).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for refused in results.into_iter().filter_map(Result::err) {
        assert_eq!(refused, Error::Conflict { key: "/a".into(), actual_mod_revision: 1 });
    }
    assert_eq!(w.store.current_revision().await, Ok(1));
}

async fn concurrent_increments(w: World) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 10;
    w.put("/n", "x").await;
    let increment = async || {
        for _ in 0..EACH {
            let mut expected = w.store.get("/n", None).await.expect("readable").expect("exists").mod_revision;
            let compare = |equals| vec![Compare::ModRevision { key: "/n".into(), equals }];
            while let Err(error) = w.txn(compare(expected), vec![Op::put("/n", "x")]).await {
                let Error::Conflict { actual_mod_revision, .. } = error else { panic!("{error}") };
                expected = actual_mod_revision;
            }
        }
    };
    join_all((0..WRITERS).map(|_| increment())).await;
    let entry = w.store.get("/n", None).await.expect("readable").expect("exists");
    assert_eq!((entry.version, entry.mod_revision), (1 + WRITERS * EACH, 1 + WRITERS * EACH));
}

async fn delete_absent(w: World) {
    w.put("/a", "x").await;
    let done = w.txn(vec![], vec![Op::delete("/none")]).await.expect("nothing to refuse");
    assert_eq!((done.revision, done.events.len()), (1, 0));
    let done = w.txn(vec![], vec![Op::delete("/none"), Op::put("/b", "x")]).await.expect("nothing to refuse");
    assert_eq!(super::show(&done.events), ["+/b@2.0=x"]);
}

async fn only_compares(w: World) {
    let revision = w.put("/a", "x").await;
    let holds = w.txn(vec![Compare::ModRevision { key: "/a".into(), equals: revision }], vec![]).await;
    assert_eq!(holds.map(|done| (done.revision, done.events.len())), Ok((revision, 0)));
    let refused = w.txn(vec![Compare::absent("/a")], vec![]).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    assert_eq!(w.store.current_revision().await, Ok(revision));
}

async fn refused(w: World) {
    for key in ["", "a", "/a\n", "/a\0b"] {
        let refused = w.txn(vec![], vec![Op::put(key, "x")]).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{key:?}: {refused:?}");
    }
    let twice = w.txn(vec![], vec![Op::put("/a", "x"), Op::delete("/a")]).await;
    assert!(matches!(twice, Err(Error::Invalid(_))), "{twice:?}");
    let long = format!("/{}", "x".repeat(KEY_BYTES_MAX));
    let many = (0..=TXN_OPS_MAX).map(|i| Op::put(format!("/{i}"), "x")).collect();
    let big = vec![0; VALUE_BYTES_MAX + 1];
    for ops in [vec![Op::put(long, "x")], many, vec![Op::put("/a", big)]] {
        let refused = w.txn(vec![], ops).await;
        assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    }
    assert_eq!(w.store.current_revision().await, Ok(0));
}

async fn greatest(w: World) {
    let ops = (0..TXN_OPS_MAX).map(|i| Op::put(format!("/{i}"), "x")).collect();
    let done = w.txn(vec![], ops).await.expect("it is at the limit");
    assert_eq!((done.revision, done.events.len()), (1, TXN_OPS_MAX));
    w.txn(vec![], vec![Op::put("/big", vec![b'x'; VALUE_BYTES_MAX])]).await.expect("it is at the limit");
    assert_eq!(w.value("/big", None).await.map(|value| value.len()), Some(VALUE_BYTES_MAX));
    assert_eq!(w.store.history("", 0, 1, 10).await.map(|events| events.len()), Ok(TXN_OPS_MAX));
}

async fn identity(w: World) {
    let now = w.env.now();
    w.txn(vec![], vec![Op::put("/a", "x")]).await.expect("nothing to refuse");
    let txn = Txn { compares: vec![], ops: vec![Op::delete("/a")], writer: writer("delete") };
    let done = w.store.txn(txn).await.expect("nothing to refuse");
    assert_eq!(*done.events[0].entry.writer, writer("delete"));
    let events = w.store.history("/a", 0, 2, 10).await.expect("readable");
    assert_eq!(*events[0].entry.writer, writer("suite"));
    assert_eq!(*events[1].entry.writer, writer("delete"));
    let millis = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    assert_eq!(millis(events[0].entry.time), millis(now));
    let entry = w.store.get("/a", Some(1)).await.expect("readable").expect("exists");
    assert_eq!(*entry.writer, writer("suite"));
}

async fn closed(w: World) {
    w.put("/a", "x").await;
    w.store.close().await;
    let refused = w.txn(vec![], vec![Op::put("/a", "y")]).await.map(|done| done.revision);
    assert_eq!(refused, Err(Error::Closed));
    assert_eq!(w.store.get("/a", None).await.map(|_| ()), Err(Error::Closed));
    assert_eq!(w.store.wait_for(2).await, Err(Error::Closed));
    assert!(w.store.statistics().closed);
    w.store.close().await;
}
