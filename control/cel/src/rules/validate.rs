//! Running the rules of a schema over an object.

use super::compile::{Node, Rule, Rules};
use crate::compare::list_key;
use crate::decl::Decl;
use crate::error::EvalError;
use crate::inputs::Inputs;
use crate::limits::{MESSAGE_BYTES_MAX, RUNTIME_COST_BUDGET};
use crate::value::Value;
use sampan_api::field::{FieldError, FieldErrors, Path};
use serde_json::Value as Json;
use std::collections::HashMap;

/// What the rules say of an object.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The rules that it breaks.
    pub errors: FieldErrors,
    /// Broken rules about what is as it was: told, and let be.
    pub warnings: Vec<String>,
}

/// No more rules are run.
struct Spent;

/// A value with the one that it was.
#[derive(Clone, Copy)]
struct Pair<'a> {
    new: &'a Json,
    old: Option<&'a Json>,
    /// What decides whether an error is let be: this value and the one before where they can be compared, else those of the
    /// nearest place above where they can.
    same: Option<(&'a Json, &'a Json)>,
}

impl Rules {
    /// Runs the rules over an object; `old` is the one that it replaces.
    pub fn validate(&self, object: &Json, old: Option<&Json>) -> Outcome {
        let mut run = Run { outcome: Outcome::default(), budget: RUNTIME_COST_BUDGET };
        let same = old.map(|old| (object, old));
        match run.node(&self.root, &Path::root(), Pair { new: object, old, same }) {
            Ok(()) | Err(Spent) => run.outcome,
        }
    }
}

struct Run {
    outcome: Outcome,
    budget: u64,
}

impl Run {
    fn node(&mut self, node: &Node, path: &Path, pair: Pair<'_>) -> Result<(), Spent> {
        if pair.new.is_null() || self.outcome.errors.is_full() {
            return Ok(());
        }
        self.rules(node, path, pair)?;
        for more in &node.all_of {
            self.node(more, path, Pair { same: None, ..pair })?;
        }
        match pair.new {
            Json::Array(all) => self.array(node, path, all, pair),
            Json::Object(all) => {
                for (name, new) in all {
                    let (inner, path) = match (node.properties.get(name), &node.elements) {
                        (Some(inner), _) => (inner, path.child(name)),
                        (None, Some(inner)) => (&**inner, path.key(name)),
                        (None, None) => continue,
                    };
                    let old = pair.old.filter(|_| node.correlates).and_then(|old| old.get(name));
                    let same = old.map(|old| (new, old)).or(pair.same);
                    self.node(inner, &path, Pair { new, old, same })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn array(&mut self, node: &Node, path: &Path, all: &[Json], pair: Pair<'_>) -> Result<(), Spent> {
        let Some(inner) = &node.elements else { return Ok(()) };
        let before = pair.old.and_then(Json::as_array);
        let known: HashMap<String, &Json> = match (&node.keys, before) {
            (Some(keys), Some(before)) => before.iter().map(|one| (list_key(one, keys), one)).collect(),
            _ => HashMap::new(),
        };
        for (at, new) in all.iter().enumerate() {
            let old = node.keys.as_ref().and_then(|keys| known.get(&list_key(new, keys)).copied());
            let same = old.map(|old| (new, old)).or(pair.same);
            self.node(inner, &path.index(at), Pair { new, old, same })?;
        }
        Ok(())
    }

    /// Tells an error at a place by the name of its type.
    fn tell(&mut self, node: &Node, path: &Path, why: String) {
        self.outcome.errors.push(FieldError::invalid(path, node.kind.as_str(), why));
    }

    fn spend(&mut self, node: &Node, path: &Path, cost: u64) -> Result<(), Spent> {
        if cost > self.budget {
            let why = "validation failed due to running out of cost budget, no further validation rules will be run";
            self.tell(node, path, why.into());
            return Err(Spent);
        }
        self.budget -= cost;
        Ok(())
    }

    fn rules(&mut self, node: &Node, path: &Path, pair: Pair<'_>) -> Result<(), Spent> {
        for rule in &node.rules {
            let program = match &rule.program {
                None => continue,
                Some(Err(why)) => {
                    self.tell(node, path, format!("rule compile error: {why}"));
                    continue;
                }
                Some(Ok(program)) => program,
            };
            if rule.uses_old && pair.old.is_none() && !rule.optional_old {
                continue;
            }
            if self.budget == 0 {
                return self.spend(node, path, 1);
            }
            let inputs = inputs(rule, &node.decl, pair);
            let (value, cost) = match &inputs {
                Ok(inputs) => program.run(inputs, u64::MAX),
                Err(error) => (Err(error.clone()), 0),
            };
            self.spend(node, path, cost)?;
            match value {
                Ok(Value::Bool(true)) => {}
                Ok(_) => self.broken(node, rule, path, pair)?,
                Err(error) => self.failed(node, rule, path, error)?,
            }
        }
        Ok(())
    }

    fn failed(&mut self, node: &Node, rule: &Rule, path: &Path, error: EvalError) -> Result<(), Spent> {
        let named = rule.named();
        match error {
            EvalError::CostExceeded => {
                let why = format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {named}"
                );
                self.tell(node, path, why);
                return Err(Spent);
            }
            error if error.to_string().starts_with("no such overload") => {
                let why = format!(
                    "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {named}"
                );
                self.tell(node, path, why);
            }
            error => self.tell(node, path, format!("{error} evaluating rule: {named}")),
        }
        Ok(())
    }

    /// Tells of a rule that is broken, or lets it be where nothing has changed.
    fn broken(&mut self, node: &Node, rule: &Rule, path: &Path, pair: Pair<'_>) -> Result<(), Spent> {
        let at = match &rule.field_path {
            Some(below) if path.as_str().is_empty() => Path::from_rendered(below.as_str()),
            Some(below) if below.starts_with('[') => Path::from_rendered(format!("{path}{below}")),
            Some(below) => Path::from_rendered(format!("{path}.{below}")),
            None => path.clone(),
        };
        let value = Some(pair.new).filter(|_| !matches!(node.kind.as_str(), "object" | "array"));
        let (error, spent) = match self.message(rule, &node.decl, pair) {
            Ok(message) => (rule.error(&at, value, message.unwrap_or_else(|| rule.default_message())), false),
            Err(why) => (FieldError::invalid(&at, node.kind.as_str(), why), true),
        };
        if !rule.uses_old && pair.same.is_some_and(|(new, old)| new == old) {
            self.outcome.warnings.push(error.to_string());
        } else {
            self.outcome.errors.push(error);
        }
        if spent { Err(Spent) } else { Ok(()) }
    }

    /// The text that the rule's own expression makes; `None` where there is none, or it makes no use of one.
    fn message(&mut self, rule: &Rule, decl: &Decl, pair: Pair<'_>) -> Result<Option<String>, String> {
        let Some(program) = &rule.message_expression else { return Ok(None) };
        let Ok(inputs) = inputs(rule, decl, pair) else { return Ok(None) };
        let (value, cost) = program.run(&inputs, u64::MAX);
        if cost > self.budget {
            return Err("messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run".into());
        }
        if matches!(value, Err(EvalError::CostExceeded)) {
            return Err(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression".into()
            );
        }
        self.budget -= cost;
        let Ok(Value::String(text)) = value else { return Ok(None) };
        let text = text.trim();
        let fine = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
        Ok(fine.then(|| text.to_owned()))
    }
}

fn inputs<'a>(rule: &Rule, decl: &'a Decl, pair: Pair<'a>) -> Result<Inputs<'a>, EvalError> {
    let old = match pair.old {
        Some(old) => Some(Value::of(old, decl)?),
        None => None,
    };
    let old = if rule.optional_old { Some(Value::Optional(old.map(std::sync::Arc::new))) } else { old };
    let own = Value::of(pair.new, decl)?;
    Ok(Inputs::new([("self", own)].into_iter().chain(old.map(|old| ("oldSelf", old)))))
}

impl Rule {
    /// The rule by its message, or by its text.
    fn named(&self) -> &str {
        if self.message.is_empty() { self.text.trim() } else { self.message.trim() }
    }

    fn default_message(&self) -> String {
        if self.message.is_empty() { format!("failed rule: {}", self.named()) } else { self.named().to_owned() }
    }

    fn error(&self, path: &Path, value: Option<&Json>, detail: String) -> FieldError {
        let mut error = match self.reason.as_str() {
            "FieldValueForbidden" => FieldError::forbidden(path, detail),
            "FieldValueRequired" => FieldError::required(path, detail),
            "FieldValueDuplicate" => FieldError::duplicate(path, Json::Null),
            _ => FieldError::invalid(path, Json::Null, detail),
        };
        if error.value.is_some() {
            error.value = value.map(Into::into);
        }
        error
    }
}
