//! A registry in this process, and the CPU that requests to it cost this thread.

use crate::generate::{self, Elements, Long, Place};
use sampan_api::admission::{AdmitAll, Warnings};
use sampan_api::object::Object;
use sampan_api::user::UserInfo;
use sampan_env::{Env, Tasks};
use sampan_registry::resource::{Body, SubresourceBody};
use sampan_registry::{Caller, Config, DeleteOptions, Registry, Resource, ResourceTable, UpdateOptions};
use sampan_schema::{Schema, TypeId, patch};
use sampan_store::memory::MemoryStore;
use sampan_store::{Op, Store, Txn, Writer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A stored kind of the table.
pub struct Kind {
    pub row: Arc<Resource>,
    pub type_id: TypeId,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.row.api_version(), self.row.kind)
    }
}

impl Kind {
    /// Every row whose objects are stored in its own version, with its type.
    pub fn all() -> Vec<Self> {
        let table = ResourceTable::builtin().expect("the built-in rows make a table");
        let stored = table.iter().filter(|row| row.body == Body::Stored && row.stored_as.is_none());
        stored
            .filter_map(|row| {
                let type_id = Schema::builtin().type_of(&row.gvk())?;
                Some(Self { row: row.clone(), type_id })
            })
            .collect()
    }

    pub fn object(&self, place: &Place, long: Long, shift: usize) -> Value {
        generate::object(&self.row.api_version(), &self.row.kind, place, long, shift)
    }

    pub fn namespace(&self) -> &'static str {
        if self.row.namespaced { "default" } else { "" }
    }

    fn key(&self) -> String {
        let group = if self.row.group.is_empty() { "core" } else { &self.row.group };
        let namespace = if self.row.namespaced { "default/" } else { "" };
        format!("/registry/{group}/{}/{namespace}x", self.row.resource)
    }
}

/// What one request cost.
pub struct Spent {
    pub what: String,
    pub cpu: Duration,
    /// Of the body, and of the object as it is or would be stored.
    pub bytes: usize,
}

impl Spent {
    pub fn nanos_a_byte(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.bytes as f64
    }
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

pub struct World {
    pub registry: Registry,
    store: Arc<MemoryStore>,
    pub user: UserInfo,
}

impl World {
    pub async fn new() -> Self {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600));
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let table = Arc::new(ResourceTable::builtin().expect("the built-in rows make a table"));
        let config = Config::new(store.clone(), env, table);
        Self { registry: Registry::open(config).await.expect("opens"), store, user: UserInfo::new("ann", ["people"]) }
    }

    pub fn decode(kind: &Kind, body: &[u8]) -> Option<Object> {
        let decoded = sampan_schema::json::decode(Schema::builtin(), kind.type_id, body).ok()?;
        Object::from_value(decoded.value)
    }

    /// Has the object stored as it is, whatever validation thinks of it.
    pub async fn put(&self, kind: &Kind, object: &Object) {
        let mut object = object.clone();
        for (name, value) in [("uid", "u"), ("creationTimestamp", "2026-01-01T00:00:00Z")] {
            object.set_meta(name, value);
        }
        if kind.row.namespaced {
            object.set_meta("namespace", "default");
        }
        let value = object.to_value();
        let rest: serde_json::Map<String, Value> = object.fields().clone();
        let mut text = format!(
            r#"{{"apiVersion":"{}","kind":"{}","metadata":{}"#,
            kind.row.api_version(),
            kind.row.kind,
            value["metadata"]
        );
        for (name, value) in
            rest.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"))
        {
            text.push_str(&format!(",\"{name}\":{value}"));
        }
        text.push('}');
        let txn = Txn { compares: Vec::new(), ops: vec![Op::put(kind.key(), text)], writer: Writer::default() };
        self.store.txn(txn).await.expect("nothing to refuse");
    }

    /// Every request that the place can be part of, with something that long in it; all that differ from it by `shift`.
    pub async fn requests(&self, kind: &Kind, place: &Place, long: Long) -> Vec<Spent> {
        let warnings = Warnings::default();
        let caller = Caller {
            user: &self.user,
            verb: "test",
            user_agent: "test/1",
            request_id: "r",
            field_manager: "test",
            dry_run: true,
            options: &Value::Null,
            admission: &AdmitAll,
            warnings: &warnings,
        };
        let (row, namespace) = (&*kind.row, kind.namespace());
        let body = kind.object(place, long, 1000).to_string();
        let mut spent = Vec::new();
        let mut note = |what: &str, began: Duration, bytes: usize| {
            spent.push(Spent { what: what.to_owned(), cpu: thread_cpu().saturating_sub(began), bytes });
        };
        // A text that is none of its type is refused as it is read: then that is all there is to cost.
        let began = thread_cpu();
        let decoded = Self::decode(kind, body.as_bytes());
        if let Some(object) = decoded.clone() {
            // Refusals cost as much as what they refuse.
            if let Err(error) = self.registry.create(&caller, row, namespace, object).await {
                std::hint::black_box(error.status().to_value().to_string());
            }
        }
        note("create", began, 2 * body.len());
        let Some(object) = decoded else { return spent };
        if matches!(long, Long::Text(_)) {
            return spent;
        }
        self.put(kind, &object).await;
        let stored = object.to_value().to_string().len();
        let other = kind.object(place, long, 2000).to_string();
        // Equal elements differ in what is looked for among them, not in how they are patched.
        let equal = matches!(long, Long::Elements(_, Elements::Equal) | Long::Siblings(_, Elements::Equal));
        let views = row.subresources.iter().filter(|view| view.body == SubresourceBody::View && !equal);
        for view in std::iter::once("").chain(views.map(|view| &*view.name)) {
            let began = thread_cpu();
            let new = Self::decode(kind, other.as_bytes()).unwrap_or_default();
            let transform = |current: Option<&Object>| {
                let mut new = new.clone();
                new.set_meta("resourceVersion", current.map_or("", Object::resource_version));
                Ok(new)
            };
            let how = UpdateOptions { subresource: view.into(), ..UpdateOptions::default() };
            if let Err(error) = self.registry.update(&caller, row, namespace, "x", &how, &transform).await {
                std::hint::black_box(error.status().to_value().to_string());
            }
            note(&format!("update {view}"), began, other.len() + stored);
        }
        if equal {
            return spent;
        }
        let patch: Value = serde_json::from_str(&other).expect("JSON");
        for strategic in [true, false] {
            let began = thread_cpu();
            let transform = |current: Option<&Object>| {
                let current = current.map(Object::to_value).unwrap_or_default();
                let patched = match strategic {
                    true => patch::strategic(Schema::builtin(), kind.type_id, current, &patch).unwrap_or(json!({})),
                    false => patch::merge(current, &patch),
                };
                Ok(Object::from_value(patched).unwrap_or_default())
            };
            let how = UpdateOptions::default();
            if let Err(error) = self.registry.update(&caller, row, namespace, "x", &how, &transform).await {
                std::hint::black_box(error.status().to_value().to_string());
            }
            note(if strategic { "strategic patch" } else { "merge patch" }, began, other.len() + stored);
        }
        if let Some(columns) = &row.columns {
            let began = thread_cpu();
            std::hint::black_box((columns.cells)(&object, SystemTime::UNIX_EPOCH));
            note("table", began, stored);
        }
        let began = thread_cpu();
        // Whether it goes does not matter here.
        drop(self.registry.delete(&caller, row, namespace, "x", &DeleteOptions::default()).await);
        note("delete", began, stored);
        spent
    }
}
