//! Reference data that lies outside the tree (what real servers answered), and comparisons with it that can neither be
//! skipped in silence nor hide one loss behind another's gain.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Variable with the folder of the reference data; `none`: there is none, and comparisons are skipped.
pub const VARIABLE: &str = "SAMPAN_REFERENCE";
/// The value of [`VARIABLE`] by which whoever runs the tests says that comparisons are to be skipped.
const NONE: &str = "none";

/// Whether comparisons are skipped: `SAMPAN_REFERENCE=none`.
pub fn skipped() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == NONE)
}

/// The folder of the reference data: `$SAMPAN_REFERENCE`, else `../shared/reference` beside the checkout. `None` only if
/// comparisons are skipped.
///
/// # Panics
/// When there is no such folder: a comparison that compares nothing is a failure.
pub fn folder() -> Option<PathBuf> {
    if skipped() {
        println!("skipped: {VARIABLE}={NONE}");
        return None;
    }
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
    let folder = std::env::var_os(VARIABLE).map_or_else(beside, PathBuf::from);
    assert!(
        folder.is_dir(),
        "no reference data in {}: set {VARIABLE} to its folder, or to {NONE} to skip what needs it",
        folder.display()
    );
    Some(folder)
}

/// The text of a file of the reference. `None` only if comparisons are skipped.
///
/// # Panics
/// When the file cannot be read.
pub fn text(file: &str) -> Option<String> {
    let path = folder()?.join(file);
    Some(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Data that cannot be had. Returns only if comparisons are skipped.
///
/// # Panics
/// When they are not.
pub fn absent(what: &str) {
    assert!(skipped(), "{what} cannot be had: set {VARIABLE}={NONE} to skip what needs it");
    println!("{what}: skipped: {VARIABLE}={NONE}");
}

/// A comparison of many cases, of which some are known to differ. It holds if those and no others do: a case that
/// differs anew fails it, and so does a known one that agrees now, until it is taken off the list.
#[derive(Debug)]
pub struct Comparison {
    name: String,
    known: BTreeMap<String, String>,
    compared: usize,
    seen: BTreeSet<String>,
    differing: BTreeMap<String, Vec<String>>,
}

impl Comparison {
    /// A comparison with its known differences: the name of a case, and why it differs.
    pub fn new<'a>(name: &str, known: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            name: name.to_owned(),
            known: known.into_iter().map(|(case, why)| (case.to_owned(), why.to_owned())).collect(),
            compared: 0,
            seen: BTreeSet::new(),
            differing: BTreeMap::new(),
        }
    }

    /// As [`Comparison::new`], of a list with a line a case: its name, a tab and the reason. Lines that begin with `#` are
    /// comments.
    pub fn of_list(name: &str, list: &str) -> Self {
        let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self::new(name, lines.map(|line| line.split_once('\t').unwrap_or((line, ""))))
    }

    /// Counts one comparison of a case, which may have several, and what differs in it: nothing if it agrees.
    pub fn case(&mut self, case: &str, differences: impl IntoIterator<Item = String>) {
        self.compared += 1;
        self.seen.insert(case.to_owned());
        let differences: Vec<String> = differences.into_iter().collect();
        if !differences.is_empty() {
            self.differing.entry(case.to_owned()).or_default().extend(differences);
        }
    }

    /// As [`Comparison::case`], of two values.
    pub fn equal<T: PartialEq + std::fmt::Debug>(&mut self, case: &str, ours: &T, theirs: &T) {
        self.case(case, (ours != theirs).then(|| format!("ours   {ours:?}\n  theirs {theirs:?}")));
    }

    /// Ends the comparison.
    ///
    /// # Panics
    /// Unless `count` comparisons were made, and exactly the known cases differ. The number is named so that cases which
    /// are passed over are noticed; a reference that has grown, or a kind more, asks for another one.
    pub fn finish(self, count: usize) {
        println!("{}: {} compared, {} known differences", self.name, self.compared, self.known.len());
        let problems = self.problems(count);
        assert!(problems.is_empty(), "{}:\n{}", self.name, problems.join("\n"));
    }

    fn problems(&self, count: usize) -> Vec<String> {
        let mut problems = Vec::new();
        for (case, differences) in self.differing.iter().filter(|(case, _)| !self.known.contains_key(*case)) {
            problems.push(format!("a new difference: {case}\n  {}", differences.join("\n  ")));
        }
        for case in self.known.keys().filter(|case| !self.differing.contains_key(*case)) {
            let what = if self.seen.contains(case) { "agrees now" } else { "was not compared" };
            problems.push(format!("{case} {what}: take it off the known differences"));
        }
        if self.compared == 0 || self.compared != count {
            problems.push(format!("{} comparisons were made, {count} are expected", self.compared));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_known_cases_differ() {
        let check = |known: &str, cases: &[(&str, bool)], count: usize, problems: &[&str]| {
            let mut comparison = Comparison::of_list("test", known);
            for (case, agrees) in cases {
                comparison.case(case, (!agrees).then(|| "differs".to_owned()));
            }
            let found = comparison.problems(count);
            assert_eq!(found.len(), problems.len(), "{found:?}");
            for (found, problem) in found.iter().zip(problems) {
                assert!(found.contains(problem), "{found}");
            }
        };
        check("# why\nb\tas yet\n", &[("a", true), ("b", false), ("b", true)], 3, &[]);
        check("", &[("a", true), ("b", false)], 2, &["a new difference: b"]);
        check("b\t\n", &[("a", false), ("b", true)], 2, &["a new difference: a", "b agrees now"]);
        check("b\t\n", &[("a", true)], 1, &["b was not compared"]);
        check("", &[("a", true)], 2, &["1 comparisons were made, 2 are expected"]);
        check("", &[], 0, &["0 comparisons were made"]);
    }
}
