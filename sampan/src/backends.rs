//! The API server's way to the servers of group versions that others have, and what it registers of its own.

use crate::first_start::Authentication;
use futures::future::BoxFuture;
use http::{Request, Response};
use sampan_apiserver::{Backend, Backends, Body};
use sampan_auth::Pki;
use sampan_auth::pki::FrontProxy;
use sampan_client::{CertificateAuthority, Client, Credentials, ServicePort, ServiceProxy};
use sampan_controllers::ClientOf;
use sampan_controllers::api_services::{self, GroupVersionPriority};
use sampan_env::{Env, Tasks};
use sampan_registry::{ResourceTable, priorities};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Other servers, once there is a client that reads where they are.
#[derive(Clone)]
pub struct OtherServers {
    front_proxy: Arc<FrontProxy>,
    proxy: Arc<OnceLock<Arc<ServiceProxy>>>,
}

impl OtherServers {
    /// Reads the front proxy's certificates in the folder, or makes them.
    ///
    /// # Errors
    /// When they cannot be made.
    pub async fn open(folder: PathBuf, env: &Env) -> anyhow::Result<Self> {
        let env = env.clone();
        let front_proxy = sampan_env::blocking(move || FrontProxy::open(&folder, &env)).await??;
        Ok(Self { front_proxy: Arc::new(front_proxy), proxy: Arc::default() })
    }

    /// What they are to believe of who asks.
    pub fn authentication(&self, pki: &Pki) -> Authentication {
        Authentication {
            client_ca_pem: pki.ca_pem().to_owned(),
            front_proxy_ca_pem: self.front_proxy.ca_pem().to_owned(),
        }
    }

    /// Reaches them from now on, says of each whether it answers, and registers what this server serves itself. `own` reads
    /// Services.
    ///
    /// # Errors
    /// When no client can be made.
    fn start(
        &self,
        own: Client,
        table: &ResourceTable,
        client_of: &ClientOf,
        env: &Env,
        tasks: &Tasks,
    ) -> anyhow::Result<()> {
        let shown = self.front_proxy.client();
        let credentials = Credentials::ClientCertificate {
            cert_pem: shown.certificate_pem.clone().into(),
            key_pem: shown.key_pem.clone().into(),
        };
        let proxy = self.proxy.get_or_init(|| Arc::new(ServiceProxy::new(own, credentials, tasks))).clone();
        let defined = (priorities::DEFINED.group, priorities::DEFINED.version);
        let builtin = registered(table);
        let config = api_services::Config { client_of: client_of.clone(), proxy, builtin, defined };
        Ok(api_services::start(config, env, tasks)?)
    }
}

impl Backends for OtherServers {
    fn send<'a>(&'a self, to: &'a Backend, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, String>> {
        Box::pin(async move {
            let proxy = self.proxy.get().ok_or("no other server is reached yet")?;
            let port = ServicePort { namespace: to.namespace.clone(), name: to.name.clone(), port: to.port };
            let authority = match to.insecure {
                true => CertificateAuthority::Insecure,
                false => CertificateAuthority::Pem(to.ca_bundle.clone()),
            };
            proxy.send(&port, &authority, request).await
        })
    }
}

/// Starts the controllers that belong to the API server. `own` reads Services.
///
/// # Errors
/// When no client can be made.
pub fn start_own(
    client_of: &ClientOf,
    own: Client,
    table: &ResourceTable,
    others: &OtherServers,
    env: &Env,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    sampan_controllers::definitions::start(client_of, env, tasks)?;
    others.start(own, table, client_of, env, tasks)
}

/// The group versions of this server that are registered.
fn registered(table: &ResourceTable) -> Vec<GroupVersionPriority> {
    let of = |gv: sampan_api::GroupVersion| {
        let priority = priorities::builtin(&gv.group, &gv.version)?;
        Some(GroupVersionPriority {
            group: gv.group,
            version: gv.version,
            group_priority: priority.group,
            version_priority: priority.version,
        })
    };
    table.group_versions().into_iter().filter_map(of).collect()
}
