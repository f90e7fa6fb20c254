//! The seam between a worker and whatever runs components: the shared process today; a process a pod, and a simulated
//! runtime, come through the same trait.

use crate::container::ContainerPlan;
use crate::logs::RunLog;
use async_trait::async_trait;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// An image that is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledImage {
    /// What `imageID` says.
    pub id: String,
    /// `sha256:` of the component.
    pub digest: String,
    pub size: u64,
}

/// Why an image cannot be had, under a kubelet's reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    /// `InvalidImageName` or `ErrImagePull`.
    pub reason: &'static str,
    pub message: String,
}

/// Why a container could not be started.
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

/// What a container is started with.
pub struct Launch {
    pub image: PulledImage,
    pub plan: ContainerPlan,
    pub pod_ip: Ipv4Addr,
    pub log: Arc<RunLog>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerExit {
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`.
    pub reason: String,
    pub message: String,
}

/// A container that was started. Dropping it does not end it.
#[async_trait]
pub trait Running: Send + Sync {
    /// Returns when it has ended; may be called by several.
    async fn wait(&self) -> ContainerExit;
    /// Asks it to end and ends it after `grace`.
    fn terminate(&self, grace: Duration);
    /// Ends it now.
    fn kill(&self);
}

#[async_trait]
pub trait PodRuntime: Send + Sync + 'static {
    /// As it stands in the Node's `containerRuntimeVersion`.
    fn version(&self) -> String;
    /// Pods that this runtime can hold.
    fn pods_max(&self) -> u64;
    /// The image, if it is on this machine.
    async fn image_status(&self, image: &str) -> Result<Option<PulledImage>, ImageError>;
    /// Fetches an image, whether or not it is at hand.
    async fn pull_image(&self, image: &str) -> Result<PulledImage, ImageError>;
    async fn start(&self, launch: Launch) -> Result<Arc<dyn Running>, LaunchError>;
}
