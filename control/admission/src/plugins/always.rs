//! The two plugins that do not look at anything. Kubernetes keeps them, and so do its configurations.

use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated};
use sampan_api::{Object, Status};

/// Lets everything pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysAdmit;

#[async_trait]
impl Plugin for AlwaysAdmit {
    fn name(&self) -> &'static str {
        "AlwaysAdmit"
    }

    fn concerns(&self, _: &Attributes<'_>) -> bool {
        false
    }
}

/// Refuses everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysDeny;

const DENIED: &str = "admission control is denying all modifications";

#[async_trait]
impl Plugin for AlwaysDeny {
    fn name(&self) -> &'static str {
        "AlwaysDeny"
    }

    async fn mutate(&self, attributes: &Attributes<'_>, _: &mut Object) -> Result<Mutated, Status> {
        Err(attributes.forbidden(DENIED))
    }

    async fn admit_deletion(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        Err(attributes.forbidden(DENIED))
    }

    async fn validate(&self, attributes: &Attributes<'_>, _: Option<&Object>) -> Result<(), Status> {
        Err(attributes.forbidden(DENIED))
    }
}
