//! NodePorts: no two pods of a node want the same host port (kube-scheduler's plugin of that name, v1.35).
//!
//! Allowed dependencies: the SDK.
//!
//! Invariant: pure, and of one node alone.

use sampan_policy_sdk::{Column, NoArgs, Node, Pod, Point, Policy, Verdict};

pub struct NodePorts;

/// Stands for every address of the host.
const ANY: &str = "0.0.0.0";

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
        let any = pod.mirror().symbol(ANY).map(|symbol| i64::from(symbol.0));
        let taken = node.cell(Column::NodePorts);
        let clash = pod.cell(Column::PodPorts).chunks_exact(3).any(|want| {
            taken.chunks_exact(3).any(|have| {
                let same_host = want[0] == have[0] || Some(want[0]) == any || Some(have[0]) == any;
                same_host && want[1..] == have[1..]
            })
        });
        if clash {
            Verdict::unschedulable("node(s) didn't have free ports for the requested pod ports")
        } else {
            Verdict::Pass
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
