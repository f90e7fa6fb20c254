//! The addresses that a pod may connect to: a pure function of the resolved address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A range of IPv4 addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    /// An address of the range; bits beyond the prefix count for nothing.
    pub base: Ipv4Addr,
    /// The length of the prefix, 0 to 32.
    pub bits: u8,
}

impl Cidr {
    /// `base/bits`.
    pub const fn new(base: Ipv4Addr, bits: u8) -> Self {
        Self { base, bits }
    }

    /// Whether the address lies in the range.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.bits.min(32))).unwrap_or(0);
        u32::from(self.base) & mask == u32::from(address) & mask
    }
}

/// The addresses that pods may reach. Anything that no rule denies, outside the host and its link, is reachable.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EgressRules {
    /// Ranges that are the cluster's: pods and services. Those of other clusters on this host are loopback's, and so
    /// out of reach.
    pub cluster: Vec<Cidr>,
    /// Denied wherever they are: the API server's own addresses. An unspecified one (`0.0.0.0`, `[::]`) is what listens
    /// on all addresses of this host: its port is denied on every address, since which are the host's is not known.
    pub denied: Vec<SocketAddr>,
    /// Allowed before any other rule, by configuration.
    pub allowed: Vec<SocketAddr>,
}

/// Cloud machines answer for their owner here; most are link-local, this one is not.
const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

impl EgressRules {
    /// Whether a pod may connect to `to`, the address that will be used, not a name or what a guest wrote.
    pub fn permits(&self, to: SocketAddr) -> bool {
        // An IPv4-mapped address is the IPv4 address: it reaches the same host.
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        if self.allowed.contains(&to) {
            return true;
        }
        let denies = |one: &SocketAddr| one.port() == to.port() && (one.ip() == to.ip() || one.ip().is_unspecified());
        if self.denied.iter().any(denies) {
            return false;
        }
        match to.ip() {
            IpAddr::V4(ip) => {
                if self.cluster.iter().any(|range| range.contains(ip)) {
                    return true;
                }
                !(ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_link_local()
                    || ip.is_multicast()
                    || ip.is_broadcast()
                    || ip.octets()[0] == 0
                    || ip == ALIBABA_METADATA)
            }
            // Pods have no IPv6 address yet, so there is nothing to connect from.
            IpAddr::V6(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &EgressRules, cases: &[(&str, bool)]) {
        for (address, expected) in cases {
            let parsed: SocketAddr = address.parse().expect("an address");
            assert_eq!(rules.permits(parsed), *expected, "{address}");
        }
    }

    /// Of a cluster with these pods and Services.
    fn rules(pods: (Ipv4Addr, u8), services: (Ipv4Addr, u8)) -> EgressRules {
        let cluster = [pods, services].map(|(base, bits)| Cidr::new(base, bits)).to_vec();
        EgressRules { cluster, ..EgressRules::default() }
    }

    fn all() -> EgressRules {
        rules((Ipv4Addr::new(127, 64, 0, 0), 11), (Ipv4Addr::new(127, 96, 0, 0), 12))
    }

    #[test]
    fn pods_of_other_clusters_are_out_of_reach() {
        let (pods, services) = ((Ipv4Addr::new(127, 64, 3, 0), 24), (Ipv4Addr::new(127, 96, 64, 0), 18));
        let mut rules = rules(pods, services);
        rules.allowed.push("127.64.9.9:5432".parse().expect("an address"));
        check(
            &rules,
            &[
                ("127.64.3.0:80", true),
                ("127.64.3.255:80", true),
                ("127.64.2.255:80", false),
                ("127.64.4.1:80", false),
                ("127.95.0.1:80", false),
                ("127.96.64.1:443", true),
                ("127.96.127.255:443", true),
                ("127.96.0.1:443", false),
                ("127.96.128.1:443", false),
                ("[::ffff:127.64.4.1]:80", false),
                // By configuration.
                ("127.64.9.9:5432", true),
                ("127.64.9.9:80", false),
            ],
        );
        // Before anything is known: nothing of this host.
        check(&EgressRules::default(), &[("127.64.0.1:80", false), ("127.96.0.1:443", false), ("10.0.0.1:80", true)]);
    }

    #[test]
    fn the_host_and_its_link_are_out_of_reach() {
        check(
            &all(),
            &[
                ("127.64.0.1:80", true),
                ("127.95.255.255:8080", true),
                ("127.96.0.1:443", true),
                ("127.111.255.255:80", true),
                ("127.0.0.1:22", false),
                ("127.0.0.53:53", false),
                ("127.63.255.255:80", false),
                ("127.112.0.0:80", false),
                ("127.255.255.255:80", false),
                ("0.0.0.0:80", false),
                ("0.1.2.3:80", false),
                ("169.254.169.254:80", false),
                ("169.254.0.1:80", false),
                ("100.100.100.200:80", false),
                ("224.0.0.1:80", false),
                ("255.255.255.255:80", false),
                ("93.184.216.34:80", true),
                ("10.0.0.1:80", true),
                ("[::1]:80", false),
                ("[fe80::1]:80", false),
                ("[fd00:ec2::254]:80", false),
                ("[2001:db8::1]:80", false),
                ("[::ffff:127.0.0.1]:80", false),
                ("[::ffff:169.254.169.254]:80", false),
                ("[::ffff:127.64.0.1]:80", true),
            ],
        );
    }

    #[test]
    fn who_listens_everywhere_is_denied_everywhere() {
        for api in ["0.0.0.0:6443", "[::]:6443"] {
            let denied = vec![api.parse().expect("an address")];
            let allowed = vec!["10.0.0.9:6443".parse().expect("an address")];
            let rules = EgressRules { denied, allowed, ..all() };
            check(
                &rules,
                &[
                    ("192.168.1.5:6443", false),
                    ("[::ffff:192.168.1.5]:6443", false),
                    // Loopback is the listener's too, the pods' part of it included.
                    ("127.64.0.1:6443", false),
                    ("127.96.0.1:6443", false),
                    ("192.168.1.5:443", true),
                    ("127.64.0.1:80", true),
                    ("10.0.0.9:6443", true),
                ],
            );
        }
    }

    #[test]
    fn configuration_goes_first() {
        let api = "10.1.2.3:6443".parse().expect("an address");
        let allowed = "127.0.0.1:5432".parse().expect("an address");
        let rules = EgressRules { denied: vec![api], allowed: vec![allowed], ..EgressRules::default() };
        check(
            &rules,
            &[
                ("10.1.2.3:6443", false),
                ("[::ffff:10.1.2.3]:6443", false),
                ("10.1.2.3:80", true),
                ("127.0.0.1:5432", true),
                ("127.0.0.1:5433", false),
            ],
        );
    }
}
