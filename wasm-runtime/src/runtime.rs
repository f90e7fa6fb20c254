use crate::artifact::{Artifact, Artifacts, Seed};
use crate::cache::Digest;
use crate::command::{CommandHandle, CommandSpec};
use crate::compile::{CompileBounds, CompileClaim, Compiler, CompilerPool};
use crate::connections::Connections;
use crate::container::{Container, ContainerLimits};
use crate::engine::{Cpu, EngineSet, Role};
use crate::error::Error;
use crate::fair::{FairQueue, LaneName};
use crate::host::{Host, Lane};
use crate::inspect::inspect;
use crate::limits;
use crate::metrics::RuntimeMetrics;
use crate::net::{EgressRules, GuestSockets, spare_for_one_kind};
use crate::priority::Priority;
use crate::seats::Seats;
use crate::service::{ServiceHandle, ServiceSpec};
use crate::starts::Starts;
use crate::ticker::{Tick, Ticker};
use arc_swap::ArcSwap;
use bytes::Bytes;
use sampan_env::{Env, FreedMemory, Tasks};
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

/// Settings of a [`Runtime`].
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Compiled artefacts are kept below it, in a directory for each engine.
    pub cache_dir: PathBuf,
    /// The program that compiles components.
    pub compiler: Compiler,
    /// Bounds of one compilation.
    pub compile_bounds: CompileBounds,
    /// Threads that run commands, and as many that run services; 0: as many as there are cores.
    pub workers: usize,
    /// The addresses that guests may connect to.
    pub egress: EgressRules,
    /// The source of the ticks that end time slices.
    pub tick: Tick,
}

impl RuntimeConfig {
    /// The defaults, with a cache below `cache_dir`.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            compiler: Compiler::default(),
            compile_bounds: CompileBounds::default(),
            workers: 0,
            egress: EgressRules::default(),
            tick: Tick::default(),
        }
    }
}

/// Runs components: engines, their artefacts, and the threads that guests run on. Cheap to clone; the last clone's end
/// ends all guests.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) host: Arc<Host>,
    artifacts: Arc<Artifacts>,
    _threads: Arc<[Threads; 2]>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runtime")
    }
}

const COMMANDS: Priority = Priority { nicer: limits::COMMAND_NICE, slice: Some(limits::COMMAND_SLICE) };
const SERVICES: Priority = Priority { nicer: limits::SERVICE_NICE, slice: None };

struct Threads(Option<tokio::runtime::Runtime>);

impl Threads {
    fn start(name: &str, workers: usize, priority: Priority, memory: &Arc<FreedMemory>) -> Result<Self, Error> {
        let memory = memory.clone();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name(name)
            // A poll may take a whole slice: at tokio's default of 61 polls, guests that never rest would keep sockets and
            // timers waiting for as many milliseconds.
            .event_interval(limits::POLLS_BETWEEN_EVENTS)
            .enable_all()
            .thread_keep_alive(limits::BLOCKING_KEEP_ALIVE)
            .on_thread_park(move || memory.rests())
            .on_thread_start(move || {
                // Without the right to change priorities, guests only compete as equals. Said once: it is so for each
                // thread.
                static TOLD: Once = Once::new();
                if let Err(error) = priority.apply() {
                    TOLD.call_once(|| tracing::warn!(%error, "guests' threads keep the process's priority"));
                }
            })
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|e| Error::io("starting the guests' threads", e))
    }

    /// `places`: futures of one container that may want their next slices at once.
    fn lane(&self, name: LaneName, places: usize) -> Result<Lane, Error> {
        let runtime = self.0.as_ref().ok_or(Error::ShuttingDown)?;
        Ok(Lane { name, handle: runtime.handle().clone(), fair: Arc::new(FairQueue::new(places)) })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Not by waiting: the last handle may be dropped on another runtime's thread.
            runtime.shutdown_background();
        }
    }
}

/// Number of descriptors that this process may have open; None: any number.
fn descriptors_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// The number of pods that the machine's limits allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Pods that fit.
    pub pods_max: u64,
    /// The limit: `vm.max_map_count` or `RLIMIT_NOFILE`.
    pub bound_by: &'static str,
}

impl Runtime {
    /// Starts the engines and the threads for guests. An error where threads, address space or the cache cannot be had.
    pub fn new(config: RuntimeConfig, env: Env) -> Result<Self, Error> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if config.workers == 0 { cores() } else { config.workers };
        let command_threads = Threads::start("command", workers, COMMANDS, env.memory())?;
        let service_threads = Threads::start("service", workers, SERVICES, env.memory())?;
        let engines = Arc::new(EngineSet::new(Cpu::of_this_machine())?);
        let connections_max = usize::try_from(spare_for_one_kind(descriptors_max())).unwrap_or(usize::MAX);
        let host = Arc::new(Host {
            ticker: Arc::new(Ticker::new(engines.all(), config.tick)?),
            commands: command_threads.lane(LaneName::Commands, workers)?,
            services: service_threads.lane(LaneName::Services, limits::LONG_REQUESTS_BESIDE_OTHERS)?,
            egress: Arc::new(ArcSwap::from_pointee(config.egress)),
            sockets: GuestSockets::new(descriptors_max()),
            connections: Connections::new(connections_max, &env),
            seats: Arc::new(Seats::new(limits::SERVICE_INSTANCES_MAX)),
            starts: Starts::new(workers * limits::STARTS_PER_WORKER),
            address_space: Arc::default(),
            counters: Arc::default(),
            tasks: Tasks::new("guests"),
            env,
            engines: engines.clone(),
        });
        let lanes = [&host.commands, &host.services].map(|lane| (lane.handle.clone(), workers));
        let releases = host.env.memory().clone().run(host.env.clone(), host.tasks.clone(), lanes.to_vec());
        let cancelled = host.tasks.token().clone();
        host.spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = releases => {}
            }
        });
        let compilers = CompilerPool::new(config.compiler, config.compile_bounds, host.tasks.clone());
        let artifacts = Artifacts::new(host.clone(), &config.cache_dir, Arc::new(compilers))?;
        Ok(Self { host, artifacts: Arc::new(artifacts), _threads: Arc::new([command_threads, service_threads]) })
    }

    /// Makes the build's artefacts known; those for other engines than this machine's are left out.
    pub fn seed(&self, seeds: &[Seed]) {
        self.artifacts.seed(seeds);
    }

    /// Whether a seed was made for this machine's engine.
    pub fn takes(&self, seed: &Seed) -> bool {
        self.artifacts.takes(seed)
    }

    /// Sets the addresses that pods may connect to from now on: the API server's is known only once it listens, and pods
    /// get further addresses as they come.
    pub fn set_egress(&self, rules: EgressRules) {
        self.host.egress.store(Arc::new(rules));
    }

    /// The component of `digest` (`sha256:<hex>`), ready for `role`. `fetch` gives its bytes and is called only when it
    /// is not cached; they are checked against the digest. A component that failed by its own fault is remembered.
    pub async fn load<F, Fut>(&self, role: Role, digest: &str, fetch: F) -> Result<Artifact, Error>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, String>>,
    {
        self.artifacts.load(role, Digest::parse(digest)?, CompileClaim::default(), fetch).await
    }

    /// Loads a component for the role that its exports say. Where it exports both worlds, `prefer_command` (the
    /// container sets a command or arguments) decides. `claim` is whose turn at the compiler it takes.
    pub async fn load_workload<F, Fut>(
        &self,
        digest: &str,
        prefer_command: bool,
        claim: CompileClaim,
        fetch: F,
    ) -> Result<Artifact, Error>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, String>>,
    {
        let digest = Digest::parse(digest)?;
        let mut fetched = None;
        let mut fetch = Some(fetch);
        let worlds = match self.artifacts.known_worlds(&digest) {
            Some(worlds) => worlds,
            None => {
                let bytes = match fetch.take() {
                    Some(fetch) => fetch().await.map_err(Error::Fetch)?,
                    None => Bytes::new(),
                };
                let inspected = bytes.clone();
                let inspection = self.host.blocking(move || inspect(&inspected)).await??;
                fetched = Some(bytes);
                inspection.worlds
            }
        };
        let role = match (worlds.command, worlds.service) {
            (true, true) if prefer_command => Role::Command,
            (_, true) => Role::Service,
            (true, false) => Role::Command,
            (false, false) => {
                let wanted = "wasi:cli/run and no wasi:http/incoming-handler";
                return Err(Error::MissingWorld { wanted, found: worlds.describe() });
            }
        };
        let fetch = || async move {
            match (fetched, fetch) {
                (Some(bytes), _) => Ok(bytes),
                (None, Some(fetch)) => fetch().await,
                (None, None) => Err("the content was fetched before".to_owned()),
            }
        };
        self.artifacts.load(role, digest, claim, fetch).await
    }

    /// The shared accounting of one start of a container.
    pub fn container(&self, limits: ContainerLimits) -> Container {
        Container::new(&self.host, limits)
    }

    /// Starts a `wasi:cli/run` component; `artifact` must have been loaded for [`Role::Command`].
    pub fn start_command(
        &self,
        artifact: &Artifact,
        container: &Container,
        spec: CommandSpec,
    ) -> Result<CommandHandle, Error> {
        crate::command::start(&self.host, artifact, container, spec)
    }

    /// Listens, and serves each request with a fresh instance; `artifact` must have been loaded for [`Role::Service`].
    pub fn start_service(
        &self,
        artifact: &Artifact,
        container: &Container,
        spec: ServiceSpec,
    ) -> Result<ServiceHandle, Error> {
        crate::service::start(&self.host, artifact, container, spec)
    }

    /// Does work that runs guests while its thread waits for them, at the commands' priority. It ends by itself.
    pub fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> tokio::task::JoinHandle<T> {
        sampan_env::blocking_on(&self.host.commands.handle, work)
    }

    /// The number of pods that this process can hold, by the kernel's limits.
    pub fn capacity(&self) -> Capacity {
        let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
        let files = descriptors_max();
        let by_maps = maps.unwrap_or(65_530u64).saturating_sub(limits::MAPPINGS_RESERVED) / limits::MAPPINGS_PER_POD;
        let spare = files.unwrap_or(u64::MAX).saturating_sub(limits::DESCRIPTORS_RESERVED);
        let by_files = (spare - spare / limits::GUEST_SOCKETS_PART) / limits::DESCRIPTORS_PER_POD;
        if by_maps <= by_files {
            Capacity { pods_max: by_maps, bound_by: "vm.max_map_count" }
        } else {
            Capacity { pods_max: by_files, bound_by: "RLIMIT_NOFILE" }
        }
    }

    /// The counts since the start.
    pub fn metrics(&self) -> RuntimeMetrics {
        self.host.counters.read()
    }

    /// Ends all guests and compilers; those that have not ended at the deadline are left to the process's end.
    pub async fn shutdown(&self, deadline: Duration) {
        if let Err(error) = self.host.tasks.drain(deadline).await {
            tracing::warn!(%error, "guests outlived the shutdown");
        }
    }
}
