use crate::world::{World, json_of, names, told, widget};
use bytes::Bytes;
use futures::StreamExt;
use sampan_api::record::{EventKind, RecordEvent};
use sampan_api::selector::{FieldSelector, LabelSelector};
use sampan_registry::codec::{Codec, CodecError};
use sampan_registry::resource::Resource;
use sampan_registry::{DeleteOptions, GetOptions, ListOptions};
use sampan_store::Store;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

async fn ten(world: &World) -> u64 {
    let mut last = 0;
    for i in 0..10 {
        let color = if i % 2 == 0 { "red" } else { "blue" };
        last = world.create("v2/widgets", widget(&format!("w{i}"), color)).await.expect("created").mod_revision;
    }
    last
}

#[tokio::test]
async fn lists_select_and_page_at_one_revision() {
    let mut world = World::new().await;
    let revision = ten(&world).await;
    let all = world.list("v2/widgets", &ListOptions::default()).await.expect("lists");
    assert_eq!((all.items.len(), all.revision, all.continue_token, all.remaining), (10, revision, None, None));
    let red = ListOptions {
        labels: LabelSelector::parse("color=red").expect("parses"),
        fields: FieldSelector::parse("spec.color=red,metadata.name!=w0").expect("parses"),
        ..ListOptions::default()
    };
    let found = world.list("v2/widgets", &red).await.expect("lists");
    assert_eq!(names(&found), ["default/w2", "default/w4", "default/w6", "default/w8"]);

    // A full page has another behind it where any object stands behind its last, selected or not; one of one name has none.
    let page = async |labels: &str, fields: &str, limit: u64| {
        let options = ListOptions {
            labels: LabelSelector::parse(labels).expect("parses"),
            fields: FieldSelector::parse(fields).expect("parses"),
            limit,
            ..ListOptions::default()
        };
        let page = world.list("v2/widgets", &options).await.expect("lists");
        (page.items.len(), page.continue_token.is_some(), page.remaining)
    };
    assert_eq!(page("color=red", "", 5).await, (5, true, None), "w9 is blue");
    assert_eq!(page("color=blue", "", 5).await, (5, false, None));
    assert_eq!(page("color=red", "", 6).await, (5, false, None));
    assert_eq!(page("", "metadata.name=w0,metadata.namespace=default", 1).await, (1, false, None));

    // Pages go on with the first one's state, out of memory and, once something has changed, out of the log.
    for changed in [false, true] {
        let mut page =
            world.list("v2/widgets", &ListOptions { limit: 4, ..ListOptions::default() }).await.expect("lists");
        let first = page.revision;
        assert_eq!(page.remaining, Some(6));
        if changed {
            world.create("v2/widgets", widget("w5a", "green")).await.expect("created");
            world.delete("v2/widgets", "w9", DeleteOptions::default()).await.expect("deleted");
            world.restart().await;
        }
        let mut seen = names(&page);
        let mut remaining = Vec::new();
        while let Some(token) = page.continue_token.take() {
            let options = ListOptions { limit: 4, continue_token: token, ..ListOptions::default() };
            page = world.list("v2/widgets", &options).await.expect("lists");
            assert_eq!(page.revision, first);
            remaining.push(page.remaining);
            seen.extend(names(&page));
        }
        assert_eq!(seen, (0..10).map(|i| format!("default/w{i}")).collect::<Vec<_>>(), "changed: {changed}");
        assert_eq!(remaining, [Some(2), None]);
    }
}

#[tokio::test(start_paused = true)]
async fn revisions_are_read_as_asked() {
    let world = World::new().await;
    let revision = ten(&world).await;
    world.delete("v2/widgets", "w0", DeleteOptions::default()).await.expect("deleted");
    let now = world.create("plains", json!({"metadata": {"name": "a"}})).await.expect("created").mod_revision;
    let list = |version: &str, matching: &str, limit: u64| ListOptions {
        resource_version: version.into(),
        version_match: matching.into(),
        limit,
        ..ListOptions::default()
    };
    let old = revision.to_string();
    let check = async |options: ListOptions, count: usize, revision: u64| {
        let found = world.list("v2/widgets", &options).await.expect("lists");
        assert_eq!((found.items.len(), found.revision), (count, revision), "{options:?}");
    };
    check(list("", "", 0), 9, now).await;
    check(list("0", "", 0), 9, now).await;
    check(list(&old, "", 0), 9, now).await;
    check(list(&old, "NotOlderThan", 0), 9, now).await;
    check(list(&old, "Exact", 0), 10, revision).await;
    check(list(&old, "", 100), 10, revision).await;
    // Another way to write 0 names no revision either, and begins a page.
    check(list("00", "", 4), 4, now).await;
    check(list("00", "Exact", 4), 4, now).await;
    check(list("1", "Exact", 0), 1, 1).await;
    let refuse = async |options: ListOptions, code: u16, text: &str| {
        assert_eq!(told(world.list("v2/widgets", &options).await), (code, text.to_owned()));
    };
    refuse(
        list("abc", "", 0),
        400,
        "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
    )
    .await;
    // Of an older revision too the number behind a page is told, and goes on with its token.
    let page = world.list("v2/widgets", &list(&old, "Exact", 4)).await.expect("lists");
    assert_eq!((page.items.len(), page.remaining), (4, Some(6)));
    let token = page.continue_token.expect("there is more");
    let next = |version: &str| ListOptions { continue_token: token.clone(), ..list(version, "", 4) };
    assert_eq!(world.list("v2/widgets", &next("")).await.expect("lists").remaining, Some(2));
    let rest = world.list("v2/widgets", &next("0")).await.expect("lists");
    assert_eq!((rest.items.len(), rest.remaining, rest.continue_token), (6, None, None), "what is left, whole");
    let head = "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: ";
    let text = format!("{head}Unsupported value: \"Bogus\": supported values: \"Exact\", \"NotOlderThan\", \"\"");
    refuse(list("1", "Bogus", 0), 422, &text).await;
    let text = format!("{head}Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    refuse(list("0", "Exact", 0), 422, &text).await;
    let text = format!("Timeout: Too large resource version: 9999, current: {now}");
    refuse(list("9999", "Exact", 0), 504, &text).await;
    refuse(list("9999", "NotOlderThan", 0), 504, &text).await;

    let get = async |version: &str, matching: &str| {
        let options =
            GetOptions { resource_version: version.into(), version_match: matching.into(), ..GetOptions::default() };
        world.registry.get(world.row("v2/widgets"), "default", "w0", &options).await
    };
    assert_eq!(get(&old, "Exact").await.expect("as it was").mod_revision, 1);
    assert_eq!(told(get(&old, "").await).0, 404);
    assert_eq!(told(get("9999", "").await), (504, text));
    // Of what has a lifetime nobody says when to try again.
    let again = async |row: &Resource| {
        let status = world.registry.wait_until(row, 9999).await.expect_err("it does not come").status();
        status.details.and_then(|details| details.retry_after_seconds)
    };
    let plain = Resource::new("", "v1", "plains", "Plain");
    assert_eq!((again(&plain).await, again(&plain.clone().lives_for(Duration::from_secs(1))).await), (Some(1), None));
    world.store.compact("/registry/toys/widgets/", revision + 1).await.expect("compacts");
    assert_eq!(told(get(&old, "Exact").await).0, 410);
    assert_eq!(told(world.list("v2/widgets", &list("1", "Exact", 0)).await).0, 410);
}

/// Counts the objects that are read.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Codec for Counted {
    fn seal(&self, _prefix: &str, plain: Bytes) -> Result<Bytes, CodecError> {
        Ok(plain)
    }
    fn open(&self, _prefix: &str, stored: Bytes) -> Result<Bytes, CodecError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(stored)
    }
}

#[tokio::test]
async fn a_page_of_an_old_revision_reads_what_it_shows_and_counts_the_rest() {
    let codec = Arc::new(Counted::default());
    let world = World::sealed(codec.clone()).await;
    let revision = ten(&world).await;
    world.delete("v2/widgets", "w9", DeleteOptions::default()).await.expect("deleted");
    let page = async |limit: u64, labels: &str, token: Option<String>| {
        let exact = if token.is_some() { "" } else { "Exact" };
        let options = ListOptions {
            resource_version: if token.is_some() { String::new() } else { revision.to_string() },
            version_match: exact.into(),
            limit,
            labels: LabelSelector::parse(labels).expect("parses"),
            continue_token: token.unwrap_or_default(),
            ..ListOptions::default()
        };
        let before = codec.0.load(Ordering::Relaxed);
        let page = world.list("v2/widgets", &options).await.expect("lists");
        (page.items.len(), page.remaining, codec.0.load(Ordering::Relaxed) - before, page.continue_token)
    };
    let (shown, remaining, read, token) = page(1, "", None).await;
    assert_eq!((shown, remaining, read), (1, Some(9), 1), "nine are counted by their keys");
    let (shown, remaining, read, token) = page(8, "", token).await;
    assert_eq!((shown, remaining, read), (8, Some(1), 8));
    let (shown, remaining, read, token) = page(1, "", token).await;
    assert_eq!((shown, remaining, read, token), (1, None, 1, None));
    // A full page of what is selected has another behind it, whatever stands there.
    let (shown, remaining, _, token) = page(5, "color=red", None).await;
    assert_eq!((shown, remaining, token.is_some()), (5, None, true), "w9 is blue");
    let (shown, remaining, _, token) = page(5, "color=blue", None).await;
    assert_eq!((shown, remaining, token), (5, None, None));
}

#[tokio::test]
async fn an_expired_token_offers_one_that_goes_on() {
    let world = World::new().await;
    ten(&world).await;
    let limit = |token: Option<String>| ListOptions {
        limit: 4,
        continue_token: token.unwrap_or_default(),
        ..ListOptions::default()
    };
    let page = world.list("v2/widgets", &limit(None)).await.expect("lists");
    let last = world.create("v2/widgets", widget("w6a", "red")).await.expect("created").mod_revision;
    world.store.compact("/registry/toys/widgets/", last).await.expect("compacts");
    let status = world.list("v2/widgets", &limit(page.continue_token)).await.expect_err("too old").status();
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    let page = world.list("v2/widgets", &limit(status.continue_token)).await.expect("goes on");
    assert_eq!(names(&page), ["default/w4", "default/w5", "default/w6", "default/w6a"]);
    assert_eq!(page.revision, last);
}

#[tokio::test]
async fn unknown_selectors_and_tokens_are_refused() {
    let world = World::new().await;
    let by =
        |fields: &str| ListOptions { fields: FieldSelector::parse(fields).expect("parses"), ..ListOptions::default() };
    let text = "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    assert_eq!(told(world.list("plains", &by("data.k=1")).await), (400, text.into()));
    assert_eq!(told(world.list("v2/widgets", &by("x=1")).await), (400, "field label not supported: x".into()));
    // Before it is said that a token excludes a revision.
    let token = ListOptions { continue_token: "e30".into(), resource_version: "5".into(), ..ListOptions::default() };
    let text = "invalid continue token: continue key is not valid: server does not recognize this encoded version ";
    assert_eq!(told(world.list("plains", &token).await), (400, text.into()));
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_initial_events_changes_and_the_end() {
    let world = World::new().await;
    ten(&world).await;
    let options = ListOptions {
        fields: FieldSelector::parse("spec.color=red").expect("parses"),
        version_match: "NotOlderThan".into(),
        allow_bookmarks: true,
        send_initial_events: Some(true),
        timeout_seconds: Some(5),
        ..ListOptions::default()
    };
    let mut events = world.registry.watch(world.row("v2/widgets"), "default", &options).await.expect("watches");
    for i in [0, 2, 4, 6, 8] {
        let event = events.next().await.expect("an event").expect("no error");
        assert_eq!(event.record().map(|record| record.key.name.to_string()), Some(format!("w{i}")));
    }
    let end = events.next().await.expect("an event").expect("no error");
    assert!(matches!(end, RecordEvent::Bookmark { revision: 10, initial_events_end: true }), "{end:?}");
    world.patch("v2/widgets", "w0", |object| object.set(&["spec", "color"], "blue")).await.expect("patched");
    let left = events.next().await.expect("an event").expect("no error");
    assert_eq!((left.kind(), left.record().expect("one").mod_revision), (EventKind::Deleted, 11));
    assert_eq!(json_of(left.record().expect("one"))["spec"]["color"], "red", "the last state that was selected");
    let last = events.next().await.expect("an event").expect("no error");
    assert!(matches!(last, RecordEvent::Bookmark { revision: 11, initial_events_end: false }), "{last:?}");
    assert!(events.next().await.is_none());

    // A revision that does not come ends what has begun.
    let ahead = ListOptions { resource_version: "9999".into(), ..options };
    let mut events = world.registry.watch(world.row("v2/widgets"), "default", &ahead).await.expect("watches");
    let status = events.next().await.expect("an event").expect_err("it does not come");
    assert_eq!((status.code, status.reason.as_str()), (504, "Timeout"));
    assert!(events.next().await.is_none());

    let refuse = async |options: ListOptions, text: &str| {
        let error = world.registry.watch(world.row("plains"), "", &options).await.err().expect("refused");
        assert_eq!(error.status().message, format!("ListOptions.meta.k8s.io \"\" is invalid: {text}"));
    };
    let none = ListOptions::default;
    refuse(
        ListOptions { send_initial_events: Some(true), ..none() },
        "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    )
    .await;
    refuse(
        ListOptions { version_match: "NotOlderThan".into(), ..none() },
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    )
    .await;
}

#[tokio::test]
async fn a_watch_that_is_too_old_says_so_in_the_stream() {
    let mut world = World::new().await;
    let revision = ten(&world).await;
    world.store.compact("/registry/toys/widgets/", revision).await.expect("compacts");
    world.restart().await;
    let options = ListOptions { resource_version: "3".into(), ..ListOptions::default() };
    let mut events = world.registry.watch(world.row("v2/widgets"), "", &options).await.expect("watches");
    let status = events.next().await.expect("an event").expect_err("too old");
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(events.next().await.is_none());
}
