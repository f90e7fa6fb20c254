//! Creation, in the order of Kubernetes' `registry/rest/create.go`.

use crate::allocate::Taken;
use crate::charge::Admitted;
use crate::encode::Revisions;
use crate::error::Error;
use crate::limits::{
    CREATE_BATCH_MAX, GENERATE_NAME_ATTEMPTS_MAX, GENERATED_NAME_BASE_MAX, GENERATED_NAME_SUFFIX, UPDATE_ATTEMPTS_MAX,
};
use crate::metadata;
use crate::options::{Caller, CreateValidation, Managers};
use crate::read::parse_uint;
use crate::registry::{Place, Registry, store_writer, writer};
use crate::resource::Resource;
use crate::shapes::{self, ManagedWrite};
use crate::strategy::{Context, Warned};
use crate::update::{mutate, rules_in};
use crate::write::{Commit, count_creation, require_stored};
use sampan_api::admission::{Attributes, Kinds, Operation};
use sampan_api::field::FieldErrors;
use sampan_api::meta::GroupVersionResource;
use sampan_api::object::Object;
use sampan_api::record::Record;
use sampan_api::status::Status;
use sampan_api::time;
use sampan_store::{Compare, Op, Payload, Txn};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

impl Registry {
    /// Creates an object of the row's version. It need not carry `apiVersion`, `kind` or `namespace`; a `generateName`
    /// is tried several times. With `caller.dry_run` everything happens but the write, and the record has revision 0.
    ///
    /// Errors: BadRequest, Invalid (all causes), AlreadyExists, Status (admission's).
    pub async fn create(
        &self,
        caller: &Caller<'_>,
        row: &Resource,
        namespace: &str,
        object: Object,
    ) -> Result<Arc<Record>, Error> {
        require_stored(row)?;
        let table = self.inner.table.load();
        let place = self.place(&table, row, namespace)?;
        self.create_at(caller, &place, object, Managers::Track, None).await
    }

    /// The creation itself, also of an update that may create once `validation` lets it.
    pub(crate) async fn create_at(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        mut object: Object,
        managers: Managers,
        validation: Option<&dyn CreateValidation>,
    ) -> Result<Arc<Record>, Error> {
        refuse_closing(place.row, object.name())?;
        // What is no number is as none (apiserver, storage/etcd3: store.Create).
        let versioned = parse_uint(object.resource_version()).is_ok_and(|version| version != 0);
        self.admit(caller, place, &mut object, managers).await?;
        let mut generated = object.name().is_empty() && !object.generate_name().is_empty();
        if generated && place.storage.strategy.named_by_prefix() {
            let name = object.generate_name().to_owned();
            object.set_meta("name", name);
            generated = false;
        }
        if object.name().is_empty() && !generated && place.storage.strategy.names_nameless() {
            object.set_meta("name", self.inner.env.uuid());
        }
        if !generated {
            return self.create_named(caller, place, object, versioned, validation).await;
        }
        let base = object.generate_name();
        let base = base[..base.floor_char_boundary(GENERATED_NAME_BASE_MAX)].to_owned();
        let mut attempts = 1;
        loop {
            let mut named = object.clone();
            named.set_meta("name", format!("{base}{}", self.inner.env.name_suffix(GENERATED_NAME_SUFFIX)));
            match self.create_named(caller, place, named, versioned, validation).await {
                Err(Error::AlreadyExists { .. }) if attempts < GENERATE_NAME_ATTEMPTS_MAX => attempts += 1,
                other => return other,
            }
        }
    }

    /// From the request's body to what mutating admission made of it, in the row's version.
    async fn admit(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        object: &mut Object,
        managers: Managers,
    ) -> Result<(), Error> {
        let row = place.row;
        object.metadata_mut().remove("resourceVersion");
        metadata::wipe_system_fields(object);
        metadata::settle_namespace(row, object, place.namespace)?;
        object.set_gvk(&row.gvk());
        shapes::apply_defaults(row, object)?;
        if managers == Managers::Track {
            let now = time::rfc3339(self.now());
            let write = ManagedWrite { manager: caller.field_manager, subresource: "", time: &now };
            self.track_managers(row, None, object, &write).await?;
        }
        let name = object.name().to_owned();
        let resource = row.gvr();
        let attributes = attributes(caller, self, place, &resource, &name);
        mutate(caller, row, &attributes, object).await?;
        // Webhooks may set neither what the request was authorized for, nor what only the server writes (rest.BeforeCreate).
        metadata::wipe_system_fields(object);
        metadata::settle_namespace(row, object, place.namespace)
    }

    /// The object has its name: prepared, validated, written. `versioned`: a version was sent with it, which the store, that a
    /// dry run does not ask, refuses.
    async fn create_named(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        object: Object,
        versioned: bool,
        validation: Option<&dyn CreateValidation>,
    ) -> Result<Arc<Record>, Error> {
        let name = object.name().to_owned();
        let key = place.key(&name);
        let writer = writer(caller);
        // Only items of pools that others took in the meantime make another round: the others need no second copy.
        let again = place.storage.strategy.allocator().is_some().then(|| object.clone());
        let mut object = object;
        let mut refused = Vec::new();
        for _ in 0..UPDATE_ATTEMPTS_MAX {
            let (prepared, claims) = self.prepare_creation(caller, place, object, &refused, validation).await?;
            let resource = place.storage.gvr();
            let attributes = attributes(caller, self, place, &resource, &name);
            let admitted = Admitted { attributes, object: &prepared, size: 1024 };
            if caller.dry_run {
                self.chargeable(caller, &admitted).await?;
                if let Some(current) = self.inner.watch.get(&place.prefix, &key)? {
                    return Err(already_exists(place.row, &prepared, Some(&current)));
                }
                return self.unwritten(place, &prepared, &writer, Revisions::default()).await;
            }
            if versioned {
                self.chargeable(caller, &admitted).await?;
                return Err(Error::Plain("resourceVersion should not be set on objects to be created".into()));
            }
            match self.put_charged(caller, place, &admitted, &key, 0, claims).await? {
                Commit::Done(record) => return self.serve(place.row, record).await,
                Commit::Lost(_) | Commit::Uncharged => {
                    let current = self.inner.watch.get(&place.prefix, &key)?;
                    return Err(already_exists(place.row, &prepared, current.as_deref()));
                }
                Commit::Taken(item) => refused.push(item),
            }
            let Some(copy) = &again else { break };
            object = copy.clone();
        }
        Err(Error::Internal(format!("no free item was found for {:?} {name}", place.row)))
    }

    /// The strategy's, the allocator's and validation's part. The answer is in the stored version.
    async fn prepare_creation(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        mut object: Object,
        refused: &[String],
        validation: Option<&dyn CreateValidation>,
    ) -> Result<(Object, Vec<Taken>), Error> {
        let (row, storage) = (place.row, place.rules);
        let strategy = &*storage.strategy;
        let now = self.now();
        object.set_meta("creationTimestamp", time::rfc3339(now));
        object.set_meta("uid", self.inner.env.uuid());
        if let Some(stored_as) = row.stored_as.as_ref().filter(|stored_as| !stored_as.own_rules) {
            (stored_as.to_storage)(&mut object);
            object.set_gvk(&storage.gvk());
        }
        let ctx = self.context(caller, now, "", place.namespace);
        if storage.has_status() && !strategy.keeps_created_status() {
            object.fields_mut().remove("status");
        }
        count_creation(storage, &mut object);
        shapes::drop_disabled(storage, &mut object, None, ctx.gates);
        let told = strategy.warnings(Warned::AsSent, &ctx, &object, None);
        told.into_iter().for_each(|warning| caller.warnings.add(warning));
        strategy.prepare_for_create(&ctx, &mut object);
        if storage.has_status() && strategy.status_starts_empty() && !object.fields().contains_key("status") {
            object.fields_mut().insert("status".into(), Value::Object(serde_json::Map::new()));
        }
        // Before validation, which looks at what was drawn.
        let claims = self.claims(caller, place, &mut object, None, refused).await?;
        let home = self.home(place, &object)?;
        let ctx = Context { home: home.as_ref(), ..ctx };
        let found = shapes::check_facts(storage, &object, None, "");
        // The rules are the version's own, in the fields of the stored one.
        let mut own = found.errors;
        own.extend(row.strategy.validate(&ctx, &object));
        let mut errors = match row.strategy.bare_metadata() && !own.is_empty() {
            true => FieldErrors::default(),
            false => metadata::validate(row, &object, ctx.gates),
        };
        errors.extend(own);
        errors.extend(row.strategy.validate_rules(&object, None, &errors).errors);
        if !errors.is_empty() {
            return Err(Error::invalid(storage, object.name(), errors));
        }
        let told = row.strategy.warnings(Warned::Object, &ctx, &object, None);
        for warning in found.warnings.into_iter().chain(told) {
            caller.warnings.add(warning);
        }
        shapes::settle_sent(storage, &mut object);
        strategy.canonicalize(&mut object);
        if let Some(validation) = validation {
            validation.validate().await?;
        }
        let name = object.name().to_owned();
        let resource = row.gvr();
        let attributes = attributes(caller, self, place, &resource, &name);
        let served = rules_in(row, &object);
        caller.admission.validate(&attributes, Some(served.as_ref().unwrap_or(&object))).await?;
        self.to_storage(place, &mut object).await?;
        Ok((object, claims))
    }

    /// Creates several objects of one row in one transaction: all of them or none. Names must be given; allocators are
    /// not asked, and nothing is charged. Errors: as for a creation, of the first object that has one.
    pub async fn create_batch(
        &self,
        caller: &Caller<'_>,
        row: &Resource,
        objects: Vec<Object>,
    ) -> Result<Vec<Arc<Record>>, Error> {
        require_stored(row)?;
        if objects.len() > CREATE_BATCH_MAX {
            return Err(Error::BadRequest(format!("a batch has at most {CREATE_BATCH_MAX} objects")));
        }
        if row.strategy.allocator().is_some() {
            return Err(Error::BadRequest(format!("{} cannot be created in batches", row.resource)));
        }
        let table = self.inner.table.load();
        let mut txn = Txn { compares: Vec::new(), ops: Vec::new(), writer: store_writer(caller) };
        let mut prepared = Vec::with_capacity(objects.len());
        let mut keys = HashSet::with_capacity(objects.len());
        for mut object in objects {
            let namespace = object.namespace().to_owned();
            let place = self.place(&table, row, &namespace)?;
            self.admit(caller, &place, &mut object, Managers::Track).await?;
            let (object, _) = self.prepare_creation(caller, &place, object, &[], None).await?;
            let writer = writer(caller);
            let key: Arc<str> = place.key(object.name()).into();
            if !keys.insert(key.clone()) {
                return Err(already_exists(row, &object, None));
            }
            if caller.dry_run {
                prepared.push(self.unwritten(&place, &object, &writer, Revisions::default()).await?);
                continue;
            }
            let draft = self.draft(&place, &object, &writer, 1024)?;
            let value = self.seal(&place, draft.json.clone())?;
            let payload: Payload = Arc::new(draft);
            txn.compares.push(Compare::absent(key.clone()));
            let lease = self.lease_of(place.storage).await?;
            txn.ops.push(Op::Put { key, value, payload: Some(payload), lease });
        }
        if caller.dry_run || txn.ops.is_empty() {
            return Ok(prepared);
        }
        let committed = self.inner.store.txn(txn).await.map_err(|error| match error {
            sampan_store::Error::Conflict { key, .. } => {
                let name = key.rsplit('/').next().unwrap_or_default().to_owned();
                Error::AlreadyExists { resource: row.group_resource(), name, being_deleted: false, with_base: false }
            }
            other => other.into(),
        })?;
        let place = self.place(&table, row, "")?;
        let records = committed.events.iter().map(|event| {
            let record = self.inner.watch.record(&place.prefix, &event.entry)?;
            Ok::<_, Error>(Arc::new(record))
        });
        self.serve_all(row, records.collect::<Result<_, _>>()?).await
    }
}

/// Refuses creations of a kind that is going.
fn refuse_closing(row: &Resource, name: &str) -> Result<(), Error> {
    if !row.closing {
        return Ok(());
    }
    let why = "create not allowed while custom resource definition is terminating";
    Err(Error::Status(Box::new(Status::forbidden(&row.group_resource(), name, why))))
}

fn attributes<'a>(
    caller: &Caller<'a>,
    kinds: &'a dyn Kinds,
    place: &Place<'a>,
    resource: &'a GroupVersionResource,
    name: &'a str,
) -> Attributes<'a> {
    Attributes {
        operation: Operation::Create,
        resource,
        subresource: "",
        namespace: if place.row.namespaced { place.namespace } else { "" },
        name,
        user: caller.user,
        dry_run: caller.dry_run,
        options: caller.options,
        old: None,
        warnings: caller.warnings,
        kinds,
        annotations: None,
    }
}

fn already_exists(row: &Resource, object: &Object, current: Option<&Record>) -> Error {
    // Rare enough to parse: only creations that fail come here.
    let being_deleted = current.is_some_and(|record| record.object().deletion_timestamp().is_some());
    let with_base = !object.generate_name().is_empty();
    Error::AlreadyExists { resource: row.group_resource(), name: object.name().to_owned(), being_deleted, with_base }
}
