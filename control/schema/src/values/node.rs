//! A place in a schema, whether it describes what is there or only checks it.

use crate::schema::Schema;
use crate::table::{Facts, Field, Origin, Shape, Type, TypeDef, ValueSchema};

/// A place in a schema.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    /// What is said of the value.
    pub facts: Option<&'a Facts>,
    /// What is said of what it holds.
    pub inside: Inside<'a>,
}

/// What a value of a place holds.
#[derive(Clone, Copy)]
pub(super) enum Inside<'a> {
    /// Nothing that is described.
    Nothing,
    Object(&'a TypeDef),
    /// Elements of the field's type.
    List(&'a Field),
    Map(&'a Field),
    /// Checks alone.
    Value(&'a ValueSchema),
    /// A type of Kubernetes' own.
    Other,
}

impl<'a> Node<'a> {
    /// An object that no field holds.
    pub fn of_type(ty: &'a TypeDef) -> Self {
        Self { facts: ty.facts.as_deref(), inside: Inside::Object(ty) }
    }

    /// A schema that only checks.
    pub fn of_value(schema: &'a ValueSchema) -> Self {
        Self { facts: Some(&schema.facts), inside: Inside::Value(schema) }
    }

    /// A field's whole value.
    pub fn of_field(schema: &'a Schema, field: &'a Field) -> Self {
        let inside = match field.shape {
            Shape::One => Self::inside(schema, field.ty),
            Shape::List => Inside::List(field),
            Shape::Map => Inside::Map(field),
        };
        Self { facts: field.facts.as_deref(), inside }
    }

    fn of_element(schema: &'a Schema, field: &'a Field) -> Self {
        let facts = field.element.as_deref().map(|element| &element.facts);
        Self { facts, inside: Self::inside(schema, field.ty) }
    }

    fn inside(schema: &'a Schema, ty: Type) -> Inside<'a> {
        match ty {
            Type::Struct(id) if schema.get(id).origin == Origin::GoStruct => Inside::Other,
            Type::Struct(id) => Inside::Object(schema.get(id)),
            Type::Nested(id) => schema.get(id).nested().map_or(Inside::Nothing, |field| match field.shape {
                Shape::One => Inside::Nothing,
                Shape::List => Inside::List(field),
                Shape::Map => Inside::Map(field),
            }),
            _ => Inside::Nothing,
        }
    }

    /// The place of a property; `None` where nothing is said of it.
    pub fn property(self, schema: &'a Schema, name: &str) -> Option<Self> {
        match self.inside {
            Inside::Object(ty) if name == "metadata" && ty.field(name).is_some_and(|field| field.facts.is_none()) => {
                ty.metadata.as_deref().map(Self::of_value)
            }
            Inside::Object(ty) => ty.field(name).map(|field| Self::of_field(schema, field)),
            Inside::Map(field) => Some(Self::of_element(schema, field)),
            Inside::Value(value) => {
                let found = value.properties.binary_search_by(|(known, _)| (**known).cmp(name));
                let own = found.ok().map(|at| &value.properties[at].1);
                own.or(value.additional.as_deref()).map(Self::of_value)
            }
            Inside::List(_) | Inside::Nothing | Inside::Other => None,
        }
    }

    /// The place of the elements of a list.
    pub fn items(self, schema: &'a Schema) -> Option<Self> {
        match self.inside {
            Inside::List(field) => Some(Self::of_element(schema, field)),
            Inside::Value(value) => value.items.as_deref().map(Self::of_value),
            _ => None,
        }
    }
}
