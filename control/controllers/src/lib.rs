//! The controllers of the cluster: a folder a controller, on the reconcile runtime (`sampan-reconcile`).
//!
//! Allowed dependencies: api, env, schema, cel, client, reconcile, quota. Never store or registry: a controller is a client like any other, under an
//! identity of its own and with no more rights than Kubernetes gives it.
//!
//! Invariants:
//! - One shape: read listers, call a pure `plan(objects, now)`, apply its actions, write the status.
//! - Reads go to shared informers of one identity (`system:kube-controller-manager`), writes are each controller's own.

pub mod api_services;
pub mod bootstrap_token;
pub mod certificates;
pub mod definitions;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod endpointslice;
pub mod endpointslice_mirroring;
pub mod garbage;
pub mod ip_addresses;
pub mod limits;
pub mod namespace;
pub mod node_lifecycle;
mod pod;
pub mod pod_gc;
pub mod policy_status;
pub mod protection;
pub mod published;
pub mod replicaset;
pub mod resource_quota;
pub mod role_aggregation;
mod served;
mod service;
pub mod service_cidrs;
pub mod token_secret;
mod trigger;

pub use sampan_reconcile::Error;

use sampan_api::UserInfo;
use sampan_client::{Client, EventRecorder, Informers};
use sampan_env::{Env, Tasks};
use sampan_reconcile::{owner, time};
use std::sync::Arc;

/// Makes a client of an identity: in process from the service, on an agent never (controllers run with the server).
pub type ClientOf = Arc<dyn Fn(UserInfo) -> sampan_client::Result<Client> + Send + Sync>;

/// Makes the token that stands in a Secret, out of the namespace, the account's name and UID and the Secret's name. Error:
/// why there can be none.
pub type SecretToken = Arc<dyn Fn(&str, &str, &str, &str) -> Result<String, String> + Send + Sync>;

/// The parts that controllers are made of.
#[derive(Clone)]
pub struct Config {
    /// Makes the client of each controller.
    pub client_of: ClientOf,
    /// Time and randomness.
    pub env: Env,
    /// The owner of the controllers' tasks: they end with it.
    pub tasks: Tasks,
    /// The certificates in `kube-root-ca.crt` of each namespace.
    pub root_ca_pem: String,
    /// Reads and signs certificate requests.
    pub authority: Arc<dyn sampan_api::certificate::CertificateAuthority>,
    /// Makes the tokens that stand in Secrets.
    pub secret_token: SecretToken,
    /// Settings for which Kubernetes has flags.
    pub settings: Settings,
}

/// Settings for which kube-controller-manager has flags.
#[derive(Clone, Debug)]
pub struct Settings {
    /// [`limits::NODE_GRACE`] where nothing is said.
    pub node_grace: std::time::Duration,
    /// [`limits::NODE_STARTUP_GRACE`] where nothing is said.
    pub node_startup_grace: std::time::Duration,
    /// [`limits::TERMINATED_PODS_MAX`] where nothing is said.
    pub terminated_pods_max: usize,
    /// Whether PodCertificateRequests are served, which a feature and the versions that are turned on say.
    pub pod_certificate_requests: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_grace: limits::NODE_GRACE,
            node_startup_grace: limits::NODE_STARTUP_GRACE,
            terminated_pods_max: limits::TERMINATED_PODS_MAX,
            pod_certificate_requests: false,
        }
    }
}

/// The parts that every controller is built from.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) config: Config,
    /// Shared: read only.
    pub(crate) informers: Informers,
}

impl Context {
    fn client(&self, user: UserInfo, component: &str) -> Result<Client, Error> {
        Ok((self.config.client_of)(user)?.with_user_agent(&format!("sampan/{component}")))
    }

    fn recorder(&self, client: &Client, component: &str) -> EventRecorder {
        EventRecorder::new(client.clone(), component, None, &self.config.env, &self.config.tasks)
    }
}

/// Starts every controller. They wait for the API server by themselves and end when the tasks are drained.
///
/// # Errors
/// When no client can be made of an identity.
pub fn start(config: Config) -> Result<(), Error> {
    let reader = (config.client_of)(UserInfo::new("system:kube-controller-manager", Vec::<String>::new()))?
        .with_user_agent("sampan/controllers");
    let informers = Informers::new(reader, &config.env, &config.tasks);
    let context = Context { config, informers };
    published::start(&context)?;
    protection::start(&context)?;
    token_secret::start(&context)?;
    role_aggregation::start(&context)?;
    certificates::start(&context)?;
    bootstrap_token::start(&context)?;
    namespace::start(&context)?;
    replicaset::start(&context)?;
    endpoints::start(&context)?;
    endpointslice::start(&context)?;
    endpointslice_mirroring::start(&context)?;
    ip_addresses::start(&context)?;
    service_cidrs::start(&context)?;
    disruption::start(&context)?;
    deployment::start(&context)?;
    garbage::start(&context)?;
    node_lifecycle::start(&context)?;
    pod_gc::start(&context)?;
    policy_status::start(&context)?;
    resource_quota::start(&context)
}
