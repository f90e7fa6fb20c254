//! Which type may stand for which, and what parameters become.

use crate::limits::TYPE_STEPS_MAX;
use crate::types::Type;
use std::collections::HashMap;
use std::sync::Arc;

/// What parameters stand for.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    found: HashMap<Arc<str>, Type>,
    /// What was put in, to be taken back.
    log: Vec<(Arc<str>, Option<Type>)>,
    steps: usize,
}

impl Mapping {
    /// Whether more was looked at than one expression may ask for.
    pub(crate) fn exhausted(&self) -> bool {
        self.steps > TYPE_STEPS_MAX
    }

    fn set(&mut self, param: &Arc<str>, ty: Type) {
        let before = self.found.insert(param.clone(), ty);
        self.log.push((param.clone(), before));
    }

    /// Whether each of `wanted` takes the one of `given`; what was found out is kept only if all do.
    pub(crate) fn assignable(&mut self, given: &[Type], wanted: &[Type]) -> bool {
        self.log.clear();
        let fits = given.len() == wanted.len() && given.iter().zip(wanted).all(|(a, b)| self.takes(a, b));
        if !fits {
            while let Some((param, before)) = self.log.pop() {
                match before {
                    Some(ty) => self.found.insert(param, ty),
                    None => self.found.remove(&param),
                };
            }
        }
        fits
    }

    fn takes(&mut self, a: &Type, b: &Type) -> bool {
        self.steps += 1;
        if self.exhausted() {
            return false;
        }
        if let Type::Param(param) = b {
            match self.substitutes(a, b, param) {
                Fit::Yes => return true,
                Fit::Taken => return false,
                Fit::No => {}
            }
        }
        if let Type::Param(param) = a {
            return matches!(self.substitutes(b, a, param), Fit::Yes);
        }
        match (a, b) {
            (Type::Dyn | Type::Any | Type::Error, _) | (_, Type::Dyn | Type::Any | Type::Error) => true,
            (Type::Null, other) | (other, Type::Null) => other.takes_null(),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.takes(a, b),
            (Type::Map(k, v), Type::Map(l, w)) => self.takes(k, l) && self.takes(v, w),
            _ => a == b,
        }
    }

    /// Whether `ty` may stand for `param`.
    fn substitutes(&mut self, ty: &Type, whole: &Type, param: &Arc<str>) -> Fit {
        if ty == whole {
            return Fit::Yes;
        }
        if let Some(known) = self.found.get(param).cloned() {
            if *ty == known {
                return Fit::Yes;
            }
            if !self.takes(ty, &known) {
                return Fit::Taken;
            }
            let general = most_general(ty, &known);
            if !self.occurs(param, &general) {
                self.set(param, general);
            }
            return Fit::Yes;
        }
        if self.occurs(param, ty) {
            return Fit::No;
        }
        self.set(param, ty.clone());
        Fit::Yes
    }

    /// Whether a type holds the parameter, in how many steps so ever.
    fn occurs(&mut self, param: &Arc<str>, ty: &Type) -> bool {
        self.steps += 1;
        if self.exhausted() {
            return true;
        }
        match ty {
            Type::Param(other) if other == param => true,
            Type::Param(other) => match self.found.get(other).cloned() {
                Some(known) => self.occurs(param, &known),
                None => false,
            },
            Type::List(inner) | Type::Optional(inner) | Type::Type(inner) => self.occurs(param, inner),
            Type::Map(key, value) => self.occurs(param, key) || self.occurs(param, value),
            _ => false,
        }
    }

    /// The type with what is known put in; `open` for the parameters of which nothing is.
    pub(crate) fn resolve(&mut self, ty: &Type, open: Open) -> Type {
        self.steps += 1;
        if self.exhausted() {
            return Type::Dyn;
        }
        match ty {
            Type::Param(param) => match (self.found.get(param).cloned(), open) {
                (Some(known), _) => self.resolve(&known, open),
                (None, Open::Keep) => ty.clone(),
                (None, Open::Dyn) => Type::Dyn,
            },
            Type::List(inner) => Type::List(self.resolve(inner, open).into()),
            Type::Optional(inner) => Type::Optional(self.resolve(inner, open).into()),
            Type::Type(inner) => Type::Type(self.resolve(inner, open).into()),
            Type::Map(key, value) => Type::Map(self.resolve(key, open).into(), self.resolve(value, open).into()),
            other => other.clone(),
        }
    }
}

/// What becomes of parameters that stand for nothing yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Open {
    Keep,
    Dyn,
}

enum Fit {
    Yes,
    No,
    /// The parameter stands for another type already.
    Taken,
}

/// The one of two types that takes both.
pub(crate) fn most_general(a: &Type, b: &Type) -> Type {
    if less_specific(a, b) { a.clone() } else { b.clone() }
}

fn less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Any | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Any | Type::Param(_)) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => less_specific(a, b),
        (Type::Map(k, v), Type::Map(l, w)) => less_specific(k, l) && less_specific(v, w),
        (Type::Type(_), Type::Type(_)) => true,
        _ => a == b,
    }
}
