//! One scheduling cycle: filters, scores, the choice.

use crate::cells::PodView;
use crate::limits;
use crate::message;
use crate::normalize::normalize;
use crate::policies::{Ask, Fault, Policies, Profile, ProfilePolicy, Reason};
use crate::snapshot::Snapshot;
use crate::verdicts::{Known, Verdicts};

/// How a cycle ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Result {
    Placed(Placed),
    Unschedulable,
    /// A policy that may not be left out gave no answer.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub row: u32,
    pub node: String,
}

/// One reason, and the nodes that were refused for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals {
    pub reason: Reason,
    pub count: u32,
    /// Least significant bit first, over the nodes by name.
    pub bitmap: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub result: Result,
    pub nodes: u32,
    pub feasible: u32,
    /// The best few, best first: name and weighted score.
    pub best: Vec<(String, i64)>,
    pub refusals: Vec<Refusals>,
    pub faults: Vec<Fault>,
    /// Why the pod was not placed, in kube-scheduler's words; empty when it was.
    pub message: String,
    /// Where the next cycle starts to look, when not all nodes are looked at.
    pub next_start: u32,
}

/// A cycle with nothing known before.
pub fn cycle(
    snapshot: &Snapshot,
    pod: &PodView,
    profile: &Profile,
    seed: u64,
    start: u32,
    policies: &mut dyn Policies,
) -> Outcome {
    Cycler::default().cycle(snapshot, pod, profile, seed, start, policies)
}

/// Cycles that remember pure verdicts from one to the next. It decides what [`cycle`] decides. Of one snapshot only.
#[derive(Debug, Default)]
pub struct Cycler {
    verdicts: Verdicts,
    // Reused between cycles: a cycle over 5,000 nodes allocates nothing of their number once warm.
    rows: Vec<u32>,
    /// In order of names, turned: the last `len - wrapped` come first by name.
    feasible: Vec<u32>,
    wrapped: usize,
    totals: Vec<i64>,
    scores: Vec<i64>,
}

/// Neighbours in order that are asked in one call.
fn groups<'a>(
    policies: &'a [ProfilePolicy],
    wanted: impl Fn(&ProfilePolicy) -> bool + 'a,
) -> impl Iterator<Item = Vec<&'a ProfilePolicy>> {
    let mut groups: Vec<Vec<&ProfilePolicy>> = Vec::new();
    for policy in policies.iter().filter(|policy| wanted(policy)) {
        match groups.last_mut() {
            Some(group) if group[0].unit == policy.unit => group.push(policy),
            _ => groups.push(vec![policy]),
        }
    }
    groups.into_iter()
}

/// Faults met, and whether the cycle may go on.
#[derive(Default)]
struct Faults {
    met: Vec<Fault>,
    /// The policy whose fault ends the cycle, and at which point.
    fatal: Option<String>,
}

impl Faults {
    fn met(&mut self, group: &[&ProfilePolicy], point: &str, fault: Fault) {
        if self.fatal.is_none()
            && let Some(strict) = group.iter().find(|policy| !policy.ignore_faults)
        {
            self.fatal =
                Some(format!("running \"{}\" {point} plugin: {}: {}", strict.name, fault.cause, fault.message));
        }
        self.met.push(fault);
    }
}

impl Cycler {
    /// Forgets what it knows: for another snapshot.
    pub fn clear(&mut self) {
        self.verdicts.clear();
    }

    pub fn cycle(
        &mut self,
        snapshot: &Snapshot,
        pod: &PodView,
        profile: &Profile,
        seed: u64,
        start: u32,
        policies: &mut dyn Policies,
    ) -> Outcome {
        let nodes = snapshot.order().len() as u32;
        let mut outcome = Outcome {
            result: Result::Unschedulable,
            nodes,
            feasible: 0,
            best: Vec::new(),
            refusals: Vec::new(),
            faults: Vec::new(),
            message: String::new(),
            next_start: 0,
        };
        if nodes == 0 {
            outcome.message = message::NO_NODES.to_owned();
            return outcome;
        }
        let kept_scores = profile.policies.iter().filter(|p| p.score && p.cacheable).count();
        let rows = snapshot.rows() as usize;
        let mut known = self.verdicts.take(profile.generation, &pod.signature, rows, kept_scores);
        let mut faults = Faults::default();

        self.filter_known(snapshot, pod, profile, policies, &mut known, &mut faults);
        // Marks of policies that are asked anew each time live for this cycle only.
        let fresh = self.filter_fresh(snapshot, pod, profile, policies, &mut known, &mut faults);
        if faults.fatal.is_none() {
            let marks = fresh.as_deref().unwrap_or(&known.marks);
            let visited = self.choose_feasible(snapshot, profile, start, marks);
            outcome.feasible = self.feasible.len() as u32;
            outcome.next_start = (start + visited) % nodes;
            outcome.refusals = refusals(snapshot, marks, &known.reasons);
            if self.feasible.is_empty() {
                outcome.message = unschedulable(nodes, &outcome.refusals, pod.never_preempts);
            } else {
                self.score(snapshot, pod, profile, policies, &mut known, &mut faults);
            }
        }
        match faults.fatal.take() {
            Some(message) => {
                outcome.result = Result::Failed;
                outcome.message = message;
            }
            None if !self.feasible.is_empty() => self.pick(snapshot, seed, &mut outcome),
            None => {}
        }
        outcome.faults = faults.met;
        // After a fault some verdicts were never given: the next cycle asks again.
        if outcome.faults.is_empty() {
            self.verdicts.keep(profile.generation, &pod.signature, known);
        }
        outcome
    }

    /// Brings the kept marks up to date: only rows that changed are asked about.
    fn filter_known(
        &mut self,
        snapshot: &Snapshot,
        pod: &PodView,
        profile: &Profile,
        policies: &mut dyn Policies,
        known: &mut Known,
        faults: &mut Faults,
    ) {
        let changed = snapshot.changed();
        self.feasible.clear();
        self.rows.clear();
        let stale = |row: &&u32| known.marked[**row as usize] != changed[**row as usize];
        self.rows.extend(snapshot.order().iter().filter(stale));
        if self.rows.is_empty() {
            return;
        }
        for row in &self.rows {
            known.marks[*row as usize] = 0;
        }
        for group in groups(&profile.policies, |p| p.filter && p.cacheable) {
            let Known { marks, .. } = known;
            let left: Vec<u32> = self.rows.iter().copied().filter(|row| marks[*row as usize] == 0).collect();
            ask_filters(snapshot, pod, policies, &group, &left, known, None, faults);
            if faults.fatal.is_some() {
                return;
            }
        }
        for row in &self.rows {
            known.marked[*row as usize] = changed[*row as usize];
        }
    }

    /// Asks the policies whose answers may not be kept; `None` when there are none.
    fn filter_fresh(
        &mut self,
        snapshot: &Snapshot,
        pod: &PodView,
        profile: &Profile,
        policies: &mut dyn Policies,
        known: &mut Known,
        faults: &mut Faults,
    ) -> Option<Vec<u16>> {
        let mut marks: Option<Vec<u16>> = None;
        for group in groups(&profile.policies, |p| p.filter && !p.cacheable) {
            if faults.fatal.is_some() {
                break;
            }
            let now = marks.get_or_insert_with(|| known.marks.clone());
            let left: Vec<u32> = snapshot.order().iter().copied().filter(|row| now[*row as usize] == 0).collect();
            ask_filters(snapshot, pod, policies, &group, &left, known, Some(now), faults);
        }
        marks
    }

    /// Collects the feasible rows, beginning at `start`; returns how many nodes were looked at.
    fn choose_feasible(&mut self, snapshot: &Snapshot, profile: &Profile, start: u32, marks: &[u16]) -> u32 {
        let order = snapshot.order();
        let enough = match profile.percentage_of_nodes_to_score {
            Some(percentage) if order.len() > limits::FEASIBLE_MIN => {
                (order.len() * percentage.min(100) as usize / 100).max(limits::FEASIBLE_MIN)
            }
            _ => order.len(),
        };
        let start = start as usize % order.len();
        self.feasible.clear();
        let mut visited = 0;
        for part in [&order[start..], &order[..start]] {
            self.wrapped = self.feasible.len();
            for row in part {
                if self.feasible.len() == enough {
                    return visited;
                }
                visited += 1;
                if marks[*row as usize] == 0 {
                    self.feasible.push(*row);
                }
            }
        }
        visited
    }

    /// Sums the weighted scores of the feasible rows into `totals`.
    fn score(
        &mut self,
        snapshot: &Snapshot,
        pod: &PodView,
        profile: &Profile,
        policies: &mut dyn Policies,
        known: &mut Known,
        faults: &mut Faults,
    ) {
        self.totals.clear();
        self.totals.resize(self.feasible.len(), 0);
        // One candidate needs no score.
        if self.feasible.len() == 1 {
            return;
        }
        self.score_known(snapshot, pod, profile, policies, known, faults);
        let kept = profile.policies.iter().filter(|p| p.score && p.cacheable);
        for (index, policy) in kept.enumerate() {
            if known.score_skips.contains(&policy.id) {
                continue;
            }
            let raw = &known.raw[index];
            self.scores.clear();
            self.scores.extend(self.feasible.iter().map(|row| raw[*row as usize]));
            add_scores(policy, &mut self.scores, &mut self.totals);
        }
        for group in groups(&profile.policies, |p| p.score && !p.cacheable) {
            if faults.fatal.is_some() {
                return;
            }
            let ids: Vec<u32> = group.iter().map(|policy| policy.id).collect();
            let ask = Ask { snapshot, pod, policies: &ids, rows: &self.feasible };
            match policies.score(group[0].unit, &ask) {
                Err(fault) => faults.met(&group, "Score", fault),
                Ok(answer) => {
                    let asked = group.iter().filter(|policy| !answer.skipped.contains(&policy.id));
                    for (policy, values) in asked.zip(answer.values.chunks_exact(self.feasible.len())) {
                        self.scores.clear();
                        self.scores.extend_from_slice(values);
                        add_scores(policy, &mut self.scores, &mut self.totals);
                    }
                }
            }
        }
    }

    /// Brings the kept raw scores of the feasible rows up to date.
    fn score_known(
        &mut self,
        snapshot: &Snapshot,
        pod: &PodView,
        profile: &Profile,
        policies: &mut dyn Policies,
        known: &mut Known,
        faults: &mut Faults,
    ) {
        let changed = snapshot.changed();
        self.rows.clear();
        let stale = |row: &&u32| known.scored[**row as usize] != changed[**row as usize];
        self.rows.extend(self.feasible.iter().filter(stale));
        if self.rows.is_empty() {
            return;
        }
        let kept: Vec<&ProfilePolicy> = profile.policies.iter().filter(|p| p.score && p.cacheable).collect();
        for group in groups(&profile.policies, |p| p.score && p.cacheable) {
            let ids: Vec<u32> =
                group.iter().map(|policy| policy.id).filter(|id| !known.score_skips.contains(id)).collect();
            if ids.is_empty() {
                continue;
            }
            let ask = Ask { snapshot, pod, policies: &ids, rows: &self.rows };
            match policies.score(group[0].unit, &ask) {
                Err(fault) => {
                    faults.met(&group, "Score", fault);
                    if faults.fatal.is_some() {
                        return;
                    }
                    // Left out whole: an old score beside none would not be fair. The verdicts are not kept.
                    known.score_skips.extend(ids);
                }
                Ok(answer) => {
                    let asked = ids.iter().filter(|id| !answer.skipped.contains(id));
                    for (id, values) in asked.zip(answer.values.chunks_exact(self.rows.len())) {
                        let Some(index) = kept.iter().position(|policy| policy.id == *id) else { continue };
                        for (row, value) in self.rows.iter().zip(values) {
                            known.raw[index][*row as usize] = *value;
                        }
                    }
                    known.score_skips.extend(answer.skipped);
                }
            }
        }
        for row in &self.rows {
            known.scored[*row as usize] = changed[*row as usize];
        }
    }

    /// The best; among equals, the one that the seed points at.
    fn pick(&self, snapshot: &Snapshot, seed: u64, outcome: &mut Outcome) {
        let ranked = || self.feasible.iter().copied().zip(self.totals.iter().copied());
        let highest = self.totals.iter().copied().max().unwrap_or(0);
        let equals = self.totals.iter().filter(|total| **total == highest).count() as u64;
        // By name, so that the choice does not hang on where the search began.
        let by_name = ranked().skip(self.wrapped).chain(ranked().take(self.wrapped));
        let mut best_by_name = by_name.filter(|(_, total)| *total == highest).map(|(row, _)| row);
        let Some(winner) = best_by_name.nth((seed % equals.max(1)) as usize) else { return };
        let mut best: Vec<(u32, i64)> = Vec::with_capacity(limits::BEST + 1);
        for (row, total) in ranked().filter(|(row, _)| *row != winner) {
            let at = best.partition_point(|(_, other)| *other >= total);
            if at + 1 < limits::BEST {
                best.insert(at, (row, total));
                best.truncate(limits::BEST - 1);
            }
        }
        outcome.best = std::iter::once((winner, highest))
            .chain(best)
            .map(|(row, total)| (snapshot.node_name(row).to_owned(), total))
            .collect();
        outcome.result = Result::Placed(Placed { row: winner, node: snapshot.node_name(winner).to_owned() });
    }
}

#[allow(clippy::too_many_arguments, reason = "one question's parts, each from another owner")]
fn ask_filters(
    snapshot: &Snapshot,
    pod: &PodView,
    policies: &mut dyn Policies,
    group: &[&ProfilePolicy],
    rows: &[u32],
    known: &mut Known,
    fresh: Option<&mut Vec<u16>>,
    faults: &mut Faults,
) {
    let keep = fresh.is_none();
    let ids: Vec<u32> = group.iter().map(|policy| policy.id).filter(|id| !known.filter_skips.contains(id)).collect();
    if rows.is_empty() || ids.is_empty() {
        return;
    }
    match policies.filter(group[0].unit, &Ask { snapshot, pod, policies: &ids, rows }) {
        Err(fault) => faults.met(group, "Filter", fault),
        Ok(answer) => {
            let marks: Vec<u16> = answer.reasons.iter().map(|reason| known.mark_of(reason)).collect();
            let to = fresh.unwrap_or(&mut known.marks);
            for (row, mark) in rows.iter().zip(&answer.marks).filter(|(_, mark)| **mark != 0) {
                to[*row as usize] = marks[usize::from(*mark) - 1];
            }
            if keep {
                known.filter_skips.extend(answer.skipped);
            }
        }
    }
}

fn add_scores(policy: &ProfilePolicy, scores: &mut [i64], totals: &mut [i64]) {
    normalize(policy.normalize, scores);
    for (total, score) in totals.iter_mut().zip(scores) {
        *total += *score * policy.weight;
    }
}

fn refusals(snapshot: &Snapshot, marks: &[u16], reasons: &[Reason]) -> Vec<Refusals> {
    let mut found: Vec<Option<Refusals>> = vec![None; reasons.len()];
    let order = snapshot.order();
    for (position, row) in order.iter().enumerate() {
        let mark = marks[*row as usize];
        if mark == 0 {
            continue;
        }
        let at = usize::from(mark) - 1;
        let refused = found[at].get_or_insert_with(|| Refusals {
            reason: reasons[at].clone(),
            count: 0,
            bitmap: vec![0; order.len().div_ceil(8)],
        });
        refused.count += 1;
        refused.bitmap[position / 8] |= 1 << (position % 8);
    }
    found.into_iter().flatten().collect()
}

fn unschedulable(nodes: u32, refusals: &[Refusals], never: bool) -> String {
    let resolvable = refusals.iter().filter(|refused| !refused.reason.unresolvable).map(|refused| refused.count).sum();
    let texts = refusals.iter().map(|refused| (refused.reason.texts.as_slice(), refused.count));
    message::fit_error(nodes, texts, &message::preemption(nodes, resolvable, never))
}
