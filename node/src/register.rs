//! The node's own objects: its Node, whose status it keeps, and its Lease, which says that it lives.

use crate::limits::{KUBELET_PORT, LEASE_DURATION, LEASE_RENEW_EVERY, NODE_STATUS_EVERY, PODS_MAX};
use crate::patch::whole;
use sampan_api::Object;
use sampan_api::condition::transition_time;
use sampan_api::k8s::api::coordination::v1::Lease;
use sampan_api::k8s::api::core::v1::{Node, NodeCondition};
use sampan_api::time::{rfc3339, rfc3339_micro};
use sampan_client::{Client, Error, Patch};
use sampan_env::Env;
use serde_json::{Value, json};

/// The node's description of itself, fixed for the life of the process.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// The Node's name.
    pub name: String,
    /// The machine's own address.
    pub host_ip: String,
    /// As `/version` says it.
    pub kubelet_version: String,
    /// As [`crate::PodRuntime::version`] says it.
    pub runtime_version: String,
    /// Number of pods that it holds.
    pub pods_max: u64,
    /// The machine's cores, in thousandths.
    pub cpu_millis: u64,
    /// The machine's memory, bytes.
    pub memory_bytes: u64,
    /// What tells this machine, its hardware and its boot from others.
    pub machine: MachineIds,
}

/// The identities of a machine; empty where the system does not tell.
#[derive(Clone, Debug, Default)]
pub struct MachineIds {
    /// Of the installed system.
    pub machine: String,
    /// Of the hardware, as its firmware says it; only root may read that: else that of the system.
    pub system: String,
    /// Of this boot.
    pub boot: String,
}

impl MachineIds {
    /// Reads them where kubelet's cAdvisor does.
    fn read() -> Self {
        let first = |paths: &[&str]| {
            let mut texts = paths.iter().filter_map(|path| std::fs::read_to_string(path).ok());
            texts.find(|text| !text.trim().is_empty()).map(|text| text.trim().to_owned()).unwrap_or_default()
        };
        let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
        let system = ["/sys/class/dmi/id/product_uuid", "/proc/device-tree/vm,uuid", "/etc/machine-id"];
        Self { machine: first(&machine), system: first(&system), boot: first(&["/proc/sys/kernel/random/boot_id"]) }
    }
}

impl NodeFacts {
    /// Cores and memory of this machine.
    pub fn of_machine(name: &str, host_ip: &str, kubelet_version: &str, runtime_version: &str, pods_max: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        Self {
            name: name.to_owned(),
            host_ip: host_ip.to_owned(),
            kubelet_version: kubelet_version.to_owned(),
            runtime_version: runtime_version.to_owned(),
            pods_max: pods_max.min(PODS_MAX),
            cpu_millis: cores * 1000,
            memory_bytes: memory_total(),
            machine: MachineIds::read(),
        }
    }

    fn resources(&self) -> Value {
        json!({
            "cpu": (self.cpu_millis / 1000).to_string(),
            "memory": format!("{}Ki", self.memory_bytes / 1024),
            "pods": self.pods_max.to_string(),
        })
    }
}

/// This machine's memory, bytes.
pub(crate) fn memory_total() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The Node as it is created.
fn node(facts: &NodeFacts) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": facts.name,
            "labels": {
                "kubernetes.io/hostname": facts.name,
                "kubernetes.io/os": std::env::consts::OS,
                "kubernetes.io/arch": arch(),
                "beta.kubernetes.io/os": std::env::consts::OS,
                "beta.kubernetes.io/arch": arch(),
            },
        },
    })
}

fn status(facts: &NodeFacts, known: &Node, env: &Env) -> Value {
    let now = rfc3339(env.now());
    let since = |kind: &str, value: &str| {
        let conditions = known.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let old = conditions.clone().find(|one| one.type_ == kind);
        let time = |one: &NodeCondition| serde_json::to_value(one.last_transition_time.as_ref()?).ok();
        let old = old.map(|one| (one.status.as_str(), time(one)));
        transition_time(old, value, || Some(now.as_str().into()))
    };
    let condition = |kind: &str, value: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": value, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": since(kind, value),
        })
    };
    let release = rustix::system::uname();
    json!({
        "addresses": whole([
            json!({"type": "InternalIP", "address": facts.host_ip}),
            json!({"type": "Hostname", "address": facts.name}),
        ]),
        "capacity": facts.resources(),
        "allocatable": facts.resources(),
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
        "nodeInfo": {
            "machineID": facts.machine.machine, "systemUUID": facts.machine.system, "bootID": facts.machine.boot,
            "kernelVersion": release.release().to_string_lossy(),
            "osImage": "Sampan",
            "containerRuntimeVersion": facts.runtime_version,
            "kubeletVersion": facts.kubelet_version,
            "kubeProxyVersion": "",
            "operatingSystem": std::env::consts::OS,
            "architecture": arch(),
        },
    })
}

/// Makes the Node if it is not there, and writes its status.
pub async fn register(client: &Client, facts: &NodeFacts, env: &Env) -> Result<Node, Error> {
    let nodes = client.all::<Node>();
    let object = Object::from_value(node(facts)).unwrap_or_default();
    let known = match client.dynamic(&nodes.resource().clone(), None).create(&object).await {
        Ok(_) => nodes.get(&facts.name).await?,
        Err(error) if error.is_already_exists() => nodes.get(&facts.name).await?,
        Err(error) => return Err(error),
    };
    nodes.patch_status(&facts.name, &Patch::Strategic(json!({"status": status(facts, &known, env)}))).await
}

fn lease(facts: &NodeFacts, node_uid: &str, env: &Env) -> Value {
    json!({
        "metadata": {
            "name": facts.name,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": facts.name, "uid": node_uid}],
        },
        "spec": {
            "holderIdentity": facts.name,
            "leaseDurationSeconds": LEASE_DURATION.as_secs(),
            "renewTime": rfc3339_micro(env.now()),
        },
    })
}

async fn renew(client: &Client, facts: &NodeFacts, node_uid: &str, env: &Env) -> Result<(), Error> {
    let leases = client.namespaced::<Lease>("kube-node-lease");
    let wanted = lease(facts, node_uid, env);
    match leases.patch(&facts.name, &Patch::Merge(wanted.clone())).await {
        Err(error) if error.is_not_found() => {
            let mut object = Object::from_value(wanted).unwrap_or_default();
            object.set(&["apiVersion"], "coordination.k8s.io/v1");
            object.set(&["kind"], "Lease");
            object.set_meta("namespace", "kube-node-lease");
            client.dynamic(&leases.resource().clone(), Some("kube-node-lease")).create(&object).await.map(|_| ())
        }
        other => other.map(|_| ()),
    }
}

/// Whether the API has this node as ready: while it was not heard, the control plane may have said otherwise.
async fn is_known_ready(client: &Client, facts: &NodeFacts) -> bool {
    match client.all::<Node>().get(&facts.name).await {
        Ok(node) => {
            let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.any(|one| one.type_ == "Ready" && one.status == "True")
        }
        Err(error) => {
            tracing::debug!(%error, "the node could not be read");
            false
        }
    }
}

/// Renews the Lease and writes the Node's status, for ever. A Node that was deleted is made again.
pub async fn heartbeat(client: Client, facts: NodeFacts, env: Env) {
    let mut uid = String::new();
    let mut status_due = env.instant();
    loop {
        if uid.is_empty() || env.instant() >= status_due || !is_known_ready(&client, &facts).await {
            match register(&client, &facts, &env).await {
                Ok(node) => {
                    uid = node.metadata.uid.unwrap_or_default();
                    status_due = env.instant() + NODE_STATUS_EVERY;
                }
                Err(error) => tracing::warn!(%error, "the node's status could not be written"),
            }
        }
        if let Err(error) = renew(&client, &facts, &uid, &env).await {
            tracing::warn!(%error, "the node's lease could not be renewed");
            uid.clear();
        }
        env.sleep(LEASE_RENEW_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::World;

    #[test]
    fn a_status_names_the_machine_and_a_port_that_can_be_tried() {
        let machine = MachineIds { machine: "m".into(), system: "s".into(), boot: "b".into() };
        let facts = NodeFacts { machine, ..NodeFacts::of_machine("n", "127.0.0.1", "v1", "simulated://1", 10) };
        let env = Env::simulated(1, std::time::SystemTime::UNIX_EPOCH);
        let status = status(&facts, &Node::default(), &env);
        assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], KUBELET_PORT);
        let info = &status["nodeInfo"];
        assert_eq!([&info["machineID"], &info["systemUUID"], &info["bootID"]], ["m", "s", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_taken_for_silent_is_ready_again_at_its_next_heartbeat() {
        let world = World::new();
        let (client, env) = (world.shared.client.clone(), world.shared.env.clone());
        let facts = NodeFacts::of_machine("n", "127.0.0.1", "v1", "simulated://1", 10);
        world.tasks.spawn_until_cancelled(heartbeat(client, facts, env.clone()));
        let ready = || {
            let conditions = world.api().node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        world.eventually("it is ready", ready).await;
        env.sleep(LEASE_RENEW_EVERY * 5).await;
        assert_eq!(world.api().statuses, 1, "nothing changed");
        // As the node lifecycle controller does for a node that is silent.
        for condition in world.api().node["status"]["conditions"].as_array_mut().expect("conditions") {
            condition["status"] = "Unknown".into();
        }
        let then = env.instant();
        world.eventually("it is ready again", ready).await;
        assert!(env.instant() - then <= LEASE_RENEW_EVERY * 2, "{:?}", env.instant() - then);
    }
}
