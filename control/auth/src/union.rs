//! Several authenticators or authorizers as one.

use crate::authenticator::{Authenticator, Credentials, Refused};
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
