//! What the rules of a pod's spec leave to features, and to what the spec before had (Kubernetes' pkg/api/pod/util.go).

use super::affinity::Comparing;
use super::container::LISTS;
use crate::strategy::Context;
use serde_json::Value;

/// What the rules of a spec leave to features, each of which stays in use where the spec before used it (PodValidationOptions).
pub(super) struct Options {
    /// Whether tolerations may compare.
    pub comparing: Comparing,
    /// Variables may come from files.
    pub env_files: bool,
    /// Pods with users of their own may be in the host's network.
    pub host_network: bool,
    /// And may have volumes that are devices, which does not work.
    pub devices: bool,
    /// How files may come by their labels.
    pub label_policies: &'static [&'static str],
}

impl Options {
    /// `old`: the spec before.
    pub fn of(ctx: &Context<'_>, old: Option<&Value>) -> Self {
        let used = |in_use: fn(&Value) -> bool| old.is_some_and(in_use);
        Self {
            comparing: Comparing::of(ctx, old),
            env_files: ctx.gates.enabled("EnvFiles") || used(has_env_files),
            host_network: ctx.gates.enabled("UserNamespacesHostNetworkSupport")
                || used(|old| old["hostUsers"] == false && old["hostNetwork"] == true),
            devices: used(|old| old["hostUsers"] == false && has_devices(old)),
            label_policies: match ctx.gates.enabled("SELinuxMount") || used(has_label_policy) {
                true => &["MountOption", "Recursive"],
                false => &["Recursive"],
            },
        }
    }
}

fn has_label_policy(spec: &Value) -> bool {
    spec["securityContext"]["seLinuxChangePolicy"].is_string()
}

/// The containers of all lists.
fn all_containers(spec: &Value) -> impl Iterator<Item = &Value> {
    LISTS.iter().filter_map(|list| spec.get(list)?.as_array()).flatten()
}

fn has_devices(spec: &Value) -> bool {
    all_containers(spec).any(|container| container["volumeDevices"].as_array().is_some_and(|list| !list.is_empty()))
}

/// Whether a variable of a container comes from a file.
fn has_env_files(spec: &Value) -> bool {
    let mut variables = all_containers(spec).filter_map(|container| container.get("env")?.as_array()).flatten();
    variables.any(|variable| variable["valueFrom"]["fileKeyRef"].is_object())
}
