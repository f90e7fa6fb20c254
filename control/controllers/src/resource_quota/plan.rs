use sampan_api::Record;
use sampan_api::k8s::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use sampan_quota::{Amounts, Evaluator, Item, count};
use serde_json::Value;
use std::time::SystemTime;

/// The status that the quota should have; `None`: it has it. `found`: each resource that it limits and that is served, with
/// all of the namespace's objects.
pub fn plan(quota: &ResourceQuota, found: &[(Evaluator, Vec<Item>)], now: SystemTime) -> Option<Value> {
    let spec = quota.spec.clone().unwrap_or_default();
    let before = quota.status.clone().unwrap_or_default();
    let used = count(&spec, found, &Amounts::of(before.used.as_ref()), now);
    let hard = Amounts::of(spec.hard.as_ref());
    let kept = before.hard.is_some()
        && before.used.is_some()
        && Amounts::of(before.hard.as_ref()) == hard
        && Amounts::of(before.used.as_ref()) == used;
    let status = ResourceQuotaStatus { hard: Some(spec.hard.unwrap_or_default()), used: Some(used.to_list()) };
    // A status of texts always has an encoding.
    (!kept).then(|| serde_json::to_value(status).unwrap_or_default())
}

/// Whether `status` limits something else than the quota's own status does.
pub(super) fn changes_hard(quota: &ResourceQuota, status: &Value) -> bool {
    let before = quota.status.as_ref().and_then(|status| status.hard.as_ref());
    serde_json::to_value(before).is_ok_and(|before| before != status["hard"])
}

/// Whether the quota limits something else than before. One that cannot be read is looked at, and told of there.
pub(super) fn asks_for_more(old: &Record, new: &Record) -> bool {
    match (old.typed::<ResourceQuota>(), new.typed::<ResourceQuota>()) {
        (Ok(old), Ok(new)) => old.metadata.uid != new.metadata.uid || old.spec != new.spec,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::GroupResource;
    use serde_json::json;

    #[test]
    fn statuses() {
        let check = |status: Value, items: usize, expected: Option<Value>| {
            let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "5"}}, "status": status});
            let quota = serde_json::from_value(quota).expect("a quota");
            let evaluator = Evaluator::of(&GroupResource::new("", "secrets")).expect("counted");
            let found = [(evaluator, vec![Item::Counted; items])];
            assert_eq!(plan(&quota, &found, SystemTime::UNIX_EPOCH), expected);
        };
        let status = |hard: &str, used: &str| json!({"hard": {"secrets": hard}, "used": {"secrets": used}});
        check(json!({}), 0, Some(status("5", "0")));
        check(status("5", "2"), 2, None);
        check(status("5", "2"), 1, Some(status("5", "1")));
        check(status("4", "2"), 2, Some(status("5", "2")));
        check(json!({"hard": {"secrets": "5"}}), 2, Some(status("5", "2")));
    }
}
