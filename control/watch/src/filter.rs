//! A reader's selection of records, and the bucket of the dispatch index that holds them.

use crate::marks::Sieve;
use crate::ring::{Change, Item};
use sampan_api::record::{Record, RecordEvent};
use sampan_api::selector::{FieldSelector, LabelSelector};
use std::sync::Arc;

/// A selection of one resource's records.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `""`: all.
    pub namespace: String,
    pub labels: LabelSelector,
    /// In the labels under which records index their fields, `metadata.name` and `metadata.namespace` among them.
    pub fields: FieldSelector,
}

/// Requirements of a selection that a look at a record costs little for.
const QUESTIONS_FREE: usize = 16;

/// The condition under which an event falls into a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Interest {
    All,
    Namespace(String),
    /// One object, by its whole key.
    Key(String),
    /// Index into the resource's dispatched fields, and the value.
    Field(usize, String),
}

impl Filter {
    pub fn matches(&self, record: &Record) -> bool {
        (self.namespace.is_empty() || *record.key.namespace == *self.namespace)
            && (self.fields.is_everything() || self.fields.matches(|field| record.field(field)))
            && (self.labels.is_everything() || self.labels.matches_map(&record.labels))
    }

    /// How many records are looked at at once, of at most so many: fewer, where each look asks many questions.
    pub fn looked_at_once(&self, most: usize) -> usize {
        let questions = self.labels.requirements.len() + self.fields.requirements.len();
        (most / (1 + questions / QUESTIONS_FREE)).max(1)
    }

    /// What passes over most records that the filter does not select.
    pub fn sieve(&self) -> Sieve {
        Sieve::of(&self.labels, &self.fields)
    }

    /// Whether an object can enter or leave the selection while it exists.
    pub(crate) fn is_selective(&self) -> bool {
        !self.labels.is_everything()
            || self
                .fields
                .requirements
                .iter()
                .any(|r| !matches!(r.field.as_str(), "metadata.name" | "metadata.namespace"))
    }

    /// The narrowest bucket that holds everything that this selection can match.
    pub(crate) fn interest(&self, prefix: &str, dispatch: &[&'static str], namespaced: bool) -> Interest {
        if let Some(name) = self.fields.required_value("metadata.name") {
            match (namespaced, self.namespace()) {
                (false, _) => return Interest::Key(format!("{prefix}{name}")),
                (true, Some(namespace)) => return Interest::Key(format!("{prefix}{namespace}/{name}")),
                (true, None) => {}
            }
        }
        for (index, field) in dispatch.iter().enumerate() {
            if let Some(value) = self.fields.required_value(field) {
                return Interest::Field(index, value.to_owned());
            }
        }
        self.namespace().map_or(Interest::All, |namespace| Interest::Namespace(namespace.to_owned()))
    }

    fn namespace(&self) -> Option<&str> {
        if self.namespace.is_empty() { self.fields.required_value("metadata.namespace") } else { Some(&self.namespace) }
    }

    /// The keys to be read for this selection: all that can match begin with it.
    pub fn key_prefix(&self, prefix: &str, namespaced: bool) -> String {
        match (namespaced, self.namespace()) {
            (true, Some(namespace)) => format!("{prefix}{namespace}/"),
            _ => prefix.to_owned(),
        }
    }

    /// The event that a watcher with this selection is told: none where the object is outside before and after.
    pub(crate) fn event(&self, item: &Item) -> Option<RecordEvent> {
        let record = &item.record;
        match item.change {
            Change::Delete => self.matches(record).then(|| RecordEvent::Deleted(record.clone())),
            Change::Put if !self.is_selective() => self.matches(record).then(|| {
                if record.version == 1 {
                    RecordEvent::Added(record.clone())
                } else {
                    RecordEvent::Modified(record.clone())
                }
            }),
            Change::Put => {
                let before = item.previous.as_ref().filter(|previous| self.matches(previous));
                match (before, self.matches(record)) {
                    (None, true) => Some(RecordEvent::Added(record.clone())),
                    (Some(_), true) => Some(RecordEvent::Modified(record.clone())),
                    // The object left the selection: the event shows the last state that was in it, under the revision
                    // of the write that took it out.
                    (Some(previous), false) => {
                        let last = previous.at_revision(record.mod_revision, record.writer.clone());
                        Some(RecordEvent::Deleted(Arc::new(last)))
                    }
                    (None, false) => None,
                }
            }
        }
    }
}
