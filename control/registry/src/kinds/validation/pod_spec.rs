//! A pod's spec, a pod template, and what may change of a pod.

use super::At;
use super::addresses::Legacy;
use super::affinity::{Comparing, affinity, spread, tolerations};
use super::change::MIRROR;
use super::checks::{annotations, labels, named, named_if_set, required_one_of, required_text};
use super::container::{LISTS, Pod, containers, ephemeral_containers, file_volumes, init_containers, only_for_pods};
use super::host_process;
use super::options::Options;
use super::resources::{ClaimNames, overhead, pod_requirements};
use super::security;
use super::volumes::volumes;
use crate::strategy::Context;
use sampan_api::field::{FieldError, FieldErrors};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::{Map, Value};
use std::collections::HashSet;

const NAME_SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
const HOSTNAME_OVERRIDE_MAX: usize = 64;
const DEADLINE_MAX: i64 = i32::MAX as i64;
const STATIC_EPHEMERAL: &str = "static pods do not support ephemeral containers";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Fields of a pod that an update may change, as the refusal lists them.
const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// `at`: the spec; `old`: the one before. `pod_name`: empty in a template.
fn spec(ctx: &Context<'_>, at: At<'_>, old: Option<&Value>, pod_name: &str, errors: &mut FieldErrors) {
    let options = Options::of(ctx, old);
    let grace = at.get("terminationGracePeriodSeconds");
    if !grace.is_set() {
        grace.required(errors, "");
    }
    let volume_list = at.get("volumes");
    let volumes = volumes(&volume_list, pod_name, errors);
    let claim_list = at.get("resourceClaims");
    resource_claims(claim_list, errors);
    let claims = ClaimNames::of(claim_list.value());
    let restart = at.get("restartPolicy");
    let host_users = !at.get("hostUsers").is_set() || at.get("hostUsers").flag();
    let os = at.get("os");
    let os_name = os.value().get("name").and_then(Value::as_str);
    let pod = Pod {
        volumes: &volumes,
        claims: &claims,
        grace: grace.opt_number(),
        restart_policy: restart.text(),
        host_users,
        os: os_name,
        capabilities: ctx.capabilities,
        env_files: options.env_files,
    };
    containers(at.get("containers"), &pod, errors);
    init_containers(at.get("initContainers"), at.get("containers"), &pod, errors);
    ephemeral_containers(at, &pod, errors);
    if ctx.gates.enabled("PodLevelResources") {
        pod_requirements(at, &claims, os_name == Some("windows"), errors);
    }
    host_network_ports(at, errors);
    required_one_of(restart, errors, &["Always", "OnFailure", "Never"]);
    required_one_of(at.get("dnsPolicy"), errors, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    labels(at.get("nodeSelector"), errors);
    security::pod(at, options.label_policies, errors);
    affinity(at.get("affinity"), errors);
    let legacy = Legacy::new(ctx.gates);
    dns_config(at, &legacy, errors);
    let gates = at.get("readinessGates");
    for gate in gates.items() {
        named(gate.get("conditionType"), errors, names::qualified_name);
    }
    scheduling_gates(at.get("schedulingGates"), errors);
    spread(at.get("topologySpreadConstraints"), errors);
    host_process::check(at, ctx.capabilities.allow_privileged, errors);
    if !host_users {
        beside_own_users(at, &options, errors);
    }
    hostname_override(at, errors);
    named_if_set(at.get("serviceAccountName"), errors, names::dns1123_subdomain);
    named_if_set(at.get("nodeName"), errors, names::dns1123_subdomain);
    let deadline = at.get("activeDeadlineSeconds");
    if deadline.opt_number().is_some_and(|seconds| !(1..=DEADLINE_MAX).contains(&seconds)) {
        deadline.invalid(errors, "must be between 1 and 2147483647, inclusive");
    }
    named_if_set(at.get("hostname"), errors, names::dns1123_label);
    named_if_set(at.get("subdomain"), errors, names::dns1123_label);
    tolerations(at.get("tolerations"), options.comparing, errors);
    let aliases = at.get("hostAliases");
    for alias in aliases.items() {
        legacy.ip(alias.get("ip"), errors);
        let hostnames = alias.get("hostnames");
        for hostname in hostnames.items() {
            named(hostname, errors, names::dns1123_subdomain);
        }
    }
    named_if_set(at.get("priorityClassName"), errors, names::dns1123_subdomain);
    if at.get("runtimeClassName").is_set() {
        named(at.get("runtimeClassName"), errors, names::dns1123_subdomain);
    }
    if at.get("preemptionPolicy").is_set() {
        required_one_of(at.get("preemptionPolicy"), errors, &["PreemptLowerPriority", "Never"]);
    }
    let beside = at.get("overhead");
    overhead(beside, beside.value(), errors);
    match os_name {
        None if os.is_set() => required_text(os.get("name"), errors),
        None => {}
        Some("") => os.get("name").required(errors, ""),
        Some("linux") => security::linux(at, errors),
        Some("windows") => security::windows(at, errors),
        Some(other) => os.not_supported_as(errors, other, &["linux", "windows"]),
    }
    file_volumes(at, errors);
}

/// What a pod with users of its own may not have (validateHostUsers).
fn beside_own_users(at: At<'_>, options: &Options, errors: &mut FieldErrors) {
    const WHY: &str = "when `hostUsers` is false";
    for (field, shown, asked) in [
        ("hostNetwork", "hostNetwork", !options.host_network),
        ("hostPID", "HostPID", true),
        ("hostIPC", "HostIPC", true),
    ] {
        if asked && at.get(field).flag() {
            at.get(shown).forbidden(errors, WHY);
        }
    }
    for list in LISTS.into_iter().filter(|_| !options.devices) {
        for container in at.get(list).items() {
            let devices = container.get("volumeDevices");
            if !devices.is_empty() {
                devices.forbidden(errors, WHY);
            }
        }
    }
}

fn resource_claims(list: At<'_>, errors: &mut FieldErrors) {
    let mut seen: HashSet<String> = HashSet::new();
    for claim in list.items() {
        let name = claim.get("name");
        if name.is_empty() {
            name.required(errors, "");
        } else if seen.insert(name.text().to_owned()) {
            named(name, errors, names::dns1123_label);
        } else {
            name.duplicate(errors);
        }
        let (existing, template) = (claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName"));
        match (existing.is_set(), template.is_set()) {
            (true, true) => claim
                .invalid(errors, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
            (false, false) => {
                claim.invalid(errors, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
            }
            _ => {}
        }
        for reference in [existing, template] {
            if reference.is_set() {
                named(reference, errors, names::dns1123_subdomain);
            }
        }
    }
}

fn host_network_ports(spec: At<'_>, errors: &mut FieldErrors) {
    if !spec.get("hostNetwork").flag() {
        return;
    }
    let containers = spec.get("containers");
    for container in containers.items() {
        let ports = container.get("ports");
        for port in ports.items() {
            let host = port.get("hostPort");
            if host.number() != 0 && host.number() != port.get("containerPort").number() {
                host.invalid(errors, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

fn dns_config(spec: At<'_>, legacy: &Legacy<'_>, errors: &mut FieldErrors) {
    let at = spec.get("dnsConfig");
    let servers = at.get("nameservers");
    if spec.get("dnsPolicy").text() == "None" {
        if !at.is_set() {
            at.required(errors, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.is_empty() {
            servers.required(errors, "must provide at least one DNS nameserver when `dnsPolicy` is None");
            return;
        }
    }
    if servers.len() > NAME_SERVERS_MAX {
        servers.invalid(errors, format!("must not have more than {NAME_SERVERS_MAX} nameservers"));
    }
    for server in servers.items() {
        legacy.ip(server, errors);
    }
    let searches = at.get("searches");
    if searches.len() > SEARCHES_MAX {
        searches.invalid(errors, format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    if searches.texts().join(" ").len() > SEARCH_CHARS_MAX {
        let detail =
            format!("must not have more than {SEARCH_CHARS_MAX} characters (including spaces) in the search list");
        searches.invalid(errors, detail);
    }
    for search in searches.items() {
        // Underscores are let pass: resolvers take them.
        let text = search.text().strip_suffix('.').unwrap_or(search.text());
        if search.text() != "." {
            search.invalid_each_as(errors, text, names::dns1123_subdomain(&text.replace('_', "a")));
        }
    }
    let options = at.get("options");
    for option in options.items() {
        if option.get("name").is_empty() {
            option.required(errors, "must not be empty");
        }
    }
}

fn scheduling_gates(list: At<'_>, errors: &mut FieldErrors) {
    let mut seen: HashSet<String> = HashSet::new();
    for gate in list.items() {
        let name = gate.get("name").text().to_owned();
        gate.invalid_each_as(errors, &name, names::qualified_name(&name));
        if seen.contains(&name) {
            gate.duplicate_as(errors, name.as_str());
        }
        seen.insert(name);
    }
}

fn hostname_override(spec: At<'_>, errors: &mut FieldErrors) {
    let at = spec.get("hostnameOverride");
    if !at.is_set() {
        return;
    }
    if spec.get("setHostnameAsFQDN").flag() {
        at.forbidden(errors, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.get("hostNetwork").flag() {
        at.forbidden(errors, "may not be specified when hostNetwork is true");
    }
    if at.len() > HOSTNAME_OVERRIDE_MAX {
        at.too_long(errors, HOSTNAME_OVERRIDE_MAX);
    }
    named(at, errors, names::dns1123_subdomain);
}

/// `at`: the template; `old`: the one before. Its metadata's errors stand at the template itself, as in Kubernetes.
pub(in crate::kinds) fn template(ctx: &Context<'_>, at: At<'_>, old: Option<&Value>, errors: &mut FieldErrors) {
    let metadata = at.get("metadata");
    relocated(metadata, at, errors);
    let spec_at = at.get("spec");
    spec(ctx, spec_at, old.and_then(|old| old.get("spec")), "", errors);
    super::app_armor::agree(metadata.get("annotations"), spec_at, errors);
    let ephemeral = spec_at.get("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden(errors, "ephemeral containers not allowed in pod template");
    }
}

/// Labels and annotations of a template: found in its metadata, reported beside it.
fn relocated(metadata: At<'_>, template: At<'_>, errors: &mut FieldErrors) {
    let mut found = FieldErrors::default();
    labels(metadata.get("labels"), &mut found);
    annotations(metadata.get("annotations"), &mut found);
    pod_annotations(metadata.get("annotations"), template.get("spec"), &mut found);
    for mut error in found {
        error.field = error.field.replacen(".metadata.", ".", 1);
        errors.push(error);
    }
}

fn pod_annotations(at: At<'_>, spec: At<'_>, errors: &mut FieldErrors) {
    if at.key(MIRROR).is_set() && spec.get("nodeName").is_empty() {
        at.key(MIRROR).invalid(errors, "must set spec.nodeName if mirror pod annotation is set");
    }
    let cost = at.key(DELETION_COST);
    let number =
        |text: &str| text.parse::<i32>().is_ok() && !text.starts_with('+') && (text == "0" || !text.starts_with('0'));
    if cost.is_set() && !number(cost.text()) {
        cost.invalid(errors, "must be a 32bit integer");
    }
    super::app_armor::annotations(at, spec, errors);
}

fn metadata_and_spec(ctx: &Context<'_>, pod: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(pod);
    let spec_at = at.get("spec");
    pod_annotations(at.get("metadata").get("annotations"), spec_at, errors);
    spec(ctx, spec_at, old.and_then(|old| old.get(&["spec"])), pod.name(), errors);
    if spec_at.get("serviceAccountName").is_empty() {
        let volumes = spec_at.get("volumes");
        for volume in volumes.items() {
            let projected = volume.get("projected");
            let sources = projected.get("sources");
            for source in sources.items() {
                if source.get("serviceAccountToken").is_set() {
                    source
                        .get("serviceAccountToken")
                        .forbidden(errors, "must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        let containers = spec_at.get(list);
        for container in containers.items() {
            only_for_pods(container, errors);
        }
    }
}

pub(in crate::kinds) fn create(ctx: &Context<'_>, pod: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    metadata_and_spec(ctx, pod, None, &mut errors);
    let at = At::object(pod);
    let spec = at.get("spec");
    super::app_armor::agree(at.get("metadata").get("annotations"), spec, &mut errors);
    if !spec.get("ephemeralContainers").is_empty() {
        spec.get("ephemeralContainers").forbidden(&mut errors, "cannot be set on create");
    }
    if !spec.get("nodeName").is_empty() && !spec.get("schedulingGates").is_empty() {
        spec.get("nodeName").forbidden(&mut errors, "cannot be set until all schedulingGates have been cleared");
    }
    errors
}

pub(in crate::kinds) fn update(ctx: &Context<'_>, pod: &Object, old: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    if matches!(ctx.subresource, "" | "status" | "ephemeralcontainers") {
        super::change::fixed_annotations(pod, old, &mut errors);
    }
    match ctx.subresource {
        "" => spec_update(ctx, pod, old, &mut errors),
        "status" => super::pod_status::pod_status(ctx.gates, pod, old, &mut errors),
        "ephemeralcontainers" if old.annotation(MIRROR).is_some() => {
            errors.push(FieldError::forbidden(&super::change::of_no_field(), STATIC_EPHEMERAL));
        }
        "ephemeralcontainers" => {
            metadata_and_spec(ctx, pod, Some(old), &mut errors);
            super::change::ephemeral_containers(pod, old, &mut errors);
        }
        "resize" => match super::resize::refusal(old) {
            Some(text) => errors.push(FieldError::forbidden(&super::change::of_no_field(), text)),
            None => {
                metadata_and_spec(ctx, pod, Some(old), &mut errors);
                super::resize::resize(ctx, pod, old, &mut errors);
            }
        },
        _ => {}
    }
    errors
}

fn spec_update(ctx: &Context<'_>, pod: &Object, old: &Object, errors: &mut FieldErrors) {
    metadata_and_spec(ctx, pod, Some(old), errors);
    let (at, old_at) = (At::object(pod), At::object(old));
    let (spec, old_spec) = (at.get("spec"), old_at.get("spec"));
    for list in ["containers", "initContainers"] {
        let (new, old) = (spec.get(list), old_spec.get(list));
        if new.len() != old.len() {
            new.forbidden(errors, "pod updates may not add or remove containers");
            return;
        }
        for container in new.items() {
            required_text(container.get("image"), errors);
            only_for_pods(container, errors);
        }
    }
    let deadline = spec.get("activeDeadlineSeconds");
    match (deadline.opt_number(), old_spec.get("activeDeadlineSeconds").opt_number()) {
        (Some(seconds), _) if !(0..=DEADLINE_MAX).contains(&seconds) => {
            deadline.invalid(errors, "must be between 0 and 2147483647, inclusive");
            return;
        }
        (Some(seconds), Some(before)) if before < seconds => {
            deadline.invalid(errors, "must be less than or equal to previous value");
            return;
        }
        (None, Some(_)) => deadline.invalid(errors, "must not update from a positive integer to nil value"),
        _ => {}
    }
    only_added_tolerations(ctx, spec.get("tolerations"), old_spec, errors);
    only_deleted_gates(spec.get("schedulingGates"), old_spec.get("schedulingGates"), errors);
    if spec.value() == old_spec.value() {
        return;
    }
    let (Some(mut munged), Some(before)) = (spec.value().as_object().cloned(), old_spec.value().as_object()) else {
        return;
    };
    allow_changes(&mut munged, before);
    // A gated pod may still become choosier about its node.
    if !old_spec.get("schedulingGates").is_empty() {
        super::gated::allow_changes(spec, old_spec, &mut munged, errors);
    }
    if &munged != before {
        let detail = format!(
            "pod updates may not change fields other than {UPDATABLE}\n{}",
            super::change::diff(before, &munged)
        );
        spec.forbidden(errors, detail);
    }
}

/// Puts back what may change, so that what is left different may not.
fn allow_changes(munged: &mut Map<String, Value>, before: &Map<String, Value>) {
    let mut restore = |field: &str| match before.get(field) {
        Some(value) => {
            munged.insert(field.to_owned(), value.clone());
        }
        None => {
            munged.remove(field);
        }
    };
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        restore(field);
    }
    let grace = |spec: &Map<String, Value>| spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
    if grace(before).is_some_and(|seconds| seconds < 0) && grace(munged) == Some(1) {
        munged.insert("terminationGracePeriodSeconds".to_owned(), before["terminationGracePeriodSeconds"].clone());
    }
    for list in ["containers", "initContainers"] {
        let Some(before) = before.get(list).and_then(Value::as_array) else { continue };
        let Some(new) = munged.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for (container, before) in new.iter_mut().zip(before) {
            if let (Some(container), Some(image)) = (container.as_object_mut(), before.get("image")) {
                container.insert("image".to_owned(), image.clone());
            }
        }
    }
}

fn only_added_tolerations(ctx: &Context<'_>, new: At<'_>, old_spec: At<'_>, errors: &mut FieldErrors) {
    let old = old_spec.get("tolerations");
    let stripped = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(map) = toleration.as_object_mut() {
            map.remove("tolerationSeconds");
        }
        toleration
    };
    let list = |at: &At<'_>| -> HashSet<Value> { at.value().as_array().into_iter().flatten().map(stripped).collect() };
    if !list(&old).is_subset(&list(&new)) {
        new.forbidden(errors, "existing toleration can not be modified except its tolerationSeconds");
        return;
    }
    tolerations(new, Comparing::of(ctx, Some(old_spec.value())), errors);
}

fn only_deleted_gates(new: At<'_>, old: At<'_>, errors: &mut FieldErrors) {
    let before: HashSet<String> = old.items().map(|gate| gate.get("name").text().to_owned()).collect();
    for gate in new.items() {
        let name = gate.get("name");
        if !before.contains(name.text()) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", name.text());
            name.forbidden(errors, detail);
        }
    }
}
