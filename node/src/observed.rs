//! A worker's knowledge of its pod's containers. It is also what the ledger keeps.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use sampan_api::k8s::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;

/// A container's name: unique among all containers of a pod, of whatever kind, and so what a container is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerName(Arc<str>);

impl ContainerName {
    /// The name as the spec has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ContainerName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl std::fmt::Display for ContainerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terminated {
    /// 0 to 255.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`.
    pub reason: String,
    /// For people: the last of the termination message, or why the run could not start.
    #[serde(default)]
    pub message: String,
    /// Start of the run.
    pub started_at: SystemTime,
    /// End of the run.
    pub finished_at: SystemTime,
    /// Of the run: `wasm://` and a name of its own; `""` where none began.
    #[serde(default)]
    pub container_id: String,
}

/// The state of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Not running; to be started at once, or when the time has come.
    Waiting {
        reason: String,
        message: String,
        until: Option<SystemTime>,
    },
    /// Its image is being made ready: nothing of it has run.
    Pulling {
        since: SystemTime,
    },
    /// It is being started. From here on it counts as having run, whatever becomes of this process.
    Starting {
        since: SystemTime,
    },
    Running {
        started_at: SystemTime,
    },
    /// Told to end, and ended by force at `until`.
    Stopping {
        started_at: SystemTime,
        #[serde(default)]
        until: Option<SystemTime>,
    },
    Terminated(Terminated),
}

/// Everything known of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedContainer {
    /// Its name.
    pub name: ContainerName,
    /// Its state now.
    pub state: ContainerState,
    /// The run before this one.
    pub last: Option<Terminated>,
    /// Runs after the first.
    pub restart_count: u32,
    /// Runs in a row that ended soon: the exponent of the back-off.
    pub quick_ends: u32,
    /// Attempts to start in a row that failed before the guest ran.
    pub failed_starts: u32,
    /// Time at which its image could last not be had.
    #[serde(default)]
    pub pull_failed_at: Option<SystemTime>,
    /// The digest that its image was resolved to; `""` until then.
    #[serde(default)]
    pub image_id: String,
    /// Of its latest run; `""` before the first.
    #[serde(default)]
    pub container_id: String,
    /// The image that its latest start was asked for; None: it is not known.
    #[serde(default)]
    pub image: Option<String>,
    /// Its run was ended because its definition changed: it is run again whatever the restart policy says.
    #[serde(default)]
    pub redefined: bool,
}

impl ObservedContainer {
    /// A container of which nothing has run.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            state: ContainerState::Waiting { reason: CONTAINER_CREATING.into(), message: String::new(), until: None },
            last: None,
            restart_count: 0,
            quick_ends: 0,
            failed_starts: 0,
            pull_failed_at: None,
            image_id: String::new(),
            container_id: String::new(),
            image: None,
            redefined: false,
        }
    }

    fn of_status(status: &ContainerStatus, now: SystemTime) -> Self {
        let mut one = Self::new(&status.name);
        let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        one.last = last.map(|last| recorded(last, now));
        one.restart_count = u32::try_from(status.restart_count).unwrap_or(0);
        one.image_id.clone_from(&status.image_id);
        one.container_id = status.container_id.clone().unwrap_or_default();
        let Some(state) = &status.state else { return one };
        if let Some(ended) = &state.terminated {
            one.state = ContainerState::Terminated(recorded(ended, now));
        } else if let Some(running) = &state.running {
            let started_at = time(running.started_at.as_ref()).unwrap_or(now);
            one.state = ContainerState::Running { started_at };
        }
        one
    }

    /// It was about to run, and did not: as if the run had never been counted.
    pub(crate) fn uncount(&mut self) {
        self.restart_count = self.restart_count.saturating_sub(u32::from(self.last.is_some()));
        self.container_id = self.last.as_ref().map(|last| last.container_id.clone()).unwrap_or_default();
    }

    /// Whether its latest start was asked for another image than `image`.
    pub fn has_other_image(&self, image: &str) -> bool {
        self.image.as_deref().is_some_and(|of_run| of_run != image)
    }

    /// The guest of this container runs, if only to its end.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. } | ContainerState::Stopping { .. })
    }

    /// On its way to a run.
    pub fn is_starting(&self) -> bool {
        matches!(self.state, ContainerState::Pulling { .. } | ContainerState::Starting { .. })
    }

    /// The end of its latest run, if nothing has followed it.
    pub fn terminated(&self) -> Option<&Terminated> {
        match &self.state {
            ContainerState::Terminated(terminated) => Some(terminated),
            _ => None,
        }
    }
}

/// A kubelet's reason for a container that is being made ready.
pub const CONTAINER_CREATING: &str = "ContainerCreating";

/// A run that nobody saw the end of, in a kubelet's words.
fn lost(now: SystemTime) -> Terminated {
    Terminated {
        exit_code: 137,
        reason: "ContainerStatusUnknown".into(),
        message: "The container could not be located when the pod was terminated".into(),
        started_at: now,
        finished_at: now,
        container_id: String::new(),
    }
}

/// The end that the API has on record.
fn recorded(ended: &ContainerStateTerminated, now: SystemTime) -> Terminated {
    let finished_at = time(ended.finished_at.as_ref()).unwrap_or(now);
    Terminated {
        exit_code: ended.exit_code,
        reason: ended.reason.clone().unwrap_or_default(),
        message: ended.message.clone().unwrap_or_default(),
        started_at: time(ended.started_at.as_ref()).unwrap_or(finished_at),
        finished_at,
        container_id: ended.container_id.clone().unwrap_or_default(),
    }
}

fn time(time: Option<&impl Serialize>) -> Option<SystemTime> {
    sampan_api::time::parse(serde_json::to_value(time?).ok()?.as_str()?)
}

/// Everything known of a pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Its address, once it has one.
    pub ip: Option<Ipv4Addr>,
    /// Time at which this node first took the pod up.
    pub started_at: SystemTime,
    /// In the order of the spec.
    pub containers: Vec<ObservedContainer>,
}

impl Observed {
    /// A pod of which nothing has run; `containers`: their names.
    pub fn new<'a>(containers: impl IntoIterator<Item = &'a str>, now: SystemTime) -> Self {
        let containers = containers.into_iter().map(ObservedContainer::new).collect();
        Self { ip: None, started_at: now, containers }
    }

    /// The state that the API has on record of a pod that this node's ledger does not know: the ledger was lost, and
    /// the pod may have run. None: nothing is on record.
    pub fn of_status(pod: &Pod, now: SystemTime) -> Option<Self> {
        let status = pod.status.as_ref()?;
        let statuses = status.container_statuses.as_ref().filter(|statuses| !statuses.is_empty())?;
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|one| {
            let known = statuses.iter().find(|status| status.name == one.name);
            known.map_or_else(|| ObservedContainer::new(&one.name), |known| ObservedContainer::of_status(known, now))
        });
        Some(Self {
            ip: status.pod_ip.as_deref().and_then(|ip| ip.parse().ok()),
            started_at: time(status.start_time.as_ref()).unwrap_or(now),
            containers: containers.collect(),
        })
    }

    /// The container of that name.
    pub fn get(&self, name: &ContainerName) -> Option<&ObservedContainer> {
        self.containers.iter().find(|one| one.name == *name)
    }

    /// The container of that name, to be changed.
    pub fn get_mut(&mut self, name: &ContainerName) -> Option<&mut ObservedContainer> {
        self.containers.iter_mut().find(|one| one.name == *name)
    }

    /// The pod goes and nothing of it runs: what waited for a next run has had its last.
    pub fn settle(&mut self, now: SystemTime) {
        for container in &mut self.containers {
            if container.terminated().is_none() {
                container.state = ContainerState::Terminated(container.last.take().unwrap_or_else(|| lost(now)));
            }
        }
    }

    /// The state after this process was away: every run has ended with it.
    #[must_use]
    pub fn after_restart(mut self, now: SystemTime) -> Self {
        for container in &mut self.containers {
            let started_at = match container.state {
                ContainerState::Starting { since } => since,
                ContainerState::Running { started_at } | ContainerState::Stopping { started_at, .. } => started_at,
                ContainerState::Pulling { .. } => {
                    container.state = ObservedContainer::new(container.name.as_str()).state;
                    continue;
                }
                ContainerState::Waiting { .. } | ContainerState::Terminated(_) => continue,
            };
            // It did not fail by itself: it is run again without waiting.
            container.quick_ends = 0;
            container.redefined = false;
            container.state = ContainerState::Terminated(Terminated {
                exit_code: 137,
                reason: "Error".into(),
                message: "the node ended while the container was running".into(),
                started_at,
                finished_at: now,
                container_id: container.container_id.clone(),
            });
        }
        self
    }
}
