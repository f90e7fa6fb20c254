//! How far versions have come.

/// How far a version has come, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `v1alpha1`.
    Alpha,
    /// `v1beta1`.
    Beta,
    /// `v1`.
    Stable,
}

impl Stage {
    /// The stage of a version that is called so.
    pub fn of(version: &str) -> Self {
        match (version.contains("alpha"), version.contains("beta")) {
            (true, _) => Self::Alpha,
            (false, true) => Self::Beta,
            (false, false) => Self::Stable,
        }
    }
}
