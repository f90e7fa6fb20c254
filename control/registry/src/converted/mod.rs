//! Objects of the row that was asked for: records stay in the version that they were written in until somebody asks for
//! another.

mod selecting;

use crate::conversion::{Conversion, Conversions, Failed};
use crate::encode;
use crate::error::Error;
use crate::limits::{CONVERSION_BATCH_BYTES, CONVERSION_BATCH_MAX, CONVERSIONS_ASKED_MAX};
use crate::metadata;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::shapes::{self, ManagedWrite};
use crate::table::{Index, ResourceTable};
use crate::versions;
use sampan_api::field::{FieldErrors, Path};
use sampan_api::object::Object;
use sampan_api::record::Record;
use sampan_api::status::Status;
use sampan_api::webhook::WebhookCaller;
use sampan_schema::{ObjectType, json};
use serde_json::Value;
use std::sync::Arc;

impl Registry {
    /// Says who calls the webhooks of definitions; the first who is named does. Until then what needs one fails.
    pub fn call_webhooks_by(&self, caller: Arc<dyn WebhookCaller>) {
        self.inner.webhooks.get_or_init(|| caller);
    }

    /// The objects in the version of a row, a few at a time; those that are in it stay as they are.
    pub(crate) async fn converted(
        &self,
        conversion: &Conversion,
        to: &Resource,
        mut objects: Vec<Object>,
    ) -> Result<Vec<Object>, Error> {
        let wanted = to.api_version();
        let others: Vec<usize> = (0..objects.len()).filter(|at| objects[*at].api_version() != wanted).collect();
        if others.is_empty() {
            return Ok(objects);
        }
        let Some(caller) = self.inner.webhooks.get() else {
            return Err(Error::Plain("conversion webhooks are not called yet".to_owned()));
        };
        for batch in others.chunks(CONVERSION_BATCH_MAX) {
            let asked: Vec<Object> = batch.iter().map(|at| std::mem::take(&mut objects[*at])).collect();
            let uid = self.inner.env.uuid();
            let answered = conversion.convert(&**caller, &uid, &asked, &to.gvk(), &texts_errors).await?;
            for (at, mut object) in batch.iter().zip(answered) {
                if let Some(ty) = &to.ty {
                    prune(ty, &mut object);
                }
                objects[*at] = object;
            }
        }
        Ok(objects)
    }

    /// The record in the version of the row that was asked for.
    pub(crate) async fn serve(&self, row: &Resource, record: Arc<Record>) -> Result<Arc<Record>, Error> {
        if row.converted_by.is_none() {
            return self.serve_here(row, record);
        }
        let mut served = self.serve_all(row, vec![record]).await?;
        served.pop().ok_or_else(|| Error::Internal("a conversion has no outcome".to_owned()))
    }

    /// The records in the version of the row that was asked for: as few questions as their bytes allow.
    pub(crate) async fn serve_all(
        &self,
        row: &Resource,
        mut records: Vec<Arc<Record>>,
    ) -> Result<Vec<Arc<Record>>, Error> {
        let Some(conversion) = &row.converted_by else {
            return records.into_iter().map(|record| self.serve_here(row, record)).collect();
        };
        let wanted = row.api_version();
        let index = Index::of(row);
        let mut at = 0;
        while at < records.len() {
            let end = batch_end(&records, at);
            let others: Vec<usize> = (at..end).filter(|at| *records[*at].api_version != *wanted).collect();
            let objects = others.iter().map(|at| records[*at].object()).collect();
            for (at, mut object) in others.iter().zip(self.converted(conversion, row, objects).await?) {
                settle(row, &mut object);
                let made = encode::converted(&records[*at], &object, &index);
                let made = made.map_err(|error| Error::Internal(format!("{row:?} cannot be encoded: {error}")))?;
                records[*at] = Arc::new(made);
            }
            at = end;
        }
        Ok(records)
    }

    /// Notes who wrote what in a new object, with the conversions that this takes.
    pub(crate) async fn track_managers(
        &self,
        row: &Resource,
        old: Option<&Object>,
        new: &mut Object,
        write: &ManagedWrite<'_>,
    ) -> Result<(), Error> {
        let table = self.inner.table.load_full();
        if row.converted_by.is_none() {
            shapes::track_managers(row, old, new, write, &*versions::of_row(&table, row));
            return Ok(());
        }
        let conversions = Conversions::default();
        loop {
            let mut tracked = new.clone();
            let versions = versions::of_row_with(&table, row, &conversions);
            shapes::track_managers(row, old, &mut tracked, write, &*versions);
            drop(versions);
            if !self.make(&table, row, &conversions).await? {
                *new = tracked;
                return Ok(());
            }
        }
    }

    /// Makes the conversions that were asked for of objects of `row`. Whether there were any.
    pub(crate) async fn make(
        &self,
        table: &ResourceTable,
        row: &Resource,
        conversions: &Conversions,
    ) -> Result<bool, Error> {
        let wanted = conversions.take_wanted();
        let any = !wanted.is_empty();
        for (api_version, from) in wanted {
            let to = versions::row_of(table, row, &api_version);
            let Some((to, conversion)) = to.and_then(|to| Some((to, to.converted_by.as_ref()?))) else { continue };
            if conversions.len() >= CONVERSIONS_ASKED_MAX {
                return Err(Error::BadRequest(format!(
                    "the object has field managers in too many versions: at most {CONVERSIONS_ASKED_MAX} conversions are made"
                )));
            }
            let converted = self.converted(conversion, to, vec![from.clone()]).await?.pop();
            conversions.add(api_version, from, converted.unwrap_or_default());
        }
        Ok(any)
    }

    /// An object of the row's storage in the version of the row, where that is another.
    pub(crate) async fn object_in(&self, row: &Resource, object: &Object) -> Result<Option<Object>, Error> {
        let Some(conversion) = &row.converted_by else { return Ok(crate::update::served(row, object)) };
        if object.api_version() == row.api_version() {
            return Ok(None);
        }
        let mut converted = self.converted(conversion, row, vec![object.clone()]).await?.pop();
        converted.iter_mut().for_each(|object| settle(row, object));
        Ok(converted)
    }
}

/// Gives a converted object the defaults of the stored version, where the row is that: Kubernetes stores it so, and reads what
/// is stored with them.
fn settle(row: &Resource, object: &mut Object) {
    if let Some(settle) = &row.settle {
        settle(object);
    }
}

/// Where the records that are asked about at once end; it is one at least.
fn batch_end(records: &[Arc<Record>], start: usize) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Arc<Record>| {
        bytes += record.json.len();
        bytes <= CONVERSION_BATCH_BYTES
    };
    let count = records[start..].iter().take(CONVERSION_BATCH_MAX).take_while(fits).count();
    start + count.max(1)
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Told(text) => Self::Plain(text),
            Failed::Refused(status) => Self::Status(status),
            Failed::Busy => {
                let text = "Too many requests wait for a conversion webhook, please try again later.";
                Status::too_many_requests(text, 1).into()
            }
        }
    }
}

/// What is wrong with labels or annotations.
fn texts_errors(name: &str, texts: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let path = Path::new("metadata");
    match name {
        "labels" => metadata::labels(Some(texts), || path.child("labels"), &mut errors),
        // So Go calls it.
        _ => metadata::annotations(Some(texts), || path.child("annotation"), &mut errors),
    }
    errors
}

/// Takes off what the type does not have: a webhook may have answered anything.
fn prune(ty: &ObjectType, object: &mut Object) {
    let read = json::from_value(ty.schema(), ty.id(), &object.to_value());
    // What cannot be read is what the webhook says that it is.
    if let Some(pruned) = read.ok().and_then(|read| Object::from_value(read.value)) {
        *object = pruned;
    }
}
