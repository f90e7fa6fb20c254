//! Waiting until what was applied is there.

use crate::apply::api_of;
use crate::kstatus::{Progress, progress};
use crate::limits::{EVENTS_EVERY, EVENTS_MAX, WATCH_PAUSE_MAX, WATCH_PAUSE_MIN};
use anyhow::Context;
use futures::stream::{BoxStream, SelectAll, select_all, try_unfold};
use futures::{StreamExt, TryStreamExt};
use sampan_api::Object;
use sampan_api::k8s::api::core::v1::Event;
use sampan_client::{Api, Client, Discovery, ListParams, WatchEvent, WatchParams, WatchStream};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// The reason why an object did not become ready, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotReady(pub String);

/// News of an object that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// What is missing still, each time that it changes, with the event that explains it.
    Missing(&'a str),
    /// All is as its spec says.
    Ready,
    /// It will not become ready by itself, or is gone; why.
    Failed(&'a str),
}

/// Follows objects, all at the same time, until each is Current or has failed, or the deadline is over. `tell` hears of each,
/// by its index. What is not ready is returned, in the order of the objects.
/// A watch that cannot be begun for now is tried again until then.
///
/// # Errors
/// An object's kind is not served, or the server refuses a watch.
pub async fn until_current(
    client: &Client,
    discovery: &Discovery,
    objects: &[Object],
    deadline: Duration,
    tell: impl FnMut(usize, Heard<'_>),
) -> anyhow::Result<Vec<NotReady>> {
    let groups = groups(client, discovery, objects)?;
    let mut waits = Waits::new(objects, tell);
    let follow = async {
        let mut events = followed(&groups);
        let mut next = client.env().instant() + EVENTS_EVERY;
        while waits.open > 0 {
            tokio::select! {
                news = events.next() => {
                    let (group, news) = news.context("the watches have ended")??;
                    waits.hear(&groups[group], &news, client.env().now());
                }
                () = client.env().sleep(next.saturating_duration_since(client.env().instant())) => {
                    waits.explain(client).await;
                    next = client.env().instant() + EVENTS_EVERY;
                }
            }
        }
        anyhow::Ok(())
    };
    let followed = tokio::time::timeout(deadline, follow).await;
    match followed {
        Ok(all_settled) => all_settled?,
        Err(_) => waits.give_up(deadline),
    }
    Ok(waits.unready())
}

/// Objects of one kind in one place: they share a watch.
struct Group {
    api: Api<Object>,
    /// Indexes of objects by their names: a manifest may name one twice.
    members: BTreeMap<String, Vec<usize>>,
}

fn groups(client: &Client, discovery: &Discovery, objects: &[Object]) -> anyhow::Result<Vec<Group>> {
    let mut groups = BTreeMap::new();
    for (index, object) in objects.iter().enumerate() {
        let group = match groups.entry((object.api_version(), object.kind(), object.namespace())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Group { api: api_of(client, discovery, object)?, members: BTreeMap::new() })
            }
        };
        group.members.entry(object.name().to_owned()).or_default().push(index);
    }
    Ok(groups.into_values().collect())
}

/// News of a watch.
enum News {
    /// It has begun: what there is comes first.
    Begun,
    Event(WatchEvent),
    /// It could not be begun, and will be tried again; why.
    Broken(String),
}

/// What is heard of groups, each with the index of its group.
type Followed = SelectAll<BoxStream<'static, anyhow::Result<(usize, News)>>>;

fn followed(groups: &[Group]) -> Followed {
    let follow = |(index, group): (usize, &Group)| {
        let only = group.members.keys().next().filter(|_| group.members.len() == 1);
        let params = WatchParams {
            field_selector: only.map(|name| format!("metadata.name={name}")),
            send_initial_events: true,
            ..WatchParams::default()
        };
        watches(group.api.clone(), params).map_ok(move |news| (index, news)).boxed()
    };
    select_all(groups.iter().enumerate().map(follow))
}

/// Watches, one after the other.
struct Watches {
    api: Api<Object>,
    params: WatchParams,
    open: Option<WatchStream>,
    /// The time before the next one is begun.
    rest: Duration,
    /// The least of these that comes next.
    pause: Duration,
}

impl Watches {
    /// One has ended, or could not be begun: the next is begun after `asked`, and no sooner than after a pause, which doubles
    /// until something was seen. A server that ends every watch at once is not asked without one.
    fn rest(&mut self, asked: Duration) {
        self.rest = self.pause.max(asked);
        self.pause = (self.pause * 2).min(WATCH_PAUSE_MAX);
    }
}

/// The news of watches, one after the other. An error is that of a watch that the server refuses for good.
fn watches(api: Api<Object>, params: WatchParams) -> BoxStream<'static, anyhow::Result<News>> {
    let state = Watches { api, params, open: None, rest: Duration::ZERO, pause: WATCH_PAUSE_MIN };
    try_unfold(state, |mut state| async move {
        loop {
            let Some(mut open) = state.open.take() else {
                state.api.client().env().sleep(state.rest).await;
                let begun = state.api.watch(&state.params).await;
                match begun {
                    Ok(open) => {
                        state.open = Some(open);
                        return anyhow::Ok(Some((News::Begun, state)));
                    }
                    Err(error) if error.is_retriable() => {
                        state.rest(error.retry_after().unwrap_or_default());
                        return anyhow::Ok(Some((News::Broken(error.to_string()), state)));
                    }
                    Err(error) => return Err(error).with_context(|| state.api.resource().resource.clone()),
                }
            };
            // An error is the end of a watch too.
            match open.next().await {
                Some(Ok(event)) => {
                    if !matches!(event, WatchEvent::Bookmark { .. }) {
                        state.pause = WATCH_PAUSE_MIN;
                    }
                    state.open = Some(open);
                    return anyhow::Ok(Some((News::Event(event), state)));
                }
                Some(Err(error)) => state.rest(error.retry_after().unwrap_or_default()),
                None => state.rest(Duration::ZERO),
            }
        }
    })
    .boxed()
}

/// The wait for one object.
#[derive(Default)]
struct Wait {
    /// What is missing; empty: nothing was seen yet.
    missing: String,
    /// The event that explains it.
    explained: Option<String>,
    /// The object as it was seen last.
    seen: Option<Object>,
    /// Whether the watch that is under way has shown it.
    shown: bool,
    /// Why no watch of it could be begun last.
    broken: Option<String>,
    /// What has become of it; `None`: it is waited for.
    outcome: Option<Result<(), NotReady>>,
}

impl Wait {
    /// What is missing, with the event that explains it.
    fn text(&self) -> String {
        match &self.explained {
            Some(explained) => format!("{}{EXPLAINED}{explained}", self.missing),
            None => self.missing.clone(),
        }
    }

    /// All that is known of why it is not there when the time is over.
    fn last_words(&self) -> String {
        let known = [self.text(), self.broken.clone().unwrap_or_default()];
        known.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(EXPLAINED)
    }
}

/// The waits for objects, each at the index of its object.
struct Waits<'a, T> {
    objects: &'a [Object],
    all: Vec<Wait>,
    /// Number of those without an outcome.
    open: usize,
    tell: T,
}

impl<'a, T: FnMut(usize, Heard<'_>)> Waits<'a, T> {
    fn new(objects: &'a [Object], tell: T) -> Self {
        Self { objects, all: objects.iter().map(|_| Wait::default()).collect(), open: objects.len(), tell }
    }

    /// Takes in the news of a group's watch.
    fn hear(&mut self, group: &Group, news: &News, now: SystemTime) {
        let members = group.members.values().flatten().copied();
        match news {
            News::Begun => members.for_each(|index| {
                self.all[index].shown = false;
                self.all[index].broken = None;
            }),
            News::Broken(why) => members.for_each(|index| self.all[index].broken = Some(why.clone())),
            // What was there and is not among what there is went while nobody watched.
            News::Event(WatchEvent::Bookmark { initial_events_end: true, .. }) => members.for_each(|index| {
                let wait = &self.all[index];
                if wait.outcome.is_none() && wait.seen.is_some() && !wait.shown {
                    self.fail(index, "was deleted");
                }
            }),
            News::Event(event) => self.take(group, event, now),
        }
    }

    /// Takes in an event of a group's watch.
    fn take(&mut self, group: &Group, event: &WatchEvent, now: SystemTime) {
        let Some(record) = event.record() else { return };
        let gone = matches!(event, WatchEvent::Deleted(_));
        for &index in group.members.get(&*record.key.name).into_iter().flatten() {
            if self.all[index].outcome.is_some() {
                continue;
            }
            self.all[index].shown = true;
            if gone {
                self.fail(index, "was deleted");
            } else {
                self.look(index, record.object(), now);
            }
        }
    }

    /// Looks at what an object is now. One that has failed is told of when there was time for the event that explains it.
    fn look(&mut self, index: usize, object: Object, now: SystemTime) {
        match progress(&object, now) {
            Progress::Current => self.settle(index, Ok(())),
            Progress::Terminating => self.fail(index, "is being deleted"),
            Progress::Failed(_) => self.all[index].seen = Some(object),
            Progress::InProgress(missing) => {
                let wait = &mut self.all[index];
                wait.seen = Some(object);
                if wait.missing != missing {
                    (wait.missing, wait.explained) = (missing, None);
                    (self.tell)(index, Heard::Missing(&wait.missing));
                }
            }
        }
    }

    /// Looks for events that explain what is missing, or what has failed.
    async fn explain(&mut self, client: &Client) {
        let objects = self.objects;
        let seen = self.all.iter().zip(objects).filter(|(wait, _)| wait.outcome.is_none() && wait.seen.is_some());
        let namespaces: BTreeSet<&str> = seen.map(|(_, object)| event_namespace(object)).collect();
        let mut warnings = BTreeMap::new();
        for namespace in namespaces {
            warnings.insert(namespace, explanations(client, namespace).await);
        }
        let now = client.env().now();
        for (index, object) in objects.iter().enumerate() {
            let told = warnings.get(event_namespace(object)).and_then(|found| found.get(object.name()));
            self.explain_one(index, told.map(String::as_str), now);
        }
    }

    /// `told`: the newest warning that may be about it.
    fn explain_one(&mut self, index: usize, told: Option<&str>, now: SystemTime) {
        let wait = &mut self.all[index];
        let (None, Some(seen)) = (&wait.outcome, &wait.seen) else { return };
        if let Progress::Failed(why) = progress(seen, now) {
            let told = told.filter(|told| !why.contains(*told)).map(|told| format!("{EXPLAINED}{told}"));
            return self.fail(index, &format!("failed: {why}{}", told.unwrap_or_default()));
        }
        let known = |told: &&str| wait.missing.ends_with(*told) || wait.explained.as_deref() == Some(*told);
        if let Some(told) = told.filter(|told| !wait.missing.is_empty() && !known(told)) {
            wait.explained = Some(told.to_owned());
            let text = wait.text();
            (self.tell)(index, Heard::Missing(&text));
        }
    }

    /// The time is over.
    fn give_up(&mut self, deadline: Duration) {
        for index in 0..self.all.len() {
            if self.all[index].outcome.is_none() {
                let why = match self.all[index].last_words() {
                    known if known.is_empty() => known,
                    known => format!(": {known}"),
                };
                self.fail(index, &format!("was not ready after {} s{why}", deadline.as_secs()));
            }
        }
    }

    /// `why`: as it follows the object's name.
    fn fail(&mut self, index: usize, why: &str) {
        let object = &self.objects[index];
        let why = NotReady(format!("{} {:?} {why}", object.kind(), object.name()));
        self.settle(index, Err(why));
    }

    fn settle(&mut self, index: usize, outcome: Result<(), NotReady>) {
        match &outcome {
            Ok(()) => (self.tell)(index, Heard::Ready),
            Err(why) => (self.tell)(index, Heard::Failed(&why.0)),
        }
        self.all[index].outcome = Some(outcome);
        self.open -= 1;
    }

    fn unready(self) -> Vec<NotReady> {
        self.all.into_iter().filter_map(|wait| wait.outcome?.err()).collect()
    }
}

/// Between what is missing and the event that explains it.
const EXPLAINED: &str = " - ";

/// The namespace of events about an object.
fn event_namespace(object: &Object) -> &str {
    if object.namespace().is_empty() { "default" } else { object.namespace() }
}

/// The newest warnings of a namespace. They are a help to people: where they cannot be had, there are none.
async fn explanations(client: &Client, namespace: &str) -> BTreeMap<String, String> {
    let warnings = ListParams { limit: Some(EVENTS_MAX), ..ListParams::fields("type=Warning") };
    let found = client.namespaced::<Event>(namespace).list(&warnings).await;
    found.map(|list| newest(list.items)).unwrap_or_default()
}

/// The newest of the events for each name that they may be about: that of the object itself, or one that its name begins
/// with, as the names of pods do with those of what has made them.
fn newest(mut events: Vec<Event>) -> BTreeMap<String, String> {
    let time = |event: &Event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or(event.event_time.as_ref().map(|time| time.0)).or(event
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0))
    };
    events.sort_by_key(time);
    let mut found = BTreeMap::new();
    for event in &events {
        let name = event.involved_object.name.as_deref().unwrap_or_default();
        let (reason, message) = (event.reason.as_deref(), event.message.as_deref());
        let told = format!("{}: {}", reason.unwrap_or_default(), message.unwrap_or_default());
        for end in name.match_indices('-').map(|(at, _)| at).chain([name.len()]) {
            found.insert(name[..end].to_owned(), told.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::UserInfo;
    use sampan_client::{ApiService, Body, full};
    use sampan_env::Env;
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A server whose watches show these pods, and end; and how often it was asked for one.
    fn server(pods: &[serde_json::Value]) -> (Client, Arc<AtomicUsize>) {
        scripted(vec![(200, shown(pods))])
    }

    /// The events that show these pods.
    fn shown(pods: &[serde_json::Value]) -> String {
        pods.iter().map(|pod| format!("{}\n", json!({"type": "ADDED", "object": pod}))).collect()
    }

    /// The end of what there is at the beginning of a watch.
    fn whole() -> String {
        let metadata = json!({"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}});
        format!("{}\n", json!({"type": "BOOKMARK", "object": {"metadata": metadata}}))
    }

    /// A server that answers one watch after the other so, and all that follow as the last; and how often it was asked.
    fn scripted(answers: Vec<(u16, String)>) -> (Client, Arc<AtomicUsize>) {
        let watches = Arc::new(AtomicUsize::new(0));
        let counted = watches.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let mut code = 200;
            let body = match request.uri().path() {
                "/api/v1/namespaces/default/pods" => {
                    let at = counted.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
                    code = answers[at].0;
                    answers[at].1.clone()
                }
                "/api" => json!({
                    "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": [{
                        "metadata": {}, "versions": [{"version": "v1", "resources": [{
                            "resource": "pods", "singularResource": "pod", "scope": "Namespaced", "verbs": ["watch"],
                            "responseKind": {"group": "", "version": "v1", "kind": "Pod"},
                        }]}],
                    }],
                })
                .to_string(),
                _ => json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": []})
                    .to_string(),
            };
            let response = http::Response::builder()
                .status(code)
                .header("content-type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
            std::future::ready(Ok(response.body(full(body)).expect("an answer")))
        });
        let service = ApiService::new(tower::util::MapFuture::new(service, |future| {
            let future: futures::future::BoxFuture<'static, _> = Box::pin(future);
            future
        }));
        (Client::in_process(service, UserInfo::apiserver(), "test", &Env::system()), watches)
    }

    #[test]
    fn the_newest_warning_about_an_object_or_its_pods_explains_it() {
        let event = |name: &str, minute: u32, message: &str| -> Event {
            let time = format!("2026-01-01T00:{minute:02}:00Z");
            let value = json!({"metadata": {}, "involvedObject": {"name": name}, "reason": "Failed", "message": message,
                "lastTimestamp": time});
            serde_json::from_value(value).expect("an event")
        };
        let all = vec![event("web-1-a", 1, "old"), event("web-1-b", 3, "new"), event("website", 9, "another's")];
        let found = newest(all);
        assert_eq!(found.get("web").map(String::as_str), Some("Failed: new"));
        assert_eq!(found.get("web-1-a").map(String::as_str), Some("Failed: old"));
        assert_eq!(found.get("db"), None);
    }

    fn pod(name: &str, status: serde_json::Value) -> serde_json::Value {
        let metadata = json!({"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})
    }

    fn objects(pods: &[serde_json::Value]) -> Vec<Object> {
        pods.iter().map(|pod| Object::from_value(pod.clone()).expect("an object")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_ends_every_watch_is_not_asked_in_a_hot_loop() {
        let (client, watches) = server(&[]);
        let discovery = client.discover().await.expect("discovery");
        let pods = objects(&[pod("a", json!({}))]);
        let found = until_current(&client, &discovery, &pods, Duration::from_secs(60), |_, _| ()).await;
        let found = found.expect("it can be waited for");
        assert!(found.len() == 1 && found[0].to_string().contains("60 s"), "{found:?}");
        let asked = watches.load(Ordering::Relaxed);
        assert!((10..40).contains(&asked), "{asked}");
    }

    /// What is told of the pod `a` by a server of these answers, and after how many seconds; an error as its text.
    async fn waited(answers: Vec<(u16, String)>) -> (String, u64) {
        let (client, _) = scripted(answers);
        let discovery = client.discover().await.expect("discovery");
        let began = client.env().instant();
        let pods = objects(&[pod("a", json!({}))]);
        let found = until_current(&client, &discovery, &pods, Duration::from_secs(60), |_, _| ()).await;
        let told = match found {
            Ok(unready) => unready.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Err(error) => format!("error: {error:#}"),
        };
        (told, client.env().instant().duration_since(began).as_secs())
    }

    fn refusal(code: u16, reason: &str, retry_after: Option<u32>) -> (u16, String) {
        let details = json!({"retryAfterSeconds": retry_after});
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
            "message": "come back later", "details": details});
        (code, status.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_cannot_be_begun_for_now_is_tried_again() {
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let ready = (200, shown(&[pod("a", ready)]));
        let check = async |answers: &[(u16, String)], expected: &str, seconds: u64| {
            assert_eq!(waited(answers.to_vec()).await, (expected.to_owned(), seconds), "{answers:?}");
        };
        let unavailable = refusal(503, "ServiceUnavailable", None);
        check(&[unavailable.clone(), ready.clone()], "", 0).await;
        check(&[refusal(503, "ServiceUnavailable", Some(7)), ready.clone()], "", 7).await;
        check(&[refusal(429, "TooManyRequests", Some(3)), unavailable.clone(), ready.clone()], "", 3).await;
        check(&[unavailable], "Pod \"a\" was not ready after 60 s: come back later", 60).await;
        // What was refused for good is told at once.
        check(&[refusal(403, "Forbidden", None), ready], "error: pods: come back later", 0).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_between_two_watches_is_not_waited_for() {
        let pending = shown(&[pod("a", json!({"phase": "Pending"}))]);
        let (told, seconds) = waited(vec![(200, pending.clone() + &whole()), (200, whole())]).await;
        assert_eq!((told.as_str(), seconds), ("Pod \"a\" was deleted", 0));
        // Nothing is concluded from a list that broke off, nor of what was never seen.
        let late = "Pod \"a\" was not ready after 60 s";
        let (told, _) = waited(vec![(200, pending + &whole()), (200, String::new())]).await;
        assert_eq!(told, format!("{late}: phase Pending"));
        assert_eq!(waited(vec![(200, whole())]).await.0, late);
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_waited_for_at_once_until_one_deadline() {
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let pods = [
            pod("a", json!({"phase": "Pending"})),
            pod("b", ready),
            pod("c", json!({"phase": "Failed", "message": "Evicted"})),
            pod("d", json!({"phase": "Pending"})),
        ];
        let (client, _) = server(&pods);
        let discovery = client.discover().await.expect("discovery");
        let began = client.env().instant();
        let mut heard = Vec::new();
        let tell = |index: usize, news: Heard<'_>| heard.push(format!("{index} {news:?}"));
        let found = until_current(&client, &discovery, &objects(&pods), Duration::from_secs(60), tell).await;
        let found: Vec<String> = found.expect("it can be waited for").iter().map(ToString::to_string).collect();
        let late = |name: &str| format!("Pod {name:?} was not ready after 60 s: phase Pending");
        assert_eq!(found, [late("a"), "Pod \"c\" failed: Evicted".to_owned(), late("d")]);
        assert_eq!(client.env().instant().duration_since(began).as_secs(), 60, "one deadline");
        let told = |text: &str| heard.iter().position(|one| one == text).unwrap_or_else(|| panic!("{text}: {heard:?}"));
        let last = told("0 Failed(\"Pod \\\"a\\\" was not ready after 60 s: phase Pending\")");
        for text in ["0 Missing(\"phase Pending\")", "1 Ready", "2 Failed(\"Pod \\\"c\\\" failed: Evicted\")"] {
            assert!(told(text) < last, "{text}: {heard:?}");
        }
        assert_eq!(heard.len(), 6, "each news once: {heard:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_is_not_served_cannot_be_waited_for() {
        let (client, _) = server(&[]);
        let discovery = client.discover().await.expect("discovery");
        let thing = json!({"apiVersion": "example.io/v1", "kind": "Thing", "metadata": {"name": "a"}});
        let found = until_current(&client, &discovery, &objects(&[thing]), Duration::from_secs(60), |_, _| ()).await;
        assert!(found.expect_err("refused").to_string().contains("Thing"));
    }
}
