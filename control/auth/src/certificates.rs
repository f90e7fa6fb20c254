//! Users out of client certificates: the common name is the user, each organization a group
//! (k8s.io/apiserver/pkg/authentication/request/x509).
//!
//! A handshake takes any certificate, once its key is proved to be the client's ([`Shown`]); whether an authority vouches for
//! it, whether it is of this time and meant for clients, is found out by the authenticator ([`ClientCertificates`]). So a
//! certificate that does not hold is answered 401, and a token beside it counts.

use crate::authenticator::{Authenticator, Credentials, Peer, Refused, Verified};
use crate::limits::CLIENT_CERTIFICATES_BYTES_MAX;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use sampan_api::user::UserInfo;
use sampan_env::Env;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::der_parser::oid::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Under which a user's extra facts name the credential that proved it.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// The attribute of a subject that is the user's UID.
const UID: &str = "1.3.6.1.4.1.57683.2";

/// The authorities that vouch for clients' certificates.
#[derive(Clone, Debug)]
pub struct ClientAuthorities(Arc<dyn ClientCertVerifier>);

impl ClientAuthorities {
    /// Those that a verifier knows.
    pub(crate) fn new(verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self(verifier)
    }

    /// What a handshake does with clients' certificates.
    pub(crate) fn handshake(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Shown(self.0.clone()))
    }

    /// Checks a chain, the client's own certificate first.
    fn verify(&self, chain: &[Bytes], now: SystemTime) -> Result<(), Refused> {
        let mut chain = chain.iter().map(|der| CertificateDer::from(der.as_ref()));
        let own = chain.next().ok_or_else(|| Refused("client certificate: there is none".into()))?;
        let between: Vec<CertificateDer<'_>> = chain.collect();
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let verified = self.0.verify_client_cert(&own, &between, now);
        verified.map(drop).map_err(|error| Refused(format!("verifying a client certificate failed: {error}")))
    }
}

/// Takes certificates of anybody: the handshake proves that the client has the key, and nothing else.
#[derive(Debug)]
struct Shown(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Shown {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // Whoever connects has them kept for as long as the connection is.
        let bytes = own.len() + between.iter().map(|one| one.len()).sum::<usize>();
        if bytes > CLIENT_CERTIFICATES_BYTES_MAX {
            return Err(rustls::Error::General(format!(
                "client certificates of {bytes} bytes: at most {CLIENT_CERTIFICATES_BYTES_MAX} are taken"
            )));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Reads and verifies the certificates that connections show, once each, and again when one of them begins or ends to hold.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    authorities: ClientAuthorities,
    env: Env,
}

impl ClientCertificates {
    /// Believes these authorities.
    pub fn new(authorities: ClientAuthorities, env: Env) -> Self {
        Self { authorities, env }
    }

    fn read(&self, chain: &[Bytes], now: SystemTime) -> Verified {
        let user = || {
            self.authorities.verify(chain, now)?;
            Ok(chain.first().map(|own| identity(own)).transpose()?.flatten().map(Arc::new))
        };
        Verified { user: user().map_err(|refused: Refused| refused.0), until: next_change(chain, now) }
    }

    fn known(&self, peer: &Peer) -> Result<Option<Arc<UserInfo>>, Refused> {
        if peer.certificates.is_empty() {
            return Ok(None);
        }
        let now = self.env.now();
        let mut verified = peer.verified.lock();
        let known = match verified.take().filter(|known| known.until.is_none_or(|until| now < until)) {
            Some(known) => known,
            None => self.read(&peer.certificates, now),
        };
        verified.insert(known).user.clone().map_err(Refused)
    }
}

/// When one of the certificates begins or ends to hold, and what was found out of all of them is to be found out again: the
/// first such time after `now`. `None`: no more. What cannot be read changes nothing.
fn next_change(chain: &[Bytes], now: SystemTime) -> Option<SystemTime> {
    let validities = chain.iter().filter_map(|der| Some(parsed(der).ok()?.validity().clone()));
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    // It holds in its last second.
    let changes = validities.flat_map(|validity| {
        [at(validity.not_before.timestamp()), at(validity.not_after.timestamp().saturating_add(1))]
    });
    changes.filter(|change| *change > now).min()
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, Refused> {
    let read = X509Certificate::from_der(der);
    read.map(|(_, certificate)| certificate).map_err(|error| Refused(format!("client certificate: {error}")))
}

/// The identity that a certificate (DER) states; `None`: it names nobody. An error where it cannot be read, or where its
/// subject's UID is none.
pub fn identity(der: &[u8]) -> Result<Option<UserInfo>, Refused> {
    let certificate = parsed(der)?;
    let subject = certificate.subject();
    // Of several the last counts, as in Go.
    let name = subject.iter_common_name().last().and_then(|name| name.as_str().ok()).unwrap_or_default();
    if name.is_empty() {
        return Ok(None);
    }
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
    let mut user = UserInfo::new(name, groups);
    user.uid = uid(&certificate)?;
    let mut id = "X509SHA256=".to_owned();
    for byte in digest(&SHA256, der).as_ref() {
        // Writing to a String does not fail.
        write!(id, "{byte:02x}").map_err(|error| Refused(error.to_string()))?;
    }
    user.extra.insert(CREDENTIAL_ID.to_owned(), vec![id]);
    Ok(Some(user))
}

/// The UID in a certificate's subject; `""`: it has none.
fn uid(certificate: &X509Certificate<'_>) -> Result<String, Refused> {
    let refuse = |why: &str| Refused(format!("client certificate: {why}"));
    let is_uid = |oid: &Oid<'_>| oid.to_id_string() == UID;
    let mut uids = certificate.subject().iter_attributes().filter(|attribute| is_uid(attribute.attr_type()));
    let Some(uid) = uids.next() else { return Ok(String::new()) };
    if uids.next().is_some() {
        return Err(refuse("expected 1 UID, but found multiple"));
    }
    match uid.as_str() {
        Ok("") => Err(refuse("UID cannot be an empty string")),
        Ok(uid) => Ok(uid.to_owned()),
        Err(_) => Err(refuse("unable to parse UID into a string")),
    }
}

impl Authenticator for ClientCertificates {
    fn authenticate<'a>(
        &'a self,
        credentials: Credentials<'a>,
    ) -> BoxFuture<'a, Result<Option<Arc<UserInfo>>, Refused>> {
        std::future::ready(self.known(credentials.peer)).boxed()
    }
}

#[cfg(test)]
mod tests;
