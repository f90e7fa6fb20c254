//! The types of `meta.k8s.io/v1`, which all group versions share: they are no row's, and the same in every schema.

use crate::schema::{ObjectType, Schema};

/// The type of a kind of `meta.k8s.io/v1`: `Status`, `DeleteOptions`, `PartialObjectMetadata`, `APIGroupList`. `None`
/// for what is no kind of that group version.
pub fn find(kind: &str) -> Option<ObjectType> {
    ObjectType::find(Schema::builtin(), "meta.k8s.io", "v1", kind)
        .filter(|found| found.def().package == "apimachinery/pkg/apis/meta/v1")
}
