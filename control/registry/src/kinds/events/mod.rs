//! `events.k8s.io`: the core group's events with other names of fields.

mod event;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![event::row()]
}
