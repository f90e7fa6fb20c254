//! The functions of Kubernetes' libraries: quantities, addresses, URLs, versions, formats.

use super::Eval;
use crate::error::EvalError;
use crate::library::{Cidr, Format, Quantity, Semver, address};
use crate::meter::Meter;
use crate::url::Url;
use crate::value::{Key, Library, Map, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Calls one by its name.
pub(super) fn call<'a>(name: &str, overload: &str, args: &[Value<'a>], meter: &mut Meter) -> Eval<'a> {
    match args {
        [Value::Library(library), rest @ ..] => method(name, library, rest),
        [Value::String(text), rest @ ..] => of_text(name, text, rest),
        [] => Format::named(name.strip_prefix("format.").unwrap_or(name))
            .map(|format| Value::Library(Library::Format(format)))
            .ok_or_else(EvalError::no_such_overload),
        [Value::Map(Map::Made(map)), rest @ ..] if name == "cel.@mapInsert" => {
            meter.elements(map.len())?;
            insert(map, rest)
        }
        _ => Err(EvalError::failed(match overload {
            "" => "no such overload".to_owned(),
            _ => format!("no such overload: {name}"),
        })),
    }
}

fn insert<'a>(map: &BTreeMap<Key, Value<'a>>, rest: &[Value<'a>]) -> Eval<'a> {
    let mut map = map.clone();
    let more = match rest {
        [key, value] => vec![(key.key()?, value.clone())],
        [Value::Map(Map::Made(more))] => more.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        _ => return Err(EvalError::no_such_overload()),
    };
    for (key, value) in more {
        if map.contains_key(&key) {
            return Err(EvalError::failed(format!("insert failed: key {} already exists", super::shown(&key.value()))));
        }
        map.insert(key, value);
    }
    Ok(Value::Map(Map::Made(Arc::new(map))))
}

fn of_text<'a>(name: &str, text: &str, rest: &[Value<'a>]) -> Eval<'a> {
    let normalize = match rest {
        [] => false,
        [Value::Bool(normalize)] => *normalize,
        _ => return Err(EvalError::no_such_overload()),
    };
    let made = |library| Ok(Value::Library(library));
    let failed = EvalError::Failed;
    match name {
        "quantity" => made(Library::Quantity(Quantity::parse(text).map_err(failed)?)),
        "isQuantity" => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        "ip" => made(Library::Ip(address(text).map_err(failed)?)),
        "isIP" => Ok(Value::Bool(address(text).is_ok())),
        "ip.isCanonical" => Ok(Value::Bool(address(text).map_err(failed)?.to_string() == text)),
        "cidr" => made(Library::Cidr(Cidr::parse(text).map_err(failed)?)),
        "isCIDR" => Ok(Value::Bool(Cidr::parse(text).is_ok())),
        "url" => {
            let url = Url::parse(text)
                .map_err(|why| EvalError::failed(format!("URL parse error during conversion from string: {why}")))?;
            made(Library::Url(Arc::new(url)))
        }
        "isURL" => Ok(Value::Bool(Url::parse(text).is_ok())),
        "semver" => made(Library::Semver(Arc::new(Semver::parse(text, normalize).map_err(failed)?))),
        "isSemver" => Ok(Value::Bool(Semver::parse(text, normalize).is_ok())),
        "format.named" => {
            Ok(Value::Optional(Format::named(text).map(|format| Arc::new(Value::Library(Library::Format(format))))))
        }
        _ => Err(EvalError::no_such_overload()),
    }
}

fn method<'a>(name: &str, library: &Library<'a>, rest: &[Value<'a>]) -> Eval<'a> {
    match library {
        Library::Quantity(quantity) => quantity_method(name, quantity, rest),
        Library::Ip(address) => address_method(name, *address),
        Library::Cidr(cidr) => cidr_method(name, cidr, rest),
        Library::Url(url) => url_method(name, url),
        Library::Semver(version) => semver_method(name, version, rest),
        Library::Format(format) => match (name, rest) {
            ("validate", [Value::String(text)]) => {
                let problems = format.validate(text);
                Ok(Value::Optional(match problems.is_empty() {
                    true => None,
                    false => Some(Arc::new(Value::list(problems.into_iter().map(Value::made).collect()))),
                }))
            }
            _ => Err(EvalError::no_such_overload()),
        },
        Library::Authorization(_) => Err(EvalError::no_such_overload()),
    }
}

fn sign(order: Ordering) -> i64 {
    match order {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

/// `isGreaterThan`, `isLessThan` and `compareTo`.
fn ordered<'a>(name: &str, order: Ordering) -> Eval<'a> {
    match name {
        "isGreaterThan" => Ok(Value::Bool(order == Ordering::Greater)),
        "isLessThan" => Ok(Value::Bool(order == Ordering::Less)),
        "compareTo" => Ok(Value::Int(sign(order))),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn quantity_method<'a>(name: &str, quantity: &Quantity, rest: &[Value<'a>]) -> Eval<'a> {
    let made = |quantity| Ok(Value::Library(Library::Quantity(quantity)));
    match (name, rest) {
        ("add", [Value::Library(Library::Quantity(other))]) => made(quantity.plus(other)),
        ("sub", [Value::Library(Library::Quantity(other))]) => made(quantity.minus(other)),
        ("add", [Value::Int(other)]) => made(quantity.plus(&Quantity::of_units(*other))),
        ("sub", [Value::Int(other)]) => made(quantity.minus(&Quantity::of_units(*other))),
        ("sign", []) => Ok(Value::Int(sign(quantity.cmp(&Quantity::of_units(0))))),
        ("isInteger", []) => Ok(Value::Bool(quantity.integer().is_some())),
        ("asInteger", []) => match quantity.integer() {
            Some(value) => Ok(Value::Int(value)),
            None => Err(EvalError::failed("cannot convert value to integer")),
        },
        ("asApproximateFloat", []) => Ok(Value::Double(quantity.float())),
        (_, [Value::Library(Library::Quantity(other))]) => ordered(name, quantity.cmp(other)),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn address_method<'a>(name: &str, address: IpAddr) -> Eval<'a> {
    if name == "family" {
        return Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 }));
    }
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    };
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    Ok(Value::Bool(match name {
        "isUnspecified" => address.is_unspecified(),
        "isLoopback" => address.is_loopback(),
        "isLinkLocalMulticast" => match address {
            IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
            IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
        },
        "isLinkLocalUnicast" => link_local,
        "isGlobalUnicast" => {
            !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || link_local || broadcast)
        }
        _ => return Err(EvalError::no_such_overload()),
    }))
}

fn cidr_method<'a>(name: &str, cidr: &Cidr, rest: &[Value<'a>]) -> Eval<'a> {
    let made = |library| Ok(Value::Library(library));
    match (name, rest) {
        ("containsIP", [Value::Library(Library::Ip(address))]) => Ok(Value::Bool(cidr.contains(*address))),
        ("containsIP", [Value::String(text)]) => {
            Ok(Value::Bool(cidr.contains(address(text).map_err(EvalError::Failed)?)))
        }
        ("containsCIDR", [Value::Library(Library::Cidr(other))]) => Ok(Value::Bool(cidr.covers(other))),
        ("containsCIDR", [Value::String(text)]) => {
            Ok(Value::Bool(cidr.covers(&Cidr::parse(text).map_err(EvalError::Failed)?)))
        }
        ("ip", []) => made(Library::Ip(cidr.address)),
        ("masked", []) => made(Library::Cidr(cidr.masked())),
        ("prefixLength", []) => Ok(Value::Int(cidr.prefix.into())),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn url_method<'a>(name: &str, url: &Url) -> Eval<'a> {
    Ok(match name {
        "getScheme" => Value::made(url.scheme.as_str()),
        "getHost" => Value::made(url.host.as_str()),
        "getHostname" => Value::made(url.hostname()),
        "getPort" => Value::made(url.port()),
        "getEscapedPath" => Value::made(url.path.as_str()),
        "getQuery" => {
            let mut all: BTreeMap<Key, Vec<Value<'a>>> = BTreeMap::new();
            for (key, value) in url.pairs() {
                all.entry(Key::String(key.into())).or_default().push(Value::made(value));
            }
            let all = all.into_iter().map(|(key, values)| (key, Value::list(values))).collect();
            Value::Map(Map::Made(Arc::new(all)))
        }
        _ => return Err(EvalError::no_such_overload()),
    })
}

fn semver_method<'a>(name: &str, version: &Semver, rest: &[Value<'a>]) -> Eval<'a> {
    let number = |value: u64| Ok(Value::Int(value as i64));
    match (name, rest) {
        ("major", []) => number(version.major),
        ("minor", []) => number(version.minor),
        ("patch", []) => number(version.patch),
        (_, [Value::Library(Library::Semver(other))]) => ordered(name, version.order(other)),
        _ => Err(EvalError::no_such_overload()),
    }
}
