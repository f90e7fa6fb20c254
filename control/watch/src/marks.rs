//! What is known of a record where it stands in the map: a selection by labels or fields of few among many objects does not look
//! at the others.
//!
//! A Bloom filter of 64 bits: each label and each indexed field has two of them. A record that lacks a bit of what a selection
//! demands is not selected; one that has them all is looked at.

use sampan_api::record::Record;
use sampan_api::selector::{FieldSelector, LabelSelector, Operator};
use std::hash::{DefaultHasher, Hasher};

/// The bits of a record's labels and indexed fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u64);

/// The bits that a selection demands: for each requirement a list, of which a record has one entry at least.
#[derive(Clone, Debug, Default)]
pub struct Sieve(Vec<Vec<u64>>);

/// Values of one requirement up to which it is part of a sieve.
const VALUES_MAX: usize = 8;
/// Requirements of a selection that are part of its sieve.
const REQUIREMENTS_MAX: usize = 8;

/// Two of 64 bits.
fn bits(room: u8, name: &str, value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(room);
    hasher.write(name.as_bytes());
    // No name and no value has this byte.
    hasher.write_u8(0xff);
    hasher.write(value.as_bytes());
    let hash = hasher.finish();
    1 << (hash & 63) | 1 << (hash >> 6 & 63)
}

const LABEL: u8 = 0;
const FIELD: u8 = 1;

impl Marks {
    pub(crate) fn of(record: &Record) -> Self {
        let labels = record.labels.iter().map(|(key, value)| bits(LABEL, key, value));
        let fields = record.fields.iter().map(|(field, value)| bits(FIELD, field, value));
        Self(labels.chain(fields).fold(0, |all, bits| all | bits))
    }
}

impl Sieve {
    pub(crate) fn of(labels: &LabelSelector, fields: &FieldSelector) -> Self {
        let demanded = labels
            .requirements
            .iter()
            .filter(|one| matches!(one.operator, Operator::In | Operator::Equals) && one.values.len() <= VALUES_MAX);
        let labels = demanded.map(|one| one.values.iter().map(|value| bits(LABEL, &one.key, value)).collect());
        // A record indexes no field whose value stands for none: an empty one is met by its absence.
        let fields =
            fields.requirements.iter().filter(|one| is_indexed(&one.field) && !one.value.is_empty() && one.equal);
        let fields = fields.map(|one| vec![bits(FIELD, &one.field, &one.value)]);
        Self(labels.chain(fields).take(REQUIREMENTS_MAX).collect())
    }

    /// Whether a record with these marks may be selected.
    pub(crate) fn passes(&self, marks: Marks) -> bool {
        self.0.iter().all(|values| values.iter().any(|bits| marks.0 & bits == *bits))
    }
}

/// Whether the field stands among a record's own, and not in its key.
fn is_indexed(field: &str) -> bool {
    !matches!(field, "metadata.name" | "metadata.namespace")
}
