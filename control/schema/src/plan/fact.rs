//! Facts of fields, as the walk of [`crate::facts`] takes them.

use serde_json::Value;

use super::Condition;
use crate::table::TypeId;

/// Facts about the fields of one type.
#[derive(Debug, Default)]
pub(crate) struct Set {
    /// Only what names the set is led to it; the set without a name is every value's of the type.
    pub name: String,
    /// Of an update only changes are checked.
    pub changes_only: bool,
    /// In the order in which errors are told.
    pub entries: Vec<Entry>,
}

/// Some facts, where their conditions hold in the object that has the field.
#[derive(Debug)]
pub(crate) struct Entry {
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// None of these may hold.
    pub exceptions: Vec<Condition>,
    /// The writes of which it is asked; all if `None`.
    pub only: Option<Only>,
    /// What it is about.
    pub subject: Subject,
}

/// The writes of which an entry is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    Create,
    Update,
}

/// What an entry is about.
#[derive(Debug)]
pub(crate) enum Subject {
    /// One field.
    Field(FieldFacts),
    /// Exactly one of these is set.
    OneOf {
        /// Their names.
        fields: Vec<Box<str>>,
        /// The error where none is set.
        none: Option<Told>,
        /// The error where several are.
        several: Option<Told>,
    },
}

/// What is asked of one field.
#[derive(Debug, Default)]
pub(crate) struct FieldFacts {
    /// The field's index in its type.
    pub at: usize,
    /// Its name in errors, where that is not its own.
    pub called: Option<Box<str>>,
    /// Nothing is asked of a field that is unset, though Go holds a zero there.
    pub optional: bool,
    /// Asked of the field.
    pub whole: Vec<Whole>,
    /// Asked of its value, or of each element of it.
    pub each: Vec<Each>,
    /// Errors of elements are told at the field.
    pub told_at_field: bool,
    /// Each element may stand once, by this member where there is one.
    pub unique: Option<Box<str>>,
    /// An element that stands a second time is told, and not checked further.
    pub skips_repeated: bool,
    /// It may not change; the error where it does.
    pub fixed: Option<Told>,
    /// What its use is warned of.
    pub warning: Option<Warning>,
    /// The set that the values follow: their type, and the index among its sets.
    pub inner: Option<(TypeId, usize)>,
    /// Where nothing names a set, the values follow that of their type.
    pub leads: bool,
}

/// A warning; `{path}` and `{value}` in its text stand for what they say.
#[derive(Debug)]
pub(crate) enum Warning {
    /// Where the field is set.
    Set(String),
    /// Where it is not.
    Unset(String),
}

/// An error whose kind the data names.
#[derive(Debug)]
pub(crate) enum Told {
    Invalid(String),
    Forbidden(String),
    Required(String),
}

/// What is asked of a field as a whole.
#[derive(Debug)]
pub(crate) enum Whole {
    /// It is set.
    Required(String),
    /// It is not set.
    Forbidden(String),
    /// A list or map of at most so many entries.
    MaxItems(usize),
    /// A map of at most so many entries, told as if it were a text that is too long.
    MaxEntries(usize),
    /// A map whose keys and values have at most so many bytes together.
    MaxTotalBytes(usize),
}

/// What is asked of a field's value, or of each element of it.
/// The error for a value that is none of those that may be.
#[derive(Debug)]
pub(crate) enum Otherwise {
    Unsupported,
    /// Unsupported, showing Go's struct around the value, in which the value has this name.
    UnsupportedIn(String),
    Invalid(String),
}

#[derive(Debug)]
pub(crate) enum Each {
    /// One of these.
    Among(Vec<Value>, Otherwise),
    Format(&'static Format),
    /// Of the keys of a map: told at the map.
    Keys(&'static Format),
    /// A number within these bounds, both inclusive.
    Bounds {
        least: i64,
        most: i64,
        text: String,
    },
    /// At most so many bytes; the error shows the second number, or is the one that the text makes.
    MaxBytes {
        most: usize,
        shown: usize,
        text: Option<String>,
    },
    /// An amount that is not negative.
    NotNegative,
    /// A text that begins so; otherwise it is unsupported, and an example shows what is.
    StartsWith(String, String),
    /// Any JSON, which is an object.
    Object,
    /// A text that is set has something in it; the error says that it is missing.
    NonEmpty(String),
}

/// A rule for texts that data can name.
#[derive(Debug)]
pub(crate) struct Format {
    /// Its name in the data.
    pub name: &'static str,
    /// What is wrong with a text.
    pub rule: fn(&str) -> Vec<String>,
    /// Compared, and shown, in lower case.
    pub lower: bool,
    /// Each part between these is checked by itself.
    pub separator: Option<char>,
}
