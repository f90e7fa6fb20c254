//! The evaluator: walks the checked tree, counts cost as cel-go's tracker does, and ends at the limit.

use crate::authorizer::Authorization;
use crate::check::Checked;
use crate::compare::equal;
use crate::compiled::Compiled;
use crate::cost;
use crate::error::EvalError;
use crate::functions;
use crate::inputs::Inputs;
use crate::limits::PER_CALL_COST_MAX;
use crate::meter::Meter;
use crate::syntax::ast::{Call, Element, Entry, Expr, Fold, Kind, Literal, Member, Message, Select, Test};
use crate::types::Type;
use crate::value::{Key, Library, List, Made, Map, Text, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Whether an expression is a path from a variable, or a choice: such have no cost of their own as parts of others.
fn is_path(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Ident(_) | Kind::Select(_) => true,
        Kind::Call(call) => matches!(&*call.function, "_[_]" | "_[?_]" | "_?._" | "_?_:_"),
        _ => false,
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

/// What looking at the whole of a path costs: nothing where it begins with a choice.
fn root_cost(expr: &Expr) -> u64 {
    match &expr.kind {
        Kind::Select(select) => root_cost(&select.operand),
        Kind::Call(call) if &*call.function == "_?_:_" => 0,
        Kind::Call(call) if matches!(&*call.function, "_[_]" | "_[?_]" | "_?._") => root_cost(&call.args[0]),
        _ => 1,
    }
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

    /// The value of a path without the cost of looking at the whole of it.
    fn path(&mut self, expr: &'a Expr) -> Eval<'a> {
        match &expr.kind {
            Kind::Ident(name) => self.variable(name),
            Kind::Select(select) => self.select(select),
            Kind::Call(call) if &*call.function == "_?_:_" => self.conditional(call),
            Kind::Call(call) => self.index(call),
            _ => self.eval(expr),
        }
    }

    /// What a path goes on from.
    fn operand(&mut self, expr: &'a Expr) -> Eval<'a> {
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
    fn index(&mut self, call: &'a Call) -> Eval<'a> {
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

    fn conditional(&mut self, call: &'a Call) -> Eval<'a> {
        let [condition, yes, no] = &call.args[..] else { return Err(EvalError::no_such_overload()) };
        match self.eval(condition)? {
            Value::Bool(true) => self.operand(yes),
            Value::Bool(false) => self.operand(no),
            _ => Err(EvalError::no_such_overload()),
        }
    }

    fn call(&mut self, expr: &'a Expr, call: &'a Call) -> Eval<'a> {
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

    /// A part of what is made: where it fails, what would be made of it is charged all the same.
    fn part(&mut self, expr: &'a Expr, whole: u64) -> Eval<'a> {
        let value = self.eval(expr);
        if value.is_err() {
            self.meter.charge(whole)?;
        }
        value
    }

    fn list(&mut self, elements: &'a [Element]) -> Eval<'a> {
        let mut all = Vec::with_capacity(elements.len());
        for element in elements {
            match (self.part(&element.value, cost::LIST)?, element.optional) {
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(inner)), true) => all.push((*inner).clone()),
                (_, true) => {
                    return Err(EvalError::failed("cannot initialize optional list element from non-optional value"));
                }
                (value, false) => all.push(value),
            }
        }
        self.meter.elements(all.len())?;
        if !elements.iter().all(|one| constant(&one.value)) {
            self.meter.charge(cost::LIST)?;
        }
        Ok(Value::list(all))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Eval<'a> {
        let mut all = BTreeMap::new();
        for entry in entries {
            let key = self.part(&entry.key, cost::MAP)?.key()?;
            let value = match (self.part(&entry.value, cost::MAP)?, entry.optional) {
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(inner)), true) => (*inner).clone(),
                (_, true) => return Err(EvalError::failed("cannot initialize optional entry from non-optional value")),
                (value, false) => value,
            };
            all.insert(key, value);
        }
        self.meter.elements(2 * all.len())?;
        if !entries.iter().all(|one| constant(&one.key) && constant(&one.value)) {
            self.meter.charge(cost::MAP)?;
        }
        Ok(Value::Map(Map::Made(Arc::new(all))))
    }

    /// An object that the expression makes.
    fn message(&mut self, expr: &'a Expr, message: &'a Message) -> Eval<'a> {
        let Type::Object(decl) = &self.checked.types[expr.id] else { return Err(EvalError::failed("unknown type")) };
        let mut fields = BTreeMap::new();
        for Member { name, value, optional, .. } in &message.fields {
            match (self.part(value, cost::STRUCT)?, optional) {
                (value, false) => drop(fields.insert(name.clone(), value)),
                (Value::Optional(Some(inner)), true) => drop(fields.insert(name.clone(), (*inner).clone())),
                (Value::Optional(None), true) => drop(fields.remove(name)),
                (other, true) => {
                    let shown = functions::shown(&other);
                    let why = format!("cannot initialize optional entry '{name}' from non-optional value {shown}");
                    return Err(EvalError::failed(why));
                }
            }
        }
        self.meter.elements(2 * fields.len())?;
        self.meter.charge(cost::STRUCT)?;
        Ok(Value::Made(Arc::new(Made::new(decl.clone(), fields))))
    }

    fn fold(&mut self, fold: &'a Fold) -> Eval<'a> {
        let depth = self.locals.len();
        let value = self.fold_in(fold, depth);
        self.locals.truncate(depth);
        value
    }

    fn fold_in(&mut self, fold: &'a Fold, depth: usize) -> Eval<'a> {
        if fold.is_bind() {
            self.locals.push(Local { name: &fold.accu, value: None, init: Some((&fold.init, depth)) });
            return self.eval(&fold.result);
        }
        let range = self.eval(&fold.range)?;
        let count = match &range {
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            Value::Object(_, decl) => decl.identifiers().count(),
            other => return Err(EvalError::failed(format!("got '{}', expected iterable type", other.type_name()))),
        };
        let init = self.eval(&fold.init)?;
        self.locals.push(Local { name: &fold.accu, value: Some(init), init: None });
        let keys = match &range {
            Value::Map(map) => map.keys(),
            Value::Object(data, decl) => {
                let there = decl.identifiers().filter(|(_, field)| data.contains_key(field.property()));
                there.map(|(name, _)| Value::made(name.clone())).collect()
            }
            _ => Vec::new(),
        };
        self.meter.elements(keys.len())?;
        let count = if matches!(range, Value::List(_)) { count } else { keys.len() };
        for at in 0..count {
            self.locals.truncate(depth + 1);
            self.turn(fold, &range, &keys, at)?;
            let goes_on = self.eval(&fold.condition)?;
            if matches!(goes_on, Value::Bool(false)) {
                break;
            }
            let next = self.step(&fold.step, depth);
            self.locals[depth].value = Some(match next {
                Ok(value) => value,
                Err(EvalError::Failed(text)) => return self.failed(fold, depth, &range, &keys, at + 1, text),
                Err(other) => return Err(other),
            });
        }
        self.locals.truncate(depth + 1);
        self.eval(&fold.result)
    }

    /// Binds the variables of one turn.
    fn turn(&mut self, fold: &'a Fold, range: &Value<'a>, keys: &[Value<'a>], at: usize) -> Result<(), EvalError> {
        let first = match (range, &fold.iter2) {
            (Value::List(list), None) => list.get(at).unwrap_or_else(|| Err(EvalError::no_such_overload()))?,
            (Value::List(_), Some(_)) => Value::Int(at as i64),
            _ => keys[at].clone(),
        };
        if let Some(name) = &fold.iter2 {
            let second = match range {
                Value::List(list) => list.get(at).unwrap_or_else(|| Err(EvalError::no_such_overload()))?,
                Value::Map(map) => map.get(&first).unwrap_or_else(|| Err(EvalError::no_such_overload()))?,
                other => match &first {
                    Value::String(name) => field(other, name)?,
                    _ => return Err(EvalError::no_such_overload()),
                },
            };
            self.locals.push(Local { name, value: Some(second), init: None });
        }
        self.locals.push(Local { name: &fold.iter, value: Some(first), init: None });
        Ok(())
    }

    /// Goes on after a turn that failed: only `&&` and `||` can still give an answer.
    fn failed(
        &mut self,
        fold: &'a Fold,
        depth: usize,
        range: &Value<'a>,
        keys: &[Value<'a>],
        from: usize,
        text: String,
    ) -> Eval<'a> {
        let Kind::Call(step) = &fold.step.kind else { return Err(EvalError::Failed(text)) };
        let decides = match &*step.function {
            "_&&_" => false,
            "_||_" => true,
            _ => return self.failed_collection(fold, depth, range, keys, from, text),
        };
        let count = if let Value::List(list) = range { list.len() } else { keys.len() };
        for at in from..count {
            self.locals.truncate(depth + 1);
            self.turn(fold, range, keys, at)?;
            self.meter.charge(3)?;
            match self.eval(&step.args[1]) {
                Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
                Ok(_) | Err(EvalError::Failed(_)) => {}
                Err(other) => return Err(other),
            }
        }
        self.meter.charge(1)?;
        Err(EvalError::Failed(text))
    }

    /// Goes on after a turn of a collection that failed, for what it costs.
    fn failed_collection(
        &mut self,
        fold: &'a Fold,
        depth: usize,
        range: &Value<'a>,
        keys: &[Value<'a>],
        from: usize,
        text: String,
    ) -> Eval<'a> {
        let count = if let Value::List(list) = range { list.len() } else { keys.len() };
        for at in from..count {
            self.locals.truncate(depth + 1);
            self.turn(fold, range, keys, at)?;
            let mut step = &fold.step;
            if let Kind::Call(call) = &step.kind
                && &*call.function == "_?_:_"
            {
                match self.eval(&call.args[0]) {
                    Ok(Value::Bool(true)) => step = &call.args[1],
                    Ok(_) | Err(EvalError::Failed(_)) => continue,
                    Err(other) => return Err(other),
                }
            }
            let Kind::Call(call) = &step.kind else { continue };
            for arg in &call.args[1..] {
                match self.eval(arg) {
                    Ok(_) | Err(EvalError::Failed(_)) => {}
                    Err(other) => return Err(other),
                }
            }
            self.meter.charge(2)?;
        }
        self.meter.charge(1)?;
        Err(EvalError::Failed(text))
    }

    /// One step; what is added to a list or a map that is being made is put into it, not into a copy.
    fn step(&mut self, step: &'a Expr, accu: usize) -> Eval<'a> {
        let Kind::Call(call) = &step.kind else { return self.eval(step) };
        let is_accu = |expr: &Expr, locals: &[Local<'_>]| expr.ident().is_some_and(|name| **name == *locals[accu].name);
        match (&*call.function, &call.args[..]) {
            ("_?_:_", [condition, yes, no]) if is_accu(no, &self.locals) => match self.eval(condition)? {
                Value::Bool(true) => self.step(yes, accu),
                Value::Bool(false) => self.variable(self.locals[accu].name),
                _ => Err(EvalError::no_such_overload()),
            },
            ("_+_", [first, more]) if is_accu(first, &self.locals) && matches!(more.kind, Kind::List(_)) => {
                let more = self.eval(more);
                self.meter.charge(2)?;
                let Value::List(List::Made(more)) = more? else { return Err(EvalError::no_such_overload()) };
                match self.locals[accu].value.take() {
                    Some(Value::List(List::Made(mut all))) => {
                        Arc::make_mut(&mut all).extend(more.iter().cloned());
                        Ok(Value::List(List::Made(all)))
                    }
                    _ => Err(EvalError::no_such_overload()),
                }
            }
            ("cel.@mapInsert", [first, rest @ ..]) if is_accu(first, &self.locals) => self.insertion(rest, accu),
            _ => self.eval(step),
        }
    }

    fn insertion(&mut self, args: &'a [Expr], accu: usize) -> Eval<'a> {
        let mut values = Vec::with_capacity(2);
        for arg in args {
            values.push(self.eval(arg)?);
        }
        self.meter.charge(2)?;
        self.meter.elements(2)?;
        let Some(Value::Map(Map::Made(mut all))) = self.locals[accu].value.take() else {
            return Err(EvalError::no_such_overload());
        };
        let map = Arc::make_mut(&mut all);
        match &values[..] {
            [key, value] => insert(map, key.key()?, value.clone())?,
            [Value::Map(Map::Made(more))] => {
                for (key, value) in &**more {
                    insert(map, key.clone(), value.clone())?;
                }
            }
            _ => return Err(EvalError::no_such_overload()),
        }
        Ok(Value::Map(Map::Made(all)))
    }
}

fn insert<'a>(map: &mut BTreeMap<Key, Value<'a>>, key: Key, value: Value<'a>) -> Result<(), EvalError> {
    match map.entry(key) {
        std::collections::btree_map::Entry::Vacant(slot) => {
            slot.insert(value);
            Ok(())
        }
        std::collections::btree_map::Entry::Occupied(slot) => {
            let key = functions::shown(&slot.key().value());
            Err(EvalError::failed(format!("insert failed: key {key} already exists")))
        }
    }
}

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
fn is_never_in(call: &Call) -> bool {
    &*call.function == "@in" && matches!(&call.args[1].kind, Kind::List(all) if all.is_empty())
}

const CONVERSIONS: [&str; 10] =
    ["bool", "bytes", "double", "dyn", "duration", "int", "string", "timestamp", "type", "uint"];

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

fn no_such_key<'a>(key: &Value<'_>) -> Eval<'a> {
    Err(EvalError::failed(format!("no such key: {}", functions::shown(key))))
}

/// A field of an object, or the entry of a map under a text.
fn field<'a>(operand: &Value<'a>, name: &str) -> Eval<'a> {
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
