//! The one generic registry: its parts, and what its calls share.

use crate::allocate::Pools;
use crate::codec::{Codec, Plain};
use crate::encode::{self, Refusal, Revisions, StoredDecoder};
use crate::error::Error;
use crate::lifetime::Lifetimes;
use crate::options::Caller;
use crate::resource::Resource;
use crate::retention::Floors;
use crate::seal::Seal;
use crate::strategy::{Capabilities, Context};
use crate::table::{Current, Index, ResourceTable, TableChanges, storage_prefix};
use arc_swap::ArcSwap;
use bytes::Bytes;
use sampan_api::limits::{NESTING_MAX, OBJECT_MAX};
use sampan_api::object::Object;
use sampan_api::record::{Record, RecordKey, Writer};
use sampan_api::status::Status;
use sampan_api::webhook::WebhookCaller;
use sampan_env::Env;
use sampan_schema::gates::Gates;
use sampan_store::{RangeResult, Store};
use sampan_watch::{Draft, Spec, Watch};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// The parts that a registry is made of.
#[derive(Clone)]
pub struct Config {
    pub store: Arc<dyn Store>,
    /// What the store's opening read, if that is at hand: it need not be read again.
    pub opened: Option<RangeResult>,
    pub env: Env,
    pub table: Arc<ResourceTable>,
    pub codec: Arc<dyn Codec>,
    /// The pools that allocators draw from.
    pub pools: Pools,
    /// Features that the cluster's administrator allows.
    pub capabilities: Capabilities,
    /// The features that are on.
    pub gates: Gates,
}

impl Config {
    /// Nothing sealed; Kubernetes' own pools and features; capabilities as installers of Kubernetes set them.
    pub fn new(store: Arc<dyn Store>, env: Env, table: Arc<ResourceTable>) -> Self {
        Self {
            store,
            opened: None,
            env,
            table,
            codec: Arc::new(Plain),
            pools: crate::kinds::pools(),
            capabilities: Capabilities::default(),
            gates: Gates::default(),
        }
    }
}

/// Reads and writes of all kinds. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) env: Env,
    pub(crate) table: Arc<Current>,
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) pools: ArcSwap<Pools>,
    pub(crate) capabilities: Capabilities,
    pub(crate) gates: Gates,
    pub(crate) decoder: Arc<StoredDecoder>,
    pub(crate) watch: Watch,
    pub(crate) seal: Seal,
    pub(crate) floors: Floors,
    pub(crate) lifetimes: Lifetimes,
    /// Calls the webhooks of definitions, once it is known.
    pub(crate) webhooks: OnceLock<Arc<dyn WebhookCaller>>,
}

/// One call's place: the row that was named, the row that is stored (errors name it, as Kubernetes' do), the key.
pub(crate) struct Place<'a> {
    pub(crate) row: &'a Resource,
    pub(crate) storage: &'a Resource,
    /// The row whose rules hold, and in whose version objects are while they are checked: the stored one, but where versions
    /// have rules of their own.
    pub(crate) rules: &'a Resource,
    pub(crate) index: Arc<Index>,
    pub(crate) prefix: String,
    pub(crate) namespace: &'a str,
}

impl Place<'_> {
    /// Namespace and name out of a key.
    pub(crate) fn record_key(&self, key: &str) -> RecordKey {
        let rest = key.strip_prefix(self.prefix.as_str()).unwrap_or(key);
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        RecordKey::new(namespace, name)
    }

    pub(crate) fn key(&self, name: &str) -> String {
        if self.row.namespaced {
            format!("{}{}/{name}", self.prefix, self.namespace)
        } else {
            format!("{}{name}", self.prefix)
        }
    }
}

impl Registry {
    /// Reads the current state of all stored rows out of the store, and follows it from there.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let Config { store, opened, env, table, codec, pools, capabilities, gates } = config;
        for row in table.iter() {
            let wanted = row.strategy.allocator().map_or(&[][..], |allocator| allocator.pools());
            if let Some(missing) = wanted.iter().find(|name| pools.get(name).is_none()) {
                return Err(Error::Internal(format!("{row:?} draws from {missing}, which is no pool")));
            }
        }
        let decoder = Arc::new(StoredDecoder::new(codec.clone(), &table));
        let stored = table.all().filter(|row| is_storage(row));
        let specs: Vec<Spec> = stored.map(|row| spec(row, &decoder)).collect();
        let watch = Watch::open(store.clone(), env.clone(), decoder.clone(), specs, opened).await?;
        let (seal, floors) = (Seal::new(&env), Floors::default());
        let inner = Inner {
            store,
            env,
            table: Arc::new(Current::new(table)),
            codec,
            pools: ArcSwap::from_pointee(pools),
            capabilities,
            gates,
            decoder,
            watch,
            seal,
            floors,
            lifetimes: Lifetimes::default(),
            webhooks: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The table as it is now.
    pub fn table(&self) -> Arc<ResourceTable> {
        Arc::clone(&self.inner.table.load())
    }

    /// The table, and each that takes its place.
    pub fn table_changes(&self) -> TableChanges {
        TableChanges::of(&self.inner.table)
    }

    /// Takes another table: rows that it adds are served once this returns, those that it has no longer are not, and of a
    /// stored row that is another one than before everything is read anew, as Kubernetes does when a definition changes. One
    /// caller at a time.
    ///
    /// # Errors
    /// When the store cannot be read; then the table stays as it was.
    pub async fn use_table(&self, table: ResourceTable) -> Result<(), Error> {
        let before = self.table();
        let former: HashMap<String, &Arc<Resource>> =
            before.all().filter(|row| is_storage(row)).map(|row| (storage_prefix(row), row)).collect();
        let mut kept = HashSet::with_capacity(former.len());
        self.inner.decoder.use_table(&table);
        for row in table.all().filter(|row| is_storage(row)) {
            let spec = spec(row, &self.inner.decoder);
            kept.insert(spec.prefix.to_string());
            let taken = match former.get(&*spec.prefix) {
                Some(same) if Arc::ptr_eq(same, row) => Ok(()),
                Some(_) => self.inner.watch.reload(spec).await,
                None => self.inner.watch.register(spec).await,
            };
            if let Err(error) = taken {
                self.inner.decoder.use_table(&before);
                return Err(error.into());
            }
        }
        self.inner.table.replace(table);
        former.keys().filter(|prefix| !kept.contains(*prefix)).for_each(|gone| self.inner.watch.unregister(gone));
        Ok(())
    }

    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// The last revision that reads show.
    pub fn revision(&self) -> u64 {
        self.inner.watch.revision()
    }

    pub(crate) fn place<'a>(
        &self,
        table: &'a ResourceTable,
        row: &'a Resource,
        namespace: &'a str,
    ) -> Result<Place<'a>, Error> {
        let prefix = storage_prefix(row);
        let index = self.inner.decoder.index(&prefix);
        // The row was of a table before.
        let index = index.ok_or_else(|| Error::Status(Box::new(Status::no_such_resource())))?;
        let storage = table.storage_of(row);
        let rules = if row.stored_as.as_ref().is_some_and(|stored_as| stored_as.own_rules) { row } else { storage };
        Ok(Place { row, storage, rules, index, prefix, namespace })
    }

    /// The record in the version of a row whose objects are converted in this process.
    pub(crate) fn serve_here(&self, row: &Resource, record: Arc<Record>) -> Result<Arc<Record>, Error> {
        match &row.stored_as {
            None => Ok(record),
            Some(stored_as) => encode::convert(&record, row, stored_as)
                .map(Arc::new)
                .map_err(|error| Error::Internal(format!("{row:?} {} cannot be encoded: {error}", record.key))),
        }
    }

    /// Encodes an object in the stored version.
    pub(crate) fn draft(
        &self,
        place: &Place<'_>,
        object: &Object,
        writer: &Arc<Writer>,
        size_hint: usize,
    ) -> Result<Draft, Error> {
        let draft = encode::draft(object, &place.index, Some(writer.clone()), size_hint).map_err(|error| {
            Error::Internal(format!("{:?} {} cannot be encoded: {error}", place.row, object.name()))
        })?;
        match encode::refuse(object, &draft.json) {
            None => Ok(draft),
            Some(Refusal::TooDeep) => Err(Error::BadRequest(format!(
                "{} {:?} is nested more than {NESTING_MAX} deep: exceeded max depth",
                place.row.kind,
                object.name()
            ))),
            // Kubernetes has etcd's 500 here; what a client sends is no fault of the server.
            Some(Refusal::TooLarge) => {
                Err(Error::Status(Box::new(Status::request_entity_too_large(&format!("limit is {OBJECT_MAX}")))))
            }
        }
    }

    pub(crate) fn seal(&self, place: &Place<'_>, json: Bytes) -> Result<Bytes, Error> {
        self.inner.codec.seal(&place.prefix, json).map_err(|error| Error::Internal(error.to_string()))
    }

    /// The answer of a call that wrote nothing, or whose write took the object away.
    pub(crate) async fn unwritten(
        &self,
        place: &Place<'_>,
        object: &Object,
        writer: &Arc<Writer>,
        revisions: Revisions,
    ) -> Result<Arc<Record>, Error> {
        let draft = self.draft(place, object, writer, 1024)?;
        self.serve(place.row, Arc::new(encode::record(draft, revisions, object))).await
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.inner.env.now()
    }

    pub(crate) fn context<'a>(
        &'a self,
        caller: &Caller<'a>,
        now: SystemTime,
        subresource: &'a str,
        namespace: &'a str,
    ) -> Context<'a> {
        Context {
            user: caller.user,
            now,
            subresource,
            namespace,
            capabilities: self.inner.capabilities,
            gates: &self.inner.gates,
            home: None,
        }
    }
}

impl Registry {
    /// The namespace of an object whose rules look at it; `None`: they do not, or there is no such namespace.
    pub(crate) fn home(&self, place: &Place<'_>, object: &Object) -> Result<Option<Object>, Error> {
        if !place.row.strategy.asks_for_namespace(object) {
            return Ok(None);
        }
        let (table, of) = (self.inner.table.load(), crate::kinds::NAMESPACES);
        let Some(row) = table.lookup(of.0, of.1, of.2) else { return Ok(None) };
        let all = self.place(&table, row, "")?;
        let record = self.inner.watch.get(&all.prefix, &all.key(place.namespace))?;
        Ok(record.map(|record| record.object()))
    }
}

/// The writer as records carry it.
pub(crate) fn writer(caller: &Caller<'_>) -> Arc<Writer> {
    Arc::new(Writer {
        user: caller.user.name.as_str().into(),
        verb: caller.verb.into(),
        user_agent: caller.user_agent.into(),
        request_id: caller.request_id.into(),
    })
}

/// The writer as the log keeps it.
pub(crate) fn store_writer(caller: &Caller<'_>) -> sampan_store::Writer {
    sampan_store::Writer {
        user: caller.user.name.clone(),
        verb: caller.verb.to_owned(),
        user_agent: caller.user_agent.to_owned(),
        request_id: caller.request_id.to_owned(),
    }
}

pub(crate) fn is_storage(row: &Resource) -> bool {
    row.stored_as.is_none() && row.body == crate::resource::Body::Stored
}

fn spec(row: &Resource, decoder: &StoredDecoder) -> Spec {
    let prefix = storage_prefix(row);
    let dispatch = decoder.index(&prefix).map_or_else(|| Arc::new([]) as Arc<[_]>, |index| index.dispatch.clone());
    Spec { prefix: prefix.into(), namespaced: row.namespaced, dispatch }
}
