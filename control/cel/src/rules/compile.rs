//! Compiling the rules of a schema.

use super::field_path;
use crate::decl::{Decl, Root};
use crate::environment::Environment;
use crate::escape::escape;
use crate::program::Program;
use crate::types::Type;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The compiled rules of a schema, at the places where they stand.
#[derive(Debug)]
pub struct Rules {
    pub(super) root: Node,
}

/// A place of the schema at or below which there are rules.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) rules: Vec<Rule>,
    pub(super) decl: Arc<Decl>,
    /// The schema's `type`, which errors show.
    pub(super) kind: String,
    pub(super) properties: BTreeMap<String, Node>,
    /// Of lists and maps.
    pub(super) elements: Option<Box<Node>>,
    /// Further rules of the same place.
    pub(super) all_of: Vec<Node>,
    /// By which properties the elements of a list are the same as before; `None`: by none.
    pub(super) keys: Option<Vec<String>>,
    /// Whether members of a map can be compared with those that it had.
    pub(super) correlates: bool,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// `None`: the rule is empty. An error tells why it cannot be compiled.
    pub(super) program: Option<Result<Program, String>>,
    pub(super) message_expression: Option<Program>,
    pub(super) text: String,
    pub(super) message: String,
    pub(super) reason: String,
    /// Below the place, as errors show it.
    pub(super) field_path: Option<String>,
    pub(super) optional_old: bool,
    pub(super) uses_old: bool,
}

/// A compiled rule with what a definition is told of it.
pub(super) struct Compiled {
    pub(super) rule: Rule,
    pub(super) message_error: Option<String>,
}

pub(super) fn rules_of(schema: &Json) -> &[Json] {
    schema["x-kubernetes-validations"].as_array().map_or(&[], Vec::as_slice)
}

/// The declaration of what is under a property.
pub(super) fn property_decl(decl: &Decl, name: &str, schema: &Json) -> Option<Arc<Decl>> {
    match escape(name) {
        Some(identifier) => decl.field(&identifier).map(|field| field.decl().clone()),
        None => Decl::of_schema(schema, &format!("{}.{name}", decl.name()), root_of(schema)),
    }
}

pub(super) fn root_of(schema: &Json) -> Root {
    if schema["x-kubernetes-embedded-resource"] == true { Root::Resource } else { Root::Part }
}

/// Compiles a rule for data of a declaration.
pub(super) fn compile_rule(rule: &Json, decl: &Arc<Decl>, schema: &Json) -> Compiled {
    let text = |name: &str| rule[name].as_str().unwrap_or_default().to_owned();
    let optional_old = rule["optionalOldSelf"] == true;
    let old = if optional_old { Type::optional(decl.ty()) } else { decl.ty() };
    let environment: Environment = [("self".into(), decl.ty()), ("oldSelf".into(), old)].into();
    let compile = |source: &str, what: &str, wanted: &Type, wrong: &str| match Program::compile(source, &environment) {
        Err(issues) if issues.stage() == "compilation" => Err(format!("{what}compilation failed: {issues}")),
        Err(issues) if what.is_empty() => Err(format!("program instantiation failed: {issues}")),
        Err(issues) => Err(format!("{what}instantiation failed: {issues}")),
        Ok(program) if program.ty() == wanted => Ok(program),
        Ok(_) => Err(wrong.to_owned()),
    };
    let source = text("rule");
    let program = match source.trim() {
        "" => None,
        _ => Some(compile(&source, "", &Type::Bool, "cel expression must evaluate to a bool")),
    };
    let message = text("messageExpression");
    let (message_expression, message_error) = match (&program, message.as_str()) {
        (Some(Ok(_)), message) if !message.is_empty() => {
            match compile(message, "messageExpression ", &Type::String, "messageExpression must evaluate to a string") {
                Ok(program) => (Some(program), None),
                Err(why) => (None, Some(why)),
            }
        }
        _ => (None, None),
    };
    let uses_old = matches!(&program, Some(Ok(program)) if program.uses("oldSelf"));
    let path = text("fieldPath");
    let field_path = if path.is_empty() { None } else { field_path::resolve(&path, schema).ok() };
    let (message, reason) = (text("message"), text("reason"));
    let rule = Rule { program, message_expression, text: source, message, reason, field_path, optional_old, uses_old };
    Compiled { rule, message_error }
}

impl Rules {
    /// The rules of a version's schema; `None` where it has none, or nothing that a rule could use.
    pub fn compile(schema: &Json) -> Option<Self> {
        if !has_rules(schema) {
            return None;
        }
        let decl = Decl::of_schema(schema, "selfType", Root::Resource)?;
        node(schema, schema, &decl).map(|root| Self { root })
    }
}

fn has_rules(schema: &Json) -> bool {
    let mut pending = vec![schema];
    while let Some(one) = pending.pop() {
        if !rules_of(one).is_empty() {
            return true;
        }
        pending.extend(one["properties"].as_object().into_iter().flatten().map(|(_, inner)| inner));
        pending.extend(one["allOf"].as_array().into_iter().flatten());
        pending.extend([&one["items"], &one["additionalProperties"]].into_iter().filter(|inner| inner.is_object()));
    }
    false
}

/// The node of a place: the rules are those of `rules`, the types those of `schema`.
fn node(rules: &Json, schema: &Json, decl: &Arc<Decl>) -> Option<Node> {
    let compiled: Vec<Rule> = rules_of(rules).iter().map(|rule| compile_rule(rule, decl, schema).rule).collect();
    let element = |name: &str| {
        let (rules, schema) = (&rules[name], &schema[name]);
        if rules.is_object() && schema.is_object() { node(rules, schema, decl.element()?).map(Box::new) } else { None }
    };
    let elements = element("items").or_else(|| element("additionalProperties"));
    let mut properties = BTreeMap::new();
    for (name, inner) in rules["properties"].as_object().into_iter().flatten() {
        let Some(typed) = schema["properties"].get(name) else { continue };
        let Some(decl) = property_decl(decl, name, typed) else { continue };
        if let Some(found) = node(inner, typed, &decl) {
            properties.insert(name.clone(), found);
        }
    }
    let all_of = rules["allOf"].as_array().into_iter().flatten();
    let all_of: Vec<Node> = all_of.filter_map(|one| node(one, schema, decl)).collect();
    if compiled.is_empty() && elements.is_none() && properties.is_empty() && all_of.is_empty() {
        return None;
    }
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let keys = keys.map(|keys| keys.iter().filter_map(Json::as_str).map(str::to_owned).collect());
    Some(Node {
        rules: compiled,
        decl: decl.clone(),
        kind: schema["type"].as_str().unwrap_or_default().to_owned(),
        properties,
        elements,
        all_of,
        keys: keys.filter(|_| schema["x-kubernetes-list-type"] == "map"),
        correlates: matches!(schema["x-kubernetes-map-type"].as_str(), None | Some("granular" | "atomic")),
    })
}
