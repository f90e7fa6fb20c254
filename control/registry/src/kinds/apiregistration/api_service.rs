//! APIServices: the server of a group and version.

use super::super::columns::{Cell, Tabled};
use super::super::core::condition;
use super::super::rules::Rules;
use crate::resource::Resource;
use crate::strategy::{Context, MetadataOfUpdate};
use sampan_api::field::{FieldError, FieldErrors, Path, go_quote};
use sampan_api::names;
use sampan_api::object::Object;
use sampan_api::time;
use serde_json::{Value, json};

pub(super) fn row() -> Resource {
    Resource::new("apiregistration.k8s.io", "v1", "apiservices", "APIService")
        .kept_at("apiregistration.k8s.io/apiservices")
        .cluster_scoped()
        .categories(["api-extensions"])
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .names_servers()
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    finalizers_without_domain: true,
    unconditional_update: false,
    name: names::path_segment,
    prepare_for_create: Some(prepare),
    validate: Some(validate),
    validate_update: Some(|ctx, object, _| match ctx.subresource {
        "status" => conditions(object),
        _ => validate(ctx, object),
    }),
    metadata_of_update: Some(MetadataOfUpdate::Both),
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[
    ("service", |object, _| {
        let field = |name: &str| object.get_str(&["spec", "service", name]).unwrap_or("");
        match object.get(&["spec", "service"]) {
            Some(Value::Object(_)) => format!("{}/{}", field("namespace"), field("name")).into(),
            _ => "Local".into(),
        }
    }),
    ("available", |object, _| available(object).into()),
];

fn available(object: &Object) -> String {
    let condition = condition(object, "Available");
    let field = |name: &str| condition.and_then(|condition| condition.get(name)).and_then(Value::as_str).unwrap_or("");
    match (field("status"), field("reason")) {
        ("", _) => "Unknown".to_owned(),
        ("True", _) => "True".to_owned(),
        (status, reason) => format!("{status} ({reason})"),
    }
}

/// A group version that this server serves is available at once.
fn prepare(ctx: &Context<'_>, object: &mut Object) {
    if object.get(&["spec", "service"]).is_none_or(Value::is_null) {
        let condition = json!({"type": "Available", "status": "True", "reason": "Local",
            "message": "Local APIServices are always available", "lastTransitionTime": time::rfc3339(ctx.now)});
        object.fields_mut().insert("status".into(), json!({"conditions": [condition]}));
    }
}

/// kube-aggregator's `ValidateAPIService`.
fn validate(_: &Context<'_>, object: &Object) -> FieldErrors {
    let spec = Path::new("spec");
    let text = |name: &str| object.get_str(&["spec", name]).unwrap_or_default();
    let (group, version) = (text("group"), text("version"));
    let mut errors = FieldErrors::new();
    let required = format!("{version}.{group}");
    // Of no name nothing is said but that there is none.
    let name = object.name();
    if !name.is_empty() && names::path_segment(name).is_empty() && name != required {
        let path = Path::new("metadata").child("name");
        let why = format!("must be `spec.version+\".\"+spec.group`: {}", go_quote(&required));
        errors.push(FieldError::invalid(&path, object.name(), why));
    }
    if group.is_empty() && version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(&spec.child("group"), why));
    }
    let invalid = |path: Path, value: &str, texts: Vec<String>| {
        texts.into_iter().map(move |text| FieldError::invalid(&path, value, text)).collect::<Vec<_>>()
    };
    if !group.is_empty() {
        errors.extend(invalid(spec.child("group"), group, names::dns1123_subdomain(group)));
    }
    errors.extend(invalid(spec.child("version"), version, names::dns1035_label(version)));
    for (name, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let priority = object.get(&["spec", name]).and_then(Value::as_i64).unwrap_or(0);
        if priority <= 0 || priority > max {
            let why = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(&spec.child(name), priority, why));
        }
    }
    errors.extend(server(object, &spec));
    errors
}

/// What is wrong with how the server is reached.
fn server(object: &Object, spec: &Path) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let bundle = object.get_str(&["spec", "caBundle"]).unwrap_or_default();
    let insecure = object.get(&["spec", "insecureSkipTLSVerify"]) == Some(&Value::Bool(true));
    let skip = spec.child("insecureSkipTLSVerify");
    let Some(service) = object.get(&["spec", "service"]).filter(|service| service.is_object()) else {
        if !bundle.is_empty() {
            // The bytes that the base64 text stands for.
            let padding = bundle.bytes().rev().take_while(|byte| *byte == b'=').count();
            let shown = format!("{} bytes", (bundle.len() / 4 * 3).saturating_sub(padding));
            let why = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid(&spec.child("caBundle"), shown, why));
        }
        if insecure {
            errors.push(FieldError::invalid(&skip, true, "local APIServices may not have insecureSkipTLSVerify"));
        }
        return errors;
    };
    let path = spec.child("service");
    for name in ["namespace", "name"] {
        if service[name].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&path.child(name), ""));
        }
    }
    let port = service["port"].as_i64().unwrap_or(0);
    if !(1..=65_535).contains(&port) {
        let why = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(&path.child("port"), port, why));
    }
    if insecure && !bundle.is_empty() {
        errors.push(FieldError::invalid(&skip, true, "may not be true if caBundle is present"));
    }
    errors
}

fn conditions(object: &Object) -> FieldErrors {
    const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
    let list = object.get(&["status", "conditions"]).and_then(Value::as_array);
    let path = Path::new("status").child("conditions");
    let wrong = list.into_iter().flatten().enumerate().filter_map(|(at, condition)| {
        let status = condition["status"].as_str().unwrap_or_default();
        let told = || FieldError::not_supported(&path.index(at).child("status"), status, &STATUSES);
        (!STATUSES.contains(&status)).then(told)
    });
    wrong.collect()
}
