//! The runtime in which all pods share this process: the isolation class `wasm`.

use crate::container::ContainerPlan;
use crate::image::{ERR_IMAGE_PULL, INVALID_IMAGE_NAME};
use crate::logs::{RunLog, Stream};
use crate::register::memory_total;
use crate::runtime::{ContainerExit, ImageError, Launch, LaunchError, PodCapacity, PodRuntime, PulledImage, Running};
use async_trait::async_trait;
use parking_lot::Mutex;
use sampan_client::{BlobError, BlobSource, Reference};
use sampan_wasm_runtime as wasm;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Runs the containers of all pods in this process.
pub struct SharedProcess {
    runtime: wasm::Runtime,
    blobs: Arc<dyn BlobSource>,
    /// Image names that well-known ones stand for (`imageAliases`).
    aliases: HashMap<String, String>,
    /// The bound of a container that sets none: the node's allocatable memory.
    memory_bytes: u64,
    /// Images that were pulled, by the name that was asked for. Not its bytes: the compiled artefact stands in the
    /// runtime's cache.
    present: Mutex<HashMap<String, Present>>,
}

impl SharedProcess {
    /// `blobs`: where images come from; `aliases`: names of images and those that they stand for.
    pub fn new(runtime: wasm::Runtime, blobs: Arc<dyn BlobSource>, aliases: HashMap<String, String>) -> Self {
        Self { runtime, blobs, aliases, memory_bytes: memory_total(), present: Mutex::default() }
    }
}

#[derive(Clone)]
struct Present {
    /// By its manifest's digest: a tag may have moved meanwhile.
    reference: Reference,
    /// The manifest's digest.
    manifest: String,
    /// The component's.
    digest: String,
    size: u64,
}

impl Present {
    /// As a container has it that asked for it by `image`, which may be one of several names of it.
    fn asked_as(&self, image: &str) -> PulledImage {
        PulledImage { id: format!("{image}@{}", self.manifest), digest: self.digest.clone(), size: self.size }
    }
}

fn image_error(error: &BlobError) -> ImageError {
    let reason = if matches!(error, BlobError::Reference(_)) { INVALID_IMAGE_NAME } else { ERR_IMAGE_PULL };
    ImageError { reason, message: error.to_string() }
}

/// The error of a failed start, by who is at fault, and so whether another try may help.
fn failed(error: wasm::Error) -> LaunchError {
    use wasm::Error as E;
    match error {
        E::Bind { .. }
        | E::Io { .. }
        | E::Fetch(_)
        | E::DigestMismatch { .. }
        | E::CompileStarved { .. }
        | E::ShuttingDown => LaunchError::Unavailable(error.to_string()),
        E::BadDigest { .. }
        | E::NotRunnable(_)
        | E::Compile { .. }
        | E::CompileKilled { .. }
        | E::MissingWorld { .. }
        | E::Link { .. }
        | E::Engine(_) => LaunchError::Failed(error.to_string()),
    }
}

/// The reason why a fetch gave no component.
enum Unfetched {
    Blob(BlobError),
    NoComponent(ImageError),
}

impl From<Unfetched> for ImageError {
    fn from(unfetched: Unfetched) -> Self {
        match unfetched {
            Unfetched::Blob(error) => image_error(&error),
            Unfetched::NoComponent(error) => error,
        }
    }
}

impl SharedProcess {
    /// The name that `image` stands for.
    fn asked<'a>(&'a self, image: &'a str) -> &'a str {
        self.aliases.get(image).map_or(image, String::as_str)
    }

    /// Fetches a component and remembers that it is at hand.
    async fn fetch(&self, image: &str, reference: Reference) -> Result<PulledImage, Unfetched> {
        let blob = self.blobs.fetch(&reference).await.map_err(Unfetched::Blob)?;
        let no_component = |message: String| {
            Unfetched::NoComponent(ImageError {
                reason: ERR_IMAGE_PULL,
                message: format!("image {image:?}: {message}"),
            })
        };
        let bytes = blob.bytes;
        let size = bytes.len() as u64;
        // It may be many mebibytes: not on a thread that serves others.
        let inspected = sampan_env::blocking(move || wasm::inspect(&bytes).map(drop)).await;
        inspected.map_err(|error| no_component(error.to_string()))?.map_err(|error| no_component(error.to_string()))?;
        let pinned = Reference { digest: Some(blob.manifest_digest.clone()), ..reference };
        let present = Present { reference: pinned, manifest: blob.manifest_digest, digest: blob.digest, size };
        let pulled = present.asked_as(image);
        self.present.lock().insert(self.asked(image).to_owned(), present);
        Ok(pulled)
    }
}

struct Sink(Arc<RunLog>, Stream);

impl wasm::LogSink for Sink {
    fn write(&self, bytes: &[u8]) -> bool {
        self.0.write(self.1, bytes);
        true
    }

    fn held(&self) -> u64 {
        self.0.held()
    }
}

#[async_trait]
impl PodRuntime for SharedProcess {
    fn version(&self) -> String {
        "wasmtime://48".into()
    }

    fn capacity(&self) -> PodCapacity {
        let wasm::Capacity { pods_max, bound_by } = self.runtime.capacity();
        PodCapacity { pods_max, bound_by }
    }

    async fn image_status(&self, image: &str) -> Result<Option<PulledImage>, ImageError> {
        let asked = self.asked(image);
        if let Some(present) = self.present.lock().get(asked) {
            return Ok(Some(present.asked_as(image)));
        }
        let reference = Reference::parse(asked).map_err(|error| image_error(&error.into()))?;
        // Embedded images are on this machine already.
        if reference.registry.is_some() {
            return Ok(None);
        }
        match self.fetch(image, reference).await {
            Ok(image) => Ok(Some(image)),
            Err(Unfetched::Blob(BlobError::NotFound(_))) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    async fn pull_image(&self, image: &str) -> Result<PulledImage, ImageError> {
        let reference = Reference::parse(self.asked(image)).map_err(|error| image_error(&error.into()))?;
        Ok(self.fetch(image, reference).await?)
    }

    async fn start(&self, launch: Launch) -> Result<Arc<dyn Running>, LaunchError> {
        let Launch { image, plan, mounts, sandbox, log, waits_for_compiler } = launch;
        let pod_ip = sandbox.ip;
        let present = self.present.lock().values().find(|present| present.digest == image.digest).cloned();
        let blobs = self.blobs.clone();
        // Only where the artefact is not in the cache.
        let fetch = || async move {
            let present = present.ok_or_else(|| "the image is no longer at hand".to_owned())?;
            let blob = blobs.fetch(&present.reference).await.map_err(|error| error.to_string())?;
            Ok(blob.bytes)
        };
        let prefer_command = !(plan.command.is_empty() && plan.args.is_empty());
        let claim = wasm::CompileClaim { owner: sandbox.namespace.as_str().into(), waiting: waits_for_compiler };
        let artifact = self.runtime.load_workload(&image.digest, prefer_command, claim, fetch).await.map_err(failed)?;
        let container = self.runtime.container(wasm::ContainerLimits {
            memory_bytes: Some(plan.memory_limit_bytes.unwrap_or(self.memory_bytes)),
            cpu_millis: plan.cpu_limit_millis,
            cpu_request_millis: plan.cpu_request_millis,
        });
        let container = container.in_namespace(&sandbox.namespace).with_files(mounts);
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

/// The guest's argv: `command` in the place of the image's entry point, then `args`. A component is its own entry point;
/// it goes by the container's name.
fn arguments(plan: &ContainerPlan) -> Vec<String> {
    let entry_point = plan.command.is_empty().then(|| plan.name.clone());
    entry_point.into_iter().chain(plan.command.iter().cloned()).chain(plan.args.iter().cloned()).collect()
}

impl From<wasm::Exit> for ContainerExit {
    fn from(exit: wasm::Exit) -> Self {
        Self { code: exit.code, reason: exit.reason.as_str().to_owned(), message: exit.message }
    }
}

struct Command(wasm::CommandHandle);

#[async_trait]
impl Running for Command {
    async fn wait(&self) -> ContainerExit {
        self.0.wait().await.into()
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
        self.0.wait().await.into()
    }
    fn terminate(&self, grace: Duration) {
        self.0.terminate(grace);
    }
    fn kill(&self) {
        self.0.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::PodSandbox;
    use bytes::Bytes;
    use sampan_client::Blob;
    use sampan_env::Env;

    /// A component that exports nothing.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[derive(Default)]
    struct Registry(Mutex<Vec<String>>);

    #[async_trait]
    impl BlobSource for Registry {
        async fn fetch(&self, reference: &Reference) -> Result<Blob, BlobError> {
            self.0.lock().push(reference.to_string());
            if reference.repository == "none" {
                return Err(BlobError::NotFound(reference.to_string()));
            }
            let bytes = if reference.repository == "text" { Bytes::from_static(b"hello") } else { EMPTY.into() };
            Ok(Blob {
                digest: wasm::digest_of(&bytes),
                manifest_digest: wasm::digest_of(b"manifest"),
                media_type: "application/wasm".into(),
                bytes,
            })
        }
    }

    fn shared_process(cache: &std::path::Path) -> (SharedProcess, Arc<Registry>) {
        let runtime = wasm::Runtime::new(wasm::RuntimeConfig::new(cache), Env::system()).expect("a runtime");
        let registry = Arc::new(Registry::default());
        let aliases = [("alias".to_owned(), "empty:v1".to_owned())].into();
        (SharedProcess::new(runtime, registry.clone(), aliases), registry)
    }

    #[tokio::test]
    async fn an_image_is_fetched_once_and_its_bytes_again_only_where_they_are_needed() {
        let cache = tempfile::tempdir().expect("a folder");
        let (shared, registry) = shared_process(cache.path());
        assert_eq!(shared.image_status("none:v1").await, Ok(None));
        assert_eq!(shared.image_status("docker.io/library/nginx:1").await, Ok(None));
        let image = shared.image_status("alias").await.expect("named well").expect("embedded, and so at hand");
        assert_eq!((image.size, image.digest.as_str()), (8, wasm::digest_of(EMPTY).as_str()));
        let id = |name: &str| format!("{name}@{}", wasm::digest_of(b"manifest"));
        let by_name = shared.image_status("empty:v1").await.expect("named well").expect("at hand");
        assert_eq!((image.id.clone(), by_name.id), (id("alias"), id("empty:v1")), "each by the name it was asked for");
        assert_eq!(*registry.0.lock(), ["none:v1", "empty:v1"]);

        let log = RunLog::new(&Env::system());
        let sandbox =
            PodSandbox { uid: "u".into(), namespace: "ns".into(), name: "p".into(), ip: std::net::Ipv4Addr::LOCALHOST };
        let waits_for_compiler = Arc::new(|| {});
        let plan = ContainerPlan::default();
        let launch = Launch { image, plan, mounts: Vec::new(), sandbox, log, waits_for_compiler };
        let error = shared.start(launch).await.err().expect("it exports nothing");
        assert!(matches!(&error, LaunchError::Failed(why) if why.contains("wasi:cli/run")), "{error}");
        // The tag may have moved: by its digest.
        let pinned = format!("empty:v1@{}", wasm::digest_of(b"manifest"));
        assert_eq!(registry.0.lock().last(), Some(&pinned));
    }

    #[test]
    fn the_entry_point_stays_unless_a_command_takes_its_place() {
        let check = |command: &[&str], args: &[&str], expected: &[&str]| {
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            let plan = ContainerPlan {
                name: "c".into(),
                command: words(command),
                args: words(args),
                ..ContainerPlan::default()
            };
            assert_eq!(arguments(&plan), expected, "{command:?} {args:?}");
        };
        check(&[], &[], &["c"]);
        check(&[], &["a", "b"], &["c", "a", "b"]);
        check(&["run", "-v"], &[], &["run", "-v"]);
        check(&["run", "-v"], &["a"], &["run", "-v", "a"]);
    }

    #[tokio::test]
    async fn what_is_no_image_is_named() {
        let cache = tempfile::tempdir().expect("a folder");
        let (shared, _) = shared_process(cache.path());
        for (image, reason) in
            [("NOT/An Image", INVALID_IMAGE_NAME), ("none:v1", ERR_IMAGE_PULL), ("text:v1", ERR_IMAGE_PULL)]
        {
            assert_eq!(shared.pull_image(image).await.map_err(|error| error.reason), Err(reason), "{image}");
        }
        assert_eq!(shared.image_status("NOT/An Image").await.map_err(|e| e.reason), Err(INVALID_IMAGE_NAME));
    }

    #[test]
    fn another_try_helps_where_the_machine_was_at_fault() {
        let check = |error: wasm::Error, again: bool| {
            let text = error.to_string();
            assert_eq!(matches!(failed(error), LaunchError::Unavailable(_)), again, "{text}");
        };
        check(wasm::Error::CompileStarved { why: "busy".into(), cpu: Duration::ZERO }, true);
        check(wasm::Error::Fetch("gone".into()), true);
        check(wasm::Error::ShuttingDown, true);
        check(wasm::Error::Compile { message: "bad".into() }, false);
        check(wasm::Error::CompileKilled { why: "bomb".into() }, false);
        check(wasm::Error::Link { message: "missing".into() }, false);
    }
}
