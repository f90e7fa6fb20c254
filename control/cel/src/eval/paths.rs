//! Paths: variables, their fields, elements of them, and what looking at these costs.

use super::{Eval, Evaluator};
use crate::error::EvalError;
use crate::functions;
use crate::syntax::ast::{Call, Expr, Kind, Select, Test};
use crate::value::Value;

/// Whether an expression is a path from a variable, or a choice: such have no cost of their own as parts of others.
fn is_path(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Ident(_) | Kind::Select(_) => true,
        Kind::Call(call) => matches!(&*call.function, "_[_]" | "_[?_]" | "_?._" | "_?_:_"),
        _ => false,
    }
}

/// What looking at the whole of a path costs: nothing where it begins with a choice.
pub(super) fn root_cost(expr: &Expr) -> u64 {
    match &expr.kind {
        Kind::Select(select) => root_cost(&select.operand),
        Kind::Call(call) if &*call.function == "_?_:_" => 0,
        Kind::Call(call) if matches!(&*call.function, "_[_]" | "_[?_]" | "_?._") => root_cost(&call.args[0]),
        _ => 1,
    }
}

impl<'a> Evaluator<'a> {
    /// The value of a path without the cost of looking at the whole of it.
    pub(super) fn path(&mut self, expr: &'a Expr) -> Eval<'a> {
        match &expr.kind {
            Kind::Ident(name) => self.variable(name),
            Kind::Select(select) => self.select(select),
            Kind::Call(call) if &*call.function == "_?_:_" => self.conditional(call),
            Kind::Call(call) => self.index(call),
            _ => self.eval(expr),
        }
    }

    /// What a path goes on from.
    pub(super) fn operand(&mut self, expr: &'a Expr) -> Eval<'a> {
        if is_path(expr) { self.path(expr) } else { self.eval(expr) }
    }

    fn select(&mut self, select: &'a Select) -> Eval<'a> {
        let operand = self.operand(&select.operand)?;
        if matches!(operand, Value::Optional(None)) && select.test == Test::Value {
            return Ok(operand);
        }
        self.meter.charge(1)?;
        if select.test == Test::Presence {
            return Ok(Value::Bool(self.present(&operand, &select.field)?));
        }
        match &operand {
            Value::Optional(Some(inner)) => optional(field(inner, &select.field)),
            other => field(other, &select.field),
        }
    }

    fn present(&self, operand: &Value<'a>, name: &str) -> Result<bool, EvalError> {
        Ok(match operand {
            Value::Optional(None) => false,
            Value::Optional(Some(inner)) => self.present(inner, name)?,
            Value::Map(map) => map.get(&Value::text(name)).is_some(),
            Value::Object(data, decl) => {
                let there = decl.field(name).and_then(|field| data.get(field.property()));
                there.is_some_and(|value| !value.is_null())
            }
            Value::Made(made) => made.field(name).is_some(),
            _ => false,
        })
    }

    /// An element of a list or of a map, optionally.
    pub(super) fn index(&mut self, call: &'a Call) -> Eval<'a> {
        let [operand, index] = &call.args[..] else { return Err(EvalError::no_such_overload()) };
        let operand = self.operand(operand)?;
        if matches!(operand, Value::Optional(None)) {
            return Ok(operand);
        }
        let index = self.operand(index)?;
        let asks = &*call.function != "_[_]";
        let (inner, optional_operand) = match &operand {
            Value::Optional(Some(inner)) => (&**inner, true),
            other => (other, false),
        };
        let found = if &*call.function == "_?._" {
            match &index {
                Value::String(name) => field(inner, name),
                _ => Err(EvalError::no_such_overload()),
            }
        } else {
            element(inner, &index)
        };
        if !asks && !optional_operand {
            self.meter.charge(1)?;
            return found;
        }
        let found = optional(found)?;
        if matches!(found, Value::Optional(Some(_))) {
            self.meter.charge(1)?;
        }
        Ok(found)
    }
}

pub(super) fn no_such_key<'a>(key: &Value<'_>) -> Eval<'a> {
    Err(EvalError::failed(format!("no such key: {}", functions::shown(key))))
}

/// A field of an object, or the entry of a map under a text.
pub(super) fn field<'a>(operand: &Value<'a>, name: &str) -> Eval<'a> {
    match operand {
        Value::Map(map) => map.get(&Value::text(name)).unwrap_or_else(|| no_such_key(&Value::text(name))),
        Value::Object(data, decl) => match decl.field(name) {
            Some(field) => match data.get(field.property()).filter(|value| !value.is_null()) {
                Some(json) => Value::of(json, field.decl()),
                None => no_such_key(&Value::text(name)),
            },
            None => no_such_key(&Value::text(name)),
        },
        Value::Made(made) => made.field(name).cloned().map_or_else(|| no_such_key(&Value::text(name)), Ok),
        _ => no_such_key(&Value::text(name)),
    }
}

fn element<'a>(operand: &Value<'a>, index: &Value<'a>) -> Eval<'a> {
    match operand {
        Value::List(list) => {
            let at = match index {
                Value::Int(at) => *at,
                Value::Uint(at) => i64::try_from(*at).unwrap_or(i64::MAX),
                Value::Double(at) if at.fract() == 0.0 && at.abs() < 9.2e18 => *at as i64,
                Value::Double(at) => {
                    return Err(EvalError::failed(format!(
                        "unsupported index value {} in list",
                        functions::double(*at)
                    )));
                }
                other => {
                    return Err(EvalError::failed(format!("unsupported index type '{}' in list", other.type_name())));
                }
            };
            let found = usize::try_from(at).ok().and_then(|at| list.get(at));
            found.unwrap_or_else(|| Err(EvalError::failed(format!("index out of bounds: {at}"))))
        }
        Value::Map(map) => map.get(index).unwrap_or_else(|| no_such_key(index)),
        Value::Object(..) | Value::Made(_) => match index {
            Value::String(name) => field(operand, name),
            other => no_such_key(other),
        },
        _ => no_such_key(index),
    }
}

/// What is there as an optional; what is not there as none.
fn optional(found: Eval<'_>) -> Eval<'_> {
    match found {
        Ok(Value::Optional(inner)) => Ok(Value::Optional(inner)),
        Ok(value) => Ok(Value::some(value)),
        Err(EvalError::Failed(text)) if text.starts_with("no such key") || text.starts_with("index out of bounds") => {
            Ok(Value::Optional(None))
        }
        Err(other) => Err(other),
    }
}
