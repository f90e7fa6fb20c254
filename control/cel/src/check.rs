//! The checker: gives each node its type and each call its overloads, or tells what does not fit.

use crate::declarations::Overload;
use crate::environment::Environment;
use crate::error::Issues;
use crate::syntax::Parsed;
use crate::syntax::ast::{Call, Expr, Fold, Id, Kind, Literal, Message, Select, Test};
use crate::types::Type;
use crate::unify::{Mapping, Open, most_general};
use std::sync::Arc;

/// What the checker found, by the numbers of nodes.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) types: Vec<Type>,
    /// The overloads that a call may be of.
    pub(crate) overloads: Vec<Vec<&'static Overload>>,
    /// The variables of the environment that are used.
    pub(crate) used: Vec<Arc<str>>,
}

/// Checks a tree; dotted names of variables and functions become plain ones in it.
pub(crate) fn check(text: &str, parsed: &mut Parsed, environment: &Environment) -> Result<Checked, Issues> {
    let count = parsed.len();
    let mut root = std::mem::replace(&mut parsed.root, Expr { id: 0, kind: Kind::Broken });
    let checked = Checked { types: vec![Type::Dyn; count], overloads: vec![Vec::new(); count], used: Vec::new() };
    let mut checker = Checker {
        environment,
        scopes: Vec::new(),
        mapping: Mapping::default(),
        fresh: 0,
        checked,
        problems: Vec::new(),
    };
    checker.expr(&mut root);
    if checker.mapping.exhausted() {
        checker.problems = vec![(root.id, "the types of the expression are too complex".into())];
    }
    let Checker { mut mapping, mut checked, problems, .. } = checker;
    if !problems.is_empty() {
        return Err(parsed.issues(text, problems));
    }
    for ty in &mut checked.types {
        *ty = mapping.resolve(ty, Open::Dyn);
    }
    if mapping.exhausted() {
        return Err(parsed.issues(text, vec![(root.id, "the types of the expression are too complex".into())]));
    }
    parsed.root = root;
    Ok(checked)
}

struct Checker<'v> {
    environment: &'v Environment,
    scopes: Vec<(Arc<str>, Type)>,
    mapping: Mapping,
    fresh: usize,
    checked: Checked,
    problems: Vec<(Id, String)>,
}

impl Checker<'_> {
    fn tell(&mut self, id: Id, message: String) {
        self.problems.push((id, message));
    }

    fn ty(&self, expr: &Expr) -> Type {
        self.checked.types[expr.id].clone()
    }

    fn current(&mut self, expr: &Expr) -> Type {
        let ty = self.ty(expr);
        self.mapping.resolve(&ty, Open::Keep)
    }

    fn set(&mut self, id: Id, ty: Type) {
        self.checked.types[id] = ty;
    }

    fn new_param(&mut self) -> Type {
        self.fresh += 1;
        Type::Param(format!("_var{}", self.fresh - 1).into())
    }

    fn fits(&mut self, wanted: &Type, given: &Type) -> bool {
        self.mapping.assignable(std::slice::from_ref(wanted), std::slice::from_ref(given))
    }

    /// The type of a name: of a fold's variable, of the environment's, or of a type.
    fn lookup(&mut self, name: &str) -> Option<Type> {
        let plain = name.strip_prefix('.');
        if plain.is_none()
            && let Some((_, ty)) = self.scopes.iter().rev().find(|(known, _)| &**known == name)
        {
            return Some(ty.clone());
        }
        let name = plain.unwrap_or(name);
        if let Some((known, ty)) = self.environment.variable(name) {
            if !self.checked.used.contains(known) {
                self.checked.used.push(known.clone());
            }
            return Some(ty.clone());
        }
        self.environment.type_named(name).map(|ty| Type::Type(ty.into()))
    }

    fn expr(&mut self, expr: &mut Expr) {
        let id = expr.id;
        match &mut expr.kind {
            Kind::Literal(value) => {
                let ty = match value {
                    Literal::Null => Type::Null,
                    Literal::Bool(_) => Type::Bool,
                    Literal::Int(_) => Type::Int,
                    Literal::Uint(_) => Type::Uint,
                    Literal::Double(_) => Type::Double,
                    Literal::String(_) => Type::String,
                    Literal::Bytes(_) => Type::Bytes,
                };
                self.set(id, ty);
            }
            Kind::Ident(name) => match self.lookup(name) {
                Some(ty) => {
                    if let Some(plain) = name.strip_prefix('.') {
                        *name = plain.into();
                    }
                    self.set(id, ty);
                }
                None => self.undeclared(id, &name.clone()),
            },
            Kind::Select(_) => self.select(expr),
            Kind::Call(_) => self.call(expr),
            Kind::List(_) => self.list(expr),
            Kind::Map(_) => self.map(expr),
            Kind::Struct(message) => self.message(id, message),
            Kind::Fold(fold) => self.fold(id, fold),
            Kind::Broken => self.set(id, Type::Error),
        }
    }

    fn undeclared(&mut self, id: Id, name: &str) {
        self.set(id, Type::Error);
        self.tell(id, format!("undeclared reference to '{name}' (in container '')"));
    }

    fn select(&mut self, expr: &mut Expr) {
        if let Some(name) = expr.qualified_name() {
            let shadowed =
                name.split('.').next().is_some_and(|first| self.scopes.iter().any(|(known, _)| &**known == first));
            if !shadowed && let Some(ty) = self.lookup(&name) {
                expr.kind = Kind::Ident(name.trim_start_matches('.').into());
                return self.set(expr.id, ty);
            }
        }
        let Kind::Select(select) = &mut expr.kind else { return };
        let Select { operand, field, test } = &mut **select;
        self.expr(operand);
        let found = self.field(expr.id, operand, field);
        let ty = if *test == Test::Presence { Type::Bool } else { found };
        let ty = self.mapping.resolve(&ty, Open::Keep);
        self.set(expr.id, ty);
    }

    /// The type of a field of what `operand` is.
    fn field(&mut self, id: Id, operand: &Expr, field: &str) -> Type {
        let whole = self.current(operand);
        let (target, optional) = match &whole {
            Type::Optional(inner) => ((**inner).clone(), true),
            other => (other.clone(), false),
        };
        let found = match &target {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(decl) => match decl.field_type(field) {
                Some(found) => found,
                None => {
                    self.tell(id, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            Type::Library(name) => {
                let opaque = matches!(&**name, "net.IP" | "net.CIDR");
                self.tell(
                    id,
                    match opaque {
                        true => format!("type '{name}' does not support field selection"),
                        false => format!("unexpected failed resolution of '{name}'"),
                    },
                );
                if opaque { Type::Dyn } else { Type::Error }
            }
            Type::Param(_) => {
                self.fits(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Any | Type::Error => Type::Dyn,
            other => {
                self.tell(id, format!("type '{other}' does not support field selection"));
                Type::Dyn
            }
        };
        if optional { Type::optional(found) } else { found }
    }

    fn call(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Call(call) = &mut expr.kind else { return };
        if &*call.function == "_?._" {
            return self.optional_select(id, call);
        }
        for arg in &mut call.args {
            self.expr(arg);
        }
        let Some(target) = &mut call.target else {
            let name: Arc<str> = call.function.strip_prefix('.').map_or_else(|| call.function.clone(), Arc::from);
            return match self.environment.overloads(&name) {
                Some(all) => {
                    call.function = name;
                    self.resolve(id, call, all);
                }
                None => self.undeclared(id, &call.function.clone()),
            };
        };
        let qualified = target.qualified_name().map(|prefix| format!("{prefix}.{}", call.function));
        let qualified = qualified.map(|name| name.trim_start_matches('.').to_owned());
        if let Some((name, all)) = qualified.and_then(|name| self.environment.overloads(&name).map(|all| (name, all))) {
            call.function = name.into();
            call.target = None;
            return self.resolve(id, call, all);
        }
        self.expr(target);
        match self.environment.overloads(&call.function) {
            Some(all) => self.resolve(id, call, all),
            None => self.undeclared(id, &call.function.clone()),
        }
    }

    fn optional_select(&mut self, id: Id, call: &mut Call) {
        let [operand, field] = &mut call.args[..] else { return };
        let Kind::Literal(Literal::String(name)) = &field.kind else { return };
        let name = name.clone();
        self.set(field.id, Type::String);
        self.expr(operand);
        let found = match self.field(id, operand, &name) {
            Type::Optional(inner) => Type::Optional(inner),
            other => Type::optional(other),
        };
        let found = self.mapping.resolve(&found, Open::Keep);
        self.set(id, found);
        self.checked.overloads[id] = self.environment.overloads("_?._").into_iter().flatten().collect();
    }

    /// Finds the overloads that take the arguments.
    fn resolve(&mut self, id: Id, call: &Call, all: &'static [Overload]) {
        if matches!(&*call.function, "_&&_" | "_||_") {
            return self.logical(id, call, all);
        }
        let given: Vec<Type> = call.operands().map(|arg| self.ty(arg)).collect();
        let mut result: Option<Type> = None;
        let mut fitting = Vec::new();
        for overload in all.iter().filter(|one| one.member == call.target.is_some()) {
            let (args, returned) = self.instance(overload);
            if !self.mapping.assignable(&given, &args) {
                continue;
            }
            fitting.push(overload);
            let returned = self.mapping.resolve(&returned, Open::Keep);
            result = Some(match result {
                None => returned,
                Some(before) if before == Type::Dyn || before == returned => before,
                Some(_) => Type::Dyn,
            });
        }
        match result {
            Some(ty) => {
                self.set(id, ty);
                self.checked.overloads[id] = fitting;
            }
            None => self.no_overload(id, call, &given),
        }
    }

    fn no_overload(&mut self, id: Id, call: &Call, given: &[Type]) {
        let given: Vec<String> = given.iter().map(|ty| self.mapping.resolve(ty, Open::Dyn).to_string()).collect();
        let signature = match call.target {
            Some(_) => format!("{}.({})", given[0], given[1..].join(", ")),
            None => format!("({})", given.join(", ")),
        };
        self.set(id, Type::Error);
        let name = &call.function;
        self.tell(id, format!("found no matching overload for '{name}' applied to '{signature}'"));
    }

    fn logical(&mut self, id: Id, call: &Call, all: &'static [Overload]) {
        let mut fits = true;
        for arg in &call.args {
            let given = self.ty(arg);
            if !self.fits(&given, &Type::Bool) {
                let given = self.mapping.resolve(&given, Open::Keep);
                self.tell(arg.id, format!("expected type 'bool' but found '{given}'"));
                fits = false;
            }
        }
        self.set(id, if fits { Type::Bool } else { Type::Error });
        self.checked.overloads[id] = all.iter().collect();
    }

    /// The arguments and the result of an overload, with parameters of their own.
    fn instance(&mut self, overload: &Overload) -> (Vec<Type>, Type) {
        if !overload.generic {
            return (overload.args.clone(), overload.result.clone());
        }
        let suffix = self.fresh;
        self.fresh += 1;
        let args = overload.args.iter().map(|ty| renamed(ty, suffix)).collect();
        (args, renamed(&overload.result, suffix))
    }

    /// The type of an element that may be written with a `?`.
    fn element(&mut self, value: &Expr, optional: bool) -> Type {
        let ty = self.ty(value);
        if !optional {
            return ty;
        }
        match self.mapping.resolve(&ty, Open::Keep) {
            Type::Optional(inner) => (*inner).clone(),
            dynamic @ (Type::Dyn | Type::Any) => dynamic,
            other => {
                self.tell(value.id, format!("expected type 'optional_type({other})' but found '{other}'"));
                other
            }
        }
    }

    fn join(&mut self, before: Option<Type>, next: Type) -> Type {
        let Some(before) = before else { return next };
        if self.fits(&before, &next) { most_general(&before, &next) } else { Type::Dyn }
    }

    fn list(&mut self, expr: &mut Expr) {
        let Kind::List(elements) = &mut expr.kind else { return };
        let mut joined = None;
        for element in elements.iter_mut() {
            self.expr(&mut element.value);
            let ty = self.element(&element.value, element.optional);
            joined = Some(self.join(joined, ty));
        }
        let joined = joined.unwrap_or_else(|| self.new_param());
        self.set(expr.id, Type::list(joined));
    }

    fn map(&mut self, expr: &mut Expr) {
        let Kind::Map(entries) = &mut expr.kind else { return };
        let (mut keys, mut values) = (None, None);
        for entry in entries.iter_mut() {
            self.expr(&mut entry.key);
            let key = self.ty(&entry.key);
            keys = Some(self.join(keys, key));
            self.expr(&mut entry.value);
            let value = self.element(&entry.value, entry.optional);
            values = Some(self.join(values, value));
        }
        let (key, value) = match (keys, values) {
            (Some(key), Some(value)) => (key, value),
            _ => (self.new_param(), self.new_param()),
        };
        self.set(expr.id, Type::Map(key.into(), value.into()));
    }

    /// An object that is made: its name must be that of a type that has fields, and each field must take its value.
    fn message(&mut self, id: Id, message: &mut Message) {
        let decl = match self.lookup(&message.name) {
            None => return self.undeclared(id, &message.name.clone()),
            Some(Type::Type(ty)) => match &*ty {
                Type::Object(decl) => Some(decl.clone()),
                other => {
                    self.tell(id, format!("'{other}' is not a message type"));
                    None
                }
            },
            Some(other) => {
                self.tell(id, format!("'{other}' is not a type"));
                None
            }
        };
        self.set(id, decl.as_ref().map_or(Type::Error, |decl| Type::Object(decl.clone())));
        for member in &mut message.fields {
            self.expr(&mut member.value);
            let given = self.element(&member.value, member.optional);
            let Some(decl) = &decl else { continue };
            let Some(wanted) = decl.field_type(&member.name) else {
                self.tell(member.id, format!("undefined field '{}'", member.name));
                continue;
            };
            if !self.fits(&wanted, &given) {
                let given = self.mapping.resolve(&given, Open::Keep);
                let name = &member.name;
                let message = format!("expected type of field '{name}' is '{wanted}' but provided type is '{given}'");
                self.tell(member.id, message);
            }
        }
    }

    fn fold(&mut self, id: Id, fold: &mut Fold) {
        self.expr(&mut fold.range);
        self.expr(&mut fold.init);
        let range = self.current(&fold.range);
        let accu = self.ty(&fold.init);
        let (first, second) = match &range {
            Type::List(element) if fold.iter2.is_some() => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.fits(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.tell(fold.range.id, message);
                (Type::Error, Type::Error)
            }
        };
        let outer = self.scopes.len();
        self.scopes.push((fold.accu.clone(), accu.clone()));
        self.scopes.push((fold.iter.clone(), first));
        if let Some(name) = &fold.iter2 {
            self.scopes.push((name.clone(), second));
        }
        self.expr(&mut fold.condition);
        self.assert(&fold.condition, &Type::Bool);
        self.expr(&mut fold.step);
        self.assert(&fold.step, &accu);
        self.scopes.truncate(outer + 1);
        self.expr(&mut fold.result);
        self.scopes.truncate(outer);
        let ty = self.current(&fold.result);
        self.set(id, ty);
    }

    fn assert(&mut self, expr: &Expr, wanted: &Type) {
        let given = self.ty(expr);
        if !self.fits(wanted, &given) {
            self.tell(expr.id, format!("expected type '{wanted}' but found '{given}'"));
        }
    }
}

/// A type whose parameters have names of their own.
fn renamed(ty: &Type, suffix: usize) -> Type {
    match ty {
        Type::Param(name) => Type::Param(format!("{name}{suffix}").into()),
        Type::List(inner) => Type::List(renamed(inner, suffix).into()),
        Type::Optional(inner) => Type::Optional(renamed(inner, suffix).into()),
        Type::Type(inner) => Type::Type(renamed(inner, suffix).into()),
        Type::Map(key, value) => Type::Map(renamed(key, suffix).into(), renamed(value, suffix).into()),
        other => other.clone(),
    }
}
