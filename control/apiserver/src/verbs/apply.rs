//! Server-side apply: what a manager wants, merged into what is there inside the registry's compare-and-swap loop.

use crate::ask::Ask;
use crate::decode::Expected;
use crate::options::{FieldValidation, PatchOptions};
use sampan_api::status::StatusCause;
use sampan_api::{Object, Reason, Status, StatusDetails, time};
use sampan_registry::versions;
use sampan_schema::apply::{self, Applier, ApplyError, Conflict, OnConflict};
use sampan_schema::managed::Writer;
use sampan_schema::{json, yaml};
use serde_json::{Map, Value};

/// A configuration on its way through the loop.
pub(crate) struct Configuration<'a> {
    pub(super) expected: Expected,
    pub(super) bytes: &'a [u8],
}

impl Configuration<'_> {
    /// What is there (`None`: nothing yet) with the configuration merged into it, in the form of its kind.
    pub(super) fn object(&self, ask: &Ask, options: &PatchOptions, current: Option<&Object>) -> Result<Object, Status> {
        let (config, duplicates) = self.read()?;
        self.check_kind(&config)?;
        let Some(ty) = &self.expected.ty else {
            return Err(Status::failure(Reason::UnsupportedMediaType, "415: Unsupported Media Type"));
        };
        let reset = if self.is_of_row(ask) { ask.row.unowned_paths(ask.subresource()) } else { Vec::new() };
        let now = time::rfc3339(ask.core.env.now());
        let applier = Applier {
            writer: Writer { manager: &options.write.field_manager, subresource: ask.subresource(), time: &now },
            conflicts: if options.force { OnConflict::Take } else { OnConflict::Refuse },
            reset: &reset,
        };
        let table = ask.core.registry.table();
        let versions = versions::of_row_with(&table, &ask.row, &ask.conversions);
        let applied = apply::apply(ty, current.map(Object::fields), &config, &applier, &*versions).map_err(refused)?;
        let value = Value::Object(applied);
        let decoded = json::restore(ty.schema(), ty.id(), &value).map_err(|error| {
            let version = self.expected.gvk.api_version();
            let named = apply::named(&config);
            let slash = if version.contains('/') { "" } else { "/" };
            plain(format!(
                "failed to convert new object ({named}) to proper version: unable to convert unstructured object to \
                 {slash}{version}, Kind={}: {error}",
                self.expected.gvk.kind
            ))
        })?;
        self.tell_duplicates(ask, options.write.field_validation, &duplicates)?;
        match decoded.value {
            Value::Object(fields) => Ok(Object::from_map(fields)),
            _ => Err(Status::internal("what is applied is no object")),
        }
    }

    /// Whether it is of the row's kind, and not of a subresource's own.
    fn is_of_row(&self, ask: &Ask) -> bool {
        self.expected.gvk == ask.row.gvk()
    }

    /// The configuration, and the texts of the keys that stand in it twice.
    fn read(&self) -> Result<(Map<String, Value>, Vec<String>), Status> {
        let refuse = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
        let (value, problems) =
            yaml::to_json(self.bytes).map_err(|error| refuse(format!("error converting YAML to JSON: {error}")))?;
        let duplicates = problems.iter().map(ToString::to_string).collect();
        match value {
            Value::Object(map) => Ok((map, duplicates)),
            Value::Null => Ok((Map::new(), duplicates)),
            other => Err(refuse(format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type \
                 map[string]interface {{}}",
                json::name_of(&other)
            ))),
        }
    }

    fn check_kind(&self, config: &Map<String, Value>) -> Result<(), Status> {
        let text = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let gvk = &self.expected.gvk;
        if api_version == gvk.api_version() && kind == gvk.kind {
            return Ok(());
        }
        let shown = match api_version.matches('/').count() {
            // No version that could be read: neither is the kind.
            2.. => "/, Kind=".to_owned(),
            1 => format!("{api_version}, Kind={kind}"),
            _ => format!("/{api_version}, Kind={kind}"),
        };
        Err(Status::bad_request(format!("invalid object type: {shown}")))
    }

    /// Does with keys that stand twice what `fieldValidation` says.
    fn tell_duplicates(&self, ask: &Ask, validation: FieldValidation, texts: &[String]) -> Result<(), Status> {
        match validation {
            FieldValidation::Strict if !texts.is_empty() => {
                let lines: Vec<String> = texts.iter().map(|text| format!("\n  {text}")).collect();
                let error = format!("error converting YAML to JSON: yaml: unmarshal errors:{}", lines.concat());
                return Err(Status::bad_request(format!("error strict decoding YAML: {error}")));
            }
            FieldValidation::Warn => texts.iter().for_each(|text| ask.warn(text)),
            FieldValidation::Strict | FieldValidation::Ignore => {}
        }
        Ok(())
    }
}

/// An error for which Go has a message and nothing else.
fn plain(message: String) -> Status {
    Status { code: 500, reason: String::new(), ..Status::failure(Reason::Unknown, message) }
}

fn refused(error: ApplyError) -> Status {
    match error {
        ApplyError::ManagedFields => Status::bad_request(error.to_string()),
        ApplyError::Typed { .. } | ApplyError::TypedLive { .. } | ApplyError::Live { .. } => plain(error.to_string()),
        ApplyError::Conflicts(conflicts) => {
            let details = StatusDetails { causes: conflicts.iter().map(cause).collect(), ..StatusDetails::default() };
            Status { details: Some(Box::new(details)), ..Status::failure(Reason::Conflict, apply::message(&conflicts)) }
        }
    }
}

fn cause(conflict: &Conflict) -> StatusCause {
    StatusCause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", conflict.manager),
        field: conflict.path.clone(),
    }
}
