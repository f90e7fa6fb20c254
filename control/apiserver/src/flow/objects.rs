//! The suggested and mandatory levels and schemas as FlowSchemas and PriorityLevelConfigurations, and what a start does
//! with those that are there (k8s.io/kubernetes, `pkg/registry/flowcontrol/ensurer`).

use super::suggested::{levels, schemas};
use super::{
    Classifier, Distinguisher, FlowSchema, Level, LevelKind, LimitResponse, Limited, Policy, Queuing, Rule, Subject,
};
use crate::limits::{LEVELS_MAX, SCHEMAS_MAX};
use http::HeaderValue;
use sampan_api::Object;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The group and version of the objects.
pub const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
/// The annotation by which an object's owner says whether starts may set its spec.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// Objects whose spec is nobody's to change.
const MANDATORY: [&str; 2] = ["exempt", CATCH_ALL];
const CATCH_ALL: &str = "catch-all";

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
    let rules: Vec<Value> = schema.policies.iter().map(policy).collect();
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": schema.level},
        "matchingPrecedence": schema.precedence,
        "rules": rules,
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

fn policy(policy: &Policy) -> Value {
    let mut rules = json!({"subjects": policy.subjects.iter().map(subject).collect::<Vec<Value>>()});
    for rule in &policy.rules {
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
    rules
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

/// The levels and schemas that objects describe, with the mandatory ones where they are missing. Those that cannot be read, and
/// those beyond [`LEVELS_MAX`] and [`SCHEMAS_MAX`] by their names, are left out.
pub fn classifier(objects: &[Object]) -> Classifier {
    let of_kind = |kind: &str| {
        let mut all: Vec<&Object> = objects.iter().filter(|object| object.kind() == kind).collect();
        all.sort_by_key(|object| object.name());
        all
    };
    let mandatory = |name: &str| MANDATORY.contains(&name);
    let read = |object: &&Object| match read_level(object) {
        Some(level) => Some(level),
        None => {
            tracing::warn!(level = object.name(), "a priority level cannot be read");
            None
        }
    };
    let mut found: Vec<Level> =
        of_kind("PriorityLevelConfiguration").iter().take(LEVELS_MAX).filter_map(read).collect();
    let (missing, found_names): (Vec<Level>, Vec<String>) = (
        levels().into_iter().filter(|level| mandatory(&level.name)).collect(),
        found.iter().map(|level| level.name.to_string()).collect(),
    );
    found.extend(missing.into_iter().filter(|level| !found_names.iter().any(|name| *name == level.name)));
    // What no schema matches goes to the last one.
    found.sort_by_key(|level| level.name == CATCH_ALL);
    let read = |object: &&Object| match read_schema(object) {
        Some(schema) => Some(schema),
        None => {
            tracing::warn!(schema = object.name(), "a flow schema cannot be read");
            None
        }
    };
    let mut schemas_found: Vec<FlowSchema> = of_kind("FlowSchema").iter().take(SCHEMAS_MAX).filter_map(read).collect();
    let names: Vec<String> = schemas_found.iter().map(|schema| schema.name.to_string()).collect();
    let missing = schemas().into_iter().filter(|schema| mandatory(&schema.name));
    schemas_found.extend(missing.filter(|schema| !names.iter().any(|name| *name == schema.name)));
    Classifier::new(found, schemas_found)
}

fn uid(object: &Object) -> Option<HeaderValue> {
    HeaderValue::from_str(object.uid()).ok().filter(|uid| !uid.is_empty())
}

fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

fn read_level(object: &Object) -> Option<Level> {
    let spec = object.get(&["spec"])?;
    let kind = match spec["type"].as_str()? {
        "Exempt" => LevelKind::Exempt,
        "Limited" => {
            let limited = &spec["limited"];
            let queuing = &limited["limitResponse"]["queuing"];
            let response = match limited["limitResponse"]["type"].as_str()? {
                "Reject" => LimitResponse::Reject,
                "Queue" => LimitResponse::Queue(Queuing {
                    queues: number(&queuing["queues"]),
                    hand_size: number(&queuing["handSize"]),
                    queue_length: number(&queuing["queueLengthLimit"]),
                }),
                _ => return None,
            };
            let shares = number(&limited["nominalConcurrencyShares"]);
            LevelKind::Limited(Limited { shares, lendable_percent: number(&limited["lendablePercent"]), response })
        }
        _ => return None,
    };
    Some(Level { name: owned(object.name()), uid: uid(object), kind })
}

fn read_schema(object: &Object) -> Option<FlowSchema> {
    let spec = object.get(&["spec"])?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let distinguisher = match spec["distinguisherMethod"]["type"].as_str() {
        Some("ByUser") => Some(Distinguisher::ByUser),
        Some("ByNamespace") => Some(Distinguisher::ByNamespace),
        _ => None,
    };
    let policies = list(&spec["rules"]);
    Some(FlowSchema {
        name: owned(object.name()),
        uid: uid(object),
        level: owned(spec["priorityLevelConfiguration"]["name"].as_str()?),
        precedence: number(&spec["matchingPrecedence"]),
        distinguisher,
        policies: policies
            .iter()
            .map(|policy| Policy {
                subjects: list(&policy["subjects"]).iter().filter_map(read_subject).collect(),
                rules: (list(&policy["resourceRules"]).iter().map(read_resource_rule))
                    .chain(list(&policy["nonResourceRules"]).iter().map(read_path_rule))
                    .collect(),
            })
            .collect(),
    })
}

fn read_subject(subject: &Value) -> Option<Subject> {
    let name = |of: &str| subject[of]["name"].as_str().map(owned);
    match subject["kind"].as_str()? {
        "User" => Some(Subject::User(name("user")?)),
        "Group" => Some(Subject::Group(name("group")?)),
        "ServiceAccount" => Some(Subject::ServiceAccount {
            namespace: owned(subject["serviceAccount"]["namespace"].as_str()?),
            name: name("serviceAccount")?,
        }),
        _ => None,
    }
}

fn texts(value: &Value) -> Vec<Cow<'static, str>> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(owned).collect()
}

fn read_resource_rule(rule: &Value) -> Rule {
    Rule::Resource {
        verbs: texts(&rule["verbs"]),
        groups: texts(&rule["apiGroups"]),
        resources: texts(&rule["resources"]),
        namespaces: texts(&rule["namespaces"]),
        cluster_scope: rule["clusterScope"] == true,
    }
}

fn read_path_rule(rule: &Value) -> Rule {
    Rule::NonResource { verbs: texts(&rule["verbs"]), paths: texts(&rule["nonResourceURLs"]) }
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
    fn what_is_written_is_read_again() {
        let read = classifier(&objects());
        let text = |all: &[Level]| all.iter().map(|level| format!("{level:?}")).collect::<Vec<_>>();
        let mut suggested = levels();
        suggested.sort_by(|a, b| (a.name == CATCH_ALL, &a.name).cmp(&(b.name == CATCH_ALL, &b.name)));
        assert_eq!(text(read.levels()), text(&suggested));
        let again: Vec<Value> = read.schemas().map(schema).collect();
        let mut first: Vec<Value> = schemas().iter().map(schema).collect();
        let key = |value: &Value| (value["spec"]["matchingPrecedence"].as_u64(), value["metadata"]["name"].to_string());
        first.sort_by_key(key);
        assert_eq!(again, first);
    }

    #[test]
    fn the_mandatory_ones_are_always_there() {
        let broken = json!({"apiVersion": API_VERSION, "kind": "PriorityLevelConfiguration",
            "metadata": {"name": "odd"}, "spec": {"type": "Sometimes"}});
        let read = classifier(&[Object::from_value(broken).expect("an object")]);
        let names: Vec<&str> = read.levels().iter().map(|level| level.name.as_ref()).collect();
        assert_eq!(names, ["exempt", "catch-all"]);
        let names: Vec<&str> = read.schemas().map(|schema| schema.name.as_ref()).collect();
        assert_eq!(names, ["exempt", "catch-all"]);
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
