//! Whether a write's use is enough of each quota, and what each is charged.

use crate::amounts::Amounts;
use crate::evaluator::Evaluator;
use crate::item::Item;
use crate::scope;
use sampan_api::Quantity;
use sampan_api::admission::Operation;
use sampan_api::k8s::api::core::v1::{ResourceQuota, ResourceQuotaSpec, ScopedResourceSelectorRequirement};
use std::time::SystemTime;

/// A quota as it is charged: by its status, which the quota controller has brought up to its spec.
#[derive(Clone, Debug)]
pub struct Quota {
    name: String,
    hard: Amounts,
    used: Amounts,
    scopes: Vec<ScopedResourceSelectorRequirement>,
}

impl Quota {
    /// Out of the object.
    pub fn of(quota: &ResourceQuota) -> Self {
        let status = quota.status.as_ref();
        Self {
            name: quota.metadata.name.clone().unwrap_or_default(),
            hard: Amounts::of(status.and_then(|status| status.hard.as_ref())),
            used: Amounts::of(status.and_then(|status| status.used.as_ref())),
            scopes: quota.spec.as_ref().map(scope::selectors).unwrap_or_default(),
        }
    }

    fn covers(&self, evaluator: &Evaluator, item: &Item) -> bool {
        self.hard.names().any(|name| evaluator.limits(name)) && evaluator.is_in(&self.scopes, item)
    }
}

/// The use of what a quota limits, as it is: that of `found`, each a resource's evaluator and all its objects in the quota's
/// namespace; of what is not found as `before` has it. Names that nothing tells the use of are left out.
pub fn count(spec: &ResourceQuotaSpec, found: &[(Evaluator, Vec<Item>)], before: &Amounts, now: SystemTime) -> Amounts {
    let hard = Amounts::of(spec.hard.as_ref());
    let scopes = scope::selectors(spec);
    let mut used = before.only(|name| hard.get(name).is_some());
    for (evaluator, items) in found {
        let mut usage = Amounts::default();
        items
            .iter()
            .filter(|item| evaluator.is_in(&scopes, item))
            .for_each(|item| usage.add(&evaluator.usage(item, now)));
        for name in hard.names().filter(|name| evaluator.limits(name)) {
            used.set(name, usage.get(name).unwrap_or(Quantity::ZERO));
        }
    }
    used
}

/// A write as it is charged.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// A creation or an update.
    pub operation: Operation,
    /// `""` for the object itself.
    pub subresource: &'a str,
    /// What is written.
    pub new: &'a Item,
    /// What the write replaces.
    pub old: Option<&'a Item>,
}

/// The new use of each quota that the write changes, by its place among `quotas`.
///
/// # Errors
/// The reason why the write is forbidden, in Kubernetes' words: `exceeded quota: ...`.
pub fn charge(
    evaluator: &Evaluator,
    write: &Write<'_>,
    quotas: &[Quota],
    now: SystemTime,
) -> Result<Vec<(usize, Amounts)>, String> {
    if !evaluator.concerns(write.operation, write.subresource, write.new, write.old) {
        return Ok(Vec::new());
    }
    let covering: Vec<(usize, &Quota)> =
        quotas.iter().enumerate().filter(|(_, quota)| quota.covers(evaluator, write.new)).collect();
    for (_, quota) in &covering {
        let limited = || quota.hard.names().filter(|name| evaluator.limits(name));
        if let Some(unsaid) = evaluator.unsaid(limited(), write.new) {
            return Err(format!("failed quota: {}: {unsaid}", quota.name));
        }
        if limited().any(|name| quota.used.get(name).is_none()) {
            let names: Vec<&str> = limited().collect();
            return Err(format!("status unknown for quota: {}, resources: {}", quota.name, names.join(",")));
        }
    }
    let usage = evaluator.usage(write.new, now);
    let negative: Vec<&str> = usage.iter().filter(|(_, amount)| amount.is_negative()).map(|(name, _)| name).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let more = write.old.map(|old| usage.above(&evaluator.usage(old, now)));
    let mut charged = Vec::new();
    for (place, quota) in covering {
        // What was not in the quota's scopes before is new to it.
        let delta = match (&more, write.old) {
            (Some(more), Some(old)) if quota.covers(evaluator, old) => more,
            _ => &usage,
        };
        let requested = delta.without_zeros().only(|name| quota.hard.get(name).is_some());
        if requested.is_empty() {
            continue;
        }
        let mut used = quota.used.clone();
        used.add(&requested);
        let is_over = |name: &str| used.get(name) > quota.hard.get(name);
        let over = requested.only(is_over);
        if !over.is_empty() && write.subresource != "status" {
            let chosen = |amounts: &Amounts| amounts.only(|name| over.get(name).is_some());
            return Err(format!(
                "exceeded quota: {}, requested: {over}, used: {}, limited: {}",
                quota.name,
                chosen(&quota.used),
                chosen(&quota.hard)
            ));
        }
        charged.push((place, used));
    }
    Ok(charged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::{GroupResource, Object};
    use serde_json::{Value, json};

    fn quota(name: &str, hard: Value, used: Value, spec: Value) -> Quota {
        let quota = json!({"metadata": {"name": name}, "spec": spec, "status": {"hard": hard, "used": used}});
        Quota::of(&serde_json::from_value(quota).expect("a quota"))
    }

    /// What a creation of `new`, or the change of `old` to it, makes of the quotas.
    fn outcome(resource: &str, old: Option<Value>, new: Value, quotas: &[Quota]) -> Result<Vec<String>, String> {
        let evaluator = Evaluator::of(&GroupResource::new("", resource)).expect("counted");
        let read = |value: Value| evaluator.read(&Object::from_value(value).expect("an object")).expect("read");
        let (old, new) = (old.map(read), read(new));
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        let write = Write { operation, subresource: "", new: &new, old: old.as_ref() };
        let charged = charge(&evaluator, &write, quotas, SystemTime::UNIX_EPOCH)?;
        Ok(charged.into_iter().map(|(place, used)| format!("{}: {used}", quotas[place].name)).collect())
    }

    fn pod(resources: Value) -> Value {
        json!({"spec": {"containers": [{"name": "a", "resources": resources}]}})
    }

    #[test]
    fn pods_are_charged_and_refused() {
        let check = |new: Value, quotas: &[Quota], expected: Result<&[&str], &str>| {
            let expected = expected.map(|all| all.iter().map(|one| (*one).to_owned()).collect()).map_err(str::to_owned);
            assert_eq!(outcome("pods", None, new, quotas), expected);
        };
        let full = [quota("q", json!({"pods": "1"}), json!({"pods": "1"}), json!({}))];
        let text = "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
        check(pod(json!({})), &full, Err(text));
        let cpu = [quota(
            "q",
            json!({"requests.cpu": "1", "pods": "5"}),
            json!({"requests.cpu": "600m", "pods": "1"}),
            json!({}),
        )];
        check(pod(json!({})), &cpu, Err("failed quota: q: must specify requests.cpu for: a"));
        check(pod(json!({"requests": {"cpu": "400m"}})), &cpu, Ok(&["q: pods=2,requests.cpu=1"]));
        let text = "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1";
        check(pod(json!({"requests": {"cpu": "500m"}})), &cpu, Err(text));
        let fresh = [quota("q", json!({"pods": "1", "cpu": "2"}), json!({"pods": "0"}), json!({}))];
        check(pod(json!({"requests": {"cpu": "1"}})), &fresh, Err("status unknown for quota: q, resources: cpu,pods"));
        let other = [
            quota("a", json!({"services": "0"}), json!({"services": "0"}), json!({})),
            quota("b", json!({"pods": "0"}), json!({"pods": "0"}), json!({"scopes": ["NotBestEffort"]})),
            quota("c", json!({"pods": "2"}), json!({"pods": "1"}), json!({"scopes": ["BestEffort"]})),
        ];
        check(pod(json!({})), &other, Ok(&["c: pods=2"]));
    }

    #[test]
    fn objects_are_counted_by_the_quotas_that_they_are_in() {
        let check = |spec: Value, expected: &str| {
            let spec: ResourceQuotaSpec = serde_json::from_value(spec).expect("a spec");
            let evaluator = Evaluator::of(&GroupResource::new("", "pods")).expect("counted");
            let pods = [json!({"requests": {"cpu": "100m"}}), json!({"requests": {"cpu": "300m"}}), json!({})];
            let read = |resources: &Value| {
                evaluator.read(&Object::from_value(pod(resources.clone())).expect("an object")).expect("read")
            };
            let found = [(evaluator.clone(), pods.iter().map(read).collect())];
            let mut before = Amounts::default();
            ["secrets", "configmaps", "pods"].into_iter().for_each(|name| before.set_count(name, 9));
            assert_eq!(count(&spec, &found, &before, SystemTime::UNIX_EPOCH).to_string(), expected);
        };
        let hard = || json!({"pods": "5", "requests.cpu": "1", "limits.cpu": "1", "secrets": "3", "x.dev/a": "1"});
        check(json!({"hard": hard()}), "limits.cpu=0,pods=3,requests.cpu=400m,secrets=9");
        check(json!({"hard": hard(), "scopes": ["BestEffort"]}), "limits.cpu=0,pods=1,requests.cpu=0,secrets=9");
        check(json!({"hard": {"services": "1"}}), "");
    }

    #[test]
    fn changes_are_charged_by_what_they_add() {
        let check = |old: Value, new: Value, expected: Result<&[&str], &str>| {
            let hard = json!({"services.nodeports": "1", "services": "1"});
            let quotas = [quota("q", hard, json!({"services.nodeports": "0", "services": "1"}), json!({}))];
            let expected = expected.map(|all| all.iter().map(|one| (*one).to_owned()).collect()).map_err(str::to_owned);
            assert_eq!(outcome("services", Some(old), new, &quotas), expected);
        };
        let service =
            |kind: &str, ports: usize| json!({"spec": {"type": kind, "ports": vec![json!({"port": 1}); ports]}});
        check(service("ClusterIP", 1), service("ClusterIP", 3), Ok(&[]));
        check(service("ClusterIP", 1), service("NodePort", 1), Ok(&["q: services=1,services.nodeports=1"]));
        let text = "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1";
        check(service("ClusterIP", 2), service("NodePort", 2), Err(text));
        check(service("NodePort", 2), service("ClusterIP", 2), Ok(&[]));
    }

    #[test]
    fn a_pod_that_comes_into_a_scope_is_charged_whole() {
        let terminating = |seconds: i64| json!({"spec": {"containers": [], "activeDeadlineSeconds": seconds}});
        let quotas = [quota("q", json!({"pods": "1"}), json!({"pods": "0"}), json!({"scopes": ["Terminating"]}))];
        let plain = json!({"spec": {"containers": []}});
        let charged = outcome("pods", Some(plain.clone()), terminating(5), &quotas);
        assert_eq!(charged, Ok(vec!["q: pods=1".to_owned()]));
        assert_eq!(outcome("pods", Some(terminating(9)), terminating(5), &quotas), Ok(vec![]));
        assert_eq!(outcome("pods", Some(terminating(9)), plain, &quotas), Ok(vec![]));
    }
}
