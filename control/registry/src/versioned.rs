//! Rows of versions that are not generally available, and of kinds' further versions.

use crate::resource::Resource;
use crate::stage::Stage;

impl Resource {
    /// As [`Resource::deprecated`], since one minor version of Kubernetes until another; `replacement`: the version to use.
    #[must_use]
    pub fn deprecated_since(self, since: u32, gone: u32, replacement: Option<&str>) -> Self {
        let (version, kind) = (self.api_version(), self.kind.clone());
        let mut text = format!("{version} {kind} is deprecated in v1.{since}+, unavailable in v1.{gone}+");
        if let Some(replacement) = replacement {
            text.push_str(&format!("; use {}/{replacement} {kind}", self.group));
        }
        self.deprecated(text)
    }

    /// The row is of a feature, and is served only where that is on.
    #[must_use]
    pub fn gated(mut self, gate: &'static str) -> Self {
        self.gate = Some(gate.into());
        self
    }

    /// It is served where the configuration says nothing, whatever its version is called.
    #[must_use]
    pub fn by_default(mut self) -> Self {
        self.by_default = true;
        self
    }

    /// The kind in another version that has the same fields, stored in this row's version.
    #[must_use]
    pub fn also_in(&self, version: &'static str) -> Self {
        let mut row = self.clone();
        row.version = version.into();
        row.by_default = Stage::of(version) == Stage::Stable;
        row.stored_as(self.gvr(), |_| {}, |_| {})
    }
}
