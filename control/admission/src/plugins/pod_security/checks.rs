//! The checks by level and version (k8s.io/pod-security-admission/policy, v1.35).

use super::policy::{Level, Standard, Version};
use super::view::{View, Violation};
use super::{baseline, restricted};

type Rule = fn(View<'_>) -> Option<Violation>;

/// A check, with its rule from each minor version on in which that changed, oldest first.
struct Check {
    id: &'static str,
    rules: &'static [(u32, Rule)],
    /// The check of `baseline` in whose place it is.
    instead_of: Option<&'static str>,
}

/// In the order in which their findings are told: by name.
const BASELINE: &[Check] = &[
    check("appArmorProfile", &[(0, baseline::app_armor)]),
    check("capabilities_baseline", &[(0, baseline::capabilities)]),
    check("hostNamespaces", &[(0, baseline::host_namespaces)]),
    check("hostPathVolumes", &[(0, baseline::host_path_volumes)]),
    check("hostPorts", &[(0, baseline::host_ports)]),
    check("hostProbesAndHostLifecycle", &[(34, baseline::host_probes)]),
    check("privileged", &[(0, baseline::privileged)]),
    check("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_1_35)]),
    check("seLinuxOptions", &[(0, baseline::selinux_1_0), (31, baseline::selinux_1_31)]),
    check("seccompProfile_baseline", &[(0, baseline::seccomp_1_0), (19, baseline::seccomp_1_19)]),
    check(
        "sysctls",
        &[
            (0, baseline::sysctls::<0>),
            (27, baseline::sysctls::<27>),
            (29, baseline::sysctls::<29>),
            (32, baseline::sysctls::<32>),
        ],
    ),
    check("windowsHostProcess", &[(0, baseline::windows_host_process)]),
];

const RESTRICTED: &[Check] = &[
    check(
        "allowPrivilegeEscalation",
        &[(8, restricted::privilege_escalation_1_8), (25, restricted::privilege_escalation_1_25)],
    ),
    instead(
        "capabilities_baseline",
        "capabilities_restricted",
        &[(22, restricted::capabilities_1_22), (25, restricted::capabilities_1_25)],
    ),
    instead("procMount", "procMount_restricted", &[(35, baseline::proc_mount)]),
    instead("hostPathVolumes", "restrictedVolumes", &[(0, restricted::volumes)]),
    check("runAsNonRoot", &[(0, restricted::non_root_1_0), (35, restricted::non_root_1_35)]),
    check("runAsUser", &[(23, restricted::user_1_23), (35, restricted::user_1_35)]),
    instead(
        "seccompProfile_baseline",
        "seccompProfile_restricted",
        &[(19, restricted::seccomp_1_19), (25, restricted::seccomp_1_25)],
    ),
];

const fn check(id: &'static str, rules: &'static [(u32, Rule)]) -> Check {
    Check { id, rules, instead_of: None }
}

const fn instead(of: &'static str, id: &'static str, rules: &'static [(u32, Rule)]) -> Check {
    Check { id, rules, instead_of: Some(of) }
}

impl Check {
    fn rule(&self, minor: u32) -> Option<Rule> {
        self.rules.iter().rev().find(|(since, _)| *since <= minor).map(|(_, rule)| *rule)
    }
}

/// What the standard forbids of the pod.
pub(super) fn violations(standard: Standard, view: View<'_>) -> Vec<Violation> {
    let minor = match standard.version {
        Version::Minor(minor) => minor,
        Version::Latest => u32::MAX,
    };
    let more: &[Check] = match standard.level {
        Level::Privileged => return Vec::new(),
        Level::Baseline => &[],
        Level::Restricted => RESTRICTED,
    };
    let stands =
        |one: &&Check| !more.iter().any(|other| other.instead_of == Some(one.id) && other.rule(minor).is_some());
    let checks = BASELINE.iter().filter(stands).chain(more);
    checks.filter_map(|check| check.rule(minor)).filter_map(|rule| rule(view)).collect()
}

/// The findings of an object: `privileged (container "a" must not ...), hostPort (...)`.
pub(super) fn details(violations: &[Violation]) -> String {
    let one = |violation: &Violation| match violation.detail.as_str() {
        "" => violation.reason.clone(),
        detail => format!("{} ({detail})", violation.reason),
    };
    violations.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The reasons alone.
pub(super) fn reasons(violations: &[Violation]) -> String {
    violations.iter().map(|violation| violation.reason.as_str()).collect::<Vec<_>>().join(", ")
}
