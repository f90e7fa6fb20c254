//! One instance at work: what it was configured for, what its mirror was sent, how fast it takes it.

use crate::feed::{self, Pace, bytes_of, split};
use crate::limits;
use crate::live::{Installed, Slot, Unit};
use crate::question::{Asking, Mirror, Question};
use crate::turns::Turn;
use sampan_wasm_runtime::policy::{PolicyCause, PolicyChanges, PolicyFault, PolicyInput, PolicyInstance};
use std::sync::{Arc, Weak};

/// One instance and what its mirror was sent.
pub(crate) struct Running<P, M> {
    /// The instance.
    pub instance: PolicyInstance,
    /// What it has been told of the cluster.
    pub mirror: M,
    /// Slots that it was configured for. Ids come again: it is the slot itself that counts. It keeps none of them from
    /// ending; their addresses do not come again while it is there.
    configured: Vec<Weak<Slot<P>>>,
    /// The speed at which it takes what it is fed.
    pub pace: Pace,
    /// Its share of the passing memory. Dropped after the instance.
    memory: Option<Turn>,
}

impl<P: Installed, M: Mirror> Running<P, M> {
    /// Whether its mirror is to be renewed.
    pub fn is_worn(&self, unit: &Unit<P>) -> bool {
        self.mirror.is_worn(unit.allowance.memory)
    }

    /// Starts one and configures it for all slots of the unit.
    pub fn start(unit: &Unit<P>, mirror: M, seed: u64, memory: Option<Turn>) -> Result<Self, PolicyFault> {
        let instance = unit.component.instantiate(unit.allowance.call, unit.allowance.memory, seed)?;
        let mut made = Self { instance, mirror, configured: Vec::new(), pace: Pace::default(), memory };
        for slot in &unit.slots {
            let (policy, args) = (slot.prepared.policy(), slot.prepared.args());
            let configured = made.instance.configure(unit.allowance.call, slot.id, policy, args)?;
            configured.map_err(|message| PolicyFault { cause: PolicyCause::Refused, message })?;
            made.configured.push(Arc::downgrade(slot));
        }
        Ok(made)
    }

    /// Whether it was configured for all slots of the unit. A new slot may want columns that the mirror was never fed.
    pub fn fits(&self, unit: &Unit<P>) -> bool {
        unit.slots.iter().all(|slot| self.configured.iter().any(|own| own.as_ptr() == Arc::as_ptr(slot)))
    }

    /// It no longer is there for a while only.
    pub fn is_live(&mut self) {
        self.memory = None;
    }

    /// Feeds one piece after the other, as long as the result is wanted; `None`: it is not any more.
    pub fn feed_all(
        mut self: Box<Self>,
        pieces: impl IntoIterator<Item = PolicyChanges>,
        is_wanted: impl Fn() -> bool,
    ) -> Option<Result<Box<Self>, PolicyFault>> {
        for piece in pieces {
            if !is_wanted() {
                return None;
            }
            if let Err(fault) = self.feed(piece) {
                return Some(Err(fault));
            }
        }
        Some(Ok(self))
    }

    /// Feeds it one piece, on a budget of its own.
    pub fn feed(&mut self, piece: PolicyChanges) -> Result<(), PolicyFault> {
        let bytes = bytes_of(&piece);
        self.instance.feed(feed::budget(bytes), piece).map_err(|fault| PolicyFault {
            cause: fault.cause,
            message: format!("while its mirror was fed {bytes} bytes: {}", fault.message),
        })?;
        self.pace.fed(bytes, self.instance.spent().cpu);
        Ok(())
    }

    /// Whether feeding `bytes` takes longer than the asking thread waits.
    pub fn takes_long(&self, bytes: usize) -> bool {
        self.pace.expected(bytes).is_some_and(|cpu| cpu > limits::FEED_AT_ONCE)
    }
}

/// The question as it crosses.
pub(crate) fn input(changes: PolicyChanges, question: &Question, slots: &[u32]) -> PolicyInput {
    PolicyInput {
        changes,
        overlay: PolicyChanges::default(),
        pod: question.row,
        policies: slots.to_vec(),
        nodes: question.candidates.clone(),
    }
}

/// Feeds a fresh instance whole and asks it; an error says that it answers otherwise, or not at all.
pub(crate) fn again<P: Installed, M: Mirror, A: PartialEq>(
    mut fresh: Running<P, M>,
    asking: &Asking<'_, P, A>,
    question: &Question,
    heard: &A,
) -> Result<(), PolicyFault> {
    for changes in [&question.world, &question.subject] {
        for piece in split(changes, limits::FEED_PIECE, limits::FEED_PIECE) {
            fresh.feed(piece)?;
        }
    }
    let input = input(PolicyChanges::default(), question, asking.slots);
    if (asking.call)(&mut fresh.instance, asking.unit.allowance.call, input)? == *heard {
        return Ok(());
    }
    let message = "a fresh instance answered the same question differently".to_owned();
    Err(PolicyFault { cause: PolicyCause::Impure, message })
}
