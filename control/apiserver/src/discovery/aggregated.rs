//! All groups, versions and resources in one document (`apidiscovery.k8s.io/v2`).

use super::legacy::groups;
use sampan_registry::resource::Name;
use sampan_registry::{Resource, ResourceTable};
use serde_json::{Map, Value, json};

/// The document of `/api` (the core group alone) or of `/apis` (all others).
pub(super) fn document(table: &ResourceTable, core: bool) -> Value {
    let items: Vec<Value> = groups(table)
        .iter()
        .filter(|group| group.name.is_empty() == core)
        .map(|group| {
            let versions: Vec<Value> = group
                .versions
                .iter()
                .map(|version| {
                    let mut rows: Vec<_> =
                        table.iter().filter(|row| row.group == group.name && row.version == *version).collect();
                    rows.sort_by(|a, b| a.resource.cmp(&b.resource));
                    let resources: Vec<Value> = rows.into_iter().map(|row| resource(row)).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if core { json!({}) } else { json!({ "name": group.name }) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn resource(row: &Resource) -> Value {
    let mut entry = Map::new();
    entry.insert("resource".into(), row.resource.to_string().into());
    entry.insert("responseKind".into(), kind("", "", &row.kind));
    entry.insert("scope".into(), if row.namespaced { "Namespaced" } else { "Cluster" }.into());
    entry.insert("singularResource".into(), row.singular.to_string().into());
    entry.insert("verbs".into(), row.verb_names().into());
    let list = |names: &[Name]| Value::from(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    if !row.short_names.is_empty() {
        entry.insert("shortNames".into(), list(&row.short_names));
    }
    if !row.categories.is_empty() {
        entry.insert("categories".into(), list(&row.categories));
    }
    if !row.subresources.is_empty() {
        let mut below: Vec<_> = row.subresources.iter().collect();
        below.sort_by(|a, b| a.name.cmp(&b.name));
        let below: Vec<Value> = below
            .into_iter()
            .map(|one| {
                let response = match &one.kind {
                    // The row's own group and version are left out, as the real server leaves them.
                    Some(gvk) if gvk.group == row.group && gvk.version == row.version => kind("", "", &gvk.kind),
                    Some(gvk) => kind(&gvk.group, &gvk.version, &gvk.kind),
                    None => kind("", "", &row.kind),
                };
                json!({
                    "subresource": one.name,
                    "responseKind": response,
                    "verbs": one.verbs.names().collect::<Vec<_>>(),
                })
            })
            .collect();
        entry.insert("subresources".into(), below.into());
    }
    Value::Object(entry)
}

fn kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}
