//! Scalars that have a form of their own: parsing as Go does, and the one canonical text of each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The canonical text of a quantity.
pub(crate) fn quantity(text: &str) -> Result<String, String> {
    if plain_quantity(text) {
        return Ok(text.to_string());
    }
    let parsed = text.parse::<sampan_api::Quantity>().map_err(|error| error.to_string())?;
    Ok(parsed.to_string())
}

/// Integers up to three digits with at most one suffix letter are canonical as they stand: most of what is sent.
fn plain_quantity(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let suffix = &bytes[digits..];
    let known: &[&[u8]] = &[b"", b"m", b"Ki", b"Mi", b"Gi", b"Ti"];
    (1..=3).contains(&digits) && bytes[0] != b'0' && known.contains(&suffix)
}

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
const RFC3339_MICRO: &str = "2006-01-02T15:04:05.000000Z07:00";

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Since 1970, UTC.
    pub seconds: i64,
    pub nanos: u32,
}

/// RFC 3339 to seconds in UTC; `None` for Go's zero time, which JSON writes as null.
pub(crate) fn time(text: &str) -> Result<Option<String>, String> {
    let bytes = text.as_bytes();
    let canonical = bytes.len() == 20 && bytes[19] == b'Z' && parse_time(text, RFC3339).is_ok();
    if canonical && !text.starts_with("0001-01-01") {
        return Ok(Some(text.to_string()));
    }
    let at = parse_time(text, RFC3339)?;
    Ok((at.seconds != ZERO_TIME).then(|| format_time(at.seconds)))
}

/// RFC 3339 with six decimals, in UTC.
pub(crate) fn micro_time(text: &str) -> Result<Option<String>, String> {
    let at = parse_time(text, RFC3339_MICRO)?;
    Ok((at.seconds != ZERO_TIME).then(|| format_micro_time(at)))
}

/// Go's `time.Time{}`: the first second of the year 1.
const ZERO_TIME: i64 = -62_135_596_800;

pub(crate) fn parse_seconds(text: &str) -> Result<Instant, String> {
    parse_time(text, RFC3339)
}

pub(crate) fn parse_micros(text: &str) -> Result<Instant, String> {
    parse_time(text, RFC3339_MICRO)
}

/// As Go's `time.Parse` with these layouts, errors included.
fn parse_time(text: &str, layout: &str) -> Result<Instant, String> {
    let fail = |rest: &str, element: &str| {
        Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}"))
    };
    let range = |what: &str| Err(format!("parsing time {text:?}: {what} out of range"));
    let mut rest = text;
    let mut parts = [0i64; 6];
    let elements = [("2006", 4, "-"), ("01", 2, "-"), ("02", 2, "T"), ("15", 2, ":"), ("04", 2, ":"), ("05", 2, "")];
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
        let wanted = if layout == RFC3339_MICRO { digits == 6 } else { digits > 0 };
        if !wanted {
            return fail(rest, if layout == RFC3339_MICRO { ".000000" } else { "Z07:00" });
        }
        rest = &fraction[digits..];
        let nine = fraction[..digits].bytes().chain(std::iter::repeat(b'0')).take(9);
        nine.fold(0, |n, b| n * 10 + u32::from(b - b'0'))
    } else if layout == RFC3339_MICRO {
        return fail(rest, ".000000");
    } else {
        0
    };
    let offset = match rest.as_bytes() {
        [b'Z', ..] => {
            rest = &rest[1..];
            0
        }
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2, ..] if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) => {
            let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let (hours, minutes) = (two(h1, h2), two(m1, m2));
            if hours > 24 {
                return range("time zone offset hour");
            }
            if minutes > 60 {
                return range("time zone offset minute");
            }
            rest = &rest[6..];
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return fail(rest, "Z07:00"),
    };
    if !rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Ok(Instant { seconds, nanos })
}

/// `2006-01-02T15:04:05Z`
pub(crate) fn format_time(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// `2006-01-02T15:04:05.000000Z`
pub(crate) fn format_micro_time(at: Instant) -> String {
    let mut text = format_time(at.seconds);
    text.pop();
    format!("{text}.{:06}Z", at.nanos / 1000)
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

const UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go's `time.ParseDuration`, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, more) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // 19 digits hold any number of nanoseconds.
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 19 || fraction.contains('.') {
            return Err(invalid());
        }
        let end = more.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(more.len());
        let (unit, more) = more.split_at(end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        total += whole.parse::<i128>().unwrap_or(0) * scale;
        let fraction = &fraction[..fraction.len().min(18)];
        if !fraction.is_empty() {
            let power = 10i128.pow(u32::try_from(fraction.len()).unwrap_or(18));
            total += fraction.parse::<i128>().unwrap_or(0) * scale / power;
        }
        rest = more;
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_err(|_| invalid())
}

/// Go's `Duration.String`.
pub(crate) fn format_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_string();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let decimal = |value: u64, scale: u64| {
        let (whole, part) = (value / scale, value % scale);
        if part == 0 {
            return whole.to_string();
        }
        let width = scale.ilog10() as usize;
        format!("{whole}.{}", format!("{part:0width$}").trim_end_matches('0'))
    };
    let text = match total {
        0..1_000 => format!("{total}ns"),
        1_000..1_000_000 => format!("{}\u{b5}s", decimal(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(total, 1_000_000)),
        _ => {
            let minutes = total / 60_000_000_000;
            let seconds = decimal(total % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// Base64 text in its canonical form.
pub(crate) fn base64_text(text: &str) -> Result<String, String> {
    let bytes = from_base64(text)?;
    Ok(if text.len() == bytes.len().div_ceil(3) * 4 { text.to_string() } else { STANDARD.encode(bytes) })
}

/// As Go's `base64.StdEncoding`, which skips line ends.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    let at = |error: base64::DecodeError| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            base64::DecodeError::InvalidLength(len) => len / 4 * 4,
            base64::DecodeError::InvalidPadding => text.len(),
        };
        format!("illegal base64 data at input byte {at}")
    };
    if text.contains(['\r', '\n']) {
        let joined: String = text.chars().filter(|c| *c != '\r' && *c != '\n').collect();
        return STANDARD.decode(joined).map_err(at);
    }
    STANDARD.decode(text).map_err(at)
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
