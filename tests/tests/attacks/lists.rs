//! Large lists: when they begin, and what they make the server hold.

use crate::attackers::{self, not_reading};
use crate::wire::{self, get};
use crate::{CONFIG_MAPS, Cluster, MALLORY, alone};
use sampan_tests::is_nightly;
use sampan_tests::measure::{percentile, resident_kib};
use std::time::Duration;

/// Objects of a list, of 1.5 KB each.
const OBJECTS: usize = 10_000;
/// The first byte of a list comes within this; the median of [`LISTS`].
const FIRST_BYTE_MAX: Duration = Duration::from_millis(5);
/// What one list makes the server hold, KiB; the median of [`LISTS`].
const MEMORY_OF_ONE_MAX: u64 = 2 * 1024;
const LISTS: usize = 15;
/// Clients that read nothing of their lists, and what they make the server hold together, KiB.
const READERS: usize = 200;
const MEMORY_OF_READERS_MAX: u64 = 64 * 1024;

/// The most memory that a process has held since [`forget_peak`], KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

/// Lets the peak begin anew with what is held now.
fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak can be forgotten");
}

#[test]
fn a_list_begins_at_once_and_is_never_held_whole() {
    let _alone = alone();
    let cluster = Cluster::up(OBJECTS);
    let pid = cluster.sampan.pid();
    let request = get(CONFIG_MAPS, MALLORY, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut stream = runtime.block_on(cluster.target.open()).expect("a connection");
    let (mut first, mut whole, mut grown) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..LISTS {
        let before = resident_kib(pid).expect("it runs");
        forget_peak(pid);
        let (at, end) = runtime.block_on(wire::timed(&mut stream, &request)).expect("answered");
        grown.push(peak_kib(pid).saturating_sub(before));
        first.push(at);
        whole.push(end);
    }
    grown.sort_unstable();
    first.sort_unstable();
    whole.sort_unstable();
    let (first, whole, grown) = (percentile(&first, 50), percentile(&whole, 50), grown[grown.len() / 2]);
    println!("{OBJECTS} objects: first byte {first:?}, whole {whole:?}, {grown} KiB more");
    assert!(grown <= MEMORY_OF_ONE_MAX, "{grown} KiB");
    assert!(!is_nightly() || first <= FIRST_BYTE_MAX, "{first:?}");
}

#[test]
fn readers_that_read_nothing_hold_little() {
    let _alone = alone();
    let cluster = Cluster::up(OBJECTS);
    let attack = not_reading(READERS, get(CONFIG_MAPS, MALLORY, &[]));
    let pid = cluster.sampan.pid();
    forget_peak(pid);
    let (answers, _) = attackers::run(attack, cluster.target.clone(), Duration::from_secs(3));
    let grown = peak_kib(pid).saturating_sub(cluster.idle);
    println!("{READERS} readers that read nothing: {grown} KiB more");
    assert_eq!(answers.get("asked"), Some(&READERS), "{answers:?}");
    assert!(grown <= MEMORY_OF_READERS_MAX, "{grown} KiB");
}
