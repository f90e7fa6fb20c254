//! Objects of types out of structural schemas: what is not described is pruned, and what is of a wrong type stays as it is, for
//! validation to refuse.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::source::{Parsed, Source, Stop};
use super::{Decoder, Step};
use crate::problems::{Problem, ProblemKind};
use crate::table::{Element, Field, Shape, Type, TypeId};

/// The order of what is dropped from a custom resource: duplicates as they stood, what metadata does not have, then what is
/// pruned, by path.
pub(super) fn as_pruned(a: &Problem, b: &Problem) -> Ordering {
    let stage = |one: &Problem| match one.kind {
        ProblemKind::UnknownField if one.path.starts_with("metadata.") => 1,
        ProblemKind::UnknownField => 2,
        _ => 0,
    };
    let by_path = |stage| if stage == 2 { a.path.cmp(&b.path) } else { Ordering::Equal };
    stage(a).cmp(&stage(b)).then_with(|| by_path(stage(a)))
}

impl<'a, S: Source<'a>> Decoder<'a, S> {
    /// A whole field of a structural schema: a value of a wrong type stays as it is, for validation to refuse. `None`: it is
    /// null, and may not be.
    pub(super) fn lenient(&mut self, field: &'a Field) -> Parsed<Option<Value>> {
        let names_kind = matches!(&*field.json_name, "apiVersion" | "kind");
        let type_meta = self.path.len() == 1 && names_kind;
        // Those of a resource that is embedded are no field of the schema.
        if names_kind && !type_meta && field.facts.is_none() && !matches!(self.source.peek(), Some(b'"' | b'n')) {
            return self.bad_kind();
        }
        if let (Type::Struct(id), "metadata", 2..) = (field.ty, &*field.json_name, self.path.len()) {
            return self.embedded_metadata(id).map(Some);
        }
        let Some(facts) = field.facts.as_deref().filter(|_| !type_meta) else { return self.field(field) };
        if self.source.peek() == Some(b'n') {
            self.source.literal("null")?;
            return Ok((facts.nullable || !field.default.is_empty()).then_some(Value::Null));
        }
        self.lenient_whole(field).map(Some)
    }

    /// Refuses what stands for the version or kind of a resource that is embedded, and is no text.
    fn bad_kind<T>(&mut self) -> Parsed<T> {
        let value = self.source.tree()?;
        let mut path = String::new();
        self.write_path(&mut path);
        Err(Stop::Invalid(format!("{path}: Invalid value: {value}: must be a string")))
    }

    /// The metadata of a resource that is embedded: of a wrong form, it is told where it stands.
    pub(super) fn embedded_metadata(&mut self, id: TypeId) -> Parsed<Value> {
        let value = self.source.tree()?;
        let mut path = String::new();
        self.write_path(&mut path);
        if !matches!(value, Value::Object(_) | Value::Null) {
            let (seen, ty) = (super::name_of(&value), self.schema.get(id).go_name());
            let why = format!("json: cannot unmarshal {seen} into Go value of type {ty}");
            return Err(Stop::Invalid(format!("{path}: Invalid value: {value}: {why}")));
        }
        match super::from_value(self.schema, id, &value) {
            Ok(decoded) => {
                for problem in decoded.problems {
                    self.problem(&problem.path, problem.kind);
                }
                Ok(decoded.value)
            }
            Err(error) => Err(Stop::Invalid(format!("{path}: Invalid value: {value}: {error}"))),
        }
    }

    fn lenient_whole(&mut self, field: &'a Field) -> Parsed<Value> {
        let mut first = true;
        match (field.shape, self.source.peek()) {
            (Shape::One, _) => self.lenient_element(field),
            (Shape::List, Some(b'[')) => {
                let mut list = Vec::new();
                self.source.enter()?;
                while !self.source.closed(b']', &mut first)? {
                    self.path.push(Step::Index(list.len()));
                    list.push(self.lenient_element(field)?);
                    self.leave();
                }
                Ok(Value::Array(list))
            }
            (Shape::Map, Some(b'{')) => {
                let mut map = Map::new();
                self.source.enter()?;
                while let Some(key) = self.source.key(&mut first)? {
                    if map.contains_key(&*key) {
                        self.problem(&key, ProblemKind::DuplicateField);
                    }
                    self.path.push(Step::Key(key.clone()));
                    let value = self.lenient_element(field)?;
                    self.leave();
                    let element = field.element.as_deref();
                    let nullable = |one: &Element| one.open || one.facts.nullable || !one.default.is_empty();
                    if !value.is_null() || element.is_none_or(nullable) {
                        map.insert(key.into_owned(), value);
                    }
                }
                Ok(Value::Object(map))
            }
            _ => {
                let kept = field.facts.as_deref().is_some_and(|facts| facts.preserve_unknown);
                self.stray(kept)
            }
        }
    }

    fn lenient_element(&mut self, field: &'a Field) -> Parsed<Value> {
        match (field.ty, self.source.peek()) {
            (Type::Struct(id), Some(b'{')) => self.object(id).map(Value::Object),
            (Type::Nested(id), Some(b'{' | b'[')) => match self.schema.get(id).nested() {
                Some(inner) => self.lenient_whole(inner),
                None => self.source.tree(),
            },
            (Type::Raw | Type::Json | Type::FieldsV1, _) => self.source.tree(),
            _ => {
                let element = field.element.as_deref().map(|element| &element.facts);
                let facts = if field.shape == Shape::One { field.facts.as_deref() } else { element };
                self.stray(facts.is_some_and(|facts| facts.preserve_unknown))
            }
        }
    }

    /// A value of another form than its schema's. What stands in it is described by nothing, and pruned unless it is `kept`.
    fn stray(&mut self, kept: bool) -> Parsed<Value> {
        let mut first = true;
        match self.source.peek() {
            Some(b'{') if !kept => {
                self.source.enter()?;
                while let Some(key) = self.source.key(&mut first)? {
                    self.problem(&key, ProblemKind::UnknownField);
                    self.source.skip()?;
                }
                Ok(Value::Object(Map::new()))
            }
            Some(b'[') if !kept => {
                let mut list = Vec::new();
                self.source.enter()?;
                while !self.source.closed(b']', &mut first)? {
                    self.path.push(Step::Index(list.len()));
                    list.push(self.stray(false)?);
                    self.leave();
                }
                Ok(Value::Array(list))
            }
            _ => self.source.tree(),
        }
    }
}
