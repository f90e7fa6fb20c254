//! The cluster's context in a kubeconfig, from when it is up until it has ended.

use crate::cluster::Cluster;
use crate::config::{ClusterName, Config};
use crate::ranges::Claim;
use anyhow::{Context, bail};
use sampan_client::kubeconfig::{self, Forgotten};
use sampan_env::Env;

/// Clusters without a name that get a context of their own in one user's configuration.
const CLUSTERS_MAX: u32 = 64;

/// The context, which is there until it is forgotten.
pub struct ClusterContext {
    /// Its name.
    pub name: String,
    /// Where it was written, and what was current before.
    pub merged: kubeconfig::Merged,
    target: kubeconfig::Target,
    ca_pem: Vec<u8>,
    /// No other cluster of this host's user takes the name meanwhile.
    _claim: Option<Claim>,
}

impl ClusterContext {
    /// Puts the context into the kubeconfig and makes it the current one.
    ///
    /// # Errors
    /// The name is another running cluster's, or the file cannot be written.
    pub async fn write(config: &Config, cluster: &Cluster, env: &Env) -> anyhow::Result<Self> {
        let (name, claim) = take(config)?;
        let entry = kubeconfig::Entry {
            name: name.clone(),
            server: cluster.server_url(),
            ca_pem: cluster.pki.ca_pem().as_bytes().to_vec(),
            client_cert_pem: cluster.pki.admin.certificate_pem.as_bytes().to_vec(),
            client_key_pem: cluster.pki.admin.key_pem.as_bytes().to_vec(),
        };
        let target = match &config.kubeconfig {
            Some(path) => kubeconfig::Target::File(path.clone()),
            None => kubeconfig::Target::Default,
        };
        let merged = kubeconfig::merge(&target, &entry, env).await.context("the kubeconfig")?;
        Ok(Self { name, merged, target, ca_pem: entry.ca_pem, _claim: claim })
    }

    /// Takes it out of the kubeconfig again, as one of a cluster that is not there any more would only mislead, and goes back
    /// to the context that was current before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn forget(self, env: &Env) -> anyhow::Result<()> {
        let previous = self.merged.previous_context.as_deref();
        let forgotten = Forgotten { ca_pem: &self.ca_pem, name: Some(&self.name), previous };
        let done = kubeconfig::forget(&self.target, &forgotten, env).await;
        done.map(drop).with_context(|| format!("the context {} could not be taken out of the kubeconfig", self.name))
    }
}

/// In the user's own configuration each cluster that runs has a context of its own: a second one without a name gets a number.
/// In a file that is given for one cluster there is nobody to be kept apart from.
fn take(config: &Config) -> anyhow::Result<(String, Option<Claim>)> {
    let name = config.name.context();
    if config.kubeconfig.is_some() {
        return Ok((name, None));
    }
    let user = rustix::process::getuid().as_raw();
    let claim = |name: &str| Claim::of_name(&format!("sampan/context/{user}/{name}")).context("the cluster's name");
    if let Some(claim) = claim(&name)? {
        return Ok((name, Some(claim)));
    }
    if config.name.is_given() {
        bail!("a cluster of the context {name} is running: end it first, or choose another --name");
    }
    for number in 2..=CLUSTERS_MAX {
        let name = ClusterName::new(Some(&number.to_string())).context();
        if let Some(claim) = claim(&name)? {
            return Ok((name, Some(claim)));
        }
    }
    bail!("{CLUSTERS_MAX} clusters without a name are running: give this one a --name");
}
