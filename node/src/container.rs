//! From a container's spec to what is run, or to a refusal that names what this node cannot give.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::environment::Environment;
use crate::limits::HTTP_PORT_DEFAULT;
use crate::projected;
use sampan_api::Quantity;
use sampan_api::k8s::api::core::v1::{Container, Pod, PodSpec};
use std::net::Ipv4Addr;

/// The facts about a container that the runtime needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerPlan {
    /// The container's name.
    pub name: String,
    /// As the spec names it.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
    /// `command`, expanded: it stands in the place of the image's entry point. Empty when the spec has none.
    pub command: Vec<String>,
    /// `args`, expanded: they follow the entry point, whichever it is.
    pub args: Vec<String>,
    /// Names and values, expanded; a name occurs once.
    pub env: Vec<(String, String)>,
    /// The spec's `workingDir`.
    pub working_dir: Option<String>,
    /// The port at which a wasi:http component listens: the first TCP port.
    pub port: u16,
    /// None: the node sets the bound.
    pub memory_limit_bytes: Option<u64>,
    /// Thousandths of a core; None: there is no limit.
    pub cpu_limit_millis: Option<u64>,
    /// Thousandths of a core; 0: nothing was asked for.
    pub cpu_request_millis: u64,
}

/// A spec that this node cannot honour, under a kubelet's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `CreateContainerConfigError`.
    pub reason: &'static str,
    /// Names the field.
    pub message: String,
}

pub(crate) fn refuse(message: String) -> Refusal {
    Refusal { reason: "CreateContainerConfigError", message }
}

/// Fields of a pod that this node does not serve. Empty: nothing.
fn not_served(spec: &PodSpec) -> Vec<String> {
    fn some<T>(list: Option<&Vec<T>>) -> bool {
        list.is_some_and(|list| !list.is_empty())
    }
    let mut fields = Vec::new();
    let mut check = |asked: bool, field: String| {
        if asked {
            fields.push(field);
        }
    };
    check(some(spec.init_containers.as_ref()), "spec.initContainers".into());
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    for (i, volume) in volumes.iter().enumerate() {
        check(!projected::is_served(volume), format!("spec.volumes[{i}]"));
    }
    check(spec.host_network == Some(true), "spec.hostNetwork".into());
    check(spec.host_pid == Some(true), "spec.hostPID".into());
    check(spec.host_ipc == Some(true), "spec.hostIPC".into());
    check(spec.runtime_class_name.as_deref().is_some_and(|class| class != "wasm"), "spec.runtimeClassName".into());
    check(spec.active_deadline_seconds.is_some(), "spec.activeDeadlineSeconds".into());
    check(some(spec.readiness_gates.as_ref()), "spec.readinessGates".into());
    check(some(spec.resource_claims.as_ref()), "spec.resourceClaims".into());
    check(some(spec.host_aliases.as_ref()), "spec.hostAliases".into());
    let pod_limits = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    check(pod_limits.is_some_and(|limits| !limits.is_empty()), "spec.resources.limits".into());
    let sysctls = spec.security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    check(some(sysctls), "spec.securityContext.sysctls".into());
    for (i, one) in spec.containers.iter().enumerate() {
        let field = |name: &str| format!("spec.containers[{i}].{name}");
        for mount in projected::unserved_mounts(one, volumes, &format!("spec.containers[{i}]")) {
            check(true, mount);
        }
        check(some(one.volume_devices.as_ref()), field("volumeDevices"));
        check(one.liveness_probe.is_some(), field("livenessProbe"));
        check(one.readiness_probe.is_some(), field("readinessProbe"));
        check(one.startup_probe.is_some(), field("startupProbe"));
        check(one.lifecycle.is_some(), field("lifecycle"));
        check(some(one.env_from.as_ref()), field("envFrom"));
        check(one.stdin == Some(true), field("stdin"));
        check(one.tty == Some(true), field("tty"));
        check(one.restart_policy.is_some(), field("restartPolicy"));
        check(some(one.restart_policy_rules.as_ref()), field("restartPolicyRules"));
        for (port, of) in one.ports.iter().flatten().enumerate() {
            check(of.host_port.is_some_and(|host| host != 0), field(&format!("ports[{port}].hostPort")));
        }
    }
    fields
}

/// Something that a pod's owner should know of a container that runs nonetheless: a Warning event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Settings of a container that have no effect here, for its owner.
pub(crate) fn notices(container: &Container) -> Vec<Notice> {
    let privileged = container.security_context.as_ref().and_then(|context| context.privileged);
    let message = || {
        let name = &container.name;
        format!("securityContext.privileged of container {name} has no effect: a component has no privileges to give")
    };
    Vec::from_iter((privileged == Some(true)).then(|| Notice { reason: "PrivilegedIgnored", message: message() }))
}

/// Everything about one container of a pod that is needed to run it.
pub async fn plan(pod: &Pod, container: &Container, pod_ip: Ipv4Addr, host_ip: &str) -> Result<ContainerPlan, Refusal> {
    let spec = pod.spec.as_ref().ok_or_else(|| refuse("the pod has no spec".into()))?;
    let unserved = not_served(spec);
    if !unserved.is_empty() {
        return Err(refuse(format!("this node does not serve {}", unserved.join(", "))));
    }
    let env = Environment::of(pod, container, pod_ip, host_ip).await?;
    let command = container.command.as_deref().unwrap_or_default();
    let words = command.iter().chain(container.args.iter().flatten()).map(String::as_str);
    let mut words = env.words(words)?;
    let args = words.split_off(command.len());
    let resources = container.resources.as_ref();
    let amount = |limits: bool, name: &str| -> Result<Option<Quantity>, Refusal> {
        let list = resources.and_then(|r| if limits { r.limits.as_ref() } else { r.requests.as_ref() });
        let Some(text) = list.and_then(|list| list.get(name)) else { return Ok(None) };
        text.0.parse().map(Some).map_err(|error| refuse(format!("resources {name} {:?}: {error}", text.0)))
    };
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    // A limit of zero is none, as for a kubelet.
    let limit = |value: i64| Some(positive(value)).filter(|value| *value > 0);
    Ok(ContainerPlan {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        pull_policy: container.image_pull_policy.clone().unwrap_or_else(|| "IfNotPresent".into()),
        command: words,
        args,
        port: http_port(container),
        working_dir: container.working_dir.clone(),
        memory_limit_bytes: amount(true, "memory")?.and_then(|q| limit(q.value())),
        cpu_limit_millis: amount(true, "cpu")?.and_then(|q| limit(q.milli_value())),
        cpu_request_millis: amount(false, "cpu")?.map_or(0, |q| positive(q.milli_value())),
        env: env.into_list(),
    })
}

fn http_port(container: &Container) -> u16 {
    let tcp =
        |port: &&sampan_api::k8s::api::core::v1::ContainerPort| port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    let first = container.ports.iter().flatten().find(tcp);
    first.and_then(|port| u16::try_from(port.container_port).ok()).unwrap_or(HTTP_PORT_DEFAULT)
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
        planned_of(&pod(container))
    }

    fn planned_of(pod: &Pod) -> Result<ContainerPlan, Refusal> {
        let container = pod.spec.as_ref().expect("a spec").containers[0].clone();
        let plan = plan(pod, &container, Ipv4Addr::new(127, 64, 0, 5), "127.0.0.1");
        futures::FutureExt::now_or_never(plan).expect("nothing is waited for")
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
        assert_eq!((plan.command, plan.args), (vec!["run".into(), "1".into()], vec!["$(A)".into(), "$(NONE)".into()]));
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
        check(json!({"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}), "ports[0].hostPort");
        check(json!({"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}), "volumeMounts");
        let secret = json!({"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
        check(json!({"name": "c", "env": [secret]}), "env S");
    }

    #[test]
    fn what_a_whole_pod_asks_for_in_vain_is_refused_by_name() {
        let check = |field: &str, value: serde_json::Value| {
            let mut pod = serde_json::to_value(pod(json!({"name": "c"}))).expect("JSON");
            pod["spec"][field] = value;
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            let refusal = planned_of(&pod).expect_err(field);
            assert!(refusal.message.contains(&format!("spec.{field}")), "{}", refusal.message);
        };
        check("hostNetwork", json!(true));
        check("activeDeadlineSeconds", json!(5));
        check("resources", json!({"limits": {"memory": "1Gi"}}));
        check("readinessGates", json!([{"conditionType": "example.com/ready"}]));
        check("securityContext", json!({"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}));
    }

    #[test]
    fn privileges_are_none_to_give_and_the_pods_owner_hears_of_it() {
        let told = |context: serde_json::Value| {
            let pod = pod(json!({"name": "c", "image": "i", "securityContext": context}));
            planned_of(&pod).expect("it runs nonetheless");
            notices(&pod.spec.as_ref().expect("a spec").containers[0])
        };
        let notices = told(json!({"privileged": true}));
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].message.contains("container c") && notices[0].message.contains("no privileges to give"));
        for context in [json!(null), json!({}), json!({"privileged": false}), json!({"runAsUser": 0})] {
            assert_eq!(told(context), []);
        }
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let plan = planned(json!({"name": "c", "resources": {"limits": {"cpu": "0", "memory": "0"}}})).expect("served");
        assert_eq!((plan.cpu_limit_millis, plan.memory_limit_bytes), (None, None));
    }
}
