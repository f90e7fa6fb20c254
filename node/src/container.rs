//! From a container's spec to what is run, or to a refusal that names what this node cannot give.

use crate::limits::HTTP_PORT_DEFAULT;
use sampan_api::Quantity;
use sampan_api::k8s::api::core::v1::{Container, EnvVar, Pod, PodSpec};
use std::net::Ipv4Addr;

/// What the runtime needs to know of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerPlan {
    pub name: String,
    pub image: String,
    pub pull_policy: String,
    /// `command`, then `args`, expanded. Empty when the spec has neither.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub working_dir: Option<String>,
    /// Where a wasi:http component listens: the first TCP port.
    pub port: u16,
    pub memory_limit_bytes: Option<u64>,
    pub cpu_limit_millis: Option<u64>,
    pub cpu_request_millis: u64,
}

/// A spec that this node cannot honour, under a kubelet's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: &'static str,
    pub message: String,
}

fn refuse(message: String) -> Refusal {
    Refusal { reason: "CreateContainerConfigError", message }
}

/// What a pod asks for that this node does not serve, by field. Empty: nothing.
fn not_served(spec: &PodSpec) -> Vec<String> {
    let mut fields = Vec::new();
    let mut check = |asked: bool, field: String| {
        if asked {
            fields.push(field);
        }
    };
    check(spec.init_containers.as_ref().is_some_and(|list| !list.is_empty()), "spec.initContainers".into());
    check(spec.volumes.as_ref().is_some_and(|list| !list.is_empty()), "spec.volumes".into());
    check(spec.host_network == Some(true), "spec.hostNetwork".into());
    check(spec.host_pid == Some(true), "spec.hostPID".into());
    check(spec.host_ipc == Some(true), "spec.hostIPC".into());
    check(spec.runtime_class_name.as_deref().is_some_and(|class| class != "wasm"), "spec.runtimeClassName".into());
    for (i, one) in spec.containers.iter().enumerate() {
        let field = |name: &str| format!("spec.containers[{i}].{name}");
        check(one.volume_mounts.as_ref().is_some_and(|list| !list.is_empty()), field("volumeMounts"));
        check(one.volume_devices.as_ref().is_some_and(|list| !list.is_empty()), field("volumeDevices"));
        check(one.liveness_probe.is_some(), field("livenessProbe"));
        check(one.readiness_probe.is_some(), field("readinessProbe"));
        check(one.startup_probe.is_some(), field("startupProbe"));
        check(one.lifecycle.is_some(), field("lifecycle"));
        check(one.env_from.as_ref().is_some_and(|list| !list.is_empty()), field("envFrom"));
        check(one.stdin == Some(true), field("stdin"));
        check(one.tty == Some(true), field("tty"));
    }
    fields
}

/// Everything about one container of a pod that is needed to run it.
pub fn plan(pod: &Pod, container: &Container, pod_ip: Ipv4Addr, host_ip: &str) -> Result<ContainerPlan, Refusal> {
    let spec = pod.spec.as_ref().ok_or_else(|| refuse("the pod has no spec".into()))?;
    let unserved = not_served(spec);
    if !unserved.is_empty() {
        return Err(refuse(format!("this node does not serve {}", unserved.join(", "))));
    }
    let env = environment(pod, container, pod_ip, host_ip)?;
    let words = container.command.iter().flatten().chain(container.args.iter().flatten());
    let resources = container.resources.as_ref();
    let amount = |limits: bool, name: &str| -> Result<Option<Quantity>, Refusal> {
        let list = resources.and_then(|r| if limits { r.limits.as_ref() } else { r.requests.as_ref() });
        let Some(text) = list.and_then(|list| list.get(name)) else { return Ok(None) };
        text.0.parse().map(Some).map_err(|error| refuse(format!("resources {name} {:?}: {error}", text.0)))
    };
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(ContainerPlan {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        pull_policy: container.image_pull_policy.clone().unwrap_or_else(|| "IfNotPresent".into()),
        args: words.map(|word| expand(word, &env)).collect(),
        port: http_port(container),
        working_dir: container.working_dir.clone(),
        memory_limit_bytes: amount(true, "memory")?.map(|q| positive(q.value())),
        cpu_limit_millis: amount(true, "cpu")?.map(|q| positive(q.milli_value())),
        cpu_request_millis: amount(false, "cpu")?.map_or(0, |q| positive(q.milli_value())),
        env,
    })
}

fn http_port(container: &Container) -> u16 {
    let tcp =
        |port: &&sampan_api::k8s::api::core::v1::ContainerPort| port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    let first = container.ports.iter().flatten().find(tcp);
    first.and_then(|port| u16::try_from(port.container_port).ok()).unwrap_or(HTTP_PORT_DEFAULT)
}

fn environment(
    pod: &Pod,
    container: &Container,
    ip: Ipv4Addr,
    host_ip: &str,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut env: Vec<(String, String)> = Vec::new();
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => expand(variable.value.as_deref().unwrap_or_default(), &env),
            Some(_) => value_from(pod, variable, ip, host_ip)?,
        };
        env.retain(|(name, _)| *name != variable.name);
        env.push((variable.name.clone(), value));
    }
    if !env.iter().any(|(name, _)| name == "HOSTNAME") {
        env.push(("HOSTNAME".into(), pod.metadata.name.clone().unwrap_or_default()));
    }
    Ok(env)
}

fn value_from(pod: &Pod, variable: &EnvVar, ip: Ipv4Addr, host_ip: &str) -> Result<String, Refusal> {
    let unserved = || refuse(format!("env {}: this node serves no source but value and fieldRef", variable.name));
    let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref()).ok_or_else(unserved)?;
    let path = field.field_path.as_str();
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']").map(str::to_owned);
    let found = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" | "status.podIPs" => Some(ip.to_string()),
        "status.hostIP" | "status.hostIPs" => Some(host_ip.to_owned()),
        _ => {
            let (map, key) = match (keyed("metadata.labels['"), keyed("metadata.annotations['")) {
                (Some(key), _) => (metadata.labels.as_ref(), key),
                (_, Some(key)) => (metadata.annotations.as_ref(), key),
                _ => return Err(refuse(format!("env {}: unsupported fieldPath: {path}", variable.name))),
            };
            map.and_then(|map| map.get(&key)).cloned()
        }
    };
    Ok(found.unwrap_or_default())
}

/// Kubernetes' `$(NAME)` expansion: `$$` is a dollar, an unknown name stays as it is
/// (k8s.io/kubernetes/third_party/forked/golang/expansion).
fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match env.iter().find(|(known, _)| known == name) {
                Some((_, value)) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(container: serde_json::Value) -> Pod {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [container]},
        });
        serde_json::from_value(pod).expect("a pod")
    }

    fn planned(container: serde_json::Value) -> Result<ContainerPlan, Refusal> {
        let pod = pod(container);
        let container = pod.spec.as_ref().expect("a spec").containers[0].clone();
        plan(&pod, &container, Ipv4Addr::new(127, 64, 0, 5), "127.0.0.1")
    }

    #[test]
    fn words_variables_ports_and_limits_are_taken_over() {
        let plan = planned(json!({
            "name": "c", "image": "sampan/worker:v1", "command": ["run", "$(A)"], "args": ["$$(A)", "$(NONE)"],
            "env": [
                {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"},
                {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "I", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
            "ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 9090}],
            "resources": {"limits": {"cpu": "100m", "memory": "16Mi"}, "requests": {"cpu": "50m"}},
        }))
        .expect("served");
        assert_eq!(plan.args, ["run", "1", "$(A)", "$(NONE)"]);
        let env: Vec<String> = plan.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=1", "B=12", "N=p", "L=web", "I=127.64.0.5", "HOSTNAME=p"]);
        assert_eq!((plan.port, plan.memory_limit_bytes), (9090, Some(16 << 20)));
        assert_eq!((plan.cpu_limit_millis, plan.cpu_request_millis), (Some(100), 50));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        let check = |container: serde_json::Value, part: &str| {
            let refusal = planned(container).expect_err(part);
            assert!(refusal.message.contains(part), "{}", refusal.message);
            assert_eq!(refusal.reason, "CreateContainerConfigError");
        };
        check(json!({"name": "c", "readinessProbe": {"tcpSocket": {"port": 80}}}), "spec.containers[0].readinessProbe");
        check(json!({"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}), "volumeMounts");
        let secret = json!({"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
        check(json!({"name": "c", "env": [secret]}), "env S");
    }
}
