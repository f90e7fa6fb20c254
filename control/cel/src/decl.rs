//! What the checker and the evaluator know of data: declarations made of structural schemas, or by hand.

use crate::escape::escape;
use crate::limits::REQUEST_BYTES_MAX;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The declaration of a value.
#[derive(Debug)]
pub struct Decl {
    shape: Shape,
    name: Arc<str>,
    nullable: bool,
    /// The most elements, characters or entries that a request has room for; 0 where values have one size.
    max: u64,
    /// The least bytes that a value takes in JSON.
    bytes: u64,
}

/// What sort of value is declared.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything, read as JSON.
    Dyn,
    /// One value of any type.
    Any,
    /// Data without a schema: it can be compared, and nothing else.
    Unknown,
    IntOrString,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Duration,
    Date,
    DateTime,
    /// An amount, which a library knows.
    Quantity,
    List(Arc<Decl>, ListKind),
    Map(Arc<Decl>),
    Object(Fields),
    /// An object of which any field is anything.
    Open,
}

/// How lists are compared and joined: `x-kubernetes-list-type`.
#[derive(Clone, Debug)]
pub enum ListKind {
    Atomic,
    Set,
    /// By these properties.
    Map(Arc<[String]>),
}

/// The fields of an object.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// By the identifier under which they are used.
    exposed: BTreeMap<Arc<str>, Field>,
    /// By the name of the property, also those that cannot be used.
    by_property: BTreeMap<Arc<str>, Arc<Decl>>,
}

/// A field of an object.
#[derive(Clone, Debug)]
pub struct Field {
    property: Arc<str>,
    decl: Arc<Decl>,
}

impl Field {
    /// The name in the data.
    pub fn property(&self) -> &str {
        &self.property
    }

    /// What is there.
    pub fn decl(&self) -> &Arc<Decl> {
        &self.decl
    }
}

const MIN_STRING_BYTES: u64 = 2;
const DURATION_BYTES: (u64, u64) = (3, 32);
const DATE_BYTES: (u64, u64) = (12, 12);
const DATE_TIME_BYTES: (u64, u64) = (21, 32);
/// Characters of the longest text that a request has room for.
const TEXT_MAX: u64 = REQUEST_BYTES_MAX - 2;

impl Decl {
    fn new(shape: Shape, name: &str, bytes: u64, max: u64) -> Self {
        Self { shape, name: name.into(), nullable: false, max, bytes }
    }

    /// Anything.
    pub fn dynamic() -> Arc<Self> {
        Arc::new(Self::new(Shape::Dyn, "dyn", 1, TEXT_MAX))
    }

    /// Texts.
    pub fn text() -> Arc<Self> {
        Arc::new(Self::new(Shape::String, "string", MIN_STRING_BYTES, TEXT_MAX))
    }

    /// Keys of maps.
    pub(crate) fn key() -> Arc<Self> {
        Arc::new(Self::new(Shape::String, "string", MIN_STRING_BYTES, 0))
    }

    /// Truth values.
    pub fn boolean() -> Arc<Self> {
        Arc::new(Self::new(Shape::Bool, "bool", 4, 0))
    }

    /// Integers.
    pub fn integer() -> Arc<Self> {
        Arc::new(Self::new(Shape::Int, "int", 1, 0))
    }

    /// Numbers.
    pub fn number() -> Arc<Self> {
        Arc::new(Self::new(Shape::Double, "double", 1, 0))
    }

    /// Points of time.
    pub fn time() -> Arc<Self> {
        Arc::new(Self::new(Shape::DateTime, "timestamp", DATE_TIME_BYTES.0, DATE_TIME_BYTES.1))
    }

    /// Bytes.
    pub fn bytes() -> Arc<Self> {
        Arc::new(Self::new(Shape::Bytes, "bytes", MIN_STRING_BYTES, TEXT_MAX))
    }

    /// An integer or a text.
    pub fn int_or_string() -> Arc<Self> {
        Arc::new(Self::new(Shape::IntOrString, "dyn", 1, TEXT_MAX))
    }

    /// One value of any type, of at most so many characters.
    pub(crate) fn any(max: u64) -> Arc<Self> {
        Arc::new(Self::new(Shape::Any, "any", 1, max))
    }

    /// Amounts.
    pub(crate) fn quantity() -> Arc<Self> {
        Arc::new(Self::new(Shape::Quantity, "kubernetes.Quantity", MIN_STRING_BYTES, TEXT_MAX))
    }

    /// The same, of at most so many elements, characters or entries.
    pub(crate) fn at_most(self: &Arc<Self>, max: u64) -> Arc<Self> {
        let shape = match &self.shape {
            Shape::Bool => Shape::Bool,
            Shape::String => Shape::String,
            Shape::Map(value) => Shape::Map(value.clone()),
            _ => return self.clone(),
        };
        Arc::new(Self { shape, name: self.name.clone(), nullable: self.nullable, max, bytes: self.bytes })
    }

    /// What any field of a map is whose values are each of any type.
    pub(crate) fn any_value(&self) -> Option<&Arc<Decl>> {
        match &self.shape {
            Shape::Map(value) if matches!(value.shape, Shape::Any) => Some(value),
            _ => None,
        }
    }

    /// Lists of these.
    pub fn list(element: Arc<Self>) -> Arc<Self> {
        let max = items_max(&element);
        Arc::new(Self::new(Shape::List(element, ListKind::Atomic), "list", 2, max))
    }

    /// Maps of texts to these.
    pub fn map(value: Arc<Self>) -> Arc<Self> {
        let max = entries_max(&value);
        Arc::new(Self::new(Shape::Map(value), "map", 2, max))
    }

    /// Objects of a type of that name, with these properties.
    pub fn object<'a>(name: &str, fields: impl IntoIterator<Item = (&'a str, Arc<Self>)>) -> Arc<Self> {
        let mut all = Fields::default();
        for (property, decl) in fields {
            all.add(property, Some(decl));
        }
        Arc::new(Self::new(Shape::Object(all), name, 2, 0))
    }

    /// Objects of a type of that name, of which any field is anything.
    pub(crate) fn open(name: &str) -> Arc<Self> {
        Arc::new(Self::new(Shape::Open, name, 2, 0))
    }

    /// What a structural schema describes, under that name; `None` where expressions can use nothing of it.
    pub fn of_schema(schema: &Json, name: &str, root: Root) -> Option<Arc<Self>> {
        let nullable = schema["nullable"] == true;
        let max_length = || schema["maxLength"].as_i64().map(|max| max.max(0) as u64);
        if schema["x-kubernetes-int-or-string"] == true {
            let max = max_length().map_or(TEXT_MAX, |max| max.saturating_mul(4));
            return Some(Arc::new(Self { nullable, ..Self::new(Shape::IntOrString, "dyn", 1, max) }));
        }
        let with_root = matches!(root, Root::Resource).then(|| with_metadata(schema));
        let schema = with_root.as_ref().unwrap_or(schema);
        let decl = match schema["type"].as_str()? {
            "array" => Self::array_of_schema(schema, name)?,
            "object" => Self::object_of_schema(schema, name)?,
            "string" => {
                let text = |shape, kind, (bytes, max)| Self::new(shape, kind, bytes, max);
                match schema["format"].as_str() {
                    Some("byte") => text(Shape::Bytes, "bytes", (MIN_STRING_BYTES, max_length().unwrap_or(TEXT_MAX))),
                    Some("duration") => text(Shape::Duration, "duration", DURATION_BYTES),
                    Some("date") => text(Shape::Date, "timestamp", DATE_BYTES),
                    Some("date-time") => text(Shape::DateTime, "timestamp", DATE_TIME_BYTES),
                    _ => {
                        let longest = schema["enum"].as_array().filter(|all| !all.is_empty());
                        let longest =
                            longest.map(|all| all.iter().filter_map(Json::as_str).map(str::len).max().unwrap_or(0));
                        let max = max_length().map(|max| max.saturating_mul(4));
                        let max = max.or(longest.map(|max| max as u64)).unwrap_or(TEXT_MAX);
                        text(Shape::String, "string", (MIN_STRING_BYTES, max))
                    }
                }
            }
            "boolean" => Self::new(Shape::Bool, "bool", 4, 0),
            "number" => Self::new(Shape::Double, "double", 1, 0),
            "integer" => Self::new(Shape::Int, "int", 1, 0),
            _ => return None,
        };
        Some(Arc::new(Self { nullable, ..decl }))
    }

    fn array_of_schema(schema: &Json, name: &str) -> Option<Self> {
        let items = schema.get("items")?;
        let element = Self::of_schema(items, &format!("{name}.@idx"), Root::of(items))?;
        let max = schema["maxItems"].as_i64().map(|max| max.max(0) as u64);
        let max = max.unwrap_or_else(|| items_max(&element));
        let keys = || schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Json::as_str);
        let kind = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Map(keys().map(str::to_owned).collect()),
            _ => ListKind::Atomic,
        };
        Some(Self::new(Shape::List(element, kind), "list", 2, max))
    }

    fn object_of_schema(schema: &Json, name: &str) -> Option<Self> {
        let values = &schema["additionalProperties"];
        if values.is_object() {
            let value = Self::of_schema(values, &format!("{name}.@elem"), Root::of(values))?;
            let max = schema["maxProperties"].as_i64().map(|max| max.max(0) as u64);
            let max = max.unwrap_or_else(|| entries_max(&value));
            return Some(Self::new(Shape::Map(value), "map", 2, max));
        }
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let mut fields = Fields::default();
        let mut bytes = 2u64;
        for (property, inner) in schema["properties"].as_object().into_iter().flatten() {
            let decl = Self::of_schema(inner, &format!("{name}.{property}"), Root::of(inner));
            if let Some(decl) = &decl
                && required.contains(&property.as_str())
                && inner["default"].is_null()
            {
                bytes = bytes.saturating_add(property.len() as u64 + decl.bytes + 4);
            }
            fields.add(property, decl);
        }
        Some(Self::new(Shape::Object(fields), name, bytes, 0))
    }

    /// The name of the type.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn nullable(&self) -> bool {
        self.nullable
    }

    /// The most elements, characters or entries; 0 where values have one size.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The most values of this declaration that one request has room for.
    pub fn cardinality_max(&self) -> u64 {
        REQUEST_BYTES_MAX / (self.bytes + 1)
    }

    /// The field under an identifier.
    pub fn field(&self, name: &str) -> Option<&Field> {
        match &self.shape {
            Shape::Object(fields) => {
                let reserved = || fields.exposed.get(escape(name).filter(|escaped| *escaped != name)?.as_ref());
                fields.exposed.get(name).or_else(reserved)
            }
            _ => None,
        }
    }

    /// What a property of the data is.
    pub fn property(&self, name: &str) -> Option<&Arc<Decl>> {
        match &self.shape {
            Shape::Object(fields) => fields.by_property.get(name),
            Shape::Map(value) => Some(value),
            _ => None,
        }
    }

    /// What the elements of a list, or the values of a map, are.
    pub fn element(&self) -> Option<&Arc<Decl>> {
        match &self.shape {
            Shape::List(element, _) | Shape::Map(element) => Some(element),
            _ => None,
        }
    }

    /// The identifiers under which properties are used.
    pub(crate) fn identifiers(&self) -> impl Iterator<Item = (&Arc<str>, &Field)> {
        match &self.shape {
            Shape::Object(fields) => Some(fields.exposed.iter()),
            _ => None,
        }
        .into_iter()
        .flatten()
    }
}

impl Fields {
    fn add(&mut self, property: &str, decl: Option<Arc<Decl>>) {
        let name: Arc<str> = property.into();
        if let (Some(decl), Some(identifier)) = (&decl, escape(property)) {
            let field = Field { property: name.clone(), decl: decl.clone() };
            self.exposed.insert(identifier.as_ref().into(), field);
        }
        let decl = decl.unwrap_or_else(|| Arc::new(Decl::new(Shape::Unknown, "unknown", 1, 0)));
        self.by_property.insert(name, decl);
    }
}

/// Whether a schema is that of a whole resource, which has apiVersion, kind and metadata in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    Resource,
    Part,
}

impl Root {
    fn of(schema: &Json) -> Self {
        if schema["x-kubernetes-embedded-resource"] == true { Self::Resource } else { Self::Part }
    }
}

/// The schema with what every resource has.
fn with_metadata(schema: &Json) -> Json {
    let mut whole = schema.as_object().cloned().unwrap_or_default();
    whole.insert("type".into(), "object".into());
    let text = || serde_json::json!({"type": "string"});
    let mut properties = match whole.remove("properties") {
        Some(Json::Object(properties)) => properties,
        _ => Map::new(),
    };
    for name in ["apiVersion", "kind"] {
        if properties.get(name).is_none_or(|one| one["type"] != "string") {
            properties.insert(name.into(), text());
        }
    }
    let metadata = properties.entry("metadata").or_insert(Json::Null);
    let named = |metadata: &Json, name: &str| metadata["properties"][name]["type"] == "string";
    if !named(metadata, "name") || !named(metadata, "generateName") {
        *metadata = serde_json::json!({
            "type": "object",
            "properties": {"name": text(), "generateName": text()},
        });
    }
    whole.insert("properties".into(), Json::Object(properties));
    Json::Object(whole)
}

/// The most elements of a list that a request has room for.
fn items_max(element: &Decl) -> u64 {
    (REQUEST_BYTES_MAX - 2) / (element.bytes + 1)
}

/// The most entries of a map that a request has room for.
fn entries_max(value: &Decl) -> u64 {
    (REQUEST_BYTES_MAX - 2) / (value.bytes + 6)
}
