//! A registry in this process.

use sampan_api::object::Object;
use sampan_api::user::UserInfo;
use sampan_env::{Env, Tasks};
use sampan_registry::resource::Body;
use sampan_registry::{Config, Registry, Resource, ResourceTable};
use sampan_schema::{Schema, TypeId};
use sampan_store::memory::MemoryStore;
use sampan_store::{Op, Store, Txn, Writer};
use sampan_testing::generate::{self, Long, Place};
use serde_json::Value;
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
}
