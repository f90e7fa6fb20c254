//! Times of typed objects against the wall clock that a plan is given.

use jiff::Timestamp;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use std::time::{Duration, SystemTime};

/// The object time of `now`; the epoch where it has none.
pub fn of(now: SystemTime) -> Time {
    Time(Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The wall clock of an object time; the epoch for one before it.
pub fn system(time: &Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + time.0.as_duration().try_into().unwrap_or(Duration::ZERO)
}

/// As [`system`], of a time with microseconds.
pub fn system_micro(time: &MicroTime) -> SystemTime {
    system(&Time(time.0))
}

/// The time since `then`; zero when it is in the future.
pub fn since(now: SystemTime, then: &Time) -> Duration {
    now.duration_since(system(then)).unwrap_or_default()
}
