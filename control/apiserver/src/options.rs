//! The options of a request: query parameters (and a DELETE's body) read and checked as `k8s.io/apimachinery` does.

use crate::negotiate::{self, Format};
use crate::query::Query;
use crate::request_info::truthy;
use http::HeaderMap;
use sampan_api::field::{FieldError, FieldErrors, Path, is_printable};
use sampan_api::limits::FIELD_MANAGER_MAX;
use sampan_api::{FieldSelector, GroupKind, LabelSelector, Status, names};
use sampan_registry::options::{DeleteOptions, GetOptions, ListOptions, Propagation};
use sampan_schema::meta;
use serde_json::Value;

/// The name that kube-apiserver's scheme of types has in its errors.
pub(crate) const GO_SCHEME: &str = "pkg/runtime/scheme.go:111";

/// The treatment of fields that a kind does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options that creates, updates and patches share.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// `dryRun=All`: everything is done but the write.
    pub dry_run: bool,
    /// As given; empty when it was not.
    pub field_manager: String,
    /// What is done about fields that the kind does not have; `Warn` when it was not given.
    pub field_validation: FieldValidation,
    /// The fields of the options as they came, as admission is shown them.
    pub shown: Value,
}

/// Options of a patch beside those of a write.
#[derive(Clone, Debug, Default)]
pub struct PatchOptions {
    /// Those that every write has.
    pub write: WriteOptions,
    /// `force=true`: an applied field is taken from the manager that owns it.
    pub force: bool,
}

fn invalid(kind: &str, errors: &FieldErrors) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", errors)) }
}

/// A query value as apimachinery converts it to an int64: absent is `None`.
pub(crate) fn integer(query: &Query<'_>, name: &str) -> Result<Option<i64>, Status> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let why = if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        "invalid syntax"
    } else {
        match text.parse() {
            Ok(number) => return Ok(Some(number)),
            Err(_) => "value out of range",
        }
    };
    Err(Status::bad_request(format!("strconv.ParseInt: parsing {}: {why}", sampan_api::field::go_quote(text))))
}

/// The options of a LIST, or of a watch. Which of them exclude each other the registry says.
pub fn list(query: &Query<'_>) -> Result<ListOptions, Status> {
    // In Go's order: numbers are read with all parameters, and the texts of selectors after that.
    let timeout = integer(query, "timeoutSeconds")?;
    let limit = integer(query, "limit")?.unwrap_or(0);
    let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or(""))
        .map_err(|error| Status::bad_request(error.to_string()))?;
    let fields = FieldSelector::parse(query.get("fieldSelector").unwrap_or(""))
        .map_err(|error| Status::bad_request(error.to_string()))?;
    let resource_version = query.get("resourceVersion").unwrap_or("").to_owned();
    let continue_token = query.get("continue").unwrap_or("").to_owned();
    let send_initial_events = query.get("sendInitialEvents").map(|value| truthy(Some(value)));

    Ok(ListOptions {
        labels,
        fields,
        limit: u64::try_from(limit).unwrap_or(0),
        continue_token,
        resource_version,
        version_match: query.get("resourceVersionMatch").unwrap_or("").to_owned(),
        allow_bookmarks: truthy(query.get("allowWatchBookmarks")),
        send_initial_events,
        timeout_seconds: timeout.and_then(|seconds| u64::try_from(seconds).ok()),
        history: None,
    })
}

/// The options of a GET. `resourceVersionMatch=Exact` reads history: ours, Kubernetes ignores it.
pub fn get(query: &Query<'_>) -> GetOptions {
    GetOptions {
        resource_version: query.get("resourceVersion").unwrap_or("").to_owned(),
        version_match: query.get("resourceVersionMatch").unwrap_or("").to_owned(),
        history: None,
    }
}

/// The options of a create (`CreateOptions`), update (`UpdateOptions`) or patch that is no apply (`PatchOptions`).
pub fn write(query: &Query<'_>, kind: &str) -> Result<WriteOptions, Status> {
    let mut errors = FieldErrors::new();
    let options = read_write(query, &mut errors);
    invalid(kind, &errors)?;
    Ok(options)
}

/// The options of a patch; `apply` is the type that has a manager and may be forced.
pub fn patch(query: &Query<'_>, apply: bool) -> Result<PatchOptions, Status> {
    let mut errors = FieldErrors::new();
    let force = query.get("force").map(|value| truthy(Some(value)));
    if apply {
        if query.get("fieldManager").unwrap_or("").is_empty() {
            errors.push(FieldError::required(&Path::new("fieldManager"), "is required for apply patch"));
        }
    } else if force.is_some() {
        errors.push(FieldError::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
    }
    let write = read_write(query, &mut errors);
    invalid("PatchOptions", &errors)?;
    Ok(PatchOptions { write, force: force.unwrap_or(false) })
}

fn read_write(query: &Query<'_>, errors: &mut FieldErrors) -> WriteOptions {
    let manager = query.get("fieldManager").unwrap_or("");
    errors.extend(names::field_manager(&Path::new("fieldManager"), manager));
    let dry_run = dry_run(query.all("dryRun"), errors);
    let validation = query.get("fieldValidation").unwrap_or("");
    let field_validation = match validation {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            let path = Path::new("fieldValidation");
            errors.push(FieldError::not_supported(&path, other, &["", "Ignore", "Strict", "Warn"]));
            FieldValidation::Warn
        }
    };
    let mut shown = serde_json::Map::new();
    if dry_run {
        shown.insert("dryRun".into(), query.all("dryRun").collect::<Vec<_>>().into());
    }
    for (name, value) in [("fieldManager", manager), ("fieldValidation", validation)] {
        if !value.is_empty() {
            shown.insert(name.into(), value.into());
        }
    }
    WriteOptions { dry_run, field_manager: manager.to_owned(), field_validation, shown: Value::Object(shown) }
}

fn dry_run<'a>(values: impl Iterator<Item = &'a str>, errors: &mut FieldErrors) -> bool {
    let values: Vec<&str> = values.collect();
    if values.iter().any(|value| *value != "All") {
        errors.push(FieldError::not_supported(&Path::new("dryRun"), Value::from(values.clone()), &["All"]));
    }
    !values.is_empty()
}

/// The fields of `DeleteOptions` that are acted on, and shown to admission.
const DELETE_FIELDS: [&str; 5] =
    ["gracePeriodSeconds", "preconditions", "orphanDependents", "propagationPolicy", "dryRun"];

/// The options of a DELETE: out of its body where there is one, else out of the query. Also those that it has as a write.
pub fn delete(query: &Query<'_>, headers: &HeaderMap, body: &[u8]) -> Result<(DeleteOptions, WriteOptions), Status> {
    let value = match body {
        b"" => delete_of_query(query)?,
        // Go decodes it into options that say nothing.
        b"null" => delete_of_body(headers, b"{}")?,
        said => delete_of_body(headers, said)?,
    };
    let (options, dry_run) = read_delete(&value)?;
    let fields = value.as_object().into_iter().flatten();
    let shown = fields.filter(|(name, value)| DELETE_FIELDS.contains(&name.as_str()) && !value.is_null());
    let shown = Value::Object(shown.map(|(name, value)| (name.clone(), value.clone())).collect());
    Ok((options, WriteOptions { dry_run, shown, ..WriteOptions::default() }))
}

/// `DeleteOptions` as a value tree, checked and read.
pub fn read_delete(value: &Value) -> Result<(DeleteOptions, bool), Status> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let mut errors = FieldErrors::new();
    let orphan_dependents = value.get("orphanDependents").and_then(Value::as_bool);
    let policy = value.get("propagationPolicy").and_then(Value::as_str);
    let path = Path::new("propagationPolicy");
    if let (Some(_), Some(policy)) = (orphan_dependents, policy) {
        let text = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(&path, policy, text));
    }
    let propagation = policy.and_then(Propagation::parse);
    if let (Some(policy), None) = (policy, propagation) {
        errors.push(FieldError::not_supported(&path, policy, &["Foreground", "Background", "Orphan", "nil"]));
    }
    let dry = value.get("dryRun").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let dry = dry_run(dry, &mut errors);
    invalid("DeleteOptions", &errors)?;
    let preconditions = value.get("preconditions");
    let options = DeleteOptions {
        grace_period_seconds: value.get("gracePeriodSeconds").and_then(Value::as_i64),
        uid: text(preconditions.and_then(|it| it.get("uid"))),
        resource_version: text(preconditions.and_then(|it| it.get("resourceVersion"))),
        propagation,
        orphan_dependents,
    };
    Ok((options, dry))
}

fn delete_of_query(query: &Query<'_>) -> Result<Value, Status> {
    let mut options = serde_json::Map::new();
    if let Some(seconds) = integer(query, "gracePeriodSeconds")? {
        options.insert("gracePeriodSeconds".into(), seconds.into());
    }
    if let Some(value) = query.get("orphanDependents") {
        options.insert("orphanDependents".into(), truthy(Some(value)).into());
    }
    if let Some(policy) = query.get("propagationPolicy") {
        options.insert("propagationPolicy".into(), policy.into());
    }
    let dry: Vec<&str> = query.all("dryRun").collect();
    if !dry.is_empty() {
        options.insert("dryRun".into(), dry.into());
    }
    let given = |name: &str| {
        let value = query.get(name).filter(|value| !value.is_empty())?;
        Some((name.to_owned(), Value::from(value)))
    };
    let preconditions: serde_json::Map<String, Value> =
        ["uid", "resourceVersion"].into_iter().filter_map(given).collect();
    if !preconditions.is_empty() {
        options.insert("preconditions".into(), preconditions.into());
    }
    Ok(Value::Object(options))
}

/// Old clients name the kind's own group, new ones `meta.k8s.io`, many nothing at all: the kind alone decides.
fn delete_of_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, Status> {
    let ty = meta::find("DeleteOptions").ok_or_else(|| Status::internal("the schema has no DeleteOptions"))?;
    let (schema, type_id) = (ty.schema(), ty.id());
    let bad = |error: sampan_schema::DecodeError| Status::bad_request(error.to_string());
    let check = |api_version: &str, kind: &str| {
        if api_version.matches('/').count() > 1 {
            return Err(Status::bad_request(format!("unexpected GroupVersion string: {api_version}")));
        }
        if kind.is_empty() || kind == "DeleteOptions" {
            return Ok(());
        }
        let version = api_version.rsplit('/').next().unwrap_or("");
        Err(Status::bad_request(format!(
            "no kind \"{kind}\" is registered for version \"{}\" in scheme \"{GO_SCHEME}\"",
            if version.is_empty() { "meta.k8s.io/v1" } else { api_version }
        )))
    };
    let decoded = match negotiate::input(headers)? {
        Format::Json => {
            let meta = sampan_schema::json::type_meta(body).map_err(bad)?;
            check(&meta.api_version, &meta.kind)?;
            sampan_schema::json::decode(schema, type_id, body)
        }
        Format::Yaml => {
            let meta = sampan_schema::yaml::type_meta(body).map_err(bad)?;
            check(&meta.api_version, &meta.kind)?;
            sampan_schema::yaml::decode(schema, type_id, body)
        }
        Format::Protobuf => {
            let envelope = sampan_schema::protobuf::unwrap(body).map_err(bad)?;
            check(envelope.api_version, envelope.kind)?;
            sampan_schema::protobuf::decode(schema, type_id, envelope.raw)
        }
    };
    decoded.map(|decoded| decoded.value).map_err(bad)
}

/// The manager of the fields that a request writes which names none: the first part of the user agent, as far as it can be printed
/// and has room (k8s.io/apiserver's prefixFromUserAgent).
pub fn manager_of_agent(user_agent: &[u8]) -> String {
    let name = user_agent.split(|byte| *byte == b'/').next().unwrap_or_default();
    let mut manager = String::new();
    for c in String::from_utf8_lossy(name).chars().filter(|c| is_printable(*c)) {
        if manager.len() + c.len_utf8() > FIELD_MANAGER_MAX {
            break;
        }
        manager.push(c);
    }
    manager
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_options_get_kubernetes_texts() {
        let check_list = |query: &str, code: u16, text: &str| {
            let status = list(&Query::parse(Some(query))).expect_err(query);
            assert_eq!((status.code(), status.message.as_str()), (code, text), "{query}");
        };
        check_list("limit=abc", 400, "strconv.ParseInt: parsing \"abc\": invalid syntax");
        check_list(
            "labelSelector=a%20b",
            400,
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        );
        check_list("fieldSelector=x", 400, "invalid selector: 'x'; can't understand 'x'");
        let status = write(&Query::parse(Some("fieldValidation=Bogus")), "CreateOptions").expect_err("unknown");
        assert_eq!(
            status.message,
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Bogus\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
        );
        let status = patch(&Query::parse(Some("force=true")), false).expect_err("force without apply");
        assert_eq!(
            status.message,
            "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
        );
    }

    #[test]
    fn delete_options_come_from_the_body_or_the_query() {
        let from_query = |query: &str| delete(&Query::parse(Some(query)), &HeaderMap::new(), b"");
        let (options, write) = from_query("gracePeriodSeconds=5&propagationPolicy=Orphan&dryRun=All").expect("valid");
        assert_eq!(
            (options.grace_period_seconds, options.propagation, write.dry_run),
            (Some(5), Some(Propagation::Orphan), true)
        );
        let (options, write) = from_query("uid=u&resourceVersion=7").expect("valid");
        assert_eq!((options.uid.as_deref(), options.resource_version.as_deref()), (Some("u"), Some("7")));
        assert_eq!(write.shown, serde_json::json!({"preconditions": {"uid": "u", "resourceVersion": "7"}}));
        let (options, _) = from_query("uid=&resourceVersion=").expect("valid");
        assert_eq!((options.uid, options.resource_version), (None, None));
        assert_eq!(
            from_query("dryRun=Some").expect_err("unknown").message,
            "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""
        );
        let from_body = |body: &str| delete(&Query::default(), &HeaderMap::new(), body.as_bytes());
        let (options, _) = from_body(r#"{"preconditions":{"uid":"u"},"bogus":1}"#).expect("unknown fields are ignored");
        assert_eq!(options.uid.as_deref(), Some("u"));
        assert_eq!(
            from_body(r#"{"kind":"Pod","apiVersion":"v1"}"#).expect_err("no DeleteOptions").message,
            "no kind \"Pod\" is registered for version \"v1\" in scheme \"pkg/runtime/scheme.go:111\""
        );
        assert_eq!(
            from_body(r#"{"kind":"Zork"}"#).expect_err("no DeleteOptions").message,
            "no kind \"Zork\" is registered for version \"meta.k8s.io/v1\" in scheme \"pkg/runtime/scheme.go:111\""
        );
        assert_eq!(
            from_body(r#"{"kind":"DeleteOptions","apiVersion":"a/b/c"}"#).expect_err("no version").message,
            "unexpected GroupVersion string: a/b/c"
        );
        assert_eq!(
            from_body("xx").expect_err("no JSON").message,
            "couldn't get version/kind; json parse error: invalid character 'x' looking for beginning of value"
        );
    }

    #[test]
    fn who_names_no_manager_is_called_as_its_agent() {
        let check = |agent: &[u8], manager: &str| assert_eq!(manager_of_agent(agent), manager, "{agent:?}");
        check(b"kubectl/v1.35 (linux)", "kubectl");
        check(b"", "");
        check("\u{fc}/1".as_bytes(), "\u{fc}");
        check(b"a\tb/1", "ab");
        check(b"a\xff/1", "a\u{fffd}");
        check("a\u{ad}b".as_bytes(), "ab");
        let long = "x".repeat(FIELD_MANAGER_MAX - 1);
        check(format!("{long}\u{fc}y/1").as_bytes(), &long);
    }
}
