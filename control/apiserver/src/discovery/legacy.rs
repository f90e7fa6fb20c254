//! The lists that discovery began with: versions, groups, resources.

use crate::aggregation::Group;
use sampan_registry::resource::SubresourceBody;
use sampan_registry::{Resource, ResourceTable};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The documents by their paths. Those of group versions that other servers have are these servers' own.
pub(super) fn documents<'a>(table: &ResourceTable, groups: impl Iterator<Item = &'a Group>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut list = Vec::new();
    let mut core = Vec::new();
    for group in groups {
        for version in &group.versions {
            let gv = sampan_api::GroupVersion::new(group.name.to_string(), version.to_string());
            let base = sampan_api::GroupVersionResource::new(gv.group.clone(), gv.version.clone(), "").base_path();
            all.insert(base, resource_list(table, &gv));
        }
        if group.name.is_empty() {
            core = group.versions.iter().map(ToString::to_string).collect();
            continue;
        }
        let version = |version: &str| json!({"groupVersion": format!("{}/{version}", group.name), "version": version});
        let versions: Vec<Value> = group.versions.iter().map(|one| version(one)).collect();
        let body = json!({
            "name": group.name,
            "preferredVersion": versions.first(),
            "versions": versions,
        });
        let mut alone = body.clone();
        alone["kind"] = "APIGroup".into();
        alone["apiVersion"] = "v1".into();
        all.insert(format!("/apis/{}", group.name), alone);
        list.push(body);
    }
    all.insert("/apis".into(), json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list}));
    all.insert("/api".into(), json!({"kind": "APIVersions", "versions": core, "serverAddressByClientCIDRs": []}));
    all
}

fn resource_list(table: &ResourceTable, gv: &sampan_api::GroupVersion) -> Value {
    let mut resources = Vec::new();
    for row in table.iter().filter(|row| row.group == gv.group && row.version == gv.version) {
        resources.push((row, resource(row)));
        resources.extend(row.subresources.iter().map(|one| {
            let mut entry = Map::new();
            let kind = one.kind.clone().unwrap_or_else(|| row.gvk());
            if kind.group != gv.group || kind.version != gv.version {
                entry.insert("group".into(), kind.group.clone().into());
                entry.insert("version".into(), kind.version.clone().into());
            }
            // The log's own options are no kind that anybody sends.
            let shown = if matches!(&one.body, SubresourceBody::Connect(name) if name == "log") {
                row.kind.to_string()
            } else {
                kind.kind
            };
            entry.insert("kind".into(), shown.into());
            entry.insert("name".into(), format!("{}/{}", row.resource, one.name).into());
            entry.insert("namespaced".into(), row.namespaced.into());
            entry.insert("singularName".into(), "".into());
            entry.insert("verbs".into(), one.verbs.names().collect::<Vec<_>>().into());
            (row, Value::Object(entry))
        }));
    }
    // By name; what is below a defined resource comes in the order in which the handler of all of them lists it.
    resources.sort_by_cached_key(|(row, one): &(&Arc<Resource>, Value)| {
        let name: &str = if row.defined { &row.resource } else { one["name"].as_str().unwrap_or_default() };
        name.to_owned()
    });
    let resources: Vec<Value> = resources.into_iter().map(|(_, one)| one).collect();
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": gv.api_version(),
        "resources": resources,
    })
}

fn resource(row: &Resource) -> Value {
    let mut entry = Map::new();
    entry.insert("name".into(), row.resource.to_string().into());
    entry.insert("singularName".into(), row.singular.to_string().into());
    entry.insert("namespaced".into(), row.namespaced.into());
    entry.insert("kind".into(), row.kind.to_string().into());
    entry.insert("verbs".into(), row.verb_names().into());
    let list = |names: &[sampan_registry::resource::Name]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    if !row.short_names.is_empty() {
        entry.insert("shortNames".into(), list(&row.short_names).into());
    }
    if !row.categories.is_empty() {
        entry.insert("categories".into(), list(&row.categories).into());
    }
    if row.verbs.contains(sampan_registry::Verbs::WATCH) {
        entry.insert("storageVersionHash".into(), storage_version_hash(row).into());
    }
    Value::Object(entry)
}

/// Eight bytes of the SHA-256 of the stored group, version and kind, in base64 (k8s.io/apiserver's StorageVersionHash):
/// a client sees by it that a kind is stored otherwise than before.
fn storage_version_hash(row: &Resource) -> String {
    use base64::Engine as _;
    use sha2::{Digest, Sha256};
    let (group, version) = match (&row.stored_as, &row.storage_version) {
        (Some(stored), _) => (stored.storage.group.as_str(), stored.storage.version.as_str()),
        (None, Some(version)) => (row.group.as_ref(), version.as_ref()),
        (None, None) => (row.group.as_ref(), row.version.as_ref()),
    };
    let digest = Sha256::digest(format!("{group}/{version}/{}", row.kind));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_version_hashes_are_those_of_kubernetes() {
        // Recorded from kube-apiserver v1.35.0.
        let check = |group: &'static str, kind: &'static str, hash: &str| {
            assert_eq!(storage_version_hash(&Resource::new(group, "v1", "x", kind)), hash);
        };
        check("apps", "Deployment", "8aSe+NMegvE=");
        check("apps", "ControllerRevision", "85nkx63pcBU=");
        check("networking.k8s.io", "IPAddress", "3f/plJFChNE=");
        let classes = Resource::new("storage.k8s.io", "v1", "x", "VolumeAttributesClass").storage_version("v1beta1");
        assert_eq!(storage_version_hash(&classes), "Bl3MtjZ/n/s=");
    }
}
