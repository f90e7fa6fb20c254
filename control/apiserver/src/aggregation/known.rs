//! Group versions and their servers, out of the objects that name them.

use super::Backend;
use base64::Engine as _;
use sampan_api::Object;
use sampan_registry::ResourceTable;
use sampan_registry::crd::compare_versions;
use sampan_registry::priorities::{self, DEFINED};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A group version, as its object says who serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// `""` for the core group.
    pub group: String,
    /// `v1`
    pub version: String,
    group_priority: i64,
    version_priority: i64,
    /// `None`: this server.
    pub backend: Option<Backend>,
    /// Whether its server was found to answer.
    pub available: bool,
}

impl Served {
    /// Of an APIService.
    pub fn of(object: &Object) -> Self {
        let text = |path: &[&str]| object.get_str(path).unwrap_or_default().to_owned();
        let number = |name: &str| object.get(&["spec", name]).and_then(Value::as_i64).unwrap_or(0);
        let backend = object.get(&["spec", "service"]).filter(|service| service.is_object()).map(|service| Backend {
            namespace: service["namespace"].as_str().unwrap_or_default().to_owned(),
            name: service["name"].as_str().unwrap_or_default().to_owned(),
            port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            // What is no base64 was refused.
            ca_bundle: base64::engine::general_purpose::STANDARD
                .decode(text(&["spec", "caBundle"]))
                .unwrap_or_default(),
            insecure: object.get(&["spec", "insecureSkipTLSVerify"]) == Some(&Value::Bool(true)),
        });
        let conditions = object.get(&["status", "conditions"]).and_then(Value::as_array);
        let available =
            conditions.into_iter().flatten().any(|one| one["type"] == "Available" && one["status"] == "True");
        Self {
            group: text(&["spec", "group"]),
            version: text(&["spec", "version"]),
            group_priority: number("groupPriorityMinimum"),
            version_priority: number("versionPriority"),
            backend,
            available,
        }
    }
}

/// All of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    by_version: BTreeMap<(String, String), Served>,
}

/// A group as discovery shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// `""` for the core group.
    pub name: String,
    /// `v1`, `v1beta1`, ...: the preferred one first.
    pub versions: Vec<String>,
}

/// Versions by their priorities.
type Ranked = Vec<(i64, String)>;

impl Known {
    pub(super) fn of<'a>(all: impl Iterator<Item = &'a Served>) -> Self {
        Self { by_version: all.map(|one| ((one.group.clone(), one.version.clone()), one.clone())).collect() }
    }

    /// The group version, where another server has it.
    pub fn elsewhere(&self, group: &str, version: &str) -> Option<&Served> {
        let served = self.by_version.get(&(group.to_owned(), version.to_owned()))?;
        served.backend.is_some().then_some(served)
    }

    /// Those that other servers have.
    pub fn all_elsewhere(&self) -> impl Iterator<Item = &Served> {
        self.by_version.values().filter(|served| served.backend.is_some())
    }

    /// The groups of this server and of others by their priorities, and of each the versions by theirs
    /// (kube-aggregator's `SortedByGroupAndVersion`). What has no object yet has the priority that its own will have.
    pub fn groups(&self, table: &ResourceTable) -> Vec<Group> {
        let local = table.group_versions().into_iter().map(|gv| (gv.group, gv.version));
        let mut groups: Vec<(i64, Ranked, String)> = Vec::new();
        for (group, version) in local.chain(self.all_elsewhere().map(|one| (one.group.clone(), one.version.clone()))) {
            let (group_priority, version_priority) = self.priorities(table, &group, &version);
            let at = groups.iter().position(|(_, _, name)| *name == group).unwrap_or_else(|| {
                groups.push((group_priority, Vec::new(), group));
                groups.len() - 1
            });
            let (priority, versions, _) = &mut groups[at];
            *priority = group_priority.max(*priority);
            if !versions.iter().any(|(_, known)| *known == version) {
                versions.push((version_priority, version));
            }
        }
        groups.sort_by(|a, b| (Reverse(a.0), &a.2).cmp(&(Reverse(b.0), &b.2)));
        let group = |(_, mut versions, name): (i64, Ranked, String)| {
            versions.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| compare_versions(&a.1, &b.1)));
            Group { name, versions: versions.into_iter().map(|(_, version)| version).collect() }
        };
        groups.into_iter().map(group).collect()
    }

    fn priorities(&self, table: &ResourceTable, group: &str, version: &str) -> (i64, i64) {
        if let Some(served) = self.by_version.get(&(group.to_owned(), version.to_owned())) {
            return (served.group_priority, served.version_priority);
        }
        if let Some(builtin) = priorities::builtin(group, version) {
            return (builtin.group, builtin.version);
        }
        let defined = table.of_group_version(group, version).any(|row| row.defined);
        // The group of these objects has none: it is the first.
        if defined { (DEFINED.group, DEFINED.version) } else { (i64::MAX, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn groups_stand_by_their_priorities() {
        let served = |group: &str, version: &str, priorities: (i64, i64)| {
            let spec = json!({"group": group, "version": version, "groupPriorityMinimum": priorities.0,
                "versionPriority": priorities.1, "service": {"namespace": "n", "name": "s"}});
            Served::of(&Object::from_value(json!({"spec": spec})).expect("an object"))
        };
        let all = [
            served("a.example.com", "v1", (1000, 100)),
            served("z.example.com", "v1beta1", (17790, 100)),
            served("z.example.com", "v1", (1, 100)),
            served("batch", "v2alpha1", (17400, 9)),
        ];
        let known = Known::of(all.iter());
        let table = ResourceTable::builtin().expect("a table");
        let groups = known.groups(&table);
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names[..4], ["apiregistration.k8s.io", "", "apps", "z.example.com"]);
        assert_eq!(names.last(), Some(&"a.example.com"));
        let versions = |name: &str| &groups.iter().find(|group| group.name == name).expect("there").versions;
        assert_eq!(*versions("z.example.com"), ["v1", "v1beta1"]);
        assert_eq!(*versions("batch"), ["v1", "v2alpha1"]);
        assert!(known.elsewhere("apps", "v1").is_none());
        // Without any object they stand as the table has them.
        let plain = Known::default().groups(&table);
        let of_table: Vec<String> = {
            let mut seen = Vec::new();
            for gv in table.group_versions() {
                if !seen.contains(&gv.group) {
                    seen.push(gv.group);
                }
            }
            seen
        };
        let mut named: Vec<&String> = plain.iter().map(|group| &group.name).collect();
        named.sort();
        let mut expected: Vec<&String> = of_table.iter().collect();
        expected.sort();
        assert_eq!(named, expected);
    }
}
