//! Tokens by which machines join: each is a Secret of `kube-system`
//! (plugin/pkg/auth/authenticator/token/bootstrap, k8s.io/cluster-bootstrap).

use crate::authenticator::{Authenticated, Refused, TokenAuthenticator};
use crate::union::for_own;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::{BoxFuture, FutureExt};
use sampan_api::k8s::api::core::v1::Secret;
use sampan_api::{Object, RecordKey, UserInfo};
use sampan_client::{Error, Informer, Informers};
use sampan_env::Env;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// The type of these Secrets.
pub const TYPE: &str = "bootstrap.kubernetes.io/token";
const NAMESPACE: &str = "kube-system";
const NAME_PREFIX: &str = "bootstrap-token-";
const GROUP: &str = "system:bootstrappers";
/// Lengths of both parts of `<id>.<secret>`.
const PARTS: (usize, usize) = (6, 16);

/// Tells who shows such a token.
pub struct BootstrapTokens {
    audiences: Vec<String>,
    env: Env,
    secrets: OnceLock<Informer>,
}

impl BootstrapTokens {
    /// `audiences`: what the API server is; for these the tokens hold.
    pub fn new(audiences: Vec<String>, env: Env) -> Self {
        Self { audiences, env, secrets: OnceLock::new() }
    }

    /// Knows tokens from now on, by what `informers` read as `system:apiserver`.
    ///
    /// # Errors
    /// `Config` when there are too many informers.
    pub fn look_up(&self, informers: &Informers) -> Result<(), Error> {
        let secrets = informers.of::<Secret>()?;
        self.secrets.get_or_init(|| secrets);
        Ok(())
    }

    fn find(&self, token: &str) -> Option<Arc<UserInfo>> {
        let (id, secret) = parse(token)?;
        let record = self.secrets.get()?.store().get(&RecordKey::new(NAMESPACE, format!("{NAME_PREFIX}{id}")))?;
        if record.deletion.is_pending() {
            return None;
        }
        user(&record.object(), (id, secret), self.env.now()).map(Arc::new)
    }
}

impl TokenAuthenticator for BootstrapTokens {
    fn authenticate_token<'a>(
        &'a self,
        token: &'a str,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Authenticated>, Refused>> {
        let found = self.find(token).and_then(|user| {
            let audiences = for_own(audiences, &self.audiences)?;
            Some(Authenticated { user, audiences, warning: None })
        });
        std::future::ready(Ok(found)).boxed()
    }
}

fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let is = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (is(id, PARTS.0) && is(secret, PARTS.1)).then_some((id, secret))
}

/// The user of a token's Secret; `None`: the Secret is of no such token, or it does not hold now.
fn user(secret: &Object, (id, shown): (&str, &str), now: SystemTime) -> Option<UserInfo> {
    let data = |key: &str| {
        let encoded = secret.get_str(&["data", key])?;
        String::from_utf8(BASE64.decode(encoded).ok()?).ok()
    };
    let same = |held: &str, shown: &str| verify_slices_are_equal(held.as_bytes(), shown.as_bytes()).is_ok();
    let is_token = secret.get_str(&["type"]) == Some(TYPE);
    if !is_token || !same(&data("token-secret")?, shown) || data("token-id")? != id {
        return None;
    }
    // An end that cannot be read is past.
    if let Some(end) = data("expiration").filter(|text| !text.is_empty())
        && sampan_api::time::parse(&end).is_none_or(|end| end <= now)
    {
        return None;
    }
    if data("usage-bootstrap-authentication")? != "true" {
        return None;
    }
    let mut groups = vec![GROUP.to_owned()];
    let more = data("auth-extra-groups").unwrap_or_default();
    for group in more.split(',').filter(|_| !more.is_empty()) {
        if !is_group(group) {
            return None;
        }
        if !groups.iter().any(|known| known == group) {
            groups.push(group.to_owned());
        }
    }
    groups.sort();
    Some(UserInfo::new(format!("system:bootstrap:{id}"), groups))
}

/// `system:bootstrappers:`, then up to 256 of `a-z0-9:-`, the last of them a letter or a digit.
fn is_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = rest.as_bytes();
    bytes.len() <= 256
        && bytes.last().is_some_and(|last| plain(*last))
        && bytes.iter().all(|byte| plain(*byte) || matches!(byte, b':' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_secret_is_a_token_while_all_of_it_is_right() {
        let now = sampan_api::time::parse("2026-01-01T00:00:00Z").expect("a time");
        let check = |change: &[(&str, Value)], shown: &str, groups: Option<&[&str]>| {
            let mut data = json!({
                "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            });
            for (key, value) in change {
                data[*key] = value.clone();
            }
            let text = |value: &Value| value.as_str().map(|text| json!(BASE64.encode(text)));
            let fields = data.as_object().expect("data").iter();
            let data: serde_json::Map<_, _> = fields.filter_map(|(key, v)| Some((key.clone(), text(v)?))).collect();
            let secret = Object::from_value(json!({"kind": "Secret", "type": TYPE, "data": data})).expect("a Secret");
            let found = parse(shown).and_then(|parts| user(&secret, parts, now));
            let groups = groups.map(|groups| groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>());
            assert_eq!(found.as_ref().map(|user| user.groups.clone()), groups, "{change:?} {shown}");
            assert!(found.is_none_or(|user| user.name == "system:bootstrap:abcdef"));
        };
        let right = "abcdef.0123456789abcdef";
        let plain: &[&str] = &["system:bootstrappers", "system:authenticated"];
        check(&[], right, Some(plain));
        check(&[], "abcdef.0123456789abcdeg", None);
        check(&[], "ABCDEF.0123456789abcdef", None);
        check(&[], "abcdef.0123", None);
        check(&[("token-id", json!("other1"))], right, None);
        check(&[("usage-bootstrap-authentication", json!("yes"))], right, None);
        check(&[("usage-bootstrap-authentication", Value::Null)], right, None);
        check(&[("expiration", json!("2026-01-01T00:00:01Z"))], right, Some(plain));
        check(&[("expiration", json!("2025-12-31T23:59:59Z"))], right, None);
        check(&[("expiration", json!("tomorrow"))], right, None);
        let more = json!("system:bootstrappers:kubeadm:default-node-token");
        let all: &[&str] =
            &["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"];
        check(&[("auth-extra-groups", more)], right, Some(all));
        check(&[("auth-extra-groups", json!("system:masters"))], right, None);
    }
}
