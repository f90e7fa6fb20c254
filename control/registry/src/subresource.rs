//! Paths below an object.

use crate::verbs::Verbs;
use crate::word::Name;
use sampan_api::meta::GroupVersionKind;
use sampan_schema::ObjectType;

/// A path below an object: `/pods/NAME/<name>`.
#[derive(Clone, Debug)]
pub struct Subresource {
    pub name: Name,
    /// The kind of its bodies where it is not the row's own: `autoscaling/v1 Scale`, `policy/v1 Eviction`.
    pub kind: Option<GroupVersionKind>,
    /// Other API versions in which bodies of `kind` have the same form, and are taken.
    pub also: &'static [&'static str],
    /// The type of `kind`, where there is one and a schema describes it.
    pub ty: Option<ObjectType>,
    pub verbs: Verbs,
    pub body: SubresourceBody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubresourceBody {
    /// A part of the stored object (status, finalize, approval, resize, ephemeralcontainers): get, update and patch on
    /// the same key, with [`crate::Context::subresource`] telling the strategy which part may change.
    View,
    /// A call by name: scale, binding, eviction, token.
    Action(Name),
    /// A stream by name: log, exec, attach, portforward, proxy.
    Connect(Name),
}

impl Subresource {
    /// A path below an object that has bodies of `kind`; `None`: of the row's own.
    pub fn new(name: &'static str, kind: Option<GroupVersionKind>, verbs: Verbs, body: SubresourceBody) -> Self {
        Self { name: name.into(), kind, also: &[], ty: None, verbs, body }
    }

    /// It also takes bodies of these API versions.
    #[must_use]
    pub fn taking_also(mut self, api_versions: &'static [&'static str]) -> Self {
        self.also = api_versions;
        self
    }
}
