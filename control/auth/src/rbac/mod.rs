//! Role-based access control over the cluster's real roles and bindings (k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac).

mod index;
mod rules;
mod source;

pub use index::{Binding, Index, Role, RoleRef, Subject};
pub use rules::PolicyRule;
pub(crate) use rules::cover;
pub use source::RbacAuthorizer;
