//! Compaction: what a floor takes away, and what it leaves.

use super::{Case, World, show};
use crate::error::Error;
use crate::store::Range;
use futures::FutureExt;

pub(super) const CASES: &[(&str, Case)] = &[
    ("below the floor is compacted, at it is not", |w| floor(w).boxed()),
    ("the current state survives", |w| survives(w).boxed()),
    ("history resumes from the floor on", |w| history(w).boxed()),
    ("a floor never falls", |w| never_falls(w).boxed()),
    ("a prefix's floor leaves its neighbours, or the engine has one for all", |w| prefixes(w).boxed()),
    ("revisions go on after everything was deleted and compacted", |w| emptied(w).boxed()),
];

async fn floor(w: World) {
    for value in ["1", "2", "3", "4"] {
        w.put("/p/a", value).await;
    }
    assert_eq!(w.store.floor("/p/").await, Ok(0));
    assert_eq!(w.store.compact("/p/", 3).await, Ok(3));
    assert_eq!(w.store.floor("/p/").await, Ok(3));
    let compacted = Error::Compacted { floor: 3 };
    for at in [0, 1, 2] {
        assert_eq!(w.store.get("/p/a", Some(at)).await.map(|_| ()), Err(compacted.clone()), "at {at}");
        assert_eq!(w.store.range(Range::prefix("/p/"), Some(at)).await.map(|_| ()), Err(compacted.clone()), "at {at}");
        assert_eq!(w.store.history("/p/", at, 4, 10).await.map(|_| ()), Err(compacted.clone()), "after {at}");
    }
    assert_eq!(w.value("/p/a", Some(3)).await.as_deref(), Some("3"));
    assert_eq!(w.value("/p/a", Some(4)).await.as_deref(), Some("4"));
}

async fn survives(w: World) {
    w.put("/p/old", "x").await;
    w.put("/p/gone", "x").await;
    w.delete("/p/gone").await;
    w.put("/p/new", "1").await;
    w.put("/p/new", "2").await;
    w.store.compact("/p/", 5).await.expect("not ahead");
    let result = w.store.range(Range::prefix("/p/"), None).await.expect("readable");
    let entries: Vec<_> =
        result.entries.iter().map(|e| (&*e.key, e.create_revision, e.mod_revision, e.version)).collect();
    assert_eq!(entries, [("/p/new", 4, 5, 2), ("/p/old", 1, 1, 1)]);
    assert_eq!(w.put("/p/old", "y").await, 6);
    let entry = w.store.get("/p/old", None).await.expect("readable").expect("exists");
    assert_eq!((entry.create_revision, entry.version), (1, 2));
}

async fn history(w: World) {
    w.put("/p/a", "1").await;
    w.put("/p/b", "2").await;
    w.put("/p/a", "3").await;
    w.delete("/p/b").await;
    w.delete("/p/a").await;
    w.store.compact("/p/", 3).await.expect("not ahead");
    let events = w.store.history("/p/", 3, 5, 10).await.expect("from the floor on");
    assert_eq!(show(&events), ["-/p/b@4.0=2", "-/p/a@5.0=3"], "with values from below the floor");
}

async fn never_falls(w: World) {
    for _ in 0..5 {
        w.put("/p/a", "x").await;
    }
    assert_eq!(w.store.compact("/p/", 4).await, Ok(4));
    assert_eq!(w.store.compact("/p/", 2).await, Ok(4));
    assert_eq!(w.store.floor("/p/a").await, Ok(4));
    assert_eq!(w.store.compact("/p/", 5).await, Ok(5));
}

async fn prefixes(w: World) {
    for key in ["/p/a", "/q/a"] {
        w.put(key, "1").await;
        w.put(key, "2").await;
    }
    w.store.compact("/p/", 4).await.expect("not ahead");
    match w.store.floor("/q/").await.expect("open") {
        0 => {
            assert_eq!(w.value("/q/a", Some(3)).await.as_deref(), Some("1"));
            assert_eq!(w.store.history("/q/", 0, 4, 10).await.map(|events| events.len()), Ok(2));
        }
        floor => assert_eq!(floor, 4, "one floor for all"),
    }
    assert_eq!(w.store.floor("").await, Ok(4), "reading all touches the prefix");
    assert_eq!(w.store.range(Range::default(), Some(3)).await.map(|_| ()), Err(Error::Compacted { floor: 4 }));
    assert_eq!(w.store.get("/p/a", Some(3)).await.map(|_| ()), Err(Error::Compacted { floor: 4 }));
}

async fn emptied(w: World) {
    w.put("/p/a", "x").await;
    w.delete("/p/a").await;
    w.store.compact("", 2).await.expect("not ahead");
    assert_eq!(w.store.range(Range::default(), None).await.map(|r| (r.entries.len(), r.revision)), Ok((0, 2)));
    assert_eq!(w.put("/p/a", "y").await, 3);
    let entry = w.store.get("/p/a", None).await.expect("readable").expect("exists");
    assert_eq!((entry.create_revision, entry.version), (3, 1));
}
