//! The words of the table: types, their fields, kinds. [`crate::Schema`] holds them.

use std::borrow::Cow;

use serde_json::Value;

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
