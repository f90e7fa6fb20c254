//! A worker's acts on one container: its start in steps, its end, and the noting of both.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::container;
use crate::image::{self, ERR_IMAGE_PULL, IMAGE_PULL_BACK_OFF};
use crate::limits::{
    START_BACKOFF_FIRST, START_BACKOFF_MAX, TERMINATION_LOG_BYTES_MAX, TERMINATION_LOG_LINES_MAX, VOLUME_BACKOFF_FIRST,
    VOLUME_BACKOFF_MAX,
};
use crate::logs::RunLog;
use crate::observed::{CONTAINER_CREATING, ContainerName, ContainerState, Terminated};
use crate::plan::{StopCause, doubled, quick_ends_after};
use crate::projected::NotMounted;
use crate::runtime::{ContainerExit, Launch, LaunchError, PodSandbox, Running};
use crate::step::{Done, NotPrepared, Prepared};
use crate::volumes;
use crate::worker::{Shared, Worker};
use futures::future::{AbortHandle, Abortable, BoxFuture, FutureExt};
use sampan_api::k8s::api::core::v1::{Container, Pod};
use sampan_api::time::later;
use sampan_client::EventType;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

impl Worker {
    fn spec_of(&self, name: &ContainerName) -> Option<&Container> {
        self.pod.spec.as_ref()?.containers.iter().find(|one| one.name == name.as_str())
    }

    /// Puts a step of a start under way in place of an earlier one of this container.
    fn under_way(&mut self, name: &ContainerName, step: BoxFuture<'static, Done>) {
        let (handle, registration) = AbortHandle::new_pair();
        let step = Abortable::new(step, registration);
        if let Some(before) = self.starting.insert(name.clone(), handle) {
            before.abort();
        }
        self.work.push(step.map(|done| done.unwrap_or(Done::GivenUp)).boxed());
    }

    /// Begins to make a container ready: its variables, its image.
    pub(crate) fn start(&mut self, name: &ContainerName) {
        let now = self.shared.env.now();
        self.give_up(name);
        let Some(spec) = self.spec_of(name).cloned() else { return };
        self.take_address();
        let Some(one) = self.observed.get_mut(name) else { return };
        let image = spec.image.clone().unwrap_or_default();
        if one.has_other_image(&image) {
            // Back-offs belong to what failed.
            (one.failed_starts, one.quick_ends) = (0, 0);
        }
        one.image = Some(image);
        if let Some(ended) = one.terminated().cloned() {
            one.last = Some(ended);
        }
        one.state = ContainerState::Pulling { since: now };
        self.dirty = true;
        let (shared, pod, container, sandbox) = (self.shared.clone(), self.pod.clone(), name.clone(), self.sandbox());
        let prepare = async move {
            let no_address = || LaunchError::Unavailable("no pod address is free on this node".into());
            let result = match sandbox.ok_or_else(no_address) {
                Ok(sandbox) => prepare(&shared, &pod, &spec, &sandbox).await,
                Err(error) => Err(NotPrepared::NoPod(error)),
            };
            Done::Prepared { container, result }
        };
        self.under_way(name, prepare.boxed());
    }

    /// Gives up a start that is under way. Where it had come to count as a run, it does not any more.
    fn give_up(&mut self, name: &ContainerName) {
        if let Some(start) = self.starting.remove(name) {
            start.abort();
        }
        let Some(one) = self.observed.get_mut(name).filter(|one| one.is_starting()) else { return };
        if matches!(one.state, ContainerState::Starting { .. }) {
            one.uncount();
            self.unsaved = true;
        }
        one.state =
            ContainerState::Waiting { reason: CONTAINER_CREATING.to_owned(), message: String::new(), until: None };
        self.dirty = true;
    }

    /// Its image is there: it is started, once the ledger knows.
    async fn launch(&mut self, name: &ContainerName, prepared: Prepared) {
        let Prepared { plan, image, mounts } = prepared;
        let (now, id) = (self.shared.env.now(), self.shared.env.uuid().replace('-', ""));
        let Some(sandbox) = self.sandbox() else { return };
        let notices = self.spec_of(name).map(container::notices).unwrap_or_default();
        let Some(one) = self.observed.get_mut(name) else { return };
        one.image_id.clone_from(&image.id);
        one.state = ContainerState::Starting { since: now };
        one.container_id = format!("wasm://{id}");
        one.restart_count = one.restart_count.saturating_add(u32::from(one.last.is_some()));
        // Before the guest runs, the ledger knows: after a crash it counts as having run.
        if let Err(error) = self.save().await {
            self.event(EventType::Warning, "Failed", format!("Error: {error}"));
            self.not_launched(name, "CreateContainerError", error);
            return;
        }
        for notice in notices {
            self.event(EventType::Warning, notice.reason, notice.message);
        }
        self.event(EventType::Normal, "Created", "Container created");
        let log = RunLog::new(&self.shared.env);
        let (shared, container) = (self.shared.clone(), name.clone());
        let (events, pod) = (self.shared.clone(), self.pod.clone());
        let message = format!("Image {:?} is waiting to be compiled", plan.image);
        let waits_for_compiler = Arc::new(move || {
            let pod = sampan_client::reference(pod.as_ref());
            events.events.event(pod, EventType::Normal, "Compiling", message.clone());
        });
        let launch = async move {
            let launch = Launch { image, plan, mounts, sandbox, log: log.clone(), waits_for_compiler };
            let result = shared.runtime.start(launch).await;
            Done::Launched { container, log, result }
        };
        self.under_way(name, launch.boxed());
    }

    /// It was about to run, and did not: as if it had never been counted.
    fn not_launched(&mut self, name: &ContainerName, reason: &str, message: String) {
        if let Some(one) = self.observed.get_mut(name) {
            one.uncount();
        }
        self.wait_again(name, reason, message);
    }

    /// A volume of it could not be made: a kubelet says so in an event, and the container is being created still.
    fn not_mounted(&mut self, name: &ContainerName, error: &NotMounted) {
        let NotMounted { volume, why } = error;
        let message = format!("MountVolume.SetUp failed for volume {volume:?} : {why}");
        self.event(EventType::Warning, "FailedMount", message);
        self.wait_from(name, (CONTAINER_CREATING, String::new()), VOLUME_BACKOFF_FIRST, VOLUME_BACKOFF_MAX);
    }

    /// Not started: it waits, longer each time, and is tried again.
    fn wait_again(&mut self, name: &ContainerName, reason: &str, message: String) {
        self.wait_from(name, (reason, message), START_BACKOFF_FIRST, START_BACKOFF_MAX);
    }

    fn wait_from(&mut self, name: &ContainerName, (reason, message): (&str, String), first: Duration, most: Duration) {
        let now = self.shared.env.now();
        let Some(one) = self.observed.get_mut(name) else { return };
        let delay = doubled(first, one.failed_starts, most);
        one.failed_starts = one.failed_starts.saturating_add(1);
        one.pull_failed_at = (reason == ERR_IMAGE_PULL).then_some(now);
        let until = Some(later(now, delay));
        one.state = ContainerState::Waiting { reason: reason.to_owned(), message, until };
        self.dirty = true;
    }

    pub(crate) fn back_off(&mut self, name: &ContainerName, until: SystemTime, delay: Duration) {
        let pod = self.pod_name();
        let Some(one) = self.observed.get_mut(name) else { return };
        one.last = one.terminated().cloned();
        let message = format!("back-off {} restarting failed container={name} pod={pod}", go_duration(delay));
        one.state = ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message, until: Some(until) };
        // The run to come is a restart, whether or not its start succeeds at once.
        one.failed_starts = 0;
        self.dirty = true;
        let event = format!("Back-off restarting failed container {name} in pod {pod}");
        self.event(EventType::Warning, "BackOff", event);
    }

    pub(crate) fn image_back_off(&mut self, name: &ContainerName, until: SystemTime) {
        let image = self.spec_of(name).and_then(|spec| spec.image.clone()).unwrap_or_default();
        let event = format!("Back-off pulling image {image:?}");
        let Some(one) = self.observed.get_mut(name) else { return };
        let before = match &one.state {
            ContainerState::Waiting { reason, message, .. } => format!("{reason}: {message}"),
            _ => ERR_IMAGE_PULL.to_owned(),
        };
        let message = format!("{event}: {before}");
        one.state = ContainerState::Waiting { reason: IMAGE_PULL_BACK_OFF.into(), message, until: Some(until) };
        self.dirty = true;
        self.event(EventType::Normal, "BackOff", event);
        self.event(EventType::Warning, "Failed", format!("Error: {IMAGE_PULL_BACK_OFF}"));
    }

    /// Ends a container that runs within `grace`; gives up one that is being started.
    pub(crate) fn stop(&mut self, name: &ContainerName, grace: Duration, cause: StopCause) {
        let Some(running) = self.running.get(name) else { return self.give_up(name) };
        let until = Some(later(self.shared.env.now(), grace));
        running.terminate(grace);
        let Some(one) = self.observed.get_mut(name) else { return };
        one.redefined = cause == StopCause::Redefined;
        let (started_at, first) = match one.state {
            ContainerState::Running { started_at } => (started_at, true),
            ContainerState::Stopping { started_at, .. } => (started_at, false),
            _ => return,
        };
        one.state = ContainerState::Stopping { started_at, until };
        if first {
            self.event(
                EventType::Normal,
                "Killing",
                match cause {
                    StopCause::Deletion => format!("Stopping container {name}"),
                    StopCause::Redefined => format!("Container {name} definition changed, will be restarted"),
                },
            );
        }
    }

    /// Takes in what is done.
    pub(crate) async fn note(&mut self, done: Done) {
        match done {
            Done::GivenUp => return,
            Done::Prepared { container, result } => {
                self.starting.remove(&container);
                match result {
                    Ok(prepared) => {
                        return self.launch(&container, *prepared).await;
                    }
                    Err(NotPrepared::Refused(refusal)) => {
                        self.event(EventType::Warning, "Failed", format!("Error: {}", refusal.message));
                        self.wait_again(&container, refusal.reason, refusal.message);
                    }
                    Err(NotPrepared::NoVolume(error)) => self.not_mounted(&container, &error),
                    Err(NotPrepared::NoImage(error)) => self.wait_again(&container, error.reason, error.message),
                    Err(NotPrepared::NoPod(error)) => {
                        let message = format!("Failed to create pod sandbox: {error}");
                        self.event(EventType::Warning, "FailedCreatePodSandBox", message.clone());
                        self.wait_again(&container, "CreateContainerError", message);
                    }
                }
            }
            Done::Launched { container, log, result } => {
                self.starting.remove(&container);
                match result {
                    Ok(running) => self.launched(container, log, running),
                    Err(error) => self.failed_launch(&container, error),
                }
            }
            Done::Ended { container, exit } => {
                self.running.remove(&container);
                self.has_ended(&container, exit);
            }
        }
        self.dirty = true;
        self.unsaved = true;
    }

    fn launched(&mut self, name: ContainerName, log: Arc<RunLog>, running: Arc<dyn Running>) {
        let now = self.shared.env.now();
        if let Some(one) = self.observed.get_mut(&name) {
            one.failed_starts = 0;
            one.redefined = false;
            one.state = ContainerState::Running { started_at: now };
        }
        self.running.insert(name.clone(), running.clone());
        self.logs(|logs| logs.containers.entry(name.to_string()).or_default().next_run(log));
        self.work.push(async move { Done::Ended { container: name, exit: running.wait().await } }.boxed());
        self.event(EventType::Normal, "Started", "Container started");
    }

    fn has_ended(&mut self, name: &ContainerName, exit: ContainerExit) {
        let now = self.shared.env.now();
        let mut message = exit.message;
        let told = self.log_as_message(name).filter(|_| exit.code != 0);
        if let Some(told) = told.filter(|told| !told.is_empty()) {
            let separator = if message.is_empty() { "" } else { ": " };
            message = format!("{message}{separator}{told}");
        }
        let Some(one) = self.observed.get_mut(name) else { return };
        let started_at = match one.state {
            ContainerState::Running { started_at } | ContainerState::Stopping { started_at, .. } => started_at,
            _ => now,
        };
        let terminated = Terminated {
            exit_code: exit.code,
            reason: exit.reason,
            message,
            started_at,
            finished_at: now,
            container_id: one.container_id.clone(),
        };
        one.quick_ends = quick_ends_after(one.quick_ends, &terminated);
        one.state = ContainerState::Terminated(terminated);
    }

    /// Closes the log of a run that has ended. Returns its last lines where the container's definition makes them its
    /// termination message (`FallbackToLogsOnError`).
    fn log_as_message(&self, name: &ContainerName) -> Option<String> {
        let mut log = None;
        self.logs(|logs| log = logs.containers.get(name.as_str()).and_then(|logs| logs.current.clone()));
        let log = log?;
        log.finish();
        let policy = self.spec_of(name)?.termination_message_policy.as_deref();
        (policy == Some("FallbackToLogsOnError"))
            .then(|| log.last_text(TERMINATION_LOG_LINES_MAX, TERMINATION_LOG_BYTES_MAX))
    }

    fn failed_launch(&mut self, name: &ContainerName, error: LaunchError) {
        match error {
            LaunchError::Bind(message) => {
                self.event(EventType::Warning, "FailedBind", message.clone());
                self.not_launched(name, "FailedBind", message);
            }
            LaunchError::Unavailable(message) => {
                self.event(EventType::Warning, "Failed", format!("Error: {message}"));
                self.not_launched(name, "CreateContainerError", message);
            }
            LaunchError::Failed(message) => {
                self.event(EventType::Warning, "Failed", format!("Error: {message}"));
                let now = self.shared.env.now();
                let Some(one) = self.observed.get_mut(name) else { return };
                // Without an ID: there is nothing of this run to be read.
                one.container_id.clear();
                one.redefined = false;
                let exit = ContainerExit::from(sampan_wasm_runtime::Exit::not_started(message));
                let ended = Terminated {
                    exit_code: exit.code,
                    reason: exit.reason,
                    message: exit.message,
                    started_at: now,
                    finished_at: now,
                    container_id: String::new(),
                };
                one.quick_ends = quick_ends_after(one.quick_ends, &ended);
                one.failed_starts = 0;
                one.state = ContainerState::Terminated(ended);
            }
        }
    }
}

/// Collects the inputs of a start: the pod as a whole, the container's plan, its image.
async fn prepare(
    shared: &Shared,
    pod: &Arc<Pod>,
    spec: &Container,
    sandbox: &PodSandbox,
) -> Result<Box<Prepared>, NotPrepared> {
    shared.runtime.prepare_pod(sandbox).await.map_err(NotPrepared::NoPod)?;
    let planned = container::plan(pod, spec, sandbox.ip, &shared.host_ip).await.map_err(NotPrepared::Refused)?;
    let event = |kind: EventType, reason: &str, message: String| {
        shared.events.event(sampan_client::reference(pod.as_ref()), kind, reason, message);
    };
    let image = image::ensure(shared.runtime.as_ref(), &shared.env, &planned.image, &planned.pull_policy, &event)
        .await
        .map_err(NotPrepared::NoImage)?;
    let mounts = volumes::mount(shared, pod, spec, sandbox.ip).await.map_err(NotPrepared::NoVolume)?;
    Ok(Box::new(Prepared { plan: planned, image, mounts }))
}

/// Whole seconds as Go prints a duration: `10s`, `1m20s`, `5m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
