//! What the use of a pod's fields, or of its template's, is warned of, where that is no plain fact of one field
//! (Kubernetes' pkg/api/pod/warnings.go and pkg/api/node/util.go).

use super::At;
use super::addresses::{ip_warning, ip_warning_at};
use super::app_armor;
use super::container::LISTS;
use super::overlaps;
use super::ports;
use super::resources::quantity;
use crate::strategy::Context;
use sampan_api::limits::WARNINGS_MAX;
use sampan_api::names;
use sampan_api::object::Object;
use sampan_schema::gates::Gates;
use serde_json::Value;
use std::collections::HashSet;

/// Labels of nodes that others replace.
const NODE_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// Annotations of pods that mean nothing any more.
const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP_FIELD: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const APP_ARMOR_FIELD: &str = "deprecated since v1.30; use the \"appArmorProfile\" field instead";

/// Annotations of containers without a field of their own, unless they say what the whole pod's field says.
fn app_armor(pod: At<'_>, warnings: &mut Vec<String>) {
    let (spec, metadata) = (pod.get("spec"), pod.get("metadata"));
    let annotations = metadata.get("annotations");
    let security = spec.get("securityContext");
    let whole = security.get("appArmorProfile").value();
    for list in LISTS {
        for container in spec.get(list).items() {
            let key = format!("{}{}", app_armor::PREFIX, container.get("name").text());
            let annotation = annotations.key(&key);
            let own = container.get("securityContext").get("appArmorProfile").is_set();
            let same = || !whole.is_null() && app_armor::profile(annotation.text()).as_ref() == Some(whole);
            if annotation.is_set() && !own && !same() {
                warnings.push(format!("{}: {APP_ARMOR_FIELD}", annotation.path()));
            }
        }
    }
}

/// What a pod is warned of as it was sent: afterwards its annotations are fields. None of Windows is looked at.
pub(in crate::kinds) fn as_sent(_: &Context<'_>, pod: &Object, _: Option<&Object>) -> Vec<String> {
    let mut warnings = Vec::new();
    let at = At::object(pod);
    if at.get("spec").get("os").get("name").text() != "windows" {
        app_armor(at, &mut warnings);
    }
    warnings
}

/// What a label of nodes is warned of.
pub(in crate::kinds) fn node_label(label: &str) -> Option<&'static str> {
    NODE_LABELS.iter().find(|(name, _)| *name == label).map(|(_, text)| *text)
}

/// What a kind that makes pods is warned of, where it is new, beyond its template: the name of its pods.
pub(in crate::kinds) fn new_pods_name(_: &Context<'_>, object: &Object, old: Option<&Object>) -> Vec<String> {
    let mut all = Vec::new();
    if old.is_none() {
        pods_name(object, &mut all);
    }
    all
}

/// The object's name becomes part of its pods' names.
pub(in crate::kinds) fn pods_name(object: &Object, warnings: &mut Vec<String>) {
    name(object, "this is used in Pod names and hostnames", warnings);
}

/// Tells that a name is no DNS label where one is wanted.
pub(in crate::kinds) fn name(object: &Object, used: &str, warnings: &mut Vec<String>) {
    let problems = names::dns1123_label(object.name());
    if !problems.is_empty() {
        warnings.push(format!(
            "metadata.name: {used}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            problems.join(" ")
        ));
    }
}

/// Warnings of a pod, or of the template at `way` in an object that makes pods.
pub(in crate::kinds) fn pod(gates: &Gates, object: &Object, way: &[&str]) -> Vec<String> {
    let mut warnings = Vec::new();
    within(At::object(object), way, &mut |pod| both(gates, pod, &mut warnings));
    if !way.is_empty() {
        // Of a pod itself it is told before its annotations become fields.
        within(At::object(object), way, &mut |template| app_armor(template, &mut warnings));
    }
    warnings.truncate(WARNINGS_MAX);
    warnings
}

fn within(at: At<'_>, way: &[&str], each: &mut dyn FnMut(At<'_>)) {
    match way {
        [] => each(at),
        [first, rest @ ..] => within(at.get(first), rest, each),
    }
}

fn both(gates: &Gates, pod: At<'_>, warnings: &mut Vec<String>) {
    let (spec, metadata) = (pod.get("spec"), pod.get("metadata"));
    let annotations = metadata.get("annotations");
    nodes(spec, warnings);
    annotated(spec, annotations, warnings);
    for volume in spec.get("volumes").items() {
        let ephemeral = volume.get("ephemeral");
        let template = ephemeral.get("volumeClaimTemplate");
        claim(template.get("spec"), warnings);
        let repository = volume.get("gitRepo");
        if repository.is_set() {
            let off = if gates.enabled("GitRepoVolumeDriver") { "" } else { ", and disabled by default in v1.33+" };
            warnings.push(format!("{}: deprecated in v1.11{off}", repository.path()));
        }
    }
    overlaps::volumes(spec.get("volumes"), warnings);
    named_once(spec, warnings);
    for name in ["memory", "ephemeral-storage"] {
        fractional(spec.get("overhead").key(name), warnings);
    }
    for list in LISTS {
        for container in spec.get(list).items() {
            of_container(container, annotations, warnings);
        }
    }
    ports::containers(spec, warnings);
    if spec.get("terminationGracePeriodSeconds").number() < 0 {
        let path = spec.get("terminationGracePeriodSeconds").path();
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    spec.get("dnsConfig").get("nameservers").items().for_each(|server| ip_warning(server, warnings));
    spec.get("hostAliases").items().for_each(|alias| ip_warning(alias.get("ip"), warnings));
}

/// Old labels of nodes, by which pods choose and are spread.
fn nodes(spec: At<'_>, warnings: &mut Vec<String>) {
    for (label, at) in spec.get("nodeSelector").entries() {
        if let Some(text) = node_label(label) {
            warnings.push(format!("{}: {text}", at.path()));
        }
    }
    let affinity = spec.get("affinity");
    let affinity = affinity.get("nodeAffinity");
    let required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution");
    required.get("nodeSelectorTerms").items().for_each(|term| node_term(term, warnings));
    for preferred in affinity.get("preferredDuringSchedulingIgnoredDuringExecution").items() {
        let term = preferred.get("preference");
        node_term(term, warnings);
        for expression in term.get("matchExpressions").items() {
            for value in expression.get("values").items() {
                for problem in names::label_value(value.text()) {
                    warnings.push(format!("{}: {} is invalid, {problem}", value.path(), value.text()));
                }
            }
        }
    }
    for spread in spec.get("topologySpreadConstraints").items() {
        old_key(spread.get("topologyKey"), warnings);
    }
}

/// A term of a node selector.
pub(in crate::kinds) fn node_term(term: At<'_>, warnings: &mut Vec<String>) {
    term.get("matchExpressions").items().for_each(|expression| old_key(expression.get("key"), warnings));
}

/// The addresses of a load balancer, in a status.
pub(in crate::kinds) fn load_balancer(_: &Context<'_>, object: &Object, _: Option<&Object>) -> Vec<String> {
    let mut warnings = Vec::new();
    let at = At::object(object);
    for point in at.get("status").get("loadBalancer").get("ingress").items() {
        // Kubernetes tells it of the point, not of its field.
        ip_warning_at(point, point.get("ip").text(), &mut warnings);
    }
    warnings
}

/// The name of a label of nodes.
pub(in crate::kinds) fn old_key(key: At<'_>, warnings: &mut Vec<String>) {
    if let Some(text) = node_label(key.text()) {
        warnings.push(format!("{}: {} is {text}", key.path(), key.text()));
    }
}

fn annotated(spec: At<'_>, annotations: At<'_>, warnings: &mut Vec<String>) {
    let mut tell = |key: &str, text: &str| {
        if annotations.key(key).is_set() {
            warnings.push(format!("{}: {text}", annotations.key(key).path()));
        }
    };
    ANNOTATIONS.iter().for_each(|(key, text)| tell(key, text));
    if !spec.get("securityContext").get("seccompProfile").is_set() {
        tell(SECCOMP_POD, SECCOMP_FIELD);
    }
}

/// Lists in which an entry may stand twice and had better not.
fn named_once(spec: At<'_>, warnings: &mut Vec<String>) {
    for (list, member, what) in [("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")] {
        let mut seen = HashSet::new();
        for (at, one) in spec.value().get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let text = one.get(member).and_then(Value::as_str).unwrap_or("");
            if !seen.insert(text) {
                warnings.push(format!("{}.{list}[{at}].{member}: duplicate {what} {text:?}", spec.path()));
            }
        }
    }
    for secret in spec.get("imagePullSecrets").items() {
        let name = secret.get("name");
        if name.is_empty() {
            warnings.push(format!("{}: invalid empty name \"\"", name.path()));
        }
    }
}

/// A number of bytes that is not whole.
fn fractional(at: At<'_>, warnings: &mut Vec<String>) {
    if let Some(amount) = quantity(at.value()).filter(|amount| amount.milli_value() % 1000 != 0) {
        warnings.push(format!("{}: fractional byte value \"{amount}\" is invalid, must be an integer", at.path()));
    }
}

/// The spec of a claim.
pub(in crate::kinds) fn claim(spec: At<'_>, warnings: &mut Vec<String>) {
    let resources = spec.get("resources");
    for list in ["requests", "limits"] {
        fractional(resources.get(list).key("storage"), warnings);
    }
}

/// A claim that a set makes: what is told of its spec is told of `told`.
pub(in crate::kinds) fn claim_template(claim: At<'_>, told: &str, warnings: &mut Vec<String>) {
    let spec = claim.get("spec");
    let resources = spec.get("resources");
    for list in ["requests", "limits"] {
        let amount = quantity(resources.get(list).key("storage").value());
        if let Some(amount) = amount.filter(|amount| amount.milli_value() % 1000 != 0) {
            warnings.push(format!(
                "{}{told}.resources.{list}[storage]: fractional byte value \"{amount}\" is invalid, must be an integer",
                claim.path()
            ));
        }
    }
}

fn of_container(container: At<'_>, annotations: At<'_>, warnings: &mut Vec<String>) {
    let (name, security) = (container.get("name"), container.get("securityContext"));
    let key = format!("{SECCOMP_CONTAINER}{}", name.text());
    if !security.get("seccompProfile").is_set() && annotations.key(&key).is_set() {
        warnings.push(format!("{}: {SECCOMP_FIELD}", annotations.key(&key).path()));
    }
    let resources = container.get("resources");
    for amount in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            fractional(resources.get(list).key(amount), warnings);
        }
    }
    let mut seen = HashSet::new();
    for (at, variable) in container.value().get("env").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let text = |field: &str| variable.get(field).and_then(Value::as_str).unwrap_or("");
        let (name, value) = (text("name"), text("value"));
        if seen.insert(name) {
            continue;
        }
        // A value that is made of the one before is no mistake.
        let before = format!("$({name})");
        if variable.get("valueFrom").is_some() || value == before || !value.contains(&before) {
            warnings.push(format!(
                "{}.env[{at}]: hides previous definition of {name:?}, which may be dropped when using apply",
                container.path()
            ));
        }
    }
}
