//! The expressions of admission policies: each must compile, with the variables that stand before it.

use super::super::validation::checks::one_of;
use super::super::validation::{At, FieldErrors};
use sampan_api::names;
use sampan_cel::admission::{Authorizer, Params, compile, declare_variable, declare_variables, environment};
use sampan_cel::{Environment, Type};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Audit annotations of a policy.
const ANNOTATIONS_MAX: usize = 20;
/// Bytes of the expression of an audit annotation.
const ANNOTATION_BYTES_MAX: usize = 5 * 1024;
/// The reasons that a validation may give.
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

/// The environments of a policy's expressions.
pub(super) struct Expressions {
    /// With the authorizer.
    whole: Environment,
    /// Of messages, which have none.
    messages: Environment,
}

impl Expressions {
    /// Without variables yet.
    pub(super) fn new(params: Params) -> Self {
        let (whole, messages) = (environment(params, Authorizer::Declared), environment(params, Authorizer::None));
        Self { whole, messages }
    }

    /// Checks the variables, and declares each for those after it. Where there are none `variables` is no word.
    pub(super) fn variables(&mut self, list: At<'_>, errors: &mut FieldErrors) {
        if !list.is_empty() {
            declare_variables(&mut self.whole);
            declare_variables(&mut self.messages);
        }
        for one in list.items() {
            let (name, expression) = (one.get("name"), one.get("expression"));
            if name.text().trim().is_empty() {
                name.required(errors, "name is not specified");
            } else if !sampan_cel::is_identifier(name.text()) {
                name.invalid(errors, "must be a valid CEL identifier");
            }
            if expression.text().trim().is_empty() {
                expression.required(errors, "expression is not specified");
                continue;
            }
            match compile(expression.text(), &self.whole, &[]) {
                Ok(program) => {
                    for environment in [&mut self.whole, &mut self.messages] {
                        declare_variable(environment, name.text(), program.ty());
                    }
                }
                Err(why) => expression.invalid(errors, why),
            }
        }
    }

    pub(super) fn validations(&self, list: At<'_>, errors: &mut FieldErrors) {
        for one in list.items() {
            let (expression, message) = (one.get("expression"), one.get("message"));
            if expression.text().trim().is_empty() {
                expression.required(errors, "expression is not specified");
            } else if let Err(why) = compile(expression.text(), &self.whole, &[Type::Bool]) {
                expression.invalid(errors, why);
            }
            let own = one.get("messageExpression");
            if !own.text().is_empty() {
                if own.text().trim().is_empty() {
                    own.invalid(errors, "must be non-empty if specified");
                } else if let Err(why) = compile(own.text(), &self.messages, &[Type::String]) {
                    own.invalid(errors, why);
                }
            }
            let trimmed = message.text().trim();
            if !message.text().is_empty() && trimmed.is_empty() {
                message.invalid(errors, "must be non-empty if specified");
            } else if trimmed.contains(['\n', '\r']) {
                message.invalid(errors, "must not contain line breaks");
            }
            if one.get("reason").is_set() {
                one_of(one.get("reason"), errors, &REASONS);
            }
        }
    }

    /// An expression whose value, of the type `wanted`, says what a policy changes.
    pub(super) fn mutation(&self, expression: At<'_>, wanted: &Type, errors: &mut FieldErrors) {
        let text = expression.text().trim();
        if text.is_empty() {
            expression.required(errors, "");
        } else if let Err(why) = compile(text, &self.whole.clone().with_patches(), std::slice::from_ref(wanted)) {
            expression.invalid_as(errors, text, why);
        }
    }

    pub(super) fn annotations(&self, list: At<'_>, policy: &str, errors: &mut FieldErrors) {
        if list.len() > ANNOTATIONS_MAX {
            // As Go shows its own struct.
            let one = |one: At<'_>| json!({"Key": one.get("key").text(), "ValueExpression": one.get("valueExpression").text()});
            let shown: Vec<Value> = list.items().map(one).collect();
            list.invalid_as(
                errors,
                Value::Array(shown),
                format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations"),
            );
        }
        let mut seen = HashSet::new();
        for one in list.items() {
            let (key, value) = (one.get("key"), one.get("valueExpression"));
            if policy.is_empty() {
                key.invalid(errors, "requires metadata.name be non-empty");
            } else {
                let full = format!("{policy}/{}", key.text());
                key.invalid_each_as(errors, &full, names::qualified_name(&full));
            }
            let trimmed = value.text().trim();
            if trimmed.is_empty() {
                value.required(errors, "valueExpression is not specified");
            } else if trimmed.len() > ANNOTATION_BYTES_MAX {
                value.required(errors, &format!("must not exceed {ANNOTATION_BYTES_MAX} bytes in length"));
            } else if let Err(why) = compile(trimmed, &self.whole, &[Type::String, Type::Null]) {
                value.invalid(errors, why);
            }
            if !seen.insert(key.text().to_owned()) {
                key.duplicate(errors);
            }
        }
    }
}
