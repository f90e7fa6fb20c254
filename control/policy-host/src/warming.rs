//! Instances that are fed before their slot goes live.

use crate::live::Slot;
use crate::running::Running;
use crate::warm::Aside;
use sampan_wasm_runtime::policy::PolicyFault;
use std::sync::Weak;
use tokio::sync::oneshot;

/// A unit that is being fed.
pub(crate) struct Warming<P, M> {
    /// Its id.
    pub unit: u32,
    /// The slot that is new in it.
    pub slot: Weak<Slot<P>>,
    /// The instance, when it is fed.
    pub job: Aside<Result<Box<Running<P, M>>, PolicyFault>>,
    /// Whoever waits for it.
    pub reply: oneshot::Sender<Result<(), PolicyFault>>,
}

/// An instance that was fed, until its slot goes live or is given up.
pub(crate) struct Warmed<P, M> {
    /// Its unit's id.
    pub unit: u32,
    /// The slot that is new in it.
    pub slot: Weak<Slot<P>>,
    /// The instance.
    pub running: Box<Running<P, M>>,
}
