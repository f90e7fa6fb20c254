//! The suggested and mandatory levels and schemas as FlowSchemas and PriorityLevelConfigurations, and what a start does
//! with those that are there (k8s.io/kubernetes, `pkg/registry/flowcontrol/ensurer`).

use super::suggested::{levels, schemas};
use super::{Distinguisher, FlowSchema, Level, LevelKind, LimitResponse, Rule, Subject};
use sampan_api::Object;
use serde_json::{Value, json};

/// The group and version of the objects.
pub const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
/// The annotation by which an object's owner says whether starts may set its spec.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// Objects whose spec is nobody's to change.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// The levels, then the schemas.
pub fn objects() -> Vec<Object> {
    let all = levels().iter().map(level).chain(schemas().iter().map(schema)).collect::<Vec<Value>>();
    all.into_iter().filter_map(Object::from_value).collect()
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let metadata = json!({"name": name, "annotations": {AUTO_UPDATE: "true"}});
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
}

fn level(level: &Level) -> Value {
    let spec = match &level.kind {
        LevelKind::Exempt => json!({
            "type": "Exempt",
            "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0},
        }),
        LevelKind::Limited(limited) => {
            let response = match limited.response {
                LimitResponse::Reject => json!({"type": "Reject"}),
                LimitResponse::Queue(queuing) => json!({"type": "Queue", "queuing": {
                    "queues": queuing.queues, "handSize": queuing.hand_size, "queueLengthLimit": queuing.queue_length}}),
            };
            json!({"type": "Limited", "limited": {
                "nominalConcurrencyShares": limited.shares,
                "lendablePercent": limited.lendable_percent,
                "limitResponse": response,
            }})
        }
    };
    object("PriorityLevelConfiguration", &level.name, spec)
}

fn schema(schema: &FlowSchema) -> Value {
    let mut rules = json!({"subjects": schema.subjects.iter().map(subject).collect::<Vec<Value>>()});
    for rule in &schema.rules {
        let (list, rule) = match rule {
            Rule::Resource { verbs, groups, resources, namespaces, cluster_scope } => {
                let mut rule = json!({"verbs": verbs, "apiGroups": groups, "resources": resources});
                if *cluster_scope {
                    rule["clusterScope"] = true.into();
                }
                rule["namespaces"] = json!(namespaces);
                ("resourceRules", rule)
            }
            Rule::NonResource { verbs, paths } => {
                ("nonResourceRules", json!({"verbs": verbs, "nonResourceURLs": paths}))
            }
        };
        match &mut rules[list] {
            Value::Array(known) => known.push(rule),
            none => *none = json!([rule]),
        }
    }
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": schema.level},
        "matchingPrecedence": schema.precedence,
        "rules": [rules],
    });
    if let Some(by) = schema.distinguisher {
        let by = match by {
            Distinguisher::ByUser => "ByUser",
            Distinguisher::ByNamespace => "ByNamespace",
        };
        spec["distinguisherMethod"] = json!({"type": by});
    }
    object("FlowSchema", &schema.name, spec)
}

fn subject(subject: &Subject) -> Value {
    match subject {
        Subject::User(name) => json!({"kind": "User", "user": {"name": name}}),
        Subject::Group(name) => json!({"kind": "Group", "group": {"name": name}}),
        Subject::ServiceAccount { namespace, name } => {
            json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}})
        }
    }
}

/// The write that brings `live` to `wanted`; `None`: it stays. A mandatory one gets its spec back whoever changed it, a
/// suggested one unless its annotation says `false`, or says nothing and its spec was changed; the annotation then says
/// which of the two it is.
pub fn revise(live: &Object, wanted: &Object) -> Option<Object> {
    let told = live.annotation(AUTO_UPDATE).and_then(boolean);
    let automatic = MANDATORY.contains(&wanted.name()) || told.unwrap_or(live.generation() == 1);
    let spec = wanted.get(&["spec"]).filter(|spec| automatic && live.get(&["spec"]) != Some(*spec));
    if spec.is_none() && told == Some(automatic) {
        return None;
    }
    let mut revised = live.clone();
    if let Some(spec) = spec {
        revised.set(&["spec"], spec.clone());
    }
    revised.set(&["metadata", "annotations", AUTO_UPDATE], automatic.to_string());
    Some(revised)
}

/// A truth value as Go's `strconv.ParseBool` reads it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_and_schema_is_an_object() {
        let all = objects();
        let names = |kind: &str| -> Vec<String> {
            all.iter().filter(|one| one.kind() == kind).map(|one| one.name().to_owned()).collect()
        };
        assert_eq!(
            names("PriorityLevelConfiguration").join(" "),
            "exempt node-high system leader-election workload-high workload-low global-default catch-all"
        );
        assert_eq!(names("FlowSchema").len(), 11);
        let levels = names("PriorityLevelConfiguration");
        for one in all.iter().filter(|one| one.kind() == "FlowSchema") {
            let level = one.get_str(&["spec", "priorityLevelConfiguration", "name"]).expect("a level");
            assert!(levels.iter().any(|name| name == level), "{level} of {}", one.name());
        }
    }

    #[test]
    fn a_spec_is_given_back_where_nobody_has_it() {
        let wanted = |name: &str| objects().into_iter().find(|one| one.name() == name).expect(name);
        // The name; the annotation and generation of what is there; whether its spec was changed; what follows.
        let check = |name: &str, told: Option<&str>, generation: i64, changed: bool, expected: Option<(bool, &str)>| {
            let wanted = wanted(name);
            let mut live = wanted.clone();
            live.set(&["metadata"], json!({"name": name, "generation": generation}));
            if let Some(told) = told {
                live.set(&["metadata", "annotations", AUTO_UPDATE], told);
            }
            if changed {
                live.set(&["spec", "type"], "Other");
            }
            let got = revise(&live, &wanted).map(|revised| {
                let restored = revised.get(&["spec"]) == wanted.get(&["spec"]);
                (restored, revised.annotation(AUTO_UPDATE).unwrap_or("none").to_owned())
            });
            let expected = expected.map(|(restored, text)| (restored, text.to_owned()));
            assert_eq!(got, expected, "{name} {told:?} {generation} {changed}");
        };
        check("system", Some("true"), 2, false, None);
        check("system", Some("true"), 2, true, Some((true, "true")));
        check("system", Some("false"), 2, true, None);
        check("system", None, 1, true, Some((true, "true")));
        check("system", None, 2, true, Some((false, "false")));
        check("system", Some("F"), 2, true, None);
        check("system", Some("perhaps"), 2, true, Some((false, "false")));
        check("catch-all", Some("false"), 2, true, Some((true, "true")));
        check("catch-all", Some("true"), 9, false, None);
    }
}
