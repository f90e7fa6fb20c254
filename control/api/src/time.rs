//! Times as Kubernetes writes them, and arithmetic on numbers of seconds that users give, which cannot overflow.

use std::time::{Duration, SystemTime};

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
const RFC3339_MICRO: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Seconds that RFC 3339 can write and every reader of ours can read: from the first second of the year 0 to the last
/// that the typed objects' timestamps have, 9999-12-30T22:00:00Z, which is in the year 9999 in every time zone. Seconds
/// since 1970, UTC.
const YEARS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_207_200;

const NANOS: i64 = 1_000_000_000;

/// A point in time that RFC 3339 can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime {
    seconds: i64,
    nanos: u32,
}

/// The fraction of a second that a text must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fraction {
    /// None or any: `metav1.Time`.
    Any,
    /// Six digits: `metav1.MicroTime`.
    Micros,
}

impl UnixTime {
    /// A time by its seconds since 1970 in UTC and its nanoseconds, of which a full second carries over, as in Go's
    /// `time.Unix`. `None` outside what can be written and read, the years 0 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Option<UnixTime> {
        let seconds = seconds.checked_add(i64::from(nanos) / NANOS)?;
        YEARS.contains(&seconds).then_some(UnixTime { seconds, nanos: nanos % NANOS as u32 })
    }

    /// Seconds since 1970 in UTC, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// The nanoseconds beside [`UnixTime::seconds`].
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// `2006-01-02T15:04:05Z`
    pub fn rfc3339(self) -> String {
        let (days, rest) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
    }

    /// `2006-01-02T15:04:05.000000Z`
    pub fn rfc3339_micro(self) -> String {
        self.with_fraction(&format!(".{:06}", self.nanos / 1000))
    }

    fn with_fraction(self, fraction: &str) -> String {
        let mut text = self.rfc3339();
        text.insert_str(text.len() - 1, fraction);
        text
    }

    /// Reads RFC 3339 as Go's `time.Parse` does.
    ///
    /// # Errors
    /// In Go's words; and when the time is not of the years 0 to 9999 in UTC, which could not be written again.
    pub fn parse(text: &str, fraction: Fraction) -> Result<UnixTime, String> {
        let micros = fraction == Fraction::Micros;
        let layout = if micros { RFC3339_MICRO } else { RFC3339 };
        let fail = |rest: &str, element: &str| {
            Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}"))
        };
        let range = |what: &str| Err(format!("parsing time {text:?}: {what} out of range"));
        let mut rest = text;
        let mut parts = [0i64; 6];
        let elements =
            [("2006", 4, "-"), ("01", 2, "-"), ("02", 2, "T"), ("15", 2, ":"), ("04", 2, ":"), ("05", 2, "")];
        for (at, (element, width, after)) in elements.into_iter().enumerate() {
            let digits = rest.as_bytes().iter().take(width).take_while(|b| b.is_ascii_digit()).count();
            if digits < width {
                return fail(rest, element);
            }
            parts[at] = rest[..width].bytes().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
            rest = &rest[width..];
            match rest.strip_prefix(after) {
                Some(more) => rest = more,
                None => return fail(rest, after),
            }
        }
        let [year, month, day, hour, minute, second] = parts;
        if !(1..=12).contains(&month) {
            return range("month");
        }
        if hour > 23 {
            return range("hour");
        }
        if minute > 59 {
            return range("minute");
        }
        if second > 59 {
            return range("second");
        }
        if day < 1 || day > days_in_month(year, month) {
            return range("day");
        }
        let nanos = if let Some(fraction) = rest.strip_prefix('.').or_else(|| rest.strip_prefix(',')) {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let wanted = if micros { digits == 6 } else { digits > 0 };
            if !wanted {
                return fail(rest, if micros { ".000000" } else { "Z07:00" });
            }
            rest = &fraction[digits..];
            let nine = fraction[..digits].bytes().chain(std::iter::repeat(b'0')).take(9);
            nine.fold(0, |n, b| n * 10 + u32::from(b - b'0'))
        } else if micros {
            return fail(rest, ".000000");
        } else {
            0
        };
        let (offset, rest) = match zone(rest) {
            Ok(Some(found)) => found,
            Ok(None) => return fail(rest, "Z07:00"),
            Err(what) => return range(what),
        };
        if !rest.is_empty() {
            return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
        }
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        UnixTime::new(seconds, nanos).ok_or_else(|| format!("parsing time {text:?}: year out of range"))
    }
}

/// The offset from UTC that a text begins with, seconds, and the rest of the text. `None` when it begins with none; an error
/// names the part that is out of range.
fn zone(text: &str) -> Result<Option<(i64, &str)>, &'static str> {
    match text.as_bytes() {
        [b'Z', ..] => Ok(Some((0, &text[1..]))),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2, ..] if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) => {
            let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let (hours, minutes) = (two(h1, h2), two(m1, m2));
            if hours > 24 {
                return Err("time zone offset hour");
            }
            if minutes > 60 {
                return Err("time zone offset minute");
            }
            Ok(Some(((hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }, &text[6..])))
        }
        _ => Ok(None),
    }
}

/// A time outside the years that can be written becomes the last, or the first, that can.
impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> UnixTime {
        let (before, since) = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => (false, since),
            Err(error) => (true, error.duration()),
        };
        let whole = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let (seconds, nanos) = match (before, since.subsec_nanos()) {
            (false, nanos) => (whole, nanos),
            (true, 0) => (-whole, 0),
            (true, nanos) => (-whole - 1, NANOS as u32 - nanos),
        };
        let edge = if before { *YEARS.start() } else { *YEARS.end() };
        UnixTime::new(seconds, nanos).unwrap_or(UnixTime { seconds: edge, nanos: 0 })
    }
}

impl From<UnixTime> for SystemTime {
    fn from(time: UnixTime) -> SystemTime {
        let whole = Duration::from_secs(time.seconds.unsigned_abs());
        let epoch = SystemTime::UNIX_EPOCH;
        // All times that RFC 3339 can write are within what the system's can hold.
        let seconds = if time.seconds < 0 { epoch.checked_sub(whole) } else { epoch.checked_add(whole) };
        seconds.and_then(|at| at.checked_add(Duration::from_nanos(time.nanos.into()))).unwrap_or(epoch)
    }
}

/// `metav1.Time`: whole seconds, UTC, `2026-01-02T03:04:05Z`.
pub fn rfc3339(time: SystemTime) -> String {
    UnixTime::from(time).rfc3339()
}

/// `metav1.MicroTime`: six decimals, UTC, `2026-01-02T03:04:05.000006Z`.
pub fn rfc3339_micro(time: SystemTime) -> String {
    UnixTime::from(time).rfc3339_micro()
}

/// Nine decimals, UTC: as container logs with timestamps carry them.
pub fn rfc3339_nano(time: SystemTime) -> String {
    let time = UnixTime::from(time);
    time.with_fraction(&format!(".{:09}", time.nanos))
}

/// Any RFC 3339 time. `None` when it is none.
pub fn parse(text: &str) -> Option<SystemTime> {
    UnixTime::parse(text, Fraction::Any).ok().map(SystemTime::from)
}

/// A number of seconds that a user gave: `terminationGracePeriodSeconds`, `ttlSecondsAfterFinished`, `timeoutSeconds`. What
/// is computed of it saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(i64);

impl Seconds {
    /// The longest [`Seconds::duration`], a hundred years: added to any time or instant of this process it overflows
    /// nothing.
    pub const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

    /// As it was given.
    pub const fn new(seconds: i64) -> Seconds {
        Seconds(seconds)
    }

    /// As it was given.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// None for a negative number; at most [`Seconds::DURATION_MAX`].
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::try_from(self.0).unwrap_or(0)).min(Self::DURATION_MAX)
    }

    /// The time `seconds` later, at most the last that can be written; a negative number counts as 0.
    pub fn after(self, time: SystemTime) -> SystemTime {
        later(time, Duration::from_secs(u64::try_from(self.0).unwrap_or(0)))
    }

    /// The sum, which stays within what can be held.
    #[must_use]
    pub fn plus(self, other: Seconds) -> Seconds {
        Seconds(self.0.saturating_add(other.0))
    }

    /// The difference, which stays within what can be held.
    #[must_use]
    pub fn minus(self, other: Seconds) -> Seconds {
        Seconds(self.0.saturating_sub(other.0))
    }
}

impl From<i64> for Seconds {
    fn from(seconds: i64) -> Seconds {
        Seconds(seconds)
    }
}

impl From<i32> for Seconds {
    fn from(seconds: i32) -> Seconds {
        Seconds(seconds.into())
    }
}

/// The time that is so much later, at most the last that RFC 3339 can write.
pub fn later(time: SystemTime, by: Duration) -> SystemTime {
    let last = SystemTime::from(UnixTime { seconds: *YEARS.end(), nanos: 0 });
    time.checked_add(by).map_or(last, |at| at.min(last))
}

/// The time that is so much earlier, at least the first that RFC 3339 can write.
pub fn earlier(time: SystemTime, by: Duration) -> SystemTime {
    let first = SystemTime::from(UnixTime { seconds: *YEARS.start(), nanos: 0 });
    time.checked_sub(by).map_or(first, |at| at.max(first))
}

/// An age, as the options of a history have it: `90s`, `10m`, `2h`, `1d`. `None` when it is none.
pub fn ago(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// An age as `kubectl get` shows it (apimachinery's duration.HumanDuration): `45s`, `3m12s`, `4h5m`, `2d3h`.
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |a: u64, unit: &str, b: u64, small: &str| {
        if b == 0 { format!("{a}{unit}") } else { format!("{a}{unit}{b}{small}") }
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 24 * 8 {
        two(hours / 24, "d", hours % 24, "h")
    } else if hours < 24 * 365 * 2 {
        format!("{}d", hours / 24)
    } else if hours < 24 * 365 * 8 {
        two(hours / 24 / 365, "y", (hours / 24) % 365, "d")
    } else {
        format!("{}y", hours / 24 / 365)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_kubernetes_forms_and_come_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_323_045_000_006);
        assert_eq!(rfc3339(time), "2026-01-02T03:04:05Z");
        assert_eq!(rfc3339_micro(time), "2026-01-02T03:04:05.000006Z");
        assert_eq!(parse("2026-01-02T03:04:05.000006Z"), Some(time));
        assert_eq!(parse("2026-01-02T04:04:05.000006+01:00"), Some(time));
        assert_eq!(parse("yesterday"), None);
        let beyond = SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX as u64);
        assert_eq!(rfc3339(beyond), "9999-12-30T22:00:00Z", "a time too late to be written is the last that can be");
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(i64::MAX as u64);
        assert_eq!(rfc3339(before), "0000-01-01T00:00:00Z", "and one too early the first");
        assert_eq!(rfc3339_nano(SystemTime::UNIX_EPOCH - Duration::from_nanos(1)), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn what_is_read_can_be_written_and_what_is_written_can_be_read() {
        for text in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2000-02-29T12:00:00Z", "9999-12-30T22:00:00Z"] {
            assert_eq!(parse(text).map(rfc3339).as_deref(), Some(text));
            // As the typed objects read it.
            assert!(text.parse::<k8s_openapi::jiff::Timestamp>().is_ok(), "{text}");
        }
        let refused =
            ["-9999-01-02T03:04:05Z", "+2026-01-02T03:04:05Z", "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z"];
        for text in refused {
            assert_eq!(parse(text), None, "{text}");
        }
        // Within the years where they are written, but beyond what is read.
        for text in ["0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_on_what_users_give_stays_within_what_can_be_written() {
        let now = parse("2026-01-02T03:04:05Z").expect("a time");
        for (seconds, after) in [
            (i64::MIN, "2026-01-02T03:04:05Z"),
            (-1, "2026-01-02T03:04:05Z"),
            (55, "2026-01-02T03:05:00Z"),
            (i64::from(u32::MAX), "2162-02-08T09:32:20Z"),
            (i64::MAX, "9999-12-30T22:00:00Z"),
        ] {
            let seconds = Seconds::new(seconds);
            assert_eq!(rfc3339(seconds.after(now)), after);
            assert_eq!(rfc3339(later(now, seconds.duration())).len(), "2026-01-02T03:04:05Z".len());
            assert!(now.checked_add(seconds.duration()).is_some());
            assert_eq!(
                (seconds.plus(seconds).get(), seconds.minus(seconds).get()),
                (seconds.get().saturating_mul(2), 0)
            );
        }
        assert_eq!(rfc3339(earlier(now, Duration::MAX)), "0000-01-01T00:00:00Z");
        assert_eq!(rfc3339(later(now, Duration::MAX)), "9999-12-30T22:00:00Z");
    }

    #[test]
    fn ages_are_numbers_with_a_unit() {
        let check =
            |text: &str, seconds: Option<u64>| assert_eq!(ago(text), seconds.map(Duration::from_secs), "{text}");
        check("90s", Some(90));
        check("10m", Some(600));
        check("2h", Some(7200));
        check("1d", Some(86_400));
        for text in ["", "m", "10", "1w", "-1m", "99999999999999999999d"] {
            check(text, None);
        }
    }

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        let check = |seconds: u64, text: &str| assert_eq!(human_duration(Duration::from_secs(seconds)), text);
        check(0, "0s");
        check(119, "119s");
        check(120, "2m");
        check(192, "3m12s");
        check(3600, "60m");
        check(4 * 3600 + 300, "4h5m");
        check(47 * 3600, "47h");
        check(51 * 3600, "2d3h");
        check(9 * 86400, "9d");
        check(3 * 365 * 86400 + 5 * 86400, "3y5d");
    }
}
