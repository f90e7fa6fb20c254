//! Resource quantities: `k8s.io/apimachinery/pkg/api/resource`'s grammar, rounding and canonical form.

use std::fmt;
use std::str::FromStr;

/// The notation of a quantity, which decides its canonical form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `1.5k`, `100m`, `3`.
    #[default]
    DecimalSi,
    /// `64Mi`.
    BinarySi,
    /// `12e6`.
    DecimalExponent,
}

/// A number with a resolution of 10^-9, as cpu, memory and the like are given. Compared by value, whatever the format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// The reason why a text is no quantity, in apimachinery's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i128 = 1_000_000_000;
/// The most that an amount in binary notation may be: what Go's int64 holds, in nanos. Larger ones are capped to it.
const BINARY_MAX: i128 = i64::MAX as i128 * NANO;
/// The most that any amount is counted as, in nanos. Go counts without end.
const NANOS_MAX: i128 = i128::MAX;
/// Digits of an amount below [`NANOS_MAX`].
const NANOS_DIGITS: i64 = 38;
/// Digits of a number that Go keeps as an int64 with a scale.
const INT64_DIGITS: usize = 18;

const SI: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// A quantity of whole units.
    pub fn from_units(units: i64, format: Format) -> Self {
        Self { nanos: i128::from(units) * NANO, format }
    }

    /// A quantity of thousandths of a unit.
    pub fn from_millis(millis: i64, format: Format) -> Self {
        Self { nanos: i128::from(millis) * (NANO / 1000), format }
    }

    /// The text that an object shows of it: as it was written where Go takes that for canonical (`1.500`, `+5` and `00100`
    /// among others), else the canonical form.
    ///
    /// # Errors
    /// As for parsing.
    pub fn shown(text: &str) -> Result<String, QuantityError> {
        let scanned = scan(text)?;
        if text == "0" || scanned.keeps_text() {
            return Ok(text.to_owned());
        }
        let quantity = scanned.quantity();
        // What is counted as less than it is keeps its text, so that nothing of it is lost.
        Ok(if quantity.nanos.abs() == NANOS_MAX { text.to_owned() } else { quantity.to_string() })
    }

    /// The notation that it was written in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whole units, rounded up (away from zero).
    pub fn value(&self) -> i64 {
        self.scaled(NANO)
    }

    /// Thousandths, rounded up (away from zero).
    pub fn milli_value(&self) -> i64 {
        self.scaled(NANO / 1000)
    }

    fn scaled(&self, unit: i128) -> i64 {
        let quotient = div_away_from_zero(self.nanos, unit);
        i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// The sum, in `self`'s format (in the other's where `self` is zero, as Go has it). It stays within what can be held.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }

    /// The difference, by the same rules.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_sub(other.nanos), format }
    }

    /// Rounded up to a multiple of 10^-3, as the API does with cpu.
    #[must_use]
    pub fn rounded_to_millis(self) -> Self {
        self.rounded_to(NANO / 1000)
    }

    /// Rounded up to whole units, as storage is counted.
    #[must_use]
    pub fn rounded_to_units(self) -> Self {
        self.rounded_to(NANO)
    }

    fn rounded_to(self, unit: i128) -> Self {
        Self { nanos: div_away_from_zero(self.nanos, unit).saturating_mul(unit), ..self }
    }
}

fn div_away_from_zero(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value / by, value % by);
    if rest == 0 { quotient } else { quotient + value.signum() }
}

/// A text in its parts.
struct Scanned<'a> {
    negative: bool,
    /// Without leading zeros; `0` where nothing else was there.
    whole: &'a str,
    fraction: &'a str,
    format: Format,
    scale: Scale,
}

/// What the notation multiplies a number by.
#[derive(Clone, Copy)]
enum Scale {
    Ten(i32),
    Two(u32),
}

/// Takes what `accept` takes from the front.
fn take<'a>(rest: &mut &'a str, accept: impl Fn(char) -> bool) -> &'a str {
    let end = rest.find(|c: char| !accept(c)).unwrap_or(rest.len());
    let (taken, left) = rest.split_at(end);
    *rest = left;
    taken
}

fn scan(text: &str) -> Result<Scanned<'_>, QuantityError> {
    if text.is_empty() {
        return Err(QuantityError::Format);
    }
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    take(&mut rest, |c| c == '0');
    let whole = take(&mut rest, |c| c.is_ascii_digit());
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut fraction = "";
    if let Some(behind) = rest.strip_prefix('.') {
        rest = behind;
        fraction = take(&mut rest, |c| c.is_ascii_digit());
    }
    let suffix = rest;
    take(&mut rest, |c| "eEinumkKMGTP".contains(c));
    let mut rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    take(&mut rest, |c| c.is_ascii_digit());
    if !rest.is_empty() {
        return Err(QuantityError::Format);
    }
    let (format, scale) = parse_suffix(suffix)?;
    let scanned = Scanned { negative: text.starts_with('-'), whole, fraction, format, scale };
    // Short ones without any digit are zero.
    let has_digits = text[..text.len() - suffix.len()].bytes().any(|byte| byte.is_ascii_digit());
    if has_digits || scanned.is_short() { Ok(scanned) } else { Err(QuantityError::Numeric) }
}

impl Scanned<'_> {
    /// The exponent of the last digit.
    fn last(&self, exponent: i32) -> i64 {
        i64::from(exponent) - i64::try_from(self.fraction.len()).unwrap_or(i64::MAX)
    }

    /// Whether Go keeps the number as an int64 with a scale.
    fn is_short(&self) -> bool {
        match self.scale {
            Scale::Ten(exponent) => self.whole.len() + self.fraction.len() <= INT64_DIGITS && self.last(exponent) >= -9,
            Scale::Two(power) => {
                let value = self.whole.parse::<i64>().ok();
                let fits = value.is_some_and(|value| value.checked_mul(1 << power).is_some());
                // About as many digits as it has when it is multiplied.
                self.fraction.is_empty() && self.whole.len() + power as usize * 3 / 10 < 15 && fits
            }
        }
    }

    /// Whether Go keeps the text as it was written: that of a short number which looks canonical.
    fn keeps_text(&self) -> bool {
        if !self.is_short() {
            return false;
        }
        let digits = [self.whole, self.fraction].concat();
        match self.scale {
            Scale::Ten(exponent) => {
                self.last(exponent) % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0')
            }
            Scale::Two(_) => digits.parse::<i64>().is_ok_and(|value| value & 7 != 0),
        }
    }

    fn quantity(&self) -> Quantity {
        let nanos = self.scale.apply(self.whole, self.fraction);
        // What is less than one is not shown in binary notation.
        let small = self.format == Format::BinarySi && nanos > 0 && nanos < NANO;
        let format = if small { Format::DecimalSi } else { self.format };
        Quantity { nanos: if self.negative { -nanos } else { nanos }, format }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        scan(text).map(|scanned| scanned.quantity())
    }
}

fn parse_suffix(suffix: &str) -> Result<(Format, Scale), QuantityError> {
    if let Some((_, exponent)) = SI.iter().find(|(name, _)| *name == suffix) {
        return Ok((Format::DecimalSi, Scale::Ten(*exponent)));
    }
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok((Format::BinarySi, Scale::Two(*power)));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let exponent: i64 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
    // Go takes the low half of a number that is too large.
    let exponent = exponent as i32;
    Ok((Format::DecimalExponent, Scale::Ten(exponent)))
}

impl Scale {
    /// `whole.fraction` times this, in nanos, what is below a nano rounded up, capped.
    fn apply(self, whole: &str, fraction: &str) -> i128 {
        let digits = || whole.bytes().chain(fraction.bytes()).skip_while(|b| *b == b'0');
        let significant = digits().count();
        if significant == 0 {
            return 0;
        }
        // The exponent of the last digit, in nanos.
        let last = 9 - i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        match self {
            Self::Ten(exponent) => shift_ten(digits(), significant, last.saturating_add(exponent)),
            Self::Two(power) => {
                if significant > 20 + fraction.len() {
                    return BINARY_MAX;
                }
                // Up to the precision that matters: 60 bits of shift and nano resolution.
                let mut mantissa: i128 = 0;
                let mut dropped = 0;
                let mut rest = false;
                for digit in digits() {
                    if mantissa > i128::MAX / 1000 / (1 << power) {
                        dropped += 1;
                        rest |= digit != b'0';
                    } else {
                        mantissa = mantissa * 10 + i128::from(digit - b'0');
                    }
                }
                let exponent = last + dropped;
                let shifted = mantissa << power;
                let value = if exponent >= 0 {
                    10i128
                        .checked_pow(exponent.unsigned_abs())
                        .and_then(|by| shifted.checked_mul(by))
                        .unwrap_or(BINARY_MAX)
                } else {
                    match 10i128.checked_pow(exponent.unsigned_abs()) {
                        Some(by) => div_away_from_zero(shifted, by),
                        None => 1,
                    }
                };
                (value + i128::from(rest && value < BINARY_MAX && exponent >= 0)).min(BINARY_MAX)
            }
        }
    }
}

/// The digits times ten to `exponent`, rounded up to an integer.
fn shift_ten(digits: impl Iterator<Item = u8>, significant: usize, exponent: i32) -> i128 {
    let kept = i64::try_from(significant).unwrap_or(i64::MAX).saturating_add(i64::from(exponent));
    if kept > NANOS_DIGITS {
        return NANOS_MAX;
    }
    if kept < 0 {
        return 1;
    }
    let kept = usize::try_from(kept).unwrap_or(0);
    let mut value: i128 = 0;
    let mut taken = 0;
    let mut rest = false;
    for digit in digits {
        if taken < kept {
            value = value * 10 + i128::from(digit - b'0');
            taken += 1;
        } else {
            rest |= digit != b'0';
        }
    }
    for _ in taken..kept {
        value *= 10;
    }
    value + i128::from(rest)
}

/// The canonical form: no fraction, the largest suffix that loses nothing.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let units = self.nanos / NANO;
        let whole = self.nanos % NANO == 0;
        if self.format == Format::BinarySi && whole && units.unsigned_abs() >= 1024 {
            let power = (units.trailing_zeros() / 10 * 10).min(60);
            let suffix = BINARY.iter().find(|(_, p)| *p == power).map_or("", |(name, _)| name);
            return write!(f, "{}{suffix}", units >> power);
        }
        let (mut mantissa, mut exponent) = (self.nanos, -9);
        // There is no suffix above E.
        let most = if self.format == Format::DecimalExponent { i32::MAX } else { 18 };
        while mantissa % 1000 == 0 && exponent < most {
            mantissa /= 1000;
            exponent += 3;
        }
        if self.format == Format::DecimalExponent {
            return if exponent == 0 { write!(f, "{mantissa}") } else { write!(f, "{mantissa}e{exponent}") };
        }
        let suffix = SI.iter().find(|(_, e)| *e == exponent).map_or("", |(name, _)| name);
        write!(f, "{mantissa}{suffix}")
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_forms() {
        let check = |text: &str, canonical: &str| {
            assert_eq!(text.parse::<Quantity>().expect(text).to_string(), canonical, "{text}");
        };
        for (text, canonical) in [
            ("0", "0"),
            ("1", "1"),
            ("1.5", "1500m"),
            ("0.1", "100m"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1024", "1024"),
            ("1000", "1k"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("1E", "1E"),
            ("1e-3", "1e-3"),
            ("12e6", "12e6"),
            ("0.0001", "100u"),
            ("0.0000000001", "1n"),
            ("-1", "-1"),
            ("+5k", "5k"),
            ("1500", "1500"),
            ("1Ki", "1Ki"),
            ("1000Ki", "1000Ki"),
            ("00.10", "100m"),
            ("1.", "1"),
            (".5", "500m"),
            ("1000000", "1M"),
            ("9999999999999999999", "9999999999999999999"),
            ("10E", "10E"),
            ("1e21", "1e21"),
            ("1000e18", "1e21"),
            ("9999999999999999999Ki", "9223372036854775807"),
            (".", "0"),
            ("+", "0"),
            ("0.5Ki", "512"),
            ("0.0001Ki", "102400u"),
            ("1.1Ki", "1126400m"),
            ("64Mi", "64Mi"),
        ] {
            check(text, canonical);
        }
    }

    #[test]
    fn what_looks_canonical_is_shown_as_it_was_written() {
        let check = |text: &str, shown: &str| assert_eq!(Quantity::shown(text).as_deref(), Ok(shown), "{text}");
        for text in ["0", "+5", "5.", "00100", "1E3", "1.500", "-12Mi", "1e+3", "100m"] {
            check(text, text);
        }
        check("1e29", "1e29");
        check(&"9".repeat(40), &"9".repeat(40));
        for (text, shown) in [("1000m", "1"), ("1024Ki", "1Mi"), ("1.5", "1500m"), ("0.500", "500m"), ("-0", "0")] {
            check(text, shown);
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        let check = |text: &str, error: QuantityError| assert_eq!(text.parse::<Quantity>().expect_err(text), error);
        check("", QuantityError::Format);
        check("a", QuantityError::Format);
        check("1.2.3", QuantityError::Format);
        check("1x", QuantityError::Format);
        check("1kk", QuantityError::Suffix);
        check("1e", QuantityError::Suffix);
        check("Ei", QuantityError::Numeric);
        check(" 1", QuantityError::Format);
    }

    #[test]
    fn values_round_up() {
        let parse = |text: &str| text.parse::<Quantity>().expect(text);
        assert_eq!(parse("100m").value(), 1);
        assert_eq!(parse("100u").milli_value(), 1);
        assert_eq!(parse("-1500m").value(), -2);
        assert_eq!(parse("2Gi").value(), 2 << 30);
        assert_eq!(parse("0.0001").rounded_to_millis().to_string(), "1m");
        assert!(parse("1") > parse("999m") && parse("1Ki") == parse("1024"));
        assert_eq!(parse("1Mi").plus(parse("1Mi")).minus(parse("1Mi")).to_string(), "1Mi");
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(text in "[+-]?[0-9]{1,12}(\\.[0-9]{0,10})?(n|u|m|k|M|G|Ki|Mi|Gi|e3|e-2)?") {
            let quantity: Quantity = text.parse().expect("the grammar's own");
            let canonical = quantity.to_string();
            let again: Quantity = canonical.parse().expect("canonical forms parse");
            prop_assert_eq!(again, quantity);
            prop_assert_eq!(again.to_string(), canonical);
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,40}|[0-9.eE+-]{0,80}(Ei|Ki|e[0-9]{1,9})?") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                prop_assert!(!quantity.to_string().is_empty());
            }
        }
    }
}
