//! Counts of one live policy: calls, durations, faults by cause, strikes.

use crate::limits;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// One fault, as people hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRecord {
    /// `Trap`, `CpuBudget`, ...: one of a fixed set.
    pub cause: &'static str,
    /// The host's and the guest's words.
    pub message: String,
    /// Time of the fault.
    pub at: SystemTime,
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    calls: u64,
    faults: BTreeMap<&'static str, u64>,
    durations: VecDeque<u32>,
    strikes: VecDeque<Instant>,
    last_fault: Option<FaultRecord>,
    /// The reason for its suspension.
    suspended: Option<Arc<str>>,
}

/// Counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls that gave an answer.
    pub calls: u64,
    /// Faults by cause.
    pub faults: BTreeMap<&'static str, u64>,
    /// Median of the last calls' wall times.
    pub p50: Option<Duration>,
    /// 99th percentile of the last calls' wall times.
    pub p99: Option<Duration>,
    /// The newest fault.
    pub last_fault: Option<FaultRecord>,
    /// Whether it is suspended.
    pub suspended: bool,
}

impl Stats {
    /// Of a policy that is suspended from the start, for this reason, or not at all.
    pub fn new(suspended: Option<Arc<str>>) -> Self {
        Self { suspended, ..Self::default() }
    }

    /// Counts an answer, and how long it took.
    pub fn called(&mut self, took: Duration) {
        self.calls += 1;
        if self.durations.len() == limits::DURATIONS {
            self.durations.pop_front();
        }
        self.durations.push_back(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Counts a fault that is no strike.
    pub fn counted(&mut self, fault: FaultRecord) {
        *self.faults.entry(fault.cause).or_default() += 1;
        self.last_fault = Some(fault);
    }

    /// Counts a fault as a strike; answers why the policy is suspended when it is this one that suspends it.
    pub fn struck(&mut self, fault: FaultRecord, now: Instant, fails_open: bool) -> Option<Arc<str>> {
        let last = format!("{}: {}", fault.cause, fault.message);
        self.counted(fault);
        self.strikes.push_back(now);
        while self.strikes.front().is_some_and(|first| now.duration_since(*first) > limits::STRIKE_WINDOW) {
            self.strikes.pop_front();
        }
        if self.suspended.is_some() || self.strikes.len() < limits::STRIKES {
            return None;
        }
        let (strikes, window) = (limits::STRIKES, limits::STRIKE_WINDOW.as_secs());
        let then = if fails_open { "nothing is decided by it" } else { "nothing is decided without it" };
        let why = format!(
            "suspended after {strikes} faults in {window} s, the last one {last}; {then} until its spec or its component \
             changes"
        );
        self.suspended = Some(why.into());
        self.suspended.clone()
    }

    /// The reason for the policy's suspension, if it is suspended.
    pub fn suspension(&self) -> Option<Arc<str>> {
        self.suspended.clone()
    }

    /// The counts now.
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
            suspended: self.suspended.is_some(),
        }
    }
}
