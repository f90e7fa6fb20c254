//! Priority and fairness follow their objects: what FlowSchemas and PriorityLevelConfigurations say is in force a moment later, and
//! each schema's status says whether its level is there (k8s.io/apiserver, `pkg/util/flowcontrol/apf_controller.go`).

use anyhow::Context;
use sampan_api::{GroupVersionResource, Object};
use sampan_apiserver::flow::objects::{API_VERSION, classifier};
use sampan_apiserver::flow::seats::Seats;
use sampan_client::{Client, Informer, InformerSpec, Informers, Patch, WriteParams};
use sampan_env::{Env, Tasks};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// What changes together is looked at once.
const SETTLE: Duration = Duration::from_millis(100);
/// Before a status that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// The manager of what the statuses say.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";
const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// Keeps `seats` as the objects want them, for ever. `client` speaks as `system:apiserver`.
///
/// # Errors
/// The client can watch no more.
pub fn follow(client: &Client, seats: Seats, env: &Env, tasks: &Tasks) -> anyhow::Result<()> {
    let informers = Informers::new(client.clone(), env, tasks);
    let (changed, mut changes) = watch::channel(());
    let of = |resource: &str| -> anyhow::Result<Informer> {
        let informer = informers.select(InformerSpec::dynamic(GroupVersionResource::new(GROUP, "v1", resource)))?;
        let changed = changed.clone();
        informer.add_handler(move |_| {
            changed.send_replace(());
        });
        Ok(informer)
    };
    let (levels, schemas) = (of("prioritylevelconfigurations")?, of("flowschemas")?);
    let (client, env) = (client.clone(), env.clone());
    tasks.spawn_until_cancelled(async move {
        let synced = informers.wait_synced().await.context("the objects of priority and fairness");
        if let Err(error) = synced {
            tracing::error!(error = format!("{error:#}"), "priority and fairness stay as suggested");
            return;
        }
        loop {
            let all: Vec<Object> =
                levels.store().list().iter().chain(&schemas.store().list()).map(|record| record.object()).collect();
            seats.configure(classifier(&all));
            let again = !tell(&client, &all, env.now()).await;
            let next = async {
                if again {
                    env.sleep(AGAIN).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                // The sender lives as long as the informers.
                _ = changes.changed() => {}
                () = next => {}
            }
            env.sleep(SETTLE).await;
            changes.mark_unchanged();
        }
    });
    Ok(())
}

/// Writes the statuses that are not as they should be; whether all could be written.
async fn tell(client: &Client, all: &[Object], now: SystemTime) -> bool {
    let levels: BTreeSet<&str> =
        all.iter().filter(|object| object.kind() == "PriorityLevelConfiguration").map(Object::name).collect();
    let api = client.dynamic(&GroupVersionResource::new(GROUP, "v1", "flowschemas"), None);
    let params = WriteParams { field_manager: Some(MANAGER.to_owned()), force: true, ..WriteParams::default() };
    let mut written = true;
    for schema in all.iter().filter(|object| object.kind() == "FlowSchema") {
        let Some(condition) = dangling(schema, &levels, now) else { continue };
        let patch = Patch::Apply(json!({
            "apiVersion": schema.api_version(),
            "kind": schema.kind(),
            "metadata": {"name": schema.name()},
            "status": {"conditions": [condition]},
        }));
        match api.patch_with(schema.name(), Some("status"), &patch, &params).await {
            Err(error) if !error.is_not_found() => {
                tracing::warn!(schema = schema.name(), %error, "the status of a flow schema could not be written");
                written = false;
            }
            _ => {}
        }
    }
    written
}

/// The condition that says whether the schema's level is there; `None`: it stands there as it should be.
fn dangling(schema: &Object, levels: &BTreeSet<&str>, now: SystemTime) -> Option<Value> {
    debug_assert_eq!(schema.api_version(), API_VERSION);
    let level = schema.get_str(&["spec", "priorityLevelConfiguration", "name"]).unwrap_or_default();
    let found = levels.contains(level);
    let rest = if found { "and it exists" } else { "but there is no such object" };
    let mut wanted = json!({
        "type": "Dangling",
        "status": if found { "False" } else { "True" },
        "reason": if found { "Found" } else { "NotFound" },
        "message": format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {rest}"),
    });
    let conditions = schema.get(&["status", "conditions"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let known = conditions.iter().find(|one| one["type"] == "Dangling").unwrap_or(&Value::Null);
    let same = |fields: &[&str]| fields.iter().all(|field| known[*field] == wanted[*field]);
    if same(&["status", "reason", "message"]) {
        return None;
    }
    let since = match same(&["status"]) {
        true => known["lastTransitionTime"].clone(),
        false => sampan_api::time::rfc3339(now).into(),
    };
    wanted["lastTransitionTime"] = since;
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_the_level_is_there() {
        let now = SystemTime::UNIX_EPOCH;
        let schema = |conditions: Value| {
            Object::from_value(json!({"apiVersion": API_VERSION, "kind": "FlowSchema", "metadata": {"name": "s"},
                "spec": {"priorityLevelConfiguration": {"name": "l"}}, "status": {"conditions": conditions}}))
            .expect("an object")
        };
        let missing = dangling(&schema(json!([])), &BTreeSet::new(), now).expect("to be written");
        assert_eq!(
            missing,
            json!({"type": "Dangling", "status": "True", "reason": "NotFound", "lastTransitionTime": "1970-01-01T00:00:00Z",
                "message": "This FlowSchema references the PriorityLevelConfiguration object named \"l\" but there is no such object"})
        );
        let other = json!({"type": "Other", "status": "True"});
        assert_eq!(dangling(&schema(json!([other, missing])), &BTreeSet::new(), now), None);
        let found = dangling(&schema(json!([other, missing])), &BTreeSet::from(["l"]), now).expect("to be written");
        assert_eq!((&found["status"], &found["reason"]), (&json!("False"), &json!("Found")));
    }
}
