//! What a watcher is promised: each event once, in order, whatever happens to the ring, to the watcher and to the server.

use bytes::Bytes;
use proptest::prelude::*;
use sampan_api::record::{Deletion, EventKind, RecordEvent};
use sampan_api::selector::{FieldSelector, LabelSelector};
use sampan_env::{Env, Tasks};
use sampan_store::memory::MemoryStore;
use sampan_store::{Compare, Event, Op, Range, RangeResult, Sink, Store, Txn, Writer};
use sampan_watch::{Cursor, Decoder, Draft, Error, Filter, Spec, Start, StreamOptions, Watch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const PREFIX: &str = "/registry/core/things/";
const NODE: &str = "spec.nodeName";

struct Json;

impl Decoder for Json {
    fn decode(&self, _prefix: &str, value: &Bytes) -> Result<Draft, String> {
        let parsed: Value = serde_json::from_slice(value).map_err(|e| e.to_string())?;
        let text = std::str::from_utf8(value).map_err(|e| e.to_string())?;
        let labels = parsed["metadata"]["labels"].as_object().into_iter().flatten();
        let labels: BTreeMap<_, _> = labels.map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned())).collect();
        let end_of = |needle: &str| text.find(needle).map(|at| (at + needle.len()) as u32).ok_or("no metadata");
        Ok(Draft {
            api_version: "v1".into(),
            kind: "Thing".into(),
            uid: "".into(),
            labels: Arc::new(labels),
            owners: Arc::new([]),
            deletion: Deletion::None,
            fields: Arc::new([(NODE, parsed["spec"]["nodeName"].as_str().unwrap_or("").to_owned())]),
            json: value.clone(),
            type_meta_end: end_of("\"kind\":\"Thing\",")?,
            rv_offset: end_of("\"metadata\":{")?,
            writer: None,
        })
    }
}

fn value(name: &str, app: &str, node: &str) -> Bytes {
    format!(
        r#"{{"apiVersion":"v1","kind":"Thing","metadata":{{"labels":{{"app":"{app}"}},"name":"{name}"}},"spec":{{"nodeName":"{node}"}}}}"#
    )
    .into()
}

fn key(namespace: &str, name: &str) -> String {
    format!("{PREFIX}{namespace}/{name}")
}

struct World {
    store: Arc<MemoryStore>,
    watch: Watch,
    env: Env,
}

impl World {
    async fn new() -> Self {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH);
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let watch = open(&store, &env).await;
        Self { store, watch, env }
    }

    async fn put(&self, key: &str, value: Bytes) -> u64 {
        self.txn(Op::put(key, value)).await
    }

    async fn delete(&self, key: &str) -> u64 {
        self.txn(Op::delete(key)).await
    }

    async fn txn(&self, op: Op) -> u64 {
        let txn = Txn { compares: Vec::<Compare>::new(), ops: vec![op], writer: Writer::default() };
        self.store.txn(txn).await.expect("a write").revision
    }
}

async fn open(store: &Arc<MemoryStore>, env: &Env) -> Watch {
    let spec = Spec { prefix: PREFIX.into(), namespaced: true, dispatch: Arc::new([NODE]) };
    Watch::open(store.clone(), env.clone(), Arc::new(Json), [spec], None).await.expect("opens")
}

fn filter(namespace: &str, labels: &str, fields: &str) -> Filter {
    Filter {
        namespace: namespace.into(),
        labels: LabelSelector::parse(labels).expect("a label selector"),
        fields: FieldSelector::parse(fields).expect("a field selector"),
    }
}

/// An event as the tests compare it: type, key, revision, the label `app` of the state that it carries.
type Seen = (EventKind, String, u64, String);

fn seen(event: &RecordEvent) -> Seen {
    let record = event.record().expect("no bookmark");
    let app = record.labels.get("app").cloned().unwrap_or_default();
    (event.kind(), record.key.to_string(), record.mod_revision, app)
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        namespace: u8,
        name: u8,
        app: u8,
        node: u8,
    },
    Delete {
        namespace: u8,
        name: u8,
    },
    /// The watcher takes what there is.
    Pull(usize),
    /// The watcher comes back at the last revision it saw.
    Reconnect(usize),
    /// The server comes back: new state, rings and cursors over the same log.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3u8, 0..4u8, 0..3u8, 0..3u8)
            .prop_map(|(namespace, name, app, node)| Step::Put { namespace, name, app, node }),
        4 => (0..3u8, 0..4u8).prop_map(|(namespace, name)| Step::Delete { namespace, name }),
        6 => (0..50usize).prop_map(Step::Pull),
        3 => (0..50usize).prop_map(Step::Reconnect),
        1 => Just(Step::Restart),
    ]
}

/// The selections that the fifty watchers have, in turn.
fn selection(index: usize) -> Filter {
    match index % 8 {
        0 => Filter::default(),
        1 => filter("n1", "", ""),
        2 => filter("", "app=a1", ""),
        3 => filter("", "", "spec.nodeName=node1"),
        4 => filter("n0", "", "metadata.name=t2"),
        5 => filter("n2", "app in (a0,a2)", "spec.nodeName!=node0"),
        6 => filter("", "!nothing", "metadata.namespace=n0"),
        _ => filter("", "", "metadata.name=t1"),
    }
}

/// A write: its revision, the object's key, and label and node after it (`None`: deleted).
type Write = (u64, String, Option<(String, String)>);

/// The model: what a watcher with `filter` that began at revision 0 must have seen of the log.
fn expected(log: &[Write], filter: &Filter) -> Vec<Seen> {
    let mut state: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut all = Vec::new();
    for (revision, key, now) in log {
        let (namespace, name) = key.split_once('/').expect("namespaced");
        let matches = |(app, node): &(String, String)| {
            (filter.namespace.is_empty() || filter.namespace == namespace)
                && filter.labels.matches(|label| (label == "app").then_some(app.as_str()))
                && filter.fields.matches(|field| match field {
                    "metadata.name" => Some(name),
                    "metadata.namespace" => Some(namespace),
                    _ => Some(node.as_str()),
                })
        };
        let before = state.get(key).cloned();
        let (was, is) = (before.as_ref().is_some_and(matches), now.as_ref().is_some_and(matches));
        let kind = match (was, is) {
            (false, true) => Some((EventKind::Added, now)),
            (true, true) => Some((EventKind::Modified, now)),
            (true, false) => Some((EventKind::Deleted, &before)),
            (false, false) => None,
        };
        if let Some((kind, shown)) = kind {
            all.push((kind, key.clone(), *revision, shown.as_ref().map_or(String::new(), |(app, _)| app.clone())));
        }
        match now {
            Some(now) => drop(state.insert(key.clone(), now.clone())),
            None => drop(state.remove(key)),
        }
    }
    all
}

/// Everything that there is for the cursor now, history included.
async fn drain(cursor: &mut Cursor, into: &mut Vec<Seen>) {
    loop {
        tokio::select! {
            biased;
            event = cursor.next() => into.push(seen(&event.expect("nothing is compacted"))),
            // Polled only once the cursor waits: the memory store answers at once.
            () = std::future::ready(()) => return,
        }
    }
}

async fn run(steps: Vec<Step>) {
    let mut world = World::new().await;
    world.watch.shrink_ring(PREFIX, 5).expect("kept");
    let mut log = Vec::new();
    let mut watchers: Vec<(Filter, Cursor, Vec<Seen>)> = Vec::new();
    for index in 0..50 {
        let filter = selection(index);
        let cursor = world.watch.cursor(PREFIX, filter.clone(), 0).expect("kept");
        watchers.push((filter, cursor, Vec::new()));
    }
    for step in steps {
        match step {
            Step::Put { namespace, name, app, node } => {
                let (short, app, node) = (format!("n{namespace}/t{name}"), format!("a{app}"), format!("node{node}"));
                let revision = world.put(&format!("{PREFIX}{short}"), value(&short[3..], &app, &node)).await;
                log.push((revision, short, Some((app, node))));
            }
            Step::Delete { namespace, name } => {
                let short = format!("n{namespace}/t{name}");
                let before = world.watch.revision();
                let revision = world.delete(&format!("{PREFIX}{short}")).await;
                if revision > before {
                    log.push((revision, short, None));
                }
            }
            Step::Pull(index) => {
                let (_, cursor, all) = &mut watchers[index];
                drain(cursor, all).await;
            }
            Step::Reconnect(index) => {
                let (filter, cursor, all) = &mut watchers[index];
                let last = all.last().map_or(0, |(_, _, revision, _)| *revision);
                *cursor = world.watch.cursor(PREFIX, filter.clone(), last).expect("kept");
            }
            Step::Restart => {
                world.watch = open(&world.store, &world.env).await;
                world.watch.shrink_ring(PREFIX, 5).expect("kept");
                for (filter, cursor, all) in &mut watchers {
                    let last = all.last().map_or(0, |(_, _, revision, _)| *revision);
                    *cursor = world.watch.cursor(PREFIX, filter.clone(), last).expect("kept");
                }
            }
        }
    }
    for (filter, cursor, all) in &mut watchers {
        drain(cursor, all).await;
        assert_eq!(*all, expected(&log, filter), "{filter:?}");
        assert_eq!(cursor.caught_up(), Some(world.watch.revision()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_event_is_missed_or_doubled(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}

#[tokio::test]
async fn a_selection_shows_what_it_matches_and_nothing_else() {
    let world = World::new().await;
    for at in 0..600 {
        let (namespace, name) = (format!("n{}", at % 3), format!("{at:03}"));
        let (app, node) =
            (format!("a{}", at % 40), if at % 5 == 0 { String::new() } else { format!("node{}", at % 70) });
        world.put(&key(&namespace, &name), value(&name, &app, &node)).await;
    }
    let snapshot = world.watch.snapshot(PREFIX).expect("loaded");
    let check = |namespace: &str, labels: &str, fields: &str| {
        let filter = filter(namespace, labels, fields);
        let key_prefix = filter.key_prefix(PREFIX, true);
        let all = snapshot.range(PREFIX, None).map(|(_, record)| record);
        let expected: Vec<_> = all.filter(|record| filter.matches(record)).map(|record| &record.key).collect();
        let selected = snapshot.select(&filter, &key_prefix, None).map(|(_, record)| &record.key).collect::<Vec<_>>();
        assert_eq!(selected, expected, "{namespace} {labels} {fields}");
        let sieve = filter.sieve();
        let walked: Vec<_> = snapshot.walk(&sieve, &key_prefix, None).filter_map(|(_, record)| record).collect();
        let looked_at = walked.len();
        let matched = walked.into_iter().filter(|record| filter.matches(record)).map(|record| &record.key);
        assert_eq!(matched.collect::<Vec<_>>(), expected, "{namespace} {labels} {fields}");
        (expected.len(), looked_at)
    };
    for namespace in ["", "n1"] {
        let all = check(namespace, "", "");
        assert_eq!(all.0, all.1);
        for labels in ["app=a7", "app==a1,app!=a2", "app in (a1,a2,a3)"] {
            let (selected, looked_at) = check(namespace, labels, "");
            assert!(selected > 0 && looked_at < all.1 / 3, "{labels}: {looked_at} of {}", all.1);
        }
        for labels in ["app=none", "app!=a1", "app", "!app", "app notin (a1)", "app in (a1,a2),app in (a2,a3)"] {
            check(namespace, labels, "");
        }
        for fields in ["spec.nodeName=node3", "spec.nodeName=", "spec.nodeName!=node3", "metadata.name=007"] {
            check(namespace, "", fields);
        }
        check(namespace, "app=a7", "spec.nodeName=node47");
    }
}

#[tokio::test]
async fn an_event_wakes_only_whom_it_concerns() {
    let world = World::new().await;
    let tasks = Tasks::new("watchers");
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    for node in 0..1000 {
        let fields = format!("spec.nodeName=node{node}");
        let mut cursor = world.watch.cursor(PREFIX, filter("", "", &fields), 0).expect("kept");
        let sender = sender.clone();
        tasks.spawn_until_cancelled(async move {
            loop {
                let event = cursor.next().await.expect("no history is needed");
                if sender.send((node, seen(&event))).is_err() {
                    return;
                }
            }
        });
    }
    // All of them wait.
    tokio::task::yield_now().await;
    let wakes = world.watch.wakes();
    let first = world.put(&key("default", "a"), value("a", "x", "node7")).await;
    assert_eq!(told.recv().await, Some((7, (EventKind::Added, "default/a".into(), first, "x".into()))));
    assert_eq!(world.watch.wakes() - wakes, 1, "one of a thousand");
    let moved = world.put(&key("default", "a"), value("a", "y", "node8")).await;
    let mut both = [told.recv().await.expect("told"), told.recv().await.expect("told")];
    both.sort_by_key(|(node, _)| *node);
    assert_eq!(both[0], (7, (EventKind::Deleted, "default/a".into(), moved, "x".into())), "it left node7");
    assert_eq!(both[1], (8, (EventKind::Added, "default/a".into(), moved, "y".into())));
    assert_eq!(world.watch.wakes() - wakes, 3, "the old node's and the new one's");
    tasks.drain(Duration::from_secs(5)).await.expect("they end");
}

/// 5,000 nodes that each watch their own cost a write what one does: counted in wakes, and the time is printed.
#[tokio::test]
async fn many_watchers_of_others_do_not_slow_a_writer() {
    let clock = Env::system();
    let mut each = Vec::new();
    for watchers in [1, 5000] {
        let world = World::new().await;
        let tasks = Tasks::new("watchers");
        for node in 0..watchers {
            let fields = format!("spec.nodeName=node{node}");
            let mut cursor = world.watch.cursor(PREFIX, filter("", "", &fields), 0).expect("kept");
            tasks.spawn_until_cancelled(async move { while cursor.next().await.is_ok() {} });
        }
        // A runtime polls a bounded number of tasks between two of ours.
        for _ in 0..watchers {
            tokio::task::yield_now().await;
        }
        let (wakes, start) = (world.watch.wakes(), clock.instant());
        for i in 0..1000 {
            world.put(&key("default", &format!("t{i}")), value("t", "x", "node0")).await;
            tokio::task::yield_now().await;
        }
        each.push(start.elapsed() / 1000);
        let woken = world.watch.wakes() - wakes;
        assert!((1..=1000).contains(&woken), "{woken}: only node0's watcher is told");
        tasks.drain(Duration::from_secs(5)).await.expect("they end");
    }
    println!("a write beside 1 watcher {:?}, beside 5,000 {:?}", each[0], each[1]);
}

#[tokio::test]
async fn who_falls_off_the_ring_resumes_and_too_old_is_expired() {
    let world = World::new().await;
    world.watch.shrink_ring(PREFIX, 4).expect("kept");
    let mut cursor = world.watch.cursor(PREFIX, Filter::default(), 0).expect("kept");
    assert!(cursor.try_next().is_none());
    for i in 0..2000 {
        world.put(&key("default", &format!("t{}", i % 10)), value("t", "x", "")).await;
    }
    let mut all = Vec::new();
    drain(&mut cursor, &mut all).await;
    let revisions: Vec<u64> = all.iter().map(|(_, _, revision, _)| *revision).collect();
    assert_eq!(revisions, (1..=2000).collect::<Vec<_>>());

    world.store.compact(PREFIX, 1500).await.expect("compacts");
    let mut late = world.watch.cursor(PREFIX, Filter::default(), 1400).expect("kept");
    assert_eq!(late.next().await.expect_err("too old"), Error::Expired { wanted: 1400, oldest: 1500 });
    let mut in_time = world.watch.cursor(PREFIX, Filter::default(), 1500).expect("kept");
    assert_eq!(seen(&in_time.next().await.expect("kept")).2, 1501);
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_initial_events_bookmarks_and_an_end() {
    let world = World::new().await;
    for i in 0..600 {
        world.put(&key("default", &format!("t{i:03}")), value("t", if i % 2 == 0 { "even" } else { "odd" }, "")).await;
    }
    let options = StreamOptions {
        filter: filter("default", "app=even", ""),
        start: Start::Current { announce_end: true },
        bookmarks: true,
        timeout: Duration::from_secs(150),
    };
    let mut stream = world.watch.stream(PREFIX, true, options).expect("kept");
    for i in 0..300 {
        let event = stream.next().await.expect("an event").expect("no error");
        assert_eq!(event.record().map(|r| r.key.to_string()), Some(format!("default/t{:03}", 2 * i)));
        assert_eq!(event.kind(), EventKind::Added);
    }
    let bookmark = |event: Option<Result<RecordEvent, Error>>| match event {
        Some(Ok(RecordEvent::Bookmark { revision, initial_events_end })) => (revision, initial_events_end),
        other => panic!("no bookmark: {other:?}"),
    };
    assert_eq!(bookmark(stream.next().await), (600, true));
    world.put(&key("other", "a"), value("a", "even", "")).await;
    assert_eq!(bookmark(stream.next().await), (601, false), "after a minute, although nothing of its own came");
    let leaving = world.put(&key("default", "t000"), value("t", "odd", "")).await;
    let event = stream.next().await.expect("an event").expect("no error");
    assert_eq!(seen(&event), (EventKind::Deleted, "default/t000".into(), leaving, "even".into()));
    assert_eq!(bookmark(stream.next().await), (leaving, false));
    assert_eq!(bookmark(stream.next().await), (leaving, false), "just before the end");
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn readers_wait_for_a_revision_but_not_for_ever() {
    let world = World::new().await;
    world.put(&key("default", "a"), value("a", "x", "")).await;
    world.watch.wait_until(1).await.expect("reached");
    let watch = world.watch.clone();
    assert_eq!(watch.wait_until(3).await.expect_err("nobody writes"), Error::Ahead { wanted: 3, current: 1 });
    let second = key("default", "b");
    let (waited, revision) = tokio::join!(watch.wait_until(2), world.put(&second, value("b", "x", "")));
    waited.expect("reached");
    assert_eq!(revision, 2);
    let snapshot = world.watch.snapshot(PREFIX).expect("kept");
    assert_eq!((snapshot.revision, snapshot.len()), (2, 2));
    let before = world.watch.snapshot(PREFIX).expect("kept");
    world.delete(&key("default", "a")).await;
    assert!(before.get(&key("default", "a")).is_some(), "a snapshot does not change");
    assert!(world.watch.get(PREFIX, &key("default", "a")).expect("kept").is_none());
}

/// Nothing of its own happened for so long that what it last saw has been compacted; then more than the ring holds.
#[tokio::test(start_paused = true)]
async fn an_idle_watch_does_not_grow_too_old() {
    let world = World::new().await;
    world.watch.shrink_ring(PREFIX, 4).expect("kept");
    let options = StreamOptions {
        filter: filter("mine", "", ""),
        start: Start::After(0),
        bookmarks: false,
        timeout: Duration::from_secs(3600),
    };
    let mut stream = world.watch.stream(PREFIX, true, options).expect("kept");
    for minute in 0..10 {
        world.put(&key("others", &format!("t{minute}")), value("t", "x", "")).await;
        tokio::time::timeout(Duration::from_secs(61), stream.next()).await.expect_err("nothing of its own");
    }
    let floor = world.watch.revision();
    world.store.compact(PREFIX, floor).await.expect("compacts");
    for i in 0..10 {
        world.put(&key("mine", &format!("t{i}")), value("t", "x", "")).await;
    }
    for i in 1..=10 {
        let event = stream.next().await.expect("an event").expect("nothing of its own is compacted");
        assert_eq!(seen(&event).2, floor + i);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_does_not_keep_a_watch_from_its_end() {
    let world = World::new().await;
    let stream = |timeout| {
        let options = StreamOptions { filter: Filter::default(), start: Start::After(0), bookmarks: false, timeout };
        world.watch.stream(PREFIX, true, options).expect("kept")
    };
    let mut short = stream(Duration::from_secs(10));
    let mut endless = stream(Duration::from_secs(u64::MAX));
    for i in 0..200 {
        world.put(&key("default", &format!("t{i}")), value("t", "x", "")).await;
    }
    assert!(short.next().await.is_some());
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(short.next().await.is_none(), "more is there, but its time is over");
    assert!(endless.next().await.is_some());
}

/// Keeps the writer in the middle of publishing until its other end is dropped.
struct Gate {
    entered: tokio::sync::mpsc::UnboundedSender<()>,
    release: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Sink for Gate {
    fn committed(&self, _: &[Event]) {
        // Whoever no longer listens has seen enough; whoever lets go does so by going away.
        self.entered.send(()).unwrap_or_default();
        self.release.lock().expect("not poisoned").recv().unwrap_or_default();
    }
}

/// Writes `/registry/core/things/default/a` and stops while it is being published.
async fn write_half_published(world: &World) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<u64>) {
    let (entered, mut entering) = tokio::sync::mpsc::unbounded_channel();
    let (release, held) = std::sync::mpsc::channel();
    world.store.subscribe(Arc::new(Gate { entered, release: std::sync::Mutex::new(held) }));
    let store = world.store.clone();
    let runtime = tokio::runtime::Handle::current();
    let write = tokio::task::spawn_blocking(move || {
        let ops = vec![Op::put(key("default", "a"), value("a", "x", ""))];
        let txn = Txn { compares: Vec::new(), ops, writer: Writer::default() };
        runtime.block_on(store.txn(txn)).expect("a write").revision
    });
    entering.recv().await.expect("it is being published");
    (release, write)
}

#[tokio::test]
async fn what_is_published_while_a_watch_opens_is_in_it() {
    let env = Env::simulated(1, SystemTime::UNIX_EPOCH);
    let spec = || Spec { prefix: PREFIX.into(), namespaced: true, dispatch: Arc::new([NODE]) };
    for registers in [false, true] {
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let watch = Watch::open(store.clone(), env.clone(), Arc::new(Json), [], None).await.expect("opens");
        let world = World { store, watch: watch.clone(), env: env.clone() };
        let (release, write) = write_half_published(&world).await;
        let opening = async {
            if registers {
                watch.register(spec()).await.expect("is kept from now on");
                watch.clone()
            } else {
                open(&world.store, &env).await
            }
        };
        tokio::pin!(opening);
        let early = tokio::select! {
            biased;
            watch = &mut opening => Some(watch),
            () = std::future::ready(()) => None,
        };
        let second = async {
            if registers {
                watch.register(spec()).await.expect("somebody else has it in hand");
                assert_eq!(watch.snapshot(PREFIX).expect("loaded").len(), 1);
            }
        };
        if registers && early.is_none() {
            watch.snapshot(PREFIX).map(|_| ()).expect_err("it is not loaded yet");
        }
        drop(release);
        let opened = async {
            match early {
                Some(watch) => watch,
                None => opening.await,
            }
        };
        let (opened, ()) = tokio::join!(opened, second);
        let revision = write.await.expect("written");
        let found = opened.get(PREFIX, &key("default", "a")).expect("kept").expect("written before");
        assert_eq!(found.mod_revision, revision, "registers: {registers}");
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_left_out() {
    let world = World::new().await;
    world.put(&key("default", "a"), value("a", "x", "")).await;
    world.put(&key("default", "broken"), "{".into()).await;
    world.put(&key("default", "b"), value("b", "x", "")).await;
    let watch = open(&world.store, &world.env).await;
    assert_eq!(watch.snapshot(PREFIX).expect("kept").len(), 2);
    let mut cursor = watch.cursor(PREFIX, Filter::default(), 0).expect("kept");
    let mut all = Vec::new();
    drain(&mut cursor, &mut all).await;
    assert_eq!(all.iter().map(|(_, key, ..)| key.as_str()).collect::<Vec<_>>(), ["default/a", "default/b"]);
}

#[tokio::test]
async fn what_the_stores_opening_read_is_not_read_again_unless_there_was_a_write() {
    const OBJECTS: usize = 100;
    let env = Env::simulated(1, SystemTime::UNIX_EPOCH);
    let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
    let put = async |name: &str, value: Bytes| {
        let ops = vec![Op::put(key("default", name), value)];
        let txn = Txn { compares: Vec::new(), ops, writer: Writer { user: name.into(), ..Writer::default() } };
        store.txn(txn).await.expect("a write").revision
    };
    for at in 0..OBJECTS {
        let name = format!("{at:03}");
        put(&name, value(&name, "stored", "")).await;
    }
    let mut opened = store.range(Range::default(), None).await.expect("readable");
    for entry in &mut opened.entries {
        entry.value = value("any", "opened", "");
    }
    let check = async |opened: Option<RangeResult>, objects: usize, app: &str| {
        let spec = Spec { prefix: PREFIX.into(), namespaced: true, dispatch: Arc::new([NODE]) };
        let watch = Watch::open(store.clone(), env.clone(), Arc::new(Json), [spec], opened).await.expect("opens");
        let snapshot = watch.snapshot(PREFIX).expect("loaded");
        let found = filter("default", &format!("app={app}"), "");
        let found: Vec<_> = snapshot.select(&found, PREFIX, None).map(|(_, record)| record).collect();
        let names: Vec<_> = (0..objects).map(|at| format!("{at:03}")).collect();
        assert_eq!(found.iter().map(|record| &*record.key.name).collect::<Vec<_>>(), names);
        // Each with its own author, whoever came before it.
        assert_eq!(found.iter().map(|record| &*record.writer.user).collect::<Vec<_>>(), names);
        assert_eq!(watch.revision(), store.current_revision().await.expect("open"));
    };
    check(None, OBJECTS, "stored").await;
    check(Some(opened.clone()), OBJECTS, "opened").await;
    let last = format!("{OBJECTS:03}");
    put(&last, value(&last, "stored", "")).await;
    check(Some(opened), OBJECTS + 1, "stored").await;
}
