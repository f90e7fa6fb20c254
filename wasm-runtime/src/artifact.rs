//! From a digest to something that can be instantiated: memory, then seeds, then disk, then the compiler child.

use crate::cache::{Cache, Digest};
use crate::compile::{CompileClaim, CompilerPool, Job, over};
use crate::engine::{Role, compatibility};
use crate::error::Error;
use crate::guest::GuestState;
use crate::host::Host;
use crate::inspect::{Worlds, inspect};
use crate::limits::BAD_DIGESTS_MAX;
use crate::linker::add_workload_to_linker;
use crate::metrics::Counters;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

/// An artefact that the build made and the binary carries.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// Of the component: `sha256:<hex>`.
    pub digest: &'static str,
    /// The role that it was compiled for.
    pub role: Role,
    /// Hash of the engine that it was compiled for; where the machine's engine differs, the component is compiled in
    /// the child.
    pub engine_hash: u64,
    /// The worlds that it exports.
    pub worlds: Worlds,
    /// The machine code, as the engine serialised it.
    pub artefact: &'static [u8],
}

/// A component, compiled and linked for one role. Cheap to clone.
#[derive(Clone)]
pub struct Artifact(Arc<Inner>);

struct Inner {
    digest: Digest,
    role: Role,
    worlds: Worlds,
    component: Component,
    linked: Linked,
}

pub(crate) enum Linked {
    Command(CommandPre<GuestState>),
    Service(ProxyPre<GuestState>),
    /// Policies are linked by their own host.
    Policy,
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Artifact").field(&self.0.digest.as_str()).field(&self.0.role).finish()
    }
}

impl Artifact {
    /// Of the component: `sha256:<hex>`.
    pub fn digest(&self) -> &str {
        self.0.digest.as_str()
    }
    /// The role that it was loaded for.
    pub fn role(&self) -> Role {
        self.0.role
    }
    /// The worlds that the component exports.
    pub fn worlds(&self) -> Worlds {
        self.0.worlds
    }
    pub(crate) fn component(&self) -> &Component {
        &self.0.component
    }
    pub(crate) fn linked(&self) -> &Linked {
        &self.0.linked
    }
}

type Key = (Role, Digest);

/// All artefacts of a runtime.
pub(crate) struct Artifacts {
    host: Arc<Host>,
    caches: HashMap<Role, Cache>,
    hashes: HashMap<Role, u64>,
    linkers: HashMap<Role, Linker<GuestState>>,
    compilers: Arc<CompilerPool>,
    seeds: Mutex<HashMap<Key, Seed>>,
    live: Mutex<HashMap<Key, Weak<Inner>>>,
    bad: Mutex<HashMap<Key, Error>>,
    /// CPU time that components had which never came to an end for want of it.
    spent: Mutex<HashMap<Key, Duration>>,
    /// One load of a digest at a time; the others find what it made.
    loading: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

impl Artifacts {
    pub(crate) fn new(host: Arc<Host>, cache_dir: &Path, compilers: Arc<CompilerPool>) -> Result<Self, Error> {
        let engines = &host.engines;
        let hashes: HashMap<Role, u64> = Role::ALL.iter().map(|r| (*r, compatibility(engines.get(*r)))).collect();
        let mut caches = HashMap::new();
        let mut linkers = HashMap::new();
        for role in Role::ALL {
            // Two roles may share an engine hash and then share artefacts: they are the same.
            caches.insert(role, Cache::open(cache_dir, hashes[&role])?);
        }
        for role in [Role::Command, Role::Service] {
            let mut linker = Linker::new(engines.get(role));
            add_workload_to_linker(&mut linker).map_err(Error::engine)?;
            linkers.insert(role, linker);
        }
        Ok(Self {
            host,
            caches,
            hashes,
            linkers,
            compilers,
            seeds: Mutex::default(),
            live: Mutex::default(),
            bad: Mutex::default(),
            spent: Mutex::default(),
            loading: Mutex::default(),
        })
    }

    pub(crate) fn takes(&self, seed: &Seed) -> bool {
        self.hashes[&seed.role] == seed.engine_hash
    }

    pub(crate) fn seed(&self, seeds: &[Seed]) {
        let mut all = self.seeds.lock();
        for seed in seeds.iter().filter(|seed| self.takes(seed)) {
            if let Ok(digest) = Digest::parse(seed.digest) {
                all.insert((seed.role, digest), *seed);
            }
        }
    }

    /// The worlds that a digest exports, if they are known without its bytes.
    pub(crate) fn known_worlds(&self, digest: &Digest) -> Option<Worlds> {
        Role::ALL.into_iter().find_map(|role| {
            let seeded = self.seeds.lock().get(&(role, digest.clone())).map(|seed| seed.worlds);
            seeded.or_else(|| self.caches[&role].worlds(digest))
        })
    }

    pub(crate) async fn load<F, Fut>(
        &self,
        role: Role,
        digest: Digest,
        claim: CompileClaim,
        fetch: F,
    ) -> Result<Artifact, Error>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, String>>,
    {
        let key = (role, digest.clone());
        if let Some(found) = self.known(&key)? {
            return Ok(found);
        }
        let gate = self.loading.lock().entry(key.clone()).or_default().clone();
        let turn = gate.lock().await;
        let loaded = match self.known(&key) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => self.make(&key, claim, fetch).await,
            Err(error) => Err(error),
        };
        drop(turn);
        self.loading.lock().remove(&key);
        let loaded = loaded.map_err(|error| self.counted(&key, error));
        if let Err(error) = &loaded {
            self.remember_bad(key, error);
        }
        loaded
    }

    fn known(&self, key: &Key) -> Result<Option<Artifact>, Error> {
        if let Some(error) = self.bad.lock().get(key) {
            return Err(error.clone());
        }
        Ok(self.live.lock().get(key).and_then(Weak::upgrade).map(Artifact))
    }

    /// A compilation that starved may be tried again, until it had in all as much as a component may have: then it is
    /// the component's own fault, however busy the machine was.
    fn counted(&self, key: &Key, error: Error) -> Error {
        let Error::CompileStarved { cpu, .. } = &error else { return error };
        let mut spent = self.spent.lock();
        if spent.len() >= BAD_DIGESTS_MAX && !spent.contains_key(key) {
            spent.clear();
        }
        let sum = spent.entry(key.clone()).or_default();
        *sum = sum.saturating_add(*cpu);
        if *sum < self.compilers.cpu_max() {
            return error;
        }
        spent.remove(key);
        Error::CompileKilled { why: over(self.compilers.cpu_max()) }
    }

    /// Only what is the component's own fault is remembered: a full disk or a missing blob may heal.
    fn remember_bad(&self, key: Key, error: &Error) {
        let own_fault = matches!(
            error,
            Error::NotRunnable(_) | Error::Compile { .. } | Error::CompileKilled { .. } | Error::Link { .. }
        );
        if own_fault {
            let mut bad = self.bad.lock();
            if bad.len() >= BAD_DIGESTS_MAX {
                bad.clear();
            }
            bad.insert(key, error.clone());
            Counters::add(&self.host.counters.bad_digests, 1);
        }
    }

    async fn make<F, Fut>(&self, key: &Key, claim: CompileClaim, fetch: F) -> Result<Artifact, Error>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, String>>,
    {
        let (role, digest) = key;
        let seed = self.seeds.lock().get(key).copied();
        let found = {
            let (engine, cache, digest) = self.on_disk(key);
            // Hashing, reading and mapping many mebibytes: never on a thread that serves others.
            self.host.blocking(move || known_artefact(&engine, seed, &cache, &digest)).await??
        };
        let (component, worlds) = match found {
            Some(found) => {
                Counters::add(&self.host.counters.cache_hits, 1);
                found
            }
            None => {
                let bytes = fetch().await.map_err(Error::Fetch)?;
                let (wanted, content) = (digest.clone(), bytes.clone());
                let worlds = self.host.blocking(move || verified(&wanted, &content)).await??;
                Counters::add(&self.host.counters.compiles, 1);
                // On the guests' runtime: the child outlives this call there, and serves the next one.
                let (compilers, role) = (self.compilers.clone(), *role);
                let job = Job { role, bytes, claim };
                let job = self.host.spawn(async move { compilers.compile(job).await });
                let artefact = job.await.map_err(|_| Error::ShuttingDown)??;
                let (engine, cache, digest) = self.on_disk(key);
                let stored = self.host.blocking(move || {
                    let path = cache.put(&digest, &artefact, worlds)?;
                    // SAFETY: our own cache, written a moment ago by our compiler for this engine.
                    unsafe { Component::deserialize_file(&engine, path) }.map_err(Error::engine)
                });
                (stored.await??, worlds)
            }
        };
        let linked = self.link(*role, worlds, &component)?;
        let inner = Arc::new(Inner { digest: digest.clone(), role: *role, worlds, component, linked });
        let mut live = self.live.lock();
        live.retain(|_, weak| weak.strong_count() > 0);
        live.insert(key.clone(), Arc::downgrade(&inner));
        Ok(Artifact(inner))
    }

    fn on_disk(&self, (role, digest): &Key) -> (Engine, Cache, Digest) {
        (self.host.engines.get(*role).clone(), self.caches[role].clone(), digest.clone())
    }

    fn link(&self, role: Role, worlds: Worlds, component: &Component) -> Result<Linked, Error> {
        let missing = |wanted| Error::MissingWorld { wanted, found: worlds.describe() };
        let link = |e: wasmtime::Error| Error::Link { message: format!("{e:#}") };
        match role {
            Role::Command if !worlds.command => Err(missing("wasi:cli/run")),
            Role::Service if !worlds.service => Err(missing("wasi:http/incoming-handler")),
            Role::Policy if !worlds.policy => Err(missing("interface of sampan:scheduling")),
            Role::Command => {
                let pre = self.linkers[&role].instantiate_pre(component).map_err(link)?;
                Ok(Linked::Command(CommandPre::new(pre).map_err(link)?))
            }
            Role::Service => {
                let pre = self.linkers[&role].instantiate_pre(component).map_err(link)?;
                Ok(Linked::Service(ProxyPre::new(pre).map_err(link)?))
            }
            Role::Policy => Ok(Linked::Policy),
        }
    }
}

/// An artefact that the build or an earlier compilation made. Blocks.
fn known_artefact(
    engine: &Engine,
    seed: Option<Seed>,
    cache: &Cache,
    digest: &Digest,
) -> Result<Option<(Component, Worlds)>, Error> {
    if let Some(seed) = seed {
        // SAFETY: the build made these bytes with this very engine (the hashes agree) and they are part of this
        // executable.
        let component = unsafe { Component::deserialize(engine, seed.artefact) };
        return Ok(Some((component.map_err(Error::engine)?, seed.worlds)));
    }
    let Some((path, worlds)) = cache.get(digest) else { return Ok(None) };
    // SAFETY: our own cache, written by our compiler for this engine, and its checksum was just verified.
    let component = unsafe { Component::deserialize_file(engine, path) };
    Ok(Some((component.map_err(Error::engine)?, worlds)))
}

/// The worlds that `bytes` export, if they are those of `digest`. Blocks.
fn verified(digest: &Digest, bytes: &[u8]) -> Result<Worlds, Error> {
    let actual = Digest::of(bytes);
    if actual != *digest {
        let (expected, actual) = (digest.as_str().to_owned(), actual.as_str().to_owned());
        return Err(Error::DigestMismatch { expected, actual });
    }
    Ok(inspect(bytes)?.worlds)
}
