//! The runtime in which all pods share this process: the isolation class `wasm`.

use crate::container::ContainerPlan;
use crate::logs::{RunLog, Stream};
use crate::register::memory_total;
use crate::runtime::{ContainerExit, ImageError, Launch, LaunchError, PodRuntime, PulledImage, Running};
use async_trait::async_trait;
use parking_lot::Mutex;
use sampan_client::{Blob, BlobError, BlobSource, Reference};
use sampan_wasm_runtime as wasm;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub struct SharedProcess {
    runtime: wasm::Runtime,
    blobs: Arc<dyn BlobSource>,
    /// Image names that well-known ones stand for (`imageAliases`).
    aliases: HashMap<String, String>,
    /// The bound of a container that sets none: the node's allocatable memory.
    memory_bytes: u64,
    /// What was pulled, by the name it was asked for: `IfNotPresent` and `Never` look here.
    present: Mutex<HashMap<String, Blob>>,
}

impl SharedProcess {
    pub fn new(runtime: wasm::Runtime, blobs: Arc<dyn BlobSource>, aliases: HashMap<String, String>) -> Self {
        Self { runtime, blobs, aliases, memory_bytes: memory_total(), present: Mutex::default() }
    }
}

fn image_error(error: &BlobError) -> ImageError {
    let reason = if matches!(error, BlobError::Reference(_)) { "InvalidImageName" } else { "ErrImagePull" };
    ImageError { reason, message: error.to_string() }
}

struct Sink(Arc<RunLog>, Stream);

impl wasm::LogSink for Sink {
    fn write(&self, bytes: &[u8]) -> bool {
        self.0.write(self.1, bytes);
        true
    }
}

#[async_trait]
impl PodRuntime for SharedProcess {
    fn version(&self) -> String {
        "wasmtime://48".into()
    }

    fn pods_max(&self) -> u64 {
        self.runtime.capacity().pods_max
    }

    async fn pull(&self, image: &str, policy: &str) -> Result<PulledImage, ImageError> {
        let asked = self.aliases.get(image).map_or(image, String::as_str);
        let pulled = |blob: &Blob| PulledImage {
            id: format!("{image}@{}", blob.manifest_digest),
            digest: blob.digest.clone(),
            size: blob.bytes.len() as u64,
        };
        if policy != "Always"
            && let Some(blob) = self.present.lock().get(asked)
        {
            return Ok(pulled(blob));
        }
        let reference = Reference::parse(asked).map_err(|error| image_error(&error.into()))?;
        // Embedded images are on this machine already: for them Never is satisfied too.
        if policy == "Never" && reference.registry.is_some() {
            return Err(ImageError {
                reason: "ErrImageNeverPull",
                message: format!("Container image {image:?} is not present with pull policy of Never"),
            });
        }
        let blob = self.blobs.fetch(&reference).await.map_err(|error| image_error(&error))?;
        if let Err(error) = wasm::inspect(&blob.bytes) {
            return Err(ImageError { reason: "ErrImagePull", message: format!("image {image:?}: {error}") });
        }
        let answer = pulled(&blob);
        self.present.lock().insert(asked.to_owned(), blob);
        Ok(answer)
    }

    async fn start(&self, launch: Launch) -> Result<Arc<dyn Running>, LaunchError> {
        let Launch { image, plan, pod_ip, log } = launch;
        let bytes =
            self.present.lock().values().find(|blob| blob.digest == image.digest).map(|blob| blob.bytes.clone());
        let fetch = || async move { bytes.ok_or_else(|| "the image is no longer at hand".to_owned()) };
        let prefer_command = !plan.args.is_empty();
        let failed = |error: wasm::Error| LaunchError::Failed(error.to_string());
        let artifact = self.runtime.load_workload(&image.digest, prefer_command, fetch).await.map_err(failed)?;
        let container = self.runtime.container(wasm::ContainerLimits {
            memory_bytes: Some(plan.memory_limit_bytes.unwrap_or(self.memory_bytes)),
            cpu_millis: plan.cpu_limit_millis,
            cpu_request_millis: plan.cpu_request_millis,
        });
        let sink = |stream| -> Arc<dyn wasm::LogSink> { Arc::new(Sink(log.clone(), stream)) };
        if artifact.role() == wasm::Role::Service {
            let listen = SocketAddr::from((pod_ip, plan.port));
            let mut spec = wasm::ServiceSpec::new(listen, pod_ip, sink(Stream::Stdout), sink(Stream::Stderr));
            spec.args = arguments(&plan);
            spec.env = plan.env;
            let handle = self.runtime.start_service(&artifact, &container, spec).map_err(|error| match error {
                wasm::Error::Bind { address, source } => LaunchError::Bind(format!("{address}: {source}")),
                other => failed(other),
            })?;
            return Ok(Arc::new(Service(handle)));
        }
        let spec = wasm::CommandSpec {
            args: arguments(&plan),
            env: plan.env,
            working_dir: plan.working_dir,
            stdout: sink(Stream::Stdout),
            stderr: sink(Stream::Stderr),
            pod_ip,
        };
        Ok(Arc::new(Command(self.runtime.start_command(&artifact, &container, spec).map_err(failed)?)))
    }
}

/// The guest's argv: the first word is the program, as everywhere; the container's name where the spec has no words.
fn arguments(plan: &ContainerPlan) -> Vec<String> {
    if plan.args.is_empty() { vec![plan.name.clone()] } else { plan.args.clone() }
}

fn exit(exit: wasm::Exit) -> ContainerExit {
    ContainerExit { code: exit.code, reason: exit.reason.as_str().to_owned(), message: exit.message }
}

struct Command(wasm::CommandHandle);

#[async_trait]
impl Running for Command {
    async fn wait(&self) -> ContainerExit {
        exit(self.0.wait().await)
    }
    fn terminate(&self, grace: Duration) {
        self.0.terminate(grace);
    }
    fn kill(&self) {
        self.0.kill();
    }
}

struct Service(wasm::ServiceHandle);

#[async_trait]
impl Running for Service {
    async fn wait(&self) -> ContainerExit {
        exit(self.0.wait().await)
    }
    fn terminate(&self, grace: Duration) {
        self.0.terminate(grace);
    }
    fn kill(&self) {
        self.0.kill();
    }
}
