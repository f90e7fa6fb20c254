//! The sink that feeds all resources, and the doors to their state.

use crate::Error;
use crate::cursor::Cursor;
use crate::draft::{Decoder, Texts};
use crate::filter::Filter;
use crate::limits::AHEAD_WAIT_MAX;
use crate::load::{ROOT, load, prefix_of};
use crate::state::{ResourceState, Snapshot};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sampan_api::record::Record;
use sampan_env::Env;
use sampan_store::{Entry, Event, RangeResult, Sink, Store};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A stored resource to be kept.
#[derive(Clone, Debug)]
pub struct Spec {
    /// `/registry/<group or core>/<resource>/`.
    pub prefix: Arc<str>,
    pub namespaced: bool,
    /// Fields by whose value watches are woken; the records' `fields` hold them.
    pub dispatch: Arc<[&'static str]>,
}

/// The current state of all resources, and the changes of each. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    core: Arc<Core>,
}

pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) env: Env,
    pub(crate) decoder: Arc<dyn Decoder>,
    resources: ArcSwap<HashMap<Arc<str>, Arc<ResourceState>>>,
    /// The states that are to take the place of those in `resources`, while they are read: [`Watch::reload`].
    reloading: ArcSwap<HashMap<Arc<str>, Arc<ResourceState>>>,
    registering: Mutex<()>,
    /// The last revision whose events are in the state: the number for readers, the channel for those who wait.
    revision: AtomicU64,
    reached: watch::Sender<u64>,
    wakes: AtomicU64,
}

/// The store's end of the watch: weak, so that the store does not keep its own readers alive.
struct Feed(Weak<Core>);

impl Sink for Feed {
    fn committed(&self, events: &[Event]) {
        if let Some(core) = self.0.upgrade() {
            core.committed(events);
        }
    }
}

impl Core {
    fn committed(&self, events: &[Event]) {
        let Some(last) = events.last() else { return };
        // Until the revision is out: a resource that is registered meanwhile must not believe that it was told of these.
        let registering = self.registering.lock();
        let (resources, reloading) = (self.resources.load(), self.reloading.load());
        // Few resources change in one batch: a short list beats a map.
        let mut groups: Vec<(&Arc<ResourceState>, Vec<&Event>)> = Vec::new();
        for event in events {
            let Some(prefix) = prefix_of(&event.entry.key) else { continue };
            for state in resources.get(prefix).into_iter().chain(reloading.get(prefix)) {
                match groups.iter_mut().find(|(other, _)| Arc::ptr_eq(other, state)) {
                    Some((_, list)) => list.push(event),
                    None => groups.push((state, vec![event])),
                }
            }
        }
        let mut wake: Vec<Arc<Notify>> = Vec::new();
        for (state, list) in &groups {
            state.apply(list, &*self.decoder, &mut wake);
        }
        self.revision.fetch_max(last.revision(), Ordering::Release);
        self.reached.send_if_modified(|reached| {
            *reached = last.revision().max(*reached);
            true
        });
        drop(registering);
        // Woken after the revision is out: a cursor that finds nothing more may then tell how far it has come.
        let mut previous: Option<&Arc<Notify>> = None;
        for notify in &wake {
            if previous.is_none_or(|previous| !Arc::ptr_eq(previous, notify)) {
                notify.notify_waiters();
            }
            previous = Some(notify);
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub(crate) fn count_wake(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Watch {
    /// Subscribes to the store, and reads the current state of `specs` out of it. `opened`: what the store's opening read, if
    /// that is at hand; it is read again if there has been a write since.
    pub async fn open(
        store: Arc<dyn Store>,
        env: Env,
        decoder: Arc<dyn Decoder>,
        specs: impl IntoIterator<Item = Spec>,
        opened: Option<RangeResult>,
    ) -> Result<Self, Error> {
        let states: Vec<_> = specs
            .into_iter()
            .map(|spec| Arc::new(ResourceState::loading(spec.prefix, spec.dispatch, spec.namespaced)))
            .collect();
        let resources = states.iter().map(|state| (state.prefix.clone(), state.clone())).collect();
        let core = Arc::new(Core {
            store: store.clone(),
            env,
            decoder,
            resources: ArcSwap::from_pointee(resources),
            reloading: ArcSwap::from_pointee(HashMap::new()),
            registering: Mutex::new(()),
            revision: AtomicU64::new(0),
            reached: watch::Sender::new(0),
            wakes: AtomicU64::new(0),
        });
        let from = store.subscribe(Arc::new(Feed(Arc::downgrade(&core))));
        // Events that are being handed to others at this moment are not handed to us: they must be in what is read.
        store.wait_for(from).await?;
        let opened = opened.filter(|opened| opened.revision >= from);
        let revision = load((&*core.store, &core.decoder), ROOT, &states, opened).await?;
        core.revision.fetch_max(revision, Ordering::Release);
        core.reached.send_if_modified(|reached| {
            *reached = revision.max(*reached);
            true
        });
        Ok(Self { core })
    }

    /// Begins to keep another resource (a CRD's), and returns once its state can be had. Does nothing more for one that
    /// is kept already.
    pub async fn register(&self, spec: Spec) -> Result<(), Error> {
        let (state, other) = {
            let _registering = self.core.registering.lock();
            let now = self.core.resources.load_full();
            match now.get(&spec.prefix) {
                Some(state) => (state.clone(), true),
                None => {
                    let state = Arc::new(ResourceState::loading(spec.prefix.clone(), spec.dispatch, spec.namespaced));
                    let mut next = HashMap::clone(&now);
                    next.insert(spec.prefix, state.clone());
                    self.core.resources.store(Arc::new(next));
                    (state, false)
                }
            }
        };
        if other {
            return state.until_loaded().await;
        }
        let unregister = Unregister { core: &self.core, state: &state };
        // Events that were committed before the resource was entered are not handed to it: they must be in what is
        // read.
        self.core.store.wait_for(self.core.revision()).await?;
        let loaded =
            load((&*self.core.store, &self.core.decoder), &state.prefix, std::slice::from_ref(&state), None).await;
        drop(unregister);
        loaded.map(|_| ())
    }

    /// Reads a resource that is kept already anew, as another decoder or another spec makes its records, and puts that in
    /// the place of what was kept: cursors on it end. Until then readers have the former state.
    ///
    /// # Errors
    /// When the store cannot be read; then the former state stays.
    pub async fn reload(&self, spec: Spec) -> Result<(), Error> {
        let state = Arc::new(ResourceState::loading(spec.prefix.clone(), spec.dispatch, spec.namespaced));
        let change = |map: &ArcSwap<HashMap<Arc<str>, Arc<ResourceState>>>, to: Option<Arc<ResourceState>>| {
            let mut next = HashMap::clone(&map.load());
            match to {
                Some(state) => drop(next.insert(spec.prefix.clone(), state)),
                None => drop(next.remove(&spec.prefix)),
            }
            map.store(Arc::new(next));
        };
        {
            let _registering = self.core.registering.lock();
            change(&self.core.reloading, Some(state.clone()));
        }
        let loaded = match self.core.store.wait_for(self.core.revision()).await {
            Ok(()) => {
                load((&*self.core.store, &self.core.decoder), &spec.prefix, std::slice::from_ref(&state), None).await
            }
            Err(error) => Err(error.into()),
        };
        let former = {
            let _registering = self.core.registering.lock();
            change(&self.core.reloading, None);
            let former = self.core.resources.load().get(&spec.prefix).cloned();
            if loaded.is_ok() {
                change(&self.core.resources, Some(state));
            }
            former
        };
        loaded?;
        if let Some(former) = former {
            former.end();
        }
        Ok(())
    }

    /// Keeps a resource no longer, and ends the cursors on it. What is stored of it stays stored.
    pub fn unregister(&self, prefix: &str) {
        let gone = {
            let _registering = self.core.registering.lock();
            let mut next = HashMap::clone(&self.core.resources.load());
            let gone = next.remove(prefix);
            self.core.resources.store(Arc::new(next));
            gone
        };
        if let Some(state) = gone {
            state.end();
        }
    }

    /// The last revision that all snapshots show.
    pub fn revision(&self) -> u64 {
        self.core.revision()
    }

    /// Returns once snapshots show `revision`; the error tells that it did not come within the time readers wait.
    pub async fn wait_until(&self, revision: u64) -> Result<(), Error> {
        self.wait_until_within(revision, AHEAD_WAIT_MAX).await
    }

    pub async fn wait_until_within(&self, revision: u64, patience: Duration) -> Result<(), Error> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut reached = self.core.reached.subscribe();
        match tokio::time::timeout(patience, reached.wait_for(|reached| *reached >= revision)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::Ahead { wanted: revision, current: self.revision() }),
        }
    }

    /// The current state of the resource under `prefix`.
    pub fn snapshot(&self, prefix: &str) -> Result<Snapshot, Error> {
        // Before the state is taken: whatever this revision promises is in it.
        let seen = self.revision();
        Ok(self.state(prefix)?.snapshot(seen))
    }

    /// One current record by its whole key.
    pub fn get(&self, prefix: &str, key: &str) -> Result<Option<Arc<Record>>, Error> {
        Ok(self.state(prefix)?.get(key))
    }

    /// The record of an entry that was read out of the store's history.
    pub fn record(&self, prefix: &str, entry: &Entry) -> Result<Record, Error> {
        let undecodable = |reason| Error::Undecodable { key: entry.key.to_string(), reason };
        self.state(prefix)?.record(entry, &*self.core.decoder, &mut Texts::default()).map_err(undecodable)
    }

    /// The changes after `revision` of what the filter selects.
    pub fn cursor(&self, prefix: &str, filter: Filter, revision: u64) -> Result<Cursor, Error> {
        Ok(Cursor::new(self.core.clone(), self.state(prefix)?, filter, revision))
    }

    /// Number of times that a waiting cursor has been woken, in all.
    pub fn wakes(&self) -> u64 {
        self.core.wakes.load(Ordering::Relaxed)
    }

    /// Lets the ring of a resource hold no more than `events_max` events: for tests of what falls off.
    pub fn shrink_ring(&self, prefix: &str, events_max: usize) -> Result<(), Error> {
        self.state(prefix)?.with_ring(|ring| ring.shrink(events_max));
        Ok(())
    }

    pub(crate) fn env(&self) -> &Env {
        &self.core.env
    }

    fn state(&self, prefix: &str) -> Result<Arc<ResourceState>, Error> {
        let state = self.core.resources.load().get(prefix).filter(|state| state.is_loaded()).cloned();
        state.ok_or_else(|| Error::UnknownResource(prefix.to_owned()))
    }
}

/// Takes a resource out again whose loading failed or was given up.
struct Unregister<'a> {
    core: &'a Core,
    state: &'a Arc<ResourceState>,
}

impl Drop for Unregister<'_> {
    fn drop(&mut self) {
        if self.state.is_loaded() {
            return;
        }
        let _registering = self.core.registering.lock();
        let mut next = HashMap::clone(&self.core.resources.load());
        next.remove(&self.state.prefix);
        self.core.resources.store(Arc::new(next));
        self.state.failed();
    }
}
