//! Tokens of service accounts: made for the TokenRequest API and for Secrets, verified at each request
//! (k8s.io/kubernetes/pkg/serviceaccount).

mod claims;
mod discovery;
mod jwt;
mod keys;
mod live;
#[cfg(test)]
mod tests;
mod verified;

pub use claims::{Bound, LEGACY_ISSUER, Ref};
pub use discovery::{CONFIGURATION_PATH, Document, KEYS_PATH};
pub use keys::{Algorithm, KeyError, PublicKey, SigningKey};

use crate::authenticator::{Authenticated, Refused, TokenAuthenticator};
use claims::{Claims, LegacyClaims};
use futures::future::{BoxFuture, FutureExt};
use live::Live;
use sampan_api::field::go_quote;
use sampan_client::{Client, Error, Informers};
use sampan_env::Env;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};
use verified::{Verified, VerifiedTokens};

/// The issuer, and with it the audience, where the configuration names none (kubeadm's default).
pub const ISSUER_DEFAULT: &str = "https://kubernetes.default.svc.cluster.local";
/// The label of a Secret that says on which day its token was last used.
pub const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const TOKEN_KEY: &str = "token";

/// The time as seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Makes and verifies the tokens of a cluster's service accounts.
pub struct ServiceAccountTokens {
    issuer: String,
    audiences: Vec<String>,
    key: SigningKey,
    /// Further keys, of tokens that others signed or that were signed before.
    others: Vec<PublicKey>,
    env: Env,
    live: OnceLock<Live>,
    verified: VerifiedTokens,
}

/// The key is a secret.
impl std::fmt::Debug for ServiceAccountTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceAccountTokens({})", self.issuer)
    }
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct TokenOrder {
    /// The account, and what the token is bound to.
    pub bound: Bound,
    /// Whom it is for.
    pub audiences: Vec<String>,
    /// From now on.
    pub lifetime_seconds: i64,
}

impl ServiceAccountTokens {
    /// `issuer`: as tokens name it, and the audience of those that are for the API server.
    pub fn new(issuer: String, key: SigningKey, env: Env) -> Self {
        let audiences = vec![issuer.clone()];
        let (others, live, verified) = (Vec::new(), OnceLock::new(), VerifiedTokens::default());
        Self { issuer, audiences, key, others, env, live, verified }
    }

    /// The API server is these audiences, and not its issuer; none: it stays as it was.
    #[must_use]
    pub fn for_audiences(mut self, audiences: Vec<String>) -> Self {
        if !audiences.is_empty() {
            self.audiences = audiences;
        }
        self
    }

    /// Verifies by these keys too.
    #[must_use]
    pub fn verified_by(mut self, keys: Vec<PublicKey>) -> Self {
        for key in keys {
            if self.keys().all(|known| known.id != key.id) {
                self.others.push(key);
            }
        }
        self
    }

    /// The keys that verify, the one that signs first.
    fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        std::iter::once(self.key.public()).chain(&self.others)
    }

    /// Verifies tokens from now on, by what `client` and `informers` read as `system:apiserver`.
    ///
    /// # Errors
    /// `Config` when there are too many informers.
    pub fn look_up(&self, client: Client, informers: &Informers) -> Result<(), Error> {
        let live = Live::new(client, informers)?;
        self.live.get_or_init(|| live);
        Ok(())
    }

    /// The audiences that the API server itself is.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn issue(&self, order: TokenOrder) -> Result<String, KeyError> {
        let now = seconds(self.env.now());
        let claims = Claims {
            aud: order.audiences,
            exp: Some(now.saturating_add(order.lifetime_seconds)),
            iat: Some(now),
            iss: self.issuer.clone(),
            jti: self.env.uuid(),
            nbf: Some(now),
            sub: format!("system:serviceaccount:{}:{}", order.bound.namespace, order.bound.serviceaccount.name),
            kubernetes: Some(order.bound),
            legacy: LegacyClaims::default(),
        };
        jwt::sign(&self.key, &claims)
    }

    /// Makes the token of a Secret, which holds as long as both live.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn issue_for_secret(&self, namespace: &str, account: &Ref, secret: &str) -> Result<String, KeyError> {
        let legacy = LegacyClaims {
            namespace: namespace.into(),
            secret: secret.into(),
            account: account.name.clone(),
            uid: account.uid.clone(),
        };
        let sub = format!("system:serviceaccount:{namespace}:{}", account.name);
        jwt::sign(&self.key, &Claims { iss: LEGACY_ISSUER.into(), sub, legacy, ..Claims::default() })
    }

    /// Whose token it is; `None`: it is no token of this issuer.
    async fn verify(&self, token: &str, audiences: &[String]) -> Result<Option<Authenticated>, Refused> {
        let hash = verified::hash(token);
        let known = match self.verified.get(&hash) {
            Some(known) => known,
            None => match self.verify_signature(token)? {
                Some(new) => {
                    let new = Arc::new(new);
                    self.verified.insert(hash, new.clone());
                    new
                }
                None => return Ok(None),
            },
        };
        let claims = &known.claims;
        // Those of Secrets name no audience and are for the API server alone.
        let own = if claims.aud.is_empty() { &self.audiences } else { &claims.aud };
        let common: Vec<String> = own.iter().filter(|one| audiences.contains(one)).cloned().collect();
        if common.is_empty() {
            // Go's `%q` of lists.
            let quoted = |all: &[String]| all.iter().map(|one| go_quote(one)).collect::<Vec<_>>().join(" ");
            return Err(Refused(format!(
                "token audiences [{}] is invalid for the target audiences [{}]",
                quoted(own),
                quoted(audiences)
            )));
        }
        let Some(live) = self.live.get() else { return Err(Refused("the server is starting".into())) };
        let now = self.env.now();
        let lives = if claims.iss == LEGACY_ISSUER {
            let today = sampan_api::time::rfc3339(now);
            live.check_legacy(claims, token, today.split('T').next().unwrap_or_default()).await
        } else {
            match claims.in_time(seconds(now)) {
                Ok(()) => live.check(claims, seconds(now)).await.map(|()| None),
                Err(why) => Err(Refused(why.into())),
            }
        };
        match lives {
            Ok(warning) => Ok(Some(Authenticated { user: known.user.clone(), audiences: common, warning })),
            Err(refused) => {
                self.verified.forget(&hash);
                Err(refused)
            }
        }
    }

    fn verify_signature(&self, token: &str) -> Result<Option<Verified>, Refused> {
        let Some(unverified) = jwt::parse(token) else { return Ok(None) };
        match unverified.issuer() {
            Some(issuer) if issuer == self.issuer || issuer == LEGACY_ISSUER => {}
            _ => return Ok(None),
        }
        if !unverified.is_signed_by(self.keys()) {
            return Err(Refused("invalid signature, no keys found".into()));
        }
        let mut claims: Claims = serde_json::from_slice(&unverified.payload)
            .map_err(|error| Refused(format!("the token's claims cannot be read: {error}")))?;
        if claims.iss == LEGACY_ISSUER {
            claims.kubernetes = None;
            if let Some(fault) = claims.legacy_fault() {
                return Err(Refused(fault.into()));
            }
        } else {
            claims.legacy = LegacyClaims::default();
            if claims.kubernetes.is_none() {
                return Err(Refused("the kubernetes.io claim is missing".into()));
            }
        }
        let user = Arc::new(claims.user());
        Ok(Some(Verified { claims, user }))
    }
}

impl TokenAuthenticator for ServiceAccountTokens {
    fn authenticate_token<'a>(
        &'a self,
        token: &'a str,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Authenticated>, Refused>> {
        self.verify(token, audiences).boxed()
    }
}
