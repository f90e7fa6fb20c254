//! `batch`: work that ends.

mod cron_job;
mod job;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![cron_job::row(), job::row()]
}
