//! `authorization.k8s.io`: calls, nothing is stored.

use crate::resource::Resource;

const GROUP: &str = "authorization.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::new(GROUP, "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview")
            .action("localsubjectaccessreview"),
        Resource::new(GROUP, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
            .cluster_scoped()
            .action("selfsubjectaccessreview"),
        Resource::new(GROUP, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview")
            .cluster_scoped()
            .action("selfsubjectrulesreview"),
        Resource::new(GROUP, "v1", "subjectaccessreviews", "SubjectAccessReview")
            .cluster_scoped()
            .action("subjectaccessreview"),
    ]
}
