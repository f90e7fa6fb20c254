use sampan_api::LabelSelector;
use std::collections::{BTreeMap, HashSet, VecDeque};

/// The facts about a ClusterRole by which others take its rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    /// The role's labels, by which others select it.
    pub labels: BTreeMap<String, String>,
    /// As [`super::Role::aggregates`].
    pub aggregates: Option<Vec<LabelSelector>>,
}

/// The ClusterRoles that each aggregated one selects. Those may be aggregated themselves (admin selects edit, edit selects
/// view), in circles too.
pub(super) struct Aggregation<'a> {
    selected: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Aggregation<'a> {
    /// `roles`: all ClusterRoles, by name.
    pub fn of(roles: &'a BTreeMap<String, Shape>) -> Self {
        let aggregated = roles.iter().filter_map(|(name, shape)| Some((name.as_str(), shape.aggregates.as_ref()?)));
        let selected = aggregated.map(|(name, selectors)| {
            let selects = |labels| selectors.iter().any(|selector| selector.matches_map(labels));
            let chosen = roles.iter().filter(|(_, shape)| selects(&shape.labels));
            (name, chosen.map(|(name, _)| name.as_str()).collect())
        });
        Self { selected: selected.collect() }
    }

    /// The aggregated roles.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.selected.keys().copied()
    }

    /// The roles with rules of their own that are reached from this one, each once. An aggregated role has no rules of its
    /// own: Kubernetes' controller writes over them.
    pub fn reached(&self, name: &'a str) -> Vec<&'a str> {
        let mut reached = Vec::new();
        let mut visited: HashSet<&str> = HashSet::from([name]);
        let mut left: VecDeque<&str> = VecDeque::from([name]);
        while let Some(name) = left.pop_front() {
            match self.selected.get(name) {
                None => reached.push(name),
                Some(selected) => left.extend(selected.iter().copied().filter(|name| visited.insert(name))),
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::Path;
    use serde_json::json;

    fn role(name: &str, labels: &[&str], aggregates: &[&str]) -> (String, Shape) {
        let selector = |label: &&str| {
            LabelSelector::from_v1(&json!({"matchLabels": {*label: "true"}}), &Path::root()).expect("a selector")
        };
        let shape = Shape {
            labels: labels.iter().map(|label| ((*label).to_owned(), "true".to_owned())).collect(),
            aggregates: (!aggregates.is_empty()).then(|| aggregates.iter().map(selector).collect()),
        };
        (name.to_owned(), shape)
    }

    #[test]
    fn aggregation_reaches_through_roles_and_circles() {
        let roles = BTreeMap::from([
            role("view", &["to-edit"], &["to-view"]),
            role("edit", &["to-admin"], &["to-edit"]),
            role("admin", &["to-view"], &["to-admin"]),
            role("reads", &["to-view"], &[]),
            role("writes", &["to-edit"], &[]),
            role("others", &["to-others"], &[]),
        ]);
        let aggregation = Aggregation::of(&roles);
        for name in ["view", "edit", "admin"] {
            let mut reached = aggregation.reached(name);
            reached.sort_unstable();
            assert_eq!(reached, ["reads", "writes"], "{name}: they are a circle");
        }
    }

    #[test]
    fn roles_that_all_select_each_other_are_visited_once_each() {
        let roles: BTreeMap<String, Shape> =
            (0..60).map(|n| role(&format!("r{n}"), &["all"], &["all"])).chain([role("leaf", &["all"], &[])]).collect();
        // Along every path, this would not end in the life of the sun.
        let aggregation = Aggregation::of(&roles);
        assert!(aggregation.names().all(|name| aggregation.reached(name) == ["leaf"]));
    }
}
