//! Identities, the attributes by which a request is authorized, and authorizers.

use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Members may do everything.
pub const GROUP_MASTERS: &str = "system:masters";
/// All authenticated identities are members.
pub const GROUP_AUTHENTICATED: &str = "system:authenticated";
/// Requests without an identity are members.
pub const GROUP_UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of requests without an identity.
pub const USER_ANONYMOUS: &str = "system:anonymous";
/// The control plane's own identity: in process only, it bypasses RBAC so that admission and authorization can read
/// through the chain that they guard.
pub const USER_APISERVER: &str = "system:apiserver";
/// The scheduler's identity.
pub const USER_SCHEDULER: &str = "system:kube-scheduler";
/// All nodes are members.
pub const GROUP_NODES: &str = "system:nodes";
/// All service accounts are members.
pub const GROUP_SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// An authenticated identity. In a request's extensions it can only have been put by this process itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// Such as `system:node:n1`.
    pub name: String,
    /// May be empty.
    pub uid: String,
    /// The groups that it is a member of.
    pub groups: Vec<String>,
    /// Further facts from the authenticator, by key.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user of the given groups and of `system:authenticated`.
    pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(name: impl Into<String>, groups: I) -> Self {
        let mut groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        if !groups.iter().any(|group| group == GROUP_AUTHENTICATED) {
            groups.push(GROUP_AUTHENTICATED.into());
        }
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// The identity of requests without one.
    pub fn anonymous() -> Self {
        Self { name: USER_ANONYMOUS.into(), groups: vec![GROUP_UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// `system:serviceaccount:<namespace>:<name>`, with the groups that every such account has.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::new(
            format!("system:serviceaccount:{namespace}:{name}"),
            [GROUP_SERVICE_ACCOUNTS.to_owned(), format!("{GROUP_SERVICE_ACCOUNTS}:{namespace}")],
        )
    }

    /// A controller of the control plane: `system:serviceaccount:kube-system:<name>-controller`.
    pub fn controller(name: &str) -> Self {
        Self::service_account("kube-system", &format!("{name}-controller"))
    }

    /// A node: `system:node:<name>`.
    pub fn node(name: &str) -> Self {
        Self::new(format!("system:node:{name}"), [GROUP_NODES])
    }

    /// The scheduler.
    pub fn scheduler() -> Self {
        Self::new(USER_SCHEDULER, Vec::<String>::new())
    }

    /// The control plane itself: see [`USER_APISERVER`].
    pub fn apiserver() -> Self {
        Self::new(USER_APISERVER, [GROUP_MASTERS])
    }

    /// Whether it is a member of the group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one == group)
    }
}

/// The attributes of a request that authorization looks at (k8s.io/apiserver's authorizer.Attributes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The identity that asks.
    pub user: Arc<UserInfo>,
    /// get, list, watch, create, update, patch, delete, deletecollection; or the lower-case HTTP method of a
    /// non-resource request.
    pub verb: String,
    /// `""` for all namespaces and for cluster-scoped resources.
    pub namespace: String,
    /// The resource's group.
    pub group: String,
    /// The resource's version.
    pub version: String,
    /// The plural.
    pub resource: String,
    /// `""` for the object itself.
    pub subresource: String,
    /// May be empty for a collection.
    pub name: String,
    /// Whether a resource is asked for, or a path.
    pub resource_request: bool,
    /// The path of a non-resource request.
    pub path: String,
    /// The list's or watch's selectors as given, for authorizers that look at them.
    pub field_selector: String,
    /// As [`Attributes::field_selector`].
    pub label_selector: String,
}

/// The answer of an authorizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request may go on.
    Allow,
    /// Refused, whatever others say.
    Deny,
    /// This authorizer has nothing to say. If nobody allows, the request is refused.
    NoOpinion,
}

/// A verdict, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// The reason, for people; may be empty.
    pub reason: String,
}

impl Decision {
    /// The request may go on.
    pub fn allow(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Allow, reason: reason.into() }
    }
    /// It may not, whatever others say.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Deny, reason: reason.into() }
    }
    /// Others decide.
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::NoOpinion, reason: reason.into() }
    }
    /// Whether the request may go on.
    pub fn allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }
}

/// Decides whether a request may go on. An error inside is a refusal with a reason: it fails closed.
pub trait Authorizer: Send + Sync {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision>;
}
