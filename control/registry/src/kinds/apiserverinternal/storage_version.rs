//! StorageVersions: the version in which each API server stores a kind.

use super::super::columns::{Cell, Tabled};
use super::super::rules::{Rules, facts_alone};
use super::super::validation::checks::{named, required_text};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

pub(super) fn row() -> Resource {
    Resource::new("internal.apiserver.k8s.io", "v1alpha1", "storageversions", "StorageVersion")
        .cluster_scoped()
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    name: group_and_resource,
    validate_update: Some(|ctx, version, old| {
        if ctx.subresource.is_empty() {
            return facts_alone(ctx, version, old);
        }
        let mut errors = FieldErrors::default();
        status(At::object(version), &mut errors);
        errors
    }),
    unconditional_update: false,
    ..Rules::NONE
};

/// `<group>.<resource>`.
fn group_and_resource(name: &str) -> Vec<String> {
    let Some((group, resource)) = name.rsplit_once('.') else {
        return vec!["name must be in the form of <group>.<resource>".to_owned()];
    };
    let wrong = names::dns1123_subdomain(group).into_iter().map(|why| format!("the group segment {why}"));
    wrong.chain(names::dns1035_label(resource).into_iter().map(|why| format!("the resource segment {why}"))).collect()
}

/// Reasons and words of `validateStorageVersionStatus`.
fn status(object: At<'_>, errors: &mut FieldErrors) {
    let at = object.get("status");
    let servers = at.get("storageVersions");
    let mut seen = HashSet::new();
    for server in servers.items() {
        let id = server.get("apiServerID");
        if !seen.insert(id.text().to_owned()) {
            id.duplicate(errors);
        }
        named(id, errors, names::dns1123_subdomain);
        encoding(server, errors);
    }
    common(at.get("commonEncodingVersion"), servers, errors);
    // Kubernetes tells of a condition as of the status's element.
    conditions(At::within(at.get("conditions").value(), &object, "status"), errors);
}

fn conditions(list: At<'_>, errors: &mut FieldErrors) {
    let mut seen = HashMap::new();
    for (index, condition) in list.items().enumerate() {
        let type_ = condition.get("type");
        if let Some(before) = seen.insert(type_.text().to_owned(), index) {
            let why = format!("the type of the condition is not unique, it also appears in conditions[{before}]");
            type_.invalid(errors, why);
        }
        named(type_, errors, names::qualified_name);
        named(condition.get("status"), errors, names::qualified_name);
        required_text(condition.get("reason"), errors);
        required_text(condition.get("message"), errors);
    }
}

/// The versions of one server.
fn encoding(server: At<'_>, errors: &mut FieldErrors) {
    let (encoded, decodable, served) =
        (server.get("encodingVersion"), server.get("decodableVersions"), server.get("servedVersions"));
    let check = |at: At<'_>, errors: &mut FieldErrors| {
        let wrong = api_version(at.text());
        if !wrong.is_empty() {
            at.invalid_as(errors, at.text(), wrong.join(","));
        }
    };
    check(encoded, errors);
    decodable.items().for_each(|one| check(one, errors));
    let known: HashSet<&str> = decodable.texts().into_iter().collect();
    if !known.contains(encoded.text()) {
        decodable.invalid(errors, format!("decodableVersions must include encodingVersion {}", encoded.text()));
    }
    for one in served.items() {
        check(one, errors);
        if !known.contains(one.text()) {
            let all = decodable.texts().join(" ");
            let why =
                format!("individual served version : {} must be included in decodableVersions : [{all}]", one.text());
            one.invalid(errors, why);
        }
    }
}

/// The version that all servers store in, where they agree.
fn common(told: At<'_>, servers: At<'_>, errors: &mut FieldErrors) {
    let mut all = servers.value().as_array().into_iter().flatten().map(|server| server["encodingVersion"].as_str());
    let first = all.next().map(Option::unwrap_or_default);
    let agreed = first.filter(|first| all.all(|other| other.unwrap_or_default() == *first));
    match agreed {
        None if told.is_set() => told.invalid(
            errors,
            "should be nil if servers do not agree on the same encoding version, or if there is no server reporting the supported versions yet",
        ),
        Some(agreed) if !told.is_set() => {
            told.invalid_as(errors, Value::Null, format!("the common encoding version is {agreed}"));
        }
        Some(agreed) if told.text() != agreed => {
            told.invalid(errors, format!("the actual common encoding version is {agreed}"));
        }
        _ => {}
    }
}

const EMPTY: &str = "must be non-empty";

/// What is wrong with `v1` or `GROUP/v1`.
fn api_version(text: &str) -> Vec<String> {
    let (group, version) = text.split_once('/').map_or((None, text), |(group, version)| (Some(group), version));
    if version.contains('/') {
        return vec![
            "an apiVersion is a DNS-1035 label, which must consist of lower case alphanumeric characters or '-', start with an \
             alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
             validation is '[a-z]([-a-z0-9]*[a-z0-9])?') with an optional DNS subdomain prefix and '/' (e.g. \
             'example.com/MyVersion')"
                .to_owned(),
        ];
    }
    let part = |what: &str, text: &str, rule: fn(&str) -> Vec<String>| -> Vec<String> {
        let wrong = if text.is_empty() { vec![EMPTY.to_owned()] } else { rule(text) };
        wrong.into_iter().map(|why| format!("{what} part: {why}")).collect()
    };
    let mut wrong = group.map_or_else(Vec::new, |group| part("group", group, names::dns1123_subdomain));
    wrong.extend(part("version", version, names::dns1035_label));
    wrong
}

/// Servers that a cell shows.
const SHOWN_MAX: usize = 3;

const CELLS: &[(&str, Cell)] = &[("storage-versions", |version, _| {
    let servers = version.get(&["status", "storageVersions"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let text = |server: &Value, name: &str| server[name].as_str().unwrap_or_default().to_owned();
    let shown = servers.iter().take(SHOWN_MAX);
    let shown: Vec<String> =
        shown.map(|server| format!("{}={}", text(server, "apiServerID"), text(server, "encodingVersion"))).collect();
    match servers.len().checked_sub(SHOWN_MAX) {
        None | Some(0) => shown.join(",").into(),
        Some(more) => format!("{} + {more} more...", shown.join(",")).into(),
    }
})];

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::object::Object;
    use serde_json::json;

    #[test]
    fn a_status_is_checked_as_kubernetes_does() {
        let check = |status: Value, expected: &[&str]| {
            let object = Object::from_value(json!({"metadata": {}, "status": status})).expect("an object");
            let mut errors = FieldErrors::default();
            super::status(At::object(&object), &mut errors);
            let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        };
        let server = |encoding: &str, decodable: &[&str]| json!({"apiServerID": "a", "encodingVersion": encoding, "decodableVersions": decodable});
        check(json!({"storageVersions": [server("v1", &["v1"])], "commonEncodingVersion": "v1"}), &[]);
        check(
            json!({"storageVersions": [server("v1", &["v2"])]}),
            &[
                "status.storageVersions[0].decodableVersions: Invalid value: [\"v2\"]: decodableVersions must include encodingVersion v1",
                "status.commonEncodingVersion: Invalid value: null: the common encoding version is v1",
            ],
        );
        check(
            json!({"conditions": [{"type": "A", "status": "True", "reason": "", "message": "m"}]}),
            &["status[0].reason: Required value"],
        );
    }
}
