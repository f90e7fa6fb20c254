//! The pools themselves: which items there are, and how one is drawn.

use super::{ALLOCATIONS, CLUSTER_IPS, Claim, NODE_PORTS};
use crate::error::Error;
use crate::limits::ALLOCATE_DRAWS_MAX;
use crate::registry::Registry;
use sampan_api::field::{BadValue, FieldError, FieldErrors, Path};
use sampan_store::Range;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A range of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The addresses of a network; its own, its broadcast and its first (the API's own) are not drawn, but the first may
    /// be asked for.
    Addresses { network: Ipv4Addr, prefix: u8 },
    /// Ports from `first` to `last`, both included.
    Ports { first: u16, last: u16 },
}

/// The pools of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Pools {
    pub cluster_ips: Pool,
    pub node_ports: Pool,
}

impl Default for Pools {
    /// Kubernetes' own: 10.96.0.0/16 and 30000-32767.
    fn default() -> Self {
        Self {
            cluster_ips: Pool::Addresses { network: Ipv4Addr::new(10, 96, 0, 0), prefix: 16 },
            node_ports: Pool::Ports { first: 30000, last: 32767 },
        }
    }
}

/// A claim as the transaction makes it.
pub(crate) enum Taken {
    /// `refusal`: what the client hears if somebody else holds the item; `None`: another one is drawn.
    Take {
        key: Arc<str>,
        refusal: Option<FieldError>,
    },
    Release {
        key: Arc<str>,
    },
}

impl Pool {
    /// How many items may be drawn, and the one at an index.
    fn size(self) -> u64 {
        match self {
            Self::Addresses { prefix, .. } => (1u64 << (32 - u32::from(prefix.min(32)))).saturating_sub(3).max(1),
            Self::Ports { first, last } => u64::from(last.saturating_sub(first)) + 1,
        }
    }

    fn item(self, index: u64) -> String {
        match self {
            Self::Addresses { network, .. } => {
                Ipv4Addr::from(u32::from(network).wrapping_add(index as u32 + 2)).to_string()
            }
            Self::Ports { first, .. } => (u64::from(first) + index).to_string(),
        }
    }

    /// Why an item is none of this pool, in Kubernetes' words.
    fn refuse(self, item: &str) -> Option<String> {
        match self {
            Self::Addresses { network, prefix } => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
                let inside = item.parse::<Ipv4Addr>().is_ok_and(|ip| u32::from(ip) & mask == u32::from(network) & mask);
                let edge = item
                    .parse::<Ipv4Addr>()
                    .is_ok_and(|ip| matches!(u32::from(ip) & !mask, 0) || u32::from(ip) | mask == u32::MAX);
                (!inside || edge).then(|| {
                    format!("failed to allocate IP {item}: the provided network does not match the current range")
                })
            }
            Self::Ports { first, last } => {
                let inside = item.parse::<u16>().is_ok_and(|port| (first..=last).contains(&port));
                (!inside).then(|| {
                    format!("provided port is not in the valid range. The range of valid ports is {first}-{last}")
                })
            }
        }
    }

    fn taken(self, item: &str) -> String {
        match self {
            Self::Addresses { .. } => format!("failed to allocate IP {item}: provided IP is already allocated"),
            Self::Ports { .. } => "provided port is already allocated".into(),
        }
    }
}

impl Pools {
    fn pool(&self, name: &str) -> Pool {
        match name {
            CLUSTER_IPS => self.cluster_ips,
            NODE_PORTS => self.node_ports,
            other => unreachable!("allocators name the pools of this module, not {other}"),
        }
    }

    pub(crate) fn take(&self, pool: &str, item: &str, path: &Path, shown: BadValue) -> Result<Taken, FieldErrors> {
        let kind = self.pool(pool);
        if let Some(why) = kind.refuse(item) {
            return Err([FieldError::invalid(path, shown, why)].into_iter().collect());
        }
        let refusal = Some(FieldError::invalid(path, shown, kind.taken(item)));
        Ok(Taken::Take { key: key(pool, item), refusal })
    }

    pub(crate) fn any(&self, pool: &str, item: &str) -> Taken {
        Taken::Take { key: key(pool, item), refusal: None }
    }

    pub(crate) fn release(&self, pool: &str, item: &str) -> Taken {
        Taken::Release { key: key(pool, item) }
    }

    /// The releases of a plan: a deletion takes nothing.
    pub(crate) fn released(&self, plan: Vec<Claim>) -> Vec<Taken> {
        plan.into_iter()
            .filter_map(|claim| match claim {
                Claim::Release { pool, item } => Some(self.release(pool, &item)),
                Claim::Take { .. } | Claim::TakeAny { .. } => None,
            })
            .collect()
    }
}

fn prefix(pool: &str) -> String {
    format!("{ALLOCATIONS}{pool}/")
}

fn key(pool: &str, item: &str) -> Arc<str> {
    format!("{ALLOCATIONS}{pool}/{item}").into()
}

impl Registry {
    /// An item that is probably free: at random, and by search once that has failed often. `refused`: keys found taken.
    /// `own`: those that this write takes already.
    pub(crate) async fn draw(
        &self,
        pool: &'static str,
        refused: &[String],
        own: &HashSet<Arc<str>>,
    ) -> Result<String, Error> {
        let kind = self.inner.pools.pool(pool);
        let held = |key: &str| own.contains(key);
        if refused.len() < ALLOCATE_DRAWS_MAX {
            for _ in 0..ALLOCATE_DRAWS_MAX {
                let item = kind.item(self.inner.env.random_u64() % kind.size());
                let key = key(pool, &item);
                if !held(&key) && !refused.iter().any(|refused| **refused == *key) {
                    return Ok(item);
                }
            }
        }
        let prefix = prefix(pool);
        let found = self.inner.store.range(Range::prefix(prefix.clone()), None).await?;
        let taken: HashSet<&str> = found.entries.iter().filter_map(|entry| entry.key.strip_prefix(&*prefix)).collect();
        let size = kind.size();
        let start = self.inner.env.random_u64() % size;
        let mut items = (0..size).map(|offset| kind.item((start + offset) % size));
        items.find(|item| !taken.contains(item.as_str()) && !held(&key(pool, item))).ok_or_else(|| {
            Error::Internal(match kind {
                Pool::Addresses { .. } => "failed to allocate a serviceIP: range is full".into(),
                Pool::Ports { .. } => "failed to allocate a nodePort: range is full".into(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_know_their_items() {
        let pools = Pools::default();
        let check = |pool: Pool, item: &str, inside: bool| assert_eq!(pool.refuse(item).is_none(), inside, "{item}");
        for (item, inside) in [
            ("10.96.0.1", true),
            ("10.96.255.254", true),
            ("10.97.0.1", false),
            ("10.96.0.0", false),
            ("10.96.255.255", false),
            ("x", false),
        ] {
            check(pools.cluster_ips, item, inside);
        }
        for (item, inside) in [("30000", true), ("32767", true), ("32768", false), ("80", false)] {
            check(pools.node_ports, item, inside);
        }
        assert_eq!(pools.cluster_ips.item(0), "10.96.0.2");
        assert_eq!(pools.cluster_ips.item(pools.cluster_ips.size() - 1), "10.96.255.254");
        assert_eq!(pools.node_ports.item(pools.node_ports.size() - 1), "32767");
    }
}
