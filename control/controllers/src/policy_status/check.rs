//! The expressions of a policy against the types of what it is about (apiserver's `policy/validating/typechecking.go`).

use crate::limits::{TYPE_CHECKED_KINDS_MAX, TYPE_CHECKED_KINDS_OF_RULE_MAX, TYPE_WARNINGS_BYTES_MAX};
use sampan_api::GroupVersionKind;
use sampan_cel::admission::{declare_variable, typed_environment};
use sampan_cel::{Environment, Program, Type};
use sampan_client::Discovery;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is wrong with one expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `spec.validations[0].expression`.
    pub field: String,
    /// Each kind that it does not fit, with the errors.
    pub text: String,
}

/// The texts of a list, in order; none where one has a character of `but`.
fn texts<'v>(rule: &'v Value, list: &str, but: &[char]) -> BTreeSet<&'v str> {
    let all: BTreeSet<&str> = rule[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if all.iter().any(|text| text.contains(but)) { BTreeSet::new() } else { all }
}

/// The kinds that a policy's rules name, without those of wildcards and of subresources. A rule that names too many is the
/// last that is looked at.
pub fn kinds(spec: &Value, served: &Discovery) -> BTreeSet<GroupVersionKind> {
    let mut kinds = BTreeSet::new();
    for rule in spec["matchConstraints"]["resourceRules"].as_array().into_iter().flatten() {
        let (groups, versions) = (texts(rule, "apiGroups", &['*']), texts(rule, "apiVersions", &['*']));
        let named: BTreeSet<&str> =
            rule["resources"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut of_rule: Vec<GroupVersionKind> = served
            .resources
            .iter()
            .filter(|one| {
                let resource = &one.resource;
                groups.contains(resource.group.as_str())
                    && versions.contains(resource.version.as_str())
                    && named.contains(resource.resource.as_str())
            })
            .map(sampan_client::ApiResource::gvk)
            .collect();
        of_rule.sort();
        let last = of_rule.len() >= TYPE_CHECKED_KINDS_OF_RULE_MAX;
        kinds.extend(of_rule.into_iter().take(TYPE_CHECKED_KINDS_OF_RULE_MAX));
        if last || kinds.len() >= TYPE_CHECKED_KINDS_MAX {
            break;
        }
    }
    kinds
}

/// The kind of a policy's parameters.
pub(super) fn param_kind(spec: &Value) -> Option<GroupVersionKind> {
    let kind = &spec["paramKind"];
    GroupVersionKind::parse(kind["apiVersion"].as_str()?, kind["kind"].as_str()?)
}

/// What is wrong with the expressions of validations and their messages, over objects of these types.
pub fn warnings(spec: &Value, kinds: &[(Type, GroupVersionKind)], params: Option<&Type>) -> Vec<Warning> {
    let environments: Vec<(&GroupVersionKind, Environment)> =
        kinds.iter().map(|(ty, kind)| (kind, environment(spec, ty, params))).collect();
    let (mut found, mut bytes) = (Vec::new(), 0);
    for (at, validation) in spec["validations"].as_array().into_iter().flatten().enumerate() {
        for name in ["expression", "messageExpression"] {
            let Some(text) = validation[name].as_str().filter(|text| !text.is_empty()) else { continue };
            let Some(text) = wrong(text, &environments) else { continue };
            bytes += text.len();
            if bytes > TYPE_WARNINGS_BYTES_MAX {
                return found;
            }
            found.push(Warning { field: format!("spec.validations[{at}].{name}"), text });
        }
    }
    found
}

/// What expressions may use where objects are of a type: the policy's variables among it.
fn environment(spec: &Value, object: &Type, params: Option<&Type>) -> Environment {
    let mut environment = typed_environment(object, params);
    for one in spec["variables"].as_array().into_iter().flatten() {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        // One that does not fit may be anything.
        let ty = Program::compile(text("expression"), &environment).map_or(Type::Dyn, |program| program.ty().clone());
        declare_variable(&mut environment, text("name"), &ty);
    }
    environment
}

fn wrong(expression: &str, environments: &[(&GroupVersionKind, Environment)]) -> Option<String> {
    let errors: Vec<String> = environments
        .iter()
        .filter_map(|(kind, environment)| {
            let issues = Program::compile(expression, environment).err()?;
            Some(format!("{kind}: {issues}\n"))
        })
        .collect();
    (!errors.is_empty()).then(|| errors.join("\n"))
}
