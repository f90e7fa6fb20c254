//! An object in flight: a value tree whose metadata can be asked for by name.

use crate::meta::GroupVersionKind;
use serde_json::{Map, Value};

/// A Kubernetes object as a value tree. It exists inside one request (a write) and is never kept: what is kept is a
/// [`crate::Record`]. Keys are in lexical order, so the encoding of equal objects is equal.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Object {
    fields: Map<String, Value>,
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerReference {
    /// The owner's `apiVersion`.
    pub api_version: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name; it is of the same namespace, or of none.
    pub name: String,
    /// The owner's UID: an object of the same name made later is no owner.
    pub uid: String,
    /// Whether the owner manages the object; at most one does.
    pub controller: bool,
    /// Whether a foreground deletion of the owner waits for the object.
    pub block_owner_deletion: bool,
}

impl OwnerReference {
    /// `None` when `apiVersion`, `kind`, `name` or `uid` is no text.
    pub fn from_value(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
        Some(Self {
            api_version: text("apiVersion")?,
            kind: text("kind")?,
            name: text("name")?,
            uid: text("uid")?,
            controller: flag("controller"),
            block_owner_deletion: flag("blockOwnerDeletion"),
        })
    }
}

impl Object {
    /// `None` when the value is not an object.
    pub fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Object(fields) => Some(Self { fields }),
            _ => None,
        }
    }

    /// An object of these fields.
    pub fn from_map(fields: Map<String, Value>) -> Self {
        Self { fields }
    }

    /// The object as a value.
    pub fn into_value(self) -> Value {
        Value::Object(self.fields)
    }

    /// A copy of the object as a value.
    pub fn to_value(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    /// The fields of the object: `apiVersion`, `metadata`, `spec`.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The fields of the object, to be changed in place.
    pub fn fields_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.fields
    }

    fn text<'a>(map: &'a Map<String, Value>, name: &str) -> &'a str {
        map.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// `""` where there is none or it is no text; the same holds for the other texts below.
    pub fn api_version(&self) -> &str {
        Self::text(&self.fields, "apiVersion")
    }

    /// The object's own `kind`.
    pub fn kind(&self) -> &str {
        Self::text(&self.fields, "kind")
    }

    /// `None` when apiVersion has more than one slash.
    pub fn gvk(&self) -> Option<GroupVersionKind> {
        GroupVersionKind::parse(self.api_version(), self.kind())
    }

    /// Sets `apiVersion` and `kind`.
    pub fn set_gvk(&mut self, gvk: &GroupVersionKind) {
        self.fields.insert("apiVersion".into(), gvk.api_version().into());
        self.fields.insert("kind".into(), gvk.kind.clone().into());
    }

    /// The metadata; an empty map where there is none.
    pub fn metadata(&self) -> &Map<String, Value> {
        static EMPTY: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
        self.fields.get("metadata").and_then(Value::as_object).unwrap_or_else(|| EMPTY.get_or_init(Map::new))
    }

    /// The metadata, made if it was absent or not an object.
    pub fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        let slot = self.fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        match slot {
            Value::Object(map) => map,
            _ => unreachable!("made an object just above"),
        }
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        Self::text(self.metadata(), "name")
    }

    /// `metadata.generateName`: the prefix of a name that the server is to make.
    pub fn generate_name(&self) -> &str {
        Self::text(self.metadata(), "generateName")
    }

    /// `metadata.namespace`; `""` for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        Self::text(self.metadata(), "namespace")
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        Self::text(self.metadata(), "uid")
    }

    /// `metadata.resourceVersion`.
    pub fn resource_version(&self) -> &str {
        Self::text(self.metadata(), "resourceVersion")
    }

    /// `metadata.creationTimestamp`, RFC 3339.
    pub fn creation_timestamp(&self) -> &str {
        Self::text(self.metadata(), "creationTimestamp")
    }

    /// `metadata.deletionTimestamp`, RFC 3339: when a deletion that has begun is due.
    pub fn deletion_timestamp(&self) -> Option<&str> {
        self.metadata().get("deletionTimestamp").and_then(Value::as_str)
    }

    /// `metadata.deletionGracePeriodSeconds`.
    pub fn deletion_grace_period_seconds(&self) -> Option<i64> {
        self.metadata().get("deletionGracePeriodSeconds").and_then(Value::as_i64)
    }

    /// `metadata.generation`; 0 where there is none.
    pub fn generation(&self) -> i64 {
        self.metadata().get("generation").and_then(Value::as_i64).unwrap_or(0)
    }

    /// Sets a field of the metadata.
    pub fn set_meta(&mut self, name: &str, value: impl Into<Value>) {
        self.metadata_mut().insert(name.into(), value.into());
    }

    fn pairs<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.metadata()
            .get(name)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| value.as_str().map(|value| (key.as_str(), value)))
    }

    /// The labels whose values are texts, by key.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs("labels")
    }

    /// The annotations whose values are texts, by key.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs("annotations")
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata().get("labels")?.get(key)?.as_str()
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata().get("annotations")?.get(key)?.as_str()
    }

    /// Sets an annotation; annotations that are no object stay as they are.
    pub fn set_annotation(&mut self, key: &str, value: impl Into<String>) {
        let slot = self.metadata_mut().entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(map) = slot {
            map.insert(key.into(), Value::String(value.into()));
        }
    }

    /// `metadata.finalizers`: what must be done before the object may go.
    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.metadata().get("finalizers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// `metadata.ownerReferences`, those that are whole.
    pub fn owner_references(&self) -> Vec<OwnerReference> {
        let list = self.metadata().get("ownerReferences").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(OwnerReference::from_value).collect()
    }

    /// The value at a path of object keys: `get(&["spec", "replicas"])`.
    pub fn get(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.fields.get(*first)?, |value, key| value.get(*key))
    }

    /// The text at a path of object keys; `None` where there is none or it is no text.
    pub fn get_str(&self, path: &[&str]) -> Option<&str> {
        self.get(path).and_then(Value::as_str)
    }

    /// The value at a path of object keys, to be changed in place.
    pub fn get_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.fields.get_mut(*first)?, |value, key| value.get_mut(*key))
    }

    /// Sets the value at a path, making the objects on the way (what is on the way and no object is replaced).
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let Some((last, way)) = path.split_last() else { return };
        let mut map = &mut self.fields;
        for key in way {
            let slot = map.entry(*key).or_insert_with(|| Value::Object(Map::new()));
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            map = match slot {
                Value::Object(map) => map,
                _ => unreachable!("made an object just above"),
            };
        }
        map.insert((*last).to_owned(), value.into());
    }

    /// Takes out the value at a path of object keys.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, way) = path.split_last()?;
        let mut map = &mut self.fields;
        for key in way {
            map = map.get_mut(*key)?.as_object_mut()?;
        }
        map.remove(*last)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        object.into_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_made_read_and_taken_out() {
        let mut object = Object::default();
        object.set(&["spec", "template", "replicas"], 3);
        assert_eq!(object.get(&["spec", "template", "replicas"]), Some(&json!(3)));
        assert_eq!(object.get(&["spec", "absent", "x"]), None);
        assert_eq!(object.remove(&["spec", "template"]), Some(json!({"replicas": 3})));
        assert_eq!(object.to_value(), json!({"spec": {}}));
    }

    #[test]
    fn metadata_that_is_no_object_reads_as_empty_and_is_replaced_when_written() {
        let mut object = Object::from_value(json!({"metadata": 3})).expect("an object");
        assert_eq!(object.name(), "");
        object.set_meta("name", "a");
        assert_eq!(object.name(), "a");
    }
}
