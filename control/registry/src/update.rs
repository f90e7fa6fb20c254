//! Updates of an object or of a stored view of it: a compare-and-swap loop around the transform, in the order of
//! Kubernetes' `registry/rest/update.go`.

use crate::charge::Admitted;
use crate::encode::Revisions;
use crate::error::Error;
use crate::limits::UPDATE_ATTEMPTS_MAX;
use crate::metadata::{self, OwnersFrom};
use crate::options::{Caller, Creation, Face, FaceManagers, Managers, UpdateOptions};
use crate::read::parse_uint;
use crate::registry::{Place, Registry, writer};
use crate::resource::Resource;
use crate::shapes::{self, ManagedWrite};
use crate::strategy::{Context, Generation, Warned};
use crate::write::{Commit, count_update, require_stored};
use sampan_api::admission::{Attributes, Kinds, Mutated, Operation, UnknownFields};
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::meta::GroupKind;
use sampan_api::object::Object;
use sampan_api::record::Record;
use sampan_api::status::Status;
use sampan_api::time;
use std::sync::Arc;

/// The outcome of an update.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The new state; of an update that took the last finalizer away, the state that was deleted.
    pub record: Arc<Record>,
    /// 201 rather than 200.
    pub created: bool,
}

/// Makes the new object of the current one, in the row's version and with its `resourceVersion`. `None`: there is no such
/// object, and the update may create it. Pure: it runs once a round of the loop.
pub type Transform<'a> = dyn Fn(Option<&Object>) -> Result<Object, Status> + Send + Sync + 'a;

/// The outcome of one round of the compare-and-swap loop.
enum Round {
    Done(Arc<Record>),
    Again { winner: u64 },
    Refused(String),
}

impl Registry {
    /// Replaces the object by what `transform` makes of it. Without a `resourceVersion` in the new
    /// object, and for transforms that keep the current one (patches), a write that comes between makes another round;
    /// with a stale one it is a Conflict. An update that changes nothing writes nothing. `options.subresource` is a stored view, or an action
    /// that writes through this call; which part of the object it may change is the strategy's to say, but that status
    /// and the rest are split by the registry.
    ///
    /// Errors: NotFound, Conflict, Invalid (all causes), BadRequest, Status (the transform's, admission's).
    pub async fn update(
        &self,
        caller: &Caller<'_>,
        row: &Resource,
        namespace: &str,
        name: &str,
        options: &UpdateOptions<'_>,
        transform: &Transform<'_>,
    ) -> Result<Updated, Error> {
        require_stored(row)?;
        if !options.subresource.is_empty() && row.find_subresource(&options.subresource).is_none() {
            return Err(Error::Internal(format!("{row:?} has no subresource {}", options.subresource)));
        }
        let table = self.inner.table.load();
        let place = self.place(&table, row, namespace)?;
        let key = place.key(name);
        self.catch_up().await?;
        let mut refused = Vec::new();
        for _ in 0..UPDATE_ATTEMPTS_MAX {
            let Some(current) = self.inner.watch.get(&place.prefix, &key)? else {
                match self.create_by_update(caller, &place, name, options, transform).await {
                    // It came into being meanwhile: then this is an update.
                    Err(Error::AlreadyExists { .. }) => continue,
                    other => return other,
                }
            };
            match self.round(caller, &place, name, &key, options, transform, &current, &refused).await? {
                Round::Done(record) => return Ok(Updated { record, created: false }),
                Round::Again { winner } => self.see(winner).await?,
                Round::Refused(item) => refused.push(item),
            }
        }
        Err(Error::modified(place.row, name))
    }

    async fn create_by_update(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        name: &str,
        options: &UpdateOptions<'_>,
        transform: &Transform<'_>,
    ) -> Result<Updated, Error> {
        let validation = match options.create {
            _ if !options.subresource.is_empty() => None,
            Creation::Never => None,
            Creation::WhereAllowed(validation) => {
                Some(validation).filter(|_| place.storage.strategy.allow_create_on_update())
            }
            Creation::Always(validation) => Some(validation),
        };
        let Some(validation) = validation else { return Err(Error::not_found(place.row, name)) };
        if let Some(uid) = options.uid.as_deref() {
            return Err(Error::unmet(caller, place.row, place.namespace, name, "UID", uid, ""));
        }
        let mut object = self.transformed(place, options, transform, None).await?;
        if matches!(options.create, Creation::Always(_)) && !object.uid().is_empty() {
            let message = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                object.uid()
            );
            return Err(Error::conflict(place.row, name, message));
        }
        metadata::settle_namespace(place.row, &mut object, place.namespace)?;
        metadata::check_name(&object, name)?;
        // Go's storage would compare it with nothing: it is not the client's to say, if it is a number.
        version_of(&object)?;
        object.metadata_mut().remove("resourceVersion");
        let record = self.create_at(caller, place, object, options.managers, Some(validation)).await?;
        Ok(Updated { record, created: true })
    }

    #[allow(clippy::too_many_arguments, reason = "one round of one loop, which has these in hand")]
    async fn round(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        name: &str,
        key: &str,
        options: &UpdateOptions<'_>,
        transform: &Transform<'_>,
        current: &Record,
        refused: &[String],
    ) -> Result<Round, Error> {
        let (row, storage) = (place.row, place.rules);
        if let Some(uid) = options.uid.as_deref().filter(|uid| **uid != *current.uid) {
            return Err(Error::unmet(caller, row, place.namespace, name, "UID", uid, &current.uid));
        }
        let version = current.mod_revision.to_string();
        if let Some(wanted) = options.version.as_deref().filter(|wanted| *wanted != version) {
            return Err(Error::unmet(caller, row, place.namespace, name, "ResourceVersion", wanted, &version));
        }
        let old = current.object();
        let served = self.object_in(row, &old).await?;
        let old_served = served.as_ref().unwrap_or(&old);
        let mut object = self.transformed(place, options, transform, Some(old_served)).await?;
        let resource = row.gvr();
        let attributes = Attributes {
            operation: Operation::Update,
            resource: &resource,
            subresource: &options.subresource,
            namespace: if row.namespaced { place.namespace } else { "" },
            name,
            user: caller.user,
            dry_run: caller.dry_run,
            options: caller.options,
            old: Some(old_served),
            warnings: caller.warnings,
            kinds: self,
            annotations: None,
        };
        if let Some(face) = options.face {
            object = self.mutate_face(caller, face, &attributes, object).await?;
        }
        metadata::settle_namespace(row, &mut object, place.namespace)?;
        metadata::check_name(&object, name)?;
        object.set_gvk(&row.gvk());
        shapes::apply_defaults(row, &mut object)?;
        let now = self.now();
        if options.managers == Managers::Track {
            let time = time::rfc3339(now);
            let write = ManagedWrite { manager: caller.field_manager, subresource: &options.subresource, time: &time };
            self.track_managers(row, Some(old_served), &mut object, &write).await?;
        }
        shapes::settle_sent(row, &mut object);
        if options.face.is_none() {
            mutate(caller, row, &attributes, &mut object).await?;
        }
        check_version(place, name, current, &object)?;
        if let Some(stored_as) = row.stored_as.as_ref().filter(|stored_as| !stored_as.own_rules) {
            (stored_as.to_storage)(&mut object);
            object.set_gvk(&storage.gvk());
        }
        let stored_old = &old;
        let old = if std::ptr::eq(storage, row) { old_served } else { &old };
        shapes::restore_unwritten(storage, &mut object, old, &options.subresource);
        if options.subresource == "status" && object.metadata().get("labels").is_none() {
            // Labels may follow from the spec, which was not sent: the object is as Kubernetes would read it.
            shapes::apply_own_defaults(storage, &mut object);
        }
        let strategy = &*storage.strategy;
        let ctx = self.context(caller, now, &options.subresource, place.namespace);
        keep_deletion(&mut object, old);
        let counts_sent = matches!(strategy.generation(), Generation::AsSent);
        if counts_sent {
            count_update(storage, &mut object, old, &options.subresource);
        }
        shapes::drop_disabled(storage, &mut object, Some(old), ctx.gates);
        strategy.prepare_for_update(&ctx, &mut object, old);
        // Before validation, which looks at what was drawn.
        let claims = self.claims(caller, place, &mut object, Some(old), refused).await?;
        if !counts_sent {
            count_update(storage, &mut object, old, &options.subresource);
        }
        let home = self.home(place, &object)?;
        let ctx = Context { home: home.as_ref(), ..ctx };
        let mut errors = metadata::settle_update(row, &mut object, old, &options.subresource, ctx.gates);
        let found = shapes::check_facts(storage, &object, Some(old), &options.subresource);
        errors.extend(found.errors);
        // The rules are the version's own, in the fields of the stored one.
        errors.extend(row.strategy.validate_update(&ctx, &object, old));
        let judged = row.strategy.validate_rules(&object, Some(old), &errors);
        errors.extend(judged.errors);
        judged.warnings.into_iter().for_each(|warning| caller.warnings.add(warning));
        if !errors.is_empty() {
            return Err(Error::invalid(storage, name, errors));
        }
        // Of what did not change nobody is warned again.
        let counted = object.generation() != old.generation() || matches!(strategy.generation(), Generation::Uncounted);
        let warnings = found.warnings.into_iter().filter(|_| counted && strategy.tells_of_changes());
        let told = Warned::of_view(&options.subresource).map(|of| row.strategy.warnings(of, &ctx, &object, Some(old)));
        for warning in warnings.chain(told.unwrap_or_default()) {
            caller.warnings.add(warning);
        }
        strategy.canonicalize(&mut object);
        metadata::keep_times(&mut object, old);
        let new_served = rules_in(row, &object);
        validate(caller, options.face, &attributes, new_served.as_ref().unwrap_or(&object)).await?;

        self.to_storage(place, &mut object).await?;
        let writer = writer(caller);
        if deletes(storage, &object, old) {
            if !caller.dry_run {
                match self.remove(caller, place, key, current, &writer).await? {
                    Commit::Done(_) => {}
                    Commit::Uncharged => return Ok(Round::Again { winner: 0 }),
                    Commit::Lost(winner) => return Ok(Round::Again { winner }),
                    Commit::Taken(item) => return Ok(Round::Refused(item)),
                }
            }
            return Ok(Round::Done(self.unwritten(place, &object, &writer, Revisions::of(current)).await?));
        }
        object.set_meta("resourceVersion", current.mod_revision.to_string());
        if object == *stored_old {
            return Ok(Round::Done(self.serve(row, Arc::new(same(current))).await?));
        }
        let resource = place.storage.gvr();
        let attributes = Attributes { resource: &resource, old: Some(stored_old), ..attributes };
        let admitted = Admitted { attributes, object: &object, size: current.json.len() + 256 };
        if caller.dry_run {
            self.chargeable(caller, &admitted).await?;
            return Ok(Round::Done(self.unwritten(place, &object, &writer, Revisions::of(current)).await?));
        }
        Ok(match self.put_charged(caller, place, &admitted, key, current.mod_revision, claims).await? {
            Commit::Done(record) => Round::Done(self.serve(row, record).await?),
            Commit::Lost(winner) => Round::Again { winner },
            Commit::Uncharged => Round::Again { winner: 0 },
            Commit::Taken(item) => Round::Refused(item),
        })
    }

    /// Has admission change what is written to a face; the object with it.
    async fn mutate_face(
        &self,
        caller: &Caller<'_>,
        face: &dyn Face,
        attributes: &Attributes<'_>,
        mut written: Object,
    ) -> Result<Object, Error> {
        let current = attributes.old.ok_or_else(|| Error::Internal("an update has an old object".into()))?;
        let before = face.of(current, FaceManagers::Shown);
        let attributes = Attributes { old: Some(&before), ..*attributes };
        if caller.admission.mutate(&attributes, Some(&mut written)).await? == Mutated::ByOthers {
            self.read(&mut written, UnknownFields::Dropped)?;
        }
        Ok(face.write(current, &written)?)
    }

    /// What the transform makes, with the conversions made that it asks for.
    async fn transformed(
        &self,
        place: &Place<'_>,
        options: &UpdateOptions<'_>,
        transform: &Transform<'_>,
        current: Option<&Object>,
    ) -> Result<Object, Error> {
        let table = self.inner.table.load_full();
        loop {
            let made = transform(current);
            match options.conversions {
                // It was made without them.
                Some(conversions) if self.make(&table, place.row, conversions).await? => {}
                _ => return Ok(made?),
            }
        }
    }

    /// Brings an object that was checked in the row's version into the stored one.
    pub(crate) async fn to_storage(&self, place: &Place<'_>, object: &mut Object) -> Result<(), Error> {
        if place.storage.converted_by.is_some() {
            if let Some(stored) = self.object_in(place.storage, object).await? {
                *object = stored;
            }
        } else if let Some(stored_as) = place.row.stored_as.as_ref().filter(|stored_as| stored_as.own_rules) {
            (stored_as.to_storage)(object);
            object.set_gvk(&place.storage.gvk());
        }
        Ok(())
    }
}

/// The version that a writer sent with the object; 0 for none. Errors: the text is no number.
fn version_of(object: &Object) -> Result<u64, Error> {
    match object.resource_version() {
        "" => Ok(0),
        text => parse_uint(text).map_err(Error::Plain),
    }
}

/// Whether the object is made of the version that is stored. Asked once admission has changed it, as Go's storage does, which
/// sees the object only then.
fn check_version(place: &Place<'_>, name: &str, current: &Record, object: &Object) -> Result<(), Error> {
    let version = version_of(object)?;
    if version == 0 {
        if !place.storage.strategy.allow_unconditional_update() {
            let path = Path::new("metadata").child("resourceVersion");
            let errors: FieldErrors =
                [FieldError::invalid(&path, 0, "must be specified for an update")].into_iter().collect();
            // Go names the resource where others name the kind.
            let kind = GroupKind { group: place.storage.group.to_string(), kind: place.storage.resource.to_string() };
            return Err(Error::Invalid { kind, name: name.to_owned(), errors });
        }
    } else if version != current.mod_revision {
        return Err(Error::modified(place.row, name));
    }
    Ok(())
}

/// Has admission change an object, and makes one of the row's type of what it left.
pub(crate) async fn mutate(
    caller: &Caller<'_>,
    row: &Resource,
    attributes: &Attributes<'_>,
    object: &mut Object,
) -> Result<(), Error> {
    let mutated = caller.admission.mutate(attributes, Some(object)).await?;
    shapes::settle_mutated(row, object, mutated)?;
    metadata::dedup_owners(object, OwnersFrom::Admission, caller.warnings);
    Ok(())
}

/// Has admission validate what will be written, or its face.
async fn validate(
    caller: &Caller<'_>,
    face: Option<&dyn Face>,
    attributes: &Attributes<'_>,
    object: &Object,
) -> Result<(), Error> {
    let Some(face) = face else { return Ok(caller.admission.validate(attributes, Some(object)).await?) };
    let old = attributes.old.map(|old| face.of(old, FaceManagers::Left));
    let attributes = Attributes { old: old.as_ref(), ..*attributes };
    Ok(caller.admission.validate(&attributes, Some(&face.of(object, FaceManagers::Left))).await?)
}

/// A copy of the stored record: the answer of an update that changed nothing.
fn same(record: &Record) -> Record {
    record.at_revision(record.mod_revision, record.writer.clone())
}

/// The object in the row's version, where that is not the stored one.
pub(crate) fn served(row: &Resource, object: &Object) -> Option<Object> {
    let stored_as = row.stored_as.as_ref()?;
    let mut served = object.clone();
    (stored_as.from_storage)(&mut served);
    served.set_gvk(&row.gvk());
    Some(served)
}

/// What was checked by the rules of a row's storage, in the version of the row; `None` where the rules are the row's own.
pub(crate) fn rules_in(row: &Resource, object: &Object) -> Option<Object> {
    let own_rules = row.stored_as.as_ref().is_none_or(|stored_as| stored_as.own_rules);
    if own_rules { None } else { served(row, object) }
}

/// A deletion that has begun cannot be taken back by leaving its marks out; changing them is refused later.
fn keep_deletion(object: &mut Object, old: &Object) {
    for name in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        if let (None, Some(value)) = (object.metadata().get(name), old.metadata().get(name)) {
            object.set_meta(name, value.clone());
        }
    }
}

/// Whether this update takes away the last thing that kept a deleted object (registry.ShouldDeleteDuringUpdate).
fn deletes(storage: &Resource, object: &Object, old: &Object) -> bool {
    old.deletion_timestamp().is_some()
        && old.deletion_grace_period_seconds().unwrap_or(0) == 0
        && object.finalizers().next().is_none()
        && !storage.strategy.finalizing(object)
}
