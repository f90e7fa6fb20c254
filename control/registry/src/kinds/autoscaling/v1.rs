//! HorizontalPodAutoscalers in `autoscaling/v1`, which knows one metric, the cpu utilisation, as a field of its own: what else
//! there is stands in annotations, as pkg/apis/autoscaling/v1/conversion.go writes them.

use super::super::validation::checks::in_order;
use sampan_api::object::Object;
use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const CARRIED: [&str; 4] = [METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS];
/// The utilisation that is aimed at where no metric is given, percent.
const DEFAULT_UTILIZATION: i64 = 80;

/// A field of a metric: its name in v1, and its way in v2.
type Field = (&'static str, &'static [&'static str]);

/// The two forms of a metric, by its source.
struct Form {
    source: &'static str,
    fields: &'static [Field],
    /// Quantities that no pointer stands before in v1: they are always there.
    always: &'static [&'static str],
}

const SPECS: &[Form] = &[
    Form {
        source: "object",
        fields: &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("targetValue", &["target", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["target", "averageValue"]),
        ],
        always: &["targetValue"],
    },
    Form {
        source: "pods",
        fields: &[
            ("metricName", &["metric", "name"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
        always: &["targetAverageValue"],
    },
    Form {
        source: "resource",
        fields: &[
            ("name", &["name"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        always: &[],
    },
    Form {
        source: "containerResource",
        fields: &[
            ("name", &["name"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("container", &["container"]),
        ],
        always: &[],
    },
    Form {
        source: "external",
        fields: &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        always: &[],
    },
];

const STATUSES: &[Form] = &[
    Form {
        source: "object",
        fields: &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("currentValue", &["current", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["current", "averageValue"]),
        ],
        always: &["currentValue"],
    },
    Form {
        source: "pods",
        fields: &[
            ("metricName", &["metric", "name"]),
            ("currentAverageValue", &["current", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
        always: &["currentAverageValue"],
    },
    Form {
        source: "resource",
        fields: &[
            ("name", &["name"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
        always: &["currentAverageValue"],
    },
    Form {
        source: "containerResource",
        fields: &[
            ("name", &["name"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
            ("container", &["container"]),
        ],
        always: &["currentAverageValue"],
    },
    Form {
        source: "external",
        fields: &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
        always: &["currentValue"],
    },
];

/// The names of what the annotations hold, in the order of Go's structs.
const ORDER: &[&str] = &[
    "type",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "target",
    "kind",
    "name",
    "apiVersion",
    "metricName",
    "metricSelector",
    "targetValue",
    "currentValue",
    "targetAverageUtilization",
    "currentAverageUtilization",
    "targetAverageValue",
    "currentAverageValue",
    "selector",
    "averageValue",
    "container",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
    "ScaleUp",
    "ScaleDown",
    "StabilizationWindowSeconds",
    "SelectPolicy",
    "Policies",
    "Tolerance",
    "Type",
    "Value",
    "PeriodSeconds",
];

/// v1's form of an object in v2's.
pub(super) fn from_v2(object: &mut Object) {
    drop_carried(object);
    let metrics = list(object.remove(&["spec", "metrics"]));
    let (cpu, others): (Vec<Value>, Vec<Value>) = metrics.into_iter().partition(is_cpu_utilization);
    if let Some(cpu) = cpu.first() {
        let utilization = cpu["resource"]["target"]["averageUtilization"].clone();
        object.set(&["spec", "targetCPUUtilizationPercentage"], utilization);
    }
    let currents = list(object.remove(&["status", "currentMetrics"]));
    let cpu = currents.iter().rfind(|one| is_cpu(one) && !one["resource"]["current"]["averageUtilization"].is_null());
    if let Some(cpu) = cpu {
        let utilization = cpu["resource"]["current"]["averageUtilization"].clone();
        object.set(&["status", "currentCPUUtilizationPercentage"], utilization);
    }
    let conditions = list(object.remove(&["status", "conditions"]));
    let lists = [
        (METRICS, others.iter().map(|metric| first_form(metric, SPECS)).collect()),
        (CURRENT_METRICS, currents.iter().map(|metric| first_form(metric, STATUSES)).collect()),
        (CONDITIONS, conditions),
    ];
    for (annotation, values) in lists {
        if !values.is_empty() {
            object.set_annotation(annotation, in_order(&Value::Array(values), ORDER));
        }
    }
    if let Some(behavior) = object.remove(&["spec", "behavior"]).filter(Value::is_object) {
        object.set_annotation(BEHAVIOR, in_order(&go_behavior(&behavior), ORDER));
    }
    for name in ["currentReplicas", "desiredReplicas"] {
        if object.get(&["status", name]).is_none() {
            object.set(&["status", name], 0);
        }
    }
}

/// v2's form of an object in v1's.
pub(super) fn to_v2(object: &mut Object) {
    let utilization = object.remove(&["spec", "targetCPUUtilizationPercentage"]).filter(|value| !value.is_null());
    object.remove(&["status", "currentCPUUtilizationPercentage"]);
    let carried = |object: &Object, annotation: &str| {
        object.annotation(annotation).and_then(|text| serde_json::from_str::<Value>(text).ok())
    };
    let others = list(carried(object, METRICS));
    let mut metrics: Vec<Value> = others.iter().map(|metric| second_form(metric, SPECS, aim)).collect();
    let utilization = utilization.or_else(|| metrics.is_empty().then(|| DEFAULT_UTILIZATION.into()));
    if let Some(utilization) = utilization {
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": utilization}}}));
    }
    object.set(&["spec", "metrics"], metrics);
    if let Some(Value::Object(behavior)) = carried(object, BEHAVIOR).map(|value| uncapitalized(&value))
        && !behavior.is_empty()
    {
        object.set(&["spec", "behavior"], behavior);
    }
    if let Some(Value::Array(currents)) = carried(object, CURRENT_METRICS) {
        let currents: Vec<Value> = currents.iter().map(|metric| second_form(metric, STATUSES, |_, _| None)).collect();
        object.set(&["status", "currentMetrics"], currents);
    }
    if let Some(conditions @ Value::Array(_)) = carried(object, CONDITIONS) {
        object.set(&["status", "conditions"], conditions);
    }
    drop_carried(object);
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

fn is_cpu_utilization(metric: &Value) -> bool {
    is_cpu(metric) && !metric["resource"]["target"]["averageUtilization"].is_null()
}

fn first_form(metric: &Value, forms: &[Form]) -> Value {
    let mut out = Map::new();
    out.insert("type".to_owned(), metric["type"].clone());
    for form in forms {
        let Some(source) = metric.get(form.source).filter(|source| source.is_object()) else { continue };
        let mut fields = Map::new();
        for (name, way) in form.fields {
            match way.iter().try_fold(source, |at, key| at.get(key)).filter(|value| !value.is_null()) {
                Some(value) => drop(fields.insert((*name).to_owned(), value.clone())),
                None if form.always.contains(name) => drop(fields.insert((*name).to_owned(), "0".into())),
                None => {}
            }
        }
        out.insert(form.source.to_owned(), fields.into());
    }
    out.into()
}

/// `aim` tells the type of a target, where the form has one.
fn second_form(metric: &Value, forms: &[Form], aim: fn(&str, &Value) -> Option<&'static str>) -> Value {
    let mut out = Object::default();
    out.set(&["type"], metric["type"].clone());
    for form in forms {
        let Some(source) = metric.get(form.source).filter(|source| source.is_object()) else { continue };
        for (name, way) in form.fields {
            let value = match source.get(name).filter(|value| !value.is_null()) {
                Some(value) => value.clone(),
                None if form.always.contains(name) => "0".into(),
                None => continue,
            };
            let way: Vec<&str> = std::iter::once(form.source).chain(way.iter().copied()).collect();
            out.set(&way, value);
        }
        if let Some(aim) = aim(form.source, source) {
            out.set(&[form.source, "target", "type"], aim);
        }
    }
    out.to_value()
}

/// What a metric's target is, as v1's fields tell it.
fn aim(source: &str, fields: &Value) -> Option<&'static str> {
    let has = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
    Some(match source {
        "object" if !has("averageValue") => "Value",
        "external" if has("targetValue") => "Value",
        "resource" | "containerResource" if has("targetAverageUtilization") => "Utilization",
        _ => "AverageValue",
    })
}

/// The behavior as Go encodes the internal type, whose fields have no names in JSON.
fn go_behavior(behavior: &Value) -> Value {
    let of = |value: &Value, name: &str| value.get(name).cloned().unwrap_or_default();
    let rules = |rules: Value| {
        if !rules.is_object() {
            return Value::Null;
        }
        let policies = rules.get("policies").and_then(Value::as_array).map(|policies| {
            let policy = |one: &Value| {
                json!({"Type": of(one, "type"), "Value": of(one, "value"), "PeriodSeconds": of(one, "periodSeconds")})
            };
            policies.iter().map(policy).collect::<Vec<_>>()
        });
        json!({"StabilizationWindowSeconds": of(&rules, "stabilizationWindowSeconds"),
            "SelectPolicy": of(&rules, "selectPolicy"), "Policies": policies, "Tolerance": of(&rules, "tolerance")})
    };
    json!({"ScaleUp": rules(of(behavior, "scaleUp")), "ScaleDown": rules(of(behavior, "scaleDown"))})
}

/// The value without its nulls, the names of fields as the API has them.
fn uncapitalized(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries = map.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|letter| letter.to_ascii_lowercase());
                (first.into_iter().chain(letters).collect::<String>(), uncapitalized(value))
            });
            Value::Object(entries.collect())
        }
        Value::Array(list) => list.iter().map(uncapitalized).collect(),
        other => other.clone(),
    }
}

fn drop_carried(object: &mut Object) {
    for annotation in CARRIED {
        object.remove(&["metadata", "annotations", annotation]);
    }
    if object.annotations().next().is_none() {
        object.remove(&["metadata", "annotations"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What v1 shows of one metric of v2, and that it comes back.
    fn check(metric: &Value, expected: &str, back: &Value) {
        let mut object =
            Object::from_value(json!({"metadata": {"name": "h"}, "spec": {"metrics": [metric]}})).expect("an object");
        from_v2(&mut object);
        assert_eq!(object.annotation(METRICS), Some(expected));
        to_v2(&mut object);
        assert_eq!(object.get(&["spec", "metrics",]), Some(&json!([back])));
        assert_eq!(object.metadata().get("annotations"), None);
    }

    #[test]
    fn metrics_are_carried_in_the_form_of_v1() {
        let external = json!({"type": "External", "external": {"metric": {"name": "q", "selector": {"matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "k", "operator": "Exists"}]}}, "target": {"type": "Value", "value": "3"}}});
        let text = r#"[{"type":"External","external":{"metricName":"q","metricSelector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"k","operator":"Exists"}]},"targetValue":"3"}}]"#;
        check(&external, text, &external);
        let pods = json!({"type": "Pods", "pods": {"metric": {"name": "p"}, "target": {"type": "AverageValue", "averageValue": "1k"}}});
        check(&pods, r#"[{"type":"Pods","pods":{"metricName":"p","targetAverageValue":"1k"}}]"#, &pods);
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 60}}});
        check(&memory, r#"[{"type":"Resource","resource":{"name":"memory","targetAverageUtilization":60}}]"#, &memory);
        let container = json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
            "target": {"type": "AverageValue", "averageValue": "100m"}}});
        let text = r#"[{"type":"ContainerResource","containerResource":{"name":"cpu","targetAverageValue":"100m","container":"c"}}]"#;
        check(&container, text, &container);
        let of = |target: Value| {
            json!({"type": "Object", "object": {"describedObject": {"kind": "Ingress", "name": "i", "apiVersion": "x/v1"},
                "metric": {"name": "r"}, "target": target}})
        };
        let average = of(json!({"type": "AverageValue", "averageValue": "2"}));
        let text = r#"[{"type":"Object","object":{"target":{"kind":"Ingress","name":"i","apiVersion":"x/v1"},"metricName":"r","targetValue":"0","averageValue":"2"}}]"#;
        // As there: the value without a pointer comes back as nothing of it.
        check(&average, text, &of(json!({"type": "AverageValue", "averageValue": "2", "value": "0"})));
    }

    #[test]
    fn cpu_behavior_and_status_come_back() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}});
        let current = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "5m"}}});
        let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 3, "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}});
        let condition = json!({"type": "AbleToScale", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z", "reason": "R"});
        let whole = json!({"spec": {"metrics": [cpu], "behavior": behavior},
            "status": {"currentMetrics": [current], "conditions": [condition]}});
        let mut object = Object::from_value(whole.clone()).expect("an object");
        from_v2(&mut object);
        assert_eq!(object.get(&["spec"]), Some(&json!({"targetCPUUtilizationPercentage": 70})));
        assert_eq!(object.get(&["status", "currentCPUUtilizationPercentage"]), Some(&json!(12)));
        let text = r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":3,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":60}],"Tolerance":null}}"#;
        assert_eq!(object.annotation(BEHAVIOR), Some(text));
        let text = r#"[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":12,"currentAverageValue":"5m"}}]"#;
        assert_eq!(object.annotation(CURRENT_METRICS), Some(text));
        let text =
            r#"[{"type":"AbleToScale","status":"True","lastTransitionTime":"2020-01-01T00:00:00Z","reason":"R"}]"#;
        assert_eq!(object.annotation(CONDITIONS), Some(text));
        to_v2(&mut object);
        assert_eq!(object.get(&["spec"]), whole.get("spec"));
        assert_eq!(object.get(&["status", "currentMetrics"]), whole["status"].get("currentMetrics"));
        assert_eq!(object.get(&["status", "conditions"]), whole["status"].get("conditions"));
    }

    #[test]
    fn what_is_no_annotation_of_ours_is_let_be() {
        let mut object = Object::from_value(json!({"metadata": {"annotations": {METRICS: "{", "a": "b"}}, "spec": {}}))
            .expect("an object");
        to_v2(&mut object);
        assert_eq!(object.metadata().get("annotations"), Some(&json!({"a": "b"})));
        assert_eq!(
            object.get(&["spec", "metrics"]).and_then(|all| all[0]["resource"]["target"].get("averageUtilization")),
            Some(&json!(80))
        );
    }
}
