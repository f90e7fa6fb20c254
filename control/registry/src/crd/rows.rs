//! One definition's rows: a row a version.

use super::columns;
use super::custom::{Custom, prune, settle};
use super::versions::compare_versions;
use crate::conversion::Conversion;
use crate::resource::{Extract, Name, Resource, ScalePaths, SelectableField, StoredAs, Subresource, SubresourceBody};
use crate::verbs::Verbs;
use sampan_api::jsonpath::JsonPath;
use sampan_api::meta::{GroupVersionKind, GroupVersionResource};
use sampan_api::object::Object;
use sampan_cel::rules::Rules;
use sampan_schema::{ObjectType, Schema};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Whether a condition of a definition is true.
pub(super) fn is_true(definition: &Object, name: &str) -> bool {
    let conditions = definition.get(&["status", "conditions"]).and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| one["type"] == name && one["status"] == "True")
}

/// The rows of a definition whose names are accepted; none of others. In the order of their versions.
///
/// # Errors
/// When it cannot be served: what was validated can.
pub(super) fn of_definition(definition: &Object) -> Result<Vec<Resource>, String> {
    if !is_true(definition, "NamesAccepted") && !is_true(definition, "Established") {
        return Ok(Vec::new());
    }
    let text = |path: &[&str]| definition.get_str(path).unwrap_or_default().to_owned();
    let names = |name: &str| {
        let list = definition.get(&["status", "acceptedNames", name]).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(|one| Name::Owned(one.to_owned())).collect::<Vec<_>>()
    };
    let named = |name: &str| match definition.get_str(&["status", "acceptedNames", name]) {
        None | Some("") => Err(format!("it has no accepted {name}")),
        Some(text) => Ok(text.to_owned()),
    };
    let shared = Shared {
        group: text(&["spec", "group"]),
        plural: named("plural")?,
        singular: named("singular")?,
        kind: named("kind")?,
        list_kind: named("listKind")?,
        short_names: names("shortNames"),
        categories: names("categories"),
        namespaced: text(&["spec", "scope"]) == "Namespaced",
        closing: is_true(definition, "Terminating"),
    };
    let versions = definition.get(&["spec", "versions"]).and_then(Value::as_array);
    let mut versions: Vec<&Value> = versions.into_iter().flatten().collect();
    versions.sort_by(|a, b| compare_versions(name_of(a), name_of(b)));
    let by_webhook = text(&["spec", "conversion", "strategy"]) == "Webhook";
    // What is stored of a version that is served no longer is read by its own schema.
    let kept = |version: &&&Value| version["storage"] == true || version["served"] == true || by_webhook;
    let mut rows: Vec<Resource> = Vec::new();
    for version in versions.iter().filter(kept) {
        rows.push(shared.row(version, &versions)?);
    }
    if shared.closing && rows.iter().all(|row| !row.served) {
        // What is stored must be deleted by somebody.
        rows.iter_mut().for_each(|row| row.served = true);
    }
    let at = share_storage(&mut rows, &versions)?;
    if by_webhook {
        let webhook = definition.get(&["spec", "conversion", "webhook"]).unwrap_or(&Value::Null);
        convert_by(&mut rows, webhook);
    } else {
        index_all(&mut rows, at);
    }
    Ok(rows)
}

fn name_of(version: &Value) -> &str {
    version["name"].as_str().unwrap_or_default()
}

/// What all versions of a definition have in common.
struct Shared {
    group: String,
    plural: String,
    singular: String,
    kind: String,
    list_kind: String,
    short_names: Vec<Name>,
    categories: Vec<Name>,
    namespaced: bool,
    closing: bool,
}

impl Shared {
    fn row(&self, version: &Value, all: &[&Value]) -> Result<Resource, String> {
        let name = name_of(version);
        let ty = self.ty(version)?;
        let mut row = Resource::new(self.group.clone(), name.to_owned(), self.plural.clone(), self.kind.clone());
        row.defined = true;
        row.singular = self.singular.clone().into();
        row.list_kind = self.list_kind.clone().into();
        row.short_names = self.short_names.clone();
        row.categories = self.categories.clone();
        row.namespaced = self.namespaced;
        row.closing = self.closing;
        row.served = version["served"] == true;
        row.deprecated = (version["deprecated"] == true).then(|| self.warning(version, all).into());
        let subresources = &version["subresources"];
        if subresources["status"].is_object() {
            row = row.view("status");
        }
        if subresources["scale"].is_object() {
            row.scale = scale(&subresources["scale"])?;
            row.subresources.push(scale_subresource());
        }
        for field in version["selectableFields"].as_array().into_iter().flatten() {
            let text = field["jsonPath"].as_str().unwrap_or_default();
            let path = JsonPath::parse(text).map_err(|error| format!("{text}: {error}"))?;
            let fields = path.fields().ok_or_else(|| format!("{text} names more than a field"))?;
            let path = fields.into_iter().map(|name| Name::Owned(name.to_owned())).collect();
            row.selectable.push(SelectableField {
                label: text.trim_start_matches('.').to_owned().into(),
                indexed_as: None,
                extract: Extract::Path { path, absent: "".into() },
                dispatch: false,
            });
        }
        row.columns = Some(columns::of_version(version));
        let scale = subresources["scale"].is_object().then(|| row.scale.clone());
        let rules = Rules::compile(&version["schema"]["openAPIV3Schema"]);
        row.strategy = Arc::new(Custom { ty: ty.clone(), scale, rules });
        row.ty = Some(ty);
        Ok(row)
    }

    fn ty(&self, version: &Value) -> Result<ObjectType, String> {
        let given = &version["schema"]["openAPIV3Schema"];
        let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = if given.is_object() { given } else { &free };
        let kinds = Map::from_iter([(self.kind.clone(), definition.clone())]);
        let name = name_of(version);
        let schema = Schema::extend(Schema::builtin(), &self.group, name, &kinds, |_| self.list_kind.clone());
        let schema = Arc::new(schema.map_err(|error| error.to_string())?);
        ObjectType::find(&schema, &self.group, name, &self.kind).ok_or_else(|| format!("{name} has no type"))
    }

    /// What requests to a deprecated version are warned of.
    fn warning(&self, version: &Value, all: &[&Value]) -> String {
        if let Some(own) = version["deprecationWarning"].as_str() {
            return own.to_owned();
        }
        let (group, name, kind) = (&self.group, name_of(version), &self.kind);
        let better = |other: &&&Value| {
            other["served"] == true && other["deprecated"] != true && compare_versions(name_of(other), name).is_lt()
        };
        let instead = all.iter().find(better).map(|other| format!("; use {group}/{} {kind}", name_of(other)));
        format!("{group}/{name} {kind} is deprecated{}", instead.unwrap_or_default())
    }
}

fn scale(declared: &Value) -> Result<ScalePaths, String> {
    let path = |name: &str| {
        let text = declared[name].as_str().unwrap_or_default();
        let names = text.trim_start_matches('.').split('.').map(|name| Name::Owned(name.to_owned()));
        if text.is_empty() { Err(format!("the scale has no {name}")) } else { Ok(names.collect::<Vec<_>>()) }
    };
    let selector = declared.get("labelSelectorPath").filter(|path| path.as_str().is_some_and(|path| !path.is_empty()));
    Ok(ScalePaths {
        spec: path("specReplicasPath")?,
        status: path("statusReplicasPath")?,
        selector: selector.map(|_| path("labelSelectorPath")).transpose()?,
        required: true,
    })
}

fn scale_subresource() -> Subresource {
    let kind = GroupVersionKind::new("autoscaling", "v1", "Scale");
    let ty = ObjectType::find(Schema::builtin(), &kind.group, &kind.version, &kind.kind);
    let body = SubresourceBody::Action("scale".into());
    Subresource { name: "scale".into(), kind: Some(kind), also: &[], ty, verbs: Verbs::VIEW, body }
}

/// Lets the versions share the storage of the one that is stored, each converted as the fields are called: what is sent has the
/// defaults of the version that it is sent in, what is stored those of the stored one. Where that is.
fn share_storage(rows: &mut [Resource], versions: &[&Value]) -> Result<usize, String> {
    let stored = versions.iter().find(|version| version["storage"] == true).map(|version| name_of(version).to_owned());
    let at = rows.iter().position(|row| Some(row.version.as_ref()) == stored.as_deref());
    let at = at.ok_or("no version is stored")?;
    let stored_type = rows[at].ty.clone().ok_or("the stored version has no type")?;
    let storage = GroupVersionResource::new(
        rows[at].group.to_string(),
        rows[at].version.to_string(),
        rows[at].resource.to_string(),
    );
    for (_, row) in rows.iter_mut().enumerate().filter(|(other, _)| *other != at) {
        let Some(own) = row.ty.clone() else { continue };
        let (to, from) = (stored_type.clone(), own);
        row.stored_as = Some(StoredAs {
            storage: storage.clone(),
            to_storage: Arc::new(move |object| settle(&to, object)),
            from_storage: Arc::new(move |object| prune(&from, object)),
            own_rules: true,
        });
    }
    let gvk = rows[at].gvk();
    rows[at].settle = Some(Arc::new(move |object| {
        settle(&stored_type, object);
        object.set_gvk(&gvk);
    }));
    Ok(at)
}

/// Lets the row of the stored version, which is at `at`, index the fields that the others are selected by.
fn index_all(rows: &mut [Resource], at: usize) {
    let mut indexed = Vec::new();
    for (_, row) in rows.iter_mut().enumerate().filter(|(other, _)| *other != at) {
        for field in &mut row.selectable {
            // The stored version's row finds it under a name that nobody can select by.
            let label = Name::Owned(format!("{}/{}", row.version, field.label));
            indexed.push(SelectableField { label: label.clone(), ..field.clone() });
            field.indexed_as = Some(label);
        }
    }
    rows[at].selectable.extend(indexed);
}

/// Lets a webhook convert between the versions. What is stored stays in the version that it was written in, and each version
/// is selected from by its own fields.
fn convert_by(rows: &mut [Resource], webhook: &Value) {
    let conversion = Arc::new(Conversion::new(webhook));
    let types: Vec<(String, ObjectType)> =
        rows.iter().filter_map(|row| Some((row.api_version(), row.ty.clone()?))).collect();
    for row in rows {
        row.converted_by = Some(conversion.clone());
        if let Some(stored_as) = &mut row.stored_as {
            stored_as.to_storage = Arc::new(|_| {});
            stored_as.from_storage = Arc::new(|_| {});
        } else {
            let types = types.clone();
            row.settle = Some(Arc::new(move |object| {
                let ty = types.iter().find(|(version, _)| version == object.api_version());
                if let Some((_, ty)) = ty {
                    settle(ty, object);
                }
            }));
        }
    }
}
