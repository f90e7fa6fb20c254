//! A place in an object under validation: the value there and the way to it. The way is a chain of borrowed steps and
//! becomes text only where there is an error to report.

use sampan_api::field::{BadValue, FieldError, FieldErrors, Path};
use sampan_api::object::Object;
use serde_json::{Map, Value};
use std::fmt::Write as _;

static NULL: Value = Value::Null;

#[derive(Clone, Copy)]
pub(in crate::kinds) struct At<'a> {
    value: &'a Value,
    fields: Option<&'a Map<String, Value>>,
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> At<'a> {
    /// The whole object: its fields have no path before them.
    pub fn object(object: &'a Object) -> Self {
        Self { value: &NULL, fields: Some(object.fields()), parent: None, step: Step::Root }
    }

    /// A value as if it stood in that field of another.
    pub fn within(value: &'a Value, parent: &'a At<'a>, name: &'a str) -> Self {
        At { value, fields: None, parent: Some(parent), step: Step::Field(name) }
    }

    /// Another value in the same place, as a part of the text there.
    pub fn with_value(value: &'a Value, place: At<'a>) -> Self {
        At { value, fields: None, ..place }
    }

    /// Null where there is nothing.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    pub fn get<'b>(&'b self, name: &'b str) -> At<'b> {
        let value = match self.fields {
            Some(fields) => fields.get(name),
            None => self.value.get(name),
        };
        At { value: value.unwrap_or(&NULL), fields: None, parent: Some(self), step: Step::Field(name) }
    }

    pub fn index<'b>(&'b self, index: usize) -> At<'b> {
        let value = self.value.get(index).unwrap_or(&NULL);
        At { value, fields: None, parent: Some(self), step: Step::Index(index) }
    }

    pub fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        let value = self.value.get(key).unwrap_or(&NULL);
        At { value, fields: None, parent: Some(self), step: Step::Key(key) }
    }

    /// The items of a list; none where there is no list.
    pub fn items<'b>(&'b self) -> impl Iterator<Item = At<'b>> {
        (0..self.value.as_array().map_or(0, Vec::len)).map(move |index| self.index(index))
    }

    /// The entries of a map, by key; none where there is no map.
    pub fn entries<'b>(&'b self) -> impl Iterator<Item = (&'b str, At<'b>)> {
        self.value.as_object().into_iter().flatten().map(move |(key, _)| (key.as_str(), self.key(key)))
    }

    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }
    pub fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or("")
    }
    /// A list's texts.
    pub fn texts(&self) -> Vec<&'a str> {
        self.value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }
    /// 0 where there is none.
    pub fn number(&self) -> i64 {
        self.value.as_i64().unwrap_or(0)
    }
    pub fn opt_number(&self) -> Option<i64> {
        self.value.as_i64()
    }
    /// False where there is none.
    pub fn flag(&self) -> bool {
        self.value.as_bool().unwrap_or(false)
    }
    /// Of a list, a map or a text; 0 of anything else.
    pub fn len(&self) -> usize {
        match self.value {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            Value::String(text) => text.len(),
            _ => 0,
        }
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn path(&self) -> Path {
        Path::from_rendered(self.render())
    }

    fn render(&self) -> String {
        let mut text = self.parent.map_or_else(String::new, At::render);
        match self.step {
            Step::Root => {}
            Step::Field(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            // Writing to a String cannot fail.
            Step::Index(index) => write!(text, "[{index}]").unwrap_or_default(),
            Step::Key(key) => write!(text, "[{key}]").unwrap_or_default(),
        }
        text
    }

    pub fn required(&self, errors: &mut FieldErrors, detail: &str) {
        if errors.is_full() {
            return;
        }
        errors.push(FieldError::required(&self.path(), detail));
    }
    pub fn forbidden(&self, errors: &mut FieldErrors, detail: impl Into<String>) {
        if errors.is_full() {
            return;
        }
        errors.push(FieldError::forbidden(&self.path(), detail));
    }
    /// Shows the value that stands here.
    pub fn invalid(&self, errors: &mut FieldErrors, detail: impl Into<String>) {
        if errors.is_full() {
            return;
        }
        self.invalid_as(errors, self.value, detail);
    }
    /// Shows another value, as where Go has a zero and we have nothing.
    pub fn invalid_as(&self, errors: &mut FieldErrors, value: impl Into<BadValue>, detail: impl Into<String>) {
        if errors.is_full() {
            return;
        }
        errors.push(FieldError::invalid(&self.path(), value, detail));
    }
    /// One error a message, each showing the text that stands here.
    pub fn invalid_each(&self, errors: &mut FieldErrors, messages: Vec<String>) {
        for message in messages {
            self.invalid_as(errors, self.text(), message);
        }
    }
    /// As `invalid_each`, for a text that stands elsewhere.
    pub fn invalid_each_as(&self, errors: &mut FieldErrors, text: &str, messages: Vec<String>) {
        for message in messages {
            self.invalid_as(errors, text, message);
        }
    }
    pub fn duplicate(&self, errors: &mut FieldErrors) {
        self.duplicate_as(errors, self.value);
    }
    pub fn duplicate_as(&self, errors: &mut FieldErrors, value: impl Into<BadValue>) {
        if errors.is_full() {
            return;
        }
        errors.push(FieldError::duplicate(&self.path(), value));
    }
    pub fn not_found(&self, errors: &mut FieldErrors) {
        if errors.is_full() {
            return;
        }
        errors.push(FieldError::not_found(&self.path(), self.text()));
    }
    /// `supported` in the order in which it is to be listed.
    pub fn not_supported(&self, errors: &mut FieldErrors, supported: &[&str]) {
        if errors.is_full() {
            return;
        }
        errors.push(FieldError::not_supported(&self.path(), self.text(), supported));
    }
    pub fn not_supported_as(&self, errors: &mut FieldErrors, value: impl Into<BadValue>, supported: &[&str]) {
        if errors.is_full() {
            return;
        }
        errors.push(FieldError::not_supported(&self.path(), value, supported));
    }
    pub fn too_long(&self, errors: &mut FieldErrors, max: usize) {
        if errors.is_full() {
            return;
        }
        errors.push(FieldError::too_long(&self.path(), max));
    }
    pub fn too_many(&self, errors: &mut FieldErrors, max: usize) {
        if errors.is_full() {
            return;
        }
        errors.push(FieldError::too_many(&self.path(), self.len(), max));
    }
}
