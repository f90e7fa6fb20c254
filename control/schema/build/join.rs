//! The join: messages give tags, wire types and markers; structs give JSON names, required fields and descriptions.

use std::collections::HashMap;

use crate::forms::{Form, Forms, GoType};
use crate::openapi::{Struct, Structs, fold};
use crate::protobuf::{Field as PbField, Message, Messages, Shape, Wire};

/// The codes that `src/table.rs` reads; keep both lists in step.
const SCALARS: &[(&str, &str, u32)] = &[
    ("apimachinery/pkg/api/resource", "Quantity", 7),
    ("apimachinery/pkg/apis/meta/v1", "Time", 8),
    ("apimachinery/pkg/apis/meta/v1", "MicroTime", 9),
    ("apimachinery/pkg/apis/meta/v1", "Duration", 10),
    ("apimachinery/pkg/util/intstr", "IntOrString", 11),
    ("apimachinery/pkg/apis/meta/v1", "FieldsV1", 12),
    ("apimachinery/pkg/runtime", "RawExtension", 13),
    ("apiextensions_apiserver/pkg/apis/apiextensions/v1", "Json", 14),
    ("apiextensions_apiserver/pkg/apis/apiextensions/v1", "JsonSchemaPropsOrArray", 15),
    ("apiextensions_apiserver/pkg/apis/apiextensions/v1", "JsonSchemaPropsOrBool", 16),
    ("apiextensions_apiserver/pkg/apis/apiextensions/v1", "JsonSchemaPropsOrStringArray", 17),
    ("apimachinery/pkg/apis/meta/v1", "Verbs", 18),
    ("api/authentication/v1", "ExtraValue", 18),
    ("api/authorization/v1", "ExtraValue", 18),
    ("api/certificates/v1", "ExtraValue", 18),
];
const STRUCT: u32 = 6;

/// JSON names that lowerCamel does not give, for messages that k8s-openapi has no type for.
const JSON_NAMES: &[(&str, &str)] = &[
    ("insecure_skip_tls_verify_backend", "insecureSkipTLSVerifyBackend"),
    ("dry_run", "dryRun"),
    ("user_info", "userInfo"),
];

/// k8s-pb names (folded) whose k8s-openapi twin is called otherwise.
const TWIN_NAMES: &[(&str, &str)] = &[("ref", "refpath")];

/// Modules that the API serves or sends though k8s-openapi has no type in them, and messages that are kinds there.
const MORE_KINDS: &[(&str, &str, &str, &str)] = &[
    ("api/admission/v1", "AdmissionReview", "admission.k8s.io", "v1"),
    ("api/apidiscovery/v2", "APIGroupDiscovery", "apidiscovery.k8s.io", "v2"),
    ("api/apidiscovery/v2", "APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2"),
    ("apimachinery/pkg/apis/meta/v1", "PartialObjectMetadata", "meta.k8s.io", "v1"),
    ("apimachinery/pkg/apis/meta/v1", "PartialObjectMetadataList", "meta.k8s.io", "v1"),
    ("apimachinery/pkg/apis/meta/v1", "List", "", "v1"),
];

pub struct Field {
    pub json: String,
    pub doc: String,
    pub go_type: String,
    /// The Go structs through which it is the type's, from the outermost: `VolumeSource`.
    pub inlined_from: String,
    pub ty: u32,
    pub target: u32,
    pub shape: Shape,
    pub required: bool,
    pub form: Form,
    pub markers: Vec<(String, String)>,
}

pub enum Entry {
    Field(usize),
    Inline(usize),
}

pub struct Type {
    pub package: String,
    pub name: String,
    pub doc: String,
    pub atomic: bool,
    /// In the order of their JSON names.
    pub fields: Vec<Field>,
    /// Message 0 is the type's own; the others are the messages inlined in it.
    pub messages: Vec<Vec<(u32, Entry)>>,
}

pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub ty: u32,
}

pub struct Table {
    pub types: Vec<Type>,
    pub kinds: Vec<Kind>,
}

struct Join<'a> {
    messages: Messages,
    structs: &'a Structs,
    forms: &'a Forms,
    ids: HashMap<(String, String), u32>,
    types: Vec<Option<Type>>,
    pending: Vec<(u32, String, String)>,
}

pub fn join(messages: Messages, structs: &Structs, forms: &Forms) -> Table {
    let mut join = Join { messages, structs, forms, ids: HashMap::new(), types: Vec::new(), pending: Vec::new() };
    let mut kinds = join.kinds();
    while let Some((id, module, name)) = join.pending.pop() {
        let is_kind = kinds.iter().any(|k| k.ty == id);
        join.types[id as usize] = Some(join.resolve(&module, &name, is_kind));
    }
    kinds.sort_by(|a, b| (&a.group, &a.version, &a.kind).cmp(&(&b.group, &b.version, &b.kind)));
    Table { types: join.types.into_iter().flatten().collect(), kinds }
}

impl Join<'_> {
    /// Every served kind, its list, and the Options and frames that stand beside them.
    fn kinds(&mut self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        let mut group_versions = HashMap::new();
        for ((module, name), found) in self.structs {
            let Some(kind) = &found.kind else { continue };
            if module != "apimachinery/pkg/apis/meta/v1" {
                group_versions.insert(module.clone(), (kind.group.clone(), kind.version.clone()));
            }
            // `WatchEvent` and the like are in `list`-less k8s-openapi forms but have no message: nothing to join.
            if self.messages.contains_key(&(module.clone(), name.clone())) {
                kinds.push((module.clone(), kind.kind.clone(), kind.group.clone(), kind.version.clone()));
            }
        }
        group_versions.insert("apimachinery/pkg/apis/meta/v1".to_string(), (String::new(), "v1".to_string()));
        for ((module, _), message) in &self.messages {
            let Some((group, version)) = group_versions.get(module) else { continue };
            let listed = message.name.ends_with("List") && message.fields.iter().any(|f| f.name == "items");
            // Options of requests are kinds without a type in OpenAPI, or with one that names its kind.
            let twin = self.structs.get(&(module.clone(), message.name.to_ascii_lowercase()));
            let options = message.name.ends_with("Options") && twin.is_none_or(|t| t.fields.contains_key("apiversion"));
            if listed || options || message.name == "WatchEvent" {
                kinds.push((module.clone(), message.name.clone(), group.clone(), version.clone()));
            }
        }
        for (module, name, group, version) in MORE_KINDS {
            kinds.push(((*module).into(), (*name).into(), (*group).into(), (*version).into()));
        }
        let mut out: Vec<Kind> = Vec::new();
        for (module, name, group, version) in kinds {
            let ty = self.id(&module, &name);
            // Go's spelling, which prost's (`ApiGroupList`) is not.
            let kind = self.forms.get(&(module, name.to_ascii_lowercase())).map_or(name, |t| t.name.clone());
            if !out.iter().any(|k| k.group == group && k.version == version && k.kind == kind) {
                out.push(Kind { group, version, kind, ty });
            }
        }
        out
    }

    fn id(&mut self, module: &str, name: &str) -> u32 {
        let key = (module.to_string(), name.to_ascii_lowercase());
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = u32::try_from(self.types.len()).expect("fewer than 2^32 types");
        self.types.push(None);
        self.pending.push((id, key.0.clone(), key.1.clone()));
        self.ids.insert(key, id);
        id
    }

    fn resolve(&mut self, module: &str, name: &str, is_kind: bool) -> Type {
        let key = (module.to_string(), name.to_string());
        let message = self.messages.get(&key).unwrap_or_else(|| panic!("no message {module} {name}")).clone();
        let (structs, forms) = (self.structs, self.forms);
        let twin = structs.get(&key);
        let go = forms.get(&key);
        let mut ty = Type {
            package: module.to_string(),
            name: go.map(|g| g.name.clone()).or(twin.map(|t| t.name.clone())).unwrap_or(message.name.clone()),
            doc: twin.map(|t| t.doc.clone()).filter(|d| !d.is_empty()).unwrap_or(message.doc.clone()),
            atomic: message.markers.iter().any(|(k, v)| k == "structType" && v == "atomic"),
            fields: Vec::new(),
            messages: Vec::new(),
        };
        self.flatten(&message, twin, go, "", &mut ty);
        let unread = |ty: &Type, json: &str| !ty.fields.iter().any(|f| f.json == json);
        let type_meta = |ty: &mut Type, json: &str, doc: &str| {
            if unread(ty, json) {
                let (json, doc) = (json.to_string(), doc.to_string());
                let form = Form::default();
                ty.fields.push(Field {
                    json,
                    doc,
                    go_type: String::new(),
                    inlined_from: "TypeMeta".to_string(),
                    ty: 0,
                    target: 0,
                    shape: Shape::One,
                    required: false,
                    form,
                    markers: Vec::new(),
                });
            }
        };
        // A kind has both; k8s-openapi shows where else one stands that protobuf leaves to the envelope.
        let both = (is_kind && ty.name != "WatchEvent") || twin.is_some_and(|t| t.kind.is_some());
        let shown = |name: &str| both || twin.is_some_and(|t| t.fields.contains_key(name));
        if shown("apiversion") {
            type_meta(
                &mut ty,
                "apiVersion",
                "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
            );
        }
        if shown("kind") {
            type_meta(
                &mut ty,
                "kind",
                "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
            );
        }
        for field in twin.iter().flat_map(|t| t.fields.values()) {
            assert!(!unread(&ty, &field.json), "{module} {name}: k8s-pb has no field for {}", field.json);
        }
        let mut order: Vec<usize> = (0..ty.fields.len()).collect();
        order.sort_by(|a, b| ty.fields[*a].json.cmp(&ty.fields[*b].json));
        let mut place = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = new;
        }
        for message in &mut ty.messages {
            message.sort_by_key(|(tag, _)| *tag);
            for (_, entry) in message {
                if let Entry::Field(at) = entry {
                    *at = place[*at];
                }
            }
        }
        ty.fields.sort_by(|a, b| a.json.cmp(&b.json));
        ty
    }

    fn flatten(
        &mut self,
        message: &Message,
        twin: Option<&Struct>,
        go: Option<&GoType>,
        from: &str,
        ty: &mut Type,
    ) -> usize {
        let at = ty.messages.len();
        ty.messages.push(Vec::new());
        for field in &message.fields {
            let known = twin.and_then(|t| t.fields.get(&twin_name(&field.name)));
            if known.is_none()
                && let (Some(_), Some(inner), Wire::Message(module, name)) =
                    (twin, self.inlined(field, twin), &field.wire)
            {
                // Go calls what it embeds as its type.
                let key = (module.clone(), name.to_ascii_lowercase());
                let name = self.forms.get(&key).map_or(name, |go| &go.name);
                let from = if from.is_empty() { name.clone() } else { format!("{from}.{name}") };
                let inner = self.flatten(&inner, twin, go, &from, ty);
                ty.messages[at].push((field.tag, Entry::Inline(inner)));
                continue;
            }
            let json = known.map_or_else(|| lower_camel(&field.name), |k| k.json.clone());
            let form = go.and_then(|g| g.fields.get(&json)).cloned().unwrap_or_default();
            let (code, target) = self.type_of(&field.wire);
            ty.messages[at].push((field.tag, Entry::Field(ty.fields.len())));
            ty.fields.push(Field {
                // k8s-openapi makes some fields plain that the sources mark as optional, metadata among them.
                required: known.map_or(form.emit_empty && go.is_some(), |k| k.required)
                    && (json != "metadata" || form.emit_empty)
                    && !field.markers.iter().any(|(name, _)| name == "optional"),
                doc: known.map(|k| k.doc.clone()).filter(|d| !d.is_empty()).unwrap_or(field.doc.clone()),
                go_type: form.go_type.clone(),
                inlined_from: from.to_string(),
                ty: code,
                target,
                shape: field.shape,
                form,
                markers: field.markers.clone(),
                json,
            });
        }
        at
    }

    /// The message that a field inlines in JSON: the struct has no such field but has all of the message's.
    fn inlined(&self, field: &PbField, twin: Option<&Struct>) -> Option<Message> {
        let (Wire::Message(module, name), Shape::One) = (&field.wire, field.shape) else { return None };
        let inner = self.messages.get(&(module.clone(), name.to_ascii_lowercase()))?;
        let all = inner.fields.iter().all(|f| {
            twin.is_some_and(|t| t.fields.contains_key(&twin_name(&f.name))) || self.inlined(f, twin).is_some()
        });
        all.then(|| inner.clone())
    }

    fn type_of(&mut self, wire: &Wire) -> (u32, u32) {
        match wire {
            Wire::String => (0, 0),
            Wire::Bool => (1, 0),
            Wire::Int32 => (2, 0),
            Wire::Int64 => (3, 0),
            Wire::Double => (4, 0),
            Wire::Bytes => (5, 0),
            Wire::Message(module, name) => {
                let scalar = SCALARS.iter().find(|(m, n, _)| m == module && n == name);
                // Beta groups spell the same scalars in modules of their own.
                let scalar = scalar.or_else(|| SCALARS.iter().find(|(_, n, code)| *code == 18 && n == name));
                match scalar {
                    // The Json* unions carry schemas: their element type is JSONSchemaProps.
                    Some((module, _, code)) if (15..=17).contains(code) => (*code, self.id(module, "JSONSchemaProps")),
                    Some((_, _, code)) => (*code, 0),
                    None => (STRUCT, self.id(module, name)),
                }
            }
        }
    }
}

fn twin_name(name: &str) -> String {
    let folded = fold(name);
    TWIN_NAMES.iter().find(|(ours, _)| *ours == folded).map_or(folded, |(_, theirs)| (*theirs).to_string())
}

fn lower_camel(name: &str) -> String {
    if let Some((_, json)) = JSON_NAMES.iter().find(|(n, _)| *n == name) {
        return (*json).to_string();
    }
    let mut out = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}
