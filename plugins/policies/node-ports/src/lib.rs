//! NodePorts: no two pods of a node want the same host port (kube-scheduler's plugin of that name, v1.35).
//!
//! Allowed dependencies: the SDK.
//!
//! Invariant: pure, and of one node alone.

use sampan_policy_sdk::{Column, NoArgs, Node, Nodes, Pod, Point, Policy, Verdict, Verdicts};
use std::collections::HashSet;

/// `hostPort`s of containers.
pub struct NodePorts;

/// Stands for every address of the host.
const ANY: &str = "0.0.0.0";

/// The ports that a pod wants, read once: a port that a node has taken is looked up, not compared with each.
struct Wanted<'a> {
    any: Option<i64>,
    /// Address, protocol, port.
    exact: HashSet<&'a [i64]>,
    /// Protocol and port: on any address, and on every one.
    on_some: HashSet<&'a [i64]>,
    on_all: HashSet<&'a [i64]>,
}

impl<'a> Wanted<'a> {
    fn of(pod: &Pod<'a>) -> Self {
        let any = pod.mirror().symbol(ANY).map(|symbol| i64::from(symbol.0));
        let ports = || pod.cell(Column::PodPorts).chunks_exact(3);
        Self {
            any,
            exact: ports().collect(),
            on_some: ports().map(|port| &port[1..]).collect(),
            on_all: ports().filter(|port| Some(port[0]) == any).map(|port| &port[1..]).collect(),
        }
    }

    fn verdict(&self, node: &Node) -> Verdict {
        let clashes = |taken: &[i64]| {
            let port = &taken[1..];
            self.exact.contains(taken)
                || self.on_all.contains(port)
                || (Some(taken[0]) == self.any && self.on_some.contains(port))
        };
        if node.cell(Column::NodePorts).chunks_exact(3).any(clashes) {
            Verdict::unschedulable("node(s) didn't have free ports for the requested pod ports")
        } else {
            Verdict::Pass
        }
    }
}

impl Policy for NodePorts {
    const NAME: &'static str = "NodePorts";
    const POINTS: &'static [Point] = &[Point::Filter];
    const COLUMNS: &'static [Column] = &[Column::NodePorts, Column::PodPorts];
    const EVENTS: &'static [&'static str] = &["Node/Add", "Pod/Delete"];
    type Args = NoArgs;

    fn new(_: NoArgs) -> Result<Self, String> {
        Ok(Self)
    }

    fn filters(&self, pod: &Pod) -> bool {
        !pod.cell(Column::PodPorts).is_empty()
    }

    fn filter(&self, pod: &Pod, node: &Node) -> Verdict {
        Wanted::of(pod).verdict(node)
    }

    fn filter_all(&self, pod: &Pod, nodes: &Nodes, verdicts: &mut Verdicts) {
        let wanted = Wanted::of(pod);
        for (index, node) in nodes.iter() {
            if !verdicts.refused(index) {
                verdicts.put(index, wanted.verdict(&node));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_policy_sdk::{Protocol, testing::Cluster};

    #[test]
    fn a_port_is_taken_once_per_address_and_protocol() {
        let mut cluster = Cluster::new();
        let node = cluster.node("a").port(ANY, Protocol::Tcp, 80).port("10.0.0.1", Protocol::Tcp, 81).row();
        for (ip, protocol, port, free) in [
            (ANY, Protocol::Tcp, 80, false),
            ("10.0.0.9", Protocol::Tcp, 80, false),
            (ANY, Protocol::Udp, 80, true),
            (ANY, Protocol::Tcp, 81, false),
            ("10.0.0.2", Protocol::Tcp, 81, true),
            ("10.0.0.1", Protocol::Tcp, 81, false),
        ] {
            let pod = cluster.pod("p").port(ip, protocol, port).row();
            assert_eq!(cluster.filter(&NodePorts, pod, node) == Verdict::Pass, free, "{ip} {port}");
        }
    }
}
