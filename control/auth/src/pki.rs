//! The cluster's own certificates: a CA made on the first start, the administrator's client certificate, the key that
//! will sign ServiceAccount tokens, and a server certificate made anew at each start.

use crate::certificates::{ClientAuthorities, ClientCertificates};
use crate::limits::{CA_VALIDITY_YEARS, CERTIFICATE_RENEWAL_DAYS, CERTIFICATE_VALIDITY_YEARS};
use crate::service_account::{PublicKey, SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use sampan_env::Env;
use sampan_env::files::{self, Durability};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("{path} is no certificate or key that can be used: {problem}; remove the folder to have new ones made")]
    Damaged { path: PathBuf, problem: String },
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct KeyedCertificate {
    pub certificate_pem: String,
    pub key_pem: String,
}

/// The key is a secret.
impl std::fmt::Debug for KeyedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedCertificate")
    }
}

/// The cluster's certificate authority and what is signed by it.
#[derive(Debug)]
pub struct Pki {
    ca: KeyedCertificate,
    /// `sampan-admin` of `system:masters`: what the kubeconfig carries.
    pub admin: KeyedCertificate,
    today: jiff::civil::Date,
    sa: Files,
}

impl Pki {
    /// Reads `folder/{ca,admin,sa}.{crt,key}`, and makes what is missing. Keys are readable by their owner only.
    pub fn open(folder: &Path, env: &Env) -> Result<Self, PkiError> {
        std::fs::create_dir_all(folder).map_err(|error| PkiError::File { path: folder.to_owned(), error })?;
        let today = today(env);
        let ca_files = Files::new(folder, "ca");
        let ca = match ca_files.read()? {
            Some(ca) => ca,
            None => ca_files.write(make_ca("sampan-ca", today)?)?,
        };
        let none = KeyedCertificate { certificate_pem: String::new(), key_pem: String::new() };
        let mut pki = Self { ca, admin: none, today, sa: Files::new(folder, "sa") };
        let admin_files = Files::new(folder, "admin");
        let kept = match admin_files.read()? {
            Some(admin) if pki.still_good(&admin.certificate_pem) => Some(admin),
            _ => None,
        };
        pki.admin = match kept {
            Some(admin) => admin,
            None => admin_files.write(pki.client("sampan-admin", "system:masters")?)?,
        };
        let sa = &pki.sa;
        if !sa.key.exists() {
            let key = KeyPair::generate()?;
            write_file(&sa.certificate, key.public_key_pem().as_bytes(), 0o644)?;
            write_file(&sa.key, key.serialize_pem().as_bytes(), 0o600)?;
        }
        Ok(pki)
    }

    /// Reads the key that signs the tokens of service accounts. One of another kind may be put in its place (RSA, say, for
    /// relying parties that want RS256): tokens of the former key do not hold any more.
    ///
    /// # Errors
    /// When the file is gone, or holds no key that can sign.
    pub fn token_key(&self) -> Result<SigningKey, PkiError> {
        Self::token_key_of(&self.sa.key)
    }

    /// As [`Pki::token_key`], of a file that others made.
    ///
    /// # Errors
    /// As there.
    pub fn token_key_of(path: &Path) -> Result<SigningKey, PkiError> {
        let path = path.to_owned();
        let pem = std::fs::read(&path).map_err(|error| PkiError::File { path: path.clone(), error })?;
        SigningKey::from_pem(&pem).map_err(|error| PkiError::Damaged { path, problem: error.to_string() })
    }

    /// Reads the public keys of a file that others made: see [`PublicKey::all_from_pem`].
    ///
    /// # Errors
    /// When the file cannot be read, or holds none.
    pub fn public_keys_of(path: &Path) -> Result<Vec<PublicKey>, PkiError> {
        let pem = std::fs::read(path).map_err(|error| PkiError::File { path: path.to_owned(), error })?;
        let keys = PublicKey::all_from_pem(&pem);
        keys.map_err(|error| PkiError::Damaged { path: path.to_owned(), problem: error.to_string() })
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca.certificate_pem
    }

    /// The authority's key, for who signs in this process.
    pub(crate) fn ca_key_pem(&self) -> &str {
        &self.ca.key_pem
    }

    /// A client certificate: `user` as the common name, `group` as the organization.
    pub fn client(&self, user: &str, group: &str) -> Result<KeyedCertificate, PkiError> {
        self.leaf(user, Some(group), Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn leaf(
        &self,
        name: &str,
        organization: Option<&str>,
        subjects: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<KeyedCertificate, PkiError> {
        let mut subject = DistinguishedName::new();
        if let Some(organization) = organization {
            subject.push(DnType::OrganizationName, organization);
        }
        subject.push(DnType::CommonName, name);
        sign(&self.ca, self.today, subject, subjects, usage)
    }

    /// The server's TLS: a certificate for `names` and `addresses`. Clients may show certificates, of anybody: who they are is
    /// the authenticator's to say ([`crate::certificates`]). Which protocols are spoken over it is the listener's to say.
    pub fn server_config(&self, names: &[&str], addresses: &[IpAddr]) -> Result<rustls::ServerConfig, PkiError> {
        self.server_config_with(None, &self.client_authorities(None)?, names, addresses)
    }

    /// The authorities of clients' certificates: this one, and those of a file that others made.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn client_authorities(&self, more: Option<&Path>) -> Result<ClientAuthorities, PkiError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate(&self.ca.certificate_pem)?)?;
        for authority in more.map(certificates_of).transpose()?.unwrap_or_default() {
            roots.add(authority)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(ClientAuthorities::new(verifier))
    }

    fn server_leaf(&self, names: &[&str], addresses: &[IpAddr]) -> Result<KeyedCertificate, PkiError> {
        let mut subjects = Vec::new();
        for name in names {
            subjects.push(SanType::DnsName((*name).try_into()?));
        }
        subjects.extend(addresses.iter().copied().map(SanType::IpAddress));
        self.leaf("sampan-apiserver", None, subjects, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Tells who shows a certificate of [`Pki::client_authorities`].
    ///
    /// # Errors
    /// As there.
    pub fn client_certificates(&self, more: Option<&Path>, env: &Env) -> Result<ClientCertificates, PkiError> {
        Ok(ClientCertificates::new(self.client_authorities(more)?, env.clone()))
    }

    /// As [`Pki::server_config`], with a certificate, its chain and its key out of files that others made; `clients`: the
    /// authorities of which clients are asked for certificates. `None`: the cluster's own certificate, as there.
    ///
    /// # Errors
    /// A file cannot be read, or holds no certificate or key.
    pub fn server_config_with(
        &self,
        pair: Option<&(PathBuf, PathBuf)>,
        clients: &ClientAuthorities,
        names: &[&str],
        addresses: &[IpAddr],
    ) -> Result<rustls::ServerConfig, PkiError> {
        if let Some((certificate, key)) = pair {
            let der = PrivateKeyDer::from_pem_slice(&read_file(key)?);
            let der = der.map_err(|error| PkiError::Damaged { path: key.clone(), problem: error.to_string() })?;
            return Self::server_config_of(certificates_of(certificate)?, der, clients);
        }
        let server = self.server_leaf(names, addresses)?;
        let key = KeyPair::from_pem(&server.key_pem)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Self::server_config_of(vec![self.certificate(&server.certificate_pem)?], key, clients)
    }

    fn server_config_of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        clients: &ClientAuthorities,
    ) -> Result<rustls::ServerConfig, PkiError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_client_cert_verifier(clients.handshake())
            .with_single_cert(chain, key)?;
        Ok(config)
    }

    fn certificate(&self, pem: &str) -> Result<CertificateDer<'static>, PkiError> {
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| rustls::Error::General(error.to_string()).into())
    }

    /// Whether a certificate is signed by this CA and good for a while yet.
    fn still_good(&self, pem: &str) -> bool {
        let now = self.today.to_zoned(jiff::tz::TimeZone::UTC).map_or(0, |day| day.timestamp().as_second());
        let Ok(der) = self.certificate(pem) else { return false };
        let Ok(ca) = self.certificate(&self.ca.certificate_pem) else { return false };
        let (Ok((_, leaf)), Ok((_, ca))) =
            (x509_parser::parse_x509_certificate(&der), x509_parser::parse_x509_certificate(&ca))
        else {
            return false;
        };
        leaf.issuer() == ca.subject() && leaf.validity().not_after.timestamp() - now > CERTIFICATE_RENEWAL_DAYS * 86_400
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, PkiError> {
    std::fs::read(path).map_err(|error| PkiError::File { path: path.to_owned(), error })
}

/// The certificates of a file (PEM), one at least.
fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let damaged = |problem: String| PkiError::Damaged { path: path.to_owned(), problem };
    let pem = read_file(path)?;
    let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match all.map_err(|error| damaged(error.to_string()))? {
        none if none.is_empty() => Err(damaged("it holds no certificate".into())),
        all => Ok(all),
    }
}

/// A certificate of an authority, with a new key.
fn sign(
    ca: &KeyedCertificate,
    today: jiff::civil::Date,
    subject: DistinguishedName,
    names: Vec<SanType>,
    usage: ExtendedKeyUsagePurpose,
) -> Result<KeyedCertificate, PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, today, CERTIFICATE_VALIDITY_YEARS);
    let issuer = Issuer::from_ca_cert_pem(&ca.certificate_pem, KeyPair::from_pem(&ca.key_pem)?)?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(KeyedCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

/// The authority of the front proxy, which is this API server before aggregated ones, and the certificate that it shows
/// them: who shows it is believed in what it says of who asks.
#[derive(Debug)]
pub struct FrontProxy {
    ca: KeyedCertificate,
    client: KeyedCertificate,
}

/// The common name of the front proxy's certificate, as kubeadm has it.
pub const FRONT_PROXY_NAME: &str = "front-proxy-client";

impl FrontProxy {
    /// Reads `folder/front-proxy-{ca,client}.{crt,key}`, and makes both anew where the pair is not whole or its time comes.
    ///
    /// # Errors
    /// When they can be neither read nor made.
    pub fn open(folder: &Path, env: &Env) -> Result<Self, PkiError> {
        let (authority, own) = (Files::new(folder, "front-proxy-ca"), Files::new(folder, "front-proxy-client"));
        let today = today(env);
        if let (Ok(Some(ca)), Ok(Some(client))) = (authority.read(), own.read()) {
            let kept = Pki { ca, admin: client, today, sa: Files::new(folder, "sa") };
            if kept.still_good(&kept.admin.certificate_pem) {
                return Ok(Self { ca: kept.ca, client: kept.admin });
            }
        }
        let ca = make_ca("front-proxy-ca", today)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, FRONT_PROXY_NAME);
        let client = sign(&ca, today, subject, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)?;
        // Where they are lost with the power, new ones are made: who trusts them is told.
        Ok(Self {
            ca: authority.write_as(ca, Durability::Process)?,
            client: own.write_as(client, Durability::Process)?,
        })
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca.certificate_pem
    }

    /// What is shown to aggregated servers.
    pub fn client(&self) -> &KeyedCertificate {
        &self.client
    }
}

fn today(env: &Env) -> jiff::civil::Date {
    let now = jiff::Timestamp::try_from(env.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn valid_for(params: &mut CertificateParams, today: jiff::civil::Date, years: i32) {
    let day = |date: jiff::civil::Date| {
        // Days up to the 28th exist in every month of every year.
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().min(28).unsigned_abs())
    };
    // A day earlier: clocks of clients may run behind.
    params.not_before = day(today.yesterday().unwrap_or(today));
    params.not_after = day(today.saturating_add(jiff::Span::new().years(years)));
}

fn make_ca(name: &str, today: jiff::civil::Date) -> Result<KeyedCertificate, PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, today, CA_VALIDITY_YEARS);
    let certificate = params.self_signed(&key)?;
    Ok(KeyedCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(folder: &Path, name: &str) -> Self {
        Self { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) }
    }

    fn read(&self) -> Result<Option<KeyedCertificate>, PkiError> {
        // The certificate is written last: a key alone is what a start that was broken off has left.
        if !self.certificate.exists() {
            return Ok(None);
        }
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| PkiError::File { path: path.clone(), error })
        };
        let pair = KeyedCertificate { certificate_pem: read(&self.certificate)?, key_pem: read(&self.key)? };
        let damaged = |path: &PathBuf, problem: String| PkiError::Damaged { path: path.clone(), problem };
        let key = KeyPair::from_pem(&pair.key_pem).map_err(|error| damaged(&self.key, error.to_string()))?;
        let der = CertificateDer::from_pem_slice(pair.certificate_pem.as_bytes())
            .map_err(|error| damaged(&self.certificate, error.to_string()))?;
        let (_, certificate) =
            x509_parser::parse_x509_certificate(&der).map_err(|error| damaged(&self.certificate, error.to_string()))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(damaged(&self.certificate, format!("it is of another key than {}", self.key.display())));
        }
        Ok(Some(pair))
    }

    /// The key first: a certificate without its key would pass for a damaged pair. An old certificate goes before its key
    /// does, or the two would not fit each other.
    fn write(&self, pair: KeyedCertificate) -> Result<KeyedCertificate, PkiError> {
        self.write_as(pair, Durability::Power)
    }

    fn write_as(&self, pair: KeyedCertificate, durability: Durability) -> Result<KeyedCertificate, PkiError> {
        match std::fs::remove_file(&self.certificate) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(PkiError::File { path: self.certificate.clone(), error });
            }
            _ => {}
        }
        write_file_as(&self.key, pair.key_pem.as_bytes(), 0o600, durability)?;
        write_file_as(&self.certificate, pair.certificate_pem.as_bytes(), 0o644, durability)?;
        Ok(pair)
    }
}

/// Whole or not at all, and safe from the loss of power.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    write_file_as(path, bytes, mode, Durability::Power)
}

fn write_file_as(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<(), PkiError> {
    files::replace_with_mode(path, bytes, mode, durability)
        .map_err(|error| PkiError::File { path: path.to_owned(), error })
}

/// The common name of the subject of a certificate request (PEM).
///
/// # Errors
/// The fault of the request, in words.
pub fn requested_name(pem: &[u8]) -> Result<String, String> {
    use x509_parser::prelude::FromDer as _;
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|error| error.to_string())?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err("PEM block type must be CERTIFICATE REQUEST".into());
    }
    let request = x509_parser::certification_request::X509CertificationRequest::from_der(&block.contents);
    let (_, request) = request.map_err(|error| error.to_string())?;
    // Of several the last counts, as for the name of a user.
    let name = request.certification_request_info.subject.iter_common_name().last();
    Ok(name.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::identity;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_made_once_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let env = Env::system();
        let first = Pki::open(folder.path(), &env).expect("made");
        let second = Pki::open(folder.path(), &env).expect("read");
        assert_eq!(first.ca_pem(), second.ca_pem());
        assert_eq!(first.admin.certificate_pem, second.admin.certificate_pem);
        for name in ["ca", "admin", "sa"] {
            let mode = folder.path().join(format!("{name}.key")).metadata().expect("written").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let der = first.certificate(&first.admin.certificate_pem).expect("PEM");
        let admin = identity(&der).expect("readable").expect("an identity");
        assert_eq!((admin.name.as_str(), admin.in_group("system:masters")), ("sampan-admin", true));
        first.server_config(&["localhost"], &["127.0.0.1".parse().expect("an address")]).expect("TLS");
    }

    #[test]
    fn a_start_that_was_broken_off_is_taken_up_again() {
        let check = |left: &[(&str, &str)], ca_stays: bool| {
            let folder = tempfile::tempdir().expect("a folder");
            let first = Pki::open(folder.path(), &Env::system()).expect("made");
            for (name, text) in left {
                let path = folder.path().join(name);
                if text.is_empty() {
                    std::fs::remove_file(&path).expect("it was there");
                } else {
                    std::fs::write(&path, text).expect("written");
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
                }
            }
            let second = Pki::open(folder.path(), &Env::system()).expect("opens again");
            assert_eq!(first.ca_pem() == second.ca_pem(), ca_stays, "{left:?}");
            assert!(second.still_good(&second.admin.certificate_pem), "{left:?}");
            for name in ["ca", "admin", "sa"] {
                let mode = folder.path().join(format!("{name}.key")).metadata().expect("there").permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{name} {left:?}");
            }
        };
        check(&[("ca.crt", "")], false);
        check(&[("admin.crt", "")], true);
        check(&[("sa.key", "")], true);
        // A temporary file that everybody may read does not become the key.
        check(&[("admin.crt", ""), ("admin.key", ""), ("admin.key.new", "half a")], true);
    }

    #[test]
    fn a_certificate_of_another_key_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        Pki::open(folder.path(), &Env::system()).expect("made");
        std::fs::copy(folder.path().join("admin.key"), folder.path().join("ca.key")).expect("copied");
        let error = Pki::open(folder.path(), &Env::system()).expect_err("damaged").to_string();
        assert!(error.contains("ca.crt") && error.contains("another key"), "{error}");
    }

    #[test]
    fn a_damaged_key_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        Pki::open(folder.path(), &Env::system()).expect("made");
        std::fs::write(folder.path().join("ca.key"), "nonsense").expect("written");
        let error = Pki::open(folder.path(), &Env::system()).expect_err("damaged").to_string();
        assert!(error.contains("ca.key") && error.contains("remove"), "{error}");
    }
}
