//! The types of expressions.

use crate::decl::{Decl, Shape};
use std::fmt;
use std::sync::Arc;

/// A type, as the checker knows it.
#[derive(Clone, Debug)]
pub enum Type {
    /// Anything: checked when the expression runs.
    Dyn,
    /// A value of any one type: as the one before, but that it is no range of a macro.
    Any,
    /// Of an expression that has an error.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    /// The type of a type.
    Type(Arc<Type>),
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Optional(Arc<Type>),
    /// An object whose fields are known.
    Object(Arc<Decl>),
    /// A type of a library, by its name: `kubernetes.Quantity`.
    Library(Arc<str>),
    /// A type that is still to be found; named by declarations, numbered by the checker.
    Param(Arc<str>),
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Type(a), Self::Type(b))
            | (Self::List(a), Self::List(b))
            | (Self::Optional(a), Self::Optional(b)) => a == b,
            (Self::Map(a, b), Self::Map(c, d)) => a == c && b == d,
            (Self::Object(a), Self::Object(b)) => Arc::ptr_eq(a, b) || a.name() == b.name(),
            (Self::Library(a), Self::Library(b)) | (Self::Param(a), Self::Param(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Type {
    /// The name by which refusals call it.
    pub(crate) fn kubernetes_name(&self) -> String {
        match self {
            Self::Null => "null_type".to_owned(),
            other => other.to_string(),
        }
    }

    /// A list of these.
    pub fn list(element: Type) -> Self {
        Self::List(Arc::new(element))
    }

    /// A map from texts to these.
    pub fn map(value: Type) -> Self {
        Self::Map(Arc::new(Self::String), Arc::new(value))
    }

    /// One of these, or none.
    pub fn optional(inner: Type) -> Self {
        Self::Optional(Arc::new(inner))
    }

    /// A type by the text that [`fmt::Display`] gives it; single capital letters are parameters.
    pub(crate) fn parse(text: &str) -> Type {
        let (name, inner) = match text.split_once('(') {
            Some((name, inner)) => (name, split(inner.strip_suffix(')').unwrap_or(inner))),
            None => (text, Vec::new()),
        };
        let mut inner = inner.into_iter().map(|text| Arc::new(Self::parse(text)));
        let mut first = || inner.next().unwrap_or_else(|| Arc::new(Self::Dyn));
        match name {
            "dyn" => Self::Dyn,
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "duration" => Self::Duration,
            "timestamp" => Self::Timestamp,
            "list" => Self::List(first()),
            "optional_type" => Self::Optional(first()),
            "type" => Self::Type(first()),
            "map" => {
                let key = first();
                Self::Map(key, first())
            }
            param if param.len() == 1 => Self::Param(param.into()),
            library => Self::Library(library.into()),
        }
    }

    /// Whether null may stand where this type is wanted.
    pub(crate) fn takes_null(&self) -> bool {
        matches!(
            self,
            Self::Null | Self::Object(_) | Self::Library(_) | Self::Optional(_) | Self::Duration | Self::Timestamp
        )
    }

    /// Whether values have one size, so that looking at one costs one.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Self::Bool | Self::Double | Self::Duration | Self::Int | Self::Timestamp | Self::Uint => true,
            Self::Optional(inner) => inner.is_scalar(),
            _ => false,
        }
    }
}

/// The parts between commas that are in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dyn => "dyn",
            Self::Any => "any",
            Self::Error => "!error!",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Timestamp => "timestamp",
            Self::Type(inner) => return write!(f, "type({inner})"),
            Self::List(inner) => return write!(f, "list({inner})"),
            Self::Map(key, value) => return write!(f, "map({key}, {value})"),
            Self::Optional(inner) => return write!(f, "optional_type({inner})"),
            Self::Object(decl) => decl.name(),
            Self::Library(name) | Self::Param(name) => name,
        })
    }
}

impl Decl {
    /// The type of values.
    pub fn ty(self: &Arc<Self>) -> Type {
        match self.shape() {
            Shape::Dyn | Shape::Unknown | Shape::IntOrString => Type::Dyn,
            Shape::Any => Type::Any,
            Shape::Bool => Type::Bool,
            Shape::Int => Type::Int,
            Shape::Double => Type::Double,
            Shape::String => Type::String,
            Shape::Bytes => Type::Bytes,
            Shape::Duration => Type::Duration,
            Shape::Date | Shape::DateTime => Type::Timestamp,
            Shape::Quantity => Type::Library(self.name().into()),
            Shape::List(element, _) => Type::list(element.ty()),
            Shape::Map(value) => Type::map(value.ty()),
            Shape::Object(_) | Shape::Open => Type::Object(self.clone()),
        }
    }

    /// The type of the field under an identifier; `None`: there is no such field.
    pub(crate) fn field_type(&self, name: &str) -> Option<Type> {
        match self.shape() {
            Shape::Open => Some(Type::Dyn),
            _ => Some(self.field(name)?.decl().ty()),
        }
    }
}
