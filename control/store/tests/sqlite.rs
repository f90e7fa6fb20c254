//! What the file keeps between two openings, and what is not opened at all.

use sampan_env::{Env, Tasks};
use sampan_store::sqlite::{Options, SqliteStore, verify_file};
use sampan_store::suite::hold_time;
use sampan_store::{Error, LeaseId, Op, Range, RangeResult, Store, Txn, Writer};
use sqlx::{ConnectOptions, Connection};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("sampan.db");
    (directory, database)
}

async fn open(database: &Path) -> Result<SqliteStore, Error> {
    SqliteStore::open(database, Options::new(Env::simulated(1, SystemTime::UNIX_EPOCH), &Tasks::new("sqlite"))).await
}

async fn write(store: &SqliteStore, ops: Vec<Op>) -> u64 {
    let txn = Txn { compares: vec![], ops, writer: Writer::default() };
    store.txn(txn).await.expect("nothing to refuse").revision
}

/// Runs SQL on a database that nobody has open.
async fn sql(database: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database).create_if_missing(true);
    let mut connection = options.connect().await.expect("opens");
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("runs");
    connection.close().await.expect("closes");
}

#[tokio::test]
async fn a_log_opens_where_it_was() {
    let (_directory, database) = directory();
    let store = open(&database).await.expect("fresh");
    write(&store, vec![Op::put("/p/a", "1"), Op::put("/p/b", "1")]).await;
    write(&store, vec![Op::put("/p/a", "2")]).await;
    write(&store, vec![Op::delete("/p/b")]).await;
    store.close().await;

    let options = Options::new(Env::simulated(1, SystemTime::UNIX_EPOCH), &Tasks::new("sqlite"));
    let (store, opened) = SqliteStore::open_with_state(&database, options).await.expect("it was closed");
    assert_eq!(store.current_revision().await, Ok(3));
    // What the opening read is what a range has.
    let now = store.range(Range::default(), None).await.expect("readable");
    let told = |state: &RangeResult| format!("{state:?}");
    assert_eq!((opened.revision, opened.entries.len(), told(&opened)), (3, 1, told(&now)));
    assert_eq!(store.statistics().keys, 1);
    write(&store, vec![Op::put("/p/a", "4"), Op::put("/p/b", "4")]).await;
    let state = store.range(Range::default(), None).await.expect("readable").entries;
    let state: Vec<_> = state.iter().map(|e| (&*e.key, e.create_revision, e.mod_revision, e.version)).collect();
    assert_eq!(state, [("/p/a", 1, 4, 3), ("/p/b", 4, 4, 1)]);
    assert_eq!(store.history("", 0, 9, 100).await.map(|events| events.len()), Ok(6));
    store.close().await;
}

#[tokio::test(start_paused = true)]
async fn leases_survive_and_begin_their_time_anew() {
    const TTL: Duration = Duration::from_secs(10);
    let _held = hold_time();
    let (_directory, database) = directory();
    let store = open(&database).await.expect("fresh");
    let id = store.lease_grant(TTL, Some(LeaseId(7))).await.expect("granted");
    write(&store, vec![Op::Put { key: "/p/a".into(), value: "x".into(), payload: None, lease: Some(id) }]).await;
    let gone = store.lease_grant(TTL, None).await.expect("granted");
    store.lease_revoke(gone).await.expect("it is alive");
    tokio::time::advance(TTL / 2).await;
    store.close().await;

    let store = open(&database).await.expect("it was closed");
    let status = store.lease_status(id).await.expect("it survived");
    assert_eq!((status.ttl, status.remaining, status.keys.len()), (TTL, TTL, 1));
    assert_eq!(store.lease_status(gone).await.map(|_| ()), Err(Error::LeaseNotFound(gone)));
    tokio::time::advance(TTL).await;
    store.wait_for(2).await.expect("the key ends");
    assert_eq!(store.range(Range::default(), None).await.map(|result| result.entries.len()), Ok(0));
    store.close().await;
}

#[tokio::test]
async fn compaction_removes_rows_and_is_remembered() {
    const KEYS: usize = 30;
    const VERSIONS: usize = 400;
    let (_directory, database) = directory();
    let store = open(&database).await.expect("fresh");
    for version in 0..VERSIONS {
        let put = |key| Op::put(format!("/p/{key}"), version.to_string());
        write(&store, (0..KEYS).map(put).chain([Op::put("/q", "x")]).collect()).await;
    }
    let last = write(&store, vec![Op::delete("/p/0")]).await;
    assert_eq!(store.compact("/p/", last).await, Ok(last));
    store.swept().await.expect("open");
    let removed = (KEYS * (VERSIONS - 1) + 2) as u64;
    assert_eq!(store.statistics().compacted_rows, removed, "all but the last of 29 keys, and all of the deleted one");
    assert_eq!(
        store.history("/q", 0, last, 10_000).await.map(|events| events.len()),
        Ok(VERSIONS),
        "not of the prefix"
    );
    let seen = store.verify().await.expect("readable");
    assert_eq!((seen.problems.len(), seen.rows, seen.keys), (0, (VERSIONS + KEYS - 1) as u64, KEYS as u64), "{seen:?}");
    store.close().await;

    let store = open(&database).await.expect("it was closed");
    assert_eq!((store.current_revision().await, store.floor("/p/x").await), (Ok(last), Ok(last)));
    assert_eq!(store.get("/p/1", Some(last - 1)).await.map(|_| ()), Err(Error::Compacted { floor: last }));
    assert_eq!(write(&store, vec![Op::put("/p/0", "anew")]).await, last + 1);
    store.close().await;
}

#[tokio::test]
async fn a_sweep_that_was_cut_off_is_done_at_the_next_opening() {
    let (_directory, database) = directory();
    let store = open(&database).await.expect("fresh");
    for _ in 0..10 {
        write(&store, vec![Op::put("/p/a", "x")]).await;
    }
    store.compact("/p/", 10).await.expect("not ahead");
    // At once: the rows may or may not be gone.
    store.close().await;
    let store = open(&database).await.expect("it was closed");
    store.swept().await.expect("open");
    assert_eq!(store.verify().await.map(|seen| (seen.rows, seen.problems.len())), Ok((1, 0)));
    store.close().await;
}

#[tokio::test]
async fn one_opener_at_a_time() {
    let (_directory, database) = directory();
    let store = open(&database).await.expect("fresh");
    let refused = open(&database).await.map(|_| ()).expect_err("it is open");
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    store.close().await;
    open(&database).await.expect("it was closed").close().await;
}

#[tokio::test]
async fn a_drain_of_its_tasks_closes_it() {
    let (_directory, database) = directory();
    let tasks = Tasks::new("owner");
    let store = SqliteStore::open(&database, Options::new(Env::system(), &tasks)).await.expect("fresh");
    write(&store, vec![Op::put("/a", "x")]).await;
    tasks.drain(Duration::from_secs(10)).await.expect("it ends");
    assert_eq!(store.current_revision().await, Err(Error::Closed));
    open(&database).await.expect("it is free").close().await;
}

#[tokio::test]
async fn what_is_no_log_of_ours_is_refused() {
    let (directory, _) = directory();
    let path = |name: &str| directory.path().join(name);
    open(&path("newer")).await.expect("fresh").close().await;
    sql(&path("newer"), "PRAGMA user_version = 99").await;
    assert_eq!(open(&path("newer")).await.map(|_| ()), Err(Error::NewerFormat { found: 99, supported: 1 }));

    sql(&path("other"), "CREATE TABLE theirs (x)").await;
    std::fs::write(path("text"), "this is no database at all\n".repeat(500)).expect("writable");
    for name in ["other", "text"] {
        let before = std::fs::read(path(name)).expect("readable");
        let refused = open(&path(name)).await.map(|_| ()).expect_err(name);
        assert!(matches!(refused, Error::Damaged { .. }), "{name}: {refused}");
        assert_eq!(std::fs::read(path(name)).expect("readable"), before, "{name} is untouched");
    }
    for name in ["none/sampan.db", "."] {
        let refused = open(&path(name)).await.map(|_| ()).expect_err(name);
        assert!(matches!(refused, Error::Io(_)), "{name}: {refused}");
    }
    let missing = verify_file(&path("missing")).await.expect_err("there is none");
    assert!(matches!(missing, Error::Io(_)), "{missing}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_log() {
    let (_directory, database) = directory();
    std::fs::write(&database, "").expect("writable");
    let store = open(&database).await.expect("empty is fresh");
    write(&store, vec![Op::put("/a", "x")]).await;
    store.close().await;
    assert_eq!(verify_file(&database).await.map(|seen| (seen.rows, seen.problems.len())), Ok((1, 0)));
}

/// The fastest of three openings of a log with so many objects: others use the machine, too.
async fn fastest_opening(objects: u64) -> Duration {
    const PART: u64 = 500;
    let (_directory, database) = directory();
    let store = open(&database).await.expect("fresh");
    for part in 0..objects / PART {
        let put = |i| Op::put(format!("/registry/core/configmaps/default/object-{part}-{i}"), vec![b'x'; 1_500]);
        write(&store, (0..PART).map(put).collect()).await;
    }
    store.close().await;
    let env = Env::system();
    let mut times = Vec::new();
    for _ in 0..3 {
        let start = env.instant();
        let store = open(&database).await.expect("it was closed");
        times.push(start.elapsed());
        assert_eq!(store.statistics().keys, objects);
        store.close().await;
    }
    println!("opening {objects} objects: {times:?}");
    times.into_iter().min().unwrap_or_default()
}

#[tokio::test]
async fn opening_grows_with_the_objects_and_not_with_their_square() {
    let (few, many) = (fastest_opening(1_000).await, fastest_opening(10_000).await);
    assert!(many < few * 30, "ten times the objects: {few:?} became {many:?}");
}
