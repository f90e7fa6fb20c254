//! OpenAPI's definitions of types, walked out of the schema: of v2 (`#/definitions/`) and of v3 (`#/components/schemas/`).
//!
//! What OpenAPI says beside the table (the values of enumerated fields, unions, the texts of scalar types) is data in
//! `data/openapi.json`. It is read for each walk and kept by none.

mod facts;
mod property;
mod structural;

use crate::schema::{ObjectType, Schema};
use crate::table::{Origin, Type, TypeDef, TypeId, WireEntry};
use facts::Facts;
use serde_json::{Map, Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The version of OpenAPI that definitions are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Swagger 2.0: no `oneOf`, no defaults of Go's zero values.
    V2,
    /// OpenAPI 3.0.
    V3,
}

impl Dialect {
    fn prefix(self) -> &'static str {
        match self {
            Self::V2 => "#/definitions/",
            Self::V3 => "#/components/schemas/",
        }
    }

    /// A reference to a definition.
    pub fn reference(self, name: &str) -> Value {
        json!({ "$ref": format!("{}{name}", self.prefix()) })
    }
}

/// The body of every patch: Kubernetes gives it a name, and no members.
pub const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/// Kinds that belong to every group and version.
const EVERYWHERE: [&str; 2] = ["DeleteOptions", "WatchEvent"];

#[derive(Clone)]
enum Definition {
    Struct(Arc<Schema>, TypeId),
    Scalar(&'static str),
    /// A kind that no schema describes: group, version, kind.
    Untyped([String; 3]),
}

/// Definitions by their names: those that were added, and all that they refer to.
pub struct Definitions {
    dialect: Dialect,
    facts: Facts,
    all: BTreeMap<String, Definition>,
    /// What is said of a definition beside its type, by its name.
    beside: BTreeMap<String, Value>,
    /// Groups and versions in which the kinds of [`EVERYWHERE`] are known: the built-in ones.
    group_versions: BTreeSet<(String, String)>,
}

impl Definitions {
    /// None yet.
    pub fn new(dialect: Dialect) -> Self {
        let kinds = Schema::builtin().kinds().iter();
        let group_versions = kinds.map(|kind| (kind.group.to_string(), kind.version.to_string())).collect();
        Self { dialect, facts: Facts::read(), all: BTreeMap::new(), beside: BTreeMap::new(), group_versions }
    }

    /// Adds a type, with all that it refers to; its name.
    pub fn add(&mut self, ty: &ObjectType) -> String {
        self.add_type(ty.schema(), ty.id())
    }

    /// Adds the definition of patches' bodies; its name.
    pub fn add_patch(&mut self) -> &'static str {
        self.add_scalar(PATCH);
        PATCH
    }

    /// Adds a kind that no schema describes; its name.
    pub fn add_untyped(&mut self, group: &str, version: &str, kind: &str) -> String {
        let name = structural_name(group, version, kind);
        let kind = [group, version, kind].map(str::to_owned);
        self.all.entry(name.clone()).or_insert(Definition::Untyped(kind));
        name
    }

    /// Says more of a definition than its type does: members that come to those that it has, or in their place.
    pub fn say(&mut self, name: &str, more: Value) {
        self.beside.insert(name.to_owned(), more);
    }

    fn add_scalar(&mut self, name: &'static str) {
        self.all.entry(name.to_owned()).or_insert(Definition::Scalar(name));
    }

    fn add_type(&mut self, schema: &Arc<Schema>, id: TypeId) -> String {
        let root = name(schema.get(id));
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            let def = schema.get(id);
            // A structural type is a definition only as a kind; what is inside it is written in its place.
            if def.origin == Origin::GoStruct || schema.kinds_of(id).next().is_some() {
                match self.all.entry(name(def)) {
                    Entry::Occupied(_) => continue,
                    Entry::Vacant(place) => drop(place.insert(Definition::Struct(schema.clone(), id))),
                }
            }
            for field in &def.fields {
                match field.ty {
                    Type::Struct(inner) | Type::Nested(inner) => pending.push(inner),
                    other => {
                        if let Some(name) = property::scalar_name(other, def.origin) {
                            self.add_scalar(name);
                        }
                        if let Type::SchemaOrArray(inner) | Type::SchemaOrBool(inner) | Type::SchemaOrStrings(inner) =
                            other
                        {
                            pending.push(inner);
                        }
                    }
                }
            }
        }
        root
    }

    /// Makes each definition, in the order of their names, and hands it over.
    pub fn each(&self, mut take: impl FnMut(&str, Value)) {
        for (name, definition) in &self.all {
            let mut value = match definition {
                Definition::Struct(schema, id) => self.definition(name, schema, *id),
                Definition::Scalar(name) => property::scalar(name, self.dialect, self.facts.text(name)),
                Definition::Untyped([group, version, kind]) => json!({
                    "type": "object",
                    "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
                }),
            };
            if let Some(more) = self.beside.get(name) {
                put_into(&mut value, more);
            }
            take(name, value);
        }
    }

    fn definition(&self, name: &str, schema: &Schema, id: TypeId) -> Value {
        let def = schema.get(id);
        let mut value = match def.origin {
            Origin::GoStruct => self.object(name, schema, def),
            Origin::Structural => self.structural_kind(schema, def),
        };
        let kinds: Vec<Value> = schema
            .kinds_of(id)
            .flat_map(|kind| {
                let everywhere = EVERYWHERE.contains(&&*kind.kind);
                let own = [(kind.group.to_string(), kind.version.to_string())];
                let all = if everywhere { self.group_versions.clone() } else { own.into_iter().collect() };
                all.into_iter()
                    .map(|(group, version)| json!({"group": group, "kind": kind.kind, "version": version}))
                    .collect::<Vec<_>>()
            })
            .collect();
        if !kinds.is_empty() {
            value.insert("x-kubernetes-group-version-kind".into(), kinds.into());
        }
        if let Some(unions) = self.facts.unions(name) {
            value.insert("x-kubernetes-unions".into(), unions.clone());
        }
        Value::Object(value)
    }

    /// The schema of a type's values.
    fn object(&self, name: &str, schema: &Schema, def: &TypeDef) -> Map<String, Value> {
        let mut value = Map::new();
        property::describe(&mut value, &def.description);
        value.insert("type".into(), "object".into());
        let properties: Map<String, Value> = def
            .fields
            .iter()
            .map(|field| (field.json_name.to_string(), self.property(name, schema, def, field)))
            .collect();
        if !properties.is_empty() {
            value.insert("properties".into(), properties.into());
        }
        let required = required(def);
        if !required.is_empty() {
            value.insert("required".into(), required.into());
        }
        if def.atomic {
            value.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        value
    }
}

/// Puts the members of an object into another, those that both have into each other.
fn put_into(value: &mut Value, more: &Value) {
    match (value, more) {
        (Value::Object(value), Value::Object(more)) => {
            for (name, more) in more {
                put_into(value.entry(name.as_str()).or_insert(Value::Null), more);
            }
        }
        (value, more) => *value = more.clone(),
    }
}

/// The name under which a type is defined: `io.k8s.api.core.v1.Pod`; of a structural type the group backwards, as
/// `dev.sampan.scheduling.v1alpha1.SchedulingPolicy`.
pub fn name(def: &TypeDef) -> String {
    match def.origin {
        Origin::GoStruct => def.openapi_name(),
        Origin::Structural => {
            let (group, version) = def.package.split_once('/').unwrap_or((&def.package, ""));
            structural_name(group, version, &def.name)
        }
    }
}

fn structural_name(group: &str, version: &str, kind: &str) -> String {
    group.split('.').rev().chain([version, kind]).collect::<Vec<_>>().join(".")
}

/// The fields that must be there, in the order in which the Go struct declares them, which is that of their tags.
fn required(def: &TypeDef) -> Vec<String> {
    let mut places = Vec::new();
    declared(def, 0, &mut places);
    let rest = (0..def.fields.len()).filter(|at| !places.contains(at)).collect::<Vec<_>>();
    let all = places.iter().chain(&rest).map(|at| &def.fields[*at]);
    all.filter(|field| field.required).map(|field| field.json_name.to_string()).collect()
}

fn declared(def: &TypeDef, message: usize, places: &mut Vec<usize>) {
    for wire in def.messages.get(message).into_iter().flatten() {
        match wire.entry {
            WireEntry::Field(at) => places.push(at.into()),
            WireEntry::Inline(inner) => declared(def, inner.into(), places),
        }
    }
}
