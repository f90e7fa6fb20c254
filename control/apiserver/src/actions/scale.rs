//! `scale`: the number of replicas of anything that has one, as one kind for all.

use super::Action;
use crate::ask::Ask;
use crate::body::Body;
use crate::decode;
use crate::negotiate::{self, Endpoint, Shape};
use crate::options;
use crate::respond;
use crate::table::{self, Include};
use crate::verbs::patch;
use async_trait::async_trait;
use http::Response;
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::{GroupKind, GroupResource, LabelSelector, Object, Status, time};
use sampan_registry::options::{Face, FaceManagers, Managers, UpdateOptions};
use sampan_registry::resource::Name;
use sampan_registry::{Error, ScalePaths};
use sampan_schema::managed::scale::{Replicas, set_from_scale, to_scale};
use sampan_schema::managed::{self, Writer};
use serde_json::{Map, Value, json};
use std::time::SystemTime;

pub(super) struct Scale;

#[async_trait]
impl Action for Scale {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        // A form of the answer that there is none of is refused before anything is looked at.
        ask.output(Endpoint::Resource)?;
        match ask.verb() {
            "get" => {
                let options = options::get(&ask.query());
                let registry = ask.registry();
                let record =
                    registry.get(ask.row(), ask.namespace(), ask.name(), &options).await.map_err(Status::from)?;
                answer(ask, &shown(ask, &record.object())?)
            }
            "update" => {
                let format = negotiate::input(&ask.parts.headers)?;
                let bytes = ask.read(body).await?;
                let options = options::write(&ask.query(), "UpdateOptions")?;
                let expected = ask.expected();
                let (validation, warnings) = (options.field_validation, &ask.exchange.warnings);
                let scale = decode::object(&expected, format, &bytes, validation)
                    .and_then(|decoded| decoded.check_fields(validation, warnings, &expected))
                    .map_err(|error| unread(ask, error))?;
                // Whatever is there.
                sampan_registry::check_name(&scale, ask.name()).map_err(Status::from)?;
                let uid = Some(scale.uid().to_owned()).filter(|uid| !uid.is_empty());
                write(ask, &options, uid, &|before| {
                    let mut scale = scale.clone();
                    note_manager(ask, &options, before, &mut scale);
                    Ok(scale)
                })
                .await
            }
            _ => {
                let bytes = ask.read(body).await?;
                let (change, options) = patch::accept(ask, &bytes)?;
                write(ask, &options.write, None, &|before| {
                    let mut scale = change.object(ask, &options, Some(before))?;
                    if !change.is_apply() {
                        note_manager(ask, &options.write, before, &mut scale);
                    }
                    Ok(scale)
                })
                .await
            }
        }
    }
}

/// The answer to a body that is no scale: of a kind that is defined Kubernetes looks for the name of the type among those of another
/// scheme, and says no more than that it is not there.
fn unread(ask: &Ask, error: Status) -> Status {
    if !ask.row().defined {
        return error;
    }
    Status::bad_request(format!("no kind is registered for the type v1.Scale in scheme \"{}\"", options::GO_SCHEME))
}

/// Notes in a scale who changed it.
fn note_manager(ask: &Ask, options: &options::WriteOptions, before: &Object, scale: &mut Object) {
    let Some(ty) = ask.expected().ty else { return };
    let now = time::rfc3339(ask.env().now());
    let caller = ask.caller(options);
    let writer = Writer { manager: caller.field_manager, subresource: ask.subresource(), time: &now };
    managed::update(
        ty.schema(),
        ty.id(),
        Some(before.fields()),
        scale.fields_mut(),
        writer,
        &[],
        &managed::one_version,
    );
}

/// Writes the replicas of the scale that `make` returns for the current one, which says who owns them. `uid`: the object has it.
async fn write(
    ask: &Ask,
    options: &options::WriteOptions,
    uid: Option<String>,
    make: &(dyn Fn(&Object) -> Result<Object, Status> + Sync),
) -> Result<Response<Body>, Status> {
    let face = ScaleOf {
        paths: &ask.row().scale,
        kind: ask.expected().gvk.group_kind(),
        api_version: ask.row().gvk().api_version(),
    };
    let how = UpdateOptions {
        subresource: ask.subresource().to_owned(),
        managers: Managers::Told,
        face: Some(&face),
        uid,
        ..UpdateOptions::default()
    };
    let transform = |current: Option<&Object>| {
        let Some(current) = current else {
            return Err(Status::not_found(&ask.row().group_resource(), ask.name()));
        };
        let mut scale = make(&face.of(current, FaceManagers::Shown))?;
        sampan_registry::check_name(&scale, ask.name()).map_err(Status::from)?;
        sampan_registry::settle_namespace(ask.row(), &mut scale, ask.namespace()).map_err(Status::from)?;
        check_uid(ask, &scale, current)?;
        Ok(scale)
    };
    let caller = ask.caller(options);
    let updated = ask.registry().update(&caller, ask.row(), ask.namespace(), ask.name(), &how, &transform).await;
    let updated = updated.map_err(Status::from)?;
    answer(ask, &scale_of(&updated.record.object(), &ask.row().scale))
}

/// Refuses a scale that names the UID of another object. Of kinds that are defined it is not looked at.
fn check_uid(ask: &Ask, scale: &Object, current: &Object) -> Result<(), Status> {
    let row = ask.row();
    let (wanted, found) = (scale.uid(), current.uid());
    if wanted.is_empty() || wanted == found || row.defined {
        return Ok(());
    }
    let resource =
        GroupResource { group: row.group.to_string(), resource: format!("{}/{}", row.resource, ask.subresource()) };
    let message = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
    Err(Error::Conflict { resource, name: ask.name().to_owned(), message }.status())
}

/// The number of replicas of an object that needs one and has none, in the scale that a write starts from
/// (apiextensions-apiserver's `invalidSpecReplicas`).
const NOT_SET: i64 = i32::MIN as i64;

/// Objects of a row as their scales.
struct ScaleOf<'a> {
    paths: &'a ScalePaths,
    /// Of the scale, for errors.
    kind: GroupKind,
    /// Of the object.
    api_version: String,
}

impl ScaleOf<'_> {
    fn spec(&self) -> Vec<&str> {
        self.paths.spec.iter().map(AsRef::as_ref).collect()
    }
}

impl Face for ScaleOf<'_> {
    fn of(&self, object: &Object, managers: FaceManagers) -> Object {
        let mut scale = Object::from_value(scale_of(object, self.paths)).unwrap_or_default();
        if managers == FaceManagers::Shown {
            let spec = self.spec();
            if self.paths.required && object.get(&spec).is_none() {
                scale.set(&["spec", "replicas"], NOT_SET);
            }
            let managers = to_scale(managers_of(object), &Replicas { api_version: &self.api_version, path: &spec });
            if !managers.is_empty() {
                scale.set_meta("managedFields", managers);
            }
        }
        scale
    }

    fn write(&self, current: &Object, scale: &Object) -> Result<Object, Status> {
        let replicas = scale.get(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(0);
        if self.paths.required && replicas == NOT_SET {
            let path = format!(".{}", self.spec().join("."));
            return Err(Status::bad_request(format!("the spec replicas field {path:?} cannot be empty")));
        }
        // A kind that needs its number has a rule for it.
        if !self.paths.required && replicas < 0 {
            let path = Path::new("spec").child("replicas");
            let error = FieldError::invalid(&path, replicas, "must be greater than or equal to 0");
            return Err(Status::invalid(&self.kind, scale.name(), &FieldErrors::from_iter([error])));
        }
        let spec = self.spec();
        let mut object = current.clone();
        object.set(&spec, replicas);
        let replicas_of = Replicas { api_version: &self.api_version, path: &spec };
        set_from_scale(object.fields_mut(), managers_of(scale), &replicas_of);
        // The version that the scale names is to be the object's too.
        if !scale.resource_version().is_empty() {
            object.set_meta("resourceVersion", scale.resource_version());
        }
        Ok(object)
    }
}

fn managers_of(object: &Object) -> &[Value] {
    object.metadata().get("managedFields").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The scale of an object as it is answered.
///
/// # Errors
/// 500, as Kubernetes has it, where the object has no replicas and its kind needs some.
fn shown(ask: &Ask, object: &Object) -> Result<Value, Status> {
    let paths = &ask.row().scale;
    let spec: Vec<&str> = paths.spec.iter().map(AsRef::as_ref).collect();
    if paths.required && object.get(&spec).is_none() {
        let path = format!(".{}", spec.join("."));
        return Err(Status::internal(&format!("the spec replicas field {path:?} does not exist")));
    }
    Ok(scale_of(object, paths))
}

/// Answers with a scale, in a table where that is asked for.
fn answer(ask: &Ask, scale: &Value) -> Result<Response<Body>, Status> {
    let output = ask.output(Endpoint::Resource)?;
    let Shape::Table(version) = output.shape else { return ask.answer(200, scale) };
    let include = Include::parse(ask.query().get("includeObject"))?;
    let defined = ask.row().defined;
    let cells = cells(scale, defined, ask.env().now());
    let table = table::of_value(scale, &columns(defined), &cells, version, include);
    Ok(respond::object(200, output, None, &table))
}

/// The columns of a scale's table: those of Kubernetes' printers, of a kind that is `defined` those of apiextensions-apiserver.
fn columns(defined: bool) -> [Value; 4] {
    let (name, age, desired, available) = match defined {
        true => ("name", "date", "Number of desired replicas", "Number of actual replicas"),
        false => (
            "",
            "string",
            "replicas is the desired number of instances for the scaled object.",
            "replicas is the actual number of observed instances of the scaled object.",
        ),
    };
    [
        table::column("Name", "string", name, table::NAME_DESCRIPTION),
        table::column("Desired", "integer", "", desired),
        table::column("Available", "integer", "", available),
        table::column("Age", age, "", table::CREATED_DESCRIPTION),
    ]
}

/// Of a kind that is `defined` the cells are found in the scale as it is written, without a wanted number of zero.
fn cells(scale: &Value, defined: bool, now: SystemTime) -> [Value; 4] {
    let metadata = &scale["metadata"];
    let desired = match &scale["spec"]["replicas"] {
        Value::Null if !defined => 0.into(),
        replicas => replicas.clone(),
    };
    let age = sampan_registry::kinds::age(metadata["creationTimestamp"].as_str().unwrap_or_default(), now);
    [metadata["name"].clone(), desired, scale["status"]["replicas"].clone(), age.into()]
}

/// The scale of an object: its identity, its replicas, and its selector as text.
fn scale_of(object: &Object, paths: &ScalePaths) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.metadata().get(field) {
            metadata.insert(field.into(), value.clone());
        }
    }
    let at = |path: &[Name]| object.get(&path.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
    let count = |path: &[Name]| at(path).and_then(Value::as_i64).unwrap_or(0);
    let mut spec = Map::new();
    if count(&paths.spec) != 0 {
        spec.insert("replicas".into(), count(&paths.spec).into());
    }
    let mut status = Map::from_iter([("replicas".to_owned(), count(&paths.status).into())]);
    let selector = paths.selector.as_deref().and_then(at).map(selector_text).unwrap_or_default();
    if !selector.is_empty() {
        status.insert("selector".into(), selector.into());
    }
    json!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    })
}

/// A selector as text: a LabelSelector, or the plain map that the oldest kinds have.
fn selector_text(selector: &Value) -> String {
    let Some(map) = selector.as_object() else { return selector.as_str().unwrap_or_default().to_owned() };
    if map.contains_key("matchLabels") || map.contains_key("matchExpressions") {
        let path = Path::new("spec").child("selector");
        return LabelSelector::from_v1(selector, &path).map(|selector| selector.to_string()).unwrap_or_default();
    }
    let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_s_table_has_the_columns_of_the_real_server() {
        let scale = json!({
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "a", "resourceVersion": "7", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {},
            "status": {"replicas": 2},
        });
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(600);
        let check = |defined: bool, desired: Value, format: &str, age: &str| {
            let (columns, cells) = (columns(defined), cells(&scale, defined, now));
            let table = table::of_value(&scale, &columns, &cells, negotiate::MetaVersion::V1, Include::Nothing);
            assert_eq!(table["metadata"], json!({"resourceVersion": "7"}));
            assert_eq!(table["rows"], json!([{"cells": ["a", desired, 2, "10m"], "object": null}]));
            let shown = [0usize, 3]
                .map(|at| [&table["columnDefinitions"][at]["format"], &table["columnDefinitions"][at]["type"]]);
            assert_eq!(shown, [[&json!(format), &json!("string")], [&json!(""), &json!(age)]]);
        };
        check(false, json!(0), "", "string");
        check(true, Value::Null, "name", "date");
    }

    #[test]
    fn the_scale_shows_replicas_and_the_selector_as_text() {
        let check = |spec: Value, selector: &str| {
            let object =
                json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": spec, "status": {"replicas": 2}});
            let scale = scale_of(&Object::from_value(object).expect("an object"), &ScalePaths::default());
            assert_eq!(scale["status"], json!({"replicas": 2, "selector": selector}));
            assert_eq!((&scale["metadata"], &scale["spec"]), (&json!({"name": "a"}), &json!({"replicas": 3})));
        };
        check(json!({"replicas": 3, "selector": {"app": "x", "b": "c"}}), "app=x,b=c");
        check(json!({"replicas": 3, "selector": {"matchLabels": {"app": "x"}}}), "app=x");
    }
}
