//! The schema: all types by their ids, all kinds by their names.

use std::collections::HashMap;
use std::sync::Arc;

use sampan_api::meta::GroupVersionKind;

use crate::plan::Plan;
use crate::table::{Field, Kind, Shape, Text, Type, TypeDef, TypeId};

/// All types. The built-in one is made once ([`Schema::builtin`]); others extend it ([`Schema::extend`]), and leave it
/// as it is.
#[derive(Debug, Default)]
pub struct Schema {
    /// The schema that this one extends: its types come first, under the same ids.
    base: Option<Arc<Schema>>,
    types: Vec<TypeDef>,
    kinds: Vec<Kind>,
    by_kind: HashMap<Text, Vec<u32>>,
    /// The work to do on values of each of `types`.
    plans: Vec<Plan>,
}

/// A type together with the schema that it belongs to: an id alone means another type in another schema. Cheap to clone.
#[derive(Clone)]
pub struct ObjectType {
    schema: Arc<Schema>,
    id: TypeId,
}

impl ObjectType {
    /// The type of a kind; `None` when the schema does not know it.
    pub fn find(schema: &Arc<Schema>, group: &str, version: &str, kind: &str) -> Option<ObjectType> {
        schema.find(group, version, kind).map(|id| ObjectType { schema: schema.clone(), id })
    }

    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The type's id in [`ObjectType::schema`].
    pub fn id(&self) -> TypeId {
        self.id
    }

    pub fn def(&self) -> &TypeDef {
        self.schema.get(self.id)
    }
}

impl std::fmt::Debug for ObjectType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ty = self.def();
        write!(f, "ObjectType({}.{})", ty.package, ty.name)
    }
}

/// Kinds of meta/v1 that every group version registers.
const EVERYWHERE: &[&str] =
    &["CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"];

impl Schema {
    /// An empty schema that has all of another's types under their ids.
    pub(crate) fn above(base: &Arc<Schema>) -> Schema {
        Schema { base: Some(base.clone()), ..Schema::default() }
    }

    pub fn type_of(&self, kind: &GroupVersionKind) -> Option<TypeId> {
        self.find(&kind.group, &kind.version, &kind.kind)
    }

    /// The type of a kind. `DeleteOptions` and its like, and `WatchEvent`, are found in every group version.
    pub fn find(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        self.find_exact(group, version, kind).or_else(|| {
            let meta = EVERYWHERE.contains(&kind) || (group == "meta.k8s.io" && version == "v1");
            if meta { self.find_exact("", "v1", kind) } else { None }
        })
    }

    fn find_exact(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        let of_name = self.by_kind.get(kind).into_iter().flatten();
        let mut own = of_name.map(|at| &self.kinds[*at as usize]);
        match own.find(|k| k.group == group && k.version == version) {
            Some(found) => Some(found.type_id),
            None => self.base.as_ref()?.find_exact(group, version, kind),
        }
    }

    /// The number of types in the schema that this one extends.
    fn first(&self) -> usize {
        self.base.as_ref().map_or(0, |base| base.len())
    }

    fn len(&self) -> usize {
        self.first() + self.types.len()
    }

    pub(crate) fn add_type(&mut self, ty: TypeDef) -> TypeId {
        self.types.push(ty);
        TypeId(self.len() as u32 - 1)
    }

    /// Adds a kind; of two that are called the same, the first is found.
    pub(crate) fn add_kind(&mut self, kind: Kind) {
        self.kinds.push(kind);
    }

    /// Makes what was added findable.
    pub(crate) fn index(&mut self) {
        self.kinds.sort_by(|a, b| (&a.group, &a.version, &a.kind).cmp(&(&b.group, &b.version, &b.kind)));
        self.by_kind.clear();
        for (at, kind) in (0u32..).zip(&self.kinds) {
            self.by_kind.entry(kind.kind.clone()).or_default().push(at);
        }
    }

    /// Sets the plans of the types that this schema adds, in their order.
    pub(crate) fn set_plans(&mut self, plans: Vec<Plan>) {
        self.plans = plans;
    }

    /// The work to do on values of a type.
    pub(crate) fn plan(&self, id: TypeId) -> &Plan {
        match (&self.base, (id.0 as usize).checked_sub(self.first())) {
            (Some(base), None) => base.plan(id),
            (_, at) => &self.plans[at.unwrap_or_default()],
        }
    }

    /// The kinds that this schema adds to the one that it extends, ordered by group, version and kind.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The kinds that have a type.
    pub(crate) fn kinds_of(&self, id: TypeId) -> Box<dyn Iterator<Item = &Kind> + '_> {
        let own = self.kinds.iter().filter(move |kind| kind.type_id == id);
        match &self.base {
            Some(base) => Box::new(base.kinds_of(id).chain(own)),
            None => Box::new(own),
        }
    }

    /// All types, those of the schema that this one extends first.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &TypeDef)> {
        (0..self.len() as u32).map(|at| (TypeId(at), self.get(TypeId(at))))
    }

    /// For each type that this schema adds, the fields that lead to a type of which `has` is true, in how many steps so ever.
    pub(crate) fn leading_to(&self, has: impl Fn(TypeId) -> bool) -> Vec<Vec<(usize, TypeId)>> {
        let mut leading: Vec<Vec<(usize, TypeId)>> = self.added().map(|_| Vec::new()).collect();
        let mut holders: HashMap<TypeId, Vec<(usize, usize)>> = HashMap::new();
        for (holder, (_, ty)) in self.added().enumerate() {
            for (field, inner) in ty.fields.iter().enumerate() {
                if let Type::Struct(inner) | Type::Nested(inner) = inner.ty {
                    holders.entry(inner).or_default().push((holder, field));
                }
            }
        }
        // From each type that has it to those that hold the type, once each.
        let mut pending: Vec<TypeId> = holders.keys().copied().filter(|id| has(*id)).collect();
        while let Some(inner) = pending.pop() {
            for (holder, field) in holders.remove(&inner).unwrap_or_default() {
                leading[holder].push((field, inner));
                pending.push(TypeId((self.first() + holder) as u32));
            }
        }
        for fields in &mut leading {
            fields.sort_unstable_by_key(|(field, _)| *field);
        }
        leading
    }

    /// The types that this schema adds.
    pub(crate) fn added(&self) -> impl Iterator<Item = (TypeId, &TypeDef)> {
        (self.first() as u32..).map(TypeId).zip(&self.types)
    }

    pub fn get(&self, id: TypeId) -> &TypeDef {
        match (&self.base, (id.0 as usize).checked_sub(self.first())) {
            (Some(base), None) => base.get(id),
            (_, at) => &self.types[at.unwrap_or_default()],
        }
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
            Type::Nested(id) => self.get(id).nested().map_or_else(String::new, |inner| self.go_type(inner)),
        }
    }
}
