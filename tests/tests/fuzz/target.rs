//! A target and its check: many inputs made by chance that repeats itself, each of which must keep what is promised.

use crate::cost::{self, Cost};
use crate::input::Input;
use sampan_env::Env;
use sampan_testing::Dice;
use sampan_tests::is_nightly;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The stack of a thread that serves.
const STACK_BYTES: usize = 2 << 20;
/// How many times as many inputs the nightly tier makes.
const NIGHTLY_TIMES: u64 = 60;
/// The seed of the fast tier; the nightly one draws a fresh one.
const SEED: u64 = 0x5eed;
/// The share of inputs, in percent, that a target takes: outside of it either what is taken or what is refused is hardly
/// tried.
const TAKEN: std::ops::RangeInclusive<u64> = 2..=98;
/// Attempts to make an input that breaks a promise shorter.
const SHRINKS: usize = 400;
/// Bytes of an input that a failure shows.
const SHOWN_BYTES: usize = 4_000;
/// Time computed that no input may take, whatever it says: unoptimised code included. The allocator's counts are the sharp bound.
const CPU_MAX: Duration = Duration::from_secs(5);

/// Whether an input was taken for what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    Refused,
}

impl Verdict {
    /// Of what could be refused.
    pub fn of<T, E>(outcome: &Result<T, E>) -> Self {
        if outcome.is_ok() { Self::Taken } else { Self::Refused }
    }
}

/// What an input may cost: so much, and so much for each of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Bytes held at a time.
    pub held: usize,
    /// Bytes held at a time, for each byte of the input.
    pub held_a_byte: usize,
    /// How many times that may be taken from the allocator in turn.
    pub turnover: usize,
}

/// A tree has some tens of bytes a node, and a node may be two bytes long.
pub const LINEAR: Bound = Bound { held: 1 << 20, held_a_byte: 600, turnover: 12 };

impl Bound {
    fn is_kept(&self, length: usize, cost: &Cost) -> bool {
        let held = self.held + self.held_a_byte * length;
        cost.peak_bytes <= held && cost.taken_bytes <= held * self.turnover && cost.cpu <= CPU_MAX
    }
}

/// Something that reads what strangers send.
pub struct Target<'a> {
    /// As it is printed, and chosen by.
    pub name: &'a str,
    /// How many inputs the fast tier makes.
    pub cases: u64,
    pub input: &'a (dyn Fn(&mut Dice) -> Input + Sync),
    /// Reads an input. It panics where a promise is broken.
    pub read: &'a (dyn Fn(&Input) -> Verdict + Sync),
    pub bound: Bound,
}

/// What a run of inputs came to.
#[derive(Default)]
struct Tally {
    made: u64,
    taken: u64,
    /// The costliest of each sort.
    peak_bytes: usize,
    taken_bytes: usize,
    cpu: Duration,
}

fn seed() -> u64 {
    let given = std::env::var("SAMPAN_SEED").ok().map(|text| text.parse().expect("SAMPAN_SEED is a number"));
    given.unwrap_or_else(|| if is_nightly() { Env::system().random_u64() } else { SEED })
}

impl Target<'_> {
    /// Makes the inputs and reads them.
    ///
    /// # Panics
    /// Where one breaks a promise, with the shortest like it that was found.
    pub fn check(&self) {
        // The stack is tried too.
        sampan_env::on_thread(self.name, Some(STACK_BYTES), || self.run()).expect("a thread");
    }

    fn run(&self) {
        let (seed, chosen) = (seed(), std::env::var("SAMPAN_CASE").ok());
        let count = self.cases * if is_nightly() { NIGHTLY_TIMES } else { 1 };
        println!("{}: SAMPAN_SEED={seed}, {count} inputs", self.name);
        let mut tally = Tally::default();
        // What is made at its first use is no cost of an input.
        self.attempt(&(self.input)(&mut Dice::new(SEED)))
            .unwrap_or_else(|why| panic!("{}: at first: {why}", self.name));
        for at in 0..count {
            let name = format!("{} {at}", self.name);
            let input = (self.input)(&mut Dice::new(seed.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
            if let Some(chosen) = &chosen {
                if !name.contains(chosen) {
                    continue;
                }
                // Before it is read: what ends the process tells nothing.
                println!("{name}: {}", input.shown(SHOWN_BYTES));
            }
            match self.attempt(&input) {
                Ok((verdict, cost)) => tally.add(verdict, cost),
                Err(why) => self.fail(&name, seed, &input, &why),
            }
        }
        tally.report(self.name);
        assert!(chosen.is_some() || TAKEN.contains(&tally.share()), "{}: {} % are taken", self.name, tally.share());
    }

    /// Reads an input. What costs too much is read again, since what is made once for all inputs is made by one of them.
    fn attempt(&self, input: &Input) -> Result<(Verdict, Cost), String> {
        let read = || cost::of(|| catch_unwind(AssertUnwindSafe(|| (self.read)(input))));
        let said = |panic: Box<dyn std::any::Any + Send>| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        };
        let (mut verdict, mut cost) = read();
        if !self.bound.is_kept(input.len(), &cost) {
            (verdict, cost) = read();
        }
        let verdict = verdict.map_err(said)?;
        if self.bound.is_kept(input.len(), &cost) {
            Ok((verdict, cost))
        } else {
            Err(format!("{} bytes cost {cost:?}; {:?}", input.len(), self.bound))
        }
    }

    fn fail(&self, name: &str, seed: u64, input: &Input, why: &str) -> ! {
        let mut least = input.clone();
        let mut left = SHRINKS;
        let mut part = least.len() / 2;
        while part > 0 && left > 0 {
            let mut at = 0;
            while at + part <= least.len() && left > 0 {
                left -= 1;
                let shorter = least.without(at..at + part);
                match self.attempt(&shorter) {
                    Err(_) => least = shorter,
                    Ok(_) => at += part,
                }
            }
            part /= 2;
        }
        let now = self.attempt(&least).err().unwrap_or_else(|| why.to_owned());
        panic!(
            "SAMPAN_SEED={seed} SAMPAN_CASE='{name}': {why}\n{}\nshorter, {now}\n{}",
            input.shown(SHOWN_BYTES),
            least.shown(SHOWN_BYTES)
        );
    }
}

impl Tally {
    fn add(&mut self, verdict: Verdict, cost: Cost) {
        self.made += 1;
        self.taken += u64::from(verdict == Verdict::Taken);
        self.peak_bytes = self.peak_bytes.max(cost.peak_bytes);
        self.taken_bytes = self.taken_bytes.max(cost.taken_bytes);
        self.cpu = self.cpu.max(cost.cpu);
    }

    fn share(&self) -> u64 {
        self.taken * 100 / self.made.max(1)
    }

    fn report(&self, name: &str) {
        println!(
            "{name}: {} read, {} % taken; at most {} KiB held, {} KiB taken from the allocator, {:?} computed",
            self.made,
            self.share(),
            self.peak_bytes >> 10,
            self.taken_bytes >> 10,
            self.cpu
        );
    }
}
