//! `eviction`: a deletion that asks the disruption budgets first.

use super::Action;
use super::binding::set_condition;
use crate::ask::Ask;
use crate::body::Body;
use crate::options::{self, WriteOptions};
use async_trait::async_trait;
use http::Response;
use sampan_api::admission::AdmitAll;
use sampan_api::field::Path;
use sampan_api::time::rfc3339;
use sampan_api::{GroupResource, LabelSelector, Object, Reason, Record, Status, StatusCause};
use sampan_registry::options::{Caller, DeleteOptions, GetOptions, ListOptions, UpdateOptions};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) struct Evict;

#[async_trait]
impl Action for Evict {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        let (eviction, mut write) = ask.read_object(body).await?;
        if !eviction.name().is_empty() && eviction.name() != ask.name() {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let (mut delete, dry_run) = match eviction.get(&["deleteOptions"]) {
            Some(value) => options::read_delete(value)?,
            None => (DeleteOptions::default(), false),
        };
        write.dry_run |= dry_run;
        let registry = ask.registry();
        let (row, namespace, name) = (ask.row(), ask.namespace(), ask.name());
        let record = registry.get(row, namespace, name, &GetOptions::default()).await.map_err(Status::from)?;
        let object = record.object();
        if counts(&object) {
            take_budget(ask, &record, write.dry_run).await?;
        }
        if object.deletion_timestamp().is_none() {
            mark(ask, &write, &mut delete).await?;
        }
        let caller = ask.admitted(&write);
        registry.delete(&caller, row, namespace, name, &delete).await.map_err(Status::from)?;
        ask.created()
    }
}

/// Writes the condition that says why the pod goes. The preconditions are those of the deletion, evaluated on what the
/// condition is added to, in one compare-and-swap; the deletion's resource version is then that of this write
/// (eviction.go's addConditionAndDeletePod).
async fn mark(ask: &Ask, write: &WriteOptions, delete: &mut DeleteOptions) -> Result<(), Status> {
    let (row, name) = (ask.row(), ask.name());
    let how = UpdateOptions { subresource: "eviction".into(), ..UpdateOptions::default() };
    let now = ask.env().now();
    let wanted = delete.clone();
    let transform = |current: Option<&Object>| {
        let Some(current) = current else { return Err(Status::not_found(&row.group_resource(), name)) };
        preconditions(&wanted, current)?;
        let mut object = current.clone();
        let why = Some(("EvictionByEvictionAPI", "Eviction API: evicting"));
        set_condition(&mut object, "DisruptionTarget", "True", why, now);
        Ok(object)
    };
    let caller = ask.admitted(write);
    let updated =
        ask.registry().update(&caller, row, ask.namespace(), name, &how, &transform).await.map_err(Status::from)?;
    if let (Some(version), false) = (&mut delete.resource_version, write.dry_run) {
        *version = updated.record.mod_revision.to_string();
    }
    Ok(())
}

/// Whether the pod is the one that was meant.
fn preconditions(wanted: &DeleteOptions, pod: &Object) -> Result<(), Status> {
    // Go names neither group nor resource here: the object that it asks has forgotten its kind.
    let conflict = |message: String| Status::conflict(&GroupResource::new("", ""), pod.name(), &message);
    if let Some(uid) = wanted.uid.as_deref().filter(|uid| *uid != pod.uid()) {
        return Err(conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted \
             and then recreated",
            pod.uid()
        )));
    }
    let version = pod.resource_version();
    if let Some(wanted) = wanted.resource_version.as_deref().filter(|wanted| *wanted != version) {
        return Err(conflict(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). \
             The object might have been modified"
        )));
    }
    Ok(())
}

/// Whether an eviction costs its budget anything: what is over, not begun or already on its way out does not.
fn counts(object: &Object) -> bool {
    let phase = object.get_str(&["status", "phase"]).unwrap_or("");
    object.deletion_timestamp().is_none() && !matches!(phase, "Succeeded" | "Failed" | "Pending" | "")
}

/// Takes one disruption out of the budget that selects the object, if one does.
async fn take_budget(ask: &Ask, record: &Arc<Record>, dry_run: bool) -> Result<(), Status> {
    let registry = ask.registry();
    let table = registry.table();
    let Some(row) = table.lookup("policy", "v1", "poddisruptionbudgets").cloned() else { return Ok(()) };
    let budgets = registry.list(&row, ask.namespace(), &ListOptions::default()).await.map_err(Status::from)?;
    let selecting: Vec<&Arc<Record>> =
        budgets.items.iter().filter(|budget| selects(&budget.object(), record)).collect();
    let budget = match selecting.as_slice() {
        [] => return Ok(()),
        [budget] => *budget,
        _ => {
            let text =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status { reason: String::new(), ..Status::failure(Reason::Unknown, text) });
        }
    };
    let name = budget.key.name.to_string();
    if dry_run {
        return spend(&budget.object(), ask, record).map(|_| ());
    }
    let how = UpdateOptions { subresource: "status".into(), ..UpdateOptions::default() };
    let transform = |current: Option<&Object>| match current {
        None => Err(Status::not_found(&row.group_resource(), &name)),
        Some(current) => spend(current, ask, record),
    };
    let caller = Caller { admission: &AdmitAll, ..ask.caller_of("", false, &Value::Null) };
    registry.update(&caller, &row, ask.namespace(), &name, &how, &transform).await.map_err(Status::from)?;
    Ok(())
}

fn selects(budget: &Object, record: &Record) -> bool {
    let Some(selector) = budget.get(&["spec", "selector"]) else { return false };
    let path = Path::new("spec").child("selector");
    LabelSelector::from_v1(selector, &path).is_ok_and(|selector| selector.matches_map(&record.labels))
}

/// The budget after one more disruption, or why there can be none.
fn spend(budget: &Object, ask: &Ask, record: &Record) -> Result<Object, Status> {
    let count = |name: &str| budget.get(&["status", name]).and_then(Value::as_i64).unwrap_or(0);
    let violates = |cause: StatusCause| {
        let text = "Cannot evict pod as it would violate the pod's disruption budget.";
        Status::failure(Reason::TooManyRequests, text).with_cause(cause)
    };
    if count("observedGeneration") < budget.generation() {
        // The controller has not seen the budget as it is now: its figures are of another one.
        return Err(violates(StatusCause {
            reason: "DisruptionBudget".into(),
            message: format!("The disruption budget {} is still being processed by the server.", budget.name()),
            field: String::new(),
        })
        .with_retry_after(10));
    }
    let allowed = count("disruptionsAllowed");
    if allowed <= 0 {
        return Err(violates(StatusCause {
            reason: "DisruptionBudget".into(),
            message: format!(
                "The disruption budget {} needs {} healthy pods and has {} currently",
                budget.name(),
                count("desiredHealthy"),
                count("currentHealthy")
            ),
            field: String::new(),
        }));
    }
    let mut object = budget.clone();
    object.set(&["status", "disruptionsAllowed"], allowed - 1);
    let now = rfc3339(ask.env().now());
    object.set(&["status", "disruptedPods", &record.key.name], now.clone());
    if allowed == 1 {
        let condition = json!({
            "type": "DisruptionAllowed",
            "status": "False",
            "reason": "InsufficientPods",
            "message": "",
            "lastTransitionTime": now,
            "observedGeneration": count("observedGeneration"),
        });
        let mut conditions =
            object.get(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
        conditions.retain(|one| one["type"] != condition["type"]);
        conditions.push(condition);
        object.set(&["status", "conditions"], Value::Array(conditions));
    }
    Ok(object)
}
