//! Which of the built-in rows are served: kube-apiserver's `--runtime-config`. Versions that are generally available are by
//! default, and those of our own groups; beta and alpha ones where they are asked for, by all of their stage, by version or by
//! resource, the closer word over the wider one.

use crate::resource::{Body, Resource};
use crate::stage::Stage;
use crate::table::{ResourceTable, TableError};
use sampan_schema::Schema;
use sampan_schema::gates::Gates;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Words for many versions at once, from the widest to the closest.
const MANY: [(&str, Option<Stage>); 4] = [
    ("api/all", None),
    ("api/ga", Some(Stage::Stable)),
    ("api/beta", Some(Stage::Beta)),
    ("api/alpha", Some(Stage::Alpha)),
];

/// What is served beside, and in place of, what is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// `api/beta`, `GROUP/VERSION`, `GROUP/VERSION/RESOURCE`, each of them known.
    settings: BTreeMap<String, bool>,
    /// See [`RuntimeConfig::living_for`].
    lifetime: Option<Duration>,
}

impl RuntimeConfig {
    /// # Errors
    /// All settings that cannot be: of something that there is not, and those that would turn off what others of this
    /// process's parts stand on.
    pub fn new(settings: &BTreeMap<String, bool>) -> Result<Self, Vec<String>> {
        let rows = crate::kinds::all();
        let problems: Vec<String> = settings.iter().filter_map(|(key, on)| problem(&rows, key, *on)).collect();
        if problems.is_empty() { Ok(Self { settings: settings.clone(), lifetime: None }) } else { Err(problems) }
    }

    /// Objects that live for a time after their last write, as events do, live for this long: kube-apiserver's `--event-ttl`.
    #[must_use]
    pub fn living_for(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// The built-in rows that are served, and those in whose version their objects are stored, with their types out of the
    /// built-in schema.
    ///
    /// # Errors
    /// The rows make no table.
    pub fn table(&self, gates: &Gates) -> Result<ResourceTable, TableError> {
        let schema = Schema::builtin();
        ResourceTable::new(self.choose(crate::kinds::all(), gates).into_iter().map(|row| row.typed(schema)))
    }

    /// The rows of which some are served: each is marked as served or not.
    pub(crate) fn choose(&self, mut rows: Vec<Resource>, gates: &Gates) -> Vec<Resource> {
        for row in &mut rows {
            row.lifetime = row.lifetime.map(|own| self.lifetime.unwrap_or(own));
            row.served = row.gate.as_ref().is_none_or(|gate| gates.enabled(gate)) && self.serves(row);
        }
        let stored: BTreeSet<String> = rows
            .iter()
            .filter(|row| row.served)
            .filter_map(|row| Some(row.stored_as.as_ref()?.storage.to_string()))
            .collect();
        rows.retain(|row| row.served || (row.body == Body::Stored && stored.contains(&row.gvr().to_string())));
        rows
    }

    fn serves(&self, row: &Resource) -> bool {
        let stage = Stage::of(&row.version);
        let mut served = row.by_default;
        // Nobody means our own groups by all versions of a stage.
        if !row.by_default || stage == Stage::Stable {
            let many = MANY.iter().filter(|(_, of)| of.is_none_or(|of| of == stage));
            served = many.filter_map(|(key, _)| self.settings.get(*key)).next_back().copied().unwrap_or(served);
        }
        let version = row.api_version();
        let closer = [version.clone(), format!("{version}/{}", row.resource)];
        closer.iter().filter_map(|key| self.settings.get(key)).next_back().copied().unwrap_or(served)
    }
}

/// What is wrong with a setting.
fn problem(rows: &[Resource], key: &str, on: bool) -> Option<String> {
    let needed = |what: &str| Some(format!("{key}: false: {what} cannot be turned off"));
    if let Some((_, stage)) = MANY.iter().find(|(name, _)| *name == key) {
        let all = matches!(stage, None | Some(Stage::Stable));
        return if all && !on { needed("what is generally available") } else { None };
    }
    let parts: Vec<&str> = key.split('/').collect();
    let (group, version, resource) = match parts.as_slice() {
        [group, version] => (*group, *version, None),
        [group, version, resource] => (*group, *version, Some(*resource)),
        _ => return Some(format!("runtime-config invalid key {key}")),
    };
    let of_group = || rows.iter().filter(|row| row.group == group && !group.is_empty());
    let of_version = || of_group().filter(|row| row.version == version);
    let found = || of_version().filter(|row| resource.is_none_or(|resource| row.resource == resource));
    if of_group().next().is_none() {
        return Some(format!("unknown api groups {group}"));
    }
    if of_version().next().is_none() {
        return Some(format!("group version {group}/{version} that has not been registered"));
    }
    if found().next().is_none() {
        return Some(format!("{key}: {group}/{version} has no such resource"));
    }
    if !on && found().any(|row| row.by_default) { needed("what is generally available, or ours,") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, bool)]) -> Result<RuntimeConfig, Vec<String>> {
        RuntimeConfig::new(&settings.iter().map(|(key, on)| ((*key).to_owned(), *on)).collect())
    }

    /// The versions other than stable ones in which a group's kinds are served, and their resources.
    fn served(settings: &[(&str, bool)], gates: &[&str], group: &str) -> Vec<String> {
        let config = config(settings).expect("it may be so");
        let gates = Gates::with(&gates.iter().map(|name| ((*name).to_owned(), true)).collect()).expect("gates");
        let rows = config.choose(crate::kinds::all(), &gates);
        let unstable =
            rows.iter().filter(|row| row.served && row.group == group && Stage::of(&row.version) != Stage::Stable);
        unstable.map(|row| format!("{}/{}", row.version, row.resource)).collect()
    }

    #[test]
    fn what_lives_for_a_time_lives_for_the_time_that_is_said() {
        let of = |config: RuntimeConfig| {
            let rows = config.choose(crate::kinds::all(), &Gates::default());
            let living = rows.iter().filter_map(|row| Some((row.resource.to_string(), row.lifetime?)));
            living.collect::<BTreeMap<String, Duration>>()
        };
        let (hour, minute) = (Duration::from_secs(3_600), Duration::from_secs(60));
        assert_eq!(of(RuntimeConfig::default()), BTreeMap::from([("events".to_owned(), hour)]));
        assert_eq!(of(RuntimeConfig::default().living_for(minute)), BTreeMap::from([("events".to_owned(), minute)]));
    }

    #[test]
    fn the_closer_word_decides() {
        let check = |settings: &[(&str, bool)], gates: &[&str], group: &str, expected: &[&str]| {
            assert_eq!(served(settings, gates, group), expected, "{settings:?} {gates:?}");
        };
        let networking = "networking.k8s.io";
        check(&[], &[], networking, &[]);
        check(&[("api/beta", true)], &[], networking, &["v1beta1/ipaddresses", "v1beta1/servicecidrs"]);
        check(&[("api/all", true), ("api/beta", false)], &[], networking, &[]);
        check(
            &[("networking.k8s.io/v1beta1", true)],
            &[],
            networking,
            &["v1beta1/ipaddresses", "v1beta1/servicecidrs"],
        );
        check(&[("networking.k8s.io/v1beta1/ipaddresses", true)], &[], networking, &["v1beta1/ipaddresses"]);
        check(
            &[("api/beta", true), ("networking.k8s.io/v1beta1/ipaddresses", false)],
            &[],
            networking,
            &["v1beta1/servicecidrs"],
        );
        check(&[("api/alpha", true)], &[], "resource.k8s.io", &["v1alpha3/devicetaintrules"]);
        // What is of a feature needs both.
        check(&[("api/all", true)], &[], "scheduling.k8s.io", &[]);
        check(&[], &["GenericWorkload"], "scheduling.k8s.io", &[]);
        check(&[("api/all", true)], &["GenericWorkload"], "scheduling.k8s.io", &["v1alpha1/workloads"]);
        let ours = ["v1alpha1/decisionbatches", "v1alpha1/decisions", "v1alpha1/schedulingpolicies"];
        check(&[("api/alpha", false), ("api/beta", false)], &[], "scheduling.sampan.dev", &ours);
    }

    #[test]
    fn a_version_that_only_stores_stays_unserved() {
        let config = config(&[("coordination.k8s.io/v1alpha2", true)]).expect("it may be so");
        let rows = config.choose(crate::kinds::all(), &Gates::default());
        let of: Vec<_> = rows.iter().filter(|row| row.resource == "leasecandidates").collect();
        assert_eq!(
            of.iter().map(|row| (row.version.as_ref(), row.served)).collect::<Vec<_>>(),
            [("v1beta1", false), ("v1alpha2", true)]
        );
    }

    #[test]
    fn what_is_not_known_is_told_at_once() {
        let check = |settings: &[(&str, bool)], expected: &[&str]| {
            assert_eq!(config(settings).expect_err("refused"), expected, "{settings:?}");
        };
        check(
            &[
                ("v1", true),
                ("nope.k8s.io/v1", true),
                ("apps/v1beta1", true),
                ("networking.k8s.io/v1beta1/ingresses", true),
            ],
            &[
                "group version apps/v1beta1 that has not been registered",
                "networking.k8s.io/v1beta1/ingresses: networking.k8s.io/v1beta1 has no such resource",
                "unknown api groups nope.k8s.io",
                "runtime-config invalid key v1",
            ],
        );
        check(&[("api/all", false)], &["api/all: false: what is generally available cannot be turned off"]);
        check(&[("apps/v1", false)], &["apps/v1: false: what is generally available, or ours, cannot be turned off"]);
    }
}
