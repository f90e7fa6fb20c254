//! The rules of custom resources: what their schema says, and what holds for all of them.

use crate::conversion::go_type;
use crate::metadata::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};
use crate::resource::ScalePaths;
use crate::shapes;
use crate::strategy::{Context, Generation, Strategy, Warned};
use sampan_api::field::{FieldError, FieldErrorKind, FieldErrors, Path};
use sampan_api::names;
use sampan_api::object::Object;
use sampan_cel::rules::{Outcome, Rules};
use sampan_schema::{ObjectType, default, go_print, json, values};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The rules of one version of a custom kind.
pub(super) struct Custom {
    pub ty: ObjectType,
    /// Where the version has a scale.
    pub scale: Option<ScalePaths>,
    /// The expressions of its schema.
    pub rules: Option<Rules>,
}

impl Strategy for Custom {
    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn finalizers_without_domain(&self) -> bool {
        true
    }

    fn generation(&self) -> Generation {
        Generation::By(changed)
    }

    fn status_starts_empty(&self) -> bool {
        false
    }

    fn prepare_for_update(&self, ctx: &Context<'_>, object: &mut Object, old: &Object) {
        if ctx.subresource == "status" {
            shapes::restore_all_metadata(object, old);
        }
    }

    fn validate(&self, _ctx: &Context<'_>, object: &Object) -> FieldErrors {
        let mut errors = self.scale_errors(object, false);
        errors.extend(self.embedded(object));
        errors.extend(values::repeated(self.ty.schema(), self.ty.id(), object.fields()));
        errors
    }

    fn validate_update(&self, ctx: &Context<'_>, object: &Object, old: &Object) -> FieldErrors {
        let status = ctx.subresource == "status";
        let mut errors = self.scale_errors(object, status);
        if !status {
            errors.extend(self.embedded(object));
        }
        let repeated = |object: &Object| values::repeated(self.ty.schema(), self.ty.id(), object.fields());
        // What was repeated before may stay.
        if repeated(old).is_empty() {
            errors.extend(repeated(object));
        }
        errors
    }

    fn validate_rules(&self, object: &Object, old: Option<&Object>, found: &FieldErrors) -> Outcome {
        let Some(rules) = &self.rules else { return Outcome::default() };
        use FieldErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
        // What is of another form than an expression expects is not shown to it.
        if found.iter().any(|one| matches!(one.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors to \
                       complete validation";
            let errors = [FieldError::invalid(&Path::root(), Value::Null, why)].into_iter().collect();
            return Outcome { errors, warnings: Vec::new() };
        }
        let whole = |object: &Object| Value::Object(object.fields().clone());
        rules.validate(&whole(object), old.map(whole).as_ref())
    }

    fn warnings(&self, of: Warned, _: &Context<'_>, object: &Object, old: Option<&Object>) -> Vec<String> {
        if of == Warned::Object { finalizer_warnings(object, old) } else { Vec::new() }
    }
}

/// Anything but the metadata counts.
fn changed(new: &Object, old: &Object) -> bool {
    let rest = |object: &Object| -> Vec<(String, Value)> {
        let kept =
            object.fields().iter().filter(|(name, _)| !matches!(name.as_str(), "metadata" | "apiVersion" | "kind"));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    rest(new) != rest(old)
}

impl Custom {
    fn embedded(&self, object: &Object) -> FieldErrors {
        let metadata = |metadata: &Map<String, Value>, path: &Path| crate::metadata::validate_embedded(metadata, path);
        values::embedded(self.ty.schema(), self.ty.id(), object.fields(), &metadata)
    }

    /// Errors of the fields that a scale shows. `status`: of those in the status alone.
    fn scale_errors(&self, object: &Object, status: bool) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let Some(scale) = &self.scale else { return errors };
        let counts = [&scale.spec, &scale.status];
        for path in &counts[usize::from(status)..] {
            let shown = Path::from_rendered(format!(".{}", path.join(".")));
            let found = find(object, path).and_then(|value| match value {
                Some(value) => value.as_i64().map(Some).ok_or_else(|| accessor(path, value, "int64")),
                None => Ok(None),
            });
            match found {
                Err(why) => errors.push(FieldError::invalid(&shown, 0, why)),
                Ok(Some(number)) if number < 0 => {
                    errors.push(FieldError::invalid(&shown, number, "should be a non-negative integer"));
                }
                Ok(Some(number)) if number > i64::from(i32::MAX) => {
                    let why = format!("should be less than or equal to {}", i32::MAX);
                    errors.push(FieldError::invalid(&shown, number, why));
                }
                Ok(_) => {}
            }
        }
        if let Some(path) = &scale.selector {
            let found = find(object, path).and_then(|value| match value.filter(|value| !value.is_string()) {
                Some(value) => Err(accessor(path, value, "string")),
                None => Ok(()),
            });
            let shown = Path::from_rendered(format!(".{}", path.join(".")));
            errors.extend(found.err().map(|why| FieldError::invalid(&shown, "", why)));
        }
        errors
    }
}

/// The value at a path, if there is one.
///
/// # Errors
/// What stands on the way and has no fields.
fn find<'o>(object: &'o Object, path: &[crate::resource::Name]) -> Result<Option<&'o Value>, String> {
    let mut map = object.fields();
    for (at, name) in path.iter().enumerate() {
        match map.get(&**name) {
            None => return Ok(None),
            Some(value) if at + 1 == path.len() => return Ok(Some(value)),
            Some(Value::Object(inner)) => map = inner,
            Some(Value::Null) => return Ok(None),
            Some(other) => return Err(accessor(&path[..at + 2], other, "map[string]interface{}")),
        }
    }
    Ok(None)
}

/// As apimachinery's accessors of nested fields say that a value is of another type.
fn accessor(path: &[crate::resource::Name], value: &Value, wanted: &str) -> String {
    let is = go_type(value);
    let shown = go_print::plain(value, go_print::Numbers::Kept);
    format!(".{} accessor error: {shown} is of the type {is}, expected {wanted}", path.join("."))
}

fn finalizer_warnings(object: &Object, old: Option<&Object>) -> Vec<String> {
    let before: BTreeSet<&str> = old.into_iter().flat_map(Object::finalizers).collect();
    let added: BTreeSet<&str> = object.finalizers().filter(|one| !before.contains(one)).collect();
    let mut warnings = Vec::new();
    for one in added {
        let warn = |text: &str| format!("metadata.finalizers: {}: {text}", sampan_api::field::go_quote(one));
        warnings.extend(names::qualified_name(one).iter().map(|text| warn(text)));
        if !one.contains('/') && ![FINALIZER_ORPHAN, FINALIZER_FOREGROUND, "kubernetes"].contains(&one) {
            let path = if one.contains('.') { " including a path (/)" } else { "" };
            warnings.push(warn(&format!(
                "prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
            )));
        }
    }
    warnings
}

/// Takes off what a type does not have: an object of another version has it, and no defaults of this one.
pub(super) fn prune(ty: &ObjectType, object: &mut Object) {
    let value = Value::Object(std::mem::take(object.fields_mut()));
    let pruned = match json::from_value(ty.schema(), ty.id(), &value) {
        Ok(decoded) => decoded.value,
        // Of what no version ever was: as it is.
        Err(_) => value,
    };
    if let Value::Object(map) = pruned {
        *object = Object::from_map(map);
    }
}

/// Brings an object that was stored, or is about to be, into the form of a type: prunes and defaults it.
pub(super) fn settle(ty: &ObjectType, object: &mut Object) {
    prune(ty, object);
    let mut map = std::mem::take(object.fields_mut());
    // What is too long with its defaults is defaulted in part.
    if default::apply(ty.schema(), ty.id(), &mut map).is_err() {
        tracing::warn!("the defaults of a stored object are too long");
    }
    *object = Object::from_map(map);
}
