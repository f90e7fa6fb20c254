//! Whether what a token names is there yet: the account, and the pod, Secret or node that it is bound to.

use super::claims::{Claims, Ref};
use super::{LAST_USED, TOKEN_KEY, seconds};
use crate::authenticator::Refused;
use crate::limits::TOKEN_CLOCK_LEEWAY_SECONDS;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sampan_api::k8s::api::core::v1::{Node, Pod, Secret, ServiceAccount};
use sampan_api::{Record, RecordKey};
use sampan_client::{Client, Error, Informer, Informers, Patch};
use serde_json::json;
use std::sync::Arc;

/// Looks objects up: in informers, and where those have not heard of one yet, at the server.
pub(super) struct Live {
    accounts: Informer,
    pods: Informer,
    secrets: Informer,
    nodes: Informer,
    client: Client,
}

impl Live {
    /// By what `client` and `informers` read.
    pub fn new(client: Client, informers: &Informers) -> Result<Self, Error> {
        Ok(Self {
            accounts: informers.of::<ServiceAccount>()?,
            pods: informers.of::<Pod>()?,
            secrets: informers.of::<Secret>()?,
            nodes: informers.of::<Node>()?,
            client,
        })
    }

    /// The object of that name. `uid`: the one that is meant; of another, the server may know a newer one.
    async fn find(
        &self,
        of: &Informer,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Option<Arc<Record>>, Refused> {
        let key = RecordKey::new(namespace, name);
        if let Some(record) = of.store().get(&key).filter(|record| uid.is_empty() || &*record.uid == uid) {
            return Ok(Some(record));
        }
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        match self.client.dynamic(&of.spec().resource, namespace).get_record(name).await {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Refused(format!("{name}: {error}"))),
        }
    }

    /// A token of the TokenRequest API: everything that it is bound to is there, and not deleted for longer than clocks
    /// may differ.
    pub async fn check(&self, claims: &Claims, now: i64) -> Result<(), Refused> {
        let Some(bound) = &claims.kubernetes else { return Err(Refused("the kubernetes.io claim is missing".into())) };
        let (namespace, own) = (bound.namespace.as_str(), &bound.serviceaccount);
        let Some(account) = self.find(&self.accounts, namespace, &own.name, &own.uid).await? else {
            return Err(Refused(format!("serviceaccounts {:?} not found", own.name)));
        };
        if *account.uid != *own.uid {
            let text = format!("service account UID ({}) does not match claim ({})", account.uid, own.uid);
            return Err(Refused(text));
        }
        if was_deleted(&account, now) {
            return Err(Refused(format!("service account {namespace}/{} has been deleted", own.name)));
        }
        if let Some(secret) = &bound.secret {
            self.bound_to(&self.secrets, "secret", namespace, secret, now).await?;
        }
        if let Some(pod) = &bound.pod {
            self.bound_to(&self.pods, "pod", namespace, pod, now).await?;
        } else if let Some(node) = &bound.node {
            self.bound_to(&self.nodes, "node", "", node, now).await?;
        }
        Ok(())
    }

    async fn bound_to(&self, of: &Informer, kind: &str, namespace: &str, to: &Ref, now: i64) -> Result<(), Refused> {
        let invalidated = || Refused("service account token has been invalidated".into());
        let found = self.find(of, namespace, &to.name, &to.uid).await?.ok_or_else(invalidated)?;
        if *found.uid != *to.uid {
            let uid = &found.uid;
            let text = format!("{kind} UID ({uid}) does not match service account {kind} ref claim ({})", to.uid);
            return Err(Refused(text));
        }
        if was_deleted(&found, now) { Err(invalidated()) } else { Ok(()) }
    }

    /// A token that stands in a Secret: it stands there still, and its account is there. Its use is noted once a day. The
    /// answer is a warning to who shows it, where an old cluster made it by itself.
    pub async fn check_legacy(
        &self,
        claims: &Claims,
        token: &str,
        today: &str,
    ) -> Result<Option<&'static str>, Refused> {
        let claims = &claims.legacy;
        let namespace = claims.namespace.as_str();
        let invalidated = || Refused("Token has been invalidated".into());
        let secret = self.find(&self.secrets, namespace, &claims.secret, "").await?.ok_or_else(invalidated)?;
        if secret.deletion.is_pending() {
            return Err(invalidated());
        }
        let held = secret.object().get_str(&["data", TOKEN_KEY]).and_then(|text| BASE64.decode(text).ok());
        if held.is_none_or(|held| verify_slices_are_equal(&held, token.as_bytes()).is_err()) {
            return Err(Refused("Token does not match server's copy".into()));
        }
        let account = self.find(&self.accounts, namespace, &claims.account, &claims.uid).await?;
        let Some(account) = account else {
            return Err(Refused(format!("serviceaccounts {:?} not found", claims.account)));
        };
        if account.deletion.is_pending() {
            return Err(Refused(format!("ServiceAccount {namespace}/{} has been deleted", claims.account)));
        }
        if *account.uid != *claims.uid {
            let uid = &account.uid;
            return Err(Refused(format!("ServiceAccount UID ({uid}) does not match claim ({})", claims.uid)));
        }
        if secret.labels.get(LAST_USED).is_none_or(|date| date.as_str() < today) {
            self.note_use(&secret, today).await;
        }
        match secret.labels.get(INVALID_SINCE).filter(|since| !since.is_empty()) {
            None => Ok(names(&account, &claims.secret).then_some(MADE_BY_ITSELF)),
            Some(_) => Err(Refused(format!(
                "the token in secret {namespace}/{} for service account {namespace}/{} has been marked invalid. Use tokens \
                 from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label \
                 from the secret to temporarily allow use of this token",
                claims.secret, claims.account
            ))),
        }
    }

    /// A failure is told and nothing more: the token is as good without the note.
    async fn note_use(&self, secret: &Record, today: &str) {
        let patch = json!({"metadata": {"uid": &*secret.uid, "labels": {LAST_USED: today}}});
        let api = self.client.namespaced::<Secret>(&secret.key.namespace);
        if let Err(error) = api.patch(&secret.key.name, &Patch::Merge(patch)).await {
            tracing::warn!(%error, secret = %secret.key, "the use of a token could not be noted in its Secret");
        }
    }
}

/// Whether an account names a Secret among those that are its own, as those do that were made for it.
fn names(account: &Record, secret: &str) -> bool {
    let object = account.object();
    let secrets = object.get(&["secrets"]).and_then(serde_json::Value::as_array);
    secrets.into_iter().flatten().any(|one| one["name"] == secret)
}

const MADE_BY_ITSELF: &str = "Use tokens from the TokenRequest API or manually created secret-based tokens instead of \
                              auto-generated secret-based tokens.";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// Whether an object was deleted before now, as far as clocks agree. One that is being deleted holds its tokens until then.
fn was_deleted(record: &Record, now: i64) -> bool {
    if !record.deletion.is_pending() {
        return false;
    }
    let object = record.object();
    let at = object.deletion_timestamp().and_then(sampan_api::time::parse);
    at.is_some_and(|at| seconds(at) < now - TOKEN_CLOCK_LEEWAY_SECONDS)
}
