//! `authorizer`: questions that expressions ask of authorization. They are answered outside, between two evaluations.

use sampan_api::user::{Attributes, Decision, UserInfo};
use std::sync::Arc;

/// The state of a question while it is put together, and its answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Authorization<'a> {
    /// Of this identity.
    Authorizer(&'a Arc<UserInfo>),
    /// Of a service account.
    ServiceAccount(Arc<UserInfo>),
    /// Of a path, a group or a resource; the attributes so far.
    Path(Attributes),
    Group(Attributes),
    Resource(Attributes),
    /// The answer.
    Decision(Decision),
}

impl Authorization<'_> {
    /// The name of the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Authorizer(_) | Self::ServiceAccount(_) => "kubernetes.authorization.Authorizer",
            Self::Path(_) => "kubernetes.authorization.PathCheck",
            Self::Group(_) => "kubernetes.authorization.GroupCheck",
            Self::Resource(_) => "kubernetes.authorization.ResourceCheck",
            Self::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}
