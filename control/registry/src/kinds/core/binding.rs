//! Binding a pod to a node: a call, nothing is stored under this name.

use crate::resource::Resource;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "bindings", "Binding").action("binding")
}
