//! Who decides what an identity may do, by the modes of the configuration.

use crate::config::AuthorizationMode;
use sampan_api::Authorizer;
use sampan_auth::node::NodeAuthorizer;
use sampan_auth::rbac::RbacAuthorizer;
use sampan_auth::union::{AlwaysAllow, Authorizers};
use sampan_client::{Client, Informers};
use std::sync::Arc;

/// Those of the modes, asked in their order.
///
/// # Errors
/// When one cannot read what it goes by.
pub fn of_modes(
    modes: &[AuthorizationMode],
    own: &Client,
    informers: &Informers,
    rbac: &Arc<RbacAuthorizer>,
) -> anyhow::Result<Arc<dyn Authorizer>> {
    let of = |mode: &AuthorizationMode| -> anyhow::Result<Arc<dyn Authorizer>> {
        Ok(match mode {
            AuthorizationMode::Node => Arc::new(NodeAuthorizer::new(own.clone(), informers)?),
            AuthorizationMode::Rbac => rbac.clone(),
            AuthorizationMode::AlwaysAllow => Arc::new(AlwaysAllow),
        })
    };
    Ok(Arc::new(Authorizers(modes.iter().map(of).collect::<anyhow::Result<_>>()?)))
}
