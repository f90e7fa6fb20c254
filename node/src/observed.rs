//! What a worker knows of its pod's containers. It is also what the ledger keeps.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::time::SystemTime;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terminated {
    pub exit_code: i32,
    pub reason: String,
    #[serde(default)]
    pub message: String,
    pub started_at: SystemTime,
    pub finished_at: SystemTime,
    #[serde(default)]
    pub container_id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Not running; to be started at once, or when the time has come.
    Waiting {
        reason: String,
        message: String,
        until: Option<SystemTime>,
    },
    /// Image and sandbox are being made ready.
    Starting {
        since: SystemTime,
    },
    Running {
        started_at: SystemTime,
    },
    /// Told to end.
    Stopping {
        started_at: SystemTime,
    },
    Terminated(Terminated),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedContainer {
    pub name: String,
    pub state: ContainerState,
    /// The run before this one.
    pub last: Option<Terminated>,
    pub restart_count: u32,
    /// Runs in a row that ended soon: the exponent of the back-off.
    pub quick_ends: u32,
    /// Attempts to start in a row that failed before the guest ran.
    pub failed_starts: u32,
    #[serde(default)]
    pub image_id: String,
    #[serde(default)]
    pub container_id: String,
}

impl ObservedContainer {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: ContainerState::Waiting { reason: CONTAINER_CREATING.into(), message: String::new(), until: None },
            last: None,
            restart_count: 0,
            quick_ends: 0,
            failed_starts: 0,
            image_id: String::new(),
            container_id: String::new(),
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. } | ContainerState::Stopping { .. })
    }

    pub fn terminated(&self) -> Option<&Terminated> {
        match &self.state {
            ContainerState::Terminated(terminated) => Some(terminated),
            _ => None,
        }
    }
}

pub const CONTAINER_CREATING: &str = "ContainerCreating";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub ip: Option<Ipv4Addr>,
    /// When this node first took the pod up.
    pub started_at: SystemTime,
    pub containers: Vec<ObservedContainer>,
}

impl Observed {
    pub fn new<'a>(containers: impl IntoIterator<Item = &'a str>, now: SystemTime) -> Self {
        let containers = containers.into_iter().map(ObservedContainer::new).collect();
        Self { ip: None, started_at: now, containers }
    }

    /// What is true after this process was away: whatever ran has ended with it.
    #[must_use]
    pub fn after_restart(mut self, now: SystemTime) -> Self {
        for container in &mut self.containers {
            let started_at = match container.state {
                ContainerState::Starting { since } => since,
                ContainerState::Running { started_at } | ContainerState::Stopping { started_at } => started_at,
                ContainerState::Waiting { .. } | ContainerState::Terminated(_) => continue,
            };
            // It did not fail by itself: it is run again without waiting.
            container.quick_ends = 0;
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
