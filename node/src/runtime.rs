//! The seam between a worker and whatever runs components: the shared process, a process a pod, a simulated runtime.

use crate::container::ContainerPlan;
use crate::logs::RunLog;
use async_trait::async_trait;
use sampan_wasm_runtime::Mount;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// The number of pods that a runtime can hold, and the limit that bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodCapacity {
    /// Pods that can be there at once.
    pub pods_max: u64,
    /// The limit that would have to be raised for more, as its owner calls it: `RLIMIT_NOFILE`, `vm.max_map_count`.
    pub bound_by: &'static str,
}

/// An image that is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledImage {
    /// The `imageID` of the container's status: the name that was asked for, `@`, the manifest's digest.
    pub id: String,
    /// `sha256:` and the hexadecimal hash of the component.
    pub digest: String,
    /// The component's size in bytes.
    pub size: u64,
}

/// The reason why an image cannot be had, under a kubelet's reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    /// `InvalidImageName`, `ErrImagePull` or `ErrImageNeverPull`.
    pub reason: &'static str,
    /// For people, without the reason.
    pub message: String,
}

/// The reason why a container could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The port is taken or may not be bound: tried again.
    #[error("{0}")]
    Bind(String),
    /// The machine's doing (a full disk, no time to compile): tried again.
    #[error("{0}")]
    Unavailable(String),
    /// The component's own: it does not compile, has no entry point, ... The run has ended before it began.
    #[error("{0}")]
    Failed(String),
}

/// A pod as a whole: what its containers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSandbox {
    /// The pod's UID, by which [`PodRuntime::remove_pod`] names it.
    pub uid: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's address: its containers listen and connect from it.
    pub ip: Ipv4Addr,
}

/// The inputs of a container's start.
pub struct Launch {
    /// As [`PodRuntime::image_status`] or [`PodRuntime::pull_image`] returned it.
    pub image: PulledImage,
    /// The component, its variables and its limits.
    pub plan: ContainerPlan,
    /// Its directories.
    pub mounts: Vec<Mount>,
    /// The pod that it is a container of, prepared before.
    pub sandbox: PodSandbox,
    /// Takes what the container writes. The worker ends it.
    pub log: Arc<RunLog>,
    /// Called where the image must be compiled first and has to wait for its turn.
    pub waits_for_compiler: Arc<dyn Fn() + Send + Sync>,
}

/// The end of a container's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerExit {
    /// The exit code, as the container status has it: 0 to 255.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`.
    pub reason: String,
    /// For people; may be empty.
    pub message: String,
}

/// A container that was started. Dropping it does not end it.
#[async_trait]
pub trait Running: Send + Sync {
    /// Returns when it has ended and holds nothing any more; may be called by several, and again after the end.
    async fn wait(&self) -> ContainerExit;
    /// Asks it to end and ends it by force after `grace`, which may be of any length. A further call can only make the
    /// time shorter. Returns at once.
    fn terminate(&self, grace: Duration);
    /// Ends it now. Returns at once; [`Running::wait`] says when it has ended.
    fn kill(&self);
}

/// The runtime of a node's containers. A worker calls it for one pod at a time, and for many pods at once.
///
/// Every asynchronous call may be given up: its future is dropped at any await. Then nothing of it may go on to run, and
/// nothing may stay taken for it.
#[async_trait]
pub trait PodRuntime: Send + Sync + 'static {
    /// As it stands in the Node's `containerRuntimeVersion`: `<name>://<version>`.
    fn version(&self) -> String;
    /// The number of pods that it can hold, as the limits of this machine and this process allow.
    fn capacity(&self) -> PodCapacity;
    /// The image, if it is on this machine.
    ///
    /// # Errors
    /// `InvalidImageName` for what is no image's name; `ErrImagePull` where it is there and is no component.
    async fn image_status(&self, image: &str) -> Result<Option<PulledImage>, ImageError>;
    /// Fetches an image, whether or not it is at hand.
    ///
    /// # Errors
    /// `InvalidImageName`, or `ErrImagePull` where it cannot be had.
    async fn pull_image(&self, image: &str) -> Result<PulledImage, ImageError>;
    /// Makes ready what the containers of a pod share. Called before each start of one of them: for a pod that is ready
    /// it returns at once.
    ///
    /// # Errors
    /// Any, and the container waits as after a failed start.
    async fn prepare_pod(&self, _pod: &PodSandbox) -> Result<(), LaunchError> {
        Ok(())
    }
    /// Starts a container of a pod that was prepared.
    ///
    /// # Errors
    /// Which of them says whether another try may help.
    async fn start(&self, launch: Launch) -> Result<Arc<dyn Running>, LaunchError>;
    /// The pod is gone and its containers have ended: what [`PodRuntime::prepare_pod`] made for it goes too. Called once a
    /// pod, also where none of its containers was ever started.
    async fn remove_pod(&self, _uid: &str) {}
}
