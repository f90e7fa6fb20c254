//! A component's description of itself.

use crate::policy::{Normalize, Point, Policy, Scope};
use serde_json::{Value, json};

pub(crate) fn describe<P: Policy>() -> Value {
    let points: Vec<&str> = P::POINTS
        .iter()
        .map(|point| match point {
            Point::Filter => "filter",
            Point::Score => "score",
        })
        .collect();
    json!({
        "name": P::NAME,
        "points": points,
        "columns": P::COLUMNS.iter().map(|column| column.name()).collect::<Vec<_>>(),
        "scope": match P::SCOPE { Scope::Node => "node", Scope::Global => "global" },
        "pure": P::PURE,
        "normalize": match P::NORMALIZE {
            Normalize::None => "none",
            Normalize::Max => "max",
            Normalize::MaxReversed => "max-reversed",
            Normalize::MinMax => "min-max",
        },
        "events": P::EVENTS,
        "args": serde_json::from_str::<Value>(P::ARGS_SCHEMA).unwrap_or(Value::Null),
    })
}
