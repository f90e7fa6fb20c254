//! Credentials: tokens of service accounts and of machines that join, certificates, keys, and requests for certificates.

use crate::input::{Input, bend, garble, pick};
use crate::target::{Bound, LINEAR, Target, Verdict};
use crate::world::World;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sampan_api::admission::Warnings;
use sampan_api::k8s::api::core::v1::{Secret, ServiceAccount};
use sampan_api::user::UserInfo;
use sampan_auth::bootstrap_tokens::{self, BootstrapTokens};
use sampan_auth::service_account::{
    Bound as Bounds, ISSUER_DEFAULT, PublicKey, Ref, ServiceAccountTokens, SigningKey, TokenOrder,
};
use sampan_auth::union::BearerTokens;
use sampan_auth::{Authenticator, Credentials, Peer, Pki, certificates, pki, signing};
use sampan_client::Informers;
use sampan_schema::certificates::check_authorities;
use sampan_testing::{Dice, tls};
use serde_json::{Value, json};
use std::sync::Arc;

const BOOTSTRAP_TOKEN: &str = "abcdef.0123456789abcdef";

/// The server's authenticators of tokens, and tokens that hold: of a service account, and of a machine.
fn tokens(world: &World) -> (BearerTokens, Vec<String>) {
    let (env, own) = (world.server.env.clone(), world.server.client(UserInfo::apiserver()));
    let informers = Informers::new(own.clone(), &env, &world.server.tasks);
    let key = SigningKey::from_pem(tls::signing_key().private_pem.as_bytes()).expect("a key");
    let accounts = ServiceAccountTokens::new(ISSUER_DEFAULT.to_owned(), key, env.clone());
    let audiences = accounts.audiences().to_vec();
    let machines = BootstrapTokens::new(audiences.clone(), env);
    accounts.look_up(own.clone(), &informers).expect("informers");
    machines.look_up(&informers).expect("informers");
    let account = world.wait(async {
        let data =
            json!({"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"});
        let secret =
            json!({"metadata": {"name": "bootstrap-token-abcdef"}, "type": bootstrap_tokens::TYPE, "stringData": data});
        let secret: Secret = serde_json::from_value(secret).expect("a Secret");
        own.namespaced::<Secret>("kube-system").create(&secret).await.expect("made");
        informers.wait_synced().await.expect("Secrets are read");
        own.namespaced::<ServiceAccount>("default").get("default").await.expect("an account")
    });
    let account = Ref { name: "default".to_owned(), uid: account.metadata.uid.unwrap_or_default() };
    let bound = Bounds { namespace: "default".to_owned(), serviceaccount: account, ..Bounds::default() };
    let order = TokenOrder { bound, audiences: audiences.clone(), lifetime_seconds: 36_000 };
    let token = accounts.issue(order).expect("a token");
    let bearer = BearerTokens::new(vec![Arc::new(accounts), Arc::new(machines)], audiences);
    (bearer, vec![token, BOOTSTRAP_TOKEN.to_owned()])
}

/// A token with one of its parts said otherwise.
fn said_otherwise(dice: &mut Dice, token: &str) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = token.split('.').map(|part| part.as_bytes().to_vec()).collect();
    let at = dice.roll(parts.len() as u64) as usize;
    let said = URL_SAFE_NO_PAD.decode(&parts[at]).ok();
    match said.as_deref().and_then(|said| serde_json::from_slice::<Value>(said).ok()) {
        Some(mut claims) => {
            let other = json!({"alg": "none", "kid": "", "iss": "kubernetes/serviceaccount", "exp": 1e18, "aud": "a"});
            bend(dice, &mut claims, &other);
            parts[at] = URL_SAFE_NO_PAD.encode(claims.to_string()).into_bytes();
        }
        None => garble(dice, &mut parts[at]),
    }
    parts.join(&b'.')
}

/// A token that is not, byte for byte, one that was given out, is nobody's.
pub fn bearer_tokens() {
    let world = World::start();
    let (bearer, good) = world.within(|| tokens(&world));
    let target = Target {
        name: "bearer tokens",
        cases: 1_500,
        input: &|dice| {
            let token = pick(dice, &good).clone();
            Input::one(match dice.roll(8) {
                0 => token.into_bytes(),
                1..=4 => said_otherwise(dice, &token),
                _ => {
                    let mut bytes = token.into_bytes();
                    garble(dice, &mut bytes);
                    bytes
                }
            })
        },
        read: &|input| {
            let token = input.text(0);
            let known = world.wait(bearer.review(&token, &[]));
            assert_eq!(known.is_ok(), good.contains(&token), "{:?}", known.map(|one| one.user));
            if good.contains(&token) { Verdict::Taken } else { Verdict::Refused }
        },
        bound: LINEAR,
    };
    target.check();
}

/// What stands between the lines of PEM.
fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).expect("base64")
}

/// Certificates that clients show. One that is not, byte for byte, one that was signed, is nobody's.
pub fn client_certificates() {
    let (world, folder) = (World::start(), tempfile::tempdir().expect("a folder"));
    let pki = Pki::open(folder.path(), &world.server.env).expect("an authority");
    let authenticator = pki.client_certificates(None, &world.server.env).expect("an authenticator");
    let signed = der(&pki.client("a", "b").expect("a certificate").certificate_pem);
    let stranger = der(&tls::self_signed_client("a", "b").certificate_pem);
    let target = Target {
        name: "client certificates",
        cases: 1_500,
        input: &|dice| {
            let mut chain = vec![if dice.one_in(4) { stranger.clone() } else { signed.clone() }];
            if !dice.one_in(6) {
                garble(dice, &mut chain[0]);
            }
            if dice.one_in(4) {
                let mut more = stranger.clone();
                garble(dice, &mut more);
                chain.push(more);
            }
            Input(chain)
        },
        read: &|input| {
            let _ = input.0.iter().map(|der| certificates::identity(der)).filter(Result::is_err).count();
            let (headers, warnings) = (http::HeaderMap::new(), Warnings::default());
            let peer = Peer::showing(input.0.iter().map(|der| der.clone().into()).collect());
            let shown = Credentials { headers: &headers, peer: &peer, warnings: &warnings };
            let known = world.wait(authenticator.authenticate(shown));
            let user = known.as_ref().ok().and_then(Option::as_ref);
            assert!(user.is_none() || input.part(0) == signed, "{user:?}");
            if user.is_some() { Verdict::Taken } else { Verdict::Refused }
        },
        bound: LINEAR,
    };
    target.check();
}

/// Keys, certificates and requests for them, as files and objects hold them.
pub fn pem() {
    let key = tls::signing_key();
    let client = tls::self_signed_client("a", "b");
    let request = tls::signing_request("system:node:a", "system:nodes", "a.example.com");
    let all = [&key.private_pem, &key.public_pem, &client.certificate_pem, &client.key_pem, &request];
    let target = Target {
        name: "pem",
        cases: 1_500,
        input: &|dice| {
            let chosen = *pick(dice, &all);
            let mut bytes = if dice.one_in(2) {
                // The bytes within are changed, and written again as they should be.
                let mut within = der(chosen);
                garble(dice, &mut within);
                let label = chosen.lines().next().unwrap_or_default();
                format!("{label}\n{}\n{}\n", STANDARD.encode(within), label.replace("BEGIN", "END")).into_bytes()
            } else {
                format!("{chosen}{}", pick(dice, &all)).into_bytes()
            };
            if dice.one_in(2) {
                garble(dice, &mut bytes);
            }
            Input::one(bytes)
        },
        read: &|input| {
            let pem = input.part(0);
            let asked = signing::read(pem).map(drop);
            assert_eq!(asked.is_ok(), signing::read(pem).is_ok());
            drop((
                pki::requested_name(pem),
                PublicKey::from_spki(pem),
                SigningKey::from_pem(pem),
                check_authorities(pem),
            ));
            let keys = PublicKey::all_from_pem(pem).map(|keys| {
                for key in keys {
                    assert!(!key.verifies(b"a", b"b"), "anything is a signature");
                    assert!(key.jwk().is_object());
                }
            });
            if asked.is_ok() || keys.is_ok() { Verdict::Taken } else { Verdict::Refused }
        },
        bound: Bound { held: 2 << 20, ..LINEAR },
    };
    target.check();
}
