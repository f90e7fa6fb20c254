//! A small API server for the tests of this crate: any resource, in memory, over the in-process transport, with records
//! or with bodies.

use crate::body::{ApiService, Body, collect, empty, full};
use crate::client::Client;
use crate::decode::record_from_value;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use parking_lot::Mutex;
use sampan_api::record::WatchSlot;
use sampan_api::{GroupResource, RecordEvent, Records, Status, UserInfo, WantRecords};
use sampan_env::Env;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc;

#[derive(Clone, Default)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    pub revision: u64,
    objects: BTreeMap<String, Value>,
    history: Vec<(u64, RecordEvent, String)>,
    watchers: Vec<(String, mpsc::UnboundedSender<Result<RecordEvent, Status>>)>,
    /// Revisions up to this one are gone.
    pub compacted: u64,
    pub refuse_watch_list: bool,
    /// Answers to come before any other: (status, Retry-After).
    pub refusals: Vec<(u16, Option<u32>)>,
    /// `METHOD path?query` of every request.
    pub requests: Vec<String>,
    pub records: bool,
}

pub(crate) fn env() -> Env {
    Env::simulated(7, SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000))
}

impl Fake {
    pub fn new(records: bool) -> Self {
        let fake = Self::default();
        fake.state.lock().records = records;
        fake
    }

    pub fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    pub fn service(&self) -> ApiService {
        let fake = self.clone();
        ApiService::new(tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, std::convert::Infallible>(fake.answer(request).await) }
        }))
    }

    pub fn client(&self) -> Client {
        Client::in_process(self.service(), UserInfo::new("tester", Vec::<String>::new()), "tests", &env())
    }

    /// Writes an object at `<path of the collection>/<name>` and tells the watchers.
    pub fn put(&self, collection: &str, mut object: Value) -> Value {
        let mut state = self.state.lock();
        state.revision += 1;
        let revision = state.revision;
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let key = format!("{collection}/{name}");
        if object["metadata"].get("uid").is_none() {
            object["metadata"]["uid"] = format!("uid-{revision}").into();
        }
        let record = Arc::new(record_from_value(object.clone()).expect("an object"));
        let event = match state.objects.insert(key.clone(), object.clone()) {
            None => RecordEvent::Added(record),
            Some(_) => RecordEvent::Modified(record),
        };
        state.tell(key, event);
        object
    }

    pub fn remove(&self, key: &str) -> Option<Value> {
        let mut state = self.state.lock();
        let mut object = state.objects.remove(key)?;
        state.revision += 1;
        object["metadata"]["resourceVersion"] = state.revision.to_string().into();
        let record = Arc::new(record_from_value(object.clone()).expect("an object"));
        state.tell(key.to_owned(), RecordEvent::Deleted(record));
        Some(object)
    }

    pub fn object(&self, key: &str) -> Option<Value> {
        self.state.lock().objects.get(key).cloned()
    }

    pub fn names(&self, collection: &str) -> Vec<String> {
        let prefix = format!("{collection}/");
        self.state.lock().objects.keys().filter_map(|key| key.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    /// Ends every watch, as a restart of the server does.
    pub fn drop_watches(&self) {
        self.state.lock().watchers.clear();
    }

    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = collect(body, usize::MAX).await.expect("a body");
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
        let path = head.uri.path().to_owned();
        let query: BTreeMap<&str, &str> =
            head.uri.query().unwrap_or("").split('&').filter_map(|pair| pair.split_once('=')).collect();
        {
            let mut state = self.state.lock();
            state.requests.push(format!("{} {}", head.method, head.uri));
            if !state.refusals.is_empty() {
                let (code, after) = state.refusals.remove(0);
                let mut response = Response::new(empty());
                *response.status_mut() = StatusCode::from_u16(code).expect("a status");
                if let Some(after) = after {
                    response.headers_mut().insert("retry-after", after.into());
                }
                return response;
            }
        }
        let want = head.extensions.get::<WantRecords>().is_some() && self.state.lock().records;
        let parts = path.trim_start_matches('/').split('/').count() - if path.starts_with("/api/") { 2 } else { 3 };
        let is_item = parts.is_multiple_of(2);
        let item = path.clone();
        let not_found = || Status::not_found(&GroupResource::new("", "things"), &item);
        match (&head.method, is_item) {
            (&Method::GET, false) if query.get("watch") == Some(&"true") => self.watch(&path, &query, want),
            (&Method::GET, false) => self.list(&path, &query, want),
            (&Method::GET, true) => match self.object(&path) {
                Some(object) if want => {
                    let record = Arc::new(record_from_value(object).expect("an object"));
                    let mut response = Response::new(empty());
                    response.extensions_mut().insert(Records::One(record));
                    response
                }
                Some(object) => json_response(200, &object),
                None => refuse(&not_found()),
            },
            (&Method::POST, false) => json_response(201, &self.put(&path, body)),
            (&Method::PUT, true) => {
                let (collection, _) = path.rsplit_once('/').expect("a path");
                json_response(200, &self.put(collection, body))
            }
            (&Method::PATCH, true) => match self.object(&path) {
                None => refuse(&not_found()),
                Some(mut object) => {
                    merge(&mut object, &body);
                    let (collection, _) = path.rsplit_once('/').expect("a path");
                    json_response(200, &self.put(collection, object))
                }
            },
            (&Method::DELETE, true) => match self.remove(&path) {
                None => refuse(&not_found()),
                Some(_) => json_response(200, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})),
            },
            _ => refuse(&Status::bad_request("the fake does not know this")),
        }
    }

    fn list(&self, path: &str, query: &BTreeMap<&str, &str>, want: bool) -> Response<Body> {
        let state = self.state.lock();
        let start: usize = query.get("continue").map_or(0, |token| token.parse().expect("our token"));
        let limit: usize = query.get("limit").map_or(usize::MAX, |limit| limit.parse().expect("a number"));
        let all: Vec<&Value> = state.under(path).collect();
        let page = &all[start.min(all.len())..all.len().min(start.saturating_add(limit))];
        let more = start + page.len() < all.len();
        if want {
            let records =
                page.iter().map(|object| Arc::new(record_from_value((*object).clone()).expect("an object"))).collect();
            let mut response = Response::new(empty());
            response.extensions_mut().insert(Records::List {
                items: Arc::new(records),
                revision: state.revision,
                continue_token: more.then(|| (start + page.len()).to_string()),
                remaining: None,
            });
            return response;
        }
        let items: Vec<Value> = page
            .iter()
            .map(|object| {
                let mut object = (*object).clone();
                object.as_object_mut().expect("an object").retain(|name, _| name != "kind" && name != "apiVersion");
                object
            })
            .collect();
        let kind = page.first().and_then(|object| object["kind"].as_str()).unwrap_or("Thing");
        let mut list = json!({"kind": format!("{kind}List"), "apiVersion": "v1", "items": items,
            "metadata": {"resourceVersion": state.revision.to_string()}});
        if more {
            list["metadata"]["continue"] = (start + page.len()).to_string().into();
        }
        json_response(200, &list)
    }

    fn watch(&self, path: &str, query: &BTreeMap<&str, &str>, want: bool) -> Response<Body> {
        let mut state = self.state.lock();
        let (sender, receiver) = mpsc::unbounded_channel();
        let send = |event| sender.send(Ok(event)).expect("the receiver is here");
        if query.get("sendInitialEvents") == Some(&"true") {
            if state.refuse_watch_list {
                return refuse(&Status::failure(sampan_api::Reason::Invalid, "sendInitialEvents is forbidden"));
            }
            for object in state.under(path) {
                send(RecordEvent::Added(Arc::new(record_from_value(object.clone()).expect("an object"))));
            }
            send(RecordEvent::Bookmark { revision: state.revision, initial_events_end: true });
        } else if let Some(revision) = query.get("resourceVersion") {
            let revision: u64 = revision.parse().expect("a revision");
            if revision < state.compacted {
                return refuse(&Status::expired("too old resource version"));
            }
            for (at, event, key) in &state.history {
                if *at > revision && is_under(key, path) {
                    send(event.clone());
                }
            }
        }
        state.watchers.push((path.to_owned(), sender));
        let stream = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        })
        .boxed();
        if want {
            let mut response = Response::new(empty());
            response.extensions_mut().insert(Records::Watch(WatchSlot::new(stream)));
            return response;
        }
        let frames = stream.map(|event| {
            let (kind, object) = match event {
                Ok(RecordEvent::Bookmark { revision, initial_events_end }) => {
                    let annotations =
                        if initial_events_end { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
                    (
                        "BOOKMARK",
                        json!({"metadata": {"resourceVersion": revision.to_string(), "annotations": annotations}}),
                    )
                }
                Ok(event) => (event.kind().as_str(), event.record().expect("a record").object().into_value()),
                Err(status) => ("ERROR", status.to_value()),
            };
            let line = format!("{}\n", json!({"type": kind, "object": object}));
            Ok(http_body::Frame::data(bytes::Bytes::from(line)))
        });
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

impl State {
    fn under<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |(key, _)| is_under(key, path)).map(|(_, object)| object)
    }

    fn tell(&mut self, key: String, event: RecordEvent) {
        self.watchers.retain(|(path, sender)| !is_under(&key, path) || sender.send(Ok(event.clone())).is_ok());
        self.history.push((self.revision, event, key));
    }

    pub fn fail_watches(&mut self, status: &Status) {
        for (_, sender) in self.watchers.drain(..) {
            sender.send(Err(status.clone())).expect("the watcher is there");
        }
    }
}

/// Whether the object at `key` is in the collection at `path`, namespaced or across namespaces.
fn is_under(key: &str, path: &str) -> bool {
    let (collection, _) = key.rsplit_once('/').expect("a path");
    let (base, resource) = path.rsplit_once('/').expect("a path");
    collection == path
        || collection
            .strip_prefix(base)
            .and_then(|rest| rest.strip_prefix("/namespaces/"))
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(_, name)| name == resource)
}

fn merge(target: &mut Value, patch: &Value) {
    match (target.as_object_mut(), patch.as_object()) {
        (Some(fields), Some(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    fields.remove(name);
                } else {
                    merge(fields.entry(name.clone()).or_insert(Value::Null), change);
                }
            }
        }
        _ => *target = patch.clone(),
    }
}

fn json_response(code: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn refuse(status: &Status) -> Response<Body> {
    json_response(status.code(), &status.to_value())
}

pub(crate) fn config_map(name: &str, data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"k": data}})
}
