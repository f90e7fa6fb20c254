//! `eviction`: a deletion that asks the disruption budgets first (pkg/registry/core/pod/storage/eviction.go).

use super::Action;
use super::binding::set_condition;
use crate::ask::Ask;
use crate::body::Body;
use crate::limits::{DISRUPTED_PODS_MAX, EVICTION_TRIES_MAX};
use crate::options::{self, WriteOptions};
use async_trait::async_trait;
use http::Response;
use sampan_api::field::Path;
use sampan_api::time::rfc3339;
use sampan_api::{GroupResource, LabelSelector, Object, Reason, Record, Status, StatusCause};
use sampan_registry::options::{DeleteOptions, GetOptions, ListOptions, UpdateOptions};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) struct Evict;

#[async_trait]
impl Action for Evict {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        let (eviction, mut write) = ask.read_object(body).await?;
        if eviction.name() != ask.name() {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let (delete, dry_run) = match eviction.get(&["deleteOptions"]) {
            Some(value) => options::read_delete(value)?,
            None => (DeleteOptions::default(), false),
        };
        write.dry_run |= dry_run;
        let mut tries = EVICTION_TRIES_MAX;
        loop {
            let options = GetOptions::default();
            let record = ask.registry().get(ask.row(), ask.namespace(), ask.name(), &options).await;
            let record = record.map_err(Status::from)?;
            let object = record.object();
            if counts(&object) {
                evict(ask, &write, &delete, &record).await?;
                return ask.created();
            }
            // One that begins is evicted as it was seen: by now it may run, and then it has a budget.
            let as_seen = !is_going_or_over(&object) && delete.resource_version.is_none();
            match remove(ask, &write, &delete, Some(&record).filter(|_| as_seen)).await {
                Err(status) if as_seen && status.reason == Reason::Conflict.as_str() && tries > 1 => tries -= 1,
                outcome => {
                    outcome?;
                    return ask.created();
                }
            }
        }
    }
}

/// Evicts a pod that a budget may count.
async fn evict(ask: &Ask, write: &WriteOptions, delete: &DeleteOptions, record: &Arc<Record>) -> Result<(), Status> {
    let Some(budget) = budget_of(ask, record).await? else { return remove(ask, write, delete, None).await };
    if !may_go_unhealthy(&record.object(), &budget.object()) {
        spend_budget(ask, &budget, record, write.dry_run).await?;
        return remove(ask, write, delete, None).await;
    }
    // Only as it was seen: by now it may be healthy.
    match remove(ask, write, delete, Some(record)).await {
        Err(status) if delete.resource_version.is_none() && status.reason == Reason::Conflict.as_str() => {
            Err(still_processed(&budget.key.name))
        }
        outcome => outcome,
    }
}

/// Deletes the pod, after its condition says why. `as_seen`: only in this state of it.
async fn remove(
    ask: &Ask,
    write: &WriteOptions,
    delete: &DeleteOptions,
    as_seen: Option<&Arc<Record>>,
) -> Result<(), Status> {
    let mut delete = delete.clone();
    if let Some(record) = as_seen {
        delete.resource_version = Some(record.mod_revision.to_string());
    }
    mark(ask, write, &mut delete).await?;
    let caller = ask.admitted(write);
    let gone = ask.registry().delete(&caller, ask.row(), ask.namespace(), ask.name(), &delete).await;
    gone.map(drop).map_err(Status::from)
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
    // Go puts the kind where the resource belongs.
    let conflict = |message: String| Status::conflict(&GroupResource::new("", "Pod"), pod.name(), &message);
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

fn phase(object: &Object) -> &str {
    object.get_str(&["status", "phase"]).unwrap_or("")
}

fn is_going_or_over(object: &Object) -> bool {
    object.deletion_timestamp().is_some() || matches!(phase(object), "Succeeded" | "Failed")
}

/// Whether an eviction costs its budget anything: what is over, not begun or already on its way out does not.
fn counts(object: &Object) -> bool {
    !is_going_or_over(object) && !matches!(phase(object), "Pending" | "")
}

/// Whether the pod is not ready and its budget lets such go: always, or while enough others are healthy.
fn may_go_unhealthy(pod: &Object, budget: &Object) -> bool {
    let conditions = pod.get(&["status", "conditions"]).and_then(Value::as_array);
    if conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True") {
        return false;
    }
    let (current, desired) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    let always = budget.get_str(&["spec", "unhealthyPodEvictionPolicy"]) == Some("AlwaysAllow");
    always || (desired > 0 && current >= desired)
}

/// The budget that selects the pod, if one does.
async fn budget_of(ask: &Ask, record: &Record) -> Result<Option<Arc<Record>>, Status> {
    let registry = ask.registry();
    let table = registry.table();
    let Some(row) = table.lookup("policy", "v1", "poddisruptionbudgets").cloned() else { return Ok(None) };
    let budgets = registry.list(&row, ask.namespace(), &ListOptions::default()).await.map_err(Status::from)?;
    let mut selecting = budgets.items.iter().filter(|budget| selects(&budget.object(), record));
    match (selecting.next(), selecting.next()) {
        (None, _) => Ok(None),
        (Some(budget), None) => Ok(Some(budget.clone())),
        (Some(_), Some(_)) => {
            let text =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            Err(Status { reason: String::new(), ..Status::failure(Reason::Unknown, text) })
        }
    }
}

/// Takes one disruption out of the budget.
async fn spend_budget(ask: &Ask, budget: &Record, record: &Record, dry_run: bool) -> Result<(), Status> {
    let now = rfc3339(ask.env().now());
    if dry_run {
        return spend(&budget.object(), &record.key.name, &now).map(drop);
    }
    let registry = ask.registry();
    let table = registry.table();
    let Some(row) = table.lookup("policy", "v1", "poddisruptionbudgets").cloned() else { return Ok(()) };
    let name = budget.key.name.to_string();
    let how = UpdateOptions { subresource: "status".into(), ..UpdateOptions::default() };
    let transform = |current: Option<&Object>| match current {
        None => Err(Status::not_found(&row.group_resource(), &name)),
        Some(current) => spend(current, &record.key.name, &now),
    };
    let write = WriteOptions::default();
    let caller = ask.admitted(&write);
    registry.update(&caller, &row, ask.namespace(), &name, &how, &transform).await.map_err(Status::from)?;
    Ok(())
}

fn selects(budget: &Object, record: &Record) -> bool {
    let Some(selector) = budget.get(&["spec", "selector"]) else { return false };
    let path = Path::new("spec").child("selector");
    LabelSelector::from_v1(selector, &path).is_ok_and(|selector| selector.matches_map(&record.labels))
}

fn count(budget: &Object, name: &str) -> i64 {
    budget.get(&["status", name]).and_then(Value::as_i64).unwrap_or(0)
}

/// 429; `message` says what the budget lacks.
fn violates(message: String) -> Status {
    let text = "Cannot evict pod as it would violate the pod's disruption budget.";
    let cause = StatusCause { reason: "DisruptionBudget".into(), message, field: String::new() };
    Status::failure(Reason::TooManyRequests, text).with_cause(cause)
}

fn still_processed(budget: &str) -> Status {
    violates(format!("The disruption budget {budget} is still being processed by the server.")).with_retry_after(10)
}

/// The reason why the budget allows no disruption. Its figures are not to be trusted where they could not be counted.
fn why_not(budget: &Object) -> String {
    let name = budget.name();
    let conditions = budget.get(&["status", "conditions"]).and_then(Value::as_array);
    let condition = conditions.into_iter().flatten().find(|one| one["type"] == ALLOWED && one["status"] == "False");
    let text = |field: &str| condition.and_then(|one| one[field].as_str()).unwrap_or("");
    let (reason, message) = (text("reason"), text("message"));
    let (current, desired) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    let refuses = format!("The disruption budget {name} does not allow evicting pods currently");
    match message {
        "" if current > desired => refuses,
        message if !message.is_empty() && reason == "SyncFailed" => {
            format!("{refuses} because it failed sync: {message}")
        }
        _ if current <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
        }
        message => format!("{refuses} ({reason}): {message}"),
    }
}

const ALLOWED: &str = "DisruptionAllowed";

/// The budget after one more disruption, or why there can be none.
fn spend(budget: &Object, pod: &str, now: &str) -> Result<Object, Status> {
    if count(budget, "observedGeneration") < budget.generation() {
        // The controller has not seen the budget as it is now: its figures are of another one.
        return Err(still_processed(budget.name()));
    }
    let forbidden =
        |why: &str| Status::forbidden(&GroupResource::new("policy", "poddisruptionbudget"), budget.name(), why);
    let allowed = count(budget, "disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let waiting = budget.get(&["status", "disruptedPods"]).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    if waiting > DISRUPTED_PODS_MAX {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if allowed == 0 {
        return Err(violates(why_not(budget)));
    }
    let mut object = budget.clone();
    object.set(&["status", "disruptionsAllowed"], allowed - 1);
    object.set(&["status", "disruptedPods", pod], now);
    if allowed == 1 {
        let condition = json!({
            "type": ALLOWED,
            "status": "False",
            "reason": "InsufficientPods",
            "message": "",
            "lastTransitionTime": now,
            "observedGeneration": count(budget, "observedGeneration"),
        });
        let mut conditions =
            object.get(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
        conditions.retain(|one| one["type"] != condition["type"]);
        conditions.push(condition);
        object.set(&["status", "conditions"], Value::Array(conditions));
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).expect("an object")
    }

    #[test]
    fn a_budget_is_spent_or_says_why_not() {
        let status = |more: Value| {
            let mut status =
                json!({"observedGeneration": 2, "currentHealthy": 3, "desiredHealthy": 2, "disruptionsAllowed": 0});
            for (key, one) in more.as_object().into_iter().flatten() {
                status[key] = one.clone();
            }
            status
        };
        let check = |more: Value, expected: Result<i64, (u16, &str)>| {
            let budget = object(json!({"metadata": {"name": "b", "generation": 2}, "status": status(more.clone())}));
            let got = spend(&budget, "p", "now").map(|spent| {
                assert_eq!(spent.get_str(&["status", "disruptedPods", "p"]), Some("now"));
                count(&spent, "disruptionsAllowed")
            });
            let got = got.map_err(|error| {
                let cause = error.details.as_ref().and_then(|details| details.causes.first());
                (error.code, cause.map_or(error.message.clone(), |cause| cause.message.clone()))
            });
            assert_eq!(got, expected.map_err(|(code, text)| (code, text.to_owned())), "{more}");
        };
        check(json!({"disruptionsAllowed": 1}), Ok(0));
        check(json!({"disruptionsAllowed": 5}), Ok(4));
        check(
            json!({"observedGeneration": 1}),
            Err((429, "The disruption budget b is still being processed by the server.")),
        );
        check(
            json!({"currentHealthy": 2}),
            Err((429, "The disruption budget b needs 2 healthy pods and has 2 currently")),
        );
        check(json!({}), Err((429, "The disruption budget b does not allow evicting pods currently")));
        let failed = |reason: &str| {
            json!({"conditions": [
            {"type": "DisruptionAllowed", "status": "False", "reason": reason, "message": "no controllers"}]})
        };
        let text =
            "The disruption budget b does not allow evicting pods currently because it failed sync: no controllers";
        check(failed("SyncFailed"), Err((429, text)));
        let text = "The disruption budget b does not allow evicting pods currently (Other): no controllers";
        check(failed("Other"), Err((429, text)));
        let text = "poddisruptionbudget.policy \"b\" is forbidden: pdb disruptions allowed is negative";
        check(json!({"disruptionsAllowed": -1}), Err((403, text)));
    }

    #[test]
    fn what_is_not_ready_may_go_where_its_budget_says_so() {
        let check = |ready: bool, policy: &str, healthy: (i64, i64), expected: bool| {
            let condition = json!([{"type": "Ready", "status": if ready { "True" } else { "False" }}]);
            let pod = object(json!({"metadata": {"name": "p"}, "status": {"conditions": condition}}));
            let budget = object(json!({"metadata": {"name": "b"}, "spec": {"unhealthyPodEvictionPolicy": policy},
                "status": {"currentHealthy": healthy.0, "desiredHealthy": healthy.1}}));
            assert_eq!(may_go_unhealthy(&pod, &budget), expected, "{ready} {policy} {healthy:?}");
        };
        check(true, "AlwaysAllow", (9, 1), false);
        check(false, "AlwaysAllow", (0, 9), true);
        check(false, "IfHealthyBudget", (2, 2), true);
        check(false, "IfHealthyBudget", (1, 2), false);
        check(false, "IfHealthyBudget", (0, 0), false);
    }
}
