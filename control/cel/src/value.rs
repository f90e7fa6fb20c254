//! Values while an expression runs. Data is looked at where it stands; only what an expression makes is copied.

use crate::authorizer::Authorization;
use crate::decl::{Decl, ListKind, Shape};
use crate::error::EvalError;
use crate::library::{Cidr, Format, Quantity, Semver};
use crate::url::Url;
use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    Timestamp(Timestamp),
    /// The type of that name.
    Type(Arc<str>),
    Optional(Option<Arc<Value<'a>>>),
    List(List<'a>),
    Map(Map<'a>),
    /// An object of the data whose fields are declared.
    Object(&'a JsonMap<String, Json>, &'a Decl),
    /// An object that the expression made.
    Made(Arc<Made<'a>>),
    /// Data that can only be compared.
    Unknown(&'a Json),
    Library(Library<'a>),
}

/// An object that an expression made: its type, and the fields that were given.
#[derive(Clone, Debug)]
pub struct Made<'a> {
    decl: Arc<Decl>,
    fields: BTreeMap<Arc<str>, Value<'a>>,
}

impl<'a> Made<'a> {
    pub(crate) fn new(decl: Arc<Decl>, fields: BTreeMap<Arc<str>, Value<'a>>) -> Self {
        Self { decl, fields }
    }

    /// The name of its type.
    pub fn name(&self) -> &str {
        self.decl.name()
    }

    /// A field that was given.
    pub fn field(&self, name: &str) -> Option<&Value<'a>> {
        self.fields.get(name)
    }

    /// The fields that were given, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.fields.iter().map(|(name, value)| (&**name, value))
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it counts as nothing: `optional.ofNonZeroValue` asks.
    pub(crate) fn is_zero(&self) -> bool {
        self.fields.is_empty() && matches!(self.decl.shape(), Shape::Open)
    }
}

/// A value of one of Kubernetes' libraries.
#[derive(Clone, Debug)]
pub enum Library<'a> {
    Quantity(Quantity),
    Ip(IpAddr),
    Cidr(Cidr),
    Url(Arc<Url>),
    Semver(Arc<Semver>),
    Format(Format),
    Authorization(Arc<Authorization<'a>>),
}

/// A text of the data, or one that was made.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    Data(&'a str),
    Made(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Data(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Made(text.into())
    }
}

/// A list of the data, or one that was made.
#[derive(Clone, Debug)]
pub enum List<'a> {
    Data(&'a [Json], &'a Decl, &'a ListKind),
    Made(Arc<Vec<Value<'a>>>),
}

/// A map of the data, or one that was made.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    Data(&'a JsonMap<String, Json>, &'a Decl),
    Made(Arc<BTreeMap<Key, Value<'a>>>),
}

/// A key of a map; numbers that are equal are one key.
#[derive(Clone, Debug)]
pub enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Arc<str>),
}

impl Key {
    fn number(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some((*value).into()),
            Self::Uint(value) => Some((*value).into()),
            _ => None,
        }
    }

    /// The key as a value.
    pub fn value<'a>(&self) -> Value<'a> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(text) => Value::String(Text::Made(text.clone())),
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Bool(_), _) | (_, Self::String(_)) => Ordering::Less,
            (Self::String(_), _) | (_, Self::Bool(_)) => Ordering::Greater,
            _ => self.number().cmp(&other.number()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

/// The declaration of data of which nothing is known.
pub(crate) fn dynamic() -> &'static Decl {
    static DYNAMIC: std::sync::LazyLock<Arc<Decl>> = std::sync::LazyLock::new(Decl::dynamic);
    &DYNAMIC
}

impl<'a> Value<'a> {
    /// A text.
    pub fn text(text: &'a str) -> Self {
        Self::String(Text::Data(text))
    }

    /// A text that was made.
    pub fn made(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Made(text.into()))
    }

    /// A list that was made.
    pub(crate) fn list(elements: Vec<Value<'a>>) -> Self {
        Self::List(List::Made(Arc::new(elements)))
    }

    /// An optional that holds the value.
    pub(crate) fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// Data without a schema.
    pub fn of_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::text(text),
            Json::Array(all) => Self::List(List::Data(all, dynamic(), &ListKind::Atomic)),
            Json::Object(all) => Self::Map(Map::Data(all, dynamic())),
        }
    }

    /// Data as it is declared.
    pub fn of(json: &'a Json, decl: &'a Decl) -> Result<Self, EvalError> {
        let wrong = |wanted: &str| EvalError::failed(format!("invalid data, expected {wanted}"));
        if json.is_null() && !matches!(decl.shape(), Shape::Dyn | Shape::Any | Shape::Unknown) {
            return match decl.nullable() {
                true => Ok(Self::Null),
                false => Err(EvalError::failed("invalid data, got null for schema with nullable=false")),
            };
        }
        let text = || json.as_str().ok_or_else(|| wrong(&format!("string, got {}", go_type(json))));
        Ok(match decl.shape() {
            Shape::Dyn | Shape::Any => Self::of_json(json),
            Shape::Unknown => Self::Unknown(json),
            Shape::IntOrString => match json {
                Json::String(text) => Self::text(text),
                other => Self::Int(
                    other.as_i64().ok_or_else(|| wrong("XIntOrString value to be either a string or integer"))?,
                ),
            },
            Shape::Bool => Self::Bool(json.as_bool().ok_or_else(|| wrong(&format!("bool, got {}", go_type(json))))?),
            Shape::Int => Self::Int(json.as_i64().ok_or_else(|| wrong(&format!("int, got {}", go_type(json))))?),
            Shape::Double => {
                Self::Double(json.as_f64().ok_or_else(|| wrong(&format!("float, got {}", go_type(json))))?)
            }
            Shape::String => Self::text(text()?),
            Shape::Bytes => Self::Bytes(crate::library::base64(text()?)?.into()),
            Shape::Quantity => Self::Library(Library::Quantity(Quantity::parse(text()?).map_err(EvalError::Failed)?)),
            Shape::Duration => Self::Duration(crate::library::format_duration(text()?)?),
            Shape::Date => Self::Timestamp(crate::library::date(text()?)?),
            Shape::DateTime => Self::Timestamp(crate::library::date_time(text()?)?),
            Shape::List(element, kind) => match json {
                Json::Array(all) => Self::List(List::Data(all, element, kind)),
                _ => return Err(wrong("an array for the provided schema with type=array")),
            },
            Shape::Map(value) => match json {
                Json::Object(all) => Self::Map(Map::Data(all, value)),
                _ => return Err(wrong("a map for the provided schema with type=object")),
            },
            Shape::Object(_) | Shape::Open => match json {
                Json::Object(all) => Self::Object(all, decl),
                _ => return Err(wrong("a map for the provided schema with type=object")),
            },
        })
    }

    /// The name of the value's type, as `type()` and errors show it.
    pub fn type_name(&self) -> Cow<'a, str> {
        Cow::Borrowed(match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Object(_, decl) => decl.name(),
            Self::Made(made) => return Cow::Owned(made.name().to_owned()),
            Self::Unknown(_) => "unknown",
            Self::Library(library) => library.type_name(),
        })
    }

    /// The size that costs are reckoned by: elements, characters, bytes; 1 for all else.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::String(text) => text.chars().count() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Object(data, _) => data.len() as u64,
            Self::Library(library) => library.size(),
            _ => 1,
        }
    }

    /// The bytes that are looked at when the value is.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Object(data, _) => data.len(),
            _ => 1,
        }
    }

    /// The value as a key of a map.
    pub(crate) fn key(&self) -> Result<Key, EvalError> {
        Ok(match self {
            Self::Bool(value) => Key::Bool(*value),
            Self::Int(value) => Key::Int(*value),
            Self::Uint(value) => Key::Uint(*value),
            Self::String(text) => Key::String((**text).into()),
            Self::Double(value) if value.fract() == 0.0 && value.abs() < 9.2e18 => Key::Int(*value as i64),
            other => return Err(EvalError::failed(format!("unsupported key type: {}", other.type_name()))),
        })
    }
}

impl<'a> List<'a> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Data(all, _, _) => all.len(),
            Self::Made(all) => all.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at a place.
    pub fn get(&self, at: usize) -> Option<Result<Value<'a>, EvalError>> {
        match self {
            Self::Data(all, decl, _) => all.get(at).map(|json| Value::of(json, decl)),
            Self::Made(all) => all.get(at).cloned().map(Ok),
        }
    }

    /// The elements in turn.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, EvalError>> + '_ {
        (0..self.len()).map_while(|at| self.get(at))
    }
}

impl<'a> Map<'a> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Data(all, _) => all.len(),
            Self::Made(all) => all.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under a key.
    pub fn get(&self, key: &Value<'_>) -> Option<Result<Value<'a>, EvalError>> {
        match (self, key) {
            (Self::Data(all, decl), Value::String(name)) => all.get(&**name).map(|json| Value::of(json, decl)),
            (Self::Data(..), _) => None,
            (Self::Made(all), key) => all.get(&key.key().ok()?).cloned().map(Ok),
        }
    }

    /// The keys, in order.
    pub fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Self::Data(all, _) => all.keys().map(|key| Value::text(key)).collect(),
            Self::Made(all) => all.keys().map(Key::value).collect(),
        }
    }
}

/// The name that Go has for the type of a JSON value.
pub(crate) fn go_type(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_i64() => "int64",
        Json::Number(_) => "float64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

impl Library<'_> {
    /// The name of the value's type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Url(_) => "kubernetes.URL",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorization(state) => state.type_name(),
        }
    }

    /// The size that costs are reckoned by.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Ip(address) => {
                if address.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            Self::Cidr(cidr) => cidr.size(),
            _ => 1,
        }
    }
}
