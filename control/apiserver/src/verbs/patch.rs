//! PATCH: JSON, merge and strategic merge patches and server-side apply, inside the registry's compare-and-swap loop.

use super::apply::Configuration;
use super::update::RightToCreate;
use crate::ask::Ask;
use crate::body::Body;
use crate::decode::{self, Expected, PatchText, Target};
use crate::negotiate::{self, APPLY_PATCH, Endpoint};
use crate::options::{self, FieldValidation, PatchOptions};
use http::Response;
use sampan_api::limits::JSON_PATCH_OPERATIONS_MAX;
use sampan_api::{Object, Reason, Status, StatusDetails};
use sampan_registry::options::{Creation, Managers, UpdateOptions};
use sampan_schema::go_print::{self, Numbers};
use sampan_schema::json::strict::{self, PatchForm};
use sampan_schema::{Origin, json, patch as patches};
use serde_json::{Map, Value};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
/// Media types of patches to a kind that the schema knows; others cannot be merged by their schema.
pub const CUSTOM_PATCHES: [&str; 3] = [JSON_PATCH, MERGE_PATCH, APPLY_PATCH];
/// All of them.
pub const PATCHES: [&str; 4] = [JSON_PATCH, MERGE_PATCH, APPLY_PATCH, STRATEGIC_PATCH];

/// Changes an object by a patch, which is applied anew to what is current until the write goes through.
///
/// # Errors
/// 404 where there is none, 400 and 422 for a patch that cannot be read or applied, 413 for one that costs too much, 415
/// for a form of patch that the kind has not, 409 where the patch names another version.
pub async fn patch(ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
    let expected = Expected::of_row(&ask.row);
    let media_type = media_type(ask, &expected)?;
    let output = ask.output(Endpoint::Resource)?;
    let bytes = ask.read(body).await?;
    let (change, options) = Change::read(ask, media_type, expected, &bytes)?;
    let right = RightToCreate::of(ask);
    let how = UpdateOptions {
        subresource: ask.subresource().to_owned(),
        create: if change.is_apply() { Creation::Always(&right) } else { Creation::Never },
        conversions: Some(&ask.conversions),
        managers: if change.is_apply() { Managers::Told } else { Managers::Track },
        ..UpdateOptions::default()
    };
    let caller = ask.caller(&options.write);
    let transform = |current: Option<&Object>| change.object(ask, &options, current);
    let updated = ask
        .core
        .registry
        .update(&caller, &ask.row, ask.namespace(), ask.name(), &how, &transform)
        .await
        .map_err(Status::from)?;
    ask.record(if updated.created { 201 } else { 200 }, output, &updated.record).await
}

/// The form of the patch that is sent. Kinds whose schema is structural, like custom ones, have no merge keys to go by:
/// strategic merge patches are for the others. Of a defined kind nothing has them, its scale neither.
fn media_type(ask: &Ask, expected: &Expected) -> Result<&'static str, Status> {
    if ask.row.defined {
        return negotiate::custom_patch_type(&ask.parts.headers, &CUSTOM_PATCHES);
    }
    let merges = expected.ty.as_ref().is_some_and(|ty| ty.def().origin == Origin::GoStruct);
    negotiate::patch_type(&ask.parts.headers, if merges { &PATCHES[..] } else { &CUSTOM_PATCHES })
}

/// Reads what a PATCH of a subresource with a kind of its own asks for: the patch and the options of the write.
pub(crate) fn accept<'a>(ask: &Ask, bytes: &'a [u8]) -> Result<(Change<'a>, PatchOptions), Status> {
    let expected = ask.expected();
    let media_type = media_type(ask, &expected)?;
    Change::read(ask, media_type, expected, bytes)
}

/// What a PATCH asks for.
pub(crate) enum Change<'a> {
    Patch(Patch<'a>),
    Apply(Configuration<'a>),
}

impl<'a> Change<'a> {
    fn read(
        ask: &Ask,
        media_type: &'static str,
        expected: Expected,
        bytes: &'a [u8],
    ) -> Result<(Self, PatchOptions), Status> {
        let apply = media_type == APPLY_PATCH;
        let options = options::patch(&ask.query(), apply)?;
        let change = match apply {
            true => Change::Apply(Configuration { expected, bytes }),
            false => Change::Patch(Patch { media_type, expected, bytes }),
        };
        Ok((change, options))
    }

    /// Whether it is an apply, which says itself who owns which field.
    pub(crate) fn is_apply(&self) -> bool {
        matches!(self, Change::Apply(_))
    }

    /// The changed object, in the form of its kind.
    pub(crate) fn object(&self, ask: &Ask, options: &PatchOptions, current: Option<&Object>) -> Result<Object, Status> {
        match (self, current) {
            (Change::Apply(configuration), current) => configuration.object(ask, options, current),
            (Change::Patch(patch), Some(current)) => patch.object(ask, options.write.field_validation, current),
            (Change::Patch(_), None) => Err(Status::not_found(&ask.row.group_resource(), ask.name())),
        }
    }
}

/// A patch on its way through the loop. Its body is read only when there is something to patch.
pub(crate) struct Patch<'a> {
    media_type: &'static str,
    expected: Expected,
    bytes: &'a [u8],
}

impl Patch<'_> {
    /// The result of the patch on `current`, in the form of its kind.
    fn object(&self, ask: &Ask, validation: FieldValidation, current: &Object) -> Result<Object, Status> {
        // Read anew where the write is tried again: a tree is many times as large as its text, and the merge keeps parts of it.
        let (patch, problems) = match validation {
            FieldValidation::Ignore => (self.parse()?, Vec::new()),
            FieldValidation::Warn | FieldValidation::Strict => self.read_strictly()?,
        };
        if let Some(object) = self.merged_members(&patch, &problems, ask, validation, current) {
            return Ok(object);
        }
        let current = current.to_value();
        let patched = match (self.media_type, &self.expected.ty) {
            (JSON_PATCH, _) => patches::json(current, &patch),
            (STRATEGIC_PATCH, Some(ty)) => patches::strategic(ty.schema(), ty.id(), current, patch),
            _ => Ok(patches::merge(current, &patch)),
        };
        let mut value = patched.map_err(|error| self.refused(&error))?;
        if self.media_type == JSON_PATCH && !value.is_object() && !value.is_array() {
            return Err(unprocessable());
        }
        if self.media_type == STRATEGIC_PATCH {
            self.keep_type(&mut value);
        }
        // Read once more for an error: the merge has taken the patch.
        let shown = || self.parse().map(|patch| go_print::plain(&patch, Numbers::Kept)).unwrap_or_default();
        let shown: Option<&(dyn Fn() -> String + Sync)> =
            if self.media_type == STRATEGIC_PATCH { Some(&shown) } else { None };
        let target = Target { name: ask.name(), view: !ask.subresource().is_empty() };
        let text = PatchText { problems: &problems, shown, target: Some(target) };
        decode::patched(&self.expected, value, validation, &ask.exchange.warnings, &text)
    }

    /// Go converts a strategic merge into the object that it began with: whatever type the patch names, it stays what it is.
    fn keep_type(&self, value: &mut Value) {
        let Value::Object(fields) = value else { return };
        let gvk = &self.expected.gvk;
        for (name, own) in [("apiVersion", gvk.api_version()), ("kind", gvk.kind.clone())] {
            // What is no text cannot be converted.
            if fields.get(name).is_none_or(|named| named.is_null() || named.is_string()) {
                fields.insert(name.to_owned(), own.into());
            }
        }
    }

    /// The result of a merge patch, made of the members alone that it names: the others of a typed object are as its kind has them
    /// already, and are copied once. `None`: another sort of patch or of kind, or an error, which tells of the whole object.
    fn merged_members(
        &self,
        patch: &Value,
        problems: &[String],
        ask: &Ask,
        validation: FieldValidation,
        current: &Object,
    ) -> Option<Object> {
        self.expected.ty.as_ref().filter(|ty| ty.def().origin == Origin::GoStruct)?;
        let named = patch.as_object().filter(|_| self.media_type == MERGE_PATCH)?;
        if named.get("apiVersion").is_some_and(|version| version.as_str().is_none_or(str::is_empty)) {
            return None;
        }
        let is_type = |name: &str| matches!(name, "apiVersion" | "kind");
        let chosen = |(name, _): &(&String, &Value)| named.contains_key(*name) || is_type(name);
        let part = current.fields().iter().filter(chosen).map(|(name, value)| (name.clone(), value.clone()));
        let merged = patches::merge(Value::Object(part.collect()), patch);
        let text = PatchText { problems, ..PatchText::default() };
        let mut object = decode::patched(&self.expected, merged, validation, &ask.exchange.warnings, &text).ok()?;
        for (name, value) in current.fields().iter().filter(|member| !chosen(member)) {
            object.fields_mut().insert(name.clone(), value.clone());
        }
        Some(object)
    }

    /// The patch, and unknown and duplicate fields of the patch itself, as Kubernetes tells of them.
    fn read_strictly(&self) -> Result<(Value, Vec<String>), Status> {
        let (form, before) = match self.media_type {
            JSON_PATCH => (PatchForm::Operations, "json patch "),
            _ => (PatchForm::Object, ""),
        };
        match strict::patch(self.bytes, form) {
            Ok((patch, problems)) => {
                let problems = problems.iter().map(|problem| format!("{before}{problem}")).collect();
                Ok((self.in_form(patch)?, problems))
            }
            Err(error) => {
                let error = self.syntax().unwrap_or(error);
                let strategic = self.media_type == STRATEGIC_PATCH;
                Err(Status::bad_request(if strategic { error } else { format!("error decoding patch: {error}") }))
            }
        }
    }

    /// Go's words for what is wrong with the patch's JSON.
    fn syntax(&self) -> Option<String> {
        serde_json::from_slice::<serde::de::IgnoredAny>(self.bytes).err()?;
        let text = sampan_schema::json::type_meta(self.bytes).err().map(|error| error.to_string());
        let text = text.unwrap_or_else(|| "the patch is no JSON".to_owned());
        Some(text.strip_prefix("couldn't get version/kind; json parse error: ").unwrap_or(&text).to_owned())
    }

    fn parse(&self) -> Result<Value, Status> {
        match serde_json::from_slice(self.bytes) {
            Ok(value) => self.in_form(value),
            Err(_) if self.media_type == MERGE_PATCH => Err(Status::bad_request("Invalid JSON Patch")),
            Err(error) => Err(Status::bad_request(self.syntax().unwrap_or_else(|| error.to_string()))),
        }
    }

    /// The patch where it has the form that its media type wants.
    fn in_form(&self, value: Value) -> Result<Value, Status> {
        match (self.media_type, &value) {
            (JSON_PATCH, Value::Array(operations)) if operations.len() > JSON_PATCH_OPERATIONS_MAX => {
                Err(Status::request_entity_too_large(&format!(
                    "The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {}",
                    operations.len()
                )))
            }
            // What it is that cannot be operations the patch's own reader says.
            (JSON_PATCH, _) | (_, Value::Object(_)) => Ok(value),
            (STRATEGIC_PATCH, Value::Null) => Ok(Value::Object(Map::new())),
            (STRATEGIC_PATCH, other) => Err(Status::bad_request(format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                json::name_of(other)
            ))),
            // A list takes the object's place, which is then said not to be one.
            (_, Value::Array(_)) => Ok(value),
            _ => Err(Status::bad_request("Invalid JSON Patch")),
        }
    }

    /// The answer to a patch that cannot be applied: of a JSON patch 422 once it is one, of a strategic one by its error.
    fn refused(&self, error: &patches::PatchError) -> Status {
        match error {
            patches::PatchError::BadRequest(text) => Status::bad_request(text.clone()),
            patches::PatchError::Unprocessable(_) | patches::PatchError::TestFailed(_) => unprocessable(),
            _ if self.media_type == JSON_PATCH => unprocessable(),
            _ => patch_status(error),
        }
    }
}

/// The answer whose message names nothing.
fn unprocessable() -> Status {
    Status {
        details: Some(Box::<StatusDetails>::default()),
        ..Status::failure(Reason::Invalid, "the server rejected our request due to an error in our request")
    }
}

/// The status of a strategic merge patch that does not fit: 413 where it costs too much, else 500, as Kubernetes has it,
/// which does not tell a caller's mistakes from its own.
fn patch_status(error: &patches::PatchError) -> Status {
    if let patches::PatchError::TooLarge(text) = error {
        return Status::request_entity_too_large(text);
    }
    Status { code: 500, reason: String::new(), ..Status::failure(Reason::Unknown, error.to_string()) }
}
