//! Pod addresses out of the node's part of 127.64.0.0/11: any user can bind them on Linux, and each pod has its own.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The addresses of one node. The first and the last are left out, as in a routed network.
#[derive(Debug)]
pub struct Addresses {
    first: u32,
    last: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    used: BTreeSet<u32>,
    /// Where the search begins: a freed address rests as long as others are free.
    next: u32,
}

impl Addresses {
    /// `network/prefix`; `None` when the prefix leaves fewer than two addresses.
    pub fn new(network: Ipv4Addr, prefix: u8) -> Option<Self> {
        let size = 1u32.checked_shl(32 - u32::from(prefix))?;
        let base = u32::from(network) & !(size - 1);
        (size >= 4).then(|| Self {
            first: base + 1,
            last: base + size - 2,
            state: Mutex::new(State { used: BTreeSet::new(), next: base + 1 }),
        })
    }

    /// Takes a free address. `None`: all are taken.
    pub fn take(&self) -> Option<Ipv4Addr> {
        let mut state = self.state.lock();
        let free = (state.next..=self.last).chain(self.first..state.next).find(|one| !state.used.contains(one))?;
        state.used.insert(free);
        state.next = if free == self.last { self.first } else { free + 1 };
        Some(free.into())
    }

    /// Takes the address that a pod had before a restart; false when it is not this node's or taken.
    pub fn take_again(&self, address: Ipv4Addr) -> bool {
        let address = u32::from(address);
        (self.first..=self.last).contains(&address) && self.state.lock().used.insert(address)
    }

    pub fn give_back(&self, address: Ipv4Addr) {
        self.state.lock().used.remove(&u32::from(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_once_and_a_freed_one_rests() {
        let addresses = Addresses::new(Ipv4Addr::new(127, 64, 0, 0), 29).expect("six addresses");
        let taken: Vec<Ipv4Addr> = std::iter::from_fn(|| addresses.take()).collect();
        let expected: Vec<Ipv4Addr> = (1..=6).map(|last| Ipv4Addr::new(127, 64, 0, last)).collect();
        assert_eq!(taken, expected);
        addresses.give_back(taken[4]);
        addresses.give_back(taken[1]);
        assert_eq!(addresses.take(), Some(taken[1]), "the search goes round");
        assert!(!addresses.take_again(taken[1]) && addresses.take_again(taken[4]));
        assert!(!addresses.take_again(Ipv4Addr::LOCALHOST), "not of this node");
        assert_eq!(addresses.take(), None);
    }
}
