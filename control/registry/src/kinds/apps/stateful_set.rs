//! StatefulSets: pods with names and volumes of their own.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use super::super::validation::checks::{
    at_most_all, label_selector, named, not_negative, number_or_percent, one_of, selector_as_go, selector_is_usable,
};
use super::super::validation::claims::claim_spec;
use super::super::validation::pod_spec;
use super::super::validation::warnings;
use super::super::validation::workload::{Workload, amount, labels_match, template_before};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Generation;
use crate::strategy::{Context, Warned};
use sampan_api::field::BadValue;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::{Value, json};
use std::collections::HashSet;

pub(super) fn row() -> Resource {
    Resource::new("apps", "v1", "statefulsets", "StatefulSet")
        .short_names(["sts"])
        .categories(["all"])
        .sub_action("scale", scale_kind(), Verbs::VIEW, "scale")
        .view("status")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    workload: Some(&WORKLOAD),
    pods: Some(&["spec", "template"]),
    warnings: &[(Warned::Object, |_, set, old| {
        // Of changes Kubernetes tells it at another place.
        let mut all = of_claims(set, if old.is_none() { "" } else { ".Spec" });
        let at = At::object(set);
        let spec = at.get("spec");
        if spec.get("revisionHistoryLimit").number() < 0 {
            all.push(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                    .to_owned(),
            );
        }
        all
    })],
    name: sampan_api::names::dns1123_label,
    generation: Generation::Spec,
    prepare_for_create: Some(|_, object| {
        object.set(&["status"], serde_json::json!({"replicas": 0, "availableReplicas": 0}));
    }),
    ..Rules::NONE
};

/// What a set's claims are warned of; `told`: where in a claim it is told.
fn of_claims(set: &Object, told: &str) -> Vec<String> {
    let mut all = Vec::new();
    let at = At::object(set);
    let spec = at.get("spec");
    spec.get("volumeClaimTemplates").items().for_each(|claim| warnings::claim_template(claim, told, &mut all));
    all
}

const WORKLOAD: Workload = Workload {
    spec,
    counters: &[
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ],
    bounded: &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
    ready: "status.readyReplicas",
};
/// Fields of a spec that may change.
const MUTABLE: [&str; 7] = [
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
];
const FORBIDDEN: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// Checks a spec; fields that cannot change later are checked of a new object only.
fn spec(ctx: &Context<'_>, object: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(object);
    let spec = at.get("spec");
    let policy = spec.get("podManagementPolicy");
    match policy.text() {
        "" => policy.required(errors, ""),
        "OrderedReady" | "Parallel" => {}
        _ => policy.invalid(errors, "must be 'OrderedReady' or 'Parallel'"),
    }
    update_strategy(spec.get("updateStrategy"), errors);
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    one_of(retention.get("whenDeleted"), errors, &["Retain", "Delete"]);
    one_of(retention.get("whenScaled"), errors, &["Retain", "Delete"]);
    if old.is_none() {
        let claims = spec.get("volumeClaimTemplates");
        for claim in claims.items() {
            if errors.is_full() {
                break;
            }
            claim_spec(claim.get("spec"), errors);
        }
    }
    not_negative(spec.get("replicas"), errors);
    not_negative(spec.get("minReadySeconds"), errors);
    let ordinals = spec.get("ordinals");
    not_negative(ordinals.get("start"), errors);
    let service = spec.get("serviceName");
    if old.is_none() && !service.is_empty() {
        named(service, errors, names::dns1123_label);
    }
    let selector = spec.get("selector");
    if selector.is_set() {
        label_selector(selector, errors);
        if selector.get("matchLabels").is_empty() && selector.get("matchExpressions").is_empty() {
            selector.invalid_as(errors, selector_as_go(selector.value()), "empty selector is invalid for statefulset");
        }
    } else {
        selector.required(errors, "");
    }
    if selector.is_set() && !selector_is_usable(selector.value()) {
        selector.invalid_as(errors, selector_as_go(selector.value()), "");
    } else if !errors.is_full() {
        labels_match(spec, errors);
        let with_claims = with_claims(object);
        let at = At::object(&with_claims);
        let spec = at.get("spec");
        pod_spec::template(ctx, spec.get("template"), template_before(old), errors);
    }
    let template = spec.get("template");
    let pod = template.get("spec");
    if pod.get("restartPolicy").text() != "Always" {
        pod.get("restartPolicy").not_supported(errors, &["Always"]);
    }
    if pod.get("activeDeadlineSeconds").is_set() {
        pod.get("activeDeadlineSeconds").forbidden(errors, "activeDeadlineSeconds in StatefulSet is not Supported");
    }
    if old.is_some_and(|old| !fixed(object).eq(fixed(old))) {
        spec.forbidden(errors, FORBIDDEN);
    }
}

/// The fields of the spec that no update changes.
fn fixed(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
    let spec = object.get(&["spec"]).and_then(Value::as_object);
    spec.into_iter().flatten().filter(|(field, _)| !MUTABLE.contains(&field.as_str()))
}

/// A set of the same pods, with a volume a claim template in them, as the controller will make them. Nothing else of the
/// set is in it.
fn with_claims(object: &Object) -> Object {
    let mut set = Object::default();
    if let Some(template) = object.get(&["spec", "template"]) {
        set.set(&["spec", "template"], template.clone());
    }
    set.remove(&["spec", "template", "spec", "hostname"]);
    set.remove(&["spec", "template", "spec", "subdomain"]);
    let templates = object.get(&["spec", "volumeClaimTemplates"]).and_then(Value::as_array);
    let Some(templates) = templates.filter(|templates| !templates.is_empty()) else { return set };
    let names = templates.iter().map(|template| template["metadata"]["name"].as_str().unwrap_or(""));
    let mut claimed = HashSet::new();
    // Of templates of one name the controller makes one volume.
    let names = names.filter(|name| claimed.insert(*name));
    let volume = |name: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
    let mut volumes: Vec<Value> = names.map(volume).collect();
    let path = ["spec", "template", "spec", "volumes"];
    for volume in object.get(&path).and_then(Value::as_array).into_iter().flatten() {
        if !volume["name"].as_str().is_some_and(|name| claimed.contains(name)) {
            volumes.push(volume.clone());
        }
    }
    set.set(&path, volumes);
    set
}

fn update_strategy(at: At<'_>, errors: &mut FieldErrors) {
    let rolling = at.get("rollingUpdate");
    match at.get("type").text() {
        "" => at.required(errors, ""),
        "OnDelete" => {
            if rolling.is_set() {
                // Go shows its own struct.
                let unavailable = rolling.get("maxUnavailable").value();
                let shown =
                    format!("{{\"Partition\":{},\"MaxUnavailable\":{unavailable}}}", rolling.get("partition").number());
                rolling.invalid_as(errors, BadValue::Raw(shown), "only allowed for updateStrategy 'RollingUpdate'");
            }
        }
        "RollingUpdate" => {
            not_negative(rolling.get("partition"), errors);
            let unavailable = rolling.get("maxUnavailable");
            if unavailable.is_set() {
                number_or_percent(unavailable, errors);
                if amount(unavailable.value()) == 0 {
                    unavailable.invalid(errors, "cannot be 0");
                }
                at_most_all(unavailable, errors);
            }
        }
        _ => at.invalid(errors, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}
