//! An explanation as people read it.

use crate::limits;
use sampan_api::scheduling::{Decision, ExplainedMatrix, ExplainedNode};
use std::fmt::Write;

pub(crate) fn text(decision: &Decision, matrix: Option<&ExplainedMatrix>, note: &str) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    render(&mut out, decision, matrix, note).unwrap_or_default();
    out
}

fn render(out: &mut String, decision: &Decision, matrix: Option<&ExplainedMatrix>, note: &str) -> std::fmt::Result {
    let (pod, outcome) = (&decision.pod, &decision.outcome);
    match &outcome.node {
        Some(node) => writeln!(out, "Pod {}/{} was placed on {node}.", pod.namespace, pod.name)?,
        None => writeln!(out, "Pod {}/{} was not placed: {}", pod.namespace, pod.name, outcome.message)?,
    }
    writeln!(
        out,
        "Decided at {} in {} us by profile {}; {} of {} nodes were feasible.",
        decision.time, outcome.microseconds, decision.profile, outcome.feasible, outcome.nodes
    )?;
    for fault in &outcome.faults {
        writeln!(out, "Fault of {}: {}: {}", fault.policy, fault.cause, fault.message)?;
    }
    for refusal in &outcome.refusals {
        let helpless = if refusal.unresolvable { ", and no eviction would change it" } else { "" };
        writeln!(
            out,
            "{} nodes refused by {}: {}{helpless}",
            refusal.count,
            refusal.policy,
            refusal.reasons.join(", ")
        )?;
    }
    if outcome.refusals_left_out > 0 {
        writeln!(out, "and {} more reasons, each of fewer nodes", outcome.refusals_left_out)?;
    }
    let Some(matrix) = matrix else { return writeln!(out, "The whole cannot be computed again: {note}.") };
    if matrix.agrees {
        writeln!(out, "Computed again from the recorded inputs: the same result.")?;
    } else {
        writeln!(out, "Computed again from the recorded inputs, it differs: {}", matrix.difference)?;
    }
    writeln!(out)?;
    table(out, matrix, outcome.node.as_deref())
}

/// The best nodes first, then those that were refused.
fn table(out: &mut String, matrix: &ExplainedMatrix, winner: Option<&str>) -> std::fmt::Result {
    let scored: Vec<usize> = columns(matrix, "score");
    let mut lines = vec![Vec::from(["NODE".to_owned(), "TOTAL".to_owned()])];
    for at in &scored {
        let policy = &matrix.policies[*at];
        lines[0].push(format!("{}*{}", policy.name, policy.weight));
    }
    lines[0].push("REFUSED BY".to_owned());
    let mut nodes: Vec<&ExplainedNode> = matrix.nodes.iter().collect();
    nodes.sort_by(|a, b| {
        (winner != Some(&a.node), -a.total.unwrap_or(-1)).cmp(&(winner != Some(&b.node), -b.total.unwrap_or(-1)))
    });
    for node in nodes.iter().take(limits::EXPLAINED_NODES) {
        let mut line = vec![node.node.clone(), node.total.map_or("-".to_owned(), |total| total.to_string())];
        for at in &scored {
            line.push(node.cells[*at].score.map_or("-".to_owned(), |score| score.to_string()));
        }
        let refusals = matrix.policies.iter().zip(&node.cells).filter(|(_, cell)| !cell.refused.is_empty());
        let refusals = refusals.map(|(policy, cell)| format!("{} ({})", policy.name, cell.refused.join(", ")));
        line.push(refusals.collect::<Vec<_>>().join("; "));
        lines.push(line);
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("   ").trim_end())?;
    }
    let more = matrix.nodes.len().saturating_sub(limits::EXPLAINED_NODES);
    if more > 0 {
        writeln!(out, "and {more} more nodes (-o json shows them all)")?;
    }
    Ok(())
}

fn columns(matrix: &ExplainedMatrix, point: &str) -> Vec<usize> {
    let policies = matrix.policies.iter().enumerate();
    policies.filter(|(_, policy)| policy.points.iter().any(|own| own == point)).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::scheduling::{ExplainedCell, ExplainedPolicy};

    #[test]
    fn the_winner_comes_first_and_refusals_are_named() {
        let policy = |name: &str, points: &[&str]| ExplainedPolicy {
            name: name.into(),
            points: points.iter().map(|point| (*point).to_owned()).collect(),
            weight: 2,
            ..ExplainedPolicy::default()
        };
        let node = |name: &str, total: Option<i64>, score: Option<i64>, refused: &[&str]| ExplainedNode {
            node: name.into(),
            feasible: total.is_some(),
            total,
            cells: vec![
                ExplainedCell {
                    refused: refused.iter().map(|text| (*text).to_owned()).collect(),
                    ..Default::default()
                },
                ExplainedCell { score, raw: score, ..Default::default() },
            ],
        };
        let matrix = ExplainedMatrix {
            agrees: true,
            policies: vec![policy("fit", &["filter"]), policy("least", &["score"])],
            nodes: vec![
                node("a", Some(20), Some(10), &[]),
                node("b", None, None, &["Insufficient cpu"]),
                node("c", Some(20), Some(10), &[]),
            ],
            ..ExplainedMatrix::default()
        };
        let mut decision = Decision::default();
        decision.pod.name = "p".into();
        decision.outcome.node = Some("c".into());
        let text = text(&decision, Some(&matrix), "");
        let table: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("NODE")).collect();
        assert_eq!(
            table,
            [
                "NODE   TOTAL   least*2   REFUSED BY",
                "c      20      10",
                "a      20      10",
                "b      -       -         fit (Insufficient cpu)",
            ]
        );
    }
}
