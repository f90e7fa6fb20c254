//! Where the scale of an object stands in it.

use crate::word::Name;

/// Where `scale` finds replicas and selector of an object.
#[derive(Clone, Debug)]
pub struct ScalePaths {
    /// The wanted number.
    pub spec: Vec<Name>,
    /// The number that is there.
    pub status: Vec<Name>,
    /// A selector, or its text; `None`: there is none.
    pub selector: Option<Vec<Name>>,
    /// Whether a wanted number must be there for the object to have a scale.
    pub required: bool,
}

impl Default for ScalePaths {
    /// As Kubernetes' workloads have them.
    fn default() -> Self {
        let path = |names: [&'static str; 2]| names.map(Name::Borrowed).into();
        Self {
            spec: path(["spec", "replicas"]),
            status: path(["status", "replicas"]),
            selector: Some(path(["spec", "selector"])),
            required: false,
        }
    }
}
