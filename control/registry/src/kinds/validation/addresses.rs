//! Addresses of points of entry, and warnings about addresses that old fields take and that are written in other ways than
//! they should be (apimachinery's pkg/util/validation/ip.go).

use super::checks::{ip, named, parse_cidr, parse_ip};
use super::{At, FieldErrors};
use sampan_api::names;
use std::net::{IpAddr, Ipv6Addr};

/// The address of a point at which traffic enters, where it has one.
pub(in crate::kinds) fn entry_address(point: At<'_>, errors: &mut FieldErrors) {
    let address = point.get("ip");
    if !address.is_empty() {
        ip(address, errors);
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
