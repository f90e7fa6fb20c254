//! What a definition says of its kind, in the order of apiextensions' validation.
//!
//! Kubernetes moves what all versions have alike to the definition itself before it looks: errors show it there.

use super::super::core::condition_is;
use super::super::validation::cursor::At;
use super::super::validation::webhook;
use super::openapi;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sampan_api::field::{BadValue, FieldError, FieldErrors, Path};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;
use std::collections::BTreeSet;

/// Fields that a selector may name, of one version.
const SELECTABLE_MAX: usize = 8;
/// The types of columns.
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
/// The formats of columns.
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// What all versions have alike.
pub(super) struct Shared {
    /// The schema.
    pub schema: bool,
    /// The subresources.
    pub subresources: bool,
    /// The columns.
    pub columns: bool,
    /// The fields that selectors may name.
    pub selectable: bool,
}

impl Shared {
    fn of(versions: &[Value]) -> Self {
        let alike = |name: &str| versions.iter().all(|version| version[name] == versions[0][name]);
        Self {
            schema: alike("schema"),
            subresources: alike("subresources"),
            columns: alike("additionalPrinterColumns"),
            selectable: alike("selectableFields"),
        }
    }
}

/// What an older state of a definition lets its new one have.
#[derive(Clone, Copy)]
pub(super) struct Options {
    any_authorities: bool,
    any_review_versions: bool,
}

impl Options {
    /// Those of a change, or of a new definition.
    pub(super) fn of(old: Option<&Object>) -> Self {
        Self { any_authorities: any_authorities(old), any_review_versions: any_review_versions(old) }
    }
}

/// Everything wrong with a spec.
pub(super) fn check(spec: At<'_>, opts: Options, errors: &mut FieldErrors) {
    group_and_scope(spec, errors);
    let path = spec.path();
    let none = Vec::new();
    let versions = spec.get("versions").value().as_array().unwrap_or(&none);
    let shared = Shared::of(versions);
    let schema_of = |version: &Value| version["schema"]["openAPIV3Schema"].is_object();
    for (at, _) in versions.iter().enumerate().filter(|(_, version)| !schema_of(version)) {
        let at = path.child("versions").index(at).child("schema").child("openAPIV3Schema");
        errors.push(FieldError::required(&at, ""));
    }
    for (at, version) in versions.iter().enumerate() {
        one_version(version, &shared, &path.child("versions").index(at), errors);
    }
    numbers(spec, &shared, errors);
    for name in ["plural", "singular", "kind", "listKind"] {
        let at = spec.get("names");
        let at = at.get(name);
        if at.text().is_empty() {
            at.required(errors, "");
        }
    }
    names(spec.get("names"), errors);
    if let Some(first) = versions.first() {
        let status = versions.iter().any(|version| version["subresources"]["status"].is_object());
        parts(first, &shared, true, status, &path, errors);
    }
    conversion(spec.get("conversion"), opts, errors);
}

fn group_and_scope(spec: At<'_>, errors: &mut FieldErrors) {
    let group = spec.get("group");
    let wrong = names::dns1123_subdomain(group.text());
    if group.text().is_empty() {
        group.required(errors, "");
    } else if !wrong.is_empty() {
        group.invalid(errors, wrong.join(","));
    } else if !group.text().contains('.') {
        group.invalid(errors, "should be a domain with at least one dot");
    }
    let scope = spec.get("scope");
    match scope.text() {
        "" => scope.required(errors, ""),
        "Cluster" | "Namespaced" => {}
        _ => scope.not_supported(errors, &["Cluster", "Namespaced"]),
    }
}

/// A version, but for what all have alike.
fn one_version(version: &Value, shared: &Shared, path: &Path, errors: &mut FieldErrors) {
    let name = version["name"].as_str().unwrap_or_default();
    let wrong = names::dns1035_label(name);
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(&path.child("name"), name, wrong.join(",")));
    }
    deprecation(version, path, errors);
    let status = version["subresources"]["status"].is_object();
    parts(version, shared, false, status, path, errors);
}

fn deprecation(version: &Value, path: &Path, errors: &mut FieldErrors) {
    let Some(text) = version["deprecationWarning"].as_str() else { return };
    let at = path.child("deprecationWarning");
    let mut wrong = |why: &str| errors.push(FieldError::invalid(&at, text, why));
    if version["deprecated"] != true {
        wrong("can only be set for deprecated versions");
        return;
    }
    if text.len() > 256 {
        wrong("must be <= 256 characters long");
    }
    if text.is_empty() {
        wrong("must not be an empty string");
    }
    if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control() || (c.is_whitespace() && *c != ' ')) {
        wrong(&format!("must only contain printable UTF-8 characters; non-printable character found at index {at}"));
    }
}

/// Schema, subresources, columns and selectable fields: those that all versions have alike (`alike`), or the others.
fn parts(version: &Value, shared: &Shared, alike: bool, status: bool, path: &Path, errors: &mut FieldErrors) {
    let schema = &version["schema"]["openAPIV3Schema"];
    if shared.schema == alike && schema.is_object() {
        let of = if alike { path.child("validation") } else { path.child("schema") };
        openapi::check(schema, status, &of.child("openAPIV3Schema"), errors);
    }
    if shared.subresources == alike {
        scale(&version["subresources"]["scale"], &path.child("subresources"), errors);
    }
    if shared.columns == alike {
        for (at, one) in version["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
            column(one, &path.child("additionalPrinterColumns").index(at), errors);
        }
    }
    if shared.selectable == alike {
        selectable(&version["selectableFields"], schema, &path.child("selectableFields"), errors);
    }
}

/// What holds for all versions together.
fn numbers(spec: At<'_>, shared: &Shared, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    let at = spec.get("versions");
    let given = at.value().as_array();
    let versions = given.map_or(&[][..], Vec::as_slice);
    let shown = || BadValue::Raw(given.map_or_else(|| "null".to_owned(), |versions| as_go(versions, shared)));
    if !versions.iter().all(|version| seen.insert(version["name"].as_str())) {
        at.invalid_as(errors, shown(), "must contain unique version names");
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        at.invalid_as(errors, shown(), "must have exactly one version marked as storage version");
    }
    let first = versions.first().and_then(|version| version["name"].as_str()).unwrap_or_default();
    let wrong = names::dns1035_label(first);
    if !first.is_empty() && !wrong.is_empty() {
        spec.get("version").invalid_as(errors, first, wrong.join(","));
    }
}

/// The form of names, as far as they are there.
pub(super) fn names(given: At<'_>, errors: &mut FieldErrors) {
    for name in ["plural", "singular"] {
        let at = given.get(name);
        let wrong = names::dns1035_label(at.text());
        if !at.text().is_empty() && !wrong.is_empty() {
            at.invalid(errors, wrong.join(","));
        }
    }
    for name in ["kind", "listKind"] {
        let at = given.get(name);
        let wrong = names::dns1035_label(&at.text().to_lowercase());
        if !at.text().is_empty() && !wrong.is_empty() {
            at.invalid(errors, format!("may have mixed case, but should otherwise match: {}", wrong.join(",")));
        }
    }
    each_label(given.get("shortNames"), errors);
    let list = given.get("listKind");
    if !list.text().is_empty() && list.text() == given.get("kind").text() {
        list.invalid(errors, "kind and listKind may not be the same");
    }
    each_label(given.get("categories"), errors);
}

fn each_label(list: At<'_>, errors: &mut FieldErrors) {
    for one in list.items() {
        let wrong = names::dns1035_label(one.text());
        if !wrong.is_empty() {
            one.invalid(errors, wrong.join(","));
        }
    }
}

fn scale(scale: &Value, path: &Path, errors: &mut FieldErrors) {
    if !scale.is_object() {
        return;
    }
    let rules: [(&str, &[&str], &str, bool); 3] = [
        ("specReplicasPath", &[".spec."], "should be a json path under .spec", true),
        ("statusReplicasPath", &[".status."], "should be a json path under .status", true),
        ("labelSelectorPath", &[".spec.", ".status."], "should be a json path under either .spec or .status", false),
    ];
    for (name, under, why, required) in rules {
        let (at, given) = (path.child("scale").child(name), scale[name].as_str().unwrap_or_default());
        if given.is_empty() {
            if required {
                errors.push(FieldError::required(&at, ""));
            }
        } else if !given.starts_with('.') {
            errors.push(FieldError::invalid(&at, given, "must be a simple json path starting with ."));
        } else if !under.iter().any(|prefix| given.starts_with(prefix)) {
            errors.push(FieldError::invalid(&at, given, why));
        }
    }
}

fn column(column: &Value, path: &Path, errors: &mut FieldErrors) {
    let text = |name: &str| column[name].as_str().unwrap_or_default();
    if text("name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match text("type") {
        "" => errors.push(FieldError::required(&path.child("type"), types)),
        ty if !COLUMN_TYPES.contains(&ty) => errors.push(FieldError::invalid(&path.child("type"), ty, types)),
        _ => {}
    }
    let format = text("format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(FieldError::invalid(&path.child("format"), format, why));
    }
    let at = path.child("JSONPath");
    match text("jsonPath") {
        "" => errors.push(FieldError::required(&at, "")),
        given if !given.starts_with('.') => {
            errors.push(FieldError::invalid(&at, given, "must be a simple json path starting with ."));
        }
        _ => {}
    }
}

fn selectable(fields: &Value, schema: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (at, field) in fields.as_array().into_iter().flatten().enumerate() {
        let (at, given) = (path.index(at).child("jsonPath"), field["jsonPath"].as_str().unwrap_or_default());
        if given.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        match sampan_cel::rules::find_field(given, schema) {
            Err(why) => errors.push(FieldError::invalid(&at, given, format!("is an invalid path: {why}"))),
            Ok((found, inner)) => {
                if found.split(['.', '[']).next() == Some("metadata") {
                    errors.push(FieldError::invalid(&at, given, "must not point to fields in metadata"));
                }
                if !matches!(inner["type"].as_str(), Some("string" | "boolean" | "integer")) {
                    let why = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                               with formats are allowed.";
                    errors.push(FieldError::invalid(&at, given, why));
                }
                if !seen.insert(found) {
                    errors.push(FieldError::duplicate(&at, given));
                }
            }
        }
    }
    if seen.len() > SELECTABLE_MAX {
        errors.push(FieldError::too_many(path, seen.len(), SELECTABLE_MAX));
    }
}

/// Certificates by which a webhook is known.
fn authorities(at: At<'_>, errors: &mut FieldErrors) {
    let bundle = STANDARD.decode(at.text()).unwrap_or_default();
    if let Err(why) = sampan_schema::certificates::check_authorities(&bundle) {
        at.invalid(errors, why);
    }
}

/// Whether a definition may have any bundle: one that is not established, and one that has a bad one already.
fn any_authorities(old: Option<&Object>) -> bool {
    let Some(old) = old.filter(|old| condition_is(old, "Established", "True")) else { return true };
    let mut errors = FieldErrors::new();
    let at = At::object(old);
    authorities(at.get("spec").get("conversion").get("webhook").get("clientConfig").get("caBundle"), &mut errors);
    !errors.is_empty()
}

fn conversion(conversion: At<'_>, opts: Options, errors: &mut FieldErrors) {
    if !conversion.is_set() {
        return;
    }
    let path = conversion.path();
    let strategy = conversion.get("strategy");
    let webhook = conversion.get("webhook");
    let config = webhook.get("clientConfig");
    let versions = webhook.get("conversionReviewVersions");
    match strategy.text() {
        "" => strategy.required(errors, ""),
        "None" | "Webhook" => {}
        _ => strategy.not_supported(errors, &["None", "Webhook"]),
    }
    let (at, of) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    if strategy.text() != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        if config.is_set() {
            errors.push(FieldError::forbidden(&at, why));
        }
        if !versions.is_empty() {
            errors.push(FieldError::forbidden(&of, why));
        }
        return;
    }
    if !config.is_set() {
        errors.push(FieldError::required(&at, "required when strategy is set to Webhook"));
    } else {
        // Kubernetes' own form has no `webhook` between.
        let client = At::within(config.value(), &conversion, "webhookClientConfig");
        webhook::client(client, errors);
        if !opts.any_authorities {
            authorities(client.get("caBundle"), errors);
        }
    }
    review_versions(&versions.texts(), opts.any_review_versions, &of, errors);
}

/// Whether a definition may name any versions of reviews: one that named none that is known already.
fn any_review_versions(old: Option<&Object>) -> bool {
    let versions = old.and_then(|old| old.get(&["spec", "conversion", "webhook", "conversionReviewVersions"]));
    let mut named = versions.and_then(Value::as_array).into_iter().flatten().peekable();
    named.peek().is_some() && !named.any(|version| version == "v1" || version == "v1beta1")
}

fn review_versions(versions: &[&str], any: bool, path: &Path, errors: &mut FieldErrors) {
    if versions.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let mut seen = BTreeSet::new();
    for (at, version) in versions.iter().enumerate() {
        if !seen.insert(version) {
            errors.push(FieldError::invalid(&path.index(at), *version, "duplicate version"));
            continue;
        }
        for why in names::dns1035_label(version) {
            errors.push(FieldError::invalid(&path.index(at), *version, why));
        }
    }
    if !any && !versions.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        let shown: Vec<Value> = versions.iter().map(|version| Value::from(*version)).collect();
        errors.push(FieldError::invalid(path, Value::Array(shown), "must include at least one of v1, v1beta1"));
    }
}

/// Members of a version as Go's struct prints them.
fn as_go(versions: &[Value], shared: &Shared) -> String {
    let one = |version: &Value| {
        let given = |name: &str, is_shared: bool| match version.get(name) {
            Some(value) if !is_shared => value.to_string(),
            _ => "null".to_owned(),
        };
        let flag = |name: &str| version[name] == true;
        format!(
            "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{},\"Schema\":{},\
             \"Subresources\":{},\"AdditionalPrinterColumns\":{},\"SelectableFields\":{}}}",
            version.get("name").unwrap_or(&Value::String(String::new())),
            flag("served"),
            flag("storage"),
            flag("deprecated"),
            given("deprecationWarning", false),
            given("schema", shared.schema),
            given("subresources", shared.subresources),
            given("additionalPrinterColumns", shared.columns),
            given("selectableFields", shared.selectable),
        )
    };
    format!("[{}]", versions.iter().map(one).collect::<Vec<_>>().join(","))
}
