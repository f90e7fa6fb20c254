//! `binding`: gives an object its node, once.

use super::Action;
use super::token::check_key;
use crate::ask::Ask;
use crate::body::Body;
use async_trait::async_trait;
use http::Response;
use sampan_api::condition::transition_time;
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::time::rfc3339;
use sampan_api::{GroupKind, GroupResource, Object, Status};
use sampan_registry::Resource;
use sampan_registry::options::{Managers, UpdateOptions};
use sampan_registry::resource::SubresourceBody;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

const ACTION: &str = "binding";

pub(super) struct Bind;

#[async_trait]
impl Action for Bind {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        let (binding, options) = ask.read_object(body).await?;
        let named = !ask.name().is_empty();
        if named && binding.name() != ask.name() {
            return Err(Status::bad_request("name in URL does not match name in Binding object"));
        }
        let name = if named { ask.name() } else { binding.name() };
        let node = target(&binding)?;
        check_key(name)?;
        let row = bound_row(ask)?;
        // Of what is sent to the collection the UID is the server's to say, and is left out.
        let uid = Some(binding.uid().to_owned()).filter(|uid| named && !uid.is_empty());
        let version = Some(binding.resource_version().to_owned()).filter(|version| !version.is_empty());
        // Kubernetes' binding writes past the field managers: nobody comes to own what it sets.
        let how = UpdateOptions {
            subresource: ACTION.into(),
            uid,
            version,
            managers: Managers::Told,
            ..UpdateOptions::default()
        };
        let now = ask.env().now();
        let transform = |current: Option<&Object>| match current {
            None => Err(Status::not_found(&row.group_resource(), name)),
            Some(current) => bind(&row, current, &binding, node, now),
        };
        let caller = ask.admitted(&options);
        ask.registry().update(&caller, &row, ask.namespace(), name, &how, &transform).await.map_err(Status::from)?;
        ask.created()
    }
}

/// The row whose objects are bound: the request's own, or for the collection of bindings the one that has the action.
fn bound_row(ask: &Ask) -> Result<Arc<Resource>, Status> {
    if !ask.subresource().is_empty() {
        return Ok(ask.row().clone());
    }
    let table = ask.registry().table();
    let has = |row: &&Arc<Resource>| {
        row.subresources.iter().any(|one| matches!(&one.body, SubresourceBody::Action(name) if name == ACTION))
    };
    table.iter().find(has).cloned().ok_or_else(|| Status::internal("nothing in the table can be bound"))
}

fn target(binding: &Object) -> Result<&str, Status> {
    let path = Path::new("target");
    let mut errors = FieldErrors::new();
    let kind = binding.get_str(&["target", "kind"]).unwrap_or("");
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    let name = binding.get_str(&["target", "name"]).unwrap_or("");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    if errors.is_empty() {
        return Ok(name);
    }
    Err(Status::invalid(&GroupKind::new("", "Binding"), binding.name(), &errors))
}

fn bind(row: &Resource, current: &Object, binding: &Object, node: &str, now: SystemTime) -> Result<Object, Status> {
    let kind = row.singular.as_ref();
    let name = current.name();
    let refuse = |why: String| {
        let resource = GroupResource::new(row.group.to_string(), format!("{}/{ACTION}", row.resource));
        Err(Status::conflict(&resource, name, &why))
    };
    if current.deletion_timestamp().is_some() {
        return refuse(format!("{kind} {name} is being deleted, cannot be assigned to a host"));
    }
    if let Some(node) = current.get_str(&["spec", "nodeName"]).filter(|node| !node.is_empty()) {
        return refuse(format!("{kind} {name} is already assigned to node \"{node}\""));
    }
    if current.get(&["spec", "schedulingGates"]).and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
        return refuse(format!("{kind} {name} has non-empty .spec.schedulingGates"));
    }
    let mut object = current.clone();
    object.set(&["spec", "nodeName"], node);
    for field in ["annotations", "labels"] {
        let Some(pairs) = binding.metadata().get(field).and_then(Value::as_object) else { continue };
        for (key, value) in pairs {
            object.set(&["metadata", field, key], value.clone());
        }
    }
    set_condition(&mut object, "PodScheduled", "True", None, now);
    Ok(object)
}

/// Sets a condition of the status: its time moves only when its status does.
pub(super) fn set_condition(object: &mut Object, kind: &str, status: &str, why: Option<(&str, &str)>, now: SystemTime) {
    let mut condition =
        json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": rfc3339(now)});
    if let Some((reason, message)) = why {
        condition["reason"] = reason.into();
        condition["message"] = message.into();
    }
    if object.get(&["status", "conditions"]).and_then(Value::as_array).is_none() {
        object.set(&["status", "conditions"], json!([]));
    }
    let Some(conditions) = object.get_mut(&["status", "conditions"]).and_then(Value::as_array_mut) else { return };
    match conditions.iter_mut().find(|one| one["type"] == kind) {
        None => conditions.push(condition),
        Some(there) => {
            let new = condition["lastTransitionTime"].take();
            let old = there["status"].as_str().map(|was| (was, there.get("lastTransitionTime").cloned()));
            condition["lastTransitionTime"] = transition_time(old, status, || Some(new)).unwrap_or_default();
            *there = condition;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_bound_once_and_only_when_it_may_be() {
        let row = Resource::new("", "v1", "pods", "Pod");
        let check = |current: Value, expected: Result<&str, &str>| {
            let current = Object::from_value(current).expect("an object");
            let bound = bind(&row, &current, &Object::default(), "n1", SystemTime::UNIX_EPOCH);
            let found =
                bound.as_ref().map(|o| o.get_str(&["spec", "nodeName"]).unwrap_or("")).map_err(|s| s.message.as_str());
            assert_eq!(found, expected);
        };
        let conflict = |why: &str| format!("Operation cannot be fulfilled on pods/binding \"p\": {why}");
        check(json!({"metadata": {"name": "p"}}), Ok("n1"));
        check(
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n0"}}),
            Err(&conflict("pod p is already assigned to node \"n0\"")),
        );
        check(
            json!({"metadata": {"name": "p"}, "spec": {"schedulingGates": [{"name": "x"}]}}),
            Err(&conflict("pod p has non-empty .spec.schedulingGates")),
        );
        check(
            json!({"metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            Err(&conflict("pod p is being deleted, cannot be assigned to a host")),
        );
    }
}
