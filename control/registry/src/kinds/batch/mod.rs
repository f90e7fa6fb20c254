//! `batch`: work that ends.

mod cron_job;
mod indexes;
mod job;
mod job_status;
mod job_template;

use crate::limits::{GENERATED_NAME_BASE_MAX, GENERATED_NAME_SUFFIX};
use crate::resource::Resource;
use sampan_api::object::Object;

/// What a deletion of a Job is warned of that does not say what becomes of its pods.
const PODS_PRESERVED: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
     remove them or set propagationPolicy=Orphan to suppress this warning";

pub(super) fn rows() -> Vec<Resource> {
    vec![cron_job::row(), job::row()]
}

/// Whether the server made the name: of each name that it tries Go makes a copy of the Job, whose labels are then its own.
fn is_name_generated(job: &Object) -> bool {
    let base = job.generate_name();
    let base = &base[..base.floor_char_boundary(GENERATED_NAME_BASE_MAX)];
    !base.is_empty() && job.name().strip_prefix(base).is_some_and(|suffix| suffix.len() == GENERATED_NAME_SUFFIX)
}
