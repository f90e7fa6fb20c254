//! Compiled expressions.

use crate::check::{Checked, check};
use crate::compiled::Compiled;
use crate::decl::Decl;
use crate::environment::Environment;
use crate::error::{EvalError, Issues};
use crate::estimate::{Range, estimate};
use crate::eval::{constant, run};
use crate::formats;
use crate::inputs::Inputs;
use crate::limits::PER_CALL_COST_MAX;
use crate::syntax::ast::{Call, Expr, Kind, Literal};
use crate::syntax::parse;
use crate::types::Type;
use crate::value::Value;
use std::sync::Arc;

/// An expression that was parsed and checked.
#[derive(Debug)]
pub struct Program(Compiled);

impl Program {
    /// Parses and checks an expression.
    ///
    /// # Errors
    /// All that is wrong with it, as cel-go says it.
    pub fn compile(text: &str, environment: &Environment) -> Result<Self, Issues> {
        let mut parsed = parse(text, environment.macros())?;
        let checked = check(text, &mut parsed, environment)?;
        let mut problems = Vec::new();
        literals(&parsed.root, &checked, &mut problems);
        if !problems.is_empty() {
            return Err(parsed.issues(text, problems));
        }
        if let Err(error) = fold_constants(&parsed.root) {
            return Err(Issues::of_program(error.to_string()));
        }
        Ok(Self(Compiled { parsed, checked }))
    }

    /// The type of its value.
    pub fn ty(&self) -> &Type {
        &self.0.checked.types[self.0.parsed.root.id]
    }

    /// Whether it uses a variable of the environment.
    pub fn uses(&self, variable: &str) -> bool {
        self.0.checked.used.iter().any(|used| **used == *variable)
    }

    /// The most that it can cost over data of a declaration.
    pub fn estimate(&self, decl: Option<&Arc<Decl>>) -> Range {
        estimate(&self.0.parsed.root, &self.0.checked, decl)
    }

    /// Its value and what that cost; at most `limit`, and never more than one call may cost.
    pub fn run<'a>(&'a self, inputs: &'a Inputs<'a>, limit: u64) -> (Result<Value<'a>, EvalError>, u64) {
        run(&self.0, inputs, limit.min(PER_CALL_COST_MAX))
    }

    /// For [`Inputs::with_lazy`].
    pub fn compiled(&self) -> &Compiled {
        &self.0
    }
}

/// What is wrong though the types fit, by the nodes.
type Problems = Vec<(usize, String)>;

/// Finds literals that their function cannot take, and lists and maps of mixed literals.
fn literals(root: &Expr, checked: &Checked, problems: &mut Problems) {
    // Each with whether it is inside of a format's arguments, which may be mixed.
    let mut pending = vec![(root, false)];
    while let Some((expr, mixed)) = pending.pop() {
        match &expr.kind {
            Kind::Literal(_) | Kind::Ident(_) | Kind::Broken => {}
            Kind::Select(select) => pending.push((&select.operand, mixed)),
            Kind::Call(call) => {
                let mixed = mixed || &*call.function == "format";
                pending.extend(call.operands().map(|one| (one, mixed)));
                argument(expr.id, call, checked, problems);
            }
            Kind::List(all) => {
                if !mixed {
                    homogeneous(all.iter().map(|one| (&one.value, one.optional)), checked, problems);
                }
                pending.extend(all.iter().map(|one| (&one.value, mixed)));
            }
            Kind::Map(all) => {
                if !mixed {
                    homogeneous(all.iter().map(|one| (&one.key, false)), checked, problems);
                    homogeneous(all.iter().map(|one| (&one.value, one.optional)), checked, problems);
                }
                pending.extend(all.iter().flat_map(|one| [(&one.key, mixed), (&one.value, mixed)]));
            }
            Kind::Struct(message) => pending.extend(message.fields.iter().map(|one| (&one.value, mixed))),
            Kind::Fold(fold) => {
                let parts = [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result];
                pending.extend(parts.map(|one| (one, mixed)));
            }
        }
    }
}

fn homogeneous<'e>(all: impl Iterator<Item = (&'e Expr, bool)>, checked: &Checked, problems: &mut Problems) {
    let mut first: Option<Type> = None;
    for (expr, optional) in all {
        let ty = match (&checked.types[expr.id], optional) {
            (Type::Optional(inner), true) => (**inner).clone(),
            (other, _) => other.clone(),
        };
        match &first {
            None => first = Some(ty),
            Some(wanted) if *wanted == ty => {}
            Some(wanted) => return problems.push((expr.id, format!("expected type '{wanted}' but found '{ty}'"))),
        }
    }
}

/// A literal that its function cannot take.
fn argument(id: usize, call: &Call, checked: &Checked, problems: &mut Problems) {
    if &*call.function == "format"
        && let (Some(target), [list]) = (&call.target, &call.args[..])
        && let (Kind::Literal(Literal::String(pattern)), Kind::List(elements)) = (&target.kind, &list.kind)
    {
        problems.extend(formats::check(id, pattern, elements, checked));
    }
    let Some(last) = call.args.last() else { return };
    let Kind::Literal(Literal::String(text)) = &last.kind else { return };
    let fine = match &*call.function {
        "duration" => crate::library::go_duration(text).is_some(),
        "timestamp" => crate::functions::is_timestamp(text),
        "matches" => sampan_schema::pattern::compile(text).is_ok(),
        _ => true,
    };
    if !fine {
        problems.push((last.id, format!("invalid {} argument", call.function)));
    }
}

/// Whether what can be folded into one value can be: conversions of literals, and patterns.
fn fold_constants(root: &Expr) -> Result<(), EvalError> {
    let mut pending = vec![root];
    while let Some(expr) = pending.pop() {
        match &expr.kind {
            Kind::Literal(_) | Kind::Ident(_) | Kind::Broken => {}
            Kind::Select(select) => pending.push(&select.operand),
            Kind::Call(call) => {
                pending.extend(call.operands());
                let Some(Kind::Literal(value)) = call.args.first().map(|arg| &arg.kind) else { continue };
                match value {
                    Literal::String(pattern) if matches!(&*call.function, "find" | "findAll") => {
                        sampan_schema::pattern::compile(pattern).map_err(EvalError::Failed)?;
                    }
                    value if call.args.len() == 1 && constant(expr) => {
                        crate::functions::converted(&call.function, &crate::eval::literal(value))?;
                    }
                    _ => {}
                }
            }
            Kind::List(all) => pending.extend(all.iter().map(|one| &one.value)),
            Kind::Map(all) => pending.extend(all.iter().flat_map(|one| [&one.key, &one.value])),
            Kind::Struct(message) => pending.extend(message.fields.iter().map(|one| &one.value)),
            Kind::Fold(fold) => pending.extend([&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result]),
        }
    }
    Ok(())
}
