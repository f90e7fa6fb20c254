//! The pools themselves: which items there are, and how one is drawn.

use super::{ALLOCATIONS, Claim};
use crate::error::Error;
use crate::limits::ALLOCATE_DRAWS_MAX;
use crate::registry::Registry;
use sampan_api::field::{BadValue, FieldError, FieldErrors, Path};
use sampan_store::Range;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Least number of items that are left to those who ask by name; a range of no more has none.
const BAND_MIN: u64 = 16;

/// A range of items, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The addresses of a network; its own, its broadcast and its first (the API's own) are not drawn, but the first may
    /// be asked for.
    Addresses { network: Ipv4Addr, prefix: u8 },
    /// Ports from `first` to `last`, both included.
    Ports { first: u16, last: u16 },
    /// The items of all of these; none where there are none.
    All(Arc<[Pool]>),
}

/// The pools of a cluster, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools(BTreeMap<&'static str, Pool>);

impl FromIterator<(&'static str, Pool)> for Pools {
    fn from_iter<I: IntoIterator<Item = (&'static str, Pool)>>(pools: I) -> Self {
        Self(pools.into_iter().collect())
    }
}

/// A claim as the transaction makes it.
#[derive(Clone)]
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
    /// Number of items that may be drawn.
    fn size(&self) -> u64 {
        match self {
            Self::Addresses { prefix, .. } => (1u64 << (32 - u32::from(*prefix.min(&32)))).saturating_sub(3).max(1),
            Self::Ports { first, last } => u64::from(last.saturating_sub(*first)) + 1,
            Self::All(pools) => pools.iter().map(Self::size).sum(),
        }
    }

    /// Number of items at the beginning that are left, while others are free, to those who ask for them by name: between
    /// [`BAND_MIN`] and a most, by the size of the range (KEP-3070, KEP-3668: calculateRangeOffset).
    fn band(&self) -> u64 {
        let of =
            |size: u64, step: u64, most: u64| if size <= BAND_MIN { 0 } else { (size / step).clamp(BAND_MIN, most) };
        match self {
            // The network's first address is in the band, and none of the items.
            Self::Addresses { prefix, .. } => of(1 << (32 - u32::from(*prefix.min(&32))), 16, 256).saturating_sub(1),
            Self::Ports { .. } => of(self.size(), 32, 128),
            Self::All(_) => 0,
        }
    }

    /// The index of an item above the band, by a random number.
    fn index(&self, random: u64) -> u64 {
        // Of nothing there is no index; who looks for its item finds none.
        let size = self.size().max(1);
        let Self::All(pools) = self else {
            let band = self.band();
            return band + random % size.saturating_sub(band).max(1);
        };
        let (mut before, at) = (0, random % size);
        for pool in pools.iter() {
            if at < before + pool.size() {
                return before + pool.index(random);
            }
            before += pool.size();
        }
        at
    }

    /// Of each range in it: the index of its first item, of the first above its band, and of its end. `first`: of its own
    /// first item.
    fn parts(&self, first: u64) -> Vec<[u64; 3]> {
        match self {
            Self::Addresses { .. } | Self::Ports { .. } => {
                vec![[first, first + self.band(), first + self.size()]]
            }
            Self::All(pools) => {
                let (mut parts, mut before) = (Vec::new(), first);
                for pool in pools.iter() {
                    parts.extend(pool.parts(before));
                    before += pool.size();
                }
                parts
            }
        }
    }

    /// All indexes, in the order of a search: from random places, what is above the bands, and then the bands.
    fn order(&self, random: u64) -> Vec<std::ops::Range<u64>> {
        let mut parts = self.parts(0);
        let count = parts.len().max(1) as u64;
        parts.rotate_left((random % count) as usize);
        let wrapped = |from: u64, to: u64| {
            let start = from + random % (to - from).max(1);
            [start..to, from..start]
        };
        let above = parts.iter().flat_map(|&[_, band, end]| wrapped(band, end));
        let bands = parts.iter().flat_map(|&[first, band, _]| wrapped(first, band));
        above.chain(bands).collect()
    }

    /// An item by its index; `None`: there are not so many.
    fn item(&self, index: u64) -> Option<String> {
        if index >= self.size() {
            return None;
        }
        match self {
            Self::Addresses { network, .. } => {
                Some(Ipv4Addr::from(u32::from(*network).wrapping_add(index as u32 + 2)).to_string())
            }
            Self::Ports { first, .. } => Some((u64::from(*first) + index).to_string()),
            Self::All(pools) => {
                let mut index = index;
                for pool in pools.iter() {
                    match index.checked_sub(pool.size()) {
                        Some(rest) => index = rest,
                        None => return pool.item(index),
                    }
                }
                None
            }
        }
    }

    /// The reason why an item is none of this pool, in Kubernetes' words.
    fn refuse(&self, item: &str) -> Option<String> {
        match self {
            Self::Addresses { network, prefix } => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*prefix.min(&32))).unwrap_or(0);
                let inside =
                    item.parse::<Ipv4Addr>().is_ok_and(|ip| u32::from(ip) & mask == u32::from(*network) & mask);
                let edge = item
                    .parse::<Ipv4Addr>()
                    .is_ok_and(|ip| matches!(u32::from(ip) & !mask, 0) || u32::from(ip) | mask == u32::MAX);
                (!inside || edge).then(|| outside(item))
            }
            Self::All(pools) => {
                let fits = pools.iter().any(|pool| pool.refuse(item).is_none());
                (!fits).then(|| pools.iter().find_map(|pool| pool.refuse(item)).unwrap_or_else(|| outside(item)))
            }
            Self::Ports { first, last } => {
                let inside = item.parse::<u16>().is_ok_and(|port| (first..=last).contains(&&port));
                (!inside).then(|| {
                    format!("provided port is not in the valid range. The range of valid ports is {first}-{last}")
                })
            }
        }
    }

    /// Whether a dry run is told that an item is taken: of addresses only a real write is.
    pub(crate) fn tells_dry_runs(&self) -> bool {
        matches!(self, Self::Ports { .. })
    }

    fn taken(&self, item: &str) -> String {
        match self {
            Self::Addresses { .. } | Self::All(_) => {
                format!("failed to allocate IP {item}: provided IP is already allocated")
            }
            Self::Ports { .. } => "provided port is already allocated".into(),
        }
    }
}

fn outside(item: &str) -> String {
    format!("failed to allocate IP {item}: the provided network does not match the current range")
}

impl Pools {
    /// Gives a name its range, in place of the one that it had.
    pub fn set(&mut self, name: &'static str, pool: Pool) {
        self.0.insert(name, pool);
    }

    pub(crate) fn get(&self, name: &str) -> Option<Pool> {
        self.0.get(name).cloned()
    }
}

impl Taken {
    /// The claim on this very item of a range; the error where it is none of it.
    pub(crate) fn item(kind: &Pool, pool: &str, item: &str, path: &Path, shown: BadValue) -> Result<Self, FieldErrors> {
        if let Some(why) = kind.refuse(item) {
            return Err([FieldError::invalid(path, shown, why)].into_iter().collect());
        }
        let refusal = Some(FieldError::invalid(path, shown, kind.taken(item)));
        Ok(Self::Take { key: key(pool, item), refusal })
    }

    /// The claim on an item that was drawn.
    pub(crate) fn drawn(pool: &str, item: &str) -> Self {
        Self::Take { key: key(pool, item), refusal: None }
    }

    pub(crate) fn release(pool: &str, item: &str) -> Self {
        Self::Release { key: key(pool, item) }
    }

    /// The releases of a plan: a deletion takes nothing.
    pub(crate) fn released(plan: Vec<Claim>) -> Vec<Self> {
        plan.into_iter()
            .filter_map(|claim| match claim {
                Claim::Release { pool, item } => Some(Self::release(pool, &item)),
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

/// Items that one write has drawn and found so far, so that each item of a pool is looked at once however many are
/// drawn.
#[derive(Default)]
pub(crate) struct Draws {
    /// The keys that this write takes.
    own: HashSet<Arc<str>>,
    /// Of pools where drawing at random has failed: the search for what is free.
    searches: HashMap<&'static str, Search>,
}

/// A walk through a pool, past the items that were held when it began.
struct Search {
    held: HashSet<String>,
    /// The indexes that it has not seen yet.
    left: std::iter::Flatten<std::vec::IntoIter<std::ops::Range<u64>>>,
}

impl Draws {
    /// Notes an item that the write takes; false where it takes it already.
    pub(crate) fn insert(&mut self, key: Arc<str>) -> bool {
        self.own.insert(key)
    }
}

impl Registry {
    /// Gives a pool another range; what is held stays so.
    pub fn set_pool(&self, name: &'static str, pool: Pool) {
        self.inner.pools.rcu(|pools| {
            let mut pools = Pools::clone(pools);
            pools.set(name, pool.clone());
            pools
        });
    }

    pub(crate) fn pool(&self, name: &str) -> Result<Pool, Error> {
        self.inner.pools.load().get(name).ok_or_else(|| Error::Internal(format!("there is no pool {name}")))
    }

    /// An item that is probably free: at random, and by search once that has failed often. `refused`: keys found taken
    /// in earlier rounds.
    pub(crate) async fn draw(
        &self,
        pool: &'static str,
        refused: &[String],
        draws: &mut Draws,
    ) -> Result<String, Error> {
        let kind = self.pool(pool)?;
        if refused.len() < ALLOCATE_DRAWS_MAX && !draws.searches.contains_key(pool) {
            for _ in 0..ALLOCATE_DRAWS_MAX {
                let Some(item) = kind.item(kind.index(self.inner.env.random_u64())) else { break };
                let key = key(pool, &item);
                if !refused.iter().any(|refused| **refused == *key) && draws.own.insert(key) {
                    return Ok(item);
                }
            }
        }
        if !draws.searches.contains_key(pool) {
            let prefix = prefix(pool);
            let found = self.inner.store.range(Range::prefix(prefix.clone()), None).await?;
            let items = found.entries.iter().filter_map(|entry| entry.key.strip_prefix(&*prefix));
            let held = items.map(str::to_owned).collect();
            let left = kind.order(self.inner.env.random_u64()).into_iter().flatten();
            draws.searches.insert(pool, Search { held, left });
        }
        let Draws { own, searches } = draws;
        if let Some(search) = searches.get_mut(pool) {
            for index in search.left.by_ref() {
                let Some(item) = kind.item(index) else { continue };
                if !search.held.contains(&item) && own.insert(key(pool, &item)) {
                    return Ok(item);
                }
            }
        }
        Err(Error::Internal(match kind {
            Pool::Addresses { .. } | Pool::All(_) => "failed to allocate a serviceIP: range is full".into(),
            Pool::Ports { .. } => "failed to allocate a nodePort: range is full".into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_know_their_items() {
        let cluster_ips = Pool::Addresses { network: Ipv4Addr::new(10, 96, 0, 0), prefix: 16 };
        let node_ports = Pool::Ports { first: 30000, last: 32767 };
        let check = |pool: &Pool, item: &str, inside: bool| assert_eq!(pool.refuse(item).is_none(), inside, "{item}");
        for (item, inside) in [
            ("10.96.0.1", true),
            ("10.96.255.254", true),
            ("10.97.0.1", false),
            ("10.96.0.0", false),
            ("10.96.255.255", false),
            ("x", false),
        ] {
            check(&cluster_ips, item, inside);
        }
        for (item, inside) in [("30000", true), ("32767", true), ("32768", false), ("80", false)] {
            check(&node_ports, item, inside);
        }
        assert_eq!(cluster_ips.item(0).as_deref(), Some("10.96.0.2"));
        assert_eq!(cluster_ips.item(cluster_ips.size() - 1).as_deref(), Some("10.96.255.254"));
        assert_eq!(node_ports.item(node_ports.size() - 1).as_deref(), Some("32767"));
        let second = Pool::Addresses { network: Ipv4Addr::new(10, 97, 0, 0), prefix: 29 };
        let both = Pool::All([cluster_ips.clone(), second].into());
        check(&both, "10.96.0.9", true);
        check(&both, "10.97.0.6", true);
        check(&both, "10.97.0.9", false);
        assert_eq!(both.size(), cluster_ips.size() + 5);
        assert_eq!(both.item(cluster_ips.size()).as_deref(), Some("10.97.0.2"));
        assert_eq!(both.item(both.size()), None);
        let draws = |pool: &Pool, lowest: &str| {
            let drawn = (0..3 * both.size()).filter_map(|random| pool.item(pool.index(random)));
            assert_eq!(drawn.min_by_key(|item| (item.len(), item.clone())).as_deref(), Some(lowest), "{pool:?}");
        };
        draws(&node_ports, "30086");
        draws(&Pool::Addresses { network: Ipv4Addr::new(10, 96, 0, 0), prefix: 24 }, "10.96.0.17");
        draws(&Pool::Addresses { network: Ipv4Addr::new(10, 96, 0, 0), prefix: 28 }, "10.96.0.2");
        draws(&Pool::All([Pool::Addresses { network: Ipv4Addr::new(10, 97, 0, 0), prefix: 24 }].into()), "10.97.0.17");
        let none = Pool::All([].into());
        assert_eq!((none.size(), none.item(0)), (0, None));
        check(&none, "10.96.0.9", false);
    }

    /// A search sees each item once, and the bands when nothing else is free.
    #[test]
    fn searches_come_to_the_bands_last() {
        let check = |pool: &Pool, above: usize, in_band: fn(&str) -> bool| {
            for random in [0, 1, 85, 2_680, 2_681, 2_700, u64::MAX] {
                let indexes = pool.order(random).into_iter().flatten();
                let items: Vec<String> = indexes.filter_map(|index| pool.item(index)).collect();
                let different: HashSet<&String> = items.iter().collect();
                assert_eq!((items.len() as u64, different.len() as u64), (pool.size(), pool.size()), "{pool:?}");
                let (first, last) = items.split_at(above);
                assert!(first.iter().all(|item| !in_band(item)), "{pool:?} {random}: {first:?}");
                assert!(last.iter().all(|item| in_band(item)), "{pool:?} {random}: {last:?}");
            }
        };
        // Nearly full above its band: the one that is free there is found before those in the band.
        check(&Pool::Ports { first: 30000, last: 32767 }, 2768 - 86, |item| item < "30086");
        let networks = [97, 98].map(|second| Pool::Addresses { network: Ipv4Addr::new(10, second, 0, 0), prefix: 24 });
        check(&Pool::All(networks.into()), 2 * (253 - 15), |item| {
            item.rsplit('.').next().and_then(|last| last.parse::<u8>().ok()).is_some_and(|last| last < 17)
        });
        check(&Pool::All([].into()), 0, |_| false);
    }
}
