//! The HTTP face of the control plane: the chain around every request, verbs over the resource table, negotiation,
//! discovery, tables, streams to nodes, and the listener.
//!
//! One way through it: bytes -> request info and audit id -> authentication -> impersonation -> priority and
//! fairness -> authorization -> one dispatch by verb over the row that the path names -> registry. In process the same
//! service is called without sockets, by clients that put their identity and [`sampan_api::WantRecords`] into the
//! request's extensions.
//!
//! Allowed dependencies: api, env, schema, registry, watch, admission, auth, images; hyper, hyper-util, tower, rustls; axum
//! for what has fixed routes ([`routes`]).
//! Never store or SQL, never a kind's name on the path of a request.
//!
//! Invariants:
//! - Nothing that comes over a socket reaches a request's extensions, so an identity there is this process's own word.
//! - Every request passes authorization before anything of it is looked up.
//! - JSON of stored objects is copied, never parsed, on get, list and watch.
//! - An action or stream named in the table that is bound to nothing stops the start.
//! - Every refusal is a `Status` (paths that nobody serves apart), in the format that the caller asked for.

pub mod actions;
mod admitting;
mod aggregation;
mod answer;
mod arriving;
mod ask;
pub mod body;
pub mod chain;
mod compute;
pub mod connect;
mod core;
mod decode;
mod discovery;
pub mod documents;
mod encode;
mod exchange;
pub mod flow;
pub mod health;
mod indent;
pub mod ledger;
pub mod limits;
pub mod line;
mod listing;
mod metadata;
pub mod metrics;
pub mod negotiate;
pub mod nodes;
pub mod options;
mod outside;
mod pieces;
pub mod query;
pub mod request_info;
pub mod respond;
mod routes;
pub mod serve;
mod served;
pub mod table;
mod verbs;
mod websocket;

pub use crate::actions::{Action, of_components, of_tokens};
pub use crate::aggregation::{Backend, Backends, NoBackends};
pub use crate::ask::Ask;
pub use crate::body::Body;
pub use crate::chain::Anonymous;
pub use crate::connect::Stream;
pub use crate::core::RuleResolver;
pub use crate::health::Check;
pub use crate::metrics::Metrics;
pub use crate::nodes::{NoNodes, NodeConnector};

use crate::aggregation::Aggregation;
use crate::chain::{Authenticate, Authorize, FilterLayer, FlowControl, Impersonate, Next, Receive};
use crate::compute::Compute;
use crate::core::Core;
use crate::flow::seats::Seats;
use crate::line::Ledgers;
use crate::served::Served;
use futures::FutureExt;
use http::{Request, Response};
use sampan_api::Authorizer;
use sampan_api::admission::Admission;
use sampan_api::webhook::WebhookCaller;
use sampan_auth::authenticator::Authenticator;
use sampan_env::{CancellationToken, Env, Tasks};
use sampan_registry::Registry;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

/// The server as everybody calls it, in process and through a listener.
pub type ApiService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The parts that a server is made of.
pub struct Config {
    /// Clock and randomness.
    pub env: Env,
    /// Watches of this process end when it is cancelled.
    pub tasks: Tasks,
    /// Reads and writes all kinds.
    pub registry: Registry,
    /// Tells who asks.
    pub authenticator: Arc<dyn Authenticator>,
    /// Decides what they may do.
    pub authorizer: Arc<dyn Authorizer>,
    /// Changes and refuses what is written.
    pub admission: Arc<dyn Admission>,
    /// Reaches nodes.
    pub nodes: Arc<dyn NodeConnector>,
    /// Reaches the servers of group versions that others have.
    pub backends: Arc<dyn Backends>,
    /// Actions of other rooms by the names that rows use; they replace this room's own of that name.
    pub actions: Vec<(String, Arc<dyn Action>)>,
    /// Lists what a caller may do, for those who ask.
    pub rules: Option<Arc<dyn RuleResolver>>,
    /// Services at paths of their own (`/v2`, `/ui`): behind authentication and authorization like all else.
    pub routes: Vec<Route>,
    /// The checks of `/readyz` (and, where they say so, of `/livez` and `/healthz`).
    pub checks: Vec<Arc<dyn Check>>,
    /// Paths at which requests without credentials may pass.
    pub anonymous: Anonymous,
    /// `v1.35.0+sampan`
    pub version: String,
    /// Which build it is.
    pub build: Build,
}

/// What `/version` says of the build.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// The commit that it was made of; empty where the build was not told.
    pub commit: String,
    /// The time of its sources, so that the same sources make the same build; `None` where it was not told.
    pub date: Option<SystemTime>,
}

/// Everything at and below a path.
pub struct Route {
    /// `/v2`, without a slash at the end.
    pub prefix: String,
    /// The service that answers there.
    pub service: ApiService,
}

/// The reason why a server was not made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Names of actions and streams.
    #[error("actions and streams that the resource table names are bound to nothing: {}", .0.join(", "))]
    Unbound(Vec<String>),
}

/// The server. Cheap to clone what it hands out; nothing runs until it is called.
pub struct ApiServer {
    service: ApiService,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
    seats: Seats,
    ledgers: Ledgers,
    registry: Registry,
}

impl ApiServer {
    /// Binds the table's actions and streams and puts the chain together.
    ///
    /// # Errors
    /// When the table names one that nobody binds.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let mut actions: HashMap<String, Arc<dyn Action>> = actions::builtin();
        let mut config = config;
        actions.extend(std::mem::take(&mut config.actions));
        let streams = connect::builtin();
        let unbound = actions::unbound(&config.registry.table(), &actions, &streams);
        if !unbound.is_empty() {
            return Err(StartError::Unbound(unbound));
        }
        let metrics = Arc::new(Metrics::default());
        metrics.know(config.registry.clone());
        let ledgers = Ledgers::default();
        let seats = Seats::new(flow::suggested::classifier(), metrics.clone());
        let receive = Receive { env: config.env.clone(), metrics: metrics.clone(), ledgers: ledgers.clone() };
        let chain = ServiceBuilder::new()
            .layer(FilterLayer::new(receive))
            .layer(FilterLayer::new(Authenticate::new(config.authenticator.clone(), config.anonymous)))
            .layer(FilterLayer::new(Impersonate { authorizer: config.authorizer.clone() }))
            .layer(FilterLayer::new(FlowControl { seats: seats.clone() }))
            .layer(FilterLayer::new(Authorize { authorizer: config.authorizer.clone() }));
        let stopping = config.tasks.token().child_token();
        let compute = Compute::new(config.tasks.clone(), config.env.memory().clone());
        let registry = config.registry.clone();
        let aggregation = Aggregation::new(config.backends);
        aggregation.follow(&registry, &config.env, &config.tasks);
        let core = Arc::new(Core {
            env: config.env,
            tasks: config.tasks.clone(),
            stopping: stopping.clone(),
            ended: config.tasks.token().clone(),
            registry: config.registry,
            authorizer: config.authorizer,
            admission: config.admission,
            nodes: config.nodes,
            aggregation,
            rules: config.rules,
            metrics: metrics.clone(),
            version: config.version,
            build: config.build,
            compute,
            ledgers: ledgers.clone(),
        });
        let router = routes::router(&core, config.checks, config.routes);
        let served = Arc::new(Served { core, actions, streams, router });
        let verbs = Next::new(move |request| verbs::serve(served.clone(), request).boxed());
        Ok(Self { service: ApiService::new(chain.service(verbs)), metrics, stopping, seats, ledgers, registry })
    }

    /// Says who calls the webhooks that convert objects. The first who is named does.
    pub fn call_webhooks_by(&self, caller: Arc<dyn WebhookCaller>) {
        self.registry.call_webhooks_by(Arc::new(outside::Aside(caller)));
    }

    /// The service that listeners and clients of this process call.
    pub fn service(&self) -> ApiService {
        self.service.clone()
    }

    /// To be cancelled when the end begins, before the listener is drained: `/readyz` says so from then on, and watches
    /// over connections end, which nothing else would end in time. Other requests, and this process's own watches, go on
    /// until the server's tasks are cancelled.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// The seats of requests that are worked on.
    pub fn seats(&self) -> &Seats {
        &self.seats
    }

    /// The accounts of what is held for clients.
    pub fn ledgers(&self) -> &Ledgers {
        &self.ledgers
    }

    /// The server's counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}
