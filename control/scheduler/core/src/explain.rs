//! The whole matrix of a decision, computed again: what each policy says of each node, asked one by one.

use crate::cells::PodView;
use crate::cycle::{Outcome, cycle};
use crate::normalize::normalize;
use crate::policies::{Ask, Fault, Policies, Profile, Reason};
use crate::snapshot::Snapshot;

/// Every policy's word on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    pub policies: Vec<MatrixPolicy>,
    /// By name of the node.
    pub rows: Vec<MatrixRow>,
    /// The cycle, run again from the same inputs.
    pub outcome: Outcome,
    pub faults: Vec<Fault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixPolicy {
    pub name: String,
    pub digest: String,
    pub weight: i64,
    pub filter: bool,
    pub score: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    pub node: String,
    /// One for each policy.
    pub cells: Vec<Cell>,
    pub feasible: bool,
    /// Sum of the weighted scores; only where the node is feasible.
    pub total: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Why it refuses; `None`: it does not.
    pub refusal: Option<Reason>,
    /// Raw and normalised; `None`: it gave none (skipped, no score point, or the node is refused).
    pub score: Option<(i64, i64)>,
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
    let count = profile.policies.len();
    let mut faults = Vec::new();
    let mut rows: Vec<MatrixRow> = order
        .iter()
        .map(|row| MatrixRow {
            node: snapshot.node_name(*row).to_owned(),
            cells: vec![Cell::default(); count],
            feasible: true,
            total: None,
        })
        .collect();
    for (at, policy) in profile.policies.iter().enumerate().filter(|(_, policy)| policy.filter) {
        match policies.filter(policy.unit, &Ask { snapshot, pod, policies: &[policy.id], rows: order }) {
            Err(fault) => faults.push(fault),
            Ok(answer) => {
                for (row, mark) in rows.iter_mut().zip(&answer.marks).filter(|(_, mark)| **mark != 0) {
                    row.cells[at].refusal = answer.reasons.get(usize::from(*mark) - 1).cloned();
                    row.feasible = false;
                }
            }
        }
    }
    let feasible: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].feasible).collect();
    let asked: Vec<u32> = feasible.iter().map(|at| order[*at]).collect();
    if !asked.is_empty() {
        feasible.iter().for_each(|at| rows[*at].total = Some(0));
        for (at, policy) in profile.policies.iter().enumerate().filter(|(_, policy)| policy.score) {
            match policies.score(policy.unit, &Ask { snapshot, pod, policies: &[policy.id], rows: &asked }) {
                Err(fault) => faults.push(fault),
                Ok(answer) if answer.skipped.is_empty() => {
                    let mut normalised = answer.values.clone();
                    normalize(policy.normalize, &mut normalised);
                    for ((row, raw), score) in feasible.iter().zip(answer.values).zip(normalised) {
                        rows[*row].cells[at].score = Some((raw, score));
                        rows[*row].total = rows[*row].total.map(|total| total + score * policy.weight);
                    }
                }
                Ok(_) => {}
            }
        }
    }
    let policies = profile
        .policies
        .iter()
        .map(|policy| MatrixPolicy {
            name: policy.name.clone(),
            digest: policy.digest.clone(),
            weight: policy.weight,
            filter: policy.filter,
            score: policy.score,
        })
        .collect();
    Matrix { policies, rows, outcome, faults }
}
