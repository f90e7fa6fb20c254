//! Objects that are made for one answer and stored nowhere: what rows whose calls are actions show.

use crate::encode::{self, Revisions};
use crate::error::Error;
use crate::options::ListOptions;
use crate::read::{List, filter};
use crate::registry::Registry;
use crate::resource::Resource;
use crate::selection::Selection;
use crate::table::Index;
use sampan_api::{Object, Record};
use std::sync::Arc;

impl Registry {
    /// The record of an object of `row` that is not in the store: it has no revision.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn computed(&self, row: &Resource, object: &Object) -> Result<Arc<Record>, Error> {
        let draft = encode::draft(object, &Index::of(row), None, COMPUTED_BYTES)
            .map_err(|error| Error::Internal(format!("{row:?} {} cannot be encoded: {error}", object.name())))?;
        Ok(Arc::new(encode::record(draft, Revisions::default(), object)))
    }

    /// What a list selects of such objects. Revisions, limits and tokens mean nothing to it.
    ///
    /// # Errors
    /// As [`Self::computed`]; when the selection is by a field that the row does not have.
    pub fn select_computed(
        &self,
        row: &Resource,
        objects: &[Object],
        options: &ListOptions,
    ) -> Result<Selection, Error> {
        let filter = filter(row, "", options)?;
        let mut items = objects.iter().map(|object| self.computed(row, object)).collect::<Result<Vec<_>, Error>>()?;
        items.retain(|record| filter.matches(record));
        Ok(List { items, revision: 0, continue_token: None, remaining: None }.into())
    }
}

/// Bytes that such an object commonly takes.
const COMPUTED_BYTES: usize = 512;
