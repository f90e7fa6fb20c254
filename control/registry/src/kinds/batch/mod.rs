//! `batch`: work that ends.

mod cron_job;
mod indexes;
mod job;
mod job_status;
mod job_template;

use crate::resource::Resource;

/// What a deletion of a Job is warned of that does not say what becomes of its pods.
const PODS_PRESERVED: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
     remove them or set propagationPolicy=Orphan to suppress this warning";

pub(super) fn rows() -> Vec<Resource> {
    vec![cron_job::row(), job::row()]
}
