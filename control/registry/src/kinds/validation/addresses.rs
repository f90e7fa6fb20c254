//! Addresses of points of entry, and warnings about addresses that old fields take and that are written in other ways than
//! they should be (apimachinery's pkg/util/validation/ip.go).

use super::checks::{named, parse_cidr, parse_ip};
use super::{At, FieldErrors};
use sampan_api::field::go_quote;
use sampan_api::names;
use sampan_api::object::Object;
use sampan_schema::gates::Gates;
use serde_json::Value;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};

/// What is told of a text that is no address.
pub(in crate::kinds) const BAD_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
/// What is told of a text that is no range of addresses.
pub(in crate::kinds) const BAD_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// How fields of addresses are checked that are older than strict rules: by those where the feature StrictIPCIDRValidation is
/// on; and what stood there before stays valid (IsValidIPForLegacyField, IsValidCIDRForLegacyField).
pub(in crate::kinds) struct Legacy<'a> {
    strict: bool,
    before: HashSet<&'a str>,
}

impl<'a> Legacy<'a> {
    /// Of a field whose values are all looked at.
    pub(in crate::kinds) fn new(gates: &Gates) -> Self {
        Self::over(gates, [])
    }

    /// Of a field that had these values.
    pub(in crate::kinds) fn over(gates: &Gates, before: impl IntoIterator<Item = &'a str>) -> Self {
        let strict = gates.enabled("StrictIPCIDRValidation");
        Self { strict, before: before.into_iter().collect() }
    }

    pub(in crate::kinds) fn ip(&self, at: At<'_>, errors: &mut FieldErrors) {
        self.ip_of(at, at.text(), errors);
    }

    /// As above, of a text that stands within the value.
    pub(in crate::kinds) fn ip_of(&self, at: At<'_>, text: &str, errors: &mut FieldErrors) {
        if self.before.contains(text) {
            return;
        }
        let why = match parse_ip(text) {
            None => Some(BAD_IP),
            Some(_) => strict_ip(text).filter(|_| self.strict),
        };
        why.into_iter().for_each(|why| at.invalid_as(errors, text, why));
    }

    pub(in crate::kinds) fn cidr(&self, at: At<'_>, errors: &mut FieldErrors) {
        let text = at.text();
        if self.before.contains(text) {
            return;
        }
        let why = match parse_cidr(text) {
            None => Some(BAD_CIDR),
            Some((network, _)) => strict_cidr(text, network).filter(|_| self.strict),
        };
        why.into_iter().for_each(|why| at.invalid_as(errors, text, why));
    }
}

/// What strict rules ask of an address beyond that it can be read; `None`: it has it.
fn strict_ip(text: &str) -> Option<&'static str> {
    match text.parse::<IpAddr>() {
        Err(_) => Some("must not have leading 0s"),
        Ok(IpAddr::V6(ip)) if mapped(ip) => Some("must not be an IPv4-mapped IPv6 address"),
        Ok(_) => None,
    }
}

/// What strict rules ask of a range beyond that it can be read; `network`: its first address.
pub(in crate::kinds) fn strict_cidr(text: &str, network: IpAddr) -> Option<&'static str> {
    let (ip, length) = text.split_once('/')?;
    let padded = length.len() > 1 && length.starts_with('0');
    match ip.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if !padded && mapped(ip) => Some("must not have an IPv4-mapped IPv6 address"),
        Ok(ip) if !padded && ip != network => Some("must not have bits set beyond the prefix length"),
        Ok(_) if !padded => None,
        _ => Some("must not have leading 0s in IP or prefix length"),
    }
}

/// Why a text is no address in the one form that it has (IsValidIP).
pub(in crate::kinds) fn canonical_ip(text: &str) -> Vec<String> {
    let Some(ip) = parse_ip(text) else { return vec![BAD_IP.to_owned()] };
    let form = plain(ip).to_string();
    match strict_ip(text) {
        Some(why) => vec![why.to_owned()],
        None if form != text => vec![format!("must be in canonical form ({})", go_quote(&form))],
        None => Vec::new(),
    }
}

/// The addresses at which traffic entered before.
pub(in crate::kinds) fn entries_before(old: &Object) -> impl Iterator<Item = &str> {
    let points = old.get(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array);
    points.into_iter().flatten().filter_map(|point| point.get("ip")?.as_str()).filter(|ip| !ip.is_empty())
}

/// The address of a point at which traffic enters, where it has one.
pub(in crate::kinds) fn entry_address(point: At<'_>, legacy: &Legacy<'_>, errors: &mut FieldErrors) {
    let address = point.get("ip");
    if !address.is_empty() {
        legacy.ip(address, errors);
    }
}

/// The host name of such a point, where it has one.
pub(in crate::kinds) fn entry_host(point: At<'_>, errors: &mut FieldErrors) {
    let host = point.get("hostname");
    if host.is_empty() {
        return;
    }
    named(host, errors, names::dns1123_subdomain);
    if parse_ip(host.text()).is_some() {
        host.invalid(errors, "must be a DNS name, not an IP address");
    }
}

/// The address behind an IPv4-mapped one.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn mapped(ip: Ipv6Addr) -> bool {
    ip.to_ipv4_mapped().is_some()
}

/// What an address is warned of, where it is one.
pub(in crate::kinds) fn ip_warning(at: At<'_>, warnings: &mut Vec<String>) {
    ip_warning_at(at, at.text(), warnings);
}

/// As above, told of another place than that of the text.
pub(in crate::kinds) fn ip_warning_at(at: At<'_>, text: &str, warnings: &mut Vec<String>) {
    let Some(ip) = parse_ip(text) else { return };
    let path = || at.path();
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(strict)) if !mapped(strict) => {
            if strict.to_string() != text {
                warnings.push(format!(
                    "{}: IPv6 address {text:?} should be in RFC 5952 canonical format (\"{strict}\")",
                    path()
                ));
            }
        }
        Ok(IpAddr::V4(_)) => {}
        _ => warnings.push(format!(
            "{}: non-standard IP address {text:?} will be considered invalid in a future Kubernetes release: use \"{}\"",
            path(),
            plain(ip)
        )),
    }
}

/// What a range is warned of, where it is one.
pub(in crate::kinds) fn cidr_warning(at: At<'_>, warnings: &mut Vec<String>) {
    let text = at.text();
    let Some(((network, bits), (ip, length))) = parse_cidr(text).zip(text.split_once('/')) else { return };
    let Some(ip) = parse_ip(ip) else { return };
    let before = warnings.len();
    if ip != network {
        let whole = if ip.is_ipv4() { 32 } else { 128 };
        warnings.push(format!(
            "{}: CIDR value {text:?} is ambiguous in this context (should be \"{network}/{bits}\" or \"{ip}/{whole}\"?)",
            at.path()
        ));
    }
    let strict = text.split_once('/').and_then(|(ip, _)| ip.parse::<IpAddr>().ok());
    let is_strict = strict.is_some_and(|ip| !matches!(ip, IpAddr::V6(ip) if mapped(ip)))
        && (length == "0" || !length.starts_with('0'));
    if !is_strict {
        warnings.push(format!(
            "{}: non-standard CIDR value {text:?} will be considered invalid in a future Kubernetes release: use \
             \"{network}/{bits}\"",
            at.path()
        ));
    }
    if warnings.len() == before && network.is_ipv6() && format!("{ip}/{bits}") != text {
        warnings.push(format!(
            "{}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format (\"{ip}/{bits}\")",
            at.path()
        ));
    }
}
