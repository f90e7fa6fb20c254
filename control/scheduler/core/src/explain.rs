//! The whole matrix of a decision, computed again: what each policy says of each node, asked one by one.

use crate::answer::{Answer, Fault, Question, Reason};
use crate::cycle::{Outcome, cycle};
use crate::normalize::normalize;
use crate::objects::Objects;
use crate::policies::{Point, Policies, Profile, ProfilePolicy, Unanswered};
use crate::snapshot::Snapshot;
use crate::view::PodView;

/// Every policy's answer about every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// The profile's policies in order.
    pub policies: Vec<ProfilePolicy>,
    /// By name of the node.
    pub rows: Vec<MatrixRow>,
    /// The cycle, run again from the same inputs.
    pub outcome: Outcome,
    /// Policies that gave no answer this time.
    pub faults: Vec<Fault>,
}

/// One node of a [`Matrix`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    /// Its name.
    pub node: String,
    /// One for each policy.
    pub cells: Vec<Cell>,
    /// No filter refuses it, and the pod demands nothing that no policy serves.
    pub feasible: bool,
    /// Sum of the weighted scores; only where the node is feasible.
    pub total: Option<i64>,
}

/// One policy's answer about one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The reason for the refusal; `None`: the node is not refused.
    pub refusal: Option<Reason>,
    /// Raw and normalised; `None`: it gave none (skipped, no score point, or the node is refused).
    pub score: Option<(i64, i64)>,
}

/// Asks one policy; a fault goes on record.
fn ask(
    (snapshot, pod): (&Snapshot, &PodView),
    policies: &mut dyn Policies,
    point: Point,
    policy: &ProfilePolicy,
    rows: &[u32],
    faults: &mut Vec<Fault>,
) -> Option<Answer> {
    let objects = Objects::default();
    let signature = pod.signature(policy.unit)?;
    let question = Question { snapshot, signature, policies: &[policy.id], rows, objects: &objects };
    let answer = policies.ask(point, policy.unit, &question).and_then(|answer| {
        let bad = |error: crate::answer::BadAnswer| Fault::new(vec![policy.id], "BadAnswer", &error.to_string());
        answer.checked(point, &question).map_err(|error| bad(error).into())
    });
    match answer {
        Ok(answer) => Some(answer),
        Err(Unanswered::Fault(fault)) => {
            faults.push(fault);
            None
        }
        Err(Unanswered::Needs(_)) => {
            faults.push(Fault::new(vec![policy.id], "Refused", "it has to see objects that are not there any more"));
            None
        }
    }
}

/// Computes a decision again, whole: unlike the cycle it asks every policy about every node.
pub fn explain(
    snapshot: &Snapshot,
    pod: &PodView,
    profile: &Profile,
    seed: u64,
    start: u32,
    policies: &mut dyn Policies,
) -> Matrix {
    let outcome = cycle(snapshot, pod, profile, seed, start, policies);
    let order = snapshot.order();
    let count = profile.policies().len();
    let mut faults = Vec::new();
    let mut rows: Vec<MatrixRow> = order
        .iter()
        .map(|row| MatrixRow {
            node: snapshot.node_name(*row).to_owned(),
            cells: vec![Cell::default(); count],
            feasible: pod.unserved.is_empty(),
            total: None,
        })
        .collect();
    let at_point = |point: Point| profile.policies().iter().enumerate().filter(move |(_, p)| p.points.has(point));
    for (at, policy) in at_point(Point::Filter) {
        let answer = ask((snapshot, pod), policies, Point::Filter, policy, order, &mut faults);
        let Some(Answer::Filter(answer)) = answer else { continue };
        for (row, mark) in rows.iter_mut().zip(&answer.marks).filter(|(_, mark)| **mark != 0) {
            row.cells[at].refusal = answer.reasons.get(usize::from(*mark) - 1).cloned();
            row.feasible = false;
        }
    }
    let feasible: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].feasible).collect();
    let asked: Vec<u32> = feasible.iter().map(|at| order[*at]).collect();
    if !asked.is_empty() {
        feasible.iter().for_each(|at| rows[*at].total = Some(0));
        for (at, policy) in at_point(Point::Score) {
            let answer = ask((snapshot, pod), policies, Point::Score, policy, &asked, &mut faults);
            let Some(Answer::Score(answer)) = answer else { continue };
            let mut normalised = answer.values.clone();
            normalize(policy.normalize, &mut normalised);
            for ((row, raw), score) in feasible.iter().zip(answer.values).zip(normalised) {
                rows[*row].cells[at].score = Some((raw, score));
                rows[*row].total = rows[*row].total.map(|total| total + score * policy.weight);
            }
        }
    }
    Matrix { policies: profile.policies().to_vec(), rows, outcome, faults }
}
