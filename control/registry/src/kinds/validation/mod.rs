//! Rules that several kinds share, worded as Kubernetes words them (`pkg/apis/core/validation` and its neighbours of
//! v1.35). Each check adds everything that it finds wrong to the errors it is given.

pub(super) mod addresses;
pub(super) mod affinity;
pub(super) mod app_armor;
pub(super) mod change;
pub(super) mod checks;
pub(super) mod claims;
pub(super) mod container;
pub(super) mod cron;
pub(super) mod cursor;
pub(super) mod disabled;
pub(super) mod gated;
mod host_process;
mod options;
mod overlaps;
pub(super) mod pod_spec;
mod pod_status;
mod ports;
pub(super) mod probe;
pub(super) mod qos;
mod resize;
pub(super) mod resources;
pub(super) mod security;
pub(super) mod sources;
pub(super) mod volumes;
pub(super) mod warnings;
pub(super) mod webhook;
mod windows;
pub(super) mod workload;

pub(super) use cursor::At;
pub(super) use sampan_api::field::FieldErrors;
