//! One client of the Kubernetes API for every room: in process (through the API server's tower service, without sockets
//! or encoding of reads) and remote (HTTPS); informers, work queue, event recorder, kubeconfig, the blob source of nodes.
//!
//! Allowed dependencies: api, env, hyper, rustls. Never apiserver or store: whoever starts a process hands the service in.
//!
//! Invariants:
//! - Both transports have one API; nothing above [`Client`] knows which one it talks through.
//! - Every queue, retry, body and wait has a limit, named in [`limits`].
//! - A redirect is never followed and a credential is never logged.

mod api;
mod blob;
mod body;
mod client;
mod decode;
mod discovery;
mod error;
pub mod events;
pub mod informer;
pub mod kubeconfig;
pub mod limits;
mod params;
mod proxy;
mod queue;
mod remote;
mod roots;
mod service;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod watch;
mod webhook;

pub use api::{Api, Deleted, List, RecordList};
pub use blob::{Blob, BlobError, BlobSource, Reference, ReferenceError};
pub use body::{ApiService, Body, BoxError, collect, empty, full};
pub use client::Client;
pub use decode::record_from_value;
pub use discovery::{ApiResource, Discovery};
pub use error::Error;
pub use events::{EventRecorder, EventType, reference};
pub use informer::{Change, Informer, InformerSpec, Informers, Lister, Store, Subscription};
pub use kubeconfig::Kubeconfig;
pub use params::{DeleteParams, FieldValidation, ListParams, Patch, Propagation, WatchParams, WriteParams};
pub use proxy::{ServicePort, ServiceProxy};
pub use queue::{Backoff, Work, WorkQueue};
pub use sampan_api::RecordEvent as WatchEvent;
pub use tls::{CertificateAuthority, Credentials, RemoteConfig};
pub use watch::WatchStream;
pub use webhook::WebhookClient;

pub type Result<T> = std::result::Result<T, Error>;
