//! Reads of keys, ranges and history, now and then.

use super::{Case, World, show};
use crate::error::Error;
use crate::limits::KEY_BYTES_MAX;
use crate::store::Range;
use crate::txn::Op;
use futures::FutureExt;
use std::time::Duration;

pub(super) const CASES: &[(&str, Case)] = &[
    ("the revision of a time is the last one before it", |w| revision_at(w).boxed()),
    ("a key is read as of each revision", |w| get_at(w).boxed()),
    ("a range is one snapshot in key order", |w| range_now(w).boxed()),
    ("a range is read as of each revision", |w| range_at(w).boxed()),
    ("pages at one revision join to the whole", |w| pages(w).boxed()),
    ("prefixes are exact, also at odd characters", |w| prefixes(w).boxed()),
    ("what can be no key is not found", |w| no_key(w).boxed()),
    ("history is ordered, with its deletions' values", |w| history(w).boxed()),
    ("history's pages never cut a transaction", |w| history_pages(w).boxed()),
    ("the future is refused", |w| future(w).boxed()),
    ("waiting ends with the revision", |w| waiting(w).boxed()),
    ("what was acknowledged is read at once", |w| own_writes(w).boxed()),
];

async fn get_at(w: World) {
    w.put("/a", "1").await;
    w.put("/b", "x").await;
    w.put("/a", "3").await;
    w.delete("/a").await;
    w.put("/a", "5").await;
    for (at, expected) in [(0, None), (1, Some("1")), (2, Some("1")), (3, Some("3")), (4, None), (5, Some("5"))] {
        assert_eq!(w.value("/a", Some(at)).await.as_deref(), expected, "at {at}");
    }
    let then = w.store.get("/a", Some(3)).await.expect("readable").expect("existed");
    assert_eq!((then.create_revision, then.mod_revision, then.version), (1, 3, 2));
}

async fn keys(w: &World, range: Range, at: Option<u64>) -> Vec<String> {
    let alone = w.store.keys(range.clone(), at).await.expect("readable");
    let result = w.store.range(range, at).await.expect("readable");
    let found: Vec<_> = result.entries.iter().map(|entry| entry.key.clone()).collect();
    assert_eq!((alone.keys, alone.more), (found, result.more), "keys alone are those of the entries");
    result.entries.iter().map(|entry| format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value))).collect()
}

async fn range_now(w: World) {
    assert_eq!(
        w.store.range(Range::default(), None).await.map(|result| (result.entries.len(), result.revision)),
        Ok((0, 0))
    );
    for key in ["/p/c", "/p/a", "/q/x", "/p/b", "/o"] {
        w.put(key, "1").await;
    }
    w.delete("/p/b").await;
    assert_eq!(keys(&w, Range::prefix("/p/"), None).await, ["/p/a=1", "/p/c=1"]);
    assert_eq!(keys(&w, Range::default(), None).await, ["/o=1", "/p/a=1", "/p/c=1", "/q/x=1"]);
    let result = w.store.range(Range::prefix("/none/"), None).await.expect("readable");
    assert_eq!((result.entries.len(), result.revision, result.more), (0, 6, false));
}

async fn range_at(w: World) {
    w.put("/p/a", "1").await;
    w.put("/p/b", "2").await;
    w.txn(vec![], vec![Op::put("/p/a", "3"), Op::put("/p/c", "3")]).await.expect("nothing to refuse");
    w.delete("/p/a").await;
    let expected: [&[&str]; 5] =
        [&[], &["/p/a=1"], &["/p/a=1", "/p/b=2"], &["/p/a=3", "/p/b=2", "/p/c=3"], &["/p/b=2", "/p/c=3"]];
    for (at, expected) in expected.iter().enumerate() {
        let result = w.store.range(Range::prefix("/p/"), Some(at as u64)).await.expect("readable");
        assert_eq!(result.revision, at as u64);
        assert_eq!(&keys(&w, Range::prefix("/p/"), Some(at as u64)).await, expected, "at {at}");
    }
}

async fn pages(w: World) {
    for i in 0..10 {
        w.put(&format!("/p/{i}"), "x").await;
    }
    w.delete("/p/4").await;
    let at = w.store.current_revision().await.expect("open");
    let whole = keys(&w, Range::prefix("/p/"), Some(at)).await;
    // Later writes do not show in pages of an earlier revision.
    w.delete("/p/7").await;
    w.put("/p/77", "x").await;
    for limit in [1, 2, 3, 9, 10] {
        let (mut joined, mut start_after) = (Vec::new(), None);
        loop {
            let range = Range { prefix: "/p/".into(), start_after, limit: Some(limit) };
            let page = w.store.range(range.clone(), Some(at)).await.expect("readable");
            assert_eq!(page.revision, at);
            assert!(page.entries.len() <= limit);
            assert_eq!(page.more, joined.len() + page.entries.len() < whole.len());
            joined.extend(keys(&w, range, Some(at)).await);
            start_after = page.entries.last().map(|entry| entry.key.to_string());
            if !page.more {
                break;
            }
        }
        assert_eq!(joined, whole, "limit {limit}");
    }
    let after = |start_after: &str| Range { prefix: "/p/".into(), start_after: Some(start_after.into()), limit: None };
    assert_eq!(keys(&w, after("/p/44"), Some(at)).await.len(), 5, "need not exist");
    assert_eq!(keys(&w, after("/a"), Some(at)).await.len(), 9, "before the prefix");
    assert_eq!(keys(&w, after("/z"), Some(at)).await.len(), 0, "behind the prefix");
}

async fn prefixes(w: World) {
    for key in ["/p", "/p/", "/p/a", "/p/a/b", "/p0", "/p%/x", "/p_/x", "/p/é", "/p/日本", "/P/a"] {
        w.put(key, "x").await;
    }
    assert_eq!(keys(&w, Range::prefix("/p/"), None).await, ["/p/=x", "/p/a=x", "/p/a/b=x", "/p/é=x", "/p/日本=x"]);
    assert_eq!(keys(&w, Range::prefix("/p_"), None).await, ["/p_/x=x"]);
    assert_eq!(keys(&w, Range::prefix("/p%"), None).await, ["/p%/x=x"]);
    assert_eq!(w.store.history("/p/a", 0, 100, 100).await.map(|events| events.len()), Ok(2));
}

async fn no_key(w: World) {
    w.put("/a", "x").await;
    let long = format!("/{}", "x".repeat(KEY_BYTES_MAX));
    for text in ["a", "0", "/a\n", "/a\0b", "\0", "\u{10ffff}", &long] {
        for at in [None, Some(0), Some(1)] {
            assert_eq!(w.store.get(text, at).await.map(|entry| entry.is_some()), Ok(false), "{text:?} at {at:?}");
            assert_eq!(keys(&w, Range::prefix(text), at).await.len(), 0, "{text:?} at {at:?}");
        }
        let after = Range { prefix: text.into(), start_after: Some("/a".into()), limit: Some(1) };
        assert_eq!(keys(&w, after, None).await.len(), 0, "{text:?}");
        assert_eq!(w.store.history(text, 0, 1, 100).await.map(|events| events.len()), Ok(0), "{text:?}");
        let future = w.store.get(text, Some(2)).await.map(|entry| entry.is_some());
        assert_eq!(future, Err(Error::Future { current: 1 }), "{text:?}");
    }
    assert_eq!(w.store.get("", None).await.map(|entry| entry.is_some()), Ok(false), "the beginning of all, but no key");
}

async fn history(w: World) {
    w.put("/p/a", "1").await;
    w.put("/q", "2").await;
    w.put("/p/a", "3").await;
    w.delete("/p/a").await;
    w.txn(vec![], vec![Op::put("/p/b", "5"), Op::put("/q", "5"), Op::put("/p/a", "5")]).await.expect("fine");
    let all = ["+/p/a@1.0=1", "+/p/a@3.0=3", "-/p/a@4.0=3", "+/p/b@5.0=5", "+/p/a@5.2=5"];
    let read = async |after, up_to| show(&w.store.history("/p/", after, up_to, 100).await.expect("readable"));
    assert_eq!(read(0, 5).await, all);
    assert_eq!(read(0, 1_000).await, all, "up to what there is");
    assert_eq!(read(1, 4).await, all[1..3]);
    assert_eq!(read(4, 5).await, all[3..]);
    assert_eq!(read(5, 5).await.len(), 0);
    let deletion = &w.store.history("/p/", 3, 4, 100).await.expect("readable")[0];
    assert_eq!((deletion.entry.create_revision, deletion.entry.version), (1, 2));
}

async fn history_pages(w: World) {
    for i in 0..4 {
        let ops = (0..3).map(|j| Op::put(format!("/p/{i}{j}"), "x")).chain([Op::put("/q", "x")]).collect();
        w.txn(vec![], ops).await.expect("nothing to refuse");
    }
    for (limit, sizes) in [(1, vec![3, 3, 3, 3]), (3, vec![3, 3, 3, 3]), (4, vec![6, 6]), (100, vec![12])] {
        let (mut after, mut seen) = (0, Vec::new());
        loop {
            let page = w.store.history("/p/", after, 4, limit).await.expect("readable");
            let Some(last) = page.last() else { break };
            after = last.revision();
            seen.push(page.len());
        }
        assert_eq!(seen, sizes, "limit {limit}");
    }
}

async fn future(w: World) {
    w.put("/a", "x").await;
    let future = Error::Future { current: 1 };
    assert_eq!(w.store.get("/a", Some(2)).await.map(|_| ()), Err(future.clone()));
    assert_eq!(w.store.range(Range::default(), Some(2)).await.map(|_| ()), Err(future.clone()));
    assert_eq!(w.store.history("", 2, 3, 1).await.map(|_| ()), Err(future.clone()));
    assert_eq!(w.store.compact("", 2).await, Err(future));
}

async fn waiting(w: World) {
    assert_eq!(w.store.wait_for(0).await, Ok(()));
    let store = w.store.clone();
    let waiter = w.tasks.spawn(async move {
        let waited = store.wait_for(2).await;
        (waited, store.current_revision().await)
    });
    w.put("/a", "x").await;
    w.put("/a", "y").await;
    let (waited, current) = waiter.await.expect("it does not panic");
    assert_eq!((waited, current), (Ok(()), Ok(2)));
    assert_eq!(w.store.wait_for(1).await, Ok(()), "the past is there already");
}

async fn own_writes(w: World) {
    for i in 0..50u64 {
        let revision = w.put("/a", "x").await;
        assert_eq!(revision, i + 1);
        assert_eq!(w.store.current_revision().await, Ok(revision));
        assert_eq!(w.store.get("/a", None).await.expect("readable").map(|entry| entry.mod_revision), Some(revision));
        assert_eq!(w.store.range(Range::default(), None).await.map(|result| result.revision), Ok(revision));
    }
}

async fn revision_at(w: World) {
    const STEP: Duration = Duration::from_secs(10);
    let start = w.env.now();
    assert_eq!(w.store.revision_at(start).await, Ok(0), "nothing is written");
    for step in 1..=20 {
        tokio::time::advance(STEP).await;
        assert_eq!(w.put(&format!("/{}", step % 3), "x").await, step);
    }
    for step in 0..=20_u32 {
        for (moment, expected) in [(start + STEP * step, step), (start + STEP * (step + 1) - STEP / 2, step)] {
            assert_eq!(w.store.revision_at(moment).await, Ok(expected.into()), "{step}");
        }
    }
    assert_eq!(w.store.revision_at(start + STEP * 1000).await, Ok(20));
    // What compaction takes makes the answer earlier, never later.
    w.store.compact("/", 20).await.expect("not ahead");
    for step in 1..=20_u32 {
        let told = w.store.revision_at(start + STEP * step).await.expect("readable");
        assert!(told <= step.into(), "{step}: {told}");
    }
}
