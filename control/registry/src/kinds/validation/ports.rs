//! Ports of a pod's containers that stand in each other's way, told as warnings.

use super::At;
use super::container::LISTS;
use sampan_api::limits::WARNINGS_MAX;
use serde_json::Value;
use std::collections::HashMap;

/// Ports with the same number and protocol: their places among those that were seen.
#[derive(Default)]
struct Same<'a> {
    /// Those without a host port, which overlap with every other.
    without: Vec<usize>,
    /// The rest by host port, and then by the host's address.
    with: HashMap<i64, HashMap<&'a str, Vec<usize>>>,
    all: Vec<usize>,
}

fn items(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

/// Warns of ports that are declared twice or share a name.
pub(super) fn containers(spec: At<'_>, warnings: &mut Vec<String>) {
    let mut same: HashMap<(i64, &str), Same<'_>> = HashMap::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut paths: Vec<(usize, usize, usize)> = Vec::new();
    let mut told_of_names = Vec::new();
    let path = |(list, container, port): (usize, usize, usize)| {
        format!("{}.{}[{container}].ports[{port}]", spec.path(), LISTS[list])
    };
    for (list, field) in LISTS.iter().enumerate() {
        for (at, container) in items(spec.value().get(field)).enumerate() {
            for (index, port) in items(container.get("ports")).enumerate() {
                // As many warnings are told, and each makes one.
                if warnings.len() + told_of_names.len() >= WARNINGS_MAX {
                    warnings.append(&mut told_of_names);
                    return;
                }
                let own = paths.len();
                paths.push((list, at, index));
                let text = |name: &str| port.get(name).and_then(Value::as_str).unwrap_or("");
                let number = |name: &str| port.get(name).and_then(Value::as_i64).unwrap_or(0);
                let (host_ip, host_port) = (text("hostIP"), number("hostPort"));
                let (number, protocol) = (number("containerPort"), text("protocol"));
                let here = || path(paths[own]);
                if !host_ip.is_empty() && host_port == 0 {
                    warnings.push(format!(
                        "{}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{host_ip}}}",
                        here(),
                        text("name")
                    ));
                }
                let others = same.entry((number, protocol)).or_default();
                for (other, word) in others.conflicts(host_ip, host_port) {
                    if warnings.len() < WARNINGS_MAX {
                        warnings.push(format!("{}: {word} port definition with {}", here(), path(paths[other])));
                    }
                }
                others.add(own, host_ip, host_port);
                let name = text("name");
                match names.get(name) {
                    _ if name.is_empty() => {}
                    None => drop(names.insert(name, own)),
                    Some(first) => {
                        let first = path(paths[*first]);
                        told_of_names.push(format!(
                            "{}: duplicate port name {name:?} with {first}, services and probes that select ports by name will use {first}",
                            here()
                        ));
                    }
                }
            }
        }
    }
    warnings.append(&mut told_of_names);
}

impl<'a> Same<'a> {
    fn add(&mut self, at: usize, host_ip: &'a str, host_port: i64) {
        self.all.push(at);
        if host_port == 0 {
            self.without.push(at);
        }
        self.with.entry(host_port).or_default().entry(host_ip).or_default().push(at);
    }

    /// The ports that are in the way of another, each with the word for it, in the order in which they were seen: at most
    /// as many as are told.
    fn conflicts(&self, host_ip: &str, host_port: i64) -> Vec<(usize, &'static str)> {
        let by_ip = self.with.get(&host_port);
        let equal = by_ip.and_then(|by_ip| by_ip.get(host_ip)).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<(usize, &'static str)> =
            equal.iter().take(WARNINGS_MAX).map(|at| (*at, "duplicate")).collect();
        let overlapping = if host_port == 0 { &self.all } else { &self.without };
        let more = overlapping.iter().filter(|at| equal.binary_search(at).is_err());
        found.extend(more.take(WARNINGS_MAX).map(|at| (*at, "overlapping")));
        if host_port != 0 {
            let ambiguous = by_ip.into_iter().flatten().filter(|(ip, _)| ip.is_empty() != host_ip.is_empty());
            let ambiguous = ambiguous.take(WARNINGS_MAX).flat_map(|(_, list)| list.iter().take(WARNINGS_MAX));
            found.extend(ambiguous.map(|at| (*at, "dangerously ambiguous")));
        }
        found.sort_unstable();
        found.truncate(WARNINGS_MAX);
        found
    }
}
