//! Points of the past, as `--at`, `--since` and `--until` have them. They are looked at before the server is asked, so that what is
//! wrong with one is said of the flag that was given.

use crate::limits::CLOCKS_APART;
use anyhow::{Context, bail};
use sampan_api::time;
use std::time::SystemTime;

/// The revision that `--at` is; `None`: it is a time of the past. A revision is digits alone; an age has a unit, a time dashes.
///
/// # Errors
/// It is neither, or lies ahead.
pub(crate) fn revision(at: &str, now: SystemTime) -> anyhow::Result<Option<u64>> {
    if at.is_empty() || !at.bytes().all(|byte| byte.is_ascii_digit()) {
        if when("--at", at, now)? > time::later(now, CLOCKS_APART) {
            bail!("--at {at} is yet to come");
        }
        return Ok(None);
    }
    match at.parse().with_context(|| format!("--at {at}: no revision is that high"))? {
        0 => bail!("--at 0: revisions begin at 1"),
        revision => Ok(Some(revision)),
    }
}

/// The time that stands behind a flag.
fn when(flag: &str, text: &str, now: SystemTime) -> anyhow::Result<SystemTime> {
    let time = time::parse(text).or_else(|| now.checked_sub(time::ago(text)?));
    time.with_context(|| {
        format!("{flag}: {text:?} is neither a time as RFC 3339 writes it (2026-01-31T08:00:00Z) nor an age like 10m")
    })
}

/// Whether something lies between two times.
///
/// # Errors
/// One of them is none, or the span ends before it begins.
pub(crate) fn span(since: &str, until: Option<&str>, now: SystemTime) -> anyhow::Result<()> {
    let begins = when("--since", since, now)?;
    if let Some(until) = until
        && when("--until", until, now)? < begins
    {
        bail!("--until {until} is before --since {since}: nothing lies between them");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        time::parse("2026-01-02T00:00:00Z").expect("a time")
    }

    /// `Err`: a part of what is said.
    fn is<T: PartialEq + std::fmt::Debug>(found: anyhow::Result<T>, expected: Result<T, &str>) {
        match (found, expected) {
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => assert_eq!(found.ok(), expected.ok()),
        }
    }

    #[test]
    fn a_moment_is_a_revision_or_a_time_of_the_past() {
        let check = |text: &str, expected: Result<Option<u64>, &str>| is(revision(text, now()), expected);
        check("12", Ok(Some(12)));
        check("10m", Ok(None));
        check("2026-01-01T00:00:00Z", Ok(None));
        check("0", Err("revisions begin at 1"));
        check("99999999999999999999", Err("no revision is that high"));
        check("2030-01-01T00:00:00Z", Err("--at 2030-01-01T00:00:00Z is yet to come"));
        for text in ["", "+1", "yesterday", "2026-01-01T08:01:00"] {
            check(text, Err("--at: "));
        }
    }

    #[test]
    fn a_span_begins_before_it_ends() {
        let check =
            |since: &str, until: Option<&str>, expected: Result<(), &str>| is(span(since, until, now()), expected);
        check("10m", None, Ok(()));
        check("1h", Some("5m"), Ok(()));
        check("5m", Some("1h"), Err("--until 1h is before --since 5m"));
        check("soon", None, Err("--since: \"soon\""));
        check("5m", Some("soon"), Err("--until: \"soon\""));
    }
}
