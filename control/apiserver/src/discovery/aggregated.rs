//! All groups, versions and resources in one document (`apidiscovery.k8s.io/v2`).

use super::Source;
use crate::aggregation::Group;
use sampan_registry::Resource;
use sampan_registry::resource::Name;
use serde_json::{Map, Value, json};

/// The document of `/api` (the core group alone) or of `/apis` (all others).
pub(super) fn document(source: &Source<'_>, groups: &[Group]) -> Value {
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let versions: Vec<Value> =
                group.versions.iter().map(|version| described(source, &group.name, version)).collect();
            let metadata = if group.name.is_empty() { json!({}) } else { json!({ "name": group.name }) };
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

/// A version of a group: this server's, or as the server that has it said.
fn described(source: &Source<'_>, group: &str, version: &str) -> Value {
    if source.known.elsewhere(group, version).is_some() {
        let told = source.remote.versions.get(&(group.to_owned(), version.to_owned()));
        return told.cloned().unwrap_or_else(|| json!({"version": version, "freshness": "Stale"}));
    }
    let mut rows: Vec<_> = source.table.of_group_version(group, version).collect();
    rows.sort_by(|a, b| a.resource.cmp(&b.resource));
    let resources: Vec<Value> = rows.into_iter().map(|row| resource(row)).collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
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
        // Those of a defined resource come in the order in which the handler of all of them lists them.
        if !row.defined {
            below.sort_by(|a, b| a.name.cmp(&b.name));
        }
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
