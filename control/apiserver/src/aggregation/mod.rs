//! Aggregation: group versions whose requests other servers answer, as objects say whose row names servers (APIServices).
//!
//! This server authenticates and authorizes, tells the other who asks ([`identity`]), and hands bodies through both ways.
//! What others serve stands in discovery as it was last asked for ([`remote`]).

mod identity;
mod known;
mod proxy;
mod remote;

pub(crate) use known::{Group, Known, Served};
pub(crate) use proxy::{forward, target};
pub(crate) use remote::{Remote, document_path};

use crate::body::Body;
use crate::limits::AGGREGATION_RETRY;
use arc_swap::ArcSwap;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use sampan_api::record::{EventKind, RecordKey};
use sampan_env::{Env, Tasks};
use sampan_registry::{ListOptions, Registry, Resource};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// The server of a group version: a port of a Service, and how it is told from others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backend {
    /// Of the Service.
    pub namespace: String,
    /// Of the Service.
    pub name: String,
    /// Of the Service.
    pub port: u16,
    /// Certificates, PEM, one of which has signed the server's.
    pub ca_bundle: Vec<u8>,
    /// Nothing is asked of the server's certificate.
    pub insecure: bool,
}

/// Reaches the servers behind Services, as the API server itself.
pub trait Backends: Send + Sync + 'static {
    /// Sends a request whose URI is a path and query. Redirects are not followed. `Err`: what kept it from being answered.
    fn send<'a>(&'a self, to: &'a Backend, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, String>>;
}

/// For servers that reach no others: says so.
#[derive(Clone, Copy, Debug)]
pub struct NoBackends;

impl Backends for NoBackends {
    fn send<'a>(&'a self, to: &'a Backend, _: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, String>> {
        let why = format!("{}/{} cannot be reached from this server", to.namespace, to.name);
        Box::pin(std::future::ready(Err(why)))
    }
}

/// What is known of other servers, and the way to them.
pub(crate) struct Aggregation {
    known: ArcSwap<Known>,
    remote: ArcSwap<Remote>,
    backends: Arc<dyn Backends>,
    /// Told of each change of what is known.
    changed: Notify,
}

impl Aggregation {
    /// Nothing is known until [`Self::follow`] has read it.
    pub fn new(backends: Arc<dyn Backends>) -> Arc<Self> {
        Arc::new(Self { known: ArcSwap::default(), remote: ArcSwap::default(), backends, changed: Notify::new() })
    }

    /// The group versions and their servers.
    pub fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// What other servers serve.
    pub fn remote(&self) -> Arc<Remote> {
        self.remote.load_full()
    }

    /// Keeps what is known as the objects say, and asks other servers what they serve.
    pub fn follow(self: &Arc<Self>, registry: &Registry, env: &Env, tasks: &Tasks) {
        let Some(row) = registry.table().iter().find(|row| row.names_servers).cloned() else { return };
        let (this, registry, env_of) = (self.clone(), registry.clone(), env.clone());
        tasks.spawn_until_cancelled(async move {
            loop {
                if let Err(error) = this.follow_once(&registry, &row).await {
                    tracing::warn!(%error, "the servers of groups cannot be followed: they are read again");
                }
                env_of.sleep(AGGREGATION_RETRY).await;
            }
        });
        let (this, env) = (self.clone(), env.clone());
        tasks.spawn_until_cancelled(this.ask_for_ever(env));
    }

    async fn follow_once(&self, registry: &Registry, row: &Resource) -> Result<(), sampan_registry::Error> {
        let list = registry.list(row, "", &ListOptions::default()).await?;
        let read = |record: &Arc<sampan_api::Record>| (record.key.clone(), Served::of(&record.object()));
        let mut all: BTreeMap<RecordKey, Served> = list.items.iter().map(read).collect();
        self.know(&all);
        let options = ListOptions { resource_version: list.revision.to_string(), ..ListOptions::default() };
        let mut events = registry.watch(row, "", &options).await?;
        while let Some(event) = events.next().await {
            let event = event.map_err(sampan_registry::Error::from)?;
            match (event.kind(), event.record()) {
                (_, None) => continue,
                (EventKind::Deleted, Some(record)) => drop(all.remove(&record.key)),
                (_, Some(record)) => drop(all.insert(record.key.clone(), Served::of(&record.object()))),
            }
            self.know(&all);
        }
        Ok(())
    }

    fn know(&self, all: &BTreeMap<RecordKey, Served>) {
        let known = Known::of(all.values());
        if *self.known.load_full() != known {
            self.known.store(Arc::new(known));
            self.changed.notify_one();
        }
    }
}
