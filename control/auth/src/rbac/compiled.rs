//! The rules of one role, arranged by what they name: a decision looks up what a request names instead of reading each
//! rule.

use super::rules::{ALL, PolicyRule};
use super::sets::{Set, Table, any_common};
use sampan_api::user::Attributes;

/// The rules of a role. Immutable, shared by all bindings.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    rules: Vec<PolicyRule>,
    verbs: Table,
    groups: Table,
    resources: Table,
    names: Table,
    /// Rules for objects of any name, under `""`.
    nameless: Table,
    paths: Table,
    prefixes: Prefixes,
}

impl Compiled {
    /// Takes n log n of the number of texts.
    pub fn new(rules: Vec<PolicyRule>) -> Self {
        let unnamed = rules.iter().zip(0..).filter(|(rule, _)| rule.resource_names.is_empty());
        let nameless: Vec<(&str, u32)> = unnamed.map(|(_, at)| ("", at)).collect();
        let paths = each(&rules, |rule| &rule.non_resource_urls);
        let prefixes = paths.clone().filter_map(|(url, at)| Some((url.strip_suffix('*')?.trim_end_matches('*'), at)));
        let (verbs, groups) = (each(&rules, |rule| &rule.verbs), each(&rules, |rule| &rule.api_groups));
        let resources = each(&rules, |rule| &rule.resources);
        let names = each(&rules, |rule| &rule.resource_names);
        let count = rules.len();
        Self {
            verbs: Table::new(verbs.collect(), count),
            groups: Table::new(groups.collect(), count),
            resources: Table::new(resources.collect(), count),
            names: Table::new(names.collect(), count),
            nameless: Table::new(nameless, count),
            prefixes: Prefixes::new(Table::new(prefixes.collect(), count)),
            paths: Table::new(paths.collect(), count),
            rules,
        }
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[PolicyRule] {
        &self.rules
    }

    /// Whether one of the rules allows it: [`PolicyRule::allows`] of any of them.
    pub fn allows(&self, a: &Attributes) -> bool {
        let verbs = found([self.verbs.get(ALL), self.verbs.get(&a.verb)]);
        if verbs.is_empty() {
            return false;
        }
        if !a.resource_request {
            let mut paths = found([self.paths.get(&a.path)]);
            self.prefixes.of(&a.path, &mut paths);
            return any_common(&[&verbs, &paths], self.rules.len());
        }
        let groups = found([self.groups.get(ALL), self.groups.get(&a.group)]);
        if groups.is_empty() {
            return false;
        }
        let resources = self.of_resource(&a.resource, &a.subresource);
        let names = found([self.nameless.get(""), self.names.get(&a.name)]);
        any_common(&[&resources, &names, &groups, &verbs], self.rules.len())
    }

    fn of_resource(&self, resource: &str, subresource: &str) -> Vec<Set<'_>> {
        let any = self.resources.get(ALL);
        // The part before the first slash is the resource: none has a slash in its own name.
        if resource.contains('/') {
            let child = Some(subresource).filter(|child| !child.is_empty());
            return found([any, child.and_then(|child| self.resources.get(&format!("{ALL}/{child}")))]);
        }
        if subresource.is_empty() {
            return found([any, self.resources.get(resource)]);
        }
        let of = |parent: &str| self.resources.get(&format!("{parent}/{subresource}"));
        found([any, of(ALL), of(resource)])
    }
}

fn each<'a>(
    rules: &'a [PolicyRule],
    texts: impl Fn(&'a PolicyRule) -> &'a [String] + Clone,
) -> impl Iterator<Item = (&'a str, u32)> + Clone {
    rules.iter().zip(0..).flat_map(move |(rule, at)| texts(rule).iter().map(move |text| (text.as_str(), at)))
}

fn found<'a, const N: usize>(sets: [Option<Set<'a>>; N]) -> Vec<Set<'a>> {
    sets.into_iter().flatten().collect()
}

/// Beginnings of paths. Those that a path begins with are found by one search and a walk over nothing else.
#[derive(Debug, Default)]
struct Prefixes {
    table: Table,
    /// For each text of the table the longest other one that it begins with; itself where there is none.
    parents: Box<[u32]>,
}

impl Prefixes {
    fn new(table: Table) -> Self {
        let mut parents: Vec<u32> = Vec::with_capacity(table.len());
        let mut open: Vec<usize> = Vec::new();
        for at in 0..table.len() {
            while open.last().is_some_and(|outer| !table.text(at).starts_with(table.text(*outer))) {
                open.pop();
            }
            parents.push(open.last().copied().unwrap_or(at) as u32);
            open.push(at);
        }
        Self { table, parents: parents.into() }
    }

    /// Adds the rules of each beginning of `path`. All of them are beginnings of the greatest text that is not greater than
    /// the path: what lies between a beginning and the path begins with it too.
    fn of<'a>(&'a self, path: &str, into: &mut Vec<Set<'a>>) {
        let Some(mut at) = self.table.not_greater(path) else { return };
        let text = self.table.text(at);
        let common = text.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count();
        loop {
            if self.table.text(at).len() <= common {
                into.push(self.table.set(at));
            }
            let parent = self.parents[at] as usize;
            if parent == at {
                return;
            }
            at = parent;
        }
    }
}

#[cfg(test)]
#[path = "compiled_tests.rs"]
mod tests;
