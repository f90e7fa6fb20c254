//! The values of Kubernetes' libraries, and the formats that data is read in.

use crate::error::EvalError;
use crate::url::Url;
use base64::Engine as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sampan_api::names;
use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

/// An amount: `1.5Gi`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(sampan_api::Quantity);

impl Quantity {
    /// The amount of a text, or why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        sampan_api::Quantity::from_str(text).map(Self).map_err(|error| error.to_string())
    }

    /// Whole units.
    pub(crate) fn of_units(units: i64) -> Self {
        Self(sampan_api::Quantity::from_units(units, sampan_api::quantity::Format::DecimalSi))
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self(self.0.plus(other.0))
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self(self.0.minus(other.0))
    }

    /// The amount, where it is whole and not too large.
    pub(crate) fn integer(&self) -> Option<i64> {
        let value = self.0.value();
        let whole = Self::of_units(value) == *self;
        Some(value).filter(|_| whole)
    }

    /// The amount as a double.
    pub(crate) fn float(&self) -> f64 {
        match self.integer() {
            Some(value) => value as f64,
            None => self.0.milli_value() as f64 / 1000.0,
        }
    }
}

/// An address as Go's `netip` reads it, without a zone and not IPv4 in IPv6.
pub(crate) fn address(text: &str) -> Result<IpAddr, String> {
    let failed = |why: String| {
        format!("IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): {why}")
    };
    if text.contains('%') && text.contains(':') {
        return Err(format!("IP address {text:?} with zone value is not allowed"));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(failed("unable to parse IP".into())),
    }
}

/// A network: an address and how many of its bits are common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

impl Cidr {
    /// The network of a text, or why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let failed = |why: &str| {
            format!(
                "network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix({text:?}): {why}"
            )
        };
        let (ip, bits) = text.rsplit_once('/').ok_or_else(|| failed("no '/'"))?;
        let address = match ip.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
                return Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"));
            }
            Ok(address) => address,
            Err(_) => return Err(failed(&format!("ParseAddr({ip:?}): unable to parse IP"))),
        };
        let max = if address.is_ipv4() { 32 } else { 128 };
        let canonical = bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'));
        let prefix = bits.parse::<u8>().ok().filter(|_| canonical);
        let prefix = prefix.ok_or_else(|| failed(&format!("bad bits after slash: {bits:?}")))?;
        match prefix <= max {
            true => Ok(Self { address, prefix }),
            false => Err(failed("prefix length out of range")),
        }
    }

    fn bits(address: IpAddr) -> (u128, u32) {
        match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        }
    }

    fn mask(&self, size: u32) -> u128 {
        let low = size - u32::from(self.prefix);
        if low >= 128 { 0 } else { (u128::MAX >> (128 - size)) >> low << low }
    }

    /// Whether an address is of the network.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let ((own, size), (other, other_size)) = (Self::bits(self.address), Self::bits(address));
        size == other_size && own & self.mask(size) == other & self.mask(size)
    }

    /// Whether the other network is a part of this one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// The network with all other bits zero.
    pub(crate) fn masked(&self) -> Self {
        let (bits, size) = Self::bits(self.address);
        let bits = bits & self.mask(size);
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::V4((bits as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(bits.into()),
        };
        Self { address, prefix: self.prefix }
    }

    /// The bytes of the common part.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.prefix).div_ceil(8)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A version by semver 2.0: `1.2.3-alpha.1+build`.
#[derive(Clone, Debug)]
pub struct Semver {
    pub(crate) major: u64,
    pub(crate) minor: u64,
    pub(crate) patch: u64,
    pre: Vec<String>,
}

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

impl Semver {
    /// The version of a text; `normalize` takes a `v` before it, short forms and leading zeros too.
    pub(crate) fn parse(text: &str, normalize: bool) -> Result<Self, String> {
        let normal;
        let text = if normalize {
            normal = normalized(text)?;
            &normal
        } else {
            text
        };
        if text.is_empty() {
            return Err("Version string empty".into());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts[..] else { return Err("No Major.Minor.Patch elements found".into()) };
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        let pre: Vec<String> = pre.map(|pre| pre.split('.').map(str::to_owned).collect()).unwrap_or_default();
        let allowed = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        for part in &pre {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            match part.as_str() {
                "" => return Err("Prerelease is empty".into()),
                part if digits && part.len() > 1 && part.starts_with('0') => {
                    return Err(format!("Numeric PreRelease version must not contain leading zeroes {part:?}"));
                }
                part if !allowed(part) => return Err(format!("Invalid character(s) found in prerelease {part:?}")),
                _ => {}
            }
        }
        for part in build.into_iter().flat_map(|build| build.split('.')) {
            match part {
                "" => return Err("Build meta data is empty".into()),
                part if !allowed(part) => {
                    return Err(format!("Invalid character(s) found in build meta data {part:?}"));
                }
                _ => {}
            }
        }
        let (major, minor) = (version_part("major", major)?, version_part("minor", minor)?);
        Ok(Self { major, minor, patch: version_part("patch", patch)?, pre })
    }

    /// The order of versions; what was built is not looked at.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let core = |one: &Self| (one.major, one.minor, one.patch);
        core(self).cmp(&core(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let parts = self.pre.iter().zip(&other.pre).map(|(a, b)| pre_order(a, b));
                parts.fold(Ordering::Equal, Ordering::then).then(self.pre.len().cmp(&other.pre.len()))
            }
        })
    }
}

fn version_part(which: &str, part: &str) -> Result<u64, String> {
    let name = which[..1].to_uppercase() + &which[1..];
    if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {which} number {part:?}"));
    }
    if part.len() > 1 && part.starts_with('0') {
        return Err(format!("{name} number must not contain leading zeroes {part:?}"));
    }
    part.parse().map_err(|_| format!("strconv.ParseUint: parsing {part:?}: value out of range"))
}

fn pre_order(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

fn normalized(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(str::to_owned).collect();
    for part in &mut parts {
        if part.len() > 1 {
            let bare = part.trim_start_matches('0');
            *part = if bare.starts_with(|c: char| c.is_ascii_digit()) { bare.to_owned() } else { format!("0{bare}") };
        }
    }
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".into());
    }
    while parts.len() < 3 {
        parts.push("0".into());
    }
    Ok(parts.join("."))
}

/// A named format that texts can be checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format(&'static FormatRow);

#[derive(Debug, PartialEq, Eq)]
struct FormatRow {
    name: &'static str,
    /// What the length of its regular expression is reckoned as.
    regex_size: u64,
}

const FORMATS: [FormatRow; 13] = [
    FormatRow { name: "dns1123Label", regex_size: 30 },
    FormatRow { name: "dns1123Subdomain", regex_size: 60 },
    FormatRow { name: "dns1035Label", regex_size: 30 },
    FormatRow { name: "qualifiedName", regex_size: 60 },
    FormatRow { name: "dns1123LabelPrefix", regex_size: 30 },
    FormatRow { name: "dns1123SubdomainPrefix", regex_size: 60 },
    FormatRow { name: "dns1035LabelPrefix", regex_size: 30 },
    FormatRow { name: "labelValue", regex_size: 40 },
    FormatRow { name: "uri", regex_size: 1103 },
    FormatRow { name: "uuid", regex_size: 70 },
    FormatRow { name: "byte", regex_size: 84 },
    FormatRow { name: "date", regex_size: 71 },
    FormatRow { name: "datetime", regex_size: 71 },
];

impl Format {
    /// The format of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        FORMATS.iter().find(|row| row.name == name).map(Self)
    }

    /// What a check against it is reckoned as, per character.
    pub(crate) fn regex_size(self) -> u64 {
        self.0.regex_size
    }

    /// What is wrong with a text.
    pub(crate) fn validate(self, text: &str) -> Vec<String> {
        let one = |fine: bool, wrong: &str| if fine { Vec::new() } else { vec![wrong.to_owned()] };
        let masked = match text.strip_suffix('-') {
            Some(before) if !before.is_empty() => format!("{before}a"),
            _ => text.to_owned(),
        };
        match self.0.name {
            "dns1123Label" => names::dns1123_label(text),
            "dns1123Subdomain" => names::dns1123_subdomain(text),
            "dns1035Label" => names::dns1035_label(text),
            "qualifiedName" => names::qualified_name(text),
            "dns1123LabelPrefix" => names::dns1123_label(&masked),
            "dns1123SubdomainPrefix" => names::dns1123_subdomain(&masked),
            "dns1035LabelPrefix" => names::dns1035_label(&masked),
            "labelValue" => names::label_value(text),
            "uri" => Url::parse(text).err().into_iter().collect(),
            "uuid" => one(is_uuid(text), "does not match the UUID format"),
            "byte" => one(base64(text).is_ok(), "invalid base64"),
            "date" => one(date(text).is_ok(), "invalid date"),
            _ => one(date_time(text).is_ok(), "invalid datetime"),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let bare: String = text.chars().filter(|char| *char != '-').collect();
    let dashes =
        text.len() == 32 || (text.len() == 36 && [8, 13, 18, 23].iter().all(|at| text.as_bytes()[*at] == b'-'));
    dashes && bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The bytes of a text in base64.
pub(crate) fn base64(text: &str) -> Result<Vec<u8>, EvalError> {
    let read = base64::engine::general_purpose::STANDARD.decode(text);
    read.map_err(|error| EvalError::failed(format!("Invalid byte formatted string {text}: {error}")))
}

/// The midnight of a date.
pub(crate) fn date(text: &str) -> Result<Timestamp, EvalError> {
    let read = if text.len() == 10 { text.parse::<Date>().ok() } else { None };
    let at = read.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    at.map(|at| at.timestamp()).ok_or_else(|| EvalError::failed(format!("Invalid date formatted string {text}")))
}

/// A point of time as data gives it.
pub(crate) fn date_time(text: &str) -> Result<Timestamp, EvalError> {
    let shaped = text.len() >= 19 && matches!(text.as_bytes()[10], b'T' | b't');
    let read = if shaped { text.parse::<Timestamp>().ok() } else { None };
    read.ok_or_else(|| EvalError::failed(format!("Invalid date-time formatted string {text}")))
}

/// A duration as data gives it: Go's form, or a number with a word (`3 days`).
pub(crate) fn format_duration(text: &str) -> Result<i64, EvalError> {
    if let Some(nanos) = go_duration(text) {
        return Ok(nanos);
    }
    let failed = || EvalError::failed(format!("Invalid duration {text}: unable to parse {text} as duration"));
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| failed())?;
    let seconds = match unit.trim().trim_end_matches('s') {
        "" if unit.trim() == "s" => 1.0,
        "sec" | "second" => 1.0,
        "m" | "min" | "minute" => 60.0,
        "h" | "hr" | "hour" => 3600.0,
        "d" | "day" => 86_400.0,
        "w" | "wk" | "week" => 604_800.0,
        _ => return Err(failed()),
    };
    Ok((number * seconds * 1e9) as i64)
}

/// The nanoseconds of a text of Go's form: `1h30m`, `1.5s`.
pub(crate) fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(digits);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let unit: i128 = match &after[..unit_end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
        total += whole * unit;
        let fraction = &fraction[..fraction.len().min(18)];
        if !fraction.is_empty() {
            total += fraction.parse::<i128>().ok()? * unit / 10i128.pow(fraction.len() as u32);
        }
        rest = &after[unit_end..];
    }
    i64::try_from(if negative { -total } else { total }).ok()
}
