//! From an image to a component that can be asked.

use crate::limits;
use crate::status::{Failed, Stage};
use sampan_client::{Blob, BlobSource, Reference};
use sampan_env::Env;
use sampan_wasm_runtime::policy::PolicyComponent;
use sampan_wasm_runtime::{Role, Runtime};
use std::future::Future;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A component that was fetched and not compiled yet.
#[derive(Clone, Debug)]
pub struct Component(Blob);

impl Component {
    /// `sha256:...` of the component.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }
}

/// Fetches and compiles components. Cheap to clone.
#[derive(Clone)]
pub struct Installer {
    runtime: Runtime,
    blobs: Arc<dyn BlobSource>,
    env: Env,
}

impl std::fmt::Debug for Installer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Installer")
    }
}

impl Installer {
    /// Images come from `blobs`, and are compiled and linked by `runtime`.
    pub fn new(runtime: Runtime, blobs: Arc<dyn BlobSource>, env: Env) -> Self {
        Self { runtime, blobs, env }
    }

    /// The component that the image names now.
    ///
    /// # Errors
    /// `InvalidComponent`, `FailedFetch`.
    pub async fn fetch(&self, image: &str) -> Result<Component, Failed> {
        let reference = Reference::parse(image)
            .map_err(|error| Failed::new("InvalidComponent", error.to_string(), Stage::Fetch, false))?;
        let blob = self.blobs.fetch(&reference).await;
        blob.map(Component).map_err(|error| Failed::new("FailedFetch", error.to_string(), Stage::Fetch, true))
    }

    /// Compiles it, or takes it from the cache, and links it.
    ///
    /// # Errors
    /// `FailedCompile`.
    pub async fn compile(&self, component: &Component) -> Result<PolicyComponent, Failed> {
        let failed =
            |error: sampan_wasm_runtime::Error| Failed::new("FailedCompile", error.to_string(), Stage::Compile, false);
        let bytes = component.0.bytes.clone();
        let artifact =
            self.runtime.load(Role::Policy, component.digest(), || async { Ok(bytes) }).await.map_err(failed)?;
        self.runtime.policy(&artifact).map_err(failed)
    }

    /// Runs guests that are not live, on a thread of the commands' priority: who schedules and who serves goes before it.
    pub fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.runtime.blocking(work)
    }

    /// Runs one whole installation within [`limits::INSTALL_WALL`].
    ///
    /// # Errors
    /// Errors of the installation, and `DeadlineExceeded`.
    pub async fn in_time<T>(&self, installation: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
        tokio::select! {
            biased;
            done = installation => done,
            () = self.env.sleep(limits::INSTALL_WALL) => {
                let message = format!("it was not installed within {} s", limits::INSTALL_WALL.as_secs());
                Err(Failed::new("DeadlineExceeded", message, Stage::Fetch, true))
            }
        }
    }
}
