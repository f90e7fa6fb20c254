//! Bootstrap tokens: deletes those whose time is over, and signs the ConfigMap `cluster-info` with those that are for it,
//! so that who joins by a token knows whom it has met (pkg/controller/bootstrap).

use crate::{Context, Error, limits, owner};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, Mac};
use sampan_api::k8s::api::core::v1::{ConfigMap, Secret};
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{Client, DeleteParams, Informer, InformerSpec, Lister};
use sampan_env::Env;
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use serde_json::json;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The type of the Secrets that are such tokens.
pub const TYPE: &str = "bootstrap.kubernetes.io/token";
const CLUSTER_INFO: (&str, &str) = ("kube-public", "cluster-info");
const KUBECONFIG: &str = "kubeconfig";
const SIGNATURE: &str = "jws-kubeconfig-";
const NAME_PREFIX: &str = "bootstrap-token-";

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let (env, tasks) = (&context.config.env, &context.config.tasks);
    let secrets = context
        .informers
        .select(InformerSpec::of::<Secret>().namespace("kube-system").fields(format!("type={TYPE}")))?;
    let mut runtime: Runtime = Runtime::new("token-cleaner", env, tasks);
    runtime.watch(&secrets);
    let identity = |name: &str| context.client(UserInfo::service_account("kube-system", name), name);
    let cleaner = Cleaner { secrets: secrets.lister(), client: identity("token-cleaner")?, env: env.clone() };
    runtime.start(cleaner, limits::WORKERS);

    let (namespace, name) = CLUSTER_INFO;
    let info = InformerSpec::of::<ConfigMap>().namespace(namespace).fields(format!("metadata.name={name}"));
    let info = context.informers.select(info)?;
    let mut runtime: Runtime = Runtime::new("bootstrap-signer", env, tasks);
    runtime.watch(&info);
    watch_tokens(&mut runtime, &secrets);
    let signer = InfoSigner {
        secrets: secrets.lister(),
        info: info.lister(),
        client: identity("bootstrap-signer")?,
        env: env.clone(),
    };
    runtime.start(signer, 1);
    Ok(())
}

fn watch_tokens(runtime: &mut Runtime, secrets: &Informer) {
    let queue = runtime.queue().clone();
    let (namespace, name) = CLUSTER_INFO;
    runtime.watch_with(secrets, move |_, _| queue.add(RecordKey::new(namespace, name)));
}

fn data(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}

/// What is left of a token's time; none that says no end. An end that cannot be read is past.
fn left(secret: &Secret, now: SystemTime) -> Option<Duration> {
    let end = data(secret, "expiration").filter(|text| !text.is_empty())?;
    let end = sampan_api::time::parse(&end);
    Some(end.and_then(|end| end.duration_since(now).ok()).unwrap_or_default())
}

struct Cleaner {
    secrets: Lister<Secret>,
    client: Client,
    env: Env,
}

impl Reconcile for Cleaner {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(secret) = self.secrets.get(&key.namespace, &key.name) else { return Ok(Requeue::Never) };
        match left(&secret, self.env.now()) {
            None => Ok(Requeue::Never),
            Some(left) if !left.is_zero() => Ok(Requeue::After(left)),
            Some(_) => {
                let api = self.client.namespaced::<Secret>(&key.namespace);
                match api.delete(&key.name, &DeleteParams::uid(owner::uid(&secret.metadata))).await {
                    Err(error) if !(error.is_conflict() || error.is_not_found()) => Err(error.into()),
                    _ => Ok(Requeue::Never),
                }
            }
        }
    }
}

struct InfoSigner {
    secrets: Lister<Secret>,
    info: Lister<ConfigMap>,
    client: Client,
    env: Env,
}

/// The detached signature (JWS, HS256) of a text by a token.
fn signature(text: &str, id: &str, secret: &str) -> Option<String> {
    let header = BASE64URL.encode(json!({"alg": "HS256", "kid": id}).to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(format!("{header}.{}", BASE64URL.encode(text)).as_bytes());
    Some(format!("{header}..{}", BASE64URL.encode(mac.finalize().into_bytes())))
}

/// The ConfigMap with the signatures of all tokens that sign, and of no other; `None`: it has them, or there is nothing to
/// sign.
pub fn plan(info: &ConfigMap, tokens: &[Arc<Secret>], now: SystemTime) -> Option<ConfigMap> {
    let held = info.data.as_ref()?;
    let text = held.get(KUBECONFIG)?;
    let mut wanted: BTreeMap<String, String> = held
        .iter()
        .filter(|(key, _)| !key.starts_with(SIGNATURE))
        .map(|(key, one)| (key.clone(), one.clone()))
        .collect();
    for token in tokens {
        let signs = data(token, "usage-bootstrap-signing").as_deref() == Some("true");
        let (Some(id), Some(secret)) = (data(token, "token-id"), data(token, "token-secret")) else { continue };
        let named = owner::name(&token.metadata) == format!("{NAME_PREFIX}{id}");
        let alive = left(token, now).is_none_or(|left| !left.is_zero()) && !owner::is_being_deleted(&token.metadata);
        if let (true, Some(signature)) = (signs && named && alive, signature(text, &id, &secret)) {
            wanted.insert(format!("{SIGNATURE}{id}"), signature);
        }
    }
    (wanted != *held).then(|| ConfigMap { data: Some(wanted), ..info.clone() })
}

impl Reconcile for InfoSigner {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(info) = self.info.get(&key.namespace, &key.name) else { return Ok(Requeue::Never) };
        let Some(signed) = plan(&info, &self.secrets.list(), self.env.now()) else { return Ok(Requeue::Never) };
        match self.client.namespaced::<ConfigMap>(&key.namespace).update(&key.name, &signed).await {
            Err(error) if !(error.is_conflict() || error.is_not_found()) => Err(error.into()),
            _ => Ok(Requeue::Never),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_token_signs_as_kubernetes_own_tests_say() {
        // pkg/controller/bootstrap/jws_test.go
        let expected = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8";
        assert_eq!(
            signature(
                "Hello from the other side. I must have called a thousand times.",
                "joshua",
                "my voice is my passcode"
            )
            .as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn who_may_sign_has_signed_and_nobody_else() {
        let now = sampan_api::time::parse("2026-01-01T00:00:00Z").expect("a time");
        let token = |id: &str, more: Value| -> Arc<Secret> {
            let mut text = json!({"token-id": id, "token-secret": "s", "usage-bootstrap-signing": "true"});
            text.as_object_mut().expect("data").extend(more.as_object().expect("data").clone());
            let encoded =
                |value: &Value| base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or(""));
            let data: serde_json::Map<_, _> =
                text.as_object().expect("data").iter().map(|(key, one)| (key.clone(), encoded(one).into())).collect();
            let secret = json!({"metadata": {"name": format!("bootstrap-token-{id}")}, "type": TYPE, "data": data});
            Arc::new(serde_json::from_value(secret).expect("a Secret"))
        };
        let info = |data: Value| -> ConfigMap {
            serde_json::from_value(json!({"metadata": {"name": "cluster-info"}, "data": data})).expect("a ConfigMap")
        };
        let keys = |map: &ConfigMap| map.data.iter().flat_map(|data| data.keys().cloned()).collect::<Vec<_>>();
        let tokens = [
            token("aaaaaa", json!({})),
            token("bbbbbb", json!({"usage-bootstrap-signing": "false"})),
            token("cccccc", json!({"expiration": "2025-01-01T00:00:00Z"})),
        ];
        let signed = plan(&info(json!({"kubeconfig": "text", "jws-kubeconfig-zzzzzz": "old"})), &tokens, now);
        let signed = signed.expect("signed");
        assert_eq!(keys(&signed), ["jws-kubeconfig-aaaaaa", "kubeconfig"]);
        assert_eq!(plan(&signed, &tokens, now), None);
        assert_eq!(plan(&info(json!({"other": "text"})), &tokens, now), None);
        assert_eq!(left(&tokens[0], now), None);
        assert_eq!(left(&tokens[2], now), Some(Duration::ZERO));
        assert_eq!(
            left(&token("d", json!({"expiration": "2026-01-01T00:01:00Z"})), now),
            Some(Duration::from_secs(60))
        );
    }
}
