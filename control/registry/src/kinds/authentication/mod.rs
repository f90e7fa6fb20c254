//! `authentication.k8s.io`: calls, nothing is stored.

use crate::resource::Resource;

const GROUP: &str = "authentication.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::new(GROUP, "v1", "selfsubjectreviews", "SelfSubjectReview")
            .cluster_scoped()
            .action("selfsubjectreview"),
        Resource::new(GROUP, "v1", "tokenreviews", "TokenReview").cluster_scoped().action("tokenreview"),
    ]
}
