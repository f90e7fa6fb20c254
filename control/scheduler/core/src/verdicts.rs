//! Verdicts and raw scores that still hold: for each pod signature of a profile, by row, with the row's generation.

use crate::limits;
use crate::policies::Reason;
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of one kind of pod.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// 0: passed; else 1 + an index into `reasons`. By row.
    pub marks: Vec<u16>,
    /// The row's generation when it was marked. By row.
    pub marked: Vec<u64>,
    pub reasons: Vec<Reason>,
    /// Raw scores of each cacheable score policy of the profile, in its order. By row.
    pub raw: Vec<Vec<i64>>,
    pub scored: Vec<u64>,
    /// Policies that the pod does not concern, at their points.
    pub filter_skips: Vec<u32>,
    pub score_skips: Vec<u32>,
    used: u64,
}

/// A row generation that no row ever has.
const NEVER: u64 = u64::MAX;

impl Known {
    fn fit(&mut self, rows: usize, scores: usize) {
        self.marks.resize(rows, 0);
        self.marked.resize(rows, NEVER);
        self.scored.resize(rows, NEVER);
        self.raw.resize_with(scores, Vec::new);
        self.raw.iter_mut().for_each(|raw| raw.resize(rows, 0));
    }

    /// The mark of a reason, which is added where it is new.
    pub fn mark_of(&mut self, reason: &Reason) -> u16 {
        let at = self.reasons.iter().position(|known| known == reason).unwrap_or_else(|| {
            self.reasons.push(reason.clone());
            self.reasons.len() - 1
        });
        at as u16 + 1
    }
}

/// Bounded: the signature that was used longest ago goes first.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    known: HashMap<(u64, Arc<[i64]>), Known>,
    clock: u64,
}

impl Verdicts {
    /// What is known, taken out: it is put back by [`Verdicts::keep`] if it still holds after the cycle.
    pub fn take(&mut self, profile: u64, signature: &Arc<[i64]>, rows: usize, scores: usize) -> Known {
        let mut known = self.known.remove(&(profile, Arc::clone(signature))).unwrap_or_default();
        known.fit(rows, scores);
        known
    }

    pub fn keep(&mut self, profile: u64, signature: &Arc<[i64]>, mut known: Known) {
        if known.reasons.len() > limits::REASONS {
            return;
        }
        if self.known.len() >= limits::SIGNATURES {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.known.remove(&key));
        }
        self.clock += 1;
        known.used = self.clock;
        self.known.insert((profile, Arc::clone(signature)), known);
    }

    pub fn clear(&mut self) {
        self.known.clear();
    }
}
