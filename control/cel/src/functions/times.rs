//! Durations and points of time.

use super::Eval;
use crate::error::EvalError;
use crate::value::Value;
use crate::zones;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// The first and the last second that a timestamp may be of: the years 1 and 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The time, if it is in the range of timestamps.
pub(super) fn in_range(at: Timestamp) -> Result<Timestamp, EvalError> {
    if SECONDS.contains(&at.as_second()) { Ok(at) } else { Err(EvalError::failed("timestamp overflow")) }
}

/// So many seconds after 1970.
pub(super) fn of_seconds(seconds: i64) -> Result<Timestamp, EvalError> {
    in_range(Timestamp::from_second(seconds).map_err(|_| EvalError::failed("timestamp overflow"))?)
}

/// A time moved by nanoseconds.
pub(super) fn moved(at: Timestamp, nanos: i64) -> Result<Timestamp, EvalError> {
    let moved = Timestamp::from_nanosecond(at.as_nanosecond() + i128::from(nanos));
    in_range(moved.map_err(|_| EvalError::failed("timestamp overflow"))?)
}

/// A time of day on a date, in RFC 3339 with its offset.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20 && bytes[10] == b'T' && (text.ends_with('Z') || bytes[bytes.len() - 3] == b':');
    if shaped { text.parse().ok() } else { None }
}

/// As RFC 3339 with as many digits of the second as there are.
pub(super) fn shown(at: Timestamp) -> String {
    at.to_string()
}

/// Seconds with a fraction: `90s`, `0.5s`.
pub(super) fn shown_duration(nanos: i64) -> String {
    let (sign, rest) = if nanos < 0 { ("-", nanos.unsigned_abs()) } else { ("", nanos.unsigned_abs()) };
    let fraction = format!("{:09}", rest % 1_000_000_000);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{dot}{fraction}s", rest / 1_000_000_000)
}

/// `getHours` and its like, of a time in a zone or of a duration.
pub(super) fn get<'a>(name: &str, args: &[Value<'a>]) -> Eval<'a> {
    let number = |value: i64| Ok(Value::Int(value));
    let (at, zone) = match args {
        [Value::Duration(nanos)] => {
            return number(match name {
                "getHours" => nanos / 3_600_000_000_000,
                "getMinutes" => nanos / 60_000_000_000,
                "getSeconds" => nanos / 1_000_000_000,
                "getMilliseconds" => nanos / 1_000_000,
                _ => return Err(EvalError::no_such_overload()),
            });
        }
        [Value::Timestamp(at)] => (at, TimeZone::UTC),
        [Value::Timestamp(at), Value::String(name)] => (at, zone(name)?),
        _ => return Err(EvalError::no_such_overload()),
    };
    let local = at.to_zoned(zone);
    number(match name {
        "getFullYear" => local.year().into(),
        "getMonth" => i64::from(local.month()) - 1,
        "getDate" => local.day().into(),
        "getDayOfMonth" => i64::from(local.day()) - 1,
        "getDayOfWeek" => local.weekday().to_sunday_zero_offset().into(),
        "getDayOfYear" => i64::from(local.day_of_year()) - 1,
        "getHours" => local.hour().into(),
        "getMinutes" => local.minute().into(),
        "getSeconds" => local.second().into(),
        "getMilliseconds" => local.millisecond().into(),
        _ => return Err(EvalError::no_such_overload()),
    })
}

/// A zone by its name, or by its offset.
fn zone(name: &str) -> Result<TimeZone, EvalError> {
    let unknown = || EvalError::failed(format!("unknown time zone {name}"));
    if !name.contains(':') {
        return zones::find(name).ok_or_else(unknown);
    }
    let (sign, rest) = match name.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, name.strip_prefix('+').unwrap_or(name)),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(unknown)?;
    let hours: i32 = hours.parse().map_err(|_| unknown())?;
    let minutes: i32 = minutes.parse().map_err(|_| unknown())?;
    let seconds =
        hours.checked_mul(3600).and_then(|all| all.checked_add(minutes.checked_mul(60)?)).ok_or_else(unknown)?;
    Offset::from_seconds(sign * seconds).map(TimeZone::fixed).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::shown_duration;
    use crate::library::go_duration;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let check = |text: &str, nanos: Option<i64>| assert_eq!(go_duration(text), nanos, "{text}");
        check("1h30m", Some(5_400_000_000_000));
        check("-1.5s", Some(-1_500_000_000));
        check(".5ms", Some(500_000));
        check("0", Some(0));
        check("1", None);
        check("", None);
        check("1d", None);
        check("9999999999h", None);
        assert_eq!(shown_duration(-1_500_000_000), "-1.5s");
        assert_eq!(shown_duration(5_400_000_000_000), "5400s");
    }
}
