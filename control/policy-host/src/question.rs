//! A question on its way to a policy, and what a host gives to it.

use crate::live::{Slot, Unit};
use sampan_wasm_runtime::policy::{PolicyBudget, PolicyChanges, PolicyFault, PolicyInput, PolicyInstance};
use std::sync::Arc;

/// One question to one unit, of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Changes of the world that the mirror lacks.
    pub world: PolicyChanges,
    /// Changes of the subject, the object that is asked about, that the mirror lacks.
    pub subject: PolicyChanges,
    /// Bytes of the subject's cells, sent before or not.
    pub subject_bytes: usize,
    /// Row of the subject.
    pub row: u32,
    /// Rows of the candidates.
    pub candidates: Vec<u32>,
}

/// A host's own side of a question.
pub trait Mirror: Send + 'static {
    /// The data that mirrors show, and what is asked about.
    type World<'a>: Copy;
    /// The part of it that is the same for every question.
    type State<'a>: Copy;
    /// The next question; what it carries counts as sent.
    fn question(&mut self, world: Self::World<'_>) -> Question;
    /// What the mirror lacks of that part; it counts as sent.
    fn state(&mut self, state: Self::State<'_>) -> PolicyChanges;
    /// Whether it holds so much that is no longer needed that a fresh one is to take its place. `memory`: bytes that its
    /// instance may take.
    fn is_worn(&self, memory: u64) -> bool;
}

/// A point of the contract, and what a host makes of its answers.
pub trait Point {
    /// As the component answers.
    type Raw: Clone + PartialEq + Send + 'static;
    /// As the host works with it.
    type Answer;
    /// Asks.
    ///
    /// # Errors
    /// The component's fault.
    fn call(instance: &mut PolicyInstance, budget: PolicyBudget, input: PolicyInput) -> Result<Self::Raw, PolicyFault>;
}

pub(crate) type Call<A> = fn(&mut PolicyInstance, PolicyBudget, PolicyInput) -> Result<A, PolicyFault>;

/// One question as it is put to a unit.
pub(crate) struct Asking<'a, P, A> {
    /// The component that is asked.
    pub unit: &'a Unit<P>,
    /// The slots that are asked, in the order of the answers.
    pub asked: &'a [&'a Arc<Slot<P>>],
    /// Their numbers in the contract.
    pub slots: &'a [u32],
    /// The export to call.
    pub call: Call<A>,
}
