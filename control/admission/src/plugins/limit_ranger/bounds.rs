//! The bounds of one item of a LimitRange, in Kubernetes' words.

use sampan_api::Quantity;
use sampan_api::k8s::api::core::v1::LimitRangeItem;
use sampan_quota::Amounts;

/// The type of items that bound claims: those have requests alone.
pub(super) const CLAIM: &str = "PersistentVolumeClaim";
/// The most that is compared by thousandths (`resource.MaxMilliValue`).
const MILLI_MAX: i64 = i64::MAX / 1000;

/// The least, the most, and the most that limits may be of requests.
pub(super) struct Bounds<'a> {
    kind: &'a str,
    min: Amounts,
    max: Amounts,
    ratio: Amounts,
}

impl<'a> Bounds<'a> {
    pub(super) fn of(item: &'a LimitRangeItem) -> Self {
        let ratio = if item.type_ == CLAIM { None } else { item.max_limit_request_ratio.as_ref() };
        Self {
            kind: &item.type_,
            min: Amounts::of(item.min.as_ref()),
            max: Amounts::of(item.max.as_ref()),
            ratio: Amounts::of(ratio),
        }
    }

    /// Adds what is wrong, each once.
    pub(super) fn check(&self, requests: &Amounts, limits: &Amounts, problems: &mut Vec<String>) {
        let min = self.min.iter().filter_map(|(name, least)| self.min(name, least, requests, limits));
        let max = self.max.iter().filter_map(|(name, most)| self.max(name, most, requests, limits));
        let ratio = self.ratio.iter().filter_map(|(name, most)| self.ratio(name, most, requests, limits));
        for problem in min.chain(max).chain(ratio) {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }

    fn min(&self, name: &str, least: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
        let minimum = format!("minimum {name} usage per {} is {least}", self.kind);
        let (request, limit) = (requests.get(name), limits.get(name));
        let [shown_request, shown_limit, enforced] = comparable([request, limit, Some(least)]);
        match (request, limit) {
            (None, _) => Some(format!("{minimum}.  No request is specified")),
            (Some(request), _) if shown_request < enforced => Some(format!("{minimum}, but request is {request}")),
            (_, Some(limit)) if shown_limit < enforced => Some(format!("{minimum}, but limit is {limit}")),
            _ => None,
        }
    }

    fn max(&self, name: &str, most: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
        let maximum = format!("maximum {name} usage per {} is {most}", self.kind);
        let (request, limit) = (requests.get(name), limits.get(name));
        let [shown_request, shown_limit, enforced] = comparable([request, limit, Some(most)]);
        match (request, limit) {
            (None, _) if self.kind == CLAIM => Some(format!("{maximum}.  No request is specified")),
            (_, None) if self.kind != CLAIM => Some(format!("{maximum}.  No limit is specified")),
            (_, Some(limit)) if shown_limit > enforced => Some(format!("{maximum}, but limit is {limit}")),
            (Some(request), _) if shown_request > enforced => Some(format!("{maximum}, but request is {request}")),
            _ => None,
        }
    }

    fn ratio(&self, name: &str, most: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
        let maximum = format!("{name} max limit to request ratio per {} is {most}", self.kind);
        let [request, limit, _] = comparable([requests.get(name), limits.get(name), Some(most)]);
        if request == 0 {
            return Some(format!("{maximum}, but no request is specified or request is 0"));
        }
        if limit == 0 {
            return Some(format!("{maximum}, but no limit is specified or limit is 0"));
        }
        let observed = limit as f64 / request as f64;
        let fine = most.value() <= MILLI_MAX;
        let (compared, allowed) =
            if fine { (observed * 1000.0, most.milli_value() as f64) } else { (observed, most.value() as f64) };
        (compared > allowed).then(|| format!("{maximum}, but provided ratio is {observed:.6}"))
    }
}

/// Thousandths, where all of them are small enough for it, else units; 0 for what is not there.
fn comparable(amounts: [Option<Quantity>; 3]) -> [i64; 3] {
    let amounts = amounts.map(|amount| amount.unwrap_or(Quantity::ZERO));
    let fine = amounts.iter().all(|amount| amount.value() <= MILLI_MAX);
    amounts.map(|amount| if fine { amount.milli_value() } else { amount.value() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn bounds_are_kept() {
        let check = |item: Value, resources: Value, expected: &[&str]| {
            let item: LimitRangeItem = serde_json::from_value(item).expect("an item");
            let list = |name: &str| {
                let list: Option<std::collections::BTreeMap<_, _>> =
                    serde_json::from_value(resources[name].clone()).expect("a list");
                Amounts::of(list.as_ref())
            };
            let mut problems = Vec::new();
            Bounds::of(&item).check(&list("requests"), &list("limits"), &mut problems);
            assert_eq!(problems, expected, "{item:?} {resources}");
        };
        let cpu = |request: &str, limit: &str| json!({"requests": {"cpu": request}, "limits": {"cpu": limit}});
        let min = json!({"type": "Container", "min": {"cpu": "100m"}});
        check(min.clone(), cpu("100m", "1"), &[]);
        check(min.clone(), cpu("50m", "1"), &["minimum cpu usage per Container is 100m, but request is 50m"]);
        check(min.clone(), cpu("1", "50m"), &["minimum cpu usage per Container is 100m, but limit is 50m"]);
        check(min, json!({}), &["minimum cpu usage per Container is 100m.  No request is specified"]);
        let max = json!({"type": "Pod", "max": {"cpu": "1"}});
        check(max.clone(), cpu("1", "1"), &[]);
        check(max.clone(), cpu("2", "3"), &["maximum cpu usage per Pod is 1, but limit is 3"]);
        check(max.clone(), cpu("2", "1"), &["maximum cpu usage per Pod is 1, but request is 2"]);
        check(max, json!({}), &["maximum cpu usage per Pod is 1.  No limit is specified"]);
        let ratio = json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}});
        check(ratio.clone(), cpu("100m", "200m"), &[]);
        let text = "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000";
        check(ratio.clone(), cpu("100m", "300m"), &[text]);
        let text = "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0";
        check(ratio.clone(), json!({"requests": {"cpu": "1"}}), &[text]);
        let text = "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0";
        check(ratio, json!({}), &[text]);
        let claim = json!({"type": CLAIM, "max": {"storage": "2Gi"}, "min": {"storage": "1Gi"}});
        let storage = |amount: &str| json!({"requests": {"storage": amount}});
        check(claim.clone(), storage("1Gi"), &[]);
        check(
            claim.clone(),
            storage("9Gi"),
            &["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 9Gi"],
        );
        check(claim, storage("1Mi"), &["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]);
    }
}
