//! What is asked of rules when a definition is written: their form, that they compile, and what they can cost.

use super::compile::{Compiled, compile_rule, property_decl, root_of, rules_of};
use super::field_path;
use crate::decl::{Decl, Root};
use crate::limits::{STATIC_COST_MAX, STATIC_TOTAL_COST_MAX};
use sampan_api::field::{BadValue, FieldError, FieldErrors, Path};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The reasons that a rule may give.
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// Rules that are named where all together cost too much.
const EXPENSIVE_MAX: usize = 4;

/// Tells what is wrong with the rules of a version's schema, which is structural; `path` is that of the schema.
pub fn check(schema: &Json, path: &Path, errors: &mut FieldErrors) {
    let before = errors.len();
    forms(schema, path, errors);
    if errors.len() > before {
        return;
    }
    let mut checker = Checker { errors, total: 0, expensive: Vec::new() };
    let decl = Decl::of_schema(schema, "selfType", Root::Resource);
    checker.node(schema, decl.as_ref(), path, Place { count: Some(1), uncorrelated: None });
    checker.sum(path);
}

/// The form of each rule.
fn forms(schema: &Json, path: &Path, errors: &mut FieldErrors) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        forms(inner, &path.child("properties").key(name), errors);
    }
    for name in ["items", "additionalProperties"] {
        if schema[name].is_object() {
            forms(&schema[name], &path.child(name), errors);
        }
    }
    for (at, rule) in rules_of(schema).iter().enumerate() {
        form(rule, schema, &path.child("x-kubernetes-validations").index(at), errors);
    }
}

fn has_newlines(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

fn form(rule: &Json, schema: &Json, path: &Path, errors: &mut FieldErrors) {
    let text = |name: &str| rule[name].as_str().unwrap_or_default();
    let (source, message) = (text("rule").trim(), text("message"));
    if source.is_empty() {
        errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
    } else if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(&path.child("message"), message, "must be non-empty if specified"));
    } else if has_newlines(message.trim()) {
        errors.push(FieldError::invalid(&path.child("message"), message, "must not contain line breaks"));
    } else if has_newlines(source) && message.trim().is_empty() {
        let why = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(&path.child("message"), why));
    }
    let expression = text("messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        let why = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(&path.child("messageExpression"), why));
    }
    if rule.get("reason").is_some_and(|reason| !reason.is_null()) && !REASONS.contains(&text("reason")) {
        errors.push(FieldError::not_supported(&path.child("reason"), text("reason"), &REASONS));
    }
    let field = text("fieldPath");
    let at = path.child("fieldPath");
    if !field.is_empty() && field.trim().is_empty() {
        errors.push(FieldError::invalid(&at, field, "must be non-empty if specified"));
    }
    if has_newlines(field) {
        errors.push(FieldError::invalid(&at, field, "must not contain line breaks"));
    }
    if !field.is_empty() && field_path::resolve(field, schema).is_err() {
        errors.push(FieldError::invalid(&at, field, "must be a valid path"));
    }
}

/// What is known of a place from those above it.
#[derive(Clone)]
struct Place {
    /// The most values that may be there; `None`: no list or map above says how many it holds.
    count: Option<u64>,
    /// The first place above whose values cannot be compared with those before.
    uncorrelated: Option<String>,
}

impl Place {
    fn below(&self, schema: &Json, path: &Path, name: &str) -> Self {
        let max = |name: &str| schema[name].as_i64().map(|max| max.max(0) as u64);
        let count = match (schema["type"].as_str(), schema["additionalProperties"].is_object()) {
            (Some("object"), true) => max("maxProperties"),
            (Some("array"), _) => max("maxItems"),
            _ => Some(1),
        };
        let loose = name == "items" && schema["x-kubernetes-list-type"] != "map";
        let uncorrelated = self.uncorrelated.clone();
        Self {
            count: self.count.and_then(|own| Some(own.saturating_mul(count?))),
            uncorrelated: if loose { uncorrelated.or_else(|| Some(path.to_string())) } else { uncorrelated },
        }
    }
}

struct Checker<'e> {
    errors: &'e mut FieldErrors,
    total: u64,
    expensive: Vec<(u64, Path)>,
}

impl Checker<'_> {
    fn node(&mut self, schema: &Json, decl: Option<&Arc<Decl>>, path: &Path, place: Place) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let found = decl.and_then(|decl| property_decl(decl, name, inner));
            let below = place.below(schema, path, "properties");
            self.node(inner, found.as_ref(), &path.child("properties").key(name), below);
        }
        for name in ["items", "additionalProperties"] {
            if schema[name].is_object() {
                let below = place.below(schema, path, name);
                self.node(&schema[name], decl.and_then(|decl| decl.element()), &path.child(name), below);
            }
        }
        let rules = rules_of(schema);
        if rules.is_empty() {
            return;
        }
        let list = path.child("x-kubernetes-validations");
        let own = decl.cloned().or_else(|| Decl::of_schema(schema, "selfType", root_of(schema)));
        let Some(decl) = own else {
            let why = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
            self.errors.push(FieldError::internal(&list, why));
            return;
        };
        for (at, rule) in rules.iter().enumerate() {
            let compiled = compile_rule(rule, &decl, schema);
            self.rule(rule, compiled, &decl, &list.index(at), &place);
        }
    }

    /// Counts a cost, and tells of it where it is too much for one expression.
    fn cost(&mut self, what: &str, cost: u64, path: Path) {
        if cost > STATIC_COST_MAX {
            self.errors.push(FieldError::forbidden(&path, too_much(what, cost, STATIC_COST_MAX)));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= STATIC_TOTAL_COST_MAX / 100 {
            self.expensive.push((cost, path));
            self.expensive.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
            self.expensive.truncate(EXPENSIVE_MAX);
        }
    }

    fn rule(&mut self, source: &Json, compiled: Compiled, decl: &Arc<Decl>, path: &Path, place: &Place) {
        let Compiled { rule, message_error } = compiled;
        match &rule.program {
            Some(Ok(program)) => {
                let count = place.count.unwrap_or_else(|| decl.cardinality_max());
                let cost = program.estimate(Some(decl)).max.saturating_mul(count);
                self.cost("estimated rule cost", cost, path.child("rule"));
            }
            Some(Err(why)) => self.errors.push(FieldError::invalid(&path.child("rule"), shown(source), why.as_str())),
            None => {}
        }
        if let Some(why) = message_error {
            self.errors.push(FieldError::invalid(&path.child("messageExpression"), shown(source), why));
        } else if let Some(message) = &rule.message_expression {
            let cost = message.estimate(Some(decl)).max;
            self.cost("estimated messageExpression cost", cost, path.child("messageExpression"));
        }
        if rule.uses_old {
            if let Some(above) = &place.uncorrelated {
                let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
                self.errors.push(FieldError::invalid(&path.child("rule"), rule.text.as_str(), why));
            }
        } else if let Some(optional) = source["optionalOldSelf"].as_bool() {
            let why = "may not be set if oldSelf is not used in rule";
            self.errors.push(FieldError::invalid(&path.child("optionalOldSelf"), optional, why));
        }
    }

    /// What all rules together cost.
    fn sum(self, path: &Path) {
        if self.total <= STATIC_TOTAL_COST_MAX {
            return;
        }
        for (_, path) in &self.expensive {
            let why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            self.errors.push(FieldError::forbidden(path, why));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        self.errors.push(FieldError::forbidden(path, too_much(what, self.total, STATIC_TOTAL_COST_MAX)));
    }
}

fn too_much(what: &str, cost: u64, max: u64) -> String {
    let factor = cost as f64 / max as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

/// A rule as errors show it: the reference's internal type, all of its fields in their order.
fn shown(rule: &Json) -> BadValue {
    let text = |name: &str| json!(rule[name].as_str().unwrap_or_default());
    let fields = [
        ("Rule", text("rule")),
        ("Message", text("message")),
        ("MessageExpression", text("messageExpression")),
        ("Reason", rule["reason"].clone()),
        ("FieldPath", text("fieldPath")),
        ("OptionalOldSelf", rule["optionalOldSelf"].clone()),
    ];
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    BadValue::Raw(format!("{{{}}}", fields.join(",")))
}
