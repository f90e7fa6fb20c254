//! What calls cost while they run, in cel-go's and Kubernetes' units.

use crate::value::{Library, List, Map, Value};

/// Making a list.
pub(crate) const LIST: u64 = 10;
/// Making a map.
pub(crate) const MAP: u64 = 30;
/// Making an object.
pub(crate) const STRUCT: u64 = 40;
/// Looking at a character of a text once.
pub(crate) const TRAVERSAL: f64 = 0.1;
/// A character of a regular expression, for each unit of the text.
pub(crate) const REGEX: f64 = 0.25;
/// A question to the authorizer.
pub(crate) const CHECK: u64 = 350_000;

fn up(value: f64) -> u64 {
    value.ceil() as u64
}

fn traversal(size: u64, factor: f64) -> u64 {
    up(size as f64 * factor * TRAVERSAL)
}

fn regex(text: u64, pattern: u64) -> u64 {
    up((1.0 + text as f64) * TRAVERSAL).saturating_mul(up(pattern as f64 * REGEX))
}

/// Functions with the fixed cost of one.
pub(crate) const NOMINAL: &[&str] = &[
    "serviceAccount",
    "path",
    "group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "allowed",
    "reason",
    "error",
    "errored",
    "masked",
    "prefixLength",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "format.named",
    "sign",
    "asInteger",
    "isInteger",
    "asApproximateFloat",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "add",
    "sub",
    "major",
    "minor",
    "patch",
    "getScheme",
    "getHostname",
    "getHost",
    "getPort",
    "getEscapedPath",
    "getQuery",
];

/// The cost of a call that was made, beside that of its arguments.
pub(crate) fn of_call(function: &str, overload: &str, args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    let size = |at: usize| args.get(at).map_or(1, Value::size);
    if let Some(cost) = of_list_overload(overload, args, result) {
        return cost;
    }
    if NOMINAL.contains(&function) {
        return 1;
    }
    match function {
        "check" => return CHECK,
        "fieldSelector" | "labelSelector" => {
            return LIST + traversal(size(1), 1.0) + up(size(1) as f64 * 0.5) * (LIST + STRUCT);
        }
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => return args.first().map_or(0, walk),
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver"
        | "jsonpatch.escapeKey" => return traversal(size(0), 1.0),
        "ip" if overload == "cidr_ip" => return 1,
        "ip" => return traversal(size(0), 1.0),
        "replace" | "split" | "ip.isCanonical" => return traversal(size(0), 2.0),
        "join" => return result.map_or(1, |result| traversal(result.size(), 2.0)),
        "find" | "findAll" => return regex(size(0), size(1)),
        "containsIP" | "containsCIDR" => return contains(function, overload, size(0), size(1)),
        "validate" => {
            if let Some(Value::Library(Library::Format(format))) = args.first() {
                return regex(size(1), format.regex_size());
            }
        }
        "_==_" if matches!(args.first(), Some(Value::Library(_))) => return 1,
        _ => {}
    }
    of_overload(overload, &size)
}

fn contains(function: &str, overload: &str, cidr: u64, other: u64) -> u64 {
    let mut cost = traversal(2 * cidr, 1.0);
    if function == "containsCIDR" {
        cost += traversal(cidr, 1.0) + 1;
    }
    if matches!(overload, "cidr_contains_ip_string" | "cidr_contains_cidr_string") {
        cost += traversal(other, 1.0);
    }
    cost
}

fn of_overload(overload: &str, size: &dyn Fn(usize) -> u64) -> u64 {
    match overload {
        "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string" | "strings_quote"
        | "string_format" => traversal(size(0), 1.0),
        "in_list" => size(1),
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => traversal(size(0).min(size(1)), 1.0),
        "add_string" | "add_bytes" => traversal(size(0) + size(1), 1.0),
        "matches_string" | "matches" => regex(size(0), size(1)),
        "contains_string" => traversal(size(0), 1.0).saturating_mul(traversal(size(1), 1.0)),
        _ => 1,
    }
}

/// The overloads of list functions that have rules of their own.
fn of_list_overload(overload: &str, args: &[Value<'_>], result: Option<&Value<'_>>) -> Option<u64> {
    let size = |at: usize| args.get(at).map_or(1, Value::size);
    let made = |factor: f64, size: u64| (size as f64 * factor) as u64 + 1 + LIST;
    let compared = |list: &Value<'_>| {
        let first = match list {
            Value::List(list) => list.get(0).and_then(Result::ok),
            _ => None,
        };
        let texts = matches!(first, Some(Value::String(_) | Value::Bytes(_)));
        made(if texts { 2.0 + TRAVERSAL } else { 2.0 }, list.size().saturating_mul(list.size()))
    };
    Some(match overload {
        "list_sets_contains_list" | "list_sets_intersects_list" => 1 + size(0).saturating_mul(size(1)),
        "list_sets_equivalent_list" => 1 + 2 * size(0).saturating_mul(size(1)),
        "list_slice" | "lists_range" | "list_reverse" => made(1.0, result.map_or(1, Value::size)),
        "list_flatten" => made(1.0, size(0)),
        "list_flatten_int" => match args.get(1) {
            Some(Value::Int(depth)) => made(*depth as f64, size(0)),
            _ => made(1.0, size(0)),
        },
        "list_distinct" => compared(args.first()?),
        _ if overload.starts_with("list_") && overload.ends_with("_sort") => compared(args.first()?),
        _ if overload.ends_with("_sortByAssociatedKeys") => compared(args.get(1)?),
        _ => return None,
    })
}

/// The cost of looking at all of a value.
fn walk(value: &Value<'_>) -> u64 {
    match value {
        Value::String(text) => (text.len() as f64 * TRAVERSAL) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Value::List(list) => match list {
            List::Made(all) => all.iter().map(walk).sum(),
            List::Data(..) => list.iter().map(|one| one.as_ref().map_or(1, walk)).sum(),
        },
        Value::Map(map) => match map {
            Map::Made(all) => all.iter().map(|(key, value)| walk(&key.value()) + walk(value)).sum(),
            Map::Data(..) => map
                .keys()
                .iter()
                .map(|key| walk(key) + map.get(key).and_then(Result::ok).as_ref().map_or(1, walk))
                .sum(),
        },
        _ => 1,
    }
}
