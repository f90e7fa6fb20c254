//! Calls: operators, functions, and those whose arguments are not all looked at.

use super::constants::{constant, is_never_in};
use super::paths::root_cost;
use super::{Eval, Evaluator};
use crate::authorizer::Authorization;
use crate::compare::equal;
use crate::cost;
use crate::error::EvalError;
use crate::functions;
use crate::inputs::Inputs;
use crate::syntax::ast::{Call, Expr, Kind};
use crate::value::{Library, List, Value};
use std::sync::Arc;

/// The answer to a `check`, or the question that is open.
fn decide<'a>(inputs: &Inputs<'a>, state: &Value<'a>, verb: &Value<'a>) -> Eval<'a> {
    let (Value::Library(Library::Authorization(state)), Value::String(verb)) = (state, verb) else {
        return Err(EvalError::no_such_overload());
    };
    let question = functions::question(state, verb)?;
    match inputs.decision(&question) {
        Some(decision) => {
            Ok(Value::Library(Library::Authorization(Arc::new(Authorization::Decision(decision.clone())))))
        }
        None => Err(EvalError::NeedsDecision(Box::new(question))),
    }
}

/// Whether a call is made anew for its constant list or pattern, and so does not count where its other argument fails.
fn specialized(call: &Call) -> bool {
    match (&*call.function, call.args.last()) {
        ("@in", Some(list)) => constant(list),
        ("matches" | "find" | "findAll", Some(pattern)) => matches!(pattern.kind, Kind::Literal(_)),
        _ => false,
    }
}

impl<'a> Evaluator<'a> {
    pub(super) fn conditional(&mut self, call: &'a Call) -> Eval<'a> {
        let [condition, yes, no] = &call.args[..] else { return Err(EvalError::no_such_overload()) };
        match self.eval(condition)? {
            Value::Bool(true) => self.operand(yes),
            Value::Bool(false) => self.operand(no),
            _ => Err(EvalError::no_such_overload()),
        }
    }

    pub(super) fn call(&mut self, expr: &'a Expr, call: &'a Call) -> Eval<'a> {
        match &*call.function {
            "_&&_" | "_||_" => return self.logical(call),
            "_?_:_" => return self.conditional(call),
            "_[_]" | "_[?_]" | "_?._" => {
                let value = self.index(call);
                self.meter.charge(root_cost(expr))?;
                return value;
            }
            "@not_strictly_false" => {
                let value = self.eval(&call.args[0]);
                self.meter.charge(1)?;
                return match value {
                    Ok(value) => Ok(Value::Bool(!matches!(value, Value::Bool(false)))),
                    Err(EvalError::Failed(_)) => Ok(Value::Bool(true)),
                    Err(other) => Err(other),
                };
            }
            _ => {}
        }
        if matches!(&*call.function, "or" | "orValue") {
            return self.alternative(call);
        }
        if is_never_in(call) {
            // What is looked for is not evaluated.
            return Ok(Value::Bool(false));
        }
        let args = self.arguments(expr, call)?;
        let overload = match &self.checked.overloads[expr.id][..] {
            [only] => only.id,
            _ => "",
        };
        if constant(expr) {
            return self.apply(call, overload, &args);
        }
        if overload == "in_list" && constant(&call.args[1]) && scalars(&args[1]) {
            return contains(&args[1], &args[0]).map(Value::Bool);
        }
        let value = self.apply(call, overload, &args);
        self.meter.charge(cost::of_call(&call.function, overload, &args, value.as_ref().ok()))?;
        value
    }

    /// The one of two that is there; the second is only looked at where the first is not.
    fn alternative(&mut self, call: &'a Call) -> Eval<'a> {
        let (Some(target), [other]) = (&call.target, &call.args[..]) else { return Err(EvalError::no_such_overload()) };
        match (self.eval(target)?, &*call.function) {
            (Value::Optional(Some(inner)), "orValue") => Ok((*inner).clone()),
            (Value::Optional(Some(inner)), _) => Ok(Value::Optional(Some(inner))),
            (Value::Optional(None), _) => self.eval(other),
            _ => Err(EvalError::no_such_overload()),
        }
    }

    /// The values of the arguments. Where one fails the call counts all the same, as in cel-go.
    fn arguments(&mut self, expr: &Expr, call: &'a Call) -> Result<Vec<Value<'a>>, EvalError> {
        let (mut args, mut failed, count) = (Vec::with_capacity(3), None, call.operands().count());
        for (at, arg) in call.operands().enumerate() {
            match self.eval(arg) {
                Ok(value) => args.push(value),
                Err(EvalError::Failed(text)) if count <= 2 || at + 1 == count => {
                    failed = failed.or(Some(EvalError::Failed(text)));
                    args.push(Value::Null);
                }
                Err(other) => return Err(other),
            }
        }
        let Some(failed) = failed else { return Ok(args) };
        if specialized(call) {
            return Err(failed);
        }
        let overload = match &self.checked.overloads[expr.id][..] {
            [only] => only.id,
            _ => "",
        };
        self.meter.charge(cost::of_call(&call.function, overload, &args, None))?;
        Err(failed)
    }

    fn apply(&mut self, call: &'a Call, overload: &str, args: &[Value<'a>]) -> Eval<'a> {
        let weight: usize = args.iter().map(Value::weight).sum();
        self.meter.work(weight)?;
        match &*call.function {
            "_==_" => equal(&args[0], &args[1]).map(Value::Bool),
            "_!=_" => equal(&args[0], &args[1]).map(|same| Value::Bool(!same)),
            "@in" => contains(&args[1], &args[0]).map(Value::Bool),
            "check" => decide(self.inputs, &args[0], &args[1]),
            name => functions::call(name, overload, args, &mut self.meter),
        }
    }

    /// `&&` and `||`: an answer that is certain stands, whatever else fails.
    fn logical(&mut self, call: &'a Call) -> Eval<'a> {
        let decides = &*call.function == "_||_";
        let mut failed = None;
        for arg in &call.args {
            match self.eval(arg) {
                Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failed = failed.or(Some(EvalError::no_such_overload())),
                Err(EvalError::Failed(text)) => failed = failed.or(Some(EvalError::Failed(text))),
                Err(other) => return Err(other),
            }
        }
        failed.map_or(Ok(Value::Bool(!decides)), Err)
    }
}

/// Whether a list holds only what a set of cel-go can hold.
fn scalars(list: &Value<'_>) -> bool {
    let Value::List(List::Made(all)) = list else { return false };
    all.iter().all(|one| {
        matches!(
            one,
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_) | Value::Null
        )
    })
}

fn contains<'a>(container: &Value<'a>, value: &Value<'a>) -> Result<bool, EvalError> {
    match container {
        Value::List(list) => {
            for one in list.iter() {
                if equal(&one?, value)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => Ok(map.get(value).is_some()),
        Value::Object(data, decl) => match value {
            Value::String(name) => Ok(decl.field(name).is_some_and(|field| data.contains_key(field.property()))),
            _ => Ok(false),
        },
        _ => Err(EvalError::no_such_overload()),
    }
}
