//! Security contexts of pods and containers.

use super::At;
use super::checks::{descending_path, one_of, user_or_group_id};
use super::container::Pod;
use super::windows;
use sampan_api::field::FieldErrors;
use std::collections::HashSet;

const SYSCTL_MAX: usize = 253;
/// Bytes of the name of an AppArmor profile of the node.
pub(super) const PROFILE_MAX: usize = 4095;
const PROFILE_TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
/// Message where the administrator does not allow privileged containers.
const PRIVILEGED_REFUSED: &str = "disallowed by cluster policy";

pub(in crate::kinds) fn pod(spec: At<'_>, label_policies: &[&str], errors: &mut FieldErrors) {
    let at = spec.get("securityContext");
    if !at.is_set() {
        return;
    }
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        user_or_group_id(at.get(field), errors);
    }
    let groups = at.get("supplementalGroups");
    for group in groups.items() {
        user_or_group_id(group, errors);
    }
    if spec.get("shareProcessNamespace").flag() && spec.get("hostPID").flag() {
        at.get("shareProcessNamespace").invalid_as(
            errors,
            true,
            "ShareProcessNamespace and HostPID cannot both be enabled",
        );
    }
    sysctls(at.get("sysctls"), errors);
    one_of(at.get("fsGroupChangePolicy"), errors, &["Always", "OnRootMismatch"]);
    seccomp(at.get("seccompProfile"), errors);
    windows::options(at.get("windowsOptions"), errors);
    app_armor(at.get("appArmorProfile"), errors);
    one_of(at.get("supplementalGroupsPolicy"), errors, &["Merge", "Strict"]);
    let policy = at.get("seLinuxChangePolicy");
    if policy.is_set() && !label_policies.contains(&policy.text()) {
        policy.not_supported(errors, label_policies);
    }
}

pub(in crate::kinds) fn container(at: At<'_>, pod: &Pod<'_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    let privileged = at.get("privileged");
    if privileged.flag() && !pod.capabilities.allow_privileged {
        privileged.forbidden(errors, PRIVILEGED_REFUSED);
    }
    user_or_group_id(at.get("runAsUser"), errors);
    user_or_group_id(at.get("runAsGroup"), errors);
    let proc_mount = at.get("procMount");
    one_of(proc_mount, errors, &["Default", "Unmasked"]);
    if pod.host_users && proc_mount.text() == "Unmasked" {
        proc_mount.invalid(errors, "`hostUsers` must be false to use `Unmasked`");
    }
    seccomp(at.get("seccompProfile"), errors);
    let escalation = at.get("allowPrivilegeEscalation");
    if escalation.is_set() && !escalation.flag() {
        if privileged.flag() {
            at.invalid(errors, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        let capabilities = at.get("capabilities");
        if capabilities.get("add").texts().contains(&"CAP_SYS_ADMIN") {
            at.invalid(errors, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
        }
    }
    windows::options(at.get("windowsOptions"), errors);
    app_armor(at.get("appArmorProfile"), errors);
}

fn sysctls(at: At<'_>, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for sysctl in at.items() {
        let name = sysctl.get("name");
        if name.is_empty() {
            name.required(errors, "");
        } else if !is_sysctl(name.text()) {
            name.invalid(
                errors,
                format!(
                    "must have at most {SYSCTL_MAX} characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
                ),
            );
        } else if seen.contains(name.text()) {
            name.duplicate(errors);
        }
        seen.insert(name.text().to_owned());
    }
}

fn is_sysctl(name: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let word = |word: &str| match word.as_bytes() {
        [] => false,
        [first, .., last] => edge(*first) && edge(*last) && word.bytes().all(|b| edge(b) || b == b'-' || b == b'_'),
        [one] => edge(*one),
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(word)
}

fn seccomp(at: At<'_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    let type_ = at.get("type");
    match type_.text() {
        "" => type_.required(errors, "type is required when seccompProfile is set"),
        text if !PROFILE_TYPES.contains(&text) => type_.not_supported(errors, &PROFILE_TYPES),
        _ => {}
    }
    let profile = at.get("localhostProfile");
    match (type_.text() == "Localhost", profile.is_set()) {
        (true, false) => profile.required(errors, "must be set when seccomp type is Localhost"),
        (true, true) => descending_path(profile, profile.text(), errors),
        (false, true) => profile.invalid_as(errors, at.value(), "can only be set when seccomp type is Localhost"),
        (false, false) => {}
    }
}

fn app_armor(at: At<'_>, errors: &mut FieldErrors) {
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    if !at.is_set() {
        return;
    }
    let (type_, profile) = (at.get("type"), at.get("localhostProfile"));
    match type_.text() {
        "Localhost" => {
            let trimmed = profile.text().trim();
            if !profile.is_set() {
                profile.required(errors, MISSING);
            } else if trimmed != profile.text() {
                profile.invalid(errors, "must not be padded with whitespace");
            } else if trimmed.is_empty() {
                profile.required(errors, MISSING);
            }
            if profile.len() > PROFILE_MAX {
                profile.too_long(errors, PROFILE_MAX);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if profile.is_set() {
                profile.invalid(errors, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => type_.required(errors, "type is required when appArmorProfile is set"),
        _ => type_.not_supported(errors, &PROFILE_TYPES),
    }
}

/// The fields of a pod that a Windows pod may not set. (field, path of the error)
const NOT_FOR_WINDOWS: [(&str, &[&str]); 4] = [
    ("spec", &["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"]),
    (
        "securityContext",
        &[
            "appArmorProfile",
            "seLinuxOptions",
            "seccompProfile",
            "fsGroup",
            "fsGroupChangePolicy",
            "sysctls",
            "runAsUser",
            "runAsGroup",
            "supplementalGroups",
            "supplementalGroupsPolicy",
            "seLinuxChangePolicy",
        ],
    ),
    ("containers", CONTAINER_NOT_FOR_WINDOWS),
    ("initContainers", CONTAINER_NOT_FOR_WINDOWS),
];
const CONTAINER_NOT_FOR_WINDOWS: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

pub(in crate::kinds) fn windows(spec: At<'_>, errors: &mut FieldErrors) {
    let refuse = |at: At<'_>, errors: &mut FieldErrors| {
        // The flags of the host are plain booleans: false is as good as absent.
        if at.is_set() && at.value().as_bool() != Some(false) {
            at.forbidden(errors, "cannot be set for a windows pod");
        }
    };
    for (part, fields) in NOT_FOR_WINDOWS {
        match part {
            "spec" => fields.iter().for_each(|field| refuse(spec.get(field), errors)),
            "securityContext" => {
                let context = spec.get(part);
                fields.iter().for_each(|field| refuse(context.get(field), errors));
            }
            _ => {
                let containers = spec.get(part);
                for container in containers.items() {
                    let context = container.get("securityContext");
                    fields.iter().for_each(|field| refuse(context.get(field), errors));
                }
            }
        }
    }
}

pub(in crate::kinds) fn linux(spec: At<'_>, errors: &mut FieldErrors) {
    const DETAIL: &str = "windows options cannot be set for a linux pod";
    let refuse = |context: At<'_>, errors: &mut FieldErrors| {
        if context.get("windowsOptions").is_set() {
            context.get("windowsOptions").forbidden(errors, DETAIL);
        }
    };
    refuse(spec.get("securityContext"), errors);
    for list in ["initContainers", "containers"] {
        let containers = spec.get(list);
        for container in containers.items() {
            refuse(container.get("securityContext"), errors);
        }
    }
}
