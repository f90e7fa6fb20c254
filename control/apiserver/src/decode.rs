//! Bodies into objects: which kind they are of, and what is said when they are not what the request's resource takes.

use crate::negotiate::Format;
use crate::options::FieldValidation;
use sampan_api::admission::Warnings;
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::{GroupKind, GroupVersionKind, Object, Status};
use sampan_schema::{DecodeError, Decoded, Problem, Schema, TypeId, json, problems, protobuf, yaml};
use serde_json::Value;

/// A body read as an object of the expected kind. `problems`: fields that the kind does not have.
#[derive(Debug)]
pub struct Body {
    pub object: Object,
    pub problems: Vec<Problem>,
    /// The kind and version that the body named, for the messages.
    kind: String,
    version: String,
}

/// Reads a body as an object of `expected`. A body that names no kind or version is taken to be of the expected one.
pub fn object(expected: &GroupVersionKind, format: Format, body: &[u8]) -> Result<Body, Status> {
    let schema = Schema::builtin();
    let type_id = schema.type_of(expected);
    let decoded = match format {
        Format::Json => decode(schema, type_id, body, json::decode),
        Format::Yaml => decode(schema, type_id, body, yaml::decode),
        Format::Protobuf => return of_protobuf(schema, expected, type_id, body),
    };
    match decoded {
        Ok(decoded) => of_decoded(schema, expected, decoded),
        Err(error) => {
            let meta = match format {
                Format::Yaml => yaml::type_meta(body),
                _ => json::type_meta(body),
            };
            let (api_version, kind) = meta.map(|meta| (meta.api_version, meta.kind)).unwrap_or_default();
            check_kind(schema, expected, &api_version, &kind)?;
            let version = version_of(&api_version, expected);
            let kind = if kind.is_empty() { &expected.kind } else { &kind };
            Err(Status::bad_request(error.message(&expected.kind, kind, version, body)))
        }
    }
}

type Decoder = fn(&Schema, TypeId, &[u8]) -> Result<Decoded, DecodeError>;

/// A kind that the schema does not know is a free tree: nothing of it is dropped.
fn decode(schema: &Schema, type_id: Option<TypeId>, body: &[u8], decoder: Decoder) -> Result<Decoded, DecodeError> {
    match type_id {
        Some(type_id) => decoder(schema, type_id, body),
        // JSON is YAML: one reader does for both.
        None => {
            let (value, problems) = yaml::to_json(body).map_err(DecodeError::Unrecognized)?;
            Ok(Decoded { value, problems })
        }
    }
}

fn of_protobuf(
    schema: &Schema,
    expected: &GroupVersionKind,
    type_id: Option<TypeId>,
    body: &[u8],
) -> Result<Body, Status> {
    let message = |error: &DecodeError, kind: &str, version: &str| {
        Status::bad_request(error.message(&expected.kind, kind, version, body))
    };
    let envelope = protobuf::unwrap(body).map_err(|error| message(&error, &expected.kind, &expected.version))?;
    check_kind(schema, expected, envelope.api_version, envelope.kind)?;
    let Some(type_id) = type_id.filter(|id| schema.get(*id).has_protobuf()) else {
        return Err(Status::unsupported_media_type(&crate::negotiate::SERVED_WITHOUT_SCHEMA));
    };
    let mut decoded = protobuf::decode(schema, type_id, envelope.raw)
        .map_err(|error| message(&error, &expected.kind, version_of(envelope.api_version, expected)))?;
    // The payload holds no type: the envelope does.
    if let Value::Object(map) = &mut decoded.value {
        map.insert("apiVersion".into(), envelope.api_version.to_string().into());
        map.insert("kind".into(), envelope.kind.to_string().into());
    }
    of_decoded(schema, expected, decoded)
}

fn of_decoded(schema: &Schema, expected: &GroupVersionKind, decoded: Decoded) -> Result<Body, Status> {
    let Some(mut object) = Object::from_value(decoded.value) else {
        let text = format!(
            "{} in version \"{}\" cannot be handled as a {}: the body is no object",
            expected.kind, expected.version, expected.kind
        );
        return Err(Status::bad_request(text));
    };
    check_kind(schema, expected, object.api_version(), object.kind())?;
    let version = version_of(object.api_version(), expected).to_owned();
    let kind = if object.kind().is_empty() { expected.kind.clone() } else { object.kind().to_owned() };
    if object.api_version().is_empty() || object.kind().is_empty() {
        object.set_gvk(expected);
    }
    Ok(Body { object, problems: decoded.problems, kind, version })
}

fn version_of<'a>(api_version: &'a str, expected: &'a GroupVersionKind) -> &'a str {
    match api_version.rsplit('/').next() {
        None | Some("") => &expected.version,
        Some(version) => version,
    }
}

/// Whether a body of `api_version` and `kind` can be handled as `expected`, and why not.
fn check_kind(schema: &Schema, expected: &GroupVersionKind, api_version: &str, kind: &str) -> Result<(), Status> {
    let kind = if kind.is_empty() { expected.kind.as_str() } else { kind };
    let (group, version) = match api_version.split_once('/') {
        _ if api_version.is_empty() => (expected.group.as_str(), expected.version.as_str()),
        None => ("", api_version),
        Some((group, version)) => (group, version),
    };
    if kind == expected.kind && version == expected.version && group == expected.group {
        return Ok(());
    }
    let shown = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let known = schema.find(group, version, kind).is_some();
    let why = if !known {
        format!("no kind \"{kind}\" is registered for version \"{shown}\" in scheme \"<scheme>\"")
    } else if kind == expected.kind {
        // Another version or group of the same kind converts, and is then not what the path says.
        let text = format!(
            "the API version in the data ({shown}) does not match the expected API version ({})",
            expected.api_version()
        );
        return Err(Status::bad_request(text));
    } else {
        // Go prints the packages of the types: the version's for what came, the group's own for what was expected.
        let package = expected.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
        format!("converting ({version}.{kind}) to ({package}.{}): unknown conversion", expected.kind)
    };
    Err(Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {}: {why}", expected.kind)))
}

impl Body {
    /// Does with unknown fields what `fieldValidation` says.
    pub fn check_fields(
        self,
        validation: FieldValidation,
        warnings: &Warnings,
        expected: &GroupVersionKind,
    ) -> Result<Object, Status> {
        if !self.problems.is_empty() {
            match validation {
                FieldValidation::Ignore => {}
                FieldValidation::Warn => warn(&self.problems, warnings),
                FieldValidation::Strict => {
                    return Err(Status::bad_request(format!(
                        "{} in version \"{}\" cannot be handled as a {}: {}",
                        self.kind,
                        self.version,
                        expected.kind,
                        problems::strict_error(&self.problems)
                    )));
                }
            }
        }
        Ok(self.object)
    }
}

pub fn warn(problems: &[Problem], warnings: &Warnings) {
    for text in problems::warnings(problems) {
        warnings.add(text);
    }
}

/// What a patch made, brought into its kind's form. `shown`: how Go prints what is at fault.
pub fn patched(
    expected: &GroupVersionKind,
    value: Value,
    validation: FieldValidation,
    warnings: &Warnings,
    shown: &dyn Fn() -> String,
) -> Result<Object, Status> {
    let schema = Schema::builtin();
    let invalid = |why: String| {
        let error = FieldError::invalid(&Path::new("patch"), shown(), why);
        Status::invalid(&GroupKind::default(), "", &FieldErrors::from_iter([error]))
    };
    let of = (value["apiVersion"].as_str().unwrap_or(""), value["kind"].as_str().unwrap_or(""));
    check_kind(schema, expected, of.0, of.1).map_err(|status| {
        let why = status.message.split_once(": ").map_or(status.message.as_str(), |(_, why)| why);
        invalid(why.to_owned())
    })?;
    let value = match schema.type_of(expected) {
        None => value,
        Some(type_id) => {
            let decoded = json::from_value(schema, type_id, &value).map_err(|error| invalid(error.to_string()))?;
            if !decoded.problems.is_empty() {
                match validation {
                    FieldValidation::Ignore => {}
                    FieldValidation::Warn => warn(&decoded.problems, warnings),
                    FieldValidation::Strict => return Err(invalid(problems::strict_error(&decoded.problems))),
                }
            }
            decoded.value
        }
    };
    Object::from_value(value).ok_or_else(|| invalid("the patched object is no object".to_owned()))
}
