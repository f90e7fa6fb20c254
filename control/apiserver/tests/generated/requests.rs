//! A server in this process, and the CPU that requests to it cost the process.

use crate::patches;
use crate::shapes::Case;
use crate::targets::{First, Target};
use bytes::Bytes;
use http::Request;
use sampan_api::object::Object;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::{Client, Error};
use sampan_env::Env;
use sampan_schema::Schema;
use sampan_schema::limits::DEFAULTS_BYTES_MAX;
use sampan_store::{Error as StoreError, Op, Store, Txn, Writer};
use sampan_testing::generate::{Elements, Long};
use sampan_testing::server::{Server, guarded};
use serde_json::Value;
use std::time::Duration;

/// Bytes that a server is sent before a new one takes its place: a store in memory forgets nothing.
const SENT_MAX: usize = 256 << 20;
/// How often other tasks are let on after a request: what they do of it is its cost too.
const YIELDS: usize = 8;
const REPLACED: &str = "application/json";

/// What one request cost.
#[derive(Clone, Debug)]
pub struct Spent {
    pub what: String,
    pub cpu: Duration,
    /// Of the body, and of the object as it is or would be stored.
    pub bytes: usize,
    /// The status that it was answered with.
    pub code: u16,
}

/// How long what is stored and what is sent is.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub object: usize,
    pub body: usize,
}

/// CPU time of the process.
pub fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// What reading and writing the text once costs: work that follows its bytes, on this machine and at this moment.
pub fn peer(text: &str) -> Duration {
    let began = cpu();
    let value: Value = serde_json::from_str(text).expect("JSON");
    std::hint::black_box(value.to_string());
    drop(value);
    cpu().saturating_sub(began)
}

pub struct World {
    server: Server,
    client: Client,
    sent: usize,
}

impl World {
    pub async fn new() -> Self {
        let server = guarded(Env::system()).await;
        let client = server.client(UserInfo::new("admin", [GROUP_MASTERS]));
        Self { server, client, sent: 0 }
    }

    async fn end(&self) {
        self.server.stopping.cancel();
        self.server.tasks.drain(Duration::from_secs(10)).await.expect("its tasks end");
    }

    /// Every request that the case can be part of, at these sizes.
    pub async fn requests(&mut self, case: &Case, sizes: Sizes) -> Vec<Spent> {
        if self.sent > SENT_MAX {
            self.end().await;
            *self = Self::new().await;
        }
        let mut run = Run { world: self, case, spent: Vec::new() };
        run.all(sizes).await;
        run.spent
    }

    /// Whether the store took it: it refuses what is longer than an object may be.
    async fn txn(&self, op: Op) -> bool {
        let txn = Txn { compares: Vec::new(), ops: vec![op], writer: Writer::default() };
        match self.server.store.txn(txn).await {
            Ok(_) => true,
            Err(StoreError::TooLarge { .. }) => false,
            Err(other) => panic!("nothing else to refuse: {other}"),
        }
    }

    /// Has the object stored as it is, whatever validation thinks of it. Gives back how long it is, if it may be as long.
    async fn put(&self, target: &Target, object: &Object) -> Option<usize> {
        let mut object = object.clone();
        for (name, value) in [("uid", "u"), ("creationTimestamp", "2026-01-01T00:00:00Z")] {
            object.set_meta(name, value);
        }
        if target.row.namespaced {
            object.set_meta("namespace", "default");
        }
        let value = object.to_value();
        let head = [("apiVersion", &value["apiVersion"]), ("kind", &value["kind"]), ("metadata", &value["metadata"])];
        let mut text: Vec<String> = head.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let rest = object.fields().iter().filter(|(name, _)| head.iter().all(|(first, _)| first != name));
        text.extend(rest.map(|(name, value)| format!("\"{name}\":{value}")));
        let text = format!("{{{}}}", text.join(","));
        let length = text.len();
        self.txn(Op::put(target.key(), text)).await.then_some(length)
    }

    async fn forget(&self, target: &Target) {
        self.txn(Op::Delete { key: target.key().into(), payload: None, last: None }).await;
    }
}

struct Run<'a> {
    world: &'a mut World,
    case: &'a Case,
    spent: Vec<Spent>,
}

impl Run<'_> {
    /// Sends a request. `stored`: the bytes of the object that it is about.
    async fn send(&mut self, what: &str, call: (&str, &str), types: [&str; 2], body: String, stored: usize) -> u16 {
        let ((method, path), [content, accept]) = (call, types);
        let (sent, body) = (body.len(), Bytes::from(body));
        let request = Request::builder().method(method).uri(path).header("content-type", content);
        let request = request.header("accept", accept).body(body.clone()).expect("a request");
        let began = cpu();
        let answer = self.world.client.request_bytes(request).await;
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        let cpu = cpu().saturating_sub(began);
        let creates = method == "POST";
        let (code, would) = match answer {
            // What is created is as long as what is answered.
            Ok(answer) => (200, if creates { stored.max(answer.len()) } else { stored }),
            // Its defaults alone were as long as they may be.
            Err(Error::Api(status)) if status.code == 413 && creates => (413, stored.max(DEFAULTS_BYTES_MAX)),
            // It is looked at with its defaults, as it would be stored.
            Err(Error::Api(status)) if status.code == 422 && creates => {
                (422, stored.max(defaulted(&self.case.target, &body)))
            }
            Err(Error::Api(status)) => (status.code, stored),
            // The client's own bound for what it reads.
            Err(Error::TooLarge { .. }) => (0, stored),
            Err(other) => panic!("{} {what}: {other}", self.case),
        };
        let bytes = sent + would;
        self.world.sent += bytes;
        self.spent.push(Spent { what: what.to_owned(), cpu, bytes, code });
        code
    }

    async fn all(&mut self, sizes: Sizes) {
        let case = self.case;
        let (Some(sent), Some(kept)) = (case.of(sizes.body), case.of(sizes.object)) else { return };
        let target = &case.target;
        let body = target.object(&case.place, sent, 1000).to_string();
        let (length, collection) = (body.len(), target.collection());
        let json = [REPLACED, "application/json"];
        match target.first {
            First::Call => drop(self.send("call", ("POST", &collection), json, body, length).await),
            First::Below(method) => {
                let path = format!("{collection}/x/{}", target.below);
                self.below(method, &path, body, length).await;
            }
            First::Store => {
                let dry = format!("{collection}?dryRun=All");
                self.send("create in a dry run", ("POST", &dry), json, body, length).await;
                self.stored(sizes, sent, kept).await;
            }
        }
    }

    /// A call below an object that is short.
    async fn below(&mut self, method: &str, path: &str, body: String, length: usize) {
        let target = &self.case.target;
        let mut object = Object::default();
        object.set_gvk(&target.row.gvk());
        object.set_meta("name", "x");
        self.world.put(target, &object).await.expect("a short object");
        self.send("call", (method, path), [REPLACED, "application/json"], body.clone(), length).await;
        if method == "PUT" {
            self.send("patch", ("PATCH", path), ["application/merge-patch+json", "application/json"], body, length)
                .await;
        }
        self.world.forget(target).await;
    }

    fn namespace(&self) -> &'static str {
        if self.case.target.row.namespaced { "default" } else { "" }
    }

    async fn stored(&mut self, sizes: Sizes, sent: Long, kept: Long) {
        let (target, place) = (&self.case.target, &self.case.place);
        let json = [REPLACED, "application/json"];
        let collection = target.collection();
        let path = format!("{collection}/x");
        let text = target.object(place, kept, 1000).to_string();
        let code = self.send("create", ("POST", &collection), json, text.clone(), text.len()).await;
        // A text that is none of its type is refused as it is read: then that is all there is to cost.
        let Some(mut object) = decoded(target, text.as_bytes()) else { return };
        if matches!(kept, Long::Text(_)) {
            return self.world.forget(target).await;
        }
        let (mut kept, mut part) = (kept, 1);
        let stored = loop {
            if code == 200 {
                break self.world.server.registry.stored_bytes(&target.row, self.namespace(), "x");
            }
            if let Some(stored) = self.world.put(target, &object).await {
                break stored;
            }
            // What a type says of each of its elements though the text does not (`null` for a time) makes it longer.
            part *= 2;
            let Some(shorter) = self.case.of(sizes.object / part) else { return };
            kept = shorter;
            let shorter = target.object(place, kept, 1000).to_string();
            object = decoded(target, shorter.as_bytes()).expect("as the longer one");
        };
        let other = target.object(place, kept, 2000);
        // Equal elements differ in what is looked for among them, not in how they are patched.
        let equal = matches!(kept, Long::Elements(_, Elements::Equal) | Long::Siblings(_, Elements::Equal));
        let views: Vec<String> = target.views().filter(|_| !equal).map(|view| format!("/{view}")).collect();
        for view in std::iter::once("").chain(views.iter().map(String::as_str)) {
            let mut other = other.clone();
            other["metadata"]["resourceVersion"] = self.world.server.registry.revision().to_string().into();
            let dry = format!("{path}{view}?dryRun=All");
            self.send(&format!("update{view}"), ("PUT", &dry), json, other.to_string(), stored).await;
        }
        let before = self.world.server.store.get(&target.key(), None).await.expect("readable").expect("stored").value;
        let ways = if self.case.patched { patches::all(self.case, sent, sizes.body) } else { Vec::new() };
        for patch in ways {
            let types = [patch.media, "application/json"];
            let code = self.send(patch.what, ("PATCH", &path), types, patch.body, stored * (1 + patch.copies)).await;
            if code == 200 {
                self.world.txn(Op::put(target.key(), before.clone())).await;
            }
        }
        let table = [REPLACED, "application/json;as=Table;g=meta.k8s.io;v=v1"];
        self.send("table", ("GET", &path), table, String::new(), stored).await;
        self.send("delete in a dry run", ("DELETE", &format!("{path}?dryRun=All")), json, String::new(), stored).await;
        self.send("delete", ("DELETE", &path), json, String::new(), stored).await;
        self.world.forget(target).await;
    }
}

/// Bytes of the object that a body is, with its defaults.
fn defaulted(target: &Target, body: &[u8]) -> usize {
    let Some(mut object) = decoded(target, body) else { return 0 };
    match sampan_schema::default::apply(Schema::builtin(), target.type_id, object.fields_mut()) {
        Ok(()) => object.into_value().to_string().len(),
        Err(_) => DEFAULTS_BYTES_MAX,
    }
}

fn decoded(target: &Target, text: &[u8]) -> Option<Object> {
    let decoded = sampan_schema::json::decode(Schema::builtin(), target.type_id, text).ok()?;
    Object::from_value(decoded.value)
}
