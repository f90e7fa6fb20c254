//! Counts of one live policy: calls, durations, faults by cause, strikes.

use crate::limits;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// One fault, as people hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRecord {
    pub cause: &'static str,
    pub message: String,
    pub at: SystemTime,
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    calls: u64,
    faults: BTreeMap<&'static str, u64>,
    durations: VecDeque<u32>,
    strikes: VecDeque<Instant>,
    last_fault: Option<FaultRecord>,
    suspended: bool,
}

/// Counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub calls: u64,
    pub faults: BTreeMap<&'static str, u64>,
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    pub last_fault: Option<FaultRecord>,
    pub suspended: bool,
}

impl Stats {
    pub fn suspended() -> Self {
        Self { suspended: true, ..Self::default() }
    }

    pub fn called(&mut self, took: Duration) {
        self.calls += 1;
        if self.durations.len() == limits::DURATIONS {
            self.durations.pop_front();
        }
        self.durations.push_back(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn counted(&mut self, fault: FaultRecord) {
        *self.faults.entry(fault.cause).or_default() += 1;
        self.last_fault = Some(fault);
    }

    /// Counts a fault as a strike; `true` when it is the one that suspends.
    pub fn struck(&mut self, fault: FaultRecord, now: Instant) -> bool {
        self.counted(fault);
        self.strikes.push_back(now);
        while self.strikes.front().is_some_and(|first| now.duration_since(*first) > limits::STRIKE_WINDOW) {
            self.strikes.pop_front();
        }
        let suspends = !self.suspended && self.strikes.len() >= limits::STRIKES;
        self.suspended |= suspends;
        suspends
    }

    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    pub fn report(&self) -> Report {
        let mut sorted: Vec<u32> = self.durations.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
            sorted.get(index).map(|micros| Duration::from_micros(u64::from(*micros)))
        };
        Report {
            calls: self.calls,
            faults: self.faults.clone(),
            p50: at(50),
            p99: at(99),
            last_fault: self.last_fault.clone(),
            suspended: self.suspended,
        }
    }
}
