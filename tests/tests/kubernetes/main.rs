//! A kube-apiserver v1.35.0 over etcd as oracle: random sequences of requests over all kinds and verbs go to it and to ours, and
//! status codes, headers that clients read, bodies and watch events are compared.
//!
//! SAMPAN_TIER=nightly, and SAMPAN_KUBERNETES with the folder of its programs. SAMPAN_SEED=N runs other sequences, SAMPAN_CASES=N
//! so many, SAMPAN_KIND=Pod,Node those of these kinds. Differences that are known stand in `known.tsv`, each class with its reason: a class
//! that is not there fails. A failure shows the requests that it takes.

mod corpus;
mod difference;
mod edit;
mod normal;
mod run;
mod sequence;
mod servers;

use corpus::Corpus;
use difference::Difference;
use futures::StreamExt;
use run::{Outcome, Runner};
use sampan_env::{Env, Tasks};
use sampan_testing::{Dice, reference};
use sampan_tests::PATIENCE;
use sequence::Case;
use servers::Servers;
use std::collections::BTreeMap;

const SEED: u64 = 3;
const CASES: usize = 900;
/// Cases at the same time.
const ABREAST: usize = 6;
/// Requests, in percent, that the real server takes: with fewer or more of them too little is compared.
const TAKEN: std::ops::RangeInclusive<usize> = 30..=80;
/// New classes of difference that a failure shows.
const SHOWN: usize = 60;

fn number<T: std::str::FromStr>(variable: &str, otherwise: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The known classes: patterns, in which `*` stands for anything, and why they differ.
struct Known(Vec<(&'static str, &'static str)>);

impl Known {
    fn read() -> Self {
        let lines = include_str!("known.tsv").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(|line| line.split_once('\t').unwrap_or_else(|| panic!("no reason: {line}"))).collect())
    }

    /// The pattern that a class is of.
    fn of(&self, class: &str) -> Option<&'static str> {
        self.0.iter().map(|(pattern, _)| *pattern).find(|pattern| matches(pattern, class))
    }
}

/// Whether a text is of a pattern, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A class of difference of one verb and resource, and where it was found first.
struct Found {
    count: usize,
    case: Case,
    /// The index of its request.
    at: usize,
    difference: Difference,
}

/// A class of difference that is not known, of any verb and resource.
struct New<'a> {
    count: usize,
    of: Vec<&'a str>,
    /// The class of the first.
    class: &'a str,
    first: &'a Found,
}

/// All that was found.
#[derive(Default)]
struct Findings {
    compared: usize,
    taken: usize,
    classes: BTreeMap<String, Found>,
}

impl Findings {
    fn add(&mut self, case: &Case, outcome: Outcome) {
        self.compared += outcome.compared;
        self.taken += outcome.taken;
        for (at, difference) in outcome.differences {
            let found = self.classes.entry(difference.class.clone());
            found.or_insert_with(|| Found { count: 0, case: case.clone(), at, difference }).count += 1;
        }
    }
}

/// The fewest requests of a case that still show a class.
async fn shrunk(runner: &Runner<'_>, case: &Case, at: usize, class: &str) -> Case {
    let mut least = case.clone();
    least.steps.truncate(at + 1);
    let mut index = least.steps.len();
    while index > 0 {
        index -= 1;
        let mut fewer = least.clone();
        fewer.steps.remove(index);
        if runner.run(&fewer).await.differences.iter().any(|(_, one)| one.class == class) {
            least = fewer;
        }
    }
    least
}

async fn compare(runner: &Runner<'_>, cases: Vec<Case>) -> Findings {
    let mut findings = Findings::default();
    let (alone, abreast): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.alone);
    for (cases, width) in [(abreast, ABREAST), (alone, 1)] {
        let runs = cases.into_iter().map(|case| async move {
            let outcome = runner.run(&case).await;
            (case, outcome)
        });
        let mut runs = futures::stream::iter(runs).buffered(width);
        while let Some((case, outcome)) = runs.next().await {
            findings.add(&case, outcome);
        }
    }
    findings
}

/// Cases of all resources in turn.
fn cases(corpus: &Corpus, seed: u64) -> Vec<Case> {
    let kinds = std::env::var("SAMPAN_KIND").unwrap_or_default();
    let kinds: Vec<&str> = kinds.split(',').filter(|kind| !kind.is_empty()).collect();
    let resources = corpus.resources.iter().enumerate();
    let chosen =
        resources.filter(|(_, one)| one.has("create") && (kinds.is_empty() || kinds.contains(&one.kind.as_str())));
    let chosen: Vec<usize> = chosen.map(|(at, _)| at).collect();
    assert!(!chosen.is_empty(), "no such kind: {kinds:?}");
    let mut dice = Dice::new(seed);
    (0..number("SAMPAN_CASES", CASES))
        .map(|at| sequence::case(corpus, chosen[at % chosen.len()], dice.next_u64()))
        .collect()
}

#[test]
fn random_requests_are_answered_as_kube_apiserver_answers_them() {
    if !std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly") {
        return;
    }
    let (Some(programs), Some(reference)) = (servers::programs(), reference::folder()) else { return };
    let seed = number("SAMPAN_SEED", SEED);
    println!("seed {seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (env, tasks) = (Env::system(), Tasks::new("tests"));
    runtime.block_on(async {
        let servers = Servers::start(&programs, folder.path(), &env, &tasks).await;
        let corpus = Corpus::gather(&servers, &reference).await;
        let runner = Runner::new(&servers, &corpus);
        let findings = compare(&runner, cases(&corpus, seed)).await;
        report(&runner, findings, seed).await;
    });
    tasks.token().cancel();
    runtime.shutdown_timeout(PATIENCE);
}

/// Prints what was compared, and fails with what differs anew.
async fn report(runner: &Runner<'_>, findings: Findings, seed: u64) {
    let known = Known::read();
    let share = findings.taken * 100 / findings.compared.max(1);
    let (mut old, mut new) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, New<'_>>::new());
    for (class, found) in &findings.classes {
        if let Some(pattern) = known.of(class) {
            *old.entry(pattern).or_default() += found.count;
            continue;
        }
        let (what, of) = class.split_once(" | ").unwrap_or((class, ""));
        let group = new.entry(what).or_insert_with(|| New { count: 0, of: Vec::new(), class, first: found });
        group.count += found.count;
        group.of.push(of);
    }
    println!(
        "{} requests compared, {share} % taken by kube-apiserver; {} known and {} new classes of difference",
        findings.compared,
        old.len(),
        new.len()
    );
    old.iter().for_each(|(pattern, count)| println!("known, {count} times: {pattern}"));
    let mut sorted: Vec<_> = new.iter().collect();
    sorted.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    let shown: usize = number("SAMPAN_SHOWN", SHOWN);
    for (at, (what, group)) in sorted.iter().enumerate() {
        println!("\n{} times: {what}\n  {}", group.count, group.of.join(", "));
        if at < shown {
            let Found { case, at, difference, .. } = group.first;
            let case = shrunk(runner, case, *at, group.class).await;
            println!("  {}\n  {}", run::shown(&case, &case.steps), difference.detail.replace('\n', "\n  "));
        }
    }
    assert!(findings.compared > 0, "nothing was compared");
    assert!(new.is_empty(), "seed {seed}: {} new classes of difference", new.len());
    assert!(TAKEN.contains(&share), "{share} % were taken");
}

#[test]
fn patterns_match_whole_classes() {
    let check =
        |pattern: &str, text: &str, expected: bool| assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    check("a*c", "abbc", true);
    check("a*c", "abcd", false);
    check("*b*", "abc", true);
    check("abc", "abc", true);
    check("ab", "abc", false);
    check("a*b*c", "a-b-c", true);
    check("a*a", "a", false);
}
