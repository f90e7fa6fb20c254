//! Who asks, for what, and whether they may.

use futures::future::BoxFuture;
use std::collections::BTreeMap;

pub const GROUP_MASTERS: &str = "system:masters";
pub const GROUP_AUTHENTICATED: &str = "system:authenticated";
pub const GROUP_UNAUTHENTICATED: &str = "system:unauthenticated";
pub const USER_ANONYMOUS: &str = "system:anonymous";
/// The control plane's own identity: in process only, it bypasses RBAC so that admission and authorization can read
/// through the chain that they guard.
pub const USER_APISERVER: &str = "system:apiserver";
pub const USER_SCHEDULER: &str = "system:kube-scheduler";
pub const GROUP_NODES: &str = "system:nodes";
pub const GROUP_SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// An authenticated identity. In a request's extensions it can only have been put by this process itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
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

    pub fn node(name: &str) -> Self {
        Self::new(format!("system:node:{name}"), [GROUP_NODES])
    }

    pub fn scheduler() -> Self {
        Self::new(USER_SCHEDULER, Vec::<String>::new())
    }

    pub fn apiserver() -> Self {
        Self::new(USER_APISERVER, [GROUP_MASTERS])
    }

    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one == group)
    }
}

/// What a request wants to do, as authorization sees it (k8s.io/apiserver's authorizer.Attributes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub user: UserInfo,
    /// get, list, watch, create, update, patch, delete, deletecollection; or the lower-case HTTP method of a
    /// non-resource request.
    pub verb: String,
    pub namespace: String,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    pub resource_request: bool,
    /// The path of a non-resource request.
    pub path: String,
    /// The list's or watch's selectors as given, for authorizers that look at them.
    pub field_selector: String,
    pub label_selector: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    /// Refused, whatever others say.
    Deny,
    /// This authorizer has nothing to say. If nobody allows, the request is refused.
    NoOpinion,
}

/// A verdict, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    pub reason: String,
}

impl Decision {
    pub fn allow(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Allow, reason: reason.into() }
    }
    pub fn deny(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Deny, reason: reason.into() }
    }
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::NoOpinion, reason: reason.into() }
    }
    pub fn allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }
}

/// Decides whether a request may go on. An error inside is a refusal with a reason: it fails closed.
pub trait Authorizer: Send + Sync {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision>;
}
