//! One scheduling cycle as a state machine: filters, scores, the choice.

use crate::answer::{Answer, Fault, FilterAnswer, Question, Reason, ScoreAnswer};
use crate::kept::{Kept, Key};
use crate::limits;
use crate::message::{self, Evictions};
use crate::normalize::normalize;
use crate::objects::{ObjectRef, Objects};
use crate::policies::{Group, Point, Policies, Profile, ProfilePolicy, Unanswered};
use crate::snapshot::Snapshot;
use crate::view::PodView;
use std::sync::Arc;

/// The end of a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CycleResult {
    /// A node was chosen.
    Placed(Placed),
    /// Every node was refused.
    Unschedulable,
    /// No policy was asked: the pod waits until it changes itself, or other policies are live.
    Held,
    /// A policy that may not be left out gave no answer, or the pod is more than policies take.
    Failed,
}

/// The node that a pod gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its row in the snapshot.
    pub row: u32,
    /// Its name.
    pub node: String,
}

/// One reason, and the nodes that were refused for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// The first that was given for each of them.
    pub reason: Arc<Reason>,
    /// Number of nodes.
    pub count: u32,
    /// The nodes, as bits: least significant bit first, over the nodes by name.
    pub bitmap: Vec<u8>,
}

/// The outcome of a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The end of the cycle.
    pub result: CycleResult,
    /// Nodes in the snapshot.
    pub nodes: u32,
    /// Nodes that no filter refused, as far as they were looked at.
    pub feasible: u32,
    /// The best few, best first: name and weighted score.
    pub best: Vec<(String, i64)>,
    /// The policies that refused the other nodes.
    pub refusals: Vec<Refusals>,
    /// Policies that gave no answer.
    pub faults: Vec<Fault>,
    /// The reason why the pod was not placed, in kube-scheduler's words; empty when it was.
    pub message: String,
    /// The node at which the next cycle starts to look, when not all nodes are looked at.
    pub next_start: u32,
}

/// The outcome of one step of a [`Run`].
#[derive(Clone, Debug)]
pub enum Step {
    /// The cycle is over.
    Done(Outcome),
    /// A policy has to see these objects: [`Run::step`] is to be called again with them.
    Ask(Vec<ObjectRef>),
}

/// Memory that cycles hand on from one to the next: answers of pure policies that still hold, and buffers. It changes
/// no decision. Of one snapshot only.
#[derive(Debug, Default)]
pub struct Cycler {
    kept: Kept,
    rows: Vec<u32>,
    scores: Vec<i64>,
}

impl Cycler {
    /// Forgets what it knows: for another snapshot.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// A whole cycle, for policies that need nothing but the snapshot.
    pub fn cycle(
        &mut self,
        snapshot: &Snapshot,
        pod: &PodView,
        profile: &Profile,
        seed: u64,
        start: u32,
        policies: &mut dyn Policies,
    ) -> Outcome {
        Run::new(pod, profile, seed, start).finish(self, snapshot, policies, |_| Objects::default())
    }
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

/// The phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Begin,
    /// The group that is asked next.
    Filter(usize),
    Choose,
    Score(usize),
    Pick,
}

/// One cycle under way. It never waits: where a policy has to see more it says so, and goes on at the same place once it
/// was told, or from the beginning if the cluster has changed meanwhile.
#[derive(Debug)]
pub struct Run<'a> {
    pod: &'a PodView,
    profile: &'a Profile,
    seed: u64,
    start: u32,
    phase: Phase,
    /// Of the snapshot that it began with.
    generation: u64,
    /// Nodes that nobody has refused so far: positions in the snapshot's order, ascending.
    left: Vec<u32>,
    /// Their rows, of an earlier look: they are those of `left` where they are as many.
    feasible: Vec<u32>,
    totals: Vec<i64>,
    /// The fault of the first policy that may not be left out and gave no answer.
    fatal: Option<String>,
    outcome: Outcome,
}

/// The inputs of a step.
struct Context<'a> {
    cycler: &'a mut Cycler,
    snapshot: &'a Snapshot,
    objects: &'a Objects,
    policies: &'a mut dyn Policies,
}

/// Ends a step.
enum Stop {
    Done,
    Ask(Vec<ObjectRef>),
}

impl<'a> Run<'a> {
    /// A cycle for the pod, not begun. `seed` chooses among equals; `start`: the position at which the search begins when
    /// not all nodes are looked at.
    pub fn new(pod: &'a PodView, profile: &'a Profile, seed: u64, start: u32) -> Self {
        Self {
            pod,
            profile,
            seed,
            start,
            phase: Phase::Begin,
            generation: 0,
            left: Vec::new(),
            feasible: Vec::new(),
            totals: Vec::new(),
            fatal: None,
            outcome: Outcome {
                result: CycleResult::Unschedulable,
                nodes: 0,
                feasible: 0,
                best: Vec::new(),
                refusals: Vec::new(),
                faults: Vec::new(),
                message: String::new(),
                next_start: 0,
            },
        }
    }

    /// Goes on until the cycle is over or something has to be seen first. `objects`: all that was asked for so far.
    pub fn step(
        &mut self,
        cycler: &mut Cycler,
        snapshot: &Snapshot,
        objects: &Objects,
        policies: &mut dyn Policies,
    ) -> Step {
        if self.phase != Phase::Begin && self.generation != snapshot.generation() {
            *self = Self::new(self.pod, self.profile, self.seed, self.start);
        }
        let mut context = Context { cycler, snapshot, objects, policies };
        loop {
            let went = match self.phase {
                Phase::Begin => self.begin(snapshot),
                Phase::Filter(group) => self.filter(&mut context, group),
                Phase::Choose => self.choose(snapshot),
                Phase::Score(group) => self.score(&mut context, group),
                Phase::Pick => {
                    self.pick(snapshot);
                    Err(Stop::Done)
                }
            };
            match went {
                Ok(next) => self.phase = next,
                Err(Stop::Ask(names)) => return Step::Ask(names),
                Err(Stop::Done) => {
                    if let Some(message) = self.fatal.take() {
                        self.outcome.result = CycleResult::Failed;
                        self.outcome.message = message;
                    }
                    return Step::Done(self.outcome.clone());
                }
            }
        }
    }

    /// Steps until the cycle is over; `fetch` tells of objects that are asked for.
    pub fn finish(
        mut self,
        cycler: &mut Cycler,
        snapshot: &Snapshot,
        policies: &mut dyn Policies,
        mut fetch: impl FnMut(&[ObjectRef]) -> Objects,
    ) -> Outcome {
        let mut objects = Objects::default();
        for _ in 0..limits::ASKS {
            match self.step(cycler, snapshot, &objects, policies) {
                Step::Done(outcome) => return outcome,
                Step::Ask(names) => objects.merge(fetch(&names)),
            }
        }
        self.outcome.result = CycleResult::Failed;
        self.outcome.message = format!("policies asked for more objects {} times", limits::ASKS);
        self.outcome
    }

    fn begin(&mut self, snapshot: &Snapshot) -> Result<Phase, Stop> {
        self.generation = snapshot.generation();
        let nodes = snapshot.order().len() as u32;
        self.outcome.nodes = nodes;
        if nodes == 0 {
            self.outcome.message = message::NO_NODES.to_owned();
            return Err(Stop::Done);
        }
        if !self.profile.held.is_empty() {
            self.outcome.message = message::held(nodes, &self.profile.held);
        } else if !self.pod.unserved.is_empty() {
            self.outcome.message = message::not_served(nodes, &self.pod.unserved);
        } else if let Some(error) = &self.pod.too_large {
            self.fatal = Some(error.to_string());
            return Err(Stop::Done);
        } else {
            self.left.extend(0..nodes);
            return Ok(Phase::Filter(0));
        }
        self.outcome.result = CycleResult::Held;
        Err(Stop::Done)
    }

    /// Asks one group of filters about the nodes that are left.
    fn filter(&mut self, context: &mut Context<'_>, at: usize) -> Result<Phase, Stop> {
        let Some(group) = self.profile.groups(Point::Filter).get(at) else { return Ok(Phase::Choose) };
        if !self.left.is_empty() {
            if group.kept { self.filter_kept(context, at, group)? } else { self.filter_fresh(context, group)? }
        }
        if self.fatal.is_some() { Err(Stop::Done) } else { Ok(Phase::Filter(at + 1)) }
    }

    /// Only nodes that changed are asked about.
    fn filter_kept(&mut self, context: &mut Context<'_>, at: usize, group: &Group) -> Result<(), Stop> {
        let Some(key) = self.key(at, group) else { return Ok(()) };
        let mut known = context.cycler.kept.marks.take(&key);
        known.refresh(context.snapshot);
        let ids: Vec<u32> = group.ids.iter().copied().filter(|id| !known.skipped.contains(id)).collect();
        if !ids.is_empty() {
            let mut rows = std::mem::take(&mut context.cycler.rows);
            known.to_ask(context.snapshot, &self.left, &mut rows);
            let answer = if rows.is_empty() { Ok(None) } else { self.ask(context, Point::Filter, group, &ids, &rows) };
            if let Ok(Some(Answer::Filter(answer))) = answer {
                known.learn(&rows, answer);
            } else if !rows.is_empty() {
                // Answers that were known before say nothing of the nodes that have changed: the group is left out
                // whole.
                context.cycler.rows = rows;
                return answer.map(|_| ());
            }
            context.cycler.rows = rows;
            if known.refuses_any() {
                let order = context.snapshot.order();
                self.refuse(known.reasons(), |_, position| known.refusal(order[position as usize]));
            }
        }
        context.cycler.kept.marks.put(key, known);
        Ok(())
    }

    /// All nodes that are left are asked about.
    fn filter_fresh(&mut self, context: &mut Context<'_>, group: &Group) -> Result<(), Stop> {
        self.look_at_left(context.snapshot);
        let rows = std::mem::take(&mut self.feasible);
        let answer = self.ask(context, Point::Filter, group, &group.ids, &rows);
        self.feasible = rows;
        if let Some(Answer::Filter(FilterAnswer { marks, reasons, .. })) = answer?
            && !marks.is_empty()
        {
            let reasons: Vec<Arc<Reason>> = reasons.into_iter().map(Arc::new).collect();
            self.refuse(&reasons, |index, _| usize::from(marks[index]).checked_sub(1));
        }
        Ok(())
    }

    /// Makes `feasible` the rows of `left`, which only ever loses some.
    fn look_at_left(&mut self, snapshot: &Snapshot) {
        if self.feasible.len() != self.left.len() {
            self.feasible.clear();
            self.feasible.extend(self.left.iter().map(|position| snapshot.order()[*position as usize]));
        }
    }

    /// Takes the refused nodes out; `refusal`: of the node at that index of those that are left, and at that position.
    fn refuse(&mut self, reasons: &[Arc<Reason>], refusal: impl Fn(usize, u32) -> Option<usize>) {
        let mut found: Vec<Option<Refusals>> = vec![None; reasons.len()];
        let bytes = (self.outcome.nodes as usize).div_ceil(8);
        let mut index = 0;
        self.left.retain(|position| {
            let refused = refusal(index, *position).filter(|at| *at < reasons.len());
            index += 1;
            let Some(at) = refused else { return true };
            let refused = found[at].get_or_insert_with(|| Refusals {
                reason: Arc::clone(&reasons[at]),
                count: 0,
                bitmap: vec![0; bytes],
            });
            refused.count += 1;
            refused.bitmap[*position as usize / 8] |= 1 << (position % 8);
            false
        });
        self.outcome.refusals.extend(found.into_iter().flatten());
    }

    /// Of the nodes that are left, those that are enough.
    fn choose(&mut self, snapshot: &Snapshot) -> Result<Phase, Stop> {
        let nodes = self.outcome.nodes;
        let enough = match self.profile.percentage_of_nodes_to_score {
            Some(percentage) if nodes as usize > limits::FEASIBLE_MIN => {
                (nodes as usize * percentage.min(100) as usize / 100).max(limits::FEASIBLE_MIN)
            }
            _ => nodes as usize,
        };
        let start = self.start % nodes;
        let mut visited = nodes;
        if self.left.len() > enough {
            // From `start` on, and then from the first.
            let from = self.left.partition_point(|position| *position < start);
            self.left.rotate_left(from);
            self.left.truncate(enough);
            if let Some(last) = self.left.last() {
                visited = (last + nodes - start) % nodes + 1;
            }
            self.left.sort_unstable();
        } else if self.left.len() == enough
            && let Some(last) = self.last_from(start)
        {
            visited = (last + nodes - start) % nodes + 1;
        }
        self.outcome.next_start = (start + visited) % nodes;
        self.outcome.feasible = self.left.len() as u32;
        self.look_at_left(snapshot);
        self.totals.resize(self.feasible.len(), 0);
        if self.left.is_empty() {
            self.outcome.message = self.unschedulable(snapshot);
            return Err(Stop::Done);
        }
        // One candidate needs no score.
        Ok(if self.feasible.len() == 1 { Phase::Pick } else { Phase::Score(0) })
    }

    /// The position that a search from `start` comes to last.
    fn last_from(&self, start: u32) -> Option<u32> {
        self.left.iter().rev().find(|position| **position < start).or(self.left.last()).copied()
    }

    /// Adds the weighted scores of one group to the totals.
    fn score(&mut self, context: &mut Context<'_>, at: usize) -> Result<Phase, Stop> {
        let Some(group) = self.profile.groups(Point::Score).get(at) else { return Ok(Phase::Pick) };
        if group.kept {
            self.score_kept(context, at, group)?
        } else {
            self.score_fresh(context, group)?
        }
        if self.fatal.is_some() { Err(Stop::Done) } else { Ok(Phase::Score(at + 1)) }
    }

    /// Only nodes that changed are asked about.
    fn score_kept(&mut self, context: &mut Context<'_>, at: usize, group: &Group) -> Result<(), Stop> {
        let Some(key) = self.key(at, group) else { return Ok(()) };
        let mut known = context.cycler.kept.scores.take(&key);
        known.refresh(context.snapshot, group.ids.len());
        let scoring = |skipped: &[u32]| -> Vec<(usize, u32)> {
            group.ids.iter().copied().enumerate().filter(|(_, id)| !skipped.contains(id)).collect()
        };
        let asked = scoring(&known.skipped);
        if !asked.is_empty() {
            let mut rows = std::mem::take(&mut context.cycler.rows);
            known.to_ask(&self.feasible, &mut rows);
            let ids: Vec<u32> = asked.iter().map(|(_, id)| *id).collect();
            let answer = if rows.is_empty() { Ok(None) } else { self.ask(context, Point::Score, group, &ids, &rows) };
            if let Ok(Some(Answer::Score(answer))) = answer {
                known.learn(&rows, &asked, answer);
            } else if !rows.is_empty() {
                // Left out whole: an old score beside none would not be fair.
                context.cycler.rows = rows;
                return answer.map(|_| ());
            }
            context.cycler.rows = rows;
            for (index, _) in scoring(&known.skipped) {
                let raw = known.of(index);
                let scores = &mut context.cycler.scores;
                scores.clear();
                scores.extend(self.feasible.iter().map(|row| raw[*row as usize]));
                self.add_scores(&self.profile.policies()[group.policies[index]], scores);
            }
        }
        context.cycler.kept.scores.put(key, known);
        Ok(())
    }

    /// All feasible nodes are asked about.
    fn score_fresh(&mut self, context: &mut Context<'_>, group: &Group) -> Result<(), Stop> {
        let feasible = std::mem::take(&mut self.feasible);
        let answer = self.ask(context, Point::Score, group, &group.ids, &feasible);
        self.feasible = feasible;
        let Some(Answer::Score(ScoreAnswer { skipped, mut values })) = answer? else { return Ok(()) };
        let scoring = group.policies.iter().zip(&group.ids).filter(|(_, id)| !skipped.contains(id));
        for ((policy, _), scores) in scoring.zip(values.chunks_exact_mut(self.feasible.len())) {
            self.add_scores(&self.profile.policies()[*policy], scores);
        }
        Ok(())
    }

    fn add_scores(&mut self, policy: &ProfilePolicy, scores: &mut [i64]) {
        normalize(policy.normalize, scores);
        for (total, score) in self.totals.iter_mut().zip(scores) {
            *total += *score * policy.weight;
        }
    }

    fn key(&self, group: usize, of: &Group) -> Option<Key> {
        let signature = self.pod.signature(of.unit)?.clone();
        Some(Key { generation: self.profile.generation(), group, signature })
    }

    /// Asks; `None`: there was a fault, which is on record.
    fn ask(
        &mut self,
        context: &mut Context<'_>,
        point: Point,
        group: &Group,
        ids: &[u32],
        rows: &[u32],
    ) -> Result<Option<Answer>, Stop> {
        let Some(signature) = self.pod.signature(group.unit) else { return Ok(None) };
        let question =
            Question { snapshot: context.snapshot, signature, policies: ids, rows, objects: context.objects };
        let fault = match context.policies.ask(point, group.unit, &question) {
            Err(Unanswered::Needs(names)) => return Err(Stop::Ask(names)),
            Err(Unanswered::Fault(fault)) => Fault::new(fault.policies, fault.cause, &fault.message),
            Ok(answer) => match answer.checked(point, &question) {
                Ok(answer) => return Ok(Some(answer)),
                Err(bad) => Fault::new(ids.to_vec(), "BadAnswer", &bad.to_string()),
            },
        };
        let asked = group.policies.iter().map(|at| &self.profile.policies()[*at]);
        if let Some(strict) = asked.filter(|policy| ids.contains(&policy.id)).find(|policy| !policy.ignore_faults) {
            self.fatal = Some(format!(
                "running \"{}\" {} plugin: {}: {}",
                strict.name,
                point.title(),
                fault.cause,
                fault.message
            ));
        }
        self.outcome.faults.push(fault);
        Ok(None)
    }

    /// The best; among equals, the one that the seed points at.
    fn pick(&mut self, snapshot: &Snapshot) {
        // By name, so that the choice does not hang on where the search began.
        let ranked = || self.feasible.iter().copied().zip(self.totals.iter().copied());
        let highest = self.totals.iter().copied().max().unwrap_or(0);
        let equals = self.totals.iter().filter(|total| **total == highest).count() as u64;
        let mut best_by_name = ranked().filter(|(_, total)| *total == highest).map(|(row, _)| row);
        let Some(winner) = best_by_name.nth((self.seed % equals.max(1)) as usize) else { return };
        let mut best: Vec<(u32, i64)> = Vec::with_capacity(limits::BEST + 1);
        for (row, total) in ranked().filter(|(row, _)| *row != winner) {
            let at = best.partition_point(|(_, other)| *other >= total);
            if at + 1 < limits::BEST {
                best.insert(at, (row, total));
                best.truncate(limits::BEST - 1);
            }
        }
        self.outcome.best = std::iter::once((winner, highest))
            .chain(best)
            .map(|(row, total)| (snapshot.node_name(row).to_owned(), total))
            .collect();
        let node = snapshot.node_name(winner).to_owned();
        self.outcome.result = CycleResult::Placed(Placed { row: winner, node });
    }

    fn unschedulable(&self, snapshot: &Snapshot) -> String {
        let (nodes, order) = (self.outcome.nodes, snapshot.order());
        let mut evictions = Evictions::default();
        for refused in &self.outcome.refusals {
            if refused.reason.unresolvable {
                evictions.helpless += refused.count;
                continue;
            }
            for (position, row) in order.iter().enumerate() {
                if refused.bitmap[position / 8] & 1 << (position % 8) == 0 {
                    continue;
                }
                let is_lower = snapshot.lowest_priority(*row).is_some_and(|lowest| lowest < self.pod.priority);
                let count = if is_lower { &mut evictions.not_looked_for } else { &mut evictions.no_victims };
                *count += 1;
            }
        }
        let texts = self.outcome.refusals.iter().map(|refused| (refused.reason.texts.as_slice(), refused.count));
        message::fit_error(nodes, texts, &message::preemption(nodes, evictions, self.pod.never_preempts))
    }
}
