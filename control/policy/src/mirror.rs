//! The data that crosses to a policy, of a cluster and a pod, and its answers.

use crate::limits;
use sampan_policy_host::{Mirror, Question as Crossing};
use sampan_scheduler_core::{
    Answer, Changes, ColumnSet, Feed, FilterAnswer, Reason, ScoreAnswer, Signature, Snapshot, column_id,
};
use sampan_wasm_runtime::policy::{PolicyChanges, PolicyScores, PolicyVerdicts};

/// The data that a mirror shows: a cluster, and the pod in hand.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// The pod, as that unit sees it.
    pub pod: &'a Signature,
    /// Rows of the nodes that are asked about.
    pub rows: &'a [u32],
}

/// The state of one instance's mirror.
pub(crate) struct Mirrored(Feed);

impl Mirrored {
    /// Of these columns.
    pub fn new(columns: ColumnSet) -> Self {
        Self(Feed::new(columns))
    }
}

impl Mirror for Mirrored {
    type World<'a> = World<'a>;
    type State<'a> = &'a Snapshot;

    fn question(&mut self, world: World<'_>) -> Crossing {
        let (changes, row) = self.0.changes(world.snapshot, world.pod);
        let (of_cluster, of_pod) = partition(changes);
        Crossing {
            world: of_cluster,
            subject: of_pod,
            subject_bytes: world.pod.bytes(),
            row,
            candidates: world.rows.to_vec(),
        }
    }

    fn state(&mut self, snapshot: &Snapshot) -> PolicyChanges {
        partition(self.0.node_changes(snapshot)).0
    }

    fn is_worn(&self, memory: u64) -> bool {
        self.0.is_worn(usize::try_from(memory).unwrap_or(usize::MAX) / limits::MIRROR_SHARE)
    }
}

/// Strings and the nodes' cells; the pod's cells. A feed has the nodes' columns before the pods'.
fn partition(mut changes: Changes) -> (PolicyChanges, PolicyChanges) {
    let column = changes.columns.iter().position(|id| *id >= column_id::POD_ROW).unwrap_or(changes.columns.len());
    let row = column.checked_sub(1).map_or(0, |last| changes.column_ends[last] as usize);
    let word = row.checked_sub(1).map_or(0, |last| changes.cell_ends[last] as usize);
    let behind = |ends: Vec<u32>, first: usize| ends.into_iter().map(|end| end - first as u32).collect();
    let of_pod = PolicyChanges {
        columns: changes.columns.split_off(column),
        column_ends: behind(changes.column_ends.split_off(column), row),
        rows: changes.rows.split_off(row),
        cell_ends: behind(changes.cell_ends.split_off(row), word),
        words: changes.words.split_off(word),
        ..PolicyChanges::default()
    };
    let of_cluster = PolicyChanges {
        strings: changes.strings,
        string_ends: changes.string_ends,
        columns: changes.columns,
        column_ends: changes.column_ends,
        rows: changes.rows,
        cell_ends: changes.cell_ends,
        words: changes.words,
    };
    (of_cluster, of_pod)
}

/// The filters' answer as the cycle has it.
pub(crate) fn verdicts(answer: PolicyVerdicts) -> Answer {
    let reasons = answer.reasons.into_iter();
    let reasons = reasons.map(|r| Reason { policy: r.policy, unresolvable: r.bits & 1 == 1, texts: r.texts });
    Answer::Filter(FilterAnswer { marks: answer.marks, reasons: reasons.collect(), skipped: answer.skipped })
}

/// The scores' answer as the cycle has it.
pub(crate) fn scores(answer: PolicyScores) -> Answer {
    Answer::Score(ScoreAnswer { skipped: answer.skipped, values: answer.values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pods_cells_are_told_from_the_clusters() {
        let check = |columns: &[(u32, &[i64])], nodes: usize| {
            let mut changes = Changes { strings: b"ab".to_vec(), string_ends: vec![2], ..Changes::default() };
            for (column, words) in columns {
                changes.columns.push(*column);
                changes.rows.push(7);
                changes.words.extend_from_slice(words);
                changes.cell_ends.push(changes.words.len() as u32);
                changes.column_ends.push(changes.rows.len() as u32);
            }
            let (of_cluster, of_pod) = partition(changes);
            assert_eq!((of_cluster.columns.len(), of_pod.columns.len()), (nodes, columns.len() - nodes));
            assert_eq!((&*of_cluster.strings, &*of_pod.strings), (&b"ab"[..], &b""[..]));
            for (part, expected) in [(of_cluster, &columns[..nodes]), (of_pod, &columns[nodes..])] {
                let mut begin = 0;
                for (at, (_, words)) in expected.iter().enumerate() {
                    let end = part.cell_ends[at] as usize;
                    assert_eq!(&part.words[begin..end], *words);
                    assert_eq!(part.column_ends[at] as usize, at + 1);
                    begin = end;
                }
                assert_eq!(part.words.len(), begin);
            }
        };
        check(&[], 0);
        check(&[(1, &[1, 2]), (3, &[]), (256, &[1]), (260, &[5, 6, 7])], 2);
        check(&[(256, &[1])], 0);
        check(&[(0, &[1]), (5, &[2, 3])], 2);
    }
}
