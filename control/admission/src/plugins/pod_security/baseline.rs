//! The checks of the level `baseline`.

use super::view::{View, Violation, bad_values, containers, counted, name, quoted, setters, text};
use sampan_api::field::go_quote;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn app_armor(view: View<'_>) -> Option<Violation> {
    let (pod, bad, values) =
        bad_values(view, |context| &context["appArmorProfile"], |kind| matches!(kind, "RuntimeDefault" | "Localhost"));
    let allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let mut annotations: Vec<String> = view
        .annotations()
        .filter(|(key, value)| key.starts_with("container.apparmor.security.beta.kubernetes.io/") && !allowed(value))
        .map(|(key, value)| format!("{key}={}", go_quote(value)))
        .collect();
    annotations.sort();
    let word = if annotations.len() == 1 { "annotation" } else { "annotations" };
    let who: Vec<String> =
        setters(pod, &bad).into_iter().chain((!annotations.is_empty()).then(|| word.to_owned())).collect();
    if who.is_empty() {
        return None;
    }
    let values: Vec<&str> = values.into_iter().chain(annotations.iter().map(String::as_str)).collect();
    let reason = if values.len() == 1 { "forbidden AppArmor profile" } else { "forbidden AppArmor profiles" };
    Violation::new(reason, format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(values)))
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The capabilities that a container adds and may not.
pub(super) fn added<'a>(container: &'a Value, allowed: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let all = container["securityContext"]["capabilities"]["add"].as_array();
    all.into_iter().flatten().map(text).filter(|one| !allowed.contains(one))
}

pub(super) fn capabilities(view: View<'_>) -> Option<Violation> {
    let bad = view.named(|container| added(container, &CAPABILITIES).next().is_some());
    if bad.is_empty() {
        return None;
    }
    let which: BTreeSet<&str> = view.containers().flat_map(|container| added(container, &CAPABILITIES)).collect();
    let detail = format!("{} must not include {} in securityContext.capabilities.add", containers(&bad), quoted(which));
    Violation::new("non-default capabilities", detail)
}

pub(super) fn host_namespaces(view: View<'_>) -> Option<Violation> {
    let fields = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| view.spec[*field] == true);
    let shared: Vec<String> = fields.map(|field| format!("{field}=true")).collect();
    if shared.is_empty() { None } else { Violation::new("host namespaces", shared.join(", ")) }
}

pub(super) fn host_path_volumes(view: View<'_>) -> Option<Violation> {
    let volumes = view.spec["volumes"].as_array().into_iter().flatten();
    let bad: Vec<&str> = volumes.filter(|volume| !volume["hostPath"].is_null()).map(name).collect();
    if bad.is_empty() { None } else { Violation::new("hostPath volumes", counted("volume", "volumes", &bad)) }
}

pub(super) fn host_ports(view: View<'_>) -> Option<Violation> {
    fn ports(container: &Value) -> impl Iterator<Item = String> {
        let all = container["ports"].as_array().into_iter().flatten();
        all.filter_map(|port| port["hostPort"].as_i64()).filter(|port| *port != 0).map(|port| port.to_string())
    }
    let bad = view.named(|container| ports(container).next().is_some());
    if bad.is_empty() {
        return None;
    }
    let which: BTreeSet<String> = view.containers().flat_map(ports).collect();
    let uses = if bad.len() == 1 { "uses" } else { "use" };
    let word = if which.len() == 1 { "hostPort" } else { "hostPorts" };
    let which = which.into_iter().collect::<Vec<_>>().join(", ");
    Violation::new("hostPort", format!("{} {uses} {word} {which}", containers(&bad)))
}

pub(super) fn host_probes(view: View<'_>) -> Option<Violation> {
    fn hosts(container: &Value) -> impl Iterator<Item = &str> {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|field| &container[field]);
        let hooks = ["postStart", "preStop"].map(|field| &container["lifecycle"][field]);
        let handlers = probes.into_iter().chain(hooks);
        let hosts = handlers.flat_map(|one| [text(&one["httpGet"]["host"]), text(&one["tcpSocket"]["host"])]);
        hosts.filter(|host| !host.is_empty())
    }
    let bad: BTreeSet<&str> = view.named(|container| hosts(container).next().is_some()).into_iter().collect();
    if bad.is_empty() {
        return None;
    }
    let which: BTreeSet<&str> = view.containers().flat_map(hosts).collect();
    let uses = if bad.len() == 1 { "uses" } else { "use" };
    let word = if which.len() == 1 { "probe or lifecycle host" } else { "probe or lifecycle hosts" };
    let bad: Vec<&str> = bad.into_iter().collect();
    Violation::new("probe or lifecycle host", format!("{} {uses} {word} {}", containers(&bad), quoted(which)))
}

pub(super) fn privileged(view: View<'_>) -> Option<Violation> {
    let bad = view.named(|container| container["securityContext"]["privileged"] == true);
    if bad.is_empty() {
        return None;
    }
    Violation::new("privileged", format!("{} must not set securityContext.privileged=true", containers(&bad)))
}

pub(super) fn proc_mount(view: View<'_>) -> Option<Violation> {
    let mount = |container: &Value| -> Option<String> {
        let mount = container["securityContext"]["procMount"].as_str()?;
        (mount != "Default").then(|| mount.to_owned())
    };
    let bad = view.named(|container| mount(container).is_some());
    if bad.is_empty() {
        return None;
    }
    let which: BTreeSet<String> = view.containers().filter_map(mount).collect();
    let which = quoted(which.iter().map(String::as_str));
    Violation::new("procMount", format!("{} must not set securityContext.procMount to {which}", containers(&bad)))
}

pub(super) fn proc_mount_1_35(view: View<'_>) -> Option<Violation> {
    if view.has_own_users() { None } else { proc_mount(view) }
}

pub(super) fn selinux_1_0(view: View<'_>) -> Option<Violation> {
    selinux(view, &["", "container_t", "container_init_t", "container_kvm_t"])
}

pub(super) fn selinux_1_31(view: View<'_>) -> Option<Violation> {
    selinux(view, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

fn selinux(view: View<'_>, allowed: &[&str]) -> Option<Violation> {
    let is_bad = |context: &Value| {
        let options = &context["seLinuxOptions"];
        let named = |field: &str| !text(&options[field]).is_empty();
        !allowed.contains(&text(&options["type"])) || named("user") || named("role")
    };
    let pod = is_bad(view.security()).then_some(());
    let bad = view.named(|container| is_bad(&container["securityContext"]));
    let who = setters(pod, &bad)?;
    let contexts = || {
        let containers = view.containers().map(|container| &container["securityContext"]);
        std::iter::once(view.security()).chain(containers).map(|context| &context["seLinuxOptions"])
    };
    let types: BTreeSet<&str> =
        contexts().map(|options| text(&options["type"])).filter(|kind| !allowed.contains(kind)).collect();
    let types: Vec<&str> = types.into_iter().collect();
    let types = (!types.is_empty()).then(|| counted("type", "types", &types));
    let set = |field: &str| contexts().any(|options| !text(&options[field]).is_empty());
    let fields = ["user", "role"].into_iter().filter(|field| set(field)).map(|field| format!("{field} may not be set"));
    let data: Vec<String> = types.into_iter().chain(fields).collect();
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", data.join("; "));
    Violation::new("seLinuxOptions", detail)
}

pub(super) fn seccomp_1_0(view: View<'_>) -> Option<Violation> {
    const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    let allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let names: BTreeSet<&str> = view.containers().map(name).collect();
    let concerns = |key: &str| key == POD || key.strip_prefix(CONTAINER).is_some_and(|name| names.contains(name));
    let bad = view.annotations().filter(|(key, value)| concerns(key) && !allowed(value));
    let bad: BTreeSet<String> = bad.map(|(key, value)| format!("{key}={}", go_quote(value))).collect();
    if bad.is_empty() {
        return None;
    }
    let word = if bad.len() == 1 { "annotation" } else { "annotations" };
    let bad = bad.into_iter().collect::<Vec<_>>().join(", ");
    Violation::new("seccompProfile", format!("forbidden {word} {bad}"))
}

/// Whether a seccomp profile of that type is one.
pub(super) fn is_seccomp(kind: &str) -> bool {
    matches!(kind, "Localhost" | "RuntimeDefault")
}

pub(super) fn seccomp_1_19(view: View<'_>) -> Option<Violation> {
    let (pod, bad, values) = bad_values(view, |context| &context["seccompProfile"], is_seccomp);
    let who = setters(pod, &bad)?;
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values));
    Violation::new("seccompProfile", detail)
}

/// Each sysctl, and the first minor version in which it is safe.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

/// Of the sysctls that were safe in the minor version `MINOR`.
pub(super) fn sysctls<const MINOR: u32>(view: View<'_>) -> Option<Violation> {
    let safe = |sysctl: &&str| SYSCTLS.iter().any(|(name, since)| name == sysctl && *since <= MINOR);
    let all = view.security()["sysctls"].as_array().into_iter().flatten().map(name);
    let bad: Vec<&str> = all.filter(|sysctl| !safe(sysctl)).collect();
    if bad.is_empty() { None } else { Violation::new("forbidden sysctls", bad.join(", ")) }
}

pub(super) fn windows_host_process(view: View<'_>) -> Option<Violation> {
    let is = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let bad = view.named(|container| is(&container["securityContext"]));
    let who = setters(is(view.security()).then_some(()), &bad)?;
    Violation::new("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
