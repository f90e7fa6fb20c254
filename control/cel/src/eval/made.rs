//! What an expression makes: lists, maps and objects.

use super::constants::constant;
use super::{Eval, Evaluator};
use crate::cost;
use crate::error::EvalError;
use crate::functions;
use crate::syntax::ast::{Element, Entry, Expr, Member, Message};
use crate::types::Type;
use crate::value::{Made, Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

impl<'a> Evaluator<'a> {
    /// A part of what is made: where it fails, what would be made of it is charged all the same.
    fn part(&mut self, expr: &'a Expr, whole: u64) -> Eval<'a> {
        let value = self.eval(expr);
        if value.is_err() {
            self.meter.charge(whole)?;
        }
        value
    }

    pub(super) fn list(&mut self, elements: &'a [Element]) -> Eval<'a> {
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

    pub(super) fn map(&mut self, entries: &'a [Entry]) -> Eval<'a> {
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
    pub(super) fn message(&mut self, expr: &'a Expr, message: &'a Message) -> Eval<'a> {
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
}
