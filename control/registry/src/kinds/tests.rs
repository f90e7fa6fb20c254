//! The rows against what the real server serves.

use crate::resource::{Resource, Verbs};
use sampan_testing::reference::{self, Comparison};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What differs from the reference on purpose.
mod differences {
    /// Ours, and so not in the reference: (group, resource).
    pub(super) const OURS: &[(&str, &str)] = &[
        ("history.sampan.dev", "changes"),
        ("scheduling.sampan.dev", "decisionbatches"),
        ("scheduling.sampan.dev", "decisions"),
        ("scheduling.sampan.dev", "schedulingpolicies"),
    ];
    /// Subresources of ours on Kubernetes' kinds: (resource, subresource).
    pub(super) const OUR_SUBRESOURCES: &[(&str, &str)] = &[("pods", "scheduling")];
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or("").to_owned()
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    value
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn response_kind(value: &Value, group: &str, version: &str) -> String {
    let kind = &value["responseKind"];
    let or = |name: &str, own: &str| match text(kind, name) {
        empty if empty.is_empty() => own.to_owned(),
        given => given,
    };
    // The reference leaves out the row's own group and version.
    let own_version = text(kind, "version").is_empty();
    let group = if own_version { group.to_owned() } else { text(kind, "group") };
    format!("{group}/{} {}", or("version", version), text(kind, "kind"))
}

fn verbs(verbs: Verbs) -> Vec<String> {
    verbs.names().map(str::to_owned).collect()
}

/// Everything that discovery says of a resource, as one comparable text.
fn described(row: &Resource) -> String {
    let mut subresources: Vec<String> = row
        .subresources
        .iter()
        .filter(|sub| !differences::OUR_SUBRESOURCES.contains(&(row.resource.as_ref(), sub.name.as_ref())))
        .map(|sub| {
            let kind = sub.kind.clone().unwrap_or_else(|| row.gvk());
            format!("{} {}/{} {} {:?}", sub.name, kind.group, kind.version, kind.kind, verbs(sub.verbs))
        })
        .collect();
    subresources.sort();
    format!(
        "{}/{} {} {} {} {:?} {:?} {:?} {subresources:?}",
        row.group,
        row.version,
        row.kind,
        row.singular,
        if row.namespaced { "Namespaced" } else { "Cluster" },
        row.short_names,
        row.categories,
        verbs(row.verbs),
    )
}

#[test]
fn rows_are_what_the_real_server_serves() {
    let rows = crate::RuntimeConfig::default().choose(super::all(), &sampan_schema::gates::Gates::default());
    let Some(discovery) = reference::text("discovery-v1.35.json") else { return };
    let discovery: Value = serde_json::from_str(&discovery).expect("the reference is JSON");
    let mut wanted = BTreeMap::new();
    let mut order = Vec::new();
    for group in ["/api", "/apis"].iter().flat_map(|root| discovery[root]["items"].as_array().into_iter().flatten()) {
        let name = text(&group["metadata"], "name");
        for version in group["versions"].as_array().into_iter().flatten() {
            let number = text(version, "version");
            order.push((name.clone(), number.clone()));
            for resource in version["resources"].as_array().into_iter().flatten() {
                let mut subresources: Vec<String> = resource["subresources"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|sub| {
                        let kind = response_kind(sub, &name, &number);
                        format!("{} {kind} {:?}", text(sub, "subresource"), texts(sub, "verbs"))
                    })
                    .collect();
                subresources.sort();
                let described = format!(
                    "{} {} {} {:?} {:?} {:?} {subresources:?}",
                    response_kind(resource, &name, &number),
                    text(resource, "singularResource"),
                    text(resource, "scope"),
                    texts(resource, "shortNames"),
                    texts(resource, "categories"),
                    texts(resource, "verbs"),
                );
                wanted.insert((name.clone(), number.clone(), text(resource, "resource")), described);
            }
        }
    }
    let mut comparison = Comparison::new("rows", []);
    for row in &rows {
        if differences::OURS.contains(&(row.group.as_ref(), row.resource.as_ref())) {
            continue;
        }
        let key = (row.group.to_string(), row.version.to_string(), row.resource.to_string());
        let want = wanted.remove(&key).unwrap_or_default();
        comparison.equal(&format!("{row:?}"), &described(row), &want);
    }
    for (group, version, resource) in wanted.keys() {
        comparison.case(&format!("{group}/{version} {resource}"), ["no such row".to_owned()]);
    }
    let mut served: Vec<(String, String)> = Vec::new();
    for row in rows.iter().filter(|row| !row.group.ends_with(".sampan.dev")) {
        let version = (row.group.to_string(), row.version.to_string());
        if !served.contains(&version) {
            served.push(version);
        }
    }
    assert_eq!(served, order, "groups and versions stand in the order of discovery");
    comparison.finish(66);
}

#[test]
fn columns_are_those_of_the_real_server() {
    let rows = super::all();
    for row in rows.iter().filter(|row| row.body == crate::resource::Body::Stored) {
        assert!(row.columns.is_some(), "{row:?} has no columns, or its data names a function that it does not give");
    }
    let Some(columns) = reference::text("columns-v1.35.json") else { return };
    let columns: BTreeMap<String, Vec<Value>> = serde_json::from_str(&columns).expect("the reference is JSON");
    let mut left: BTreeSet<&String> = columns.keys().collect();
    let mut comparison = Comparison::new("columns", []);
    for row in &rows {
        let root = if row.group.is_empty() { "/api" } else { "/apis" };
        let path = format!("{root}/{}/{}", row.api_version(), row.resource);
        let (Some(want), Some(have)) = (columns.get(&path), &row.columns) else { continue };
        left.remove(&path);
        let want: Vec<_> = want
            .iter()
            .map(|c| (text(c, "name"), text(c, "type"), text(c, "format"), c["priority"].as_i64().unwrap_or(0)))
            .collect();
        let have: Vec<_> = have
            .definitions
            .iter()
            .map(|c| (c.name.to_string(), c.type_.to_string(), c.format.to_string(), i64::from(c.priority)))
            .collect();
        comparison.equal(&path, &have, &want);
    }
    for path in left {
        comparison.case(path, ["no columns".to_owned()]);
    }
    comparison.finish(59);
}

/// All Rust files below a folder.
fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let of = |path: std::path::PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(of).filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn each_set_of_facts_that_is_named_is_there() {
    let named = regex::Regex::new(r#"\bfacts\(\s*"([^"]+)",\s*"([^"]+)"\s*\)"#).expect("a pattern");
    let mut found = 0;
    for file in sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kinds")) {
        let text = std::fs::read_to_string(&file).expect("a source");
        for set in named.captures_iter(&text) {
            super::validation::checks::facts(&set[1], &set[2]);
            found += 1;
        }
    }
    assert!(found >= 10, "the names of sets are read: {found}");
    super::validation::sources::all_facts().for_each(super::validation::checks::Facts::touch);
}

/// What a template's pods use of a feature that is off stays allowed, where the template before used it.
#[test]
fn templates_keep_what_they_used() {
    let gates = sampan_schema::gates::Gates::default();
    let user = sampan_api::user::UserInfo::new("ann", ["people"]);
    let ctx = crate::strategy::Context {
        user: &user,
        now: std::time::SystemTime::UNIX_EPOCH,
        subresource: "",
        namespace: "default",
        capabilities: crate::strategy::Capabilities::default(),
        gates: &gates,
        home: None,
    };
    let rows = super::all();
    let check = |resource: &str, way: &[&str], field: &str, value: &Value, wrong: &str| {
        let row = rows.iter().find(|row| row.resource == resource && row.version == "v1").expect("a row");
        let object = |uses: bool| {
            let mut object = sampan_api::Object::default();
            object.set(&[way, &["spec", "containers"]].concat(), serde_json::json!([{"name": "a", "image": "b"}]));
            if uses {
                object.set(&[way, &["spec", field]].concat(), value.clone());
            }
            object
        };
        let told = |new: &sampan_api::Object, old: &sampan_api::Object| {
            let errors = row.strategy.validate_update(&ctx, new, old);
            errors.iter().any(|error| error.field.ends_with(wrong) && error.field.contains(field))
        };
        assert!(told(&object(true), &object(false)), "{resource} {field}: it is new");
        assert!(!told(&object(true), &object(true)), "{resource} {field}: it was there");
    };
    let tolerations = serde_json::json!([{"key": "k", "operator": "Lt", "value": "5", "effect": "NoSchedule"}]);
    let template = &["spec", "template"][..];
    for (resource, way) in [
        ("deployments", template),
        ("replicasets", template),
        ("daemonsets", template),
        ("statefulsets", template),
        ("replicationcontrollers", template),
        ("jobs", template),
        ("cronjobs", &["spec", "jobTemplate", "spec", "template"]),
        ("podtemplates", &["template"]),
    ] {
        check(resource, way, "tolerations", &tolerations, ".operator");
        check(resource, way, "securityContext", &serde_json::json!({"seLinuxChangePolicy": "MountOption"}), "Policy");
    }
}
