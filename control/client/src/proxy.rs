//! The way to the servers behind Services that answer for group versions of the API: this process shows them the front
//! proxy's certificate, so that they believe what it says of who asks.

use crate::body::{Body, empty};
use crate::error::Error;
use crate::remote::Remote;
use crate::tls::{CertificateAuthority, Credentials, RemoteConfig};
use crate::{Client, limits, roots, service};
use http::{Request, Response};
use parking_lot::Mutex;
use sampan_env::{Env, Tasks};
use std::collections::HashMap;
use std::sync::Arc;

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Of the Service.
    pub namespace: String,
    /// Of the Service.
    pub name: String,
    /// Of the Service.
    pub port: u16,
}

/// Sends requests to the servers behind Services, over connections that it keeps.
pub struct ServiceProxy {
    /// Reads the Services.
    client: Client,
    credentials: Credentials,
    env: Env,
    tasks: Tasks,
    remotes: Mutex<HashMap<RemoteKey, Arc<Remote>>>,
}

/// A host, the port, and the bundle that its certificate is checked against; `None`: it is not.
type RemoteKey = (String, ServicePort, Option<Vec<u8>>);

impl ServiceProxy {
    /// `credentials` are shown to every server; `tasks` own the connections.
    pub fn new(client: Client, credentials: Credentials, tasks: &Tasks) -> Self {
        let env = client.env().clone();
        Self { client, credentials, env, tasks: tasks.clone(), remotes: Mutex::default() }
    }

    /// The URL of a Service's port, as it is reached.
    ///
    /// # Errors
    /// There is no such Service, or none that is reached.
    pub async fn address(&self, of: &ServicePort) -> Result<String, String> {
        let host = service::host(&self.client, &of.namespace, &of.name).await?;
        Ok(format!("https://{host}:{}", of.port))
    }

    /// Sends a request, whose URI is a path and query, to the server behind a Service. Both bodies are handed through as they
    /// come, and redirects are answers.
    ///
    /// # Errors
    /// What kept it from being answered.
    pub async fn send(
        &self,
        to: &ServicePort,
        authority: &CertificateAuthority,
        request: Request<Body>,
    ) -> Result<Response<Body>, String> {
        let host = service::host(&self.client, &to.namespace, &to.name).await?;
        // Without a bundle those count that the system trusts.
        let authority = match authority {
            CertificateAuthority::Pem(pem) if pem.is_empty() => &CertificateAuthority::System,
            other => other,
        };
        if matches!(authority, CertificateAuthority::System) {
            roots::ready().await.map_err(|error| error.to_string())?;
        }
        let remote = self.remote(host, to, authority)?;
        remote.forward(request).await.map_err(|error| match error {
            Error::Connect { source, .. } | Error::Transport(source) => source.to_string(),
            other => other.to_string(),
        })
    }

    /// Asks a server for a document as the API server itself, whatever its certificate: who has the network and answers
    /// wrongly learns nothing. The code of the answer.
    ///
    /// # Errors
    /// What kept it from being answered.
    pub async fn probe(&self, to: &ServicePort, path: &str) -> Result<u16, String> {
        let request = Request::get(path)
            .header("x-remote-user", "system:kube-aggregator")
            .header("x-remote-group", "system:masters")
            .body(empty())
            .map_err(|error| error.to_string())?;
        let response = self.send(to, &CertificateAuthority::Insecure, request).await?;
        Ok(response.status().as_u16())
    }

    fn remote(&self, host: String, to: &ServicePort, authority: &CertificateAuthority) -> Result<Arc<Remote>, String> {
        let bundle = match authority {
            CertificateAuthority::Pem(pem) => Some(pem.clone()),
            CertificateAuthority::System => Some(Vec::new()),
            CertificateAuthority::Insecure => None,
        };
        let server = format!("https://{host}:{}", to.port);
        let key = (host, to.clone(), bundle);
        let mut remotes = self.remotes.lock();
        if let Some(known) = remotes.get(&key) {
            return Ok(known.clone());
        }
        let made = RemoteConfig {
            server,
            ca: Some(authority.clone()),
            credentials: self.credentials.clone(),
            tls_server_name: Some(format!("{}.{}.svc", to.name, to.namespace)),
        };
        let made = Arc::new(Remote::new(made, &self.env, &self.tasks).map_err(|error| error.to_string())?);
        // Servers that are no longer asked are forgotten with the rest.
        if remotes.len() >= limits::AGGREGATED_SERVERS_MAX {
            remotes.clear();
        }
        remotes.insert(key, made.clone());
        Ok(made)
    }
}
