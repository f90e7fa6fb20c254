//! Counts that may only fall, by crate: `bench/tidy.toml`. Tidy fails when one has risen, and when one could be lowered;
//! `cargo xtask tidy --bless` lowers what can be lowered, and nothing else.

use crate::source::{blanked, functions, own_paths, undocumented, without_tests};
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// The file of the counts.
const FILE: &str = "bench/tidy.toml";
/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;

/// The measures, with what the file says of each.
const MEASURES: [(&str, &str); 4] = [
    ("circles", "Modules that use each other in a circle, siblings of one folder."),
    ("long_functions", "Functions of more than 70 lines."),
    ("undocumented", "Public items and fields without a doc comment."),
    ("booleans", "Parameters of public functions that are booleans: they say nothing at the call."),
];

/// Counts by measure and crate; zeros are left out.
type Counts = BTreeMap<&'static str, BTreeMap<String, usize>>;

/// A hand-written source file of a crate, tests left out.
struct File {
    /// The crate's folder.
    of: String,
    path: String,
    /// The segments of its module; none for the root.
    module: Vec<String>,
    /// Whether modules may lie in its folder: `lib.rs`, `main.rs`, `mod.rs`.
    is_root: bool,
    text: String,
    blanked: String,
}

/// The treatment of the counts that stand in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// The counts are compared with those that are found.
    Compare,
    /// Counts that can be lowered are lowered first.
    Lower,
}

/// Compares what is found with what stands in the file.
pub fn check(root: &Path, listed: &[String], counts: Counting, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let files = read(root, listed)?;
    let (found, places) = measure(&files);
    let path = root.join(FILE);
    let mut known = match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text),
        // The first time all of it is taken as it is.
        Err(error) if counts == Counting::Lower && error.kind() == std::io::ErrorKind::NotFound => found.clone(),
        Err(error) => return Err(error).context(FILE),
    };
    if counts == Counting::Lower {
        lower(&mut known, &found);
        std::fs::write(&path, show(&known)).context(FILE)?;
    }
    compare(&known, &found, &places, problems);
    Ok(())
}

fn count(counts: &Counts, measure: &str, of: &str) -> usize {
    counts.get(measure).and_then(|all| all.get(of)).copied().unwrap_or_default()
}

fn lower(known: &mut Counts, found: &Counts) {
    for (measure, all) in known {
        for (of, number) in all.iter_mut() {
            *number = (*number).min(count(found, measure, of));
        }
        all.retain(|_, number| *number > 0);
    }
}

fn compare(known: &Counts, found: &Counts, places: &BTreeMap<(&str, String), Vec<String>>, problems: &mut Vec<String>) {
    for (measure, _) in MEASURES {
        let crates: BTreeSet<&String> =
            [known, found].iter().filter_map(|counts| counts.get(measure)).flat_map(BTreeMap::keys).collect();
        for of in crates {
            let (was, is) = (count(known, measure, of), count(found, measure, of));
            if is < was {
                problems.push(format!("{FILE}: {measure} of {of} fell from {was} to {is}: cargo xtask tidy --bless"));
            } else if is > was {
                let places = places.get(&(measure, of.clone())).map(|all| all.join("\n    ")).unwrap_or_default();
                problems.push(format!("{measure} of {of} rose from {was} to {is}:\n    {places}"));
            }
        }
    }
}

fn parse(text: &str) -> Counts {
    let mut counts = Counts::new();
    let mut table = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = MEASURES.iter().map(|(measure, _)| *measure).find(|measure| *measure == name);
        } else if let (Some(table), Some((of, number))) = (table, line.split_once('=')) {
            let number = number.trim().parse().unwrap_or_default();
            counts.entry(table).or_default().insert(of.trim().trim_matches('"').to_owned(), number);
        }
    }
    counts
}

fn show(counts: &Counts) -> String {
    let mut text = String::from(
        "# Counts that may only fall, by crate (xtask/src/ratchet.rs). `cargo xtask tidy` fails when one rises, and when one\n\
         # could be lowered; `cargo xtask tidy --bless` lowers it. Tests are not counted. A crate that is not named has none.\n",
    );
    for (measure, what) in MEASURES {
        writeln!(text, "\n# {what}\n[{measure}]").unwrap_or_default();
        for (of, number) in counts.get(measure).into_iter().flatten() {
            writeln!(text, "\"{of}\" = {number}").unwrap_or_default();
        }
    }
    text
}

fn is_test(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.any(|part| matches!(part, "tests" | "examples" | "benches" | "suite"))
        || ["tests.rs", "testing.rs", "build.rs"].iter().any(|end| path.ends_with(end))
}

fn read(root: &Path, listed: &[String]) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in listed.iter().filter(|path| path.ends_with(".rs") && root.join(path).exists()) {
        let Some((of, inside)) = path.split_once("/src/") else { continue };
        if is_test(inside) || is_test(of) {
            continue;
        }
        let text = std::fs::read_to_string(root.join(path)).with_context(|| path.clone())?;
        let text = without_tests(&text).to_owned();
        let mut module: Vec<String> = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        let is_root = matches!(module.last().map(String::as_str), Some("lib" | "main" | "mod"));
        if is_root {
            module.pop();
        }
        let blanked = blanked(&text);
        files.push(File { of: of.to_owned(), path: path.clone(), module, is_root, text, blanked });
    }
    Ok(files)
}

fn measure(files: &[File]) -> (Counts, BTreeMap<(&'static str, String), Vec<String>>) {
    let mut places: BTreeMap<(&'static str, String), Vec<String>> = BTreeMap::new();
    let mut add = |measure, of: &str, place: String| places.entry((measure, of.to_owned())).or_default().push(place);
    for file in files {
        for function in functions(&file.blanked) {
            if function.lines > FUNCTION_LINES {
                add("long_functions", &file.of, format!("{}: {}: {} lines", file.path, function.name, function.lines));
            }
            if function.public {
                for _ in 0..function.booleans {
                    add("booleans", &file.of, format!("{}: {}", file.path, function.name));
                }
            }
        }
        for line in undocumented(&file.text, &file.blanked) {
            add("undocumented", &file.of, format!("{}:{line}", file.path));
        }
    }
    let crates: BTreeSet<&str> = files.iter().map(|file| file.of.as_str()).collect();
    for of in crates {
        let own: Vec<&File> = files.iter().filter(|file| file.of == of).collect();
        for circle in circles(&own) {
            for module in &circle {
                add("circles", of, format!("{module} in the circle {}", circle.join(", ")));
            }
        }
    }
    let mut counts = Counts::new();
    for ((measure, of), found) in &places {
        counts.entry(measure).or_default().insert(of.clone(), found.len());
    }
    (counts, places)
}

/// The circles among the modules of each folder: each a list of module paths.
fn circles(files: &[&File]) -> Vec<Vec<String>> {
    let modules: BTreeSet<&[String]> =
        files.iter().flat_map(|file| (1..=file.module.len()).map(|length| &file.module[..length])).collect();
    let exported = exported(files);
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        for mut path in own_paths(&file.blanked, &file.module) {
            // A name that a root hands on from a module is that module's.
            if let Some(from) = exported.get(&path) {
                path.clone_from(from);
            }
            let Some(length) = (1..=path.len()).rev().find(|length| modules.contains(&path[..*length])) else {
                continue;
            };
            let target = &path[..length];
            let shared = target.iter().zip(&file.module).take_while(|(a, b)| a == b).count();
            if shared < target.len() && shared < file.module.len() {
                let (from, to) = (&file.module[..=shared], &target[..=shared]);
                edges.entry(from.join("::")).or_default().insert(to.join("::"));
            }
        }
    }
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        edges.keys().map(|from| (from, reachable(&edges, from))).collect();
    let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
    for (from, to) in &reach {
        let circle: BTreeSet<String> = to
            .iter()
            .filter(|other| reach.get(**other).is_some_and(|back| back.contains(*from)))
            .map(|other| (*other).clone())
            .collect();
        if circle.len() > 1 {
            circles.insert(circle.into_iter().collect());
        }
    }
    circles.into_iter().collect()
}

fn reachable<'a>(edges: &'a BTreeMap<String, BTreeSet<String>>, from: &String) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = edges.get(from).into_iter().flatten().collect();
    while let Some(one) = next.pop() {
        if found.insert(one) {
            next.extend(edges.get(one).into_iter().flatten());
        }
    }
    found
}

/// Names that the roots of folders hand on: the path of a name there, and the path that it comes from.
fn exported(files: &[&File]) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut found = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_root) {
        let uses = file.blanked.match_indices("use ").filter(|(at, _)| {
            let line = &file.blanked[file.blanked[..*at].rfind('\n').map_or(0, |end| end + 1)..*at];
            line.trim_start().starts_with("pub")
        });
        for (at, _) in uses {
            let text = &file.blanked[at + 4..];
            let text = &text[..text.find(';').unwrap_or(text.len())];
            let text = text.strip_prefix("self::").unwrap_or(text);
            for path in own_paths(&format!("crate::{text}"), &[]) {
                let from: Vec<String> = file.module.iter().cloned().chain(path.iter().cloned()).collect();
                let Some(name) = path.last() else { continue };
                let here: Vec<String> = file.module.iter().cloned().chain([name.clone()]).collect();
                if here != from {
                    found.insert(here, from);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        let inside = path.trim_end_matches(".rs");
        let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
        let is_root = matches!(module.last().map(String::as_str), Some("lib" | "mod"));
        if is_root {
            module.pop();
        }
        let (text, blanked) = (text.to_owned(), blanked(text));
        File { of: "x".into(), path: path.into(), module, is_root, text, blanked }
    }

    #[test]
    fn circles_are_found_between_siblings() {
        let check = |files: &[(&str, &str)], expected: &[&[&str]]| {
            let files: Vec<File> = files.iter().map(|(path, text)| file(path, text)).collect();
            assert_eq!(circles(&files.iter().collect::<Vec<_>>()), expected);
        };
        check(&[("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "")], &[]);
        check(
            &[("a.rs", "use crate::b::B;"), ("b.rs", "use crate::{c, d};"), ("c.rs", "crate::a::f()")],
            &[&["a", "b", "c"]],
        );
        // Through what the root hands on, and between the files of two folders.
        check(&[("lib.rs", "pub use b::B;"), ("a.rs", "use crate::B;"), ("b.rs", "use crate::a::A;")], &[&["a", "b"]]);
        check(
            &[("k/mod.rs", ""), ("k/a/x.rs", "use super::super::v::V;"), ("k/v.rs", "use crate::k::a::x::X;")],
            &[&["k::a", "k::v"]],
        );
        // A parent and its child are one thing.
        check(&[("k/mod.rs", "use crate::k::a::A;"), ("k/a.rs", "use crate::k::K;")], &[]);
    }

    #[test]
    fn counts_only_fall() {
        let counts = |circles: usize| Counts::from([("circles", BTreeMap::from([("x".to_owned(), circles)]))]);
        let check = |was: usize, is: usize, problem: &str| {
            let mut problems = Vec::new();
            compare(&counts(was), &counts(is), &BTreeMap::new(), &mut problems);
            assert_eq!(problems.is_empty(), problem.is_empty(), "{problems:?}");
            assert!(problems.iter().all(|found| found.contains(problem)), "{problems:?}");
        };
        check(2, 2, "");
        check(2, 3, "rose from 2 to 3");
        check(2, 1, "fell from 2 to 1");
        let mut known = counts(2);
        lower(&mut known, &counts(3));
        assert_eq!(known, counts(2));
        lower(&mut known, &counts(1));
        assert_eq!(parse(&show(&known)), counts(1));
    }
}
