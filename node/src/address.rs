//! Pod addresses: blocks of the cluster's range, taken as pods come. Any user can bind them on Linux, and each pod has its
//! own.

use crate::limits::PODS_MAX;
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A part of an IPv4 range, such as 127.64.3.0/24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    network: u32,
    prefix: u8,
}

impl Block {
    /// The block with that prefix that `address` is in. None: prefixes have at most 32 bits.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| Self { network: u32::from(address) & Self::mask(prefix), prefix })
    }

    /// `127.64.0.0/24`; bits behind the prefix are passed over.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        Self::new(address.parse().ok()?, prefix.parse().ok()?)
    }

    fn mask(prefix: u8) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
    }

    /// Its first address.
    pub fn network(&self) -> Ipv4Addr {
        self.network.into()
    }

    /// Number of leading bits that all its addresses share.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Its last address.
    pub fn last(&self) -> Ipv4Addr {
        (self.network | !Self::mask(self.prefix)).into()
    }

    /// Whether `address` is one of its own.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & Self::mask(self.prefix) == self.network
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }

    /// Number of addresses that pods get of it: the first and the last are left out, as in a routed network.
    fn usable(&self) -> u64 {
        (1u64 << (32 - u32::from(self.prefix))).saturating_sub(2)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

/// The source of a node's blocks. What was taken is the node's until its process ends.
pub trait AddressBlocks: Send + Sync + 'static {
    /// Takes a block that is free.
    ///
    /// # Errors
    /// Says why there is none.
    fn take(&self) -> Result<Block, String>;
    /// Takes the block that `address` is in, for a pod that had it before. None: it is another's, or outside the range.
    fn take_containing(&self, address: Ipv4Addr) -> Option<Block>;
}

/// The addresses of one node. Cheap to clone.
#[derive(Clone)]
pub struct Addresses {
    inner: Arc<Inner>,
}

struct Inner {
    source: Box<dyn AddressBlocks>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blocks: Vec<Block>,
    used: HashSet<u32>,
    /// The next address of the newest block that no pod has had, and the last.
    fresh: Option<(u32, u32)>,
    /// Given back, longest ago first: an address rests as long as others are free. Some may have been taken again.
    resting: VecDeque<u32>,
}

impl State {
    fn add(&mut self, block: Block) {
        // The rest of the block before counts as given back.
        if let Some((next, last)) = self.fresh.take() {
            self.resting.extend(next..=last);
        }
        let (first, last) = (block.network.saturating_add(1), u32::from(block.last()).saturating_sub(1));
        self.fresh = (first <= last).then_some((first, last));
        self.blocks.push(block);
    }

    fn usable(&self) -> u64 {
        self.blocks.iter().map(Block::usable).sum()
    }

    fn free(&mut self) -> Option<u32> {
        while let Some((next, last)) = self.fresh {
            self.fresh = (next < last).then(|| (next.saturating_add(1), last));
            if !self.used.contains(&next) {
                return Some(next);
            }
        }
        while let Some(one) = self.resting.pop_front() {
            if !self.used.contains(&one) {
                return Some(one);
            }
        }
        None
    }
}

impl Addresses {
    /// None are taken before a pod needs one.
    pub fn new(source: Box<dyn AddressBlocks>) -> Self {
        Self { inner: Arc::new(Inner { source, state: Mutex::default() }) }
    }

    fn lease(&self, address: u32) -> AddressLease {
        AddressLease { addresses: self.clone(), ip: address.into() }
    }

    /// Takes a free address, and a further block where there is none. None: the node has [`PODS_MAX`], or the range is
    /// used up.
    pub fn take(&self) -> Option<AddressLease> {
        let mut state = self.inner.state.lock();
        let mut free = state.free();
        while free.is_none() && state.usable() < PODS_MAX {
            match self.inner.source.take() {
                Ok(block) => state.add(block),
                Err(why) => {
                    tracing::warn!(why, "the node gets no further pod addresses");
                    return None;
                }
            }
            free = state.free();
        }
        let free = free?;
        state.used.insert(free);
        Some(self.lease(free))
    }

    /// Takes the address that a pod had before a restart. None: it is not to be had.
    pub fn take_again(&self, address: Ipv4Addr) -> Option<AddressLease> {
        let mut state = self.inner.state.lock();
        let known = state.blocks.iter().find(|block| block.contains(address)).copied();
        let block = match known {
            Some(block) => block,
            None if state.usable() >= PODS_MAX => return None,
            None => {
                let block = self.inner.source.take_containing(address)?;
                state.add(block);
                block
            }
        };
        let of_pods = address != block.network() && address != block.last();
        (of_pods && state.used.insert(address.into())).then(|| self.lease(address.into()))
    }

    /// The blocks that the node has.
    pub fn blocks(&self) -> Vec<Block> {
        self.inner.state.lock().blocks.clone()
    }

    /// Number of addresses that pods have now.
    pub fn in_use(&self) -> usize {
        self.inner.state.lock().used.len()
    }
}

/// A pod's address, given back when it is dropped.
pub struct AddressLease {
    addresses: Addresses,
    ip: Ipv4Addr,
}

impl AddressLease {
    /// The address itself.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }
}

impl Drop for AddressLease {
    fn drop(&mut self) {
        let mut state = self.addresses.inner.state.lock();
        let ip = u32::from(self.ip);
        if state.used.remove(&ip) {
            state.resting.push_back(ip);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Blocks of 127.64.0.0/11 in their order, the first `left` of them.
    pub(crate) struct Counted {
        pub(crate) prefix: u8,
        pub(crate) left: Mutex<u32>,
        next: Mutex<u32>,
    }

    impl Counted {
        pub(crate) fn new(prefix: u8, left: u32) -> Box<Self> {
            Box::new(Self { prefix, left: Mutex::new(left), next: Mutex::new(0) })
        }
    }

    impl AddressBlocks for Counted {
        fn take(&self) -> Result<Block, String> {
            let mut left = self.left.lock();
            *left = left.checked_sub(1).ok_or("none is left")?;
            let mut next = self.next.lock();
            let network = u32::from(Ipv4Addr::new(127, 64, 0, 0)) + (*next << (32 - self.prefix));
            *next += 1;
            Block::new(network.into(), self.prefix).ok_or_else(|| "no prefix".into())
        }
        fn take_containing(&self, address: Ipv4Addr) -> Option<Block> {
            let range = Block::parse("127.64.0.0/11").expect("a range");
            range.contains(address).then(|| Block::new(address, self.prefix)).flatten()
        }
    }

    fn ips(leases: &[AddressLease]) -> Vec<Ipv4Addr> {
        leases.iter().map(AddressLease::ip).collect()
    }

    #[test]
    fn each_address_once_and_a_freed_one_rests() {
        let addresses = Addresses::new(Counted::new(29, 1));
        let mut taken: Vec<AddressLease> = std::iter::from_fn(|| addresses.take()).collect();
        let expected: Vec<Ipv4Addr> = (1..=6).map(|last| Ipv4Addr::new(127, 64, 0, last)).collect();
        assert_eq!(ips(&taken), expected);
        drop(taken.remove(4));
        drop(taken.remove(1));
        let fifth = addresses.take().expect("free");
        assert_eq!(fifth.ip(), expected[4], "the one that rested longest");
        assert!(addresses.take_again(expected[4]).is_none());
        let second = addresses.take_again(expected[1]).expect("free");
        for other in ["127.0.0.1", "10.0.0.1", "127.64.0.0", "127.64.0.7"] {
            assert!(addresses.take_again(other.parse().expect("an address")).is_none(), "{other} is no pod's");
        }
        assert!(addresses.take().is_none());
        drop((taken, fifth, second));
        assert_eq!(addresses.in_use(), 0);
    }

    #[test]
    fn blocks_come_as_pods_do_and_former_ones_come_back() {
        let addresses = Addresses::new(Counted::new(24, 2));
        assert!(addresses.blocks().is_empty(), "none before the first pod");
        let taken: Vec<AddressLease> = std::iter::from_fn(|| addresses.take()).collect();
        assert_eq!(taken.len(), 2 * 254);
        assert_eq!(addresses.blocks(), ["127.64.0.0/24", "127.64.1.0/24"].map(|text| Block::parse(text).expect("one")));
        let former = addresses.take_again(Ipv4Addr::new(127, 64, 9, 9)).expect("its block is free");
        assert_eq!((former.ip().octets()[2], addresses.blocks().len()), (9, 3));
        assert_eq!(addresses.take().map(|one| one.ip()), Some(Ipv4Addr::new(127, 64, 9, 1)));
    }

    #[test]
    fn a_node_takes_no_more_than_it_can_hold_whatever_its_blocks_are() {
        for prefix in [20, 24, 28] {
            let addresses = Addresses::new(Counted::new(prefix, u32::MAX));
            let taken: Vec<AddressLease> = std::iter::from_fn(|| addresses.take()).collect();
            let block = (1u64 << (32 - prefix)) - 2;
            assert!((PODS_MAX..PODS_MAX + block).contains(&(taken.len() as u64)), "/{prefix}: {}", taken.len());
            let distinct: HashSet<Ipv4Addr> = taken.iter().map(AddressLease::ip).collect();
            assert_eq!(distinct.len(), taken.len());
        }
    }

    #[test]
    fn blocks_are_parts_of_ranges() {
        let block = |text: &str| Block::parse(text).expect(text);
        assert_eq!(block("127.64.3.9/24").to_string(), "127.64.3.0/24");
        assert_eq!(block("127.64.3.9/24").last(), Ipv4Addr::new(127, 64, 3, 255));
        let check = |a: &str, b: &str, overlap: bool| {
            assert_eq!((block(a).overlaps(&block(b)), block(b).overlaps(&block(a))), (overlap, overlap), "{a} {b}");
        };
        check("127.64.0.0/11", "127.95.255.0/24", true);
        check("127.64.0.0/11", "127.96.0.0/12", false);
        check("127.64.0.0/24", "127.64.1.0/24", false);
        check("0.0.0.0/0", "10.1.2.3/32", true);
        for text in ["127.64.0.0", "127.64.0.0/33", "127.64.0/24", "/24", "::/8"] {
            assert_eq!(Block::parse(text), None, "{text}");
        }
    }
}
