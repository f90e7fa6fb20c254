//! Scalars that have a form of their own: parsing as Go does, and the one canonical text of each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sampan_api::time::{Fraction, UnixTime};
use serde_json::Number;

/// The text of a quantity as an object shows it.
pub(crate) fn quantity(text: &str) -> Result<String, String> {
    if plain_quantity(text) {
        return Ok(text.to_string());
    }
    sampan_api::Quantity::shown(text).map_err(|error| error.to_string())
}

/// Integers up to three digits with at most one suffix letter are canonical as they stand: most of what is sent.
fn plain_quantity(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let suffix = &bytes[digits..];
    let known: &[&[u8]] = &[b"", b"m", b"Ki", b"Mi", b"Gi", b"Ti"];
    (1..=3).contains(&digits) && bytes[0] != b'0' && known.contains(&suffix)
}

/// RFC 3339 to seconds in UTC; `None` for Go's zero time, which JSON writes as null.
pub(crate) fn time(text: &str) -> Result<Option<String>, String> {
    let at = UnixTime::parse(text, Fraction::Any)?;
    Ok((at.seconds() != ZERO_TIME).then(|| at.rfc3339()))
}

/// RFC 3339 with six decimals, in UTC.
pub(crate) fn micro_time(text: &str) -> Result<Option<String>, String> {
    let at = UnixTime::parse(text, Fraction::Micros)?;
    Ok((at.seconds() != ZERO_TIME).then(|| at.rfc3339_micro()))
}

/// Go's `time.Time{}`: the first second of the year 1.
const ZERO_TIME: i64 = -62_135_596_800;

/// The number as which Go writes a float in JSON: without a point where it has no fraction. `None`: JSON has none for it.
pub(crate) fn number(float: f64) -> Option<Number> {
    // Every float below is whole, and fits.
    const WHOLE: f64 = 9_223_372_036_854_774_784.0;
    if float.fract() == 0.0 && float.abs() <= WHOLE && !(float == 0.0 && float.is_sign_negative()) {
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
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
///
/// # Errors
/// What is wrong with the text, in Go's words.
pub fn parse_duration(text: &str) -> Result<i64, String> {
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

/// The text of bytes.
pub(crate) fn base64_of(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// As Go's `base64.StdEncoding`, which skips line ends.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    let at = |error: base64::DecodeError| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            base64::DecodeError::InvalidLength(len) => len / 4 * 4,
            // Without padding it breaks off in the last group of four.
            base64::DecodeError::InvalidPadding if !text.contains('=') => text.len() / 4 * 4,
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
