//! The words of the table: types, their fields, kinds. [`crate::Schema`] holds them.

use std::borrow::Cow;

use serde_json::Value;

use crate::pattern::Pattern;

/// Text of the table: borrowed from the binary for built-in types, owned for types added at run time.
pub type Text = Cow<'static, str>;

/// The index of a type in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub(crate) u32);

/// The type of a field, or of one element of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    /// Base64 text in JSON.
    Bytes,
    Struct(TypeId),
    Quantity,
    /// RFC 3339 in UTC, seconds.
    Time,
    /// RFC 3339 in UTC, microseconds.
    MicroTime,
    /// Go's duration text, such as `1m30s`.
    Duration,
    IntOrString,
    /// A tree of its own, of which the schema knows nothing: `fieldsV1`.
    FieldsV1,
    /// An object of any kind: `runtime.RawExtension`.
    Raw,
    /// Any JSON: `apiextensions.JSON`.
    Json,
    /// `JSONSchemaPropsOrArray`, `OrBool`, `OrStringArray`, with JSONSchemaProps itself.
    SchemaOrArray(TypeId),
    SchemaOrBool(TypeId),
    SchemaOrStrings(TypeId),
    /// A list of strings that protobuf wraps into a message: `Verbs`, `ExtraValue`.
    Strings,
    /// A list or map within a list or map: described by the one field, without a name, of that type.
    Nested(TypeId),
}

/// The number of values of its [`Type`] that a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    One,
    List,
    /// From strings.
    Map,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    Atomic,
    Set,
    Map,
}

/// `x-kubernetes-patch-strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub merge: bool,
    pub replace: bool,
    pub retain_keys: bool,
}

/// One field of a type, by its JSON name.
#[derive(Clone, Debug)]
pub struct Field {
    pub json_name: Text,
    pub description: Text,
    pub ty: Type,
    pub shape: Shape,
    /// Listed under `required` in OpenAPI.
    pub required: bool,
    /// The field's Go type where its schema does not tell it, as in `v1.RestartPolicy`; else empty.
    pub go_type: Text,
    /// The Go structs, each embedded in the one before and the first in the type's own, that the field is one of:
    /// `VolumeSource`; else empty.
    pub inlined_from: Text,
    /// A scalar behind a pointer in Go: its zero value is not the same as its absence.
    pub pointer: bool,
    /// Written even when empty (no `omitempty`).
    pub emit_empty: bool,
    /// `omitzero`.
    pub omit_zero: bool,
    /// A struct held by value in Go: always written.
    pub by_value: bool,
    /// Empty values stay as they were sent (types that no Go struct stands behind).
    pub keep_empty: bool,
    pub list_type: Option<ListType>,
    /// `x-kubernetes-list-map-keys`.
    pub map_keys: Vec<Text>,
    /// The field is replaced whole by appliers (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    pub patch: Patch,
    /// `x-kubernetes-patch-merge-key`; empty if none.
    pub merge_key: Text,
    /// The default as JSON where the sources declare one (`+default`); empty if none. See [`crate::default`].
    pub default: Text,
    /// The values that the field, or each element of it, may have (`enum`), in the order in which they are listed; any if
    /// empty.
    pub allowed: Vec<Value>,
    /// The rest of what a structural schema says of the field's value.
    pub facts: Option<Box<Facts>>,
    /// The same of each element of a list or map.
    pub element: Option<Box<Element>>,
}

/// What a structural schema says of each element of a list or map.
#[derive(Clone, Debug, Default)]
pub struct Element {
    /// What an element's `default` is, as JSON; empty if none.
    pub default: Text,
    /// For who reads the schema.
    pub description: Text,
    /// The rest of what is said of it.
    pub facts: Facts,
    /// Nothing at all is said of it (`additionalProperties: true`): null is a value as good as others.
    pub open: bool,
}

/// What a structural schema says of a value, its type and what stands below it apart.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `type`; empty if none is named.
    pub json_type: Text,
    /// `null` is a value.
    pub nullable: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded: bool,
    /// `None`: there is nothing to check.
    pub checks: Option<Box<Checks>>,
    /// What is there for who reads the schema.
    pub notes: Option<Box<Notes>>,
    /// `x-kubernetes-validations` as it stands: a list of rules in CEL.
    pub rules: Vec<Value>,
}

impl Facts {
    /// Of a value of which nothing is said.
    pub const NONE: Self = Self {
        json_type: Cow::Borrowed(""),
        nullable: false,
        int_or_string: false,
        preserve_unknown: false,
        embedded: false,
        checks: None,
        notes: None,
        rules: Vec::new(),
    };
}

impl Checks {
    /// No checks.
    pub const NONE: Self = Self {
        format: Cow::Borrowed(""),
        allowed: Vec::new(),
        maximum: None,
        exclusive_maximum: false,
        minimum: None,
        exclusive_minimum: false,
        multiple_of: None,
        max_length: None,
        min_length: None,
        pattern: None,
        max_items: None,
        min_items: None,
        unique_items: false,
        max_properties: None,
        min_properties: None,
        required: Vec::new(),
        all_of: Vec::new(),
        any_of: Vec::new(),
        one_of: Vec::new(),
        not: None,
    };

    /// Whether other schemas are to hold, or not to hold, as well.
    pub(crate) fn combines(&self) -> bool {
        !(self.all_of.is_empty() && self.any_of.is_empty() && self.one_of.is_empty() && self.not.is_none())
    }
}

/// What a schema's node tells its readers besides the description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// `title`.
    pub title: Text,
    /// `example`.
    pub example: Option<Value>,
    /// `externalDocs`.
    pub external_docs: Option<Value>,
}

/// The value validations of a schema's node.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// As it stands in the schema, also where it is none that is checked.
    pub format: Text,
    /// `enum`.
    pub allowed: Vec<Value>,
    /// Of a number.
    pub maximum: Option<f64>,
    /// The number is less than the maximum.
    pub exclusive_maximum: bool,
    /// Of a number.
    pub minimum: Option<f64>,
    /// The number is greater than the minimum.
    pub exclusive_minimum: bool,
    /// The number is a multiple of it.
    pub multiple_of: Option<f64>,
    /// In characters.
    pub max_length: Option<i64>,
    /// In characters.
    pub min_length: Option<i64>,
    /// What a text matches.
    pub pattern: Option<Pattern>,
    /// Of a list.
    pub max_items: Option<i64>,
    /// Of a list.
    pub min_items: Option<i64>,
    /// `uniqueItems`, which definitions may not set.
    pub unique_items: bool,
    /// Of an object or map.
    pub max_properties: Option<i64>,
    /// Of an object or map.
    pub min_properties: Option<i64>,
    /// Members that an object must have.
    pub required: Vec<Text>,
    /// Schemas that all hold.
    pub all_of: Vec<ValueSchema>,
    /// Schemas of which one or more hold.
    pub any_of: Vec<ValueSchema>,
    /// Schemas of which exactly one holds.
    pub one_of: Vec<ValueSchema>,
    /// A schema that does not hold.
    pub not: Option<Box<ValueSchema>>,
}

/// A schema that only checks: below `allOf`, `anyOf`, `oneOf` and `not`, where nothing new is described, and for metadata,
/// whose type is known.
#[derive(Clone, Debug, Default)]
pub struct ValueSchema {
    /// For who reads the schema.
    pub description: Text,
    /// Its checks, and the type that it names.
    pub facts: Facts,
    /// By name.
    pub properties: Vec<(Text, ValueSchema)>,
    /// Of each element of a list.
    pub items: Option<Box<ValueSchema>>,
    /// Of each member that is no property.
    pub additional: Option<Box<ValueSchema>>,
}

/// One entry of a protobuf message.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    pub tag: u32,
    pub entry: WireEntry,
}

/// The meaning of a tag.
#[derive(Clone, Copy, Debug)]
pub enum WireEntry {
    /// Index into [`TypeDef::fields`].
    Field(u16),
    /// Index into [`TypeDef::messages`]: a message whose fields JSON inlines.
    Inline(u16),
}

/// The kind of source that describes a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A struct of Kubernetes' Go sources, with Go's rules for what is written and for strategic merge patches.
    GoStruct,
    /// A structural schema: our own kinds and custom resources. Such a type has no strategic merge patch.
    Structural,
}

/// A struct of the API.
#[derive(Debug)]
pub struct TypeDef {
    pub origin: Origin,
    /// Such as `api/core/v1`, as the protobuf packages are called below `k8s.io`.
    pub package: Text,
    /// Go's name.
    pub name: Text,
    pub description: Text,
    /// Replaced whole by appliers, wherever it stands (`+structType=atomic`).
    pub atomic: bool,
    /// Fields that are not listed are kept as they are.
    pub preserve_unknown: bool,
    /// Fields that are not listed are refused in what is applied (`additionalProperties: false`); elsewhere they are dropped.
    pub closed: bool,
    /// An object of some kind, with the type and metadata of one.
    pub embedded: bool,
    /// What a structural schema says of the whole value, where it is an object of its own: of others their field says it.
    pub facts: Option<Box<Facts>>,
    /// Checks of `metadata` that a structural schema adds to its type.
    pub metadata: Option<Box<ValueSchema>>,
    /// In the order of `json_name`.
    pub fields: Vec<Field>,
    /// By tag. The first is the type's own message.
    pub messages: Vec<Vec<Wire>>,
    /// Fields that Go writes whether set or not: indexes into `fields`.
    pub always: Vec<u16>,
}

impl TypeDef {
    /// Whether the type has a protobuf form.
    pub fn has_protobuf(&self) -> bool {
        !self.messages.is_empty()
    }

    /// The field that describes a list or map within another: [`Type::Nested`].
    pub fn nested(&self) -> Option<&Field> {
        self.fields.first().filter(|field| field.json_name.is_empty())
    }

    /// The field of a JSON name. Names are case-sensitive.
    pub fn field(&self, json_name: &str) -> Option<&Field> {
        self.position(json_name).map(|at| &self.fields[at])
    }

    pub(crate) fn position(&self, json_name: &str) -> Option<usize> {
        self.fields.binary_search_by(|f| f.json_name.as_bytes().cmp(json_name.as_bytes())).ok()
    }

    /// The name under which OpenAPI lists the type, such as `io.k8s.api.core.v1.Pod`.
    pub fn openapi_name(&self) -> String {
        let dotted = self.package.replace('/', ".").replace('_', "-");
        format!("io.k8s.{dotted}.{}", self.name)
    }

    /// The type as Go prints it: `v1.PodSpec`.
    pub fn go_name(&self) -> String {
        let package = self.package.rsplit('/').next().unwrap_or_default();
        format!("{package}.{}", self.name)
    }
}

/// A kind and its type.
#[derive(Clone, Debug)]
pub struct Kind {
    pub group: Text,
    pub version: Text,
    pub kind: Text,
    pub type_id: TypeId,
}
