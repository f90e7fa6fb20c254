//! What is one value before an expression runs.

use crate::syntax::ast::{Call, Expr, Kind, Literal};
use crate::value::{Text, Value};

pub(crate) fn literal(value: &Literal) -> Value<'_> {
    match value {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::String(Text::Made(text.clone())),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

/// Whether an expression is folded into one value before it runs, and so costs nothing.
pub(crate) fn constant(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Literal(_) => true,
        Kind::List(all) => all.iter().all(|one| !one.optional && constant(&one.value)),
        Kind::Map(all) => all.iter().all(|one| !one.optional && constant(&one.key) && constant(&one.value)),
        Kind::Call(call) if is_never_in(call) => true,
        Kind::Call(call) => {
            call.target.is_none()
                && call.args.len() == 1
                && CONVERSIONS.contains(&&*call.function)
                && constant(&call.args[0])
        }
        _ => false,
    }
}

/// Whether something is looked for in an empty list, of which cel-go makes a constant.
pub(super) fn is_never_in(call: &Call) -> bool {
    &*call.function == "@in" && matches!(&call.args[1].kind, Kind::List(all) if all.is_empty())
}

const CONVERSIONS: [&str; 10] =
    ["bool", "bytes", "double", "dyn", "duration", "int", "string", "timestamp", "type", "uint"];
