//! Every field of every answer at its bound, below and above it: what does not keep the contract is not read further.

use sampan_scheduler_core::{
    Answer, ColumnSet, FilterAnswer, Objects, PodInfo, Point, Question, Reason, ScoreAnswer, Snapshot, limits,
};
use std::sync::Arc;

const POLICIES: [u32; 2] = [3, 7];
const NODES: usize = 4;

fn check(answer: &Answer, point: Point) -> Result<Answer, String> {
    let mut snapshot = Snapshot::new(ColumnSet::default());
    let pod = PodInfo::new(Arc::default(), snapshot.strings_mut());
    let signature = snapshot.signature(&pod, ColumnSet::default()).expect("a small pod");
    let (objects, rows) = (Objects::default(), [0; NODES]);
    let question =
        Question { snapshot: &snapshot, signature: &signature, policies: &POLICIES, rows: &rows, objects: &objects };
    answer.clone().checked(point, &question).map_err(|error| error.to_string())
}

fn reason(texts: Vec<String>) -> Reason {
    Reason { policy: 3, unresolvable: false, texts }
}

fn verdicts(marks: &[u8], reasons: Vec<Reason>, skipped: &[u32]) -> Answer {
    Answer::Filter(FilterAnswer { marks: marks.to_vec(), reasons, skipped: skipped.to_vec() })
}

fn scores(skipped: &[u32], values: usize) -> Answer {
    Answer::Score(ScoreAnswer { skipped: skipped.to_vec(), values: vec![i64::MIN; values] })
}

fn one_text(length: usize) -> Vec<Reason> {
    vec![reason(vec!["x".repeat(length)])]
}

fn texts(count: usize, length: usize) -> Vec<Reason> {
    vec![reason(vec!["x".repeat(length); count])]
}

/// Reasons whose texts are so many bytes together.
fn bytes(total: usize) -> Vec<Reason> {
    let full = total / limits::ANSWER_TEXT_BYTES;
    let mut all: Vec<Reason> = (0..full).flat_map(|_| one_text(limits::ANSWER_TEXT_BYTES)).collect();
    all.extend(one_text(total % limits::ANSWER_TEXT_BYTES));
    all
}

#[test]
fn filters_answers_keep_their_bounds() {
    let reasons = |count: usize| vec![reason(vec!["x".to_owned()]); count];
    let (texts_max, bytes_max) = (limits::ANSWER_TEXTS, limits::ANSWER_TEXTS_BYTES);
    let of = |policy: u32| vec![Reason { policy, ..reason(Vec::new()) }];
    for (what, answer, expected) in [
        ("no marks", verdicts(&[], reasons(1), &[]), None),
        ("marks below", verdicts(&[0; NODES - 1], reasons(1), &[]), Some("marks: 3 for 4 nodes")),
        ("marks at", verdicts(&[1; NODES], reasons(1), &[]), None),
        ("marks above", verdicts(&[0; NODES + 1], reasons(1), &[]), Some("marks: 5 for 4 nodes")),
        ("marks far above", verdicts(&[0; 100_000], reasons(1), &[]), Some("marks: 100000 for 4 nodes")),
        ("mark at", verdicts(&[0, 1, 2, 2], reasons(2), &[]), None),
        ("mark above", verdicts(&[0, 1, 2, 3], reasons(2), &[]), Some("marks: 3 points at none of 2 reasons")),
        ("mark without reasons", verdicts(&[255; NODES], vec![], &[]), Some("marks: 255 points at none of 0 reasons")),
        ("reasons below", verdicts(&[254; NODES], reasons(254), &[]), None),
        ("reasons at", verdicts(&[255; NODES], reasons(255), &[]), None),
        ("reasons above", verdicts(&[1; NODES], reasons(256), &[]), Some("reasons: 256 are too many")),
        ("reasons far above", verdicts(&[], reasons(60_000), &[]), Some("reasons: 60000 are too many")),
        ("a reason's policy", verdicts(&[1; NODES], of(7), &[]), None),
        ("a reason's policy, not asked", verdicts(&[1; NODES], of(4), &[]), Some("reasons: policy 4 was not asked")),
        ("no texts", verdicts(&[1; NODES], texts(0, 0), &[]), None),
        ("texts at", verdicts(&[1; NODES], texts(texts_max, 1), &[]), None),
        ("texts above", verdicts(&[1; NODES], texts(texts_max + 1, 1), &[]), Some("texts of a reason: 65 are")),
        ("a text at", verdicts(&[1; NODES], one_text(1024), &[]), None),
        ("a text above", verdicts(&[1; NODES], one_text(1025), &[]), Some("bytes of a text: 1025 are too many")),
        ("a text that no mark uses", verdicts(&[], one_text(1 << 20), &[]), Some("bytes of a text: 1048576 are")),
        ("all texts at", verdicts(&[1; NODES], bytes(bytes_max), &[]), None),
        ("all texts above", verdicts(&[1; NODES], bytes(bytes_max + 1), &[]), Some("bytes of all texts: 65537 are")),
        ("skipped at", verdicts(&[], vec![], &[7, 3]), None),
        ("skipped twice", verdicts(&[], vec![], &[7, 7]), Some("skipped: policy 7 was not asked, or stands there")),
        ("skipped above", verdicts(&[], vec![], &[7, 3, 7]), Some("skipped: 3 are too many, at most 2 are allowed")),
        ("skipped, not asked", verdicts(&[], vec![], &[0]), Some("skipped: policy 0 was not asked")),
        ("scores", scores(&[], 2 * NODES), Some("the answer is not one of filter")),
    ] {
        let found = check(&answer, Point::Filter);
        match expected {
            None => assert_eq!(found.as_ref(), Ok(&answer), "{what}"),
            Some(text) => assert!(found.as_ref().is_err_and(|error| error.contains(text)), "{what}: {found:?}"),
        }
    }
}

#[test]
fn scores_answers_keep_their_bounds() {
    for (what, answer, expected) in [
        ("values below", scores(&[], 2 * NODES - 1), Some("values: 7 scores, not 8")),
        ("values at", scores(&[], 2 * NODES), None),
        ("values above", scores(&[], 2 * NODES + 1), Some("values: 9 scores, not 8")),
        ("values of one", scores(&[3], NODES), None),
        ("values of a skipped one", scores(&[3], 2 * NODES), Some("values: 8 scores, not 4")),
        ("values of none", scores(&[3, 7], 0), None),
        ("skipped twice", scores(&[3, 3], 0), Some("skipped: policy 3 was not asked, or stands there twice")),
        ("skipped above", scores(&[3, 7, 3], 0), Some("skipped: 3 are too many")),
        ("skipped, not asked", scores(&[9], NODES), Some("skipped: policy 9 was not asked")),
        ("verdicts", verdicts(&[], vec![], &[]), Some("the answer is not one of score")),
    ] {
        let found = check(&answer, Point::Score);
        match expected {
            None => assert_eq!(found.as_ref(), Ok(&answer), "{what}"),
            Some(text) => assert!(found.as_ref().is_err_and(|error| error.contains(text)), "{what}: {found:?}"),
        }
    }
}

#[test]
fn texts_are_fit_to_be_shown() {
    let answer = verdicts(&[1; NODES], vec![reason(vec!["a\u{1b}[31m\nb".to_owned(), "\u{7}".repeat(1024)])], &[]);
    let Ok(Answer::Filter(checked)) = check(&answer, Point::Filter) else { panic!("it keeps its bounds") };
    assert_eq!(checked.reasons[0].texts[0], "a\\u{1b}[31m\\nb");
    let long = &checked.reasons[0].texts[1];
    assert!(long.len() <= limits::ANSWER_TEXT_BYTES && long.starts_with("\\u{7}\\u{7}"), "{long}");
}
