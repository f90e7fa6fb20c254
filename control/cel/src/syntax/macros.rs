//! The macros: `has`, the quantifiers, `map` and `filter`, those with two variables, `optMap`, `optFlatMap`, `sortBy`, and
//! `cel.bind` where the environment has it.

use super::ast::{ACCUMULATOR, Call, Element, Expr, Fold, Id, Kind, Literal, Select, Test};
use super::builder::{Builder, Macros, Stop};
use std::sync::Arc;

/// The call, or what the macro of its name makes of it.
pub(super) fn expand(parser: &mut Builder, at: usize, call: Call) -> Result<Expr, Stop> {
    let Call { function, target, mut args } = call;
    let mut make = Maker { parser, at };
    let Some(target) = target else {
        if &*function == "has" && args.len() == 1 {
            return Ok(make.has(args.remove(0)));
        }
        return Ok(make.node(Kind::Call(Box::new(Call { function, target: None, args }))));
    };
    let made = match (&*function, args.len()) {
        ("all" | "exists" | "exists_one", 2) => make.quantifier(&function, target, args),
        ("all" | "exists" | "existsOne" | "exists_one", 3) => make.quantifier(&function, target, args),
        ("map", 2 | 3) => make.map(target, args, 1),
        ("filter", 2) => make.filter(target, args),
        ("transformList", 3 | 4) => make.map(target, args, 2),
        ("transformMap" | "transformMapEntry", 3 | 4) => make.transform(&function, target, args),
        ("optMap" | "optFlatMap", 2) => return make.opt_map(&function, target, args),
        ("sortBy", 2) => make.sort_by(target, args),
        ("bind", 3) if make.has_bindings(&target) => make.named(args),
        _ => return Ok(make.node(Kind::Call(Box::new(Call { function, target: Some(target), args })))),
    };
    Ok(made.unwrap_or_else(|(id, message)| make.parser.tell(id, message)))
}

/// Where a macro is wrongly written, and how.
type Wrong = (Id, String);

/// Makes nodes at the place of the call that is expanded.
struct Maker<'p> {
    parser: &'p mut Builder,
    at: usize,
}

impl Maker<'_> {
    fn node(&mut self, kind: Kind) -> Expr {
        self.parser.node(self.at, kind)
    }

    fn literal(&mut self, value: Literal) -> Expr {
        self.node(Kind::Literal(value))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.into()))
    }

    fn accu(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn call(&mut self, function: &str, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call(Box::new(Call { function: function.into(), target: None, args })))
    }

    fn member(&mut self, function: &str, target: Expr, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call(Box::new(Call { function: function.into(), target: Some(target), args })))
    }

    fn list(&mut self, elements: Vec<Expr>) -> Expr {
        let elements = elements.into_iter().map(|value| Element { value, optional: false }).collect();
        self.node(Kind::List(elements))
    }

    fn has(&mut self, arg: Expr) -> Expr {
        match arg.kind {
            Kind::Select(select) if select.test == Test::Value => {
                let Select { operand, field, .. } = *select;
                self.node(Kind::Select(Box::new(Select { operand, field, test: Test::Presence })))
            }
            _ => self.parser.tell(arg.id, "invalid argument to has() macro"),
        }
    }

    /// The names of the first `count` arguments.
    fn variables(
        &mut self,
        args: &mut Vec<Expr>,
        count: usize,
        wrong: &str,
    ) -> Result<(Arc<str>, Option<Arc<str>>), Wrong> {
        let mut names = Vec::with_capacity(count);
        for arg in args.drain(..count) {
            let name = arg.ident().filter(|name| count == 1 || !name.starts_with('.'));
            let name = name.ok_or((arg.id, wrong.to_owned()))?.clone();
            if &*name == ACCUMULATOR {
                return Err((arg.id, "iteration variable overwrites accumulator variable".into()));
            }
            if names.contains(&name) {
                return Err((arg.id, format!("duplicate variable name: {name}")));
            }
            names.push(name);
        }
        let second = if count == 2 { names.pop() } else { None };
        Ok((names.remove(0), second))
    }

    fn quantifier(&mut self, function: &str, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Wrong> {
        let count = args.len() - 1;
        let (iter, iter2) = self.variables(&mut args, count, "argument must be a simple name")?;
        let predicate = args.remove(0);
        let (init, condition, step, result) = match function {
            "all" => {
                let init = self.literal(Literal::Bool(true));
                let accu = self.accu();
                let condition = self.call("@not_strictly_false", vec![accu]);
                let accu = self.accu();
                let step = self.call("_&&_", vec![accu, predicate]);
                (init, condition, step, self.accu())
            }
            "exists" => {
                let init = self.literal(Literal::Bool(false));
                let accu = self.accu();
                let not = self.call("!_", vec![accu]);
                let condition = self.call("@not_strictly_false", vec![not]);
                let accu = self.accu();
                let step = self.call("_||_", vec![accu, predicate]);
                (init, condition, step, self.accu())
            }
            _ => {
                let init = self.literal(Literal::Int(0));
                let condition = self.literal(Literal::Bool(true));
                let (accu, one) = (self.accu(), self.literal(Literal::Int(1)));
                let more = self.call("_+_", vec![accu, one]);
                let accu = self.accu();
                let step = self.call("_?_:_", vec![predicate, more, accu]);
                let (accu, one) = (self.accu(), self.literal(Literal::Int(1)));
                (init, condition, step, self.call("_==_", vec![accu, one]))
            }
        };
        let fold = Fold { range: target, iter, iter2, accu: ACCUMULATOR.into(), init, condition, step, result };
        Ok(self.node(Kind::Fold(Box::new(fold))))
    }

    /// A fold that collects; `step` is what becomes of the accumulator, where `filter` holds.
    fn collect(
        &mut self,
        target: Expr,
        (iter, iter2): (Arc<str>, Option<Arc<str>>),
        init: Expr,
        step: Expr,
        filter: Option<Expr>,
    ) -> Expr {
        let condition = self.literal(Literal::Bool(true));
        let step = match filter {
            Some(filter) => {
                let accu = self.accu();
                self.call("_?_:_", vec![filter, step, accu])
            }
            None => step,
        };
        let result = self.accu();
        let fold = Fold { range: target, iter, iter2, accu: ACCUMULATOR.into(), init, condition, step, result };
        self.node(Kind::Fold(Box::new(fold)))
    }

    fn map(&mut self, target: Expr, mut args: Vec<Expr>, count: usize) -> Result<Expr, Wrong> {
        let wrong = if count == 1 { "argument is not an identifier" } else { "argument must be a simple name" };
        let names = self.variables(&mut args, count, wrong)?;
        let filter = if args.len() == 2 { Some(args.remove(0)) } else { None };
        let init = self.list(Vec::new());
        let accu = self.accu();
        let more = self.list(args);
        let step = self.call("_+_", vec![accu, more]);
        Ok(self.collect(target, names, init, step, filter))
    }

    fn filter(&mut self, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Wrong> {
        let variable = args[0].clone();
        let names = self.variables(&mut args, 1, "argument is not an identifier")?;
        let init = self.list(Vec::new());
        let accu = self.accu();
        let more = self.list(vec![variable]);
        let step = self.call("_+_", vec![accu, more]);
        let filter = args.pop();
        Ok(self.collect(target, names, init, step, filter))
    }

    fn transform(&mut self, function: &str, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Wrong> {
        let names = self.variables(&mut args, 2, "argument must be a simple name")?;
        let filter = if args.len() == 2 { Some(args.remove(0)) } else { None };
        let init = self.node(Kind::Map(Vec::new()));
        let mut inserted = vec![self.accu()];
        if function == "transformMap" {
            inserted.push(self.ident(&names.0));
        }
        inserted.append(&mut args);
        let step = self.call("cel.@mapInsert", inserted);
        Ok(self.collect(target, names, init, step, filter))
    }

    /// A fold that gives a value a name.
    fn bind(&mut self, iter: &str, name: Arc<str>, value: Expr, result: Expr) -> Expr {
        let range = self.list(Vec::new());
        let condition = self.literal(Literal::Bool(false));
        let step = self.ident(&name);
        let fold = Fold { range, iter: iter.into(), iter2: None, accu: name, init: value, condition, step, result };
        self.node(Kind::Fold(Box::new(fold)))
    }

    /// Whether `bind` on the target is the macro.
    fn has_bindings(&self, target: &Expr) -> bool {
        self.parser.macros == Macros::Bindings && target.ident().is_some_and(|name| &**name == "cel")
    }

    fn named(&mut self, mut args: Vec<Expr>) -> Result<Expr, Wrong> {
        let wrong = || (args[0].id, "cel.bind() variable names must be simple identifiers".to_owned());
        let name = args[0].ident().ok_or_else(wrong)?.clone();
        let (result, value) = (args.remove(2), args.remove(1));
        Ok(self.bind("#unused", name, value, result))
    }

    fn opt_map(&mut self, function: &str, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Stop> {
        let Some(name) = args[0].ident().cloned() else {
            return Ok(self.parser.tell(args[0].id, format!("{function}() variable name must be a simple identifier")));
        };
        let copy = self.copy(&target)?;
        let there = self.member("hasValue", target, Vec::new());
        let value = self.member("value", copy, Vec::new());
        let bound = self.bind("#unused", name, value, args.remove(1));
        let some = if function == "optMap" { self.call("optional.of", vec![bound]) } else { bound };
        let none = self.call("optional.none", Vec::new());
        Ok(self.call("_?_:_", vec![there, some, none]))
    }

    fn sort_by(&mut self, target: Expr, args: Vec<Expr>) -> Result<Expr, Wrong> {
        const INPUT: &str = "@__sortBy_input__";
        if matches!(target.kind, Kind::Literal(_) | Kind::Map(_) | Kind::Struct(_)) {
            let wrong = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return Err((target.id, wrong.into()));
        }
        let input = self.ident(INPUT);
        let keys = self.map(input, args, 1)?;
        let input = self.ident(INPUT);
        let sorted = self.member("@sortByAssociatedKeys", input, vec![keys]);
        Ok(self.bind("#unused", INPUT.into(), target, sorted))
    }

    /// The same expression with numbers of its own.
    fn copy(&mut self, expr: &Expr) -> Result<Expr, Stop> {
        self.parser.room()?;
        let mut copied = expr.clone();
        let mut pending = vec![&mut copied];
        while let Some(one) = pending.pop() {
            let at = self.parser.place(one.id);
            one.id = self.parser.node(at, Kind::Broken).id;
            match &mut one.kind {
                Kind::Literal(_) | Kind::Ident(_) | Kind::Broken => {}
                Kind::Select(select) => pending.push(&mut select.operand),
                Kind::Call(call) => {
                    pending.extend(&mut call.target);
                    pending.extend(&mut call.args);
                }
                Kind::List(all) => pending.extend(all.iter_mut().map(|one| &mut one.value)),
                Kind::Map(all) => pending.extend(all.iter_mut().flat_map(|one| [&mut one.key, &mut one.value])),
                Kind::Struct(message) => pending.extend(message.fields.iter_mut().map(|one| &mut one.value)),
                Kind::Fold(fold) => {
                    let Fold { range, init, condition, step, result, .. } = &mut **fold;
                    pending.extend([range, init, condition, step, result]);
                }
            }
        }
        Ok(copied)
    }
}
