//! Changes of all objects, read out of the log: nothing is stored under this name.

use crate::resource::{Resource, Verbs};

pub(super) fn row() -> Resource {
    Resource::new("history.sampan.dev", "v1alpha1", "changes", "Change").action("changes").verbs(Verbs::LIST)
}
