//! Parts of this host's address ranges, taken so that clusters beside each other keep out of each other's way.
//!
//! A part that is taken is the name of an abstract Unix socket: every user may take one, all see it (`/proc/net/unix`), it
//! belongs to the network namespace that the addresses belong to, and it vanishes with its process.

use parking_lot::Mutex;
use sampan_node::address::{AddressBlocks, Block};
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;

/// The range of the pods of all clusters of a host: 127.64.0.0/11.
pub const PODS: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 64, 0, 0), 11);
/// The range of the Services of all clusters of a host: 127.96.0.0/12.
pub const SERVICES: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 96, 0, 0), 12);
/// Prefix of one cluster's part of [`SERVICES`]: 16,382 Services in each of 64 clusters.
pub const SERVICES_PREFIX: u8 = 18;

const NAME: &str = "sampan/addresses/";

/// A range out of one of the constants above.
pub fn range((network, prefix): (Ipv4Addr, u8)) -> Block {
    Block::new(network, prefix).unwrap_or_else(|| unreachable!("a prefix of an IPv4 range"))
}

/// Something of the host that this process alone has, until it ends or drops it.
#[derive(Debug)]
pub struct Claim {
    _socket: UnixDatagram,
}

impl Claim {
    /// Takes a name. None: another process has it.
    ///
    /// # Errors
    /// The name is too long for a socket, or none can be made.
    pub fn of_name(name: &str) -> std::io::Result<Option<Self>> {
        match UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(socket) => Ok(Some(Self { _socket: socket })),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A part of a range that is this process's.
#[derive(Debug)]
pub struct ClaimedBlock {
    /// The part.
    pub block: Block,
    _claim: Option<Claim>,
}

impl ClaimedBlock {
    /// A part that nobody is kept from: nothing is bound to its addresses.
    pub fn shared(block: Block) -> Self {
        Self { block, _claim: None }
    }
}

/// The parts that are taken, by whomever, in their order. They do not overlap but for the moment in which one is given up.
fn taken() -> std::io::Result<Vec<Block>> {
    let text = std::fs::read("/proc/self/net/unix")?;
    let text = String::from_utf8_lossy(&text);
    let names = text.lines().filter_map(|line| line.split_once(" @")?.1.strip_prefix(NAME));
    let mut found: Vec<Block> = names.filter_map(Block::parse).collect();
    found.sort();
    Ok(found)
}

fn overlaps_any(sorted: &[Block], block: &Block) -> bool {
    // Taken blocks do not overlap: one that holds the block is the last that begins before it.
    let at = sorted.partition_point(|one| one.network() < block.network());
    [sorted[at..].first(), sorted[..at].last()].into_iter().flatten().any(|one| one.overlaps(block))
}

/// Takes exactly this part. None: it, or some of it, is another's.
///
/// # Errors
/// Sockets cannot be made, or not be listed.
pub fn claim(block: Block) -> std::io::Result<Option<ClaimedBlock>> {
    let Some(claim) = Claim::of_name(&format!("{NAME}{block}"))? else { return Ok(None) };
    // Looked at after it was taken: of two that take overlapping parts at once, one at least sees the other.
    let others = taken()?.into_iter().filter(|one| *one != block).any(|one| one.overlaps(&block));
    Ok((!others).then_some(ClaimedBlock { block, _claim: Some(claim) }))
}

/// Takes the first free part with that prefix, beginning with part number `first` and going round. None: there is none.
///
/// # Errors
/// As [`claim`].
pub fn claim_free(range: Block, prefix: u8, first: u64) -> std::io::Result<Option<ClaimedBlock>> {
    let count = 1u64 << prefix.saturating_sub(range.prefix());
    let known = taken()?;
    for i in 0..count {
        let offset = ((first + i) % count) << (32 - u32::from(prefix));
        let network = u64::from(u32::from(range.network())) + offset;
        let block = u32::try_from(network).ok().and_then(|network| Block::new(network.into(), prefix));
        let Some(block) = block.filter(|block| !overlaps_any(&known, block)) else { continue };
        if let Some(claimed) = claim(block)? {
            return Ok(Some(claimed));
        }
    }
    Ok(None)
}

/// A node's blocks out of [`PODS`].
pub struct PodBlocks {
    prefix: u8,
    first: u64,
    state: Mutex<State>,
    on_claim: OnceLock<OnClaim>,
}

/// Hears of all blocks that a node has.
type OnClaim = Box<dyn Fn(&[Block]) + Send + Sync>;

struct State {
    /// Taken, and not yet handed to the node.
    ahead: Option<Block>,
    claimed: Vec<ClaimedBlock>,
}

impl PodBlocks {
    /// Takes the first block: `former`, which the node had before, if it is free; else a free one, looked for from part
    /// number `first` on.
    ///
    /// # Errors
    /// None is free; or as [`claim`].
    pub fn open(prefix: u8, first: u64, former: Option<Block>) -> std::io::Result<Self> {
        let former = former.filter(|block| block.prefix() == prefix && range(PODS).overlaps(block));
        let kept = former.map(claim).transpose()?.flatten();
        let claimed = match kept {
            Some(kept) => kept,
            None => claim_free(range(PODS), prefix, first)?.ok_or_else(used_up)?,
        };
        let state = State { ahead: Some(claimed.block), claimed: vec![claimed] };
        Ok(Self { prefix, first, state: Mutex::new(state), on_claim: OnceLock::new() })
    }

    /// Calls `hears` with the node's blocks, now and before each further one is handed out. It is set once.
    pub fn on_claim(&self, hears: impl Fn(&[Block]) + Send + Sync + 'static) {
        let hears = self.on_claim.get_or_init(|| Box::new(hears));
        hears(&self.state.lock().blocks());
    }

    fn claimed(&self, state: &mut State, claimed: ClaimedBlock) -> Block {
        let block = claimed.block;
        state.claimed.push(claimed);
        if let Some(hears) = self.on_claim.get() {
            hears(&state.blocks());
        }
        block
    }

    /// The block that was taken first.
    pub fn first_block(&self) -> Option<Block> {
        self.state.lock().claimed.first().map(|one| one.block)
    }
}

impl State {
    fn blocks(&self) -> Vec<Block> {
        self.claimed.iter().map(|one| one.block).collect()
    }
}

fn used_up() -> std::io::Error {
    std::io::Error::other(format!("no part of {} is free on this host", range(PODS)))
}

impl AddressBlocks for PodBlocks {
    fn take(&self) -> Result<Block, String> {
        let mut state = self.state.lock();
        if let Some(block) = state.ahead.take() {
            return Ok(block);
        }
        let claimed = claim_free(range(PODS), self.prefix, self.first).and_then(|found| found.ok_or_else(used_up));
        Ok(self.claimed(&mut state, claimed.map_err(|error| error.to_string())?))
    }

    fn take_containing(&self, address: Ipv4Addr) -> Option<Block> {
        let block = Block::new(address, self.prefix).filter(|block| range(PODS).overlaps(block))?;
        let mut state = self.state.lock();
        if state.ahead == Some(block) {
            return state.ahead.take();
        }
        match claim(block) {
            Ok(claimed) => Some(self.claimed(&mut state, claimed?)),
            Err(error) => {
                tracing::warn!(%block, %error, "pods get other addresses than they had");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a range that no cluster uses: tests of this module run beside each other and beside clusters.
    fn block(text: &str) -> Block {
        Block::parse(text).expect(text)
    }

    #[test]
    fn a_part_is_one_processes_until_it_drops_it_whatever_its_size() {
        let whole = claim(block("198.18.0.0/24")).expect("sockets").expect("free");
        for text in ["198.18.0.0/24", "198.18.0.0/26", "198.18.0.128/25", "198.18.0.0/16"] {
            assert!(claim(block(text)).expect("sockets").is_none(), "{text}");
        }
        let beside = claim(block("198.18.1.0/24")).expect("sockets").expect("free");
        drop(whole);
        assert!(claim(block("198.18.0.0/16")).expect("sockets").is_none(), "a part of it is taken");
        drop(beside);
        assert!(claim(block("198.18.0.0/16")).expect("sockets").is_some());
    }

    #[test]
    fn free_parts_are_found_from_anywhere_until_there_are_none() {
        let range = block("198.19.0.0/24");
        let held = claim(block("198.19.0.64/27")).expect("sockets").expect("free");
        let found: Vec<ClaimedBlock> = std::iter::from_fn(|| claim_free(range, 26, 3).expect("sockets")).collect();
        let blocks: Vec<String> = found.iter().map(|one| one.block.to_string()).collect();
        assert_eq!(blocks, ["198.19.0.192/26", "198.19.0.0/26", "198.19.0.128/26"]);
        drop((found, held));
        assert!(claim_free(range, 26, 1).expect("sockets").is_some_and(|one| one.block == block("198.19.0.64/26")));
    }

    #[test]
    fn of_many_that_take_at_once_no_two_get_the_same_address() {
        let range = block("198.19.128.0/20");
        let threads: Vec<_> = (0..8)
            .map(|i| {
                std::thread::spawn(move || {
                    let prefix = if i % 2 == 0 { 24 } else { 26 };
                    (0..3).filter_map(|_| claim_free(range, prefix, 0).expect("sockets")).collect::<Vec<_>>()
                })
            })
            .collect();
        let all: Vec<ClaimedBlock> = threads.into_iter().flat_map(|thread| thread.join().expect("ends")).collect();
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| !other.block.overlaps(&one.block)), "{}", one.block);
        }
        assert!(all.len() >= 12, "{}", all.len());
    }

    #[test]
    fn who_asked_hears_of_each_block_before_it_is_handed_out() {
        let heard = std::sync::Arc::new(Mutex::new(Vec::new()));
        let blocks = PodBlocks::open(26, 40_000, None).expect("free");
        let hears = heard.clone();
        blocks.on_claim(move |now| *hears.lock() = now.to_vec());
        let mut handed = Vec::new();
        for _ in 0..3 {
            handed.push(blocks.take().expect("free"));
            assert_eq!(*heard.lock(), handed);
        }
        let (network, size) = (u32::from(handed[2].network()), 64);
        let next = Ipv4Addr::from(network + 8 * size);
        let Some(again) = blocks.take_containing(next) else { return };
        handed.push(again);
        assert_eq!(*heard.lock(), handed);
    }

    #[test]
    fn the_pods_range_holds_8192_nodes_of_the_default_size() {
        assert_eq!(1u64 << (crate::config::NODE_CIDR_MASK_SIZE_DEFAULT - range(PODS).prefix()), 8192);
        assert!(!range(PODS).overlaps(&range(SERVICES)));
    }
}
