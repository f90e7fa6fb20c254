use super::*;
use sampan_testing::Dice;

fn texts(dice: &mut Dice, of: &[&str], most: u64) -> Vec<String> {
    (0..dice.roll(most + 1)).map(|_| of[dice.roll(of.len() as u64) as usize].to_owned()).collect()
}

const VERBS: [&str; 4] = ["get", "list", "*", "update"];
const GROUPS: [&str; 4] = ["", "apps", "*", "batch"];
const RESOURCES: [&str; 12] =
    ["pods", "pods/log", "*", "*/log", "pods/", "/log", "", "nodes", "pods/a/b", "*/a/b", "nodes/log", "*/"];
const NAMES: [&str; 4] = ["a", "b", "", "c"];
const URLS: [&str; 11] = ["*", "/a", "/a*", "/a/*", "/a/b*", "/ab*", "/a**", "/b/c/d", "/b/c*", "", "/a/b/c/d*"];
const PATHS: [&str; 12] = ["/a", "/", "", "/a/b", "/ab", "/a/b/c/d/e", "/b/c", "/b/c/d", "/b", "/c", "/a*", "é"];

fn rule(dice: &mut Dice) -> PolicyRule {
    PolicyRule {
        verbs: texts(dice, &VERBS, 2),
        api_groups: texts(dice, &GROUPS, 2),
        resources: texts(dice, &RESOURCES, 3),
        resource_names: texts(dice, &NAMES, 1),
        non_resource_urls: texts(dice, &URLS, 2),
    }
}

fn one<'a>(dice: &mut Dice, of: &[&'a str]) -> &'a str {
    of[dice.roll(of.len() as u64) as usize]
}

fn attributes(dice: &mut Dice) -> Attributes {
    let text = |dice: &mut Dice, of: &[&str]| one(dice, of).to_owned();
    Attributes {
        verb: text(dice, &VERBS),
        group: text(dice, &GROUPS),
        resource: text(dice, &RESOURCES),
        subresource: text(dice, &["", "", "log", "a/b", "b", "/"]),
        name: text(dice, &NAMES),
        path: text(dice, &PATHS),
        resource_request: !dice.one_in(3),
        ..Attributes::default()
    }
}

#[test]
fn what_is_compiled_decides_as_its_rules_do() {
    let mut allowed = 0;
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        // Sets of few and of many: a word is 64 rules.
        let count = [1, 3, 10, 64, 65, 400][dice.roll(6) as usize];
        let mut rules: Vec<PolicyRule> = (0..count).map(|_| rule(&mut dice)).collect();
        if dice.one_in(2) {
            // Most allow nothing that is asked for.
            for rule in rules.iter_mut().skip(2) {
                rule.verbs.retain(|verb| verb == "list");
                rule.api_groups.retain(|group| group != "*");
                rule.resources.retain(|resource| !resource.starts_with('*'));
            }
        }
        let compiled = Compiled::new(rules.clone());
        for _ in 0..60 {
            let a = attributes(&mut dice);
            let expected = rules.iter().any(|rule| rule.allows(&a));
            assert_eq!(compiled.allows(&a), expected, "seed {seed}: {a:?} of {rules:?}");
            allowed += usize::from(expected);
        }
    }
    assert!((2_000..22_000).contains(&allowed), "both answers come: {allowed}");
}

#[test]
fn all_beginnings_of_a_path_are_found() {
    let rule = |at: usize, url: String| PolicyRule {
        verbs: vec![format!("v{at}")],
        non_resource_urls: vec![url],
        ..PolicyRule::default()
    };
    // Each in the one before, and others between them in the order.
    let nested = (0..200).map(|n| format!("/{}*", "m".repeat(n)));
    let others = (0..200).map(|n| format!("/{}a*", "m".repeat(n)));
    let rules: Vec<PolicyRule> = nested.chain(others).enumerate().map(|(at, url)| rule(at, url)).collect();
    let compiled = Compiled::new(rules.clone());
    for path in ["/mmmmz", "/", "/mmmmma", "/mmmmmab", "/a", "/z", ""] {
        for (at, rule) in rules.iter().enumerate() {
            let a = Attributes { verb: format!("v{at}"), path: path.to_owned(), ..Attributes::default() };
            assert_eq!(compiled.allows(&a), rule.allows(&a), "{path} by {rule:?}");
        }
    }
}
