//! Bodies into objects: which kind they are of, and what is said when they are not what the request's resource takes.

use crate::negotiate::Format;
use crate::options::{FieldValidation, GO_SCHEME};
use sampan_api::admission::Warnings;
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::{GroupKind, GroupVersionKind, Object, Status};
use sampan_registry::Resource;
use sampan_schema::retired::is_retired;
use sampan_schema::{
    DecodeError, Decoded, ObjectType, Origin, Problem, Schema, TypeId, json, problems, protobuf, yaml,
};
use serde_json::Value;

/// The kind and type that a body is read as.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Group, version and kind that the body must name, where it names any.
    pub gvk: GroupVersionKind,
    /// `None` for a kind that no schema describes: a free tree.
    pub ty: Option<ObjectType>,
    /// Other API versions that the body may name: they have the same form.
    pub also: &'static [&'static str],
}

impl Expected {
    /// The kind and type of the objects of a row.
    pub fn of_row(row: &Resource) -> Self {
        Self { gvk: row.gvk(), ty: row.ty.clone(), also: &[] }
    }

    /// Whether it is a kind that a definition defines: its bodies name their type themselves.
    fn is_custom(&self) -> bool {
        self.ty.as_ref().is_some_and(|ty| ty.def().origin == Origin::Structural)
    }

    /// Whether there is a kind of that name, or was one.
    fn knows(&self, group: &str, version: &str, kind: &str) -> bool {
        self.ty.as_ref().is_some_and(|ty| ty.schema().find(group, version, kind).is_some())
            || is_retired(group, version, kind)
    }

    /// The type that a body names, where it is another one that Kubernetes has: it is decoded as what it says it is before it is
    /// found not to be what is wanted.
    fn other_type(&self, api_version: &str, kind: &str) -> Option<ObjectType> {
        if self.is_custom() {
            return None;
        }
        let kind = if kind.is_empty() { self.gvk.kind.as_str() } else { kind };
        let (group, version) = group_and_version(api_version, &self.gvk);
        let own = (group, version, kind) == (&*self.gvk.group, &*self.gvk.version, &*self.gvk.kind);
        let schema = self.ty.as_ref().filter(|_| !own && !self.also.contains(&api_version))?.schema();
        ObjectType::find(schema, group, version, kind)
    }
}

/// The group and version that a body names, or those that are expected where it names none.
fn group_and_version<'a>(api_version: &'a str, expected: &'a GroupVersionKind) -> (&'a str, &'a str) {
    match api_version.split_once('/') {
        _ if api_version.is_empty() => (expected.group.as_str(), expected.version.as_str()),
        None => ("", api_version),
        Some(named) => named,
    }
}

/// A body read as an object of the expected kind. `problems`: fields that the kind does not have.
#[derive(Debug)]
pub struct Body {
    /// The object, with the group, version and kind that were expected.
    pub object: Object,
    /// Unknown and duplicate fields, in the order of the body.
    pub problems: Vec<Problem>,
    /// The kind and version that the body named, for the messages.
    kind: String,
    version: String,
}

/// Reads a body as an object of `expected`. A body that names no kind or version is taken to be of the expected one, but
/// where a definition defines the kind. `validation`: says with which of Go's decoders it is refused.
pub fn object(expected: &Expected, format: Format, body: &[u8], validation: FieldValidation) -> Result<Body, Status> {
    let decoder: Decoder = match format {
        Format::Json => json::decode,
        Format::Yaml => yaml::decode,
        Format::Protobuf => return of_protobuf(expected, body),
    };
    match decode(expected.ty.as_ref(), body, decoder) {
        Ok(decoded) => {
            let text = |name: &str| decoded.value.get(name).and_then(Value::as_str).unwrap_or_default();
            check_type(expected, format, body, validation, (text("apiVersion"), text("kind")))?;
            check_other(expected, body, decoder, (text("apiVersion"), text("kind")))?;
            of_decoded(expected, decoded)
        }
        Err(error) => {
            let meta = match format {
                Format::Yaml => yaml::type_meta(body),
                _ => json::type_meta(body),
            };
            if let Ok(meta) = &meta {
                check_type(expected, format, body, validation, (&meta.api_version, &meta.kind))?;
            }
            let (api_version, kind) = meta.map(|meta| (meta.api_version, meta.kind)).unwrap_or_default();
            if !expected.is_custom() {
                check_other(expected, body, decoder, (&api_version, &kind))?;
                check_kind(expected, &api_version, &kind)?;
            }
            let expected = &expected.gvk;
            let version = version_of(&api_version, expected);
            let kind = if kind.is_empty() { &expected.kind } else { &kind };
            Err(Status::bad_request(error.message(&expected.kind, kind, version, body)))
        }
    }
}

/// Refuses a body whose type, an API version and a kind, cannot be read: of a custom resource also one that names no kind.
fn check_type(
    expected: &Expected,
    format: Format,
    body: &[u8],
    validation: FieldValidation,
    (api_version, kind): (&str, &str),
) -> Result<(), Status> {
    let gvk = &expected.gvk;
    let error = if api_version.matches('/').count() > 1 {
        DecodeError::Unrecognized(format!("unexpected GroupVersion string: {api_version}"))
    } else if kind.is_empty() && expected.is_custom() {
        let missing = |text: &str| format!("Object 'Kind' is missing in '{text}'");
        match (validation, format) {
            // Go's decoder that is not strict reads YAML as the JSON that it is made into.
            (FieldValidation::Ignore, Format::Yaml) => {
                let (value, _) = yaml::to_json(body).map_err(Status::bad_request)?;
                DecodeError::Mismatch(missing(&value.to_string()))
            }
            (FieldValidation::Ignore, _) => DecodeError::Mismatch(missing(&String::from_utf8_lossy(body))),
            _ => DecodeError::Unrecognized(missing(&String::from_utf8_lossy(body))),
        }
    } else {
        return Ok(());
    };
    Err(Status::bad_request(error.message(&gvk.kind, &gvk.kind, version_of(api_version, gvk), body)))
}

/// Refuses a body of another type, an API version and a kind, that is none of that type either.
fn check_other(
    expected: &Expected,
    body: &[u8],
    decoder: Decoder,
    (api_version, kind): (&str, &str),
) -> Result<(), Status> {
    let Some(ty) = expected.other_type(api_version, kind) else { return Ok(()) };
    let gvk = &expected.gvk;
    let kind = if kind.is_empty() { gvk.kind.as_str() } else { kind };
    decode(Some(&ty), body, decoder)
        .map(drop)
        .map_err(|error| Status::bad_request(error.message(&gvk.kind, kind, version_of(api_version, gvk), body)))
}

type Decoder = fn(&Schema, TypeId, &[u8]) -> Result<Decoded, DecodeError>;

/// A kind that the schema does not know is a free tree: nothing of it is dropped.
fn decode(ty: Option<&ObjectType>, body: &[u8], decoder: Decoder) -> Result<Decoded, DecodeError> {
    match ty {
        Some(ty) => decoder(ty.schema(), ty.id(), body),
        // JSON is YAML: one reader does for both.
        None => {
            let (value, problems) = yaml::to_json(body).map_err(DecodeError::Unrecognized)?;
            Ok(Decoded { value, problems })
        }
    }
}

fn of_protobuf(expected: &Expected, body: &[u8]) -> Result<Body, Status> {
    let gvk = &expected.gvk;
    let message = |error: &DecodeError, kind: &str, version: &str| {
        Status::bad_request(error.message(&gvk.kind, kind, version, body))
    };
    let envelope = protobuf::unwrap(body).map_err(|error| message(&error, &gvk.kind, &gvk.version))?;
    check_kind(expected, envelope.api_version, envelope.kind)?;
    let Some(ty) = expected.ty.as_ref().filter(|ty| ty.def().has_protobuf()) else {
        return Err(Status::unsupported_media_type(&crate::negotiate::SERVED_WITHOUT_SCHEMA));
    };
    let mut decoded = protobuf::decode(ty.schema(), ty.id(), envelope.raw)
        .map_err(|error| message(&error, &gvk.kind, version_of(envelope.api_version, gvk)))?;
    // The payload holds no type: the envelope does.
    if let Value::Object(map) = &mut decoded.value {
        map.insert("apiVersion".into(), envelope.api_version.to_string().into());
        map.insert("kind".into(), envelope.kind.to_string().into());
    }
    of_decoded(expected, decoded)
}

fn of_decoded(expected: &Expected, decoded: Decoded) -> Result<Body, Status> {
    let gvk = &expected.gvk;
    let Some(mut object) = Object::from_value(decoded.value) else {
        let text = format!(
            "{} in version \"{}\" cannot be handled as a {}: the body is no object",
            gvk.kind, gvk.version, gvk.kind
        );
        return Err(Status::bad_request(text));
    };
    if expected.is_custom() && object.api_version() != gvk.api_version() {
        return Err(other_version(object.api_version(), gvk));
    }
    refuse_other_kind(expected, &object)?;
    check_kind(expected, object.api_version(), object.kind())?;
    let version = version_of(object.api_version(), gvk).to_owned();
    let kind = if object.kind().is_empty() { gvk.kind.clone() } else { object.kind().to_owned() };
    if object.api_version() != gvk.api_version() || object.kind().is_empty() {
        object.set_gvk(gvk);
    }
    Ok(Body { object, problems: decoded.problems, kind, version })
}

/// A custom resource of another kind than its path's is read all the same, and then not valid.
fn refuse_other_kind(expected: &Expected, object: &Object) -> Result<(), Status> {
    let (wanted, kind) = (&expected.gvk, object.kind());
    if !expected.is_custom() || kind == wanted.kind {
        return Ok(());
    }
    let error = FieldError::invalid(&Path::new("kind"), kind, format!("must be {}", wanted.kind));
    let of = GroupKind { group: wanted.group.clone(), kind: kind.to_owned() };
    Err(Status::invalid(&of, object.name(), &FieldErrors::from_iter([error])))
}

fn version_of<'a>(api_version: &'a str, expected: &'a GroupVersionKind) -> &'a str {
    match api_version.rsplit('/').next() {
        None | Some("") => &expected.version,
        Some(version) => version,
    }
}

/// The refusal of a body that can be read and is of another version than its path.
fn other_version(api_version: &str, expected: &GroupVersionKind) -> Status {
    Status::bad_request(format!(
        "the API version in the data ({api_version}) does not match the expected API version ({})",
        expected.api_version()
    ))
}

/// Whether a body of `api_version` and `kind` can be handled as `expected`, and why not.
fn check_kind(wanted: &Expected, api_version: &str, kind: &str) -> Result<(), Status> {
    let expected = &wanted.gvk;
    let kind = if kind.is_empty() { expected.kind.as_str() } else { kind };
    let (group, version) = group_and_version(api_version, expected);
    let is_expected = version == expected.version && group == expected.group;
    if kind == expected.kind && (is_expected || wanted.also.contains(&api_version)) {
        return Ok(());
    }
    let shown = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let known = wanted.knows(group, version, kind);
    let why = if !known {
        format!("no kind \"{kind}\" is registered for version \"{shown}\" in scheme \"{GO_SCHEME}\"")
    } else if kind == expected.kind {
        // Another version or group of the same kind converts, and is then not what the path says.
        return Err(other_version(&shown, expected));
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
        expected: &Expected,
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
                        expected.gvk.kind,
                        problems::strict_error(&self.problems)
                    )));
                }
            }
        }
        Ok(self.object)
    }
}

/// Adds a warning for each of the problems, as `fieldValidation=Warn` answers them.
pub fn warn(problems: &[Problem], warnings: &Warnings) {
    for text in problems::warnings(problems) {
        warnings.add(text);
    }
}

/// What errors of a patched object tell of the patch itself.
#[derive(Clone, Copy, Default)]
pub struct PatchText<'a> {
    /// Unknown and duplicate fields of the patch, which come before those of the object.
    pub problems: &'a [String],
    /// What Go prints as being at fault, made only for an error; `None`: the patched object.
    pub shown: Option<&'a (dyn Fn() -> String + Sync)>,
    /// What is patched; `None`: no object that is stored.
    pub target: Option<Target<'a>>,
}

/// The stored object that a patch is for.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// As the path names it.
    pub name: &'a str,
    /// A view of it is written, and its type is not looked at.
    pub view: bool,
}

/// The result of a patch, brought into its kind's form.
pub fn patched(
    expected: &Expected,
    value: Value,
    validation: FieldValidation,
    warnings: &Warnings,
    own: &PatchText<'_>,
) -> Result<Object, Status> {
    let shown = |value: &Value| own.shown.map_or_else(|| value.to_string(), |shown| shown());
    let invalid = |value: &Value, why: String| {
        let error = FieldError::invalid(&Path::new("patch"), shown(value), why);
        Status::invalid(&GroupKind::default(), "", &FieldErrors::from_iter([error]))
    };
    let mut value = value;
    if own.target.is_some() {
        settle_retired(&expected.gvk, &mut value);
    }
    if own.target.is_some()
        && !expected.is_custom()
        && value.is_array()
        && let Err(error) = json::type_meta(value.to_string().as_bytes())
    {
        return Err(invalid(&value, error.to_string()));
    }
    let of = (value["apiVersion"].as_str().unwrap_or(""), value["kind"].as_str().unwrap_or(""));
    match own.target {
        Some(target) if expected.is_custom() => settle_type(expected, &target, &mut value, &invalid)?,
        Some(target) if of.0.is_empty() && is_text_or_absent(&value["apiVersion"]) => {
            return Err(unversioned(&value, &target, validation, warnings, &invalid));
        }
        _ => {
            if let Some(ty) = expected.other_type(of.0, of.1) {
                json::from_value(ty.schema(), ty.id(), &value).map_err(|error| invalid(&value, error.to_string()))?;
            }
            check_kind(expected, of.0, of.1).map_err(|status| {
                let why = status.message.split_once(": ").map_or(status.message.as_str(), |(_, why)| why);
                invalid(&value, why.to_owned())
            })?;
        }
    }
    let value = match &expected.ty {
        None => value,
        Some(ty) => {
            let decoded = match own.shown {
                // Of what the patch itself is shown for, the outcome is converted and not read.
                Some(_) => json::restore(ty.schema(), ty.id(), &value),
                None => json::from_value(ty.schema(), ty.id(), &value).map_err(|error| error.to_string()),
            };
            let decoded = decoded.map_err(|why| invalid(&value, why))?;
            let texts: Vec<String> =
                own.problems.iter().cloned().chain(decoded.problems.iter().map(ToString::to_string)).collect();
            if !texts.is_empty() {
                match validation {
                    FieldValidation::Ignore => {}
                    FieldValidation::Warn => texts.into_iter().for_each(|text| warnings.add(text)),
                    FieldValidation::Strict => {
                        return Err(invalid(&value, format!("strict decoding error: {}", texts.join(", "))));
                    }
                }
            }
            decoded.value
        }
    };
    match value {
        Value::Object(fields) => Ok(Object::from_map(fields)),
        other => Err(invalid(&other, "the patched object is no object".to_owned())),
    }
}

/// A patched object that names a version of its kind which is no longer served is read as the path's version has it.
fn settle_retired(wanted: &GroupVersionKind, value: &mut Value) {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let (group, version) = group_and_version(text("apiVersion"), wanted);
    if text("kind") == wanted.kind && is_retired(group, version, &wanted.kind) {
        value["apiVersion"] = wanted.api_version().into();
    }
}

fn is_text_or_absent(value: &Value) -> bool {
    value.is_null() || value.is_string()
}

/// The 422 about a patched object, with what is wrong with it.
type Invalid<'a> = dyn Fn(&Value, String) -> Status + 'a;

/// A patched custom resource names a type; of the object itself it is the path's, of its views it does not matter.
fn settle_type(
    expected: &Expected,
    target: &Target<'_>,
    value: &mut Value,
    invalid: &Invalid<'_>,
) -> Result<(), Status> {
    if !is_text_or_absent(&value["apiVersion"]) || !is_text_or_absent(&value["kind"]) {
        // The decoder says so.
        return Ok(());
    }
    let wanted = &expected.gvk;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind.is_empty() {
        return Err(invalid(value, format!("Object 'Kind' is missing in '{value}'")));
    }
    if api_version.is_empty() {
        return Err(Status::internal("Object 'apiVersion' is missing in 'object has no apiVersion field'"));
    }
    let mut errors = FieldErrors::new();
    for (field, found, wanted) in [("kind", &kind, &wanted.kind), ("apiVersion", &api_version, &wanted.api_version())] {
        if found != wanted {
            errors.push(FieldError::invalid(&Path::new(field), found.as_str(), format!("must be {wanted}")));
        }
    }
    if !errors.is_empty() && !target.view {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let of = GroupKind { group: group.to_owned(), kind };
        return Err(Status::invalid(&of, target.name, &errors));
    }
    if let Value::Object(fields) = value {
        fields.insert("apiVersion".to_owned(), wanted.api_version().into());
        fields.insert("kind".to_owned(), wanted.kind.clone().into());
    }
    Ok(())
}

/// A patched object of a Go struct that lost its version is read as Go's type without one, which has none of its fields.
fn unversioned(
    value: &Value,
    target: &Target<'_>,
    validation: FieldValidation,
    warnings: &Warnings,
    invalid: &Invalid<'_>,
) -> Status {
    let fields = value.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let mut fields: Vec<&str> = fields.filter(|name| !matches!(*name, "apiVersion" | "kind")).collect();
    fields.sort_unstable();
    let texts: Vec<String> = fields.iter().map(|name| format!("unknown field {name:?}")).collect();
    match validation {
        FieldValidation::Strict => return invalid(value, format!("strict decoding error: {}", texts.join(", "))),
        FieldValidation::Warn => texts.into_iter().for_each(|text| warnings.add(text)),
        FieldValidation::Ignore => {}
    }
    Status::bad_request(format!(
        "the name of the object ({} based on URL) was undeterminable: name must be provided",
        target.name
    ))
}
