//! The network as a pod sees it: one address of its own, which `0.0.0.0` and `localhost` mean too.

mod budget;
mod egress;
mod http;
mod tcp;

pub(crate) use budget::{GuestSockets, SocketBudget, SocketPermit, spare_for_one_kind};
pub use egress::{Cidr, EgressRules};
pub(crate) use http::OutgoingHttp;
pub(crate) use tcp::{PodSockets, PodSocketsView};

use arc_swap::ArcSwap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// One store's view of the network.
#[derive(Clone, Debug)]
pub(crate) struct PodNet {
    pub(crate) ip: Ipv4Addr,
    /// As they are now: what runs for long hears of changes too.
    pub(crate) egress: Arc<ArcSwap<EgressRules>>,
}

impl PodNet {
    pub(crate) fn new(ip: Ipv4Addr, egress: Arc<ArcSwap<EgressRules>>) -> Self {
        Self { ip, egress }
    }

    /// The address that a guest means: inside a pod, localhost is the pod.
    pub(crate) fn resolve(&self, address: SocketAddr) -> SocketAddr {
        let own = match address.ip().to_canonical() {
            IpAddr::V4(ip) => ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST,
            IpAddr::V6(ip) => ip.is_unspecified() || ip.is_loopback(),
        };
        let ip = if own { IpAddr::V4(self.ip) } else { address.ip().to_canonical() };
        SocketAddr::new(ip, address.port())
    }

    /// The address that a connect to `address` goes to, or None where it may not.
    pub(crate) fn destination(&self, address: SocketAddr) -> Option<SocketAddr> {
        let resolved = self.resolve(address);
        (resolved.ip() == IpAddr::V4(self.ip) || self.egress.load().permits(resolved)).then_some(resolved)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn pod(ip: Ipv4Addr) -> PodNet {
        let cluster = vec![Cidr::new(ip, 24)];
        PodNet::new(ip, Arc::new(ArcSwap::from_pointee(EgressRules { cluster, ..EgressRules::default() })))
    }

    #[test]
    fn what_changes_holds_for_those_that_run() {
        let net = pod(Ipv4Addr::new(127, 64, 0, 9));
        let other = "127.64.1.1:80".parse().expect("an address");
        assert_eq!(net.destination(other), None, "it is not of the cluster");
        let cluster = vec![Cidr::new(Ipv4Addr::new(127, 64, 1, 0), 24)];
        net.egress.store(Arc::new(EgressRules { cluster, ..EgressRules::default() }));
        assert_eq!(net.destination(other), Some(other));
    }

    #[test]
    fn localhost_is_the_pod() {
        let net = pod(Ipv4Addr::new(127, 64, 0, 9));
        for (address, expected) in [
            ("127.0.0.1:80", Some("127.64.0.9:80")),
            ("0.0.0.0:80", Some("127.64.0.9:80")),
            ("[::1]:80", Some("127.64.0.9:80")),
            ("127.64.0.9:80", Some("127.64.0.9:80")),
            ("127.64.0.10:80", Some("127.64.0.10:80")),
            ("127.64.1.10:80", None),
            ("127.0.0.2:80", None),
            ("169.254.169.254:80", None),
            ("[::ffff:169.254.169.254]:80", None),
        ] {
            let to = net.destination(address.parse().expect("an address"));
            assert_eq!(to, expected.map(|e| e.parse().expect("an address")), "{address}");
        }
    }
}
