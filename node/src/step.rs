//! Steps of containers that a worker waits for, and how they end.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::container::{ContainerPlan, Refusal};
use crate::logs::RunLog;
use crate::observed::ContainerName;
use crate::projected::NotMounted;
use crate::runtime::{ContainerExit, ImageError, LaunchError, PulledImage, Running};
use sampan_wasm_runtime::Mount;
use std::sync::Arc;

/// A step of a container that was under way and is done.
pub(crate) enum Done {
    /// Its plan is known, and its image is at hand or is not to be had.
    Prepared {
        container: ContainerName,
        result: Result<Box<Prepared>, NotPrepared>,
    },
    Launched {
        container: ContainerName,
        log: Arc<RunLog>,
        result: Result<Arc<dyn Running>, LaunchError>,
    },
    Ended {
        container: ContainerName,
        exit: ContainerExit,
    },
    /// A start that was given up: whatever took its place has been noted.
    GivenUp,
}

/// The inputs of a start.
pub(crate) struct Prepared {
    pub(crate) plan: ContainerPlan,
    pub(crate) image: PulledImage,
    pub(crate) mounts: Vec<Mount>,
}

/// The reason why a container could not be made ready.
pub(crate) enum NotPrepared {
    Refused(Refusal),
    NoImage(ImageError),
    NoPod(LaunchError),
    NoVolume(NotMounted),
}
