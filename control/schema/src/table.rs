//! The table of types that everything else walks, and its loading.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use sampan_api::meta::GroupVersionKind;

use crate::structural;

/// Text of the table: borrowed from the binary for built-in types, owned for types added at run time.
pub type Text = Cow<'static, str>;

/// The index of a type in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub(crate) u32);

/// What a field, or one element of it, holds.
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

/// How many of its [`Type`] a field holds.
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
}

/// One entry of a protobuf message.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    pub tag: u32,
    pub entry: WireEntry,
}

/// What a tag stands for.
#[derive(Clone, Copy, Debug)]
pub enum WireEntry {
    /// Index into [`TypeDef::fields`].
    Field(u16),
    /// Index into [`TypeDef::messages`]: a message whose fields JSON inlines.
    Inline(u16),
}

/// A struct of the API.
#[derive(Debug)]
pub struct TypeDef {
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
    /// Whether the type has a protobuf form (and a Go struct, with its rules for strategic merge patches). Types that
    /// are described by a structural schema, our own and those of custom resources, have none.
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

/// All types. The built-in one is made once; see [`Schema::builtin`].
#[derive(Debug)]
pub struct Schema {
    types: Vec<TypeDef>,
    kinds: Vec<Kind>,
    by_kind: HashMap<Text, Vec<u32>>,
}

/// Kinds of meta/v1 that every group version registers.
const EVERYWHERE: &[&str] =
    &["CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"];

impl Schema {
    /// The schema of Kubernetes v1.35 and of our own kinds.
    pub fn builtin() -> &'static Schema {
        static BUILTIN: OnceLock<Schema> = OnceLock::new();
        BUILTIN.get_or_init(load)
    }

    pub fn type_of(&self, kind: &GroupVersionKind) -> Option<TypeId> {
        self.find(&kind.group, &kind.version, &kind.kind)
    }

    /// The type of a kind. `DeleteOptions` and its like, and `WatchEvent`, are found in every group version.
    pub fn find(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        let of_name = self.by_kind.get(kind)?;
        let mut candidates = of_name.iter().map(|at| &self.kinds[*at as usize]);
        let exact = candidates.find(|k| k.group == group && k.version == version);
        let found = exact.or_else(|| {
            let meta = EVERYWHERE.contains(&kind) || (group == "meta.k8s.io" && version == "v1");
            of_name.iter().map(|at| &self.kinds[*at as usize]).find(|k| meta && k.group.is_empty() && k.version == "v1")
        });
        found.map(|k| k.type_id)
    }

    pub(crate) fn add_type(&mut self, ty: TypeDef) -> TypeId {
        self.types.push(ty);
        TypeId(self.types.len() as u32 - 1)
    }

    pub(crate) fn add_kind(&mut self, kind: Kind) {
        self.kinds.push(kind);
    }

    fn index(&mut self) {
        self.kinds.sort_by(|a, b| (&a.group, &a.version, &a.kind).cmp(&(&b.group, &b.version, &b.kind)));
        self.by_kind.clear();
        for (at, kind) in (0u32..).zip(&self.kinds) {
            self.by_kind.entry(kind.kind.clone()).or_default().push(at);
        }
    }

    /// All kinds, ordered by group, version and kind.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    pub fn types(&self) -> impl Iterator<Item = (TypeId, &TypeDef)> {
        self.types.iter().enumerate().map(|(at, ty)| (TypeId(at as u32), ty))
    }

    pub fn get(&self, id: TypeId) -> &TypeDef {
        &self.types[id.0 as usize]
    }

    pub fn fields(&self, id: TypeId) -> &[Field] {
        &self.get(id).fields
    }

    pub fn field(&self, id: TypeId, json_name: &str) -> Option<&Field> {
        self.get(id).field(json_name)
    }

    /// The Go type of a whole field, as JSON errors print it: `map[string]string`, `[]v1.Container`, `int32`.
    pub fn go_type(&self, field: &Field) -> String {
        if !field.go_type.is_empty() {
            return field.go_type.to_string();
        }
        let element = self.go_element_type(field);
        match field.shape {
            Shape::One => element,
            Shape::List => format!("[]{element}"),
            Shape::Map => format!("map[string]{element}"),
        }
    }

    /// The Go type of one element of a list or map field (of the field itself when it is neither).
    pub fn go_element_type(&self, field: &Field) -> String {
        let named = match field.shape {
            Shape::One => Some(&*field.go_type),
            Shape::List => field.go_type.strip_prefix("[]"),
            Shape::Map => field.go_type.strip_prefix("map[string]"),
        };
        if let Some(named) = named.filter(|n| !n.is_empty()) {
            return named.to_string();
        }
        match field.ty {
            Type::String => "string".into(),
            Type::Bool => "bool".into(),
            Type::Int32 => "int32".into(),
            Type::Int64 => "int64".into(),
            Type::Double => "float64".into(),
            Type::Bytes => "[]uint8".into(),
            Type::Struct(id) => self.get(id).go_name(),
            Type::Quantity => "resource.Quantity".into(),
            Type::Time => "v1.Time".into(),
            Type::MicroTime => "v1.MicroTime".into(),
            Type::Duration => "v1.Duration".into(),
            Type::IntOrString => "intstr.IntOrString".into(),
            Type::FieldsV1 => "v1.FieldsV1".into(),
            Type::Raw => "runtime.RawExtension".into(),
            Type::Json => "v1.JSON".into(),
            Type::SchemaOrArray(_) => "v1.JSONSchemaPropsOrArray".into(),
            Type::SchemaOrBool(_) => "v1.JSONSchemaPropsOrBool".into(),
            Type::SchemaOrStrings(_) => "v1.JSONSchemaPropsOrStringArray".into(),
            Type::Strings => "[]string".into(),
        }
    }
}

/// Reads the words that `build/emit.rs` writes.
struct Words {
    words: std::slice::ChunksExact<'static, u8>,
    text: &'static str,
}

impl Words {
    /// The next word. The table is made by our own build script: a short one is a broken build, not input.
    fn number(&mut self) -> u32 {
        let word = self.words.next().expect("schema.bin is whole");
        u32::from_le_bytes([word[0], word[1], word[2], word[3]])
    }

    fn text(&mut self) -> Text {
        let (at, len) = (self.number() as usize, self.number() as usize);
        Cow::Borrowed(&self.text[at..at + len])
    }

    fn list<T>(&mut self, one: impl Fn(&mut Words) -> T) -> Vec<T> {
        (0..self.number()).map(|_| one(self)).collect()
    }

    fn field(&mut self) -> Field {
        let (json_name, description, go_type) = (self.text(), self.text(), self.text());
        let (code, target) = (self.number(), TypeId(self.number()));
        let ty = match code {
            0 => Type::String,
            1 => Type::Bool,
            2 => Type::Int32,
            3 => Type::Int64,
            4 => Type::Double,
            5 => Type::Bytes,
            6 => Type::Struct(target),
            7 => Type::Quantity,
            8 => Type::Time,
            9 => Type::MicroTime,
            10 => Type::Duration,
            11 => Type::IntOrString,
            12 => Type::FieldsV1,
            13 => Type::Raw,
            14 => Type::Json,
            15 => Type::SchemaOrArray(target),
            16 => Type::SchemaOrBool(target),
            17 => Type::SchemaOrStrings(target),
            18 => Type::Strings,
            other => unreachable!("schema.bin: type code {other}"),
        };
        let shape = match self.number() {
            0 => Shape::One,
            1 => Shape::List,
            _ => Shape::Map,
        };
        let flags = self.number();
        let flag = |bit: u32| flags & (1 << bit) != 0;
        let list_type = match self.number() {
            1 => Some(ListType::Atomic),
            2 => Some(ListType::Set),
            3 => Some(ListType::Map),
            _ => None,
        };
        let (merge_key, default) = (self.text(), self.text());
        Field {
            json_name,
            description,
            ty,
            shape,
            required: flag(0),
            go_type,
            pointer: flag(1),
            emit_empty: flag(2),
            omit_zero: flag(3),
            by_value: flag(4),
            keep_empty: false,
            list_type,
            map_keys: self.list(Words::text),
            atomic: flag(5),
            patch: Patch { merge: flag(6), replace: flag(7), retain_keys: flag(8) },
            merge_key,
            default,
        }
    }

    fn type_def(&mut self) -> TypeDef {
        let (package, name, description) = (self.text(), self.text(), self.text());
        let atomic = self.number() != 0;
        let fields = self.list(Words::field);
        let messages = self.list(|words| {
            words.list(|words| {
                let (tag, inline, at) = (words.number(), words.number(), words.number() as u16);
                Wire { tag, entry: if inline == 0 { WireEntry::Field(at) } else { WireEntry::Inline(at) } }
            })
        });
        let written = |f: &Field| f.emit_empty || (f.by_value && f.shape == Shape::One && !f.omit_zero);
        let always = (0u16..).zip(&fields).filter(|(_, f)| written(f)).map(|(at, _)| at).collect();
        TypeDef { package, name, description, atomic, fields, messages, always }
    }
}

fn load() -> Schema {
    let mut words = Words {
        words: include_bytes!(concat!(env!("OUT_DIR"), "/schema.bin")).chunks_exact(4),
        text: include_str!(concat!(env!("OUT_DIR"), "/schema.txt")),
    };
    let types = words.list(Words::type_def);
    let kinds = words.list(|words| Kind {
        group: words.text(),
        version: words.text(),
        kind: words.text(),
        type_id: TypeId(words.number()),
    });
    let mut schema = Schema { types, kinds, by_kind: HashMap::new() };
    structural::add_own(&mut schema);
    schema.index();
    schema
}
