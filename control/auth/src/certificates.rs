//! Users out of client certificates: the common name is the user, each organization a group
//! (k8s.io/apiserver/pkg/authentication/request/x509).

use crate::authenticator::{Authenticator, Credentials, Refused};
use futures::future::{BoxFuture, FutureExt};
use sampan_api::user::UserInfo;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Reads the certificate that the TLS handshake has verified against the cluster's CA.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientCertificates;

/// The identity that a certificate (DER) states. An error where it states none.
pub fn identity(der: &[u8]) -> Result<UserInfo, Refused> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| Refused(format!("client certificate: {error}")))?;
    let subject = certificate.subject();
    // Of several the last counts, as in Go.
    let name = subject.iter_common_name().last().and_then(|name| name.as_str().ok()).unwrap_or_default();
    if name.is_empty() {
        return Err(Refused("client certificate: its subject has no common name".into()));
    }
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
    Ok(UserInfo::new(name, groups))
}

impl Authenticator for ClientCertificates {
    fn authenticate<'a>(
        &'a self,
        credentials: Credentials<'a>,
    ) -> BoxFuture<'a, Result<Option<Arc<UserInfo>>, Refused>> {
        let found = match (credentials.peer.identity.get(), credentials.peer.certificates.first()) {
            (Some(known), _) => Ok(Some(known.clone())),
            (None, None) => Ok(None),
            (None, Some(der)) => {
                identity(der).map(|user| Some(credentials.peer.identity.get_or_init(|| Arc::new(user)).clone()))
            }
        };
        std::future::ready(found).boxed()
    }
}
