//! Role-based access control over the cluster's real roles and bindings (k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac).

mod aggregation;
mod compiled;
mod escalation;
mod grants;
mod index;
mod model;
mod review;
mod rules;
mod sets;
mod slot;
mod source;

#[cfg(test)]
mod cost_tests;

pub use index::Index;
pub use model::{Binding, Role, RoleRef, Subject};
pub use rules::PolicyRule;
pub(crate) use rules::cover;
pub use source::RbacAuthorizer;
