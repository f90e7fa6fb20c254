//! Leases: keys that end with them.

use super::{Case, World, show};
use crate::entry::LeaseId;
use crate::error::Error;
use crate::limits::TXN_OPS_MAX;
use crate::store::Range;
use crate::txn::Op;
use futures::FutureExt;
use std::time::Duration;

pub(super) const CASES: &[(&str, Case)] = &[
    ("a lease's end deletes its keys in one revision", |w| expiry(w).boxed()),
    ("keeping alive begins the time anew", |w| keep_alive(w).boxed()),
    ("revoking deletes at once", |w| revoke(w).boxed()),
    ("revoking more keys than a transaction holds", |w| revoke_many(w).boxed()),
    ("a closed log ends no leases, and its tasks end", |w| closed(w).boxed()),
    ("a lease that ends takes no key with it but its own", |w| ending(w).boxed()),
    ("a put without the lease, or a delete, takes the key off it", |w| detach(w).boxed()),
    ("a put moves a key from lease to lease", |w| moved(w).boxed()),
    ("leases end each in its time", |w| several(w).boxed()),
    ("unknown, doubled and absurd leases are refused", |w| refused(w).boxed()),
];

const TTL: Duration = Duration::from_secs(10);

async fn expiry(w: World) {
    let lease = w.store.lease_grant(TTL, None).await.expect("granted");
    w.put_leased("/b", lease).await.expect("it is alive");
    w.put_leased("/a", lease).await.expect("it is alive");
    w.put("/c", "x").await;
    let entry = w.store.get("/a", None).await.expect("readable").expect("exists");
    assert_eq!(entry.lease, Some(lease));
    tokio::time::advance(TTL - Duration::from_millis(10)).await;
    assert_eq!(w.store.current_revision().await, Ok(3));
    tokio::time::advance(Duration::from_millis(20)).await;
    w.store.wait_for(4).await.expect("the keys end");
    let events = w.store.history("", 3, 9, 10).await.expect("readable");
    assert_eq!(show(&events), ["-/a@4.0=leased", "-/b@4.1=leased"]);
    assert_eq!(w.value("/c", None).await.as_deref(), Some("x"));
    assert_eq!(w.put_leased("/d", lease).await.map(|_| ()), Err(Error::LeaseNotFound(lease)));
}

async fn keep_alive(w: World) {
    let lease = w.store.lease_grant(TTL, None).await.expect("granted");
    w.put_leased("/a", lease).await.expect("it is alive");
    for _ in 0..5 {
        tokio::time::advance(TTL * 3 / 4).await;
        assert_eq!(w.store.lease_keep_alive(lease).await, Ok(TTL));
        assert_eq!(w.store.lease_status(lease).await.map(|status| status.remaining), Ok(TTL));
    }
    assert_eq!(w.value("/a", None).await.as_deref(), Some("leased"));
    tokio::time::advance(TTL + Duration::from_millis(1)).await;
    w.store.wait_for(2).await.expect("the key ends");
    assert_eq!(w.value("/a", None).await, None);
}

async fn revoke(w: World) {
    let id = LeaseId(77);
    assert_eq!(w.store.lease_grant(TTL, Some(id)).await, Ok(id));
    w.put_leased("/a", id).await.expect("it is alive");
    w.put_leased("/b", id).await.expect("it is alive");
    let status = w.store.lease_status(id).await.expect("it is alive");
    assert_eq!(status.keys.iter().map(|key| &**key).collect::<Vec<_>>(), ["/a", "/b"]);
    assert_eq!(w.store.lease_revoke(id).await, Ok(3));
    assert_eq!((w.value("/a", None).await, w.value("/b", None).await), (None, None));
    assert_eq!(w.store.lease_revoke(id).await, Err(Error::LeaseNotFound(id)));
    assert_eq!(w.store.lease_grant(TTL, Some(id)).await, Ok(id), "its id is free again");
    assert_eq!(w.store.lease_revoke(id).await, Ok(3), "without keys it uses no revision");
}

async fn revoke_many(w: World) {
    let lease = w.store.lease_grant(TTL, None).await.expect("granted");
    for part in 0..2 {
        let put =
            |i| Op::Put { key: format!("/{part}/{i}").into(), value: "x".into(), payload: None, lease: Some(lease) };
        let count = if part == 0 { TXN_OPS_MAX } else { 1 };
        w.txn(vec![], (0..count).map(put).collect()).await.expect("it is alive");
    }
    assert_eq!(w.store.lease_revoke(lease).await, Ok(4));
    assert_eq!(w.store.range(Default::default(), None).await.map(|result| result.entries.len()), Ok(0));
}

async fn closed(w: World) {
    let lease = w.store.lease_grant(TTL, None).await.expect("granted");
    w.put_leased("/a", lease).await.expect("it is alive");
    tokio::time::advance(TTL - Duration::from_millis(1)).await;
    w.store.close().await;
    tokio::time::advance(Duration::from_millis(2)).await;
    w.tasks.drain(Duration::from_secs(10)).await.expect("nothing keeps them");
    assert_eq!(w.store.lease_keep_alive(lease).await, Err(Error::Closed));
}

async fn ending(w: World) {
    const KEYS: usize = TXN_OPS_MAX + 1;
    let lease = w.store.lease_grant(TTL, None).await.expect("granted");
    let key = |i: usize| format!("/a/{i:05}");
    for part in [0..TXN_OPS_MAX, TXN_OPS_MAX..KEYS] {
        let put = |i| Op::Put { key: key(i).into(), value: "x".into(), payload: None, lease: Some(lease) };
        w.txn(vec![], part.map(put).collect()).await.expect("it is alive");
    }
    // Together, so that an engine that batches puts them into one: a key that comes too late, and the lease's last key,
    // which is taken off it while it ends in more than one transaction.
    let last = key(KEYS - 1);
    let (revoked, late, taken_off) = futures::join!(
        w.store.lease_revoke(lease),
        w.put_leased("/b", lease),
        w.txn(vec![], vec![Op::put(last.as_str(), "mine")])
    );
    revoked.expect("it was alive");
    assert_eq!(late.map(|_| ()), Err(Error::LeaseNotFound(lease)));
    taken_off.expect("nothing to refuse");
    let left = w.store.range(Range::default(), None).await.expect("readable").entries;
    let left: Vec<(&str, &[u8])> = left.iter().map(|entry| (&*entry.key, &*entry.value)).collect();
    assert_eq!(left, [(last.as_str(), &b"mine"[..])]);
    assert_eq!(w.store.lease_status(lease).await.map(|_| ()), Err(Error::LeaseNotFound(lease)));
}

async fn detach(w: World) {
    let lease = w.store.lease_grant(TTL, None).await.expect("granted");
    for key in ["/a", "/b", "/c"] {
        w.put_leased(key, lease).await.expect("it is alive");
    }
    w.put("/a", "kept").await;
    w.delete("/b").await;
    w.put("/b", "anew").await;
    tokio::time::advance(TTL * 2).await;
    w.store.wait_for(7).await.expect("/c ends");
    assert_eq!(w.value("/a", None).await.as_deref(), Some("kept"));
    assert_eq!(w.value("/b", None).await.as_deref(), Some("anew"));
    assert_eq!(w.value("/c", None).await, None);
    assert_eq!(w.store.current_revision().await, Ok(7));
}

async fn moved(w: World) {
    let short = w.store.lease_grant(TTL, None).await.expect("granted");
    let long = w.store.lease_grant(TTL * 10, None).await.expect("granted");
    assert_ne!(short, long);
    w.put_leased("/a", short).await.expect("it is alive");
    w.put_leased("/b", short).await.expect("it is alive");
    w.put_leased("/a", long).await.expect("it is alive");
    tokio::time::advance(TTL * 2).await;
    w.store.wait_for(4).await.expect("/b ends");
    assert_eq!(w.value("/a", None).await.as_deref(), Some("leased"));
    assert_eq!(w.value("/b", None).await, None);
}

async fn several(w: World) {
    for (seconds, key) in [(3, "/three"), (1, "/one"), (2, "/two")] {
        let lease = w.store.lease_grant(Duration::from_secs(seconds), None).await.expect("granted");
        w.put_leased(key, lease).await.expect("it is alive");
    }
    for (revision, key) in [(4, "/one"), (5, "/two"), (6, "/three")] {
        tokio::time::advance(Duration::from_millis(1_001)).await;
        w.store.wait_for(revision).await.expect("the next ends");
        let events = w.store.history("", revision - 1, revision, 10).await.expect("readable");
        assert_eq!(show(&events), [format!("-{key}@{revision}.0=leased")]);
    }
}

async fn refused(w: World) {
    let none = LeaseId(5);
    assert_eq!(w.put_leased("/a", none).await.map(|_| ()), Err(Error::LeaseNotFound(none)));
    assert_eq!(w.store.lease_keep_alive(none).await, Err(Error::LeaseNotFound(none)));
    assert_eq!(w.store.lease_status(none).await.map(|_| ()), Err(Error::LeaseNotFound(none)));
    assert_eq!(w.store.lease_grant(TTL, Some(none)).await, Ok(none));
    assert_eq!(w.store.lease_grant(TTL, Some(none)).await, Err(Error::LeaseExists(none)));
    for (ttl, id) in
        [(Duration::ZERO, None), (Duration::MAX, None), (TTL, Some(LeaseId(0))), (TTL, Some(LeaseId(u64::MAX)))]
    {
        let refused = w.store.lease_grant(ttl, id).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    assert_eq!(w.store.current_revision().await, Ok(0));
}
