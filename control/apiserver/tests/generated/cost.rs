//! What a request may cost: CPU in proportion to its bytes, whatever it is made of.
//!
//! The generator knows the schema and the resource table only. For each list, map and text of each kind it makes an object
//! with a long one there (see `shapes`), has it created in a dry run and for real, updated (the object and each of its
//! views), patched in each way, shown as a table and deleted, by a server with the admission of a cluster.
//!
//! - The fast tier looks at each field of a type once, at a moderate size. Its bars do not depend on the machine: what is
//!   long costs at most so many times what reading and writing the same text once costs at the same moment, and no more a
//!   byte than what is an eighth as long. What is over a bar is asked again, and the least counts, since noise only adds.
//! - `SAMPAN_TIER=nightly` does so at the limits of bodies and objects, with a bar in seconds.
//! - `SAMPAN_KIND=Pod,Node` looks at every field of these kinds, and at nothing else; `SAMPAN_CASE=ports (short)` at the
//!   cases of them whose names, as they are printed, contain that text: what a profile is taken of.
//!
//! The work is shared out among processes, each of which counts its own CPU time.

use crate::requests::{Sizes, Spent, World, peer};
use crate::shapes::{Case, cases};
use crate::targets::Target;
use sampan_api::limits::{OBJECT_MAX, REQUEST_BODY_MAX};
use std::process::{Command, Stdio};
use std::time::Duration;

/// CPU that a request may cost a byte of its body and of the stored object, at the limits.
const NANOS_A_BYTE: f64 = 500.0;
/// How many times reading and writing as many bytes of the same text a request may cost.
const PEERS: f64 = 20.0;
/// How much more a byte may cost where there are eight times as many: n log n, and noise.
const GROWTH: f64 = 3.0;
/// What costs no more than reading and writing it so many times need not be compared with what is shorter.
const CHEAP: f64 = 4.0;
/// How often a request is made before it counts as too costly: briefly, and at the limits.
const REPEATS: [usize; 2] = [6, 3];
/// CPU that no request is too long for: clocks and allocators have their own noise.
const NOISE: Duration = Duration::from_millis(1);

const MODERATE: Sizes = Sizes { object: 24 << 10, body: 48 << 10 };
const SMALL: Sizes = Sizes { object: 3 << 10, body: 6 << 10 };
const LIMITS: Sizes = Sizes { object: OBJECT_MAX - (16 << 10), body: REQUEST_BODY_MAX - (16 << 10) };
const SHOWN: usize = 20;
/// Which share of the work a process does, as `2/4`.
const SHARE: &str = "SAMPAN_COST_SHARE";

fn nightly() -> bool {
    std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly")
}

fn work() -> Vec<Case> {
    let mut targets = Target::all();
    let chosen = std::env::var("SAMPAN_KIND").ok();
    if let Some(chosen) = &chosen {
        targets.retain(|target| chosen.split(',').any(|kind| target.row.kind == kind));
    }
    let mut cases = cases(&targets, chosen.is_none());
    if let Ok(text) = std::env::var("SAMPAN_CASE") {
        cases.retain(|case| case.to_string().contains(&text));
    }
    cases
}

#[test]
fn cpu_follows_bytes() {
    if let Ok(share) = std::env::var(SHARE) {
        let (own, all) = share.split_once('/').expect("a share");
        return do_share(own.parse().expect("a number"), all.parse().expect("a number"));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shares: Vec<_> = (0..cores).map(|own| start(own, cores)).collect();
    let mut report = Report::default();
    for share in shares {
        let output = share.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().for_each(|line| report.read(line));
        assert!(
            output.status.success(),
            "a share of the work failed:\n{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    report.judge();
}

fn start(own: usize, all: usize) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "cost::cpu_follows_bytes", "--nocapture"]).env(SHARE, format!("{own}/{all}"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("this test")
}

#[derive(Default)]
struct Report {
    /// Nanoseconds a byte, nanoseconds, times the peer, and what it was.
    spent: Vec<(f64, f64, f64, String)>,
    faults: Vec<String>,
    cases: usize,
    accepted: usize,
}

impl Report {
    fn read(&mut self, line: &str) {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["spent", a_byte, nanos, peers, code, what] => {
                let number = |text: &str| text.parse::<f64>().expect("a number");
                self.accepted += usize::from(code == "200");
                self.spent.push((number(a_byte), number(nanos), number(peers), what.to_owned()));
            }
            ["fault", what] => self.faults.push(what.to_owned()),
            ["cases", count] => self.cases += count.parse::<usize>().expect("a number"),
            _ => {}
        }
    }

    fn judge(mut self) {
        let count = self.spent.len();
        println!("{count} requests in {} cases, of which {} were accepted", self.cases, self.accepted);
        for (title, by) in [("by the byte", 0), ("by their peers", 2)] {
            let key = |one: &(f64, f64, f64, String)| if by == 0 { one.0 } else { one.2 };
            self.spent.sort_by(|a, b| key(b).total_cmp(&key(a)));
            println!("the costliest {title}: nanoseconds a byte, milliseconds, times the peer");
            for (a_byte, nanos, peers, what) in self.spent.iter().take(SHOWN) {
                println!("{a_byte:8.1} {:>9.3} {peers:6.1}  {what}", nanos / 1e6);
            }
        }
        println!("{} faults", self.faults.len());
        assert!(self.faults.is_empty(), "{} requests cost too much:\n{}", self.faults.len(), self.faults.join("\n"));
        assert!(count > self.cases && self.accepted > self.cases / 10, "the requests have lost their way");
        assert!(std::env::var("SAMPAN_KIND").is_ok() || self.cases > 1_500, "the schema is there");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn do_share(own: usize, all: usize) {
    let work = work();
    let mut world = World::new().await;
    println!();
    let mut done = 0;
    for case in work.iter().skip(own).step_by(all) {
        done += 1;
        for one in measured(&mut world, case).await {
            let (spent, peers) = (one.0, one.1);
            let a_byte = spent.cpu.as_nanos() as f64 / spent.bytes as f64;
            println!("spent\t{a_byte}\t{}\t{peers}\t{}\t{case}: {}", spent.cpu.as_nanos(), spent.code, spent.what);
        }
    }
    println!("cases\t{done}");
}

/// The requests of a case and what each cost, in multiples of the peer. Writes what costs too much.
async fn measured(world: &mut World, case: &Case) -> Vec<(Spent, f64)> {
    let sizes = if nightly() { LIMITS } else { MODERATE };
    let Some(long) = case.of(sizes.body) else { return Vec::new() };
    let text = case.target.object(&case.place, long, 1000).to_string();
    let mut rate = peer(&text).as_nanos() as f64 / text.len() as f64;
    let mut large = world.requests(case, sizes).await;
    let mut small: Option<Vec<Spent>> = None;
    let mut found = Vec::new();
    for _ in 0..REPEATS[usize::from(nightly())] {
        found = faults(&large, small.as_deref(), rate);
        if found.is_empty() {
            break;
        }
        let least = |kept: &mut Vec<Spent>, again: Vec<Spent>| {
            kept.iter_mut().zip(again).for_each(|(kept, again)| kept.cpu = kept.cpu.min(again.cpu));
        };
        rate = rate.max(peer(&text).as_nanos() as f64 / text.len() as f64);
        least(&mut large, world.requests(case, sizes).await);
        if !nightly() {
            let again = world.requests(case, SMALL).await;
            match &mut small {
                Some(small) => least(small, again),
                None => small = Some(again),
            }
        }
    }
    for fault in found {
        println!("fault\t{case}: {fault}");
    }
    let peers = |one: &Spent| one.cpu.as_nanos() as f64 / (one.bytes as f64 * rate);
    large.iter().map(|one| (one.clone(), peers(one))).collect()
}

/// What costs too much for its bytes. `rate`: the peer's nanoseconds a byte. Without `small` whatever is not cheap is
/// still to be compared.
fn faults(large: &[Spent], small: Option<&[Spent]>, rate: f64) -> Vec<String> {
    let mut found = Vec::new();
    for (at, one) in large.iter().enumerate() {
        let nanos = |spent: &Spent| spent.cpu.saturating_sub(NOISE).as_nanos() as f64;
        let a_byte = |spent: &Spent| nanos(spent) / spent.bytes as f64;
        let told = format!("{}: {:?} for {} bytes", one.what, one.cpu, one.bytes);
        if nightly() {
            if a_byte(one) > NANOS_A_BYTE {
                found.push(told);
            }
        } else if a_byte(one) > PEERS * rate {
            found.push(format!("{told}, {:.1} times the peer", a_byte(one) / rate));
        } else if a_byte(one) > CHEAP * rate {
            let shorter = small.map(|small| small.get(at).filter(|shorter| shorter.what == one.what));
            match shorter {
                None => found.push(format!("{told}: not yet compared")),
                Some(None) => {}
                Some(Some(shorter)) => {
                    let before = shorter.cpu.as_nanos() as f64 / shorter.bytes as f64;
                    if a_byte(one) > GROWTH * before {
                        found.push(format!("{told}, {:?} for {}", shorter.cpu, shorter.bytes));
                    }
                }
            }
        }
    }
    found
}
