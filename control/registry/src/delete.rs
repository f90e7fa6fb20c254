//! Deletion: at once, after a time, or when the last finalizer is gone (Kubernetes' `registry/generic/registry/store.go`
//! and `registry/rest/delete.go`).

use crate::encode::Revisions;
use crate::error::Error;
use crate::limits::UPDATE_ATTEMPTS_MAX;
use crate::metadata::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};
use crate::options::{Caller, DeleteOptions, ListOptions, Propagation};
use crate::read::List;
use crate::registry::{Place, Registry, writer};
use crate::resource::Resource;
use crate::write::{Commit, Put, require_stored};
use sampan_api::admission::{Attributes, Operation};
use sampan_api::meta::GroupResource;
use sampan_api::object::Object;
use sampan_api::record::Record;
use sampan_api::status::Status;
use sampan_api::time::{self, Seconds};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The outcome of a deletion.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// The last state, or the state that waits to go.
    pub record: Arc<Record>,
    /// Whether the object is gone (or would be, in a dry run).
    pub gone: bool,
    /// Whether the answer is the object; otherwise a Status that names it.
    pub answer_object: bool,
}

/// The write that a deletion makes of an object.
enum Plan {
    /// Deletion is under way already, and nobody is asked whether it may be; nothing changes.
    Pending,
    /// Deletion is under way already, and finalizers hold the object; nothing changes.
    Held,
    /// Delete it now.
    Now,
    /// Write the marks; then, where nothing holds it and no time is left, delete it.
    Mark { object: Box<Object>, then_delete: bool },
}

/// The name of what is deleted.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a str,
    /// As the request has it, and admission is told: `""` where it is about a collection.
    asked: &'a str,
}

impl Registry {
    /// Deletes an object, or begins to. Errors: NotFound, Conflict (preconditions), Status (admission's, and 403 for an object
    /// that its kind keeps).
    pub async fn delete(
        &self,
        caller: &Caller<'_>,
        row: &Resource,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Error> {
        if let Some(why) = row.strategy.refuses_deletion(name) {
            return Err(Status::forbidden(&row.group_resource(), name, why).into());
        }
        self.delete_as(caller, row, namespace, Named { name, asked: name }, options).await
    }

    async fn delete_as(
        &self,
        caller: &Caller<'_>,
        row: &Resource,
        namespace: &str,
        named: Named<'_>,
        options: &DeleteOptions,
    ) -> Result<Deleted, Error> {
        require_stored(row)?;
        let table = self.inner.table.load();
        let place = self.place(&table, row, namespace)?;
        let key = place.key(named.name);
        warn(caller, row, options);
        self.catch_up().await?;
        for _ in 0..UPDATE_ATTEMPTS_MAX {
            let current =
                self.inner.watch.get(&place.prefix, &key)?.ok_or_else(|| Error::not_found(place.row, named.name))?;
            if let Some(deleted) = self.delete_round(caller, &place, &key, &current, named.asked, options).await? {
                return Ok(deleted);
            }
        }
        Err(Error::modified(place.row, named.name))
    }

    async fn delete_round(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        key: &str,
        current: &Arc<Record>,
        asked: &str,
        options: &DeleteOptions,
    ) -> Result<Option<Deleted>, Error> {
        check_preconditions(place.storage, current, options)?;
        let old = current.object();
        let served = self.serve(place.row, current.clone()).await?;
        let mut options = options.clone();
        let plan = self.plan(caller, place, &old, &mut options);
        if !matches!(plan, Plan::Pending) {
            let old_served = (!Arc::ptr_eq(&served, current)).then(|| served.object());
            let old_served = old_served.as_ref().unwrap_or(&old);
            self.admit_deletion(caller, place, old_served, asked, options.grace_period_seconds).await?;
        }
        let strategy = &*place.storage.strategy;
        let gone =
            |record: Arc<Record>| Deleted { record, gone: true, answer_object: strategy.returns_deleted_object() };
        let going = |record: Arc<Record>| Deleted { record, gone: false, answer_object: true };
        let writer = writer(caller);
        match plan {
            Plan::Pending | Plan::Held => Ok(Some(going(served))),
            Plan::Now => {
                if caller.dry_run {
                    return Ok(Some(gone(served)));
                }
                match self.remove(caller, place, key, current, &writer).await? {
                    Commit::Done(record) => Ok(Some(gone(self.serve(place.row, record).await?))),
                    Commit::Lost(winner) => self.see(winner).await.map(|()| None),
                    Commit::Taken(_) | Commit::Uncharged => Ok(None),
                }
            }
            Plan::Mark { object, then_delete } => {
                if caller.dry_run {
                    let record = self.unwritten(place, &object, &writer, Revisions::of(current)).await?;
                    return Ok(Some(if then_delete { gone(record) } else { going(record) }));
                }
                let draft = self.draft(place, &object, &writer, current.json.len() + 128)?;
                let marked = match self.put(caller, place, key, current.mod_revision, draft, Put::default()).await? {
                    Commit::Done(record) => record,
                    Commit::Lost(winner) => return self.see(winner).await.map(|()| None),
                    Commit::Taken(_) | Commit::Uncharged => return Ok(None),
                };
                if !then_delete {
                    return Ok(Some(going(self.serve(place.row, marked).await?)));
                }
                match self.remove(caller, place, key, &marked, &writer).await? {
                    Commit::Done(record) => Ok(Some(gone(self.serve(place.row, record).await?))),
                    // Another caller deleted it between the two writes: the outcome is the same.
                    Commit::Lost(0) => Ok(Some(gone(self.serve(place.row, marked).await?))),
                    Commit::Lost(winner) => self.see(winner).await.map(|()| None),
                    Commit::Taken(_) | Commit::Uncharged => Ok(None),
                }
            }
        }
    }

    /// Asks admission about a deletion that gives the object these seconds.
    async fn admit_deletion(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        old: &Object,
        asked: &str,
        seconds: Option<i64>,
    ) -> Result<(), Error> {
        let resource = place.row.gvr();
        let attributes = Attributes {
            operation: Operation::Delete,
            resource: &resource,
            subresource: "",
            namespace: old.namespace(),
            name: asked,
            user: caller.user,
            dry_run: caller.dry_run,
            options: &with_grace(caller.options, seconds),
            old: Some(old),
            warnings: caller.warnings,
            kinds: self,
            annotations: None,
        };
        caller.admission.mutate(&attributes, None).await?;
        Ok(caller.admission.validate(&attributes, None).await?)
    }

    /// What is written, by options in which the time that is given comes to stand.
    fn plan(&self, caller: &Caller<'_>, place: &Place<'_>, old: &Object, options: &mut DeleteOptions) -> Plan {
        let strategy = &*place.storage.strategy;
        let now = self.now();
        let ctx = self.context(caller, now, "", place.namespace);
        // Go treats a negative time as one second.
        options.grace_period_seconds =
            options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
        let mut object = old.clone();
        if strategy.finalizing(old) {
            if old.deletion_timestamp().is_some() {
                return Plan::Pending;
            }
            set_finalizers(place.storage, &mut object, options);
            object.set_meta("deletionTimestamp", time::rfc3339(now));
            // Whoever waits for others knows no grace, and its end counts as no change (their deletions are not those of
            // Kubernetes' generic registry, which counts them).
            object.metadata_mut().remove("deletionGracePeriodSeconds");
            strategy.prepare_for_deletion(&ctx, &mut object);
            return Plan::Mark { object: Box::new(object), then_delete: false };
        }
        let mut graceful = None;
        if let Some(began) = old.deletion_timestamp() {
            let left = old.deletion_grace_period_seconds().unwrap_or(0);
            if left > 0 {
                // A deletion may only be hastened.
                match options.grace_period_seconds {
                    Some(seconds) if seconds < left => {
                        // It ended `left` after it began, but for what is too late to be written.
                        let whole = Duration::from_secs(left.unsigned_abs());
                        let ends = time::parse(began).filter(|ends| *ends < time::later(now, whole).max(now));
                        let began = ends.map_or(now, |ends| time::earlier(ends, whole));
                        object.set_meta("deletionTimestamp", time::rfc3339(Seconds::new(seconds).after(began)));
                        object.set_meta("deletionGracePeriodSeconds", seconds);
                        graceful = Some(seconds);
                    }
                    _ => return Plan::Pending,
                }
            }
        } else if let Some(seconds) = strategy.graceful_deletion(&ctx, old, options) {
            let seconds = seconds.max(0);
            options.grace_period_seconds = Some(seconds);
            object.set_meta("deletionTimestamp", time::rfc3339(Seconds::new(seconds).after(now)));
            object.set_meta("deletionGracePeriodSeconds", seconds);
            count_deletion(&mut object);
            strategy.prepare_for_deletion(&ctx, &mut object);
            graceful = Some(seconds);
        }
        let changed = set_finalizers(place.storage, &mut object, options);
        let held = object.finalizers().next().is_some();
        match graceful {
            Some(seconds) => Plan::Mark { object: Box::new(object), then_delete: seconds == 0 && !held },
            None if !held => Plan::Now,
            None if old.deletion_timestamp().is_some() && !changed => Plan::Held,
            None => {
                if old.deletion_timestamp().is_none() {
                    object.set_meta("deletionTimestamp", time::rfc3339(now));
                    object.set_meta("deletionGracePeriodSeconds", 0);
                    count_deletion(&mut object);
                    strategy.prepare_for_deletion(&ctx, &mut object);
                }
                Plan::Mark { object: Box::new(object), then_delete: false }
            }
        }
    }

    /// Deletes what a list finds, one by one, up to the first error. The answer shows the objects as they were before. What
    /// others delete in the meantime is no error; an object that a precondition spares is one, as in Go.
    pub async fn delete_collection(
        &self,
        caller: &Caller<'_>,
        row: &Resource,
        namespace: &str,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<List, Error> {
        warn(caller, row, options);
        let found = self.list(row, namespace, list).await?;
        for record in &found.items {
            let named = Named { name: &record.key.name, asked: "" };
            match self.delete_as(caller, row, &record.key.namespace, named, options).await {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

/// The options as admission is shown them: with the time that the object is given.
fn with_grace(options: &Value, seconds: Option<i64>) -> Value {
    let mut options = options.clone();
    if let (Some(fields), Some(seconds)) = (options.as_object_mut(), seconds) {
        fields.insert("gracePeriodSeconds".to_owned(), seconds.into());
    }
    options
}

/// Tells what becomes of the dependents where the options do not say it.
fn warn(caller: &Caller<'_>, row: &Resource, options: &DeleteOptions) {
    if options.propagation.is_none() && options.orphan_dependents.is_none() {
        row.strategy.warning_on_delete().into_iter().for_each(|text| caller.warnings.add(text));
    }
}

/// A deletion's beginning counts as a change of what is wanted.
fn count_deletion(object: &mut Object) {
    let generation = object.generation();
    if generation > 0 {
        object.set_meta("generation", generation.saturating_add(1));
    }
}

fn check_preconditions(row: &Resource, current: &Record, options: &DeleteOptions) -> Result<(), Error> {
    // Go puts the kind where the resource belongs.
    let conflict = |message: String| Error::Conflict {
        resource: GroupResource { group: row.group.to_string(), resource: row.kind.to_string() },
        name: current.key.name.to_string(),
        message,
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| **uid != *current.uid) {
        return Err(conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted \
             and then recreated",
            current.uid
        )));
    }
    let version = current.mod_revision.to_string();
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| **wanted != version) {
        return Err(conflict(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). \
             The object might have been modified"
        )));
    }
    Ok(())
}

/// Adds or takes away the finalizers of propagation, as the options, the object or the kind say, in this order
/// (registry.deletionFinalizersForGarbageCollection). Answers whether anything changed.
fn set_finalizers(storage: &Resource, object: &mut Object, options: &DeleteOptions) -> bool {
    let has = |object: &Object, finalizer: &str| object.finalizers().any(|found| found == finalizer);
    let propagation = match (options.orphan_dependents, options.propagation) {
        (Some(true), _) => Propagation::Orphan,
        (Some(false), _) => Propagation::Background,
        (None, Some(propagation)) => propagation,
        (None, None) if has(object, FINALIZER_ORPHAN) => Propagation::Orphan,
        (None, None) if has(object, FINALIZER_FOREGROUND) => Propagation::Foreground,
        (None, None) => storage.strategy.default_propagation(),
    };
    let wanted = match propagation {
        Propagation::Orphan => Some(FINALIZER_ORPHAN),
        Propagation::Foreground => Some(FINALIZER_FOREGROUND),
        Propagation::Background => None,
    };
    let ours = |finalizer: &str| matches!(finalizer, FINALIZER_ORPHAN | FINALIZER_FOREGROUND);
    let before: Vec<&str> = object.finalizers().collect();
    let mut after: Vec<&str> = before.iter().copied().filter(|f| !ours(f) || Some(*f) == wanted).collect();
    if let Some(wanted) = wanted.filter(|wanted| !after.contains(wanted)) {
        after.push(wanted);
    }
    if before == after {
        return false;
    }
    let after: Vec<Value> = after.into_iter().map(Value::from).collect();
    if after.is_empty() {
        object.metadata_mut().remove("finalizers");
    } else {
        object.set_meta("finalizers", after);
    }
    true
}
