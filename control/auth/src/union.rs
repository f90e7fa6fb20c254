//! Several authenticators or authorizers as one.

use crate::authenticator::{Authenticated, Authenticator, Credentials, Refused, TokenAuthenticator};
use futures::future::{BoxFuture, FutureExt};
use sampan_api::user::{Attributes, Authorizer, Decision, GROUP_MASTERS, UserInfo, Verdict};
use std::sync::Arc;

/// Asks in turn; the first that knows the credentials answers. A refusal counts only if nobody knows them.
pub struct Authenticators(pub Vec<Arc<dyn Authenticator>>);

impl Authenticator for Authenticators {
    fn authenticate<'a>(
        &'a self,
        credentials: Credentials<'a>,
    ) -> BoxFuture<'a, Result<Option<Arc<UserInfo>>, Refused>> {
        async move {
            let mut refused = None;
            for one in &self.0 {
                match one.authenticate(credentials).await {
                    Ok(Some(user)) => return Ok(Some(user)),
                    Ok(None) => {}
                    Err(error) => refused = Some(error),
                }
            }
            refused.map_or(Ok(None), Err)
        }
        .boxed()
    }
}

/// Said of a header in which two spaces stand before the token (k8s.io/apiserver's bearertoken.go).
const SPACED_TOKEN: &str =
    "the provided Authorization header contains extra space before the bearer token, and is ignored";

/// Several authenticators of tokens as one, which reads the token of `Authorization: Bearer TOKEN`.
pub struct BearerTokens {
    authenticators: Vec<Arc<dyn TokenAuthenticator>>,
    audiences: Vec<String>,
}

impl BearerTokens {
    /// `audiences`: what the API server itself is; requests show tokens that are for one of them.
    pub fn new(authenticators: Vec<Arc<dyn TokenAuthenticator>>, audiences: Vec<String>) -> Self {
        Self { authenticators, audiences }
    }

    /// Whose token it is, asked in turn. `audiences`: those that it must be for; none are the server's own.
    ///
    /// # Errors
    /// Why it does not hold, in kube-apiserver's words. Nobody knows it: `invalid bearer token`.
    pub async fn review(&self, token: &str, audiences: &[String]) -> Result<Authenticated, Refused> {
        let audiences = if audiences.is_empty() { &self.audiences } else { audiences };
        let mut faults: Vec<String> = Vec::new();
        for one in &self.authenticators {
            match one.authenticate_token(token, audiences).await {
                Ok(Some(authenticated)) => return Ok(authenticated),
                Ok(None) => {}
                Err(Refused(fault)) if faults.contains(&fault) => {}
                Err(Refused(fault)) => faults.push(fault),
            }
        }
        Err(Refused(match faults.as_slice() {
            [] => "invalid bearer token".to_owned(),
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        }))
    }
}

impl Authenticator for BearerTokens {
    fn authenticate<'a>(
        &'a self,
        credentials: Credentials<'a>,
    ) -> BoxFuture<'a, Result<Option<Arc<UserInfo>>, Refused>> {
        async move {
            let Some(token) = credentials.bearer_token() else {
                if credentials.has_spaced_token() {
                    credentials.warnings.add(SPACED_TOKEN);
                }
                return Ok(None);
            };
            let Authenticated { user, warning, .. } = self.review(token, &[]).await?;
            if let Some(warning) = warning {
                credentials.warnings.add(warning);
            }
            Ok(Some(user))
        }
        .boxed()
    }
}

/// Those of `audiences` that are the API server's own; `None`: none is, and a token that names no audience does not hold.
pub(crate) fn for_own(audiences: &[String], own: &[String]) -> Option<Vec<String>> {
    let common: Vec<String> = own.iter().filter(|one| audiences.contains(one)).cloned().collect();
    (!common.is_empty()).then_some(common)
}

/// Lets everybody do everything: kube-apiserver's `--authorization-mode=AlwaysAllow`.
pub struct AlwaysAllow;

impl Authorizer for AlwaysAllow {
    fn authorize<'a>(&'a self, _attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        std::future::ready(Decision::allow("")).boxed()
    }
}

/// Asks in turn; the first with an opinion decides. Members of `system:masters` may do everything, as in Kubernetes,
/// so that a broken policy can be mended.
pub struct Authorizers(pub Vec<Arc<dyn Authorizer>>);

impl Authorizer for Authorizers {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        if attributes.user.in_group(GROUP_MASTERS) {
            return std::future::ready(Decision::allow("")).boxed();
        }
        async move {
            let mut reasons: Vec<String> = Vec::new();
            for one in &self.0 {
                let decision = one.authorize(attributes).await;
                if decision.verdict != Verdict::NoOpinion {
                    return decision;
                }
                if !decision.reason.is_empty() {
                    reasons.push(decision.reason);
                }
            }
            Decision::no_opinion(reasons.join("\n"))
        }
        .boxed()
    }
}
