use super::*;
use crate::pki::Pki;
use http::HeaderMap;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use sampan_api::admission::Warnings;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A certificate that the authority signs: its subject, its usage, and the year in which it ends.
fn signed(pki: &Pki, subject: &[(DnType, &str)], usage: ExtendedKeyUsagePurpose, ends: i32) -> Bytes {
    signed_of(pki, subject, usage, ends, &KeyPair::generate().expect("a key"))
}

/// As above, of this key.
fn signed_of(pki: &Pki, subject: &[(DnType, &str)], usage: ExtendedKeyUsagePurpose, ends: i32, key: &KeyPair) -> Bytes {
    let mut name = DistinguishedName::new();
    for (attribute, value) in subject {
        name.push(attribute.clone(), *value);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.extended_key_usages = vec![usage];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(ends, 1, 1);
    // Something that a verifier need not know.
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0])];
    let authority = KeyPair::from_pem(pki.ca_key_pem()).expect("the authority's key");
    let issuer = Issuer::from_ca_cert_pem(pki.ca_pem(), authority).expect("the authority");
    let made = params.signed_by(key, &issuer).expect("signed");
    Bytes::copy_from_slice(made.der())
}

fn uid_type() -> DnType {
    DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2])
}

async fn known(authenticator: &ClientCertificates, peer: &Peer) -> Result<Option<UserInfo>, String> {
    let (headers, warnings) = (HeaderMap::new(), Warnings::default());
    let found = authenticator.authenticate(Credentials { headers: &headers, peer, warnings: &warnings }).await;
    found.map(|user| user.map(|user| (*user).clone())).map_err(|refused| refused.0)
}

#[tokio::test]
async fn certificates_are_believed_where_an_authority_vouches_for_them_now_and_for_clients() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let env = Env::system();
    let pki = Pki::open(folder.path(), &env).expect("made");
    let stranger = Pki::open(other.path(), &env).expect("made");
    let authenticator = ClientCertificates::new(pki.client_authorities(None).expect("the authority"), env.clone());
    let alice = [(DnType::OrganizationName, "devs"), (DnType::CommonName, "alice"), (uid_type(), "u-1")];
    let client = || ExtendedKeyUsagePurpose::ClientAuth;
    let check = async |certificate: Bytes, expected: Result<Option<&str>, &str>| {
        let found = known(&authenticator, &Peer::showing(vec![certificate])).await;
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.as_ref().map(|user| user.name.as_str()), expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            _ => panic!("{found:?}, expected {expected:?}"),
        }
    };
    check(signed(&pki, &alice, client(), 2100), Ok(Some("alice"))).await;
    check(signed(&pki, &[(DnType::OrganizationName, "devs")], client(), 2100), Ok(None)).await;
    check(signed(&pki, &alice, client(), 2021), Err("verifying a client certificate failed")).await;
    check(signed(&stranger, &alice, client(), 2100), Err("verifying a client certificate failed")).await;
    check(signed(&pki, &alice, ExtendedKeyUsagePurpose::ServerAuth, 2100), Err("verifying")).await;
    check(Bytes::from_static(b"none"), Err("verifying")).await;
    let (name, twice) = ((DnType::CommonName, "alice"), "UID cannot be an empty string");
    check(signed(&pki, &[name, (uid_type(), "")], client(), 2100), Err(twice)).await;
    assert_eq!(known(&authenticator, &Peer::default()).await, Ok(None));

    let shown = signed(&pki, &alice, client(), 2100);
    let user = known(&authenticator, &Peer::showing(vec![shown.clone()])).await.expect("holds").expect("a user");
    assert_eq!((user.uid.as_str(), user.in_group("devs"), user.in_group("system:authenticated")), ("u-1", true, true));
    let hex: String = digest(&SHA256, &shown).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(user.extra[CREDENTIAL_ID], [format!("X509SHA256={hex}")]);
}

#[tokio::test]
async fn a_connection_outlives_no_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::open(folder.path(), &Env::system()).expect("made");
    let authorities = pki.client_authorities(None).expect("the authority");
    let at = |after: Duration| Env::simulated(1, UNIX_EPOCH + after);
    let peer =
        Peer::showing(vec![signed(&pki, &[(DnType::CommonName, "alice")], ExtendedKeyUsagePurpose::ClientAuth, 2030)]);
    let early = ClientCertificates::new(authorities.clone(), at(57 * YEAR));
    assert!(known(&early, &peer).await.expect("holds").is_some());
    let late = ClientCertificates::new(authorities, at(61 * YEAR));
    let why = known(&late, &peer).await.expect_err("over");
    assert!(why.contains("expired"), "{why}");
}

#[tokio::test]
async fn a_connection_is_believed_once_its_certificate_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::open(folder.path(), &Env::system()).expect("made");
    let authorities = pki.client_authorities(None).expect("the authority");
    let at = |after: Duration| ClientCertificates::new(authorities.clone(), Env::simulated(1, UNIX_EPOCH + after));
    let peer =
        Peer::showing(vec![signed(&pki, &[(DnType::CommonName, "alice")], ExtendedKeyUsagePurpose::ClientAuth, 2030)]);
    let why = known(&at(48 * YEAR), &peer).await.expect_err("not yet");
    assert!(why.contains("not valid yet"), "{why}");
    assert!(known(&at(57 * YEAR), &peer).await.expect("holds").is_some());
}

#[tokio::test]
async fn a_certificate_that_nothing_hangs_on_may_have_expired() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::open(folder.path(), &Env::system()).expect("made");
    let authenticator = ClientCertificates::new(pki.client_authorities(None).expect("the authority"), Env::system());
    let client = |name, ends| signed(&pki, &[(DnType::CommonName, name)], ExtendedKeyUsagePurpose::ClientAuth, ends);
    let peer = Peer::showing(vec![client("alice", 2100), client("needless", 2021)]);
    let user = known(&authenticator, &peer).await.expect("holds").expect("a user");
    assert_eq!(user.name, "alice");
}

#[test]
fn a_token_stands_behind_one_space() {
    let check = |header: &str, token: Option<&str>, spaced: bool| {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, header.parse().expect("a header"));
        let credentials = Credentials { headers: &headers, peer: &Peer::default(), warnings: &Warnings::default() };
        assert_eq!((credentials.bearer_token(), credentials.has_spaced_token()), (token, spaced), "{header}");
    };
    check("Bearer a", Some("a"), false);
    check("bearer a b", Some("a"), false);
    check("Bearer  a", None, true);
    check("Bearer ", None, false);
    check("Bearer", None, false);
    check("Basic a", None, false);
}

/// Shows a certificate of which it has, or claims to have, the key.
#[derive(Debug)]
struct Shows(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The certificates that the server has after a handshake with a client that shows this one and signs by that key.
fn shake(pki: &Pki, certificate: &Bytes, key: &KeyPair) -> Result<usize, rustls::Error> {
    let server = pki.server_config(&["localhost"], &[]).expect("TLS");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = provider.key_provider.load_private_key(key).expect("a key");
    let shown = rustls::sign::CertifiedKey::new(vec![CertificateDer::from(certificate.to_vec())], key);
    let mut roots = rustls::RootCertStore::empty();
    let authority = <CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(pki.ca_pem().as_bytes());
    roots.add(authority.expect("PEM")).expect("a root");
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Shows(Arc::new(shown))));
    let name = "localhost".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = rustls::ServerConnection::new(Arc::new(server)).expect("a server");
    // Each turn takes what the other end has said; a handshake has few.
    for _ in 0..10 {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        client.write_tls(&mut there).expect("memory");
        server.read_tls(&mut there.as_slice()).expect("memory");
        server.process_new_packets()?;
        server.write_tls(&mut back).expect("memory");
        client.read_tls(&mut back.as_slice()).expect("memory");
        client.process_new_packets()?;
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    Ok(server.peer_certificates().map_or(0, <[_]>::len))
}

#[test]
fn a_handshake_takes_any_certificate_whose_key_is_the_clients() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let pki = Pki::open(folder.path(), &Env::system()).expect("made");
    let stranger = Pki::open(other.path(), &Env::system()).expect("made");
    let key = KeyPair::generate().expect("a key");
    let alice = [(DnType::CommonName, "alice")];
    let client = || ExtendedKeyUsagePurpose::ClientAuth;
    for shown in [
        signed_of(&pki, &alice, client(), 2100, &key),
        signed_of(&pki, &alice, client(), 2021, &key),
        signed_of(&stranger, &alice, client(), 2100, &key),
    ] {
        assert_eq!(shake(&pki, &shown, &key), Ok(1));
        // Who has seen the certificate alone gets nowhere.
        let thief = KeyPair::generate().expect("a key");
        assert!(shake(&pki, &shown, &thief).is_err());
    }
}
