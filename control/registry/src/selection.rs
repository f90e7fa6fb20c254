//! A list that is read as it is sent: the objects of one revision, a few at a time.

use crate::error::Error;
use crate::limits::{CONVERSION_BATCH_MAX, LIST_EXAMINED_MAX};
use crate::read::List;
use crate::registry::Registry;
use crate::resource::Resource;
use sampan_api::record::Record;
use sampan_watch::{Filter, Sieve, Snapshot};
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
    /// Objects that were looked at so far, in memory.
    pub examined: usize,
    rest: Rest,
    convert: Convert,
}

/// What becomes of an object before it is shown.
#[derive(Clone)]
enum Convert {
    No,
    /// Rows of another version than the stored one convert what they show.
    Here(Arc<(Registry, Resource)>),
    /// A webhook converts it.
    Elsewhere(Elsewhere),
}

/// Objects that a webhook converts, a few ahead of those who read them.
#[derive(Clone)]
struct Elsewhere {
    with: Arc<(Registry, Resource)>,
    /// Those that are wanted once they are converted; `None`: all.
    chosen: Option<Filter>,
    fetched: std::vec::IntoIter<Arc<Record>>,
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
    /// What passes over objects that the filter does not select.
    pub sieve: Sieve,
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
        let rest = Rest::Held(items.into_iter());
        Self { revision, continue_token, remaining, examined: 0, rest, convert: Convert::No }
    }

    /// Everything that `current` selects.
    pub(crate) fn current(current: Current) -> Self {
        let revision = current.snapshot.revision;
        let (rest, convert) = (Rest::Current(current), Convert::No);
        Self { revision, continue_token: None, remaining: None, examined: 0, rest, convert }
    }

    pub(crate) fn converted(self, registry: &Registry, row: &Resource) -> Self {
        let convert = match row.stored_as {
            Some(_) => Convert::Here(Arc::new((registry.clone(), row.clone()))),
            None => Convert::No,
        };
        Self { convert, ..self }
    }

    /// Of a row whose objects a webhook converts; `chosen` are the wanted ones once they are converted.
    pub(crate) fn converted_elsewhere(self, registry: &Registry, row: &Resource, chosen: Option<Filter>) -> Self {
        let with = Arc::new((registry.clone(), row.clone()));
        Self { convert: Convert::Elsewhere(Elsewhere { with, chosen, fetched: Vec::new().into_iter() }), ..self }
    }

    /// Whether [`Self::fetch`] is to be called before [`Self::next`] gives anything.
    pub fn waits(&self) -> bool {
        matches!(&self.convert, Convert::Elsewhere(elsewhere) if elsewhere.fetched.len() == 0) && !self.is_over()
    }

    /// Has the next objects converted by others, where they are to be.
    ///
    /// # Errors
    /// When they cannot be converted.
    pub async fn fetch(&mut self) -> Result<(), Error> {
        if !self.waits() {
            return Ok(());
        }
        let stored = self.stored(CONVERSION_BATCH_MAX);
        if let Convert::Elsewhere(elsewhere) = &mut self.convert {
            let (registry, row) = &*elsewhere.with;
            let mut fetched = registry.serve_all(row, stored).await?;
            if let Some(chosen) = &elsewhere.chosen {
                fetched.retain(|record| chosen.matches(record));
            }
            elsewhere.fetched = fetched.into_iter();
        }
        Ok(())
    }

    /// Whether [`Self::next`] converts what it gives.
    pub fn is_converted(&self) -> bool {
        matches!(self.convert, Convert::Here(_))
    }

    /// Nothing is left.
    pub fn is_over(&self) -> bool {
        if matches!(&self.convert, Convert::Elsewhere(elsewhere) if elsewhere.fetched.len() > 0) {
            return false;
        }
        match &self.rest {
            Rest::Held(items) => items.len() == 0,
            Rest::Current(_) => false,
            Rest::Over => true,
        }
    }

    /// Objects that are looked at before others have their turn.
    pub fn examined_max(&self) -> usize {
        match &self.rest {
            Rest::Current(current) => current.examined_max(),
            Rest::Held(_) | Rest::Over => LIST_EXAMINED_MAX,
        }
    }

    /// The next objects, `wanted` at the most; fewer, or none, where little is selected of the next [`Self::examined_max`].
    ///
    /// # Errors
    /// When an object cannot be converted to the row's version.
    pub fn next(&mut self, wanted: usize) -> Result<Vec<Arc<Record>>, Error> {
        match &mut self.convert {
            Convert::No => Ok(self.stored(wanted)),
            Convert::Here(with) => {
                let with = with.clone();
                self.stored(wanted).into_iter().map(|item| with.0.serve_here(&with.1, item)).collect()
            }
            Convert::Elsewhere(elsewhere) => {
                let items: Vec<_> = elsewhere.fetched.by_ref().take(wanted).collect();
                self.examined += items.len();
                Ok(items)
            }
        }
    }

    /// As [`Self::next`], with each object as it is stored.
    fn stored(&mut self, wanted: usize) -> Vec<Arc<Record>> {
        match &mut self.rest {
            Rest::Over => Vec::new(),
            Rest::Held(items) => {
                let items: Vec<_> = items.by_ref().take(wanted).collect();
                self.examined += items.len();
                if items.len() < wanted {
                    self.rest = Rest::Over;
                }
                items
            }
            Rest::Current(current) => {
                let (items, examined, over) = current.next(wanted);
                self.examined += examined;
                if over {
                    self.rest = Rest::Over;
                }
                items
            }
        }
    }

    /// All of it at once.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn into_list(mut self) -> Result<List, Error> {
        let mut items = Vec::new();
        while !self.is_over() {
            self.fetch().await?;
            items.extend(self.next(LIST_EXAMINED_MAX)?);
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
    fn examined_max(&self) -> usize {
        self.filter.looked_at_once(LIST_EXAMINED_MAX)
    }

    /// The next selected ones, how many were looked at, and whether nothing is behind them.
    fn next(&mut self, wanted: usize) -> (Vec<Arc<Record>>, usize, bool) {
        let wanted = wanted.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut items = Vec::new();
        let mut last = None;
        let mut examined = 0;
        let most = self.examined_max();
        let mut walk = self.snapshot.walk(&self.sieve, &self.key_prefix, self.after.as_deref());
        while items.len() < wanted && examined < most {
            let Some((key, record)) = walk.next() else { break };
            examined += 1;
            last = Some(key);
            items.extend(record.filter(|record| self.filter.matches(record)).cloned());
        }
        let last = last.cloned();
        drop(walk);
        let over = items.len() < wanted && examined < most;
        self.left -= items.len() as u64;
        if let Some(last) = last {
            self.after = Some(last);
        }
        (items, examined, over || self.left == 0)
    }
}
