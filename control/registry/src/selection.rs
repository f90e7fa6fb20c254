//! A list that is read as it is sent: the objects of one revision, a few at a time.

use crate::error::Error;
use crate::read::List;
use crate::registry::Registry;
use crate::resource::Resource;
use sampan_api::record::Record;
use sampan_watch::{Filter, Snapshot};
use std::sync::Arc;

/// The objects that a list selects, all of one revision. It holds the state that it reads, not the objects one by one.
#[derive(Clone)]
pub struct Selection {
    /// The revision that the whole list is of.
    pub revision: u64,
    /// `Some`: there is more behind this page.
    pub continue_token: Option<String>,
    /// Number of items behind this page, where it is known.
    pub remaining: Option<u64>,
    rest: Rest,
    /// Rows of another version than the stored one convert what they show.
    convert: Option<Arc<(Registry, Resource)>>,
}

#[derive(Clone)]
enum Rest {
    Held(std::vec::IntoIter<Arc<Record>>),
    Current(Current),
    Over,
}

/// A walk through the current state.
#[derive(Clone)]
pub(crate) struct Current {
    /// The state that is walked through.
    pub snapshot: Snapshot,
    /// The selection.
    pub filter: Filter,
    /// Keys that do not begin so are none of the list's.
    pub key_prefix: String,
    /// The last key that was looked at.
    pub after: Option<Arc<str>>,
    /// Items that are still wanted.
    pub left: u64,
}

impl Selection {
    pub(crate) fn held(list: List) -> Self {
        let List { items, revision, continue_token, remaining } = list;
        Self { revision, continue_token, remaining, rest: Rest::Held(items.into_iter()), convert: None }
    }

    /// Everything that `current` selects.
    pub(crate) fn current(current: Current) -> Self {
        let revision = current.snapshot.revision;
        Self { revision, continue_token: None, remaining: None, rest: Rest::Current(current), convert: None }
    }

    pub(crate) fn converted(self, registry: &Registry, row: &Resource) -> Self {
        let convert = row.stored_as.is_some().then(|| Arc::new((registry.clone(), row.clone())));
        Self { convert, ..self }
    }

    /// Whether [`Self::next`] converts what it gives.
    pub fn is_converted(&self) -> bool {
        self.convert.is_some()
    }

    /// Nothing is left.
    pub fn is_over(&self) -> bool {
        match &self.rest {
            Rest::Held(items) => items.len() == 0,
            Rest::Current(_) => false,
            Rest::Over => true,
        }
    }

    /// The next objects: what is selected of the next `examined` ones, which may be none.
    ///
    /// # Errors
    /// When an object cannot be converted to the row's version.
    pub fn next(&mut self, examined: usize) -> Result<Vec<Arc<Record>>, Error> {
        let items = match &mut self.rest {
            Rest::Over => return Ok(Vec::new()),
            Rest::Held(items) => items.by_ref().take(examined).collect(),
            Rest::Current(current) => {
                let (items, over) = current.next(examined);
                if over {
                    self.rest = Rest::Over;
                }
                items
            }
        };
        match &self.convert {
            None => Ok(items),
            Some(with) => items.into_iter().map(|item| with.0.serve(&with.1, item)).collect(),
        }
    }

    /// All of it at once.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn into_list(mut self) -> Result<List, Error> {
        let mut items = Vec::new();
        while !self.is_over() {
            items.extend(self.next(usize::MAX)?);
        }
        Ok(List { items, revision: self.revision, continue_token: self.continue_token, remaining: self.remaining })
    }
}

impl From<List> for Selection {
    fn from(list: List) -> Self {
        Self::held(list)
    }
}

impl Current {
    /// The selected ones of the next `examined`, and whether nothing is behind them.
    fn next(&mut self, examined: usize) -> (Vec<Arc<Record>>, bool) {
        let mut items = Vec::new();
        let mut last = None;
        let mut looked_at = 0;
        for (key, record) in self.snapshot.range(&self.key_prefix, self.after.as_deref()) {
            if looked_at == examined || self.left == 0 {
                break;
            }
            looked_at += 1;
            last = Some(key.clone());
            if self.filter.matches(record) {
                items.push(record.clone());
                self.left -= 1;
            }
        }
        let over = looked_at < examined || self.left == 0;
        if last.is_some() {
            self.after = last;
        }
        (items, over)
    }
}
