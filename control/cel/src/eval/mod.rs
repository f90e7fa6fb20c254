//! The evaluator: walks the checked tree, counts cost as cel-go's tracker does, and ends at the limit.

mod calls;
mod constants;
mod folds;
mod made;
mod paths;

pub(crate) use constants::{constant, literal};

use crate::check::Checked;
use crate::compiled::Compiled;
use crate::error::EvalError;
use crate::functions;
use crate::inputs::Inputs;
use crate::limits::PER_CALL_COST_MAX;
use crate::meter::Meter;
use crate::syntax::ast::{Expr, Kind, Test};
use crate::types::Type;
use crate::value::Value;
use paths::{no_such_key, root_cost};

type Eval<'a> = Result<Value<'a>, EvalError>;

/// A name that a fold binds.
struct Local<'a> {
    name: &'a str,
    /// Found when it is first asked for, where `init` says how.
    value: Option<Value<'a>>,
    init: Option<(&'a Expr, usize)>,
}

/// One evaluation.
pub(crate) struct Evaluator<'a> {
    checked: &'a Checked,
    inputs: &'a Inputs<'a>,
    locals: Vec<Local<'a>>,
    meter: Meter,
}

/// The value of a program, and what it cost.
pub(crate) fn run<'a>(program: &'a Compiled, inputs: &'a Inputs<'a>, limit: u64) -> (Eval<'a>, u64) {
    let mut evaluator = Evaluator { checked: &program.checked, inputs, locals: Vec::new(), meter: Meter::new(limit) };
    let value = evaluator.eval(&program.parsed.root);
    (value, evaluator.meter.cost)
}

/// The value of an expression that is evaluated when it is first asked for.
fn lazy<'a>(inputs: &'a Inputs<'a>, name: &str) -> Eval<'a> {
    let Some((name, program)) = inputs.lazy_program(name) else { return no_such_key(&Value::text(name)) };
    if let Some(known) = inputs.lazy_value(name) {
        return known;
    }
    let (value, cost) = run(program, inputs, PER_CALL_COST_MAX);
    let value = value.map_err(|error| match error {
        EvalError::Failed(text) => EvalError::Failed(format!(
            "composited variable \"{}\" fails to evaluate: {text}",
            name.trim_start_matches("variables.")
        )),
        other => other,
    });
    inputs.keep_lazy(name, value.clone(), cost);
    value
}

impl<'a> Evaluator<'a> {
    fn eval(&mut self, expr: &'a Expr) -> Eval<'a> {
        match &expr.kind {
            Kind::Literal(value) => Ok(literal(value)),
            Kind::Ident(name) => self.ident(expr, name),
            Kind::Select(select) => {
                let value = self.path(expr);
                if select.test == Test::Value {
                    self.meter.charge(root_cost(expr))?;
                }
                value
            }
            Kind::Call(call) => self.call(expr, call),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Fold(fold) => self.fold(fold),
            Kind::Struct(message) => self.message(expr, message),
            Kind::Broken => Err(EvalError::failed("unknown type")),
        }
    }

    fn ident(&mut self, expr: &'a Expr, name: &'a str) -> Eval<'a> {
        let known = self.locals.iter().any(|local| local.name == name) || self.inputs.has(name);
        if !known && let Type::Type(inner) = &self.checked.types[expr.id] {
            return Ok(Value::Type(functions::type_name(inner).into()));
        }
        let value = self.variable(name);
        self.meter.charge(1)?;
        value
    }

    fn variable(&mut self, name: &'a str) -> Eval<'a> {
        let Some(at) = self.locals.iter().rposition(|local| local.name == name) else {
            if self.inputs.lazy_program(name).is_some() {
                // It is written as a field of an object.
                self.meter.charge(1)?;
                return lazy(self.inputs, name);
            }
            return self.inputs.get(name).ok_or_else(|| EvalError::failed(format!("no such attribute(s): {name}")));
        };
        if let Some(value) = &self.locals[at].value {
            return Ok(value.clone());
        }
        let Some((init, depth)) = self.locals[at].init else {
            return Err(EvalError::failed(format!("no such attribute(s): {name}")));
        };
        let inner = self.locals.split_off(depth);
        let value = self.eval(init);
        self.locals.extend(inner);
        let value = value?;
        self.locals[at].value = Some(value.clone());
        Ok(value)
    }
}
