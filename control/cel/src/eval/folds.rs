//! Folds: what macros become, turn by turn.

use super::paths::field;
use super::{Eval, Evaluator, Local};
use crate::error::EvalError;
use crate::functions;
use crate::syntax::ast::{Expr, Fold, Kind};
use crate::value::{Key, List, Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

impl<'a> Evaluator<'a> {
    pub(super) fn fold(&mut self, fold: &'a Fold) -> Eval<'a> {
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
