//! A pod's containers.

use super::At;
use super::checks::{named, named_if_set, no_backsteps, port_number, required_named, required_one_of, required_text};
use super::probe::{Sort, lifecycle, probe};
use super::resources::{ClaimNames, canonical, requirements};
use super::security;
use super::volumes::{Volumes, mounts};
use crate::strategy::Capabilities;
use sampan_api::field::FieldErrors;
use sampan_api::names;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Facts about the pod that the checks of a container need.
pub(in crate::kinds) struct Pod<'a> {
    pub volumes: &'a Volumes<'a>,
    pub claims: &'a ClaimNames<'a>,
    pub grace: Option<i64>,
    pub restart_policy: &'a str,
    pub host_users: bool,
    pub os: Option<&'a str>,
    pub capabilities: Capabilities,
    /// Whether variables may come from files (EnvFiles).
    pub env_files: bool,
}

/// The lists of containers that a pod's spec has, in the order in which Kubernetes goes through them.
pub(in crate::kinds) const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const RESTART_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
pub(in crate::kinds) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
pub(super) const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCE_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

pub(in crate::kinds) fn containers(list: At<'_>, pod: &Pod<'_>, errors: &mut FieldErrors) {
    if list.is_empty() {
        list.required(errors, "");
        return;
    }
    let mut seen = HashSet::new();
    for container in list.items() {
        any_container(container, pod, errors);
        unique_name(container, &mut seen, errors);
        hooks(container, pod, errors);
        restart_rules(container, errors);
    }
    let mut host_ports = HashSet::new();
    for container in list.items() {
        unique_host_ports(container, &mut host_ports, errors);
    }
}

pub(in crate::kinds) fn init_containers(list: At<'_>, regular: At<'_>, pod: &Pod<'_>, errors: &mut FieldErrors) {
    let mut seen: HashSet<String> = regular.items().map(|container| container.get("name").text().to_owned()).collect();
    for container in list.items() {
        any_container(container, pod, errors);
        init_restart_rules(container, errors);
        unique_name(container, &mut seen, errors);
        unique_host_ports(container, &mut HashSet::new(), errors);
        if container.get("restartPolicy").text() == "Always" {
            hooks(container, pod, errors);
            continue;
        }
        for hook in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.get(hook).is_set() {
                container
                    .get(hook)
                    .forbidden(errors, "may not be set for init containers without restartPolicy=Always");
            }
        }
    }
}

/// Fields that an ephemeral container may not have, in the order of Go's struct.
const NOT_FOR_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

pub(in crate::kinds) fn ephemeral_containers(spec: At<'_>, pod: &Pod<'_>, errors: &mut FieldErrors) {
    let list = spec.get("ephemeralContainers");
    let mut seen: HashSet<String> = HashSet::new();
    for field in ["containers", "initContainers"] {
        let others = spec.get(field);
        seen.extend(others.items().map(|container| container.get("name").text().to_owned()));
    }
    let targets = seen.clone();
    for container in list.items() {
        any_container(container, pod, errors);
        only_for_pods(container, errors);
        unique_name(container, &mut seen, errors);
        let target = container.get("targetContainerName");
        if !target.is_empty() && !targets.contains(target.text()) {
            target.not_found(errors);
        }
        for field in NOT_FOR_EPHEMERAL {
            let value = container.get(field);
            // Held by value: empty ones are as none.
            if value.is_set() && !(field == "resources" && value.is_empty()) {
                value.forbidden(errors, "cannot be set for an Ephemeral Container");
            }
        }
        let mounts = container.get("volumeMounts");
        for mount in mounts.items() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.get(field).is_empty() {
                    mount.get(field).forbidden(errors, "cannot be set for an Ephemeral Container");
                }
            }
        }
    }
}

/// Checks that hold for a pod's containers but not for a template's.
pub(in crate::kinds) fn only_for_pods(container: At<'_>, errors: &mut FieldErrors) {
    let image = container.get("image");
    if image.text().trim().len() != image.len() {
        image.invalid(errors, "must not have leading or trailing whitespace");
    }
}

fn unique_name(container: At<'_>, seen: &mut HashSet<String>, errors: &mut FieldErrors) {
    let name = container.get("name");
    if !seen.insert(name.text().to_owned()) {
        name.duplicate_as(errors, name.text());
    }
}

fn any_container(at: At<'_>, pod: &Pod<'_>, errors: &mut FieldErrors) {
    required_named(at.get("name"), errors, names::dns1123_label);
    required_text(at.get("image"), errors);
    required_one_of(at.get("terminationMessagePolicy"), errors, &["File", "FallbackToLogsOnError"]);
    ports(at.get("ports"), errors);
    env(at.get("env"), pod.env_files, errors);
    env_from(at.get("envFrom"), errors);
    mounts(at, pod.volumes, errors);
    required_one_of(at.get("imagePullPolicy"), errors, &PULL_POLICIES);
    requirements(at.get("resources"), pod.claims, errors);
    resize_policy(at.get("resizePolicy"), pod.restart_policy, errors);
    security::container(at.get("securityContext"), pod, errors);
}

fn hooks(container: At<'_>, pod: &Pod<'_>, errors: &mut FieldErrors) {
    if container.get("lifecycle").is_set() {
        lifecycle(container.get("lifecycle"), pod.grace, pod.os, errors);
    }
    probe(container.get("livenessProbe"), Sort::Liveness, pod.grace, errors);
    probe(container.get("readinessProbe"), Sort::Readiness, pod.grace, errors);
    probe(container.get("startupProbe"), Sort::Startup, pod.grace, errors);
}

fn ports(list: At<'_>, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for port in list.items() {
        let name = port.get("name");
        if !name.is_empty() {
            let messages = names::port_name(name.text());
            if messages.is_empty() && !seen.insert(name.text().to_owned()) {
                name.duplicate(errors);
            }
            name.invalid_each(errors, messages);
        }
        let number = port.get("containerPort");
        if number.number() == 0 {
            number.required(errors, "");
        } else {
            port_number(number, errors);
        }
        if port.get("hostPort").number() != 0 {
            port_number(port.get("hostPort"), errors);
        }
        required_one_of(port.get("protocol"), errors, &PROTOCOLS);
    }
}

fn unique_host_ports(container: At<'_>, seen: &mut HashSet<String>, errors: &mut FieldErrors) {
    let ports = container.get("ports");
    for port in ports.items() {
        let host = port.get("hostPort");
        if host.number() == 0 {
            continue;
        }
        let text = format!("{}/{}/{}", port.get("protocol").text(), port.get("hostIP").text(), host.number());
        if !seen.insert(text.clone()) {
            host.duplicate_as(errors, text);
        }
    }
}

fn env(list: At<'_>, files: bool, errors: &mut FieldErrors) {
    for variable in list.items() {
        required_named(variable.get("name"), errors, variable_name);
        value_from(variable, files, errors);
    }
}

/// Printable ASCII but `=`.
fn variable_name(name: &str) -> Vec<String> {
    const WRONG: &str =
        "a valid environment variable name must consist only of printable ASCII characters other than '='";
    let fine = name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    if fine { Vec::new() } else { vec![WRONG.to_owned()] }
}

fn value_from(variable: At<'_>, files: bool, errors: &mut FieldErrors) {
    let from = variable.get("valueFrom");
    if !from.is_set() {
        return;
    }
    let mut sources = 0;
    for source in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        let at = from.get(source);
        if !at.is_set() {
            continue;
        }
        sources += 1;
        match source {
            "fieldRef" => field_reference(at, at, &ENV_FIELDS, errors),
            "resourceFieldRef" => resource_reference(at, at, ReferenceFrom::Env, errors),
            "fileKeyRef" => file_reference(at, errors),
            _ => {
                named(at.get("name"), errors, names::dns1123_subdomain);
                required_named(at.get("key"), errors, names::config_map_key);
            }
        }
    }
    let problem = match (sources, variable.get("value").is_empty()) {
        (0, _) if files => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        (0, _) => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        (_, false) => "may not be specified when `value` is not empty",
        (1, true) => return,
        (_, true) => "may not have more than one field specified at a time",
    };
    from.invalid_as(errors, "", problem);
}

/// A variable of a file in one of the pod's volumes.
fn file_reference(at: At<'_>, errors: &mut FieldErrors) {
    required_named(at.get("key"), errors, variable_name);
    required_named(at.get("volumeName"), errors, names::dns1123_label);
    let path = at.get("path");
    required_text(path, errors);
    no_backsteps(path, path.text(), errors);
}

/// Files of variables lie in volumes of the pod that begin empty. Told after all else of the spec.
pub(super) fn file_volumes(spec: At<'_>, errors: &mut FieldErrors) {
    let volumes = spec.get("volumes");
    let sources: HashMap<&str, bool> =
        list_of(volumes.value()).map(|volume| (name_of(volume), volume.get("emptyDir").is_some())).collect();
    for field in LISTS {
        let containers = spec.get(field);
        for container in containers.items() {
            let variables = container.get("env");
            for variable in variables.items() {
                let from = variable.get("valueFrom");
                let file = from.get("fileKeyRef");
                let volume = file.get("volumeName");
                match sources.get(volume.text()) {
                    _ if !file.is_set() => {}
                    None => volume.not_found(errors),
                    Some(false) => {
                        volume.invalid_as(errors, volume.text(), "referenced volume must be of type emptyDir");
                    }
                    Some(true) => {}
                }
            }
        }
    }
}

fn list_of(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn name_of(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or("")
}

/// A field of the pod. `shown`: where errors are reported.
pub(super) fn field_reference(shown: At<'_>, at: At<'_>, fields: &[&str], errors: &mut FieldErrors) {
    if at.get("apiVersion").is_empty() {
        shown.get("apiVersion").required(errors, "");
        return;
    }
    let path = at.get("fieldPath").text();
    if path.is_empty() {
        shown.get("fieldPath").required(errors, "");
        return;
    }
    // `metadata.labels['key']`
    let subscripted = path.strip_suffix("']").and_then(|path| path.split_once("['"));
    match subscripted {
        Some(("metadata.annotations", key)) => {
            for message in names::qualified_name(&key.to_lowercase()) {
                shown.invalid_as(errors, key.to_lowercase(), message);
            }
        }
        Some(("metadata.labels", key)) => {
            for message in names::qualified_name(key) {
                shown.invalid_as(errors, key, message);
            }
        }
        Some((map, _)) if !is_pod_field(map) => {
            let detail = format!("error converting fieldPath: field label does not support subscript: {path}");
            shown.get("fieldPath").invalid_as(errors, path, detail);
        }
        Some((map, _)) => shown.invalid_as(errors, map, "does not support subscript"),
        None if !is_pod_field(path) => {
            let detail = format!("error converting fieldPath: field label not supported: {path}");
            shown.get("fieldPath").invalid_as(errors, path, detail);
        }
        None if !fields.contains(&path) => shown.get("fieldPath").not_supported_as(errors, path, fields),
        None => {}
    }
}

/// Whether the downward API can name the field at all.
fn is_pod_field(path: &str) -> bool {
    const MORE: [&str; 4] = ["metadata.annotations", "metadata.labels", "spec.restartPolicy", "status.phase"];
    ENV_FIELDS.contains(&path) || MORE.contains(&path) || path == "spec.schedulerName" || path == "spec.host"
}

/// The source that names a container's resource.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReferenceFrom {
    /// In the container's own environment.
    Env,
    /// In a volume, which must say whose.
    Volume,
}

/// A resource of a container. `shown`: where errors are reported.
pub(super) fn resource_reference(shown: At<'_>, at: At<'_>, from: ReferenceFrom, errors: &mut FieldErrors) {
    let resource = at.get("resource").text();
    let huge_pages = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if from == ReferenceFrom::Volume && at.get("containerName").is_empty() {
        shown.get("containerName").required(errors, "");
    } else if resource.is_empty() {
        shown.get("resource").required(errors, "");
    } else if !RESOURCE_FIELDS.contains(&resource) && !huge_pages {
        shown.get("resource").not_supported_as(errors, resource, &RESOURCE_FIELDS);
    }
    const SIZES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let divisor = canonical(at.get("divisor").value());
    if matches!(divisor.as_str(), "" | "0") {
        return;
    }
    let problem = match resource {
        "limits.cpu" | "requests.cpu" if !matches!(divisor.as_str(), "1m" | "1") => {
            "only divisor's values 1m and 1 are supported with the cpu resource".to_owned()
        }
        "limits.cpu" | "requests.cpu" => return,
        _ if SIZES.contains(&divisor.as_str()) => return,
        "limits.memory" | "requests.memory" => sized("memory resource"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => sized("local ephemeral storage resource"),
        _ if huge_pages => sized("hugepages resource"),
        _ => return,
    };
    shown.get("divisor").invalid_as(errors, resource, problem);
}

fn sized(resource: &str) -> String {
    format!(
        "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the {resource}"
    )
}

fn env_from(list: At<'_>, errors: &mut FieldErrors) {
    for source in list.items() {
        named_if_set(source.get("prefix"), errors, variable_name);
        let mut sources = 0;
        for field in ["configMapRef", "secretRef"] {
            if source.get(field).is_set() {
                sources += 1;
                let reference = source.get(field);
                required_named(reference.get("name"), errors, names::dns1123_subdomain);
            }
        }
        match sources {
            0 => list.invalid_as(errors, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => list.invalid_as(errors, "", "may not have more than one field specified at a time"),
        }
    }
}

fn resize_policy(list: At<'_>, restart_policy: &str, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for policy in list.items() {
        let (resource, restart) = (policy.get("resourceName"), policy.get("restartPolicy"));
        if !seen.insert(resource.text().to_owned()) {
            policy.duplicate_as(errors, resource.text());
        }
        let check = |at: At<'_>, supported: &[&str], errors: &mut FieldErrors| match at.text() {
            "" => list.required(errors, ""),
            text if !supported.contains(&text) => list.not_supported_as(errors, text, supported),
            _ => {}
        };
        check(resource, &["cpu", "memory"], errors);
        check(restart, &["NotRequired", "RestartContainer"], errors);
        if restart_policy == "Never" && restart.text() != "NotRequired" {
            list.invalid_as(errors, restart.text(), "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

/// As [`restart_rules`], of an init container: one that always restarts has none, and those of one without a policy are not
/// looked at (validateInitContainerRestartPolicy).
fn init_restart_rules(container: At<'_>, errors: &mut FieldErrors) {
    let (policy, rules) = (container.get("restartPolicy"), container.get("restartPolicyRules"));
    match (policy.is_set(), policy.text()) {
        (false, _) if rules.is_empty() => {}
        (false, _) => policy.required(errors, "must specify restartPolicy when restart rules are used"),
        (true, "Always") if rules.is_empty() => {}
        (true, "Always") => {
            rules.forbidden(errors, "restartPolicyRules are not allowed for init containers with restart policy Always")
        }
        (true, _) => restart_rules(container, errors),
    }
}

fn restart_rules(container: At<'_>, errors: &mut FieldErrors) {
    let (policy, rules) = (container.get("restartPolicy"), container.get("restartPolicyRules"));
    if policy.is_set() {
        super::checks::one_of(policy, errors, &RESTART_POLICIES);
    } else if !rules.is_empty() {
        policy.required(errors, "must specify restartPolicy when restart rules are used");
    }
    if rules.len() > RESTART_RULES_MAX {
        rules.too_long(errors, RESTART_RULES_MAX);
    }
    for rule in rules.items() {
        if rule.get("action").text() != "Restart" {
            rule.get("action").not_supported(errors, &["Restart"]);
        }
        let codes = rule.get("exitCodes");
        if !codes.is_set() {
            codes.required(errors, "must be specified");
            continue;
        }
        if !matches!(codes.get("operator").text(), "In" | "NotIn") {
            codes.get("operator").not_supported(errors, &["In", "NotIn"]);
        }
        if codes.get("values").len() > EXIT_CODES_MAX {
            codes.get("values").too_long(errors, EXIT_CODES_MAX);
        }
    }
}
