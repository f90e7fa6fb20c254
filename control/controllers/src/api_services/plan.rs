//! What becomes of an APIService (kube-aggregator's `checkAPIService`), and its condition.

use sampan_api::Object;
use serde_json::{Value, json};

const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const ON_START: &str = "onstart";
const ALWAYS: &str = "true";

/// A group version and where it stands among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupVersionPriority {
    /// `""` for the core group.
    pub group: String,
    /// `v1`
    pub version: String,
    /// `groupPriorityMinimum`
    pub group_priority: i64,
    /// `versionPriority`
    pub version_priority: i64,
}

impl GroupVersionPriority {
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.version, self.group)
    }
}

/// For how long an object is kept as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Managed {
    /// Until it is so once after each start.
    OnStart,
    Always,
}

/// An object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    object: Object,
    managed: Managed,
}

impl Desired {
    pub(super) fn of(one: &GroupVersionPriority, managed: Managed) -> Self {
        let label = if managed == Managed::Always { ALWAYS } else { ON_START };
        let mut spec = json!({"version": one.version, "groupPriorityMinimum": one.group_priority,
            "versionPriority": one.version_priority});
        if !one.group.is_empty() {
            spec["group"] = one.group.as_str().into();
        }
        let value = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": one.name(), "labels": {MANAGED: label}}, "spec": spec});
        Self { object: Object::from_value(value).unwrap_or_default(), managed }
    }
}

/// What is remembered of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// It was there when this process started.
    pub at_start: bool,
    /// It was as it should be once.
    pub done: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Nothing,
    Create(Object),
    Update(Object),
    Delete,
}

pub(super) fn plan(desired: Option<&Desired>, current: Option<&Object>, seen: Seen) -> Action {
    let once = desired.is_some_and(|desired| desired.managed == Managed::OnStart) && seen.done;
    let (desired, current) = match (desired, current) {
        (None, None) => return Action::Nothing,
        _ if once => return Action::Nothing,
        (Some(desired), None) => return Action::Create(desired.object.clone()),
        (desired, Some(current)) => (desired, current),
    };
    match current.label(MANAGED) {
        Some(ON_START) if !seen.at_start || seen.done => return Action::Nothing,
        Some(ON_START | ALWAYS) => {}
        // Somebody else's.
        _ => return Action::Nothing,
    }
    let Some(desired) = desired else { return Action::Delete };
    if current.get(&["spec"]) == desired.object.get(&["spec"]) {
        return Action::Nothing;
    }
    let mut next = current.clone();
    next.set(&["spec"], desired.object.get(&["spec"]).cloned().unwrap_or_default());
    Action::Update(next)
}

/// The versions of a definition, each with its group.
pub(super) fn versions(definition: &Object) -> impl Iterator<Item = (&str, &str)> {
    let group = definition.get_str(&["spec", "group"]).unwrap_or_default();
    let all = definition.get(&["spec", "versions"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(move |version| Some((version["name"].as_str()?, group)))
}

/// Whether a definition serves the group version.
pub(super) fn serves(definition: &Object, group: &str, version: &str) -> bool {
    let all = definition.get(&["spec", "versions"]).and_then(Value::as_array);
    definition.get_str(&["spec", "group"]) == Some(group)
        && all.into_iter().flatten().any(|one| one["name"] == version && one["served"] == true)
}

/// The outcome of a check of a server: status, reason and message of the condition `Available`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// `True` or `False`.
    pub status: &'static str,
    /// In one word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

/// Sets the condition; whether it says something else than before.
pub(super) fn set(service: &mut Object, outcome: &Outcome, now: &str) -> bool {
    let mut conditions = service.get(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let new = json!({"type": "Available", "status": outcome.status, "reason": outcome.reason,
        "message": outcome.message, "lastTransitionTime": now});
    match conditions.iter_mut().find(|one| one["type"] == "Available") {
        None => conditions.push(new),
        Some(old) => {
            let same = ["status", "reason", "message"].iter().all(|name| old[*name] == new[*name]);
            if same {
                return false;
            }
            let since = if old["status"] == new["status"] { old["lastTransitionTime"].clone() } else { now.into() };
            *old = new;
            old["lastTransitionTime"] = since;
        }
    }
    service.set(&["status", "conditions"], Value::Array(conditions));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_kept_as_kubernetes_keeps_them() {
        let of = |managed: Managed| {
            let one = GroupVersionPriority {
                group: "example.com".into(),
                version: "v1".into(),
                group_priority: 1000,
                version_priority: 100,
            };
            Desired::of(&one, managed)
        };
        let current = |label: Option<&str>, priority: i64| {
            let mut object = of(Managed::Always).object;
            object.set(&["metadata", "labels"], label.map_or(json!({}), |label| json!({MANAGED: label})));
            object.set(&["spec", "versionPriority"], priority);
            object
        };
        let check = |desired: Option<Managed>, current: Option<Object>, seen: (bool, bool), expected: &str| {
            let seen = Seen { at_start: seen.0, done: seen.1 };
            let found = match plan(desired.map(of).as_ref(), current.as_ref(), seen) {
                Action::Nothing => "nothing",
                Action::Create(_) => "create",
                Action::Update(_) => "update",
                Action::Delete => "delete",
            };
            assert_eq!(found, expected, "{desired:?} {current:?} {seen:?}");
        };
        use Managed::{Always, OnStart};
        check(None, None, (false, false), "nothing");
        check(Some(OnStart), None, (false, false), "create");
        check(Some(OnStart), None, (true, true), "nothing");
        check(Some(Always), None, (false, true), "create");
        for desired in [None, Some(OnStart), Some(Always)] {
            check(desired, Some(current(None, 1)), (true, false), "nothing");
            check(desired, Some(current(Some(ON_START), 1)), (false, false), "nothing");
            check(desired, Some(current(Some(ON_START), 1)), (true, true), "nothing");
        }
        check(None, Some(current(Some(ON_START), 1)), (true, false), "delete");
        check(None, Some(current(Some(ALWAYS), 1)), (false, true), "delete");
        check(Some(OnStart), Some(current(Some(ON_START), 1)), (true, false), "update");
        check(Some(Always), Some(current(Some(ALWAYS), 1)), (false, true), "update");
        check(Some(Always), Some(current(Some(ALWAYS), 100)), (false, true), "nothing");
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_status() {
        let mut service = Object::default();
        let outcome = |status, message: &str| Outcome { status, reason: "R", message: message.to_owned() };
        let check = |service: &mut Object, outcome: Outcome, now: &str, changed: bool, since: &str| {
            assert_eq!(set(service, &outcome, now), changed);
            let condition = &service.get(&["status", "conditions"]).expect("conditions")[0];
            assert_eq!(condition["lastTransitionTime"], since);
        };
        check(&mut service, outcome("False", "a"), "1", true, "1");
        check(&mut service, outcome("False", "a"), "2", false, "1");
        check(&mut service, outcome("False", "b"), "3", true, "1");
        check(&mut service, outcome("True", "b"), "4", true, "4");
    }
}
