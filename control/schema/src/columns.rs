//! Columns of Tables: the files of `data/columns`, one a group, found by the group's name.

/// File name and text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/columns.rs"));
/// The file of the core group, whose own name is empty.
const CORE: &str = "core";

/// The columns of a group's resources as JSON: from a resource, or `version/resource`, to its list of columns.
pub fn of_group(group: &str) -> Option<&'static str> {
    file(if group.is_empty() { CORE } else { group })
}

/// Descriptions that many columns share, as a JSON object: a column's `description` may be a key of it.
pub fn descriptions() -> Option<&'static str> {
    file("descriptions")
}

fn file(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(file, _)| file.strip_suffix(".json") == Some(name)).map(|(_, text)| *text)
}
