//! What is wrong with formats that stand in a text (`'%d'.format([a])`), told by the types of their arguments before anything runs
//! (cel-go, ext/formatting.go).

use crate::check::Checked;
use crate::syntax::ast::{Element, Expr, Id, Kind};
use crate::types::Type;

/// What is wrong with a format of these arguments, and the node that it is told at: the `call` where it is with none of them.
pub(crate) fn check(call: Id, pattern: &str, args: &[Element], checked: &Checked) -> Option<(Id, String)> {
    let mut rest = pattern.as_bytes();
    let mut used = 0;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        rest = &rest[at + 1..];
        if let [b'%', after @ ..] = rest {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return Some((call, "unexpected end of string".to_owned()));
        }
        let Some(arg) = args.get(used) else { return Some((call, format!("index {used} out of range"))) };
        used += 1;
        let (verb, takes) = match clause(rest) {
            Ok((verb, takes, after)) => {
                rest = after;
                (verb, takes)
            }
            Err(why) => return Some((call, format!("could not parse formatting clause: {why}"))),
        };
        if let Some(unfit) = unfit(verb, &arg.value, checked) {
            let given = type_name(&checked.types[unfit]);
            return Some((unfit, format!("error during formatting: {takes}, was given {given}")));
        }
    }
    let given = args.len();
    let message = || format!("too many arguments supplied to string.format (expected {used}, got {given})");
    (given > used).then(|| (call, message()))
}

/// The verb of a clause, what it takes in cel-go's words, and what follows. Bytes that are no verb are shown one by one.
fn clause(text: &[u8]) -> Result<(u8, &'static str, &[u8]), String> {
    let mut rest = text;
    if let [b'.', after @ ..] = text {
        let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == after.len() {
            return Err("error while parsing precision: could not find end of precision specifier".to_owned());
        }
        precision(&String::from_utf8_lossy(&after[..digits]))?;
        rest = &after[digits..];
    }
    let [verb, after @ ..] = rest else { return Err("unexpected end of string".to_owned()) };
    let takes = takes(*verb).ok_or_else(|| format!("unrecognized formatting clause \"{}\"", char::from(*verb)))?;
    Ok((*verb, takes, after))
}

fn precision(digits: &str) -> Result<(), String> {
    let why = match digits.parse::<i64>() {
        Ok(_) => return Ok(()),
        Err(_) if digits.is_empty() => "invalid syntax",
        Err(_) => "value out of range",
    };
    Err(format!(
        "error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing {digits:?}: {why}"
    ))
}

/// What a verb takes; `None`: there is no such verb.
fn takes(verb: u8) -> Option<&'static str> {
    match verb {
        b's' => Some(
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and \
             timestamps",
        ),
        b'd' => Some("decimal clause can only be used on integers"),
        b'f' => Some("fixed-point clause can only be used on doubles"),
        b'e' => Some("scientific clause can only be used on doubles"),
        b'b' => Some("only integers and bools can be formatted as binary"),
        b'x' | b'X' => Some("only integers, byte buffers, and strings can be formatted as hex"),
        b'o' => Some("octal clause can only be used on integers"),
        _ => None,
    }
}

/// Whether a verb takes a value of a type, as far as the type says it.
fn fits(verb: u8, ty: &Type) -> bool {
    match ty {
        Type::Dyn | Type::Error => true,
        Type::List(_) | Type::Map(..) | Type::Type(_) | Type::Null | Type::Duration | Type::Timestamp => verb == b's',
        Type::Int | Type::Uint => matches!(verb, b's' | b'd' | b'b' | b'x' | b'X' | b'o'),
        // Texts stand for what is no number.
        Type::String => matches!(verb, b's' | b'f' | b'e' | b'x' | b'X'),
        Type::Double => matches!(verb, b's' | b'f' | b'e'),
        Type::Bool => matches!(verb, b's' | b'b'),
        Type::Bytes => matches!(verb, b's' | b'x' | b'X'),
        Type::Any | Type::Optional(_) | Type::Object(_) | Type::Library(_) | Type::Param(_) => false,
    }
}

/// The first node that a verb does not take: the argument, or of a list or map that is shown what stands in it.
fn unfit(verb: u8, arg: &Expr, checked: &Checked) -> Option<Id> {
    let mut pending = vec![arg];
    while let Some(expr) = pending.pop() {
        if !fits(verb, &checked.types[expr.id]) {
            return Some(expr.id);
        }
        match &expr.kind {
            Kind::List(all) if verb == b's' => pending.extend(all.iter().rev().map(|one| &one.value)),
            Kind::Map(all) if verb == b's' => pending.extend(all.iter().rev().flat_map(|one| [&one.value, &one.key])),
            _ => {}
        }
    }
    None
}

/// The name of a type without those of its parts.
fn type_name(ty: &Type) -> String {
    let name = match ty {
        Type::Any => "google.protobuf.Any",
        Type::Null => "null_type",
        Type::Duration => "google.protobuf.Duration",
        Type::Timestamp => "google.protobuf.Timestamp",
        Type::Type(_) => "type",
        Type::List(_) => "list",
        Type::Map(..) => "map",
        Type::Optional(_) => "optional_type",
        other => return other.to_string(),
    };
    name.to_owned()
}
