//! The order of groups and of their versions, as APIServices say it and discovery shows it.

/// Priorities of a group version: the higher, the earlier it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// `groupPriorityMinimum`.
    pub group: i64,
    /// `versionPriority`.
    pub version: i64,
}

/// What definitions of kinds get (crdregistration_controller.go): versions in the order of their names.
pub const DEFINED: Priority = Priority { group: 1000, version: 100 };

const DATA: &str = include_str!("../data/priorities.tsv");

/// The priority of a group version that is built in. `None`: it has no APIService, as the group of APIServices itself.
pub fn builtin(group: &str, version: &str) -> Option<Priority> {
    DATA.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut cells = line.split('\t');
        let named = cells.next() == Some(group) && cells.next() == Some(version);
        let mut number = || cells.next()?.parse().ok();
        named.then(|| Some(Priority { group: number()?, version: number()? })).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ResourceTable;

    #[test]
    fn every_group_version_that_is_built_in_has_one_and_stands_in_its_order() {
        let table = ResourceTable::builtin().expect("a table");
        let mut last = i64::MAX;
        for gv in table.group_versions() {
            match builtin(&gv.group, &gv.version) {
                Some(priority) => {
                    assert!(priority.group <= last, "{gv:?} stands before what is before it");
                    assert!(priority.group > DEFINED.group, "{gv:?}");
                    last = priority.group;
                }
                None => assert_eq!(gv.group, "apiregistration.k8s.io"),
            }
        }
    }
}
