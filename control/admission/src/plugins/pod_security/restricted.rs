//! The checks that the level `restricted` adds.

use super::baseline::{added, is_seccomp};
use super::view::{View, Violation, bad_values, containers, counted, name, quoted, setters};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn privilege_escalation_1_8(view: View<'_>) -> Option<Violation> {
    let bad = view.named(|container| container["securityContext"]["allowPrivilegeEscalation"] != false);
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&bad));
    Violation::new("allowPrivilegeEscalation != false", detail)
}

/// Kubernetes' validation refuses these fields of pods for Windows.
fn unless_windows(view: View<'_>, check: fn(View<'_>) -> Option<Violation>) -> Option<Violation> {
    if view.is_windows() { None } else { check(view) }
}

pub(super) fn privilege_escalation_1_25(view: View<'_>) -> Option<Violation> {
    unless_windows(view, privilege_escalation_1_8)
}

pub(super) fn capabilities_1_22(view: View<'_>) -> Option<Violation> {
    const ALLOWED: [&str; 1] = ["NET_BIND_SERVICE"];
    let drops_all = |container: &Value| {
        let dropped = container["securityContext"]["capabilities"]["drop"].as_array();
        dropped.into_iter().flatten().any(|one| one == "ALL")
    };
    let keeping = view.named(|container| !drops_all(container));
    let adding = view.named(|container| added(container, &ALLOWED).next().is_some());
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    if !adding.is_empty() {
        let which: BTreeSet<&str> = view.containers().flat_map(|container| added(container, &ALLOWED)).collect();
        let (who, which) = (containers(&adding), quoted(which));
        details.push(format!("{who} must not include {which} in securityContext.capabilities.add"));
    }
    if details.is_empty() { None } else { Violation::new("unrestricted capabilities", details.join("; ")) }
}

pub(super) fn capabilities_1_25(view: View<'_>) -> Option<Violation> {
    unless_windows(view, capabilities_1_22)
}

/// Volumes that are nobody else's.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// Others, in the order in which they are looked for.
const RESTRICTED_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn volumes(view: View<'_>) -> Option<Violation> {
    let volumes = view.spec["volumes"].as_array().into_iter().flatten();
    let has = |volume: &Value, kinds: &[&'static str]| kinds.iter().copied().find(|kind| !volume[*kind].is_null());
    let bad: Vec<&Value> = volumes.filter(|volume| has(volume, &VOLUMES).is_none()).collect();
    if bad.is_empty() {
        return None;
    }
    let kinds: BTreeSet<&str> =
        bad.iter().map(|volume| has(volume, &RESTRICTED_VOLUMES).unwrap_or("unknown")).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    let names: Vec<&str> = bad.into_iter().map(name).collect();
    let uses = if names.len() == 1 { "uses" } else { "use" };
    let kinds = counted("restricted volume type", "restricted volume types", &kinds);
    Violation::new("restricted volume types", format!("{} {uses} {kinds}", counted("volume", "volumes", &names)))
}

pub(super) fn non_root_1_0(view: View<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let of_pod = view.security()["runAsNonRoot"].as_bool();
    let own = |container: &Value| container["securityContext"]["runAsNonRoot"].as_bool();
    let pod = (of_pod == Some(false)).then_some(());
    if let Some(who) = setters(pod, &view.named(|container| own(container) == Some(false))) {
        return Violation::new(REASON, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = view.named(|container| own(container).is_none() && of_pod != Some(true));
    if silent.is_empty() {
        return None;
    }
    Violation::new(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)))
}

/// Root of users of its own is nobody on the host.
pub(super) fn non_root_1_35(view: View<'_>) -> Option<Violation> {
    if view.has_own_users() { None } else { non_root_1_0(view) }
}

pub(super) fn user_1_23(view: View<'_>) -> Option<Violation> {
    let is_root = |context: &Value| context["runAsUser"] == 0;
    let bad = view.named(|container| is_root(&container["securityContext"]));
    let who = setters(is_root(view.security()).then_some(()), &bad)?;
    Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

/// Root of users of its own is nobody on the host.
pub(super) fn user_1_35(view: View<'_>) -> Option<Violation> {
    if view.has_own_users() { None } else { user_1_23(view) }
}

pub(super) fn seccomp_1_19(view: View<'_>) -> Option<Violation> {
    if let Some(explicit) = super::baseline::seccomp_1_19(view) {
        return Some(explicit);
    }
    let (pod, ..) = bad_values(view, |context| &context["seccompProfile"], is_seccomp);
    let of_pod = pod.is_none() && !view.security()["seccompProfile"].is_null();
    let silent = view.named(|container| container["securityContext"]["seccompProfile"].is_null() && !of_pod);
    if silent.is_empty() {
        return None;
    }
    let who = containers(&silent);
    let detail =
        format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
    Violation::new("seccompProfile", detail)
}

pub(super) fn seccomp_1_25(view: View<'_>) -> Option<Violation> {
    unless_windows(view, seccomp_1_19)
}
