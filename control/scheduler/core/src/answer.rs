//! Questions to policies, and their answers held against the bounds of the contract.

use crate::cells::Signature;
use crate::limits;
use crate::message::{printable, shortened};
use crate::objects::Objects;
use crate::policies::Point;
use crate::snapshot::Snapshot;

/// One question to one unit.
pub struct Question<'a> {
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// The pod, as that unit sees it.
    pub signature: &'a Signature,
    /// Ids of policies of that unit.
    pub policies: &'a [u32],
    /// Rows of nodes, in the order in which the answer has them.
    pub rows: &'a [u32],
    /// Objects that were asked for before.
    pub objects: &'a Objects,
}

/// The reason why a node was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reason {
    /// Id of the policy that refuses it.
    pub policy: u32,
    /// No eviction of pods could change it.
    pub unresolvable: bool,
    /// Counted one by one in the pod's condition.
    pub texts: Vec<String>,
}

/// The filters' answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterAnswer {
    /// For each row 0, or 1 + an index of `reasons`; empty when every row passed.
    pub marks: Vec<u8>,
    /// The reasons that the marks point at.
    pub reasons: Vec<Reason>,
    /// Policies that the pod does not concern at all.
    pub skipped: Vec<u32>,
}

/// The scores' answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoreAnswer {
    /// Policies that the pod does not concern at all.
    pub skipped: Vec<u32>,
    /// For each policy that was not skipped, in the order of the question: one raw score a row.
    pub values: Vec<i64>,
}

/// An answer at one of the points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// At [`Point::Filter`].
    Filter(FilterAnswer),
    /// At [`Point::Score`].
    Score(ScoreAnswer),
}

/// A policy that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The policies that were asked.
    pub policies: Vec<u32>,
    /// `Trap`, `CpuBudget`, ...: one of a fixed set.
    pub cause: String,
    /// The message for people.
    pub message: String,
}

impl Fault {
    /// A fault whose text is fit to be shown, and no longer than [`limits::FAULT_BYTES`].
    pub fn new(policies: Vec<u32>, cause: impl Into<String>, message: &str) -> Self {
        // Cut first: a text that a guest made may have any length.
        let message = shortened(&printable(&shortened(message, limits::FAULT_BYTES)), limits::FAULT_BYTES);
        Self { policies, cause: cause.into(), message }
    }

    /// Whether the question was cut off since it cost more than one may.
    pub fn is_costly(&self) -> bool {
        COSTLY.contains(&self.cause.as_str())
    }
}

/// Causes of faults by which a question cost more than one may.
const COSTLY: [&str; 4] = ["CpuBudget", "WallBudget", "Memory", "PodTooLarge"];

/// The way in which an answer breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// An answer at another point than the question's.
    #[error("the answer is not one of {0}")]
    Point(&'static str),
    /// Not one mark a node.
    #[error("marks: {found} for {nodes} nodes")]
    Marks {
        /// The number found.
        found: usize,
        /// The number expected.
        nodes: usize,
    },
    /// A mark that points at no reason.
    #[error("marks: {mark} points at none of {reasons} reasons")]
    Mark {
        /// The mark.
        mark: u8,
        /// Reasons of the answer.
        reasons: usize,
    },
    /// A list that is longer than the contract allows.
    #[error("{what}: {found} are too many, at most {max} are allowed")]
    TooMany {
        /// The list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// A policy that was not asked, or is named twice.
    #[error("{what}: policy {policy} was not asked, or stands there twice")]
    Policy {
        /// The list that names it.
        what: &'static str,
        /// Its id.
        policy: u32,
    },
    /// Not one score a node and policy.
    #[error("values: {found} scores, not {expected}")]
    Values {
        /// The number found.
        found: usize,
        /// The number expected.
        expected: usize,
    },
}

fn at_most(what: &'static str, found: usize, max: usize) -> Result<(), BadAnswer> {
    if found <= max { Ok(()) } else { Err(BadAnswer::TooMany { what, found, max }) }
}

fn skipped_fit(skipped: &[u32], question: &Question<'_>) -> Result<(), BadAnswer> {
    at_most("skipped", skipped.len(), question.policies.len())?;
    let wrong = |(at, policy): (usize, &u32)| !question.policies.contains(policy) || skipped[..at].contains(policy);
    match skipped.iter().enumerate().find(|one| wrong(*one)) {
        Some((_, policy)) => Err(BadAnswer::Policy { what: "skipped", policy: *policy }),
        None => Ok(()),
    }
}

impl Answer {
    /// The answer, if it keeps the contract's bounds and fits the question; its texts are then fit to be shown. Nothing
    /// of an answer is to be read before.
    ///
    /// # Errors
    /// Names the first bound that does not hold.
    pub fn checked(self, point: Point, question: &Question<'_>) -> Result<Self, BadAnswer> {
        match (self, point) {
            (Self::Filter(answer), Point::Filter) => answer.checked(question).map(Self::Filter),
            (Self::Score(answer), Point::Score) => answer.checked(question).map(Self::Score),
            _ => Err(BadAnswer::Point(point.name())),
        }
    }
}

impl FilterAnswer {
    fn checked(mut self, question: &Question<'_>) -> Result<Self, BadAnswer> {
        at_most("reasons", self.reasons.len(), limits::ANSWER_REASONS)?;
        skipped_fit(&self.skipped, question)?;
        if !self.marks.is_empty() && self.marks.len() != question.rows.len() {
            return Err(BadAnswer::Marks { found: self.marks.len(), nodes: question.rows.len() });
        }
        let highest = self.marks.iter().copied().max().unwrap_or(0);
        if usize::from(highest) > self.reasons.len() {
            return Err(BadAnswer::Mark { mark: highest, reasons: self.reasons.len() });
        }
        let mut bytes = 0;
        for reason in &self.reasons {
            if !question.policies.contains(&reason.policy) {
                return Err(BadAnswer::Policy { what: "reasons", policy: reason.policy });
            }
            at_most("texts of a reason", reason.texts.len(), limits::ANSWER_TEXTS)?;
            for text in &reason.texts {
                at_most("bytes of a text", text.len(), limits::ANSWER_TEXT_BYTES)?;
                bytes += text.len();
            }
        }
        at_most("bytes of all texts", bytes, limits::ANSWER_TEXTS_BYTES)?;
        for text in self.reasons.iter_mut().flat_map(|reason| &mut reason.texts) {
            if let std::borrow::Cow::Owned(escaped) = printable(text) {
                *text = shortened(&escaped, limits::ANSWER_TEXT_BYTES);
            }
        }
        Ok(self)
    }
}

impl ScoreAnswer {
    fn checked(self, question: &Question<'_>) -> Result<Self, BadAnswer> {
        skipped_fit(&self.skipped, question)?;
        let expected = (question.policies.len() - self.skipped.len()) * question.rows.len();
        if self.values.len() != expected {
            return Err(BadAnswer::Values { found: self.values.len(), expected });
        }
        Ok(self)
    }
}
