//! `admissionregistration.k8s.io`: webhooks and policies of admission.

mod expressions;
mod matching;
mod mutating_admission_policy;
mod mutating_admission_policy_binding;
mod mutating_webhook_configuration;
mod validating_admission_policy;
mod validating_admission_policy_binding;
mod validating_webhook_configuration;

use super::validation::checks::{label_selector, one_of};
use super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;
use sampan_cel::admission::Params;
use std::collections::HashSet;

pub(super) fn rows() -> Vec<Resource> {
    let (policy, binding) = (mutating_admission_policy::row(), mutating_admission_policy_binding::row());
    let alpha = [&policy, &binding].map(|row| row.also_in("v1alpha1").deprecated_since(35, 38, None));
    let mut rows = vec![
        mutating_webhook_configuration::row(),
        validating_admission_policy::row(),
        validating_admission_policy_binding::row(),
        validating_webhook_configuration::row(),
        policy,
        binding,
    ];
    rows.extend(alpha);
    rows
}

const SECONDS_MAX: i64 = 30;
const URL_FORMAT: &str = "desired format: https://host[/path]";

/// The webhooks of a configuration of either sort.
fn webhooks(list: At<'_>, errors: &mut FieldErrors) {
    let mut seen: HashSet<String> = HashSet::new();
    for hook in list.items() {
        let name = hook.get("name");
        qualified(name, errors);
        if !seen.insert(name.text().to_owned()) {
            name.duplicate(errors);
        }
        let rules = hook.get("rules");
        for rule in rules.items() {
            matching::rule(rule, errors);
        }
        matching::conditions(hook.get("matchConditions"), Params::None, errors);
        one_of(hook.get("failurePolicy"), errors, &["Fail", "Ignore"]);
        one_of(hook.get("matchPolicy"), errors, &["Equivalent", "Exact"]);
        let effects = hook.get("sideEffects");
        if !effects.is_set() {
            effects.required(errors, "must specify one of None, NoneOnDryRun");
        }
        one_of(effects, errors, &["None", "NoneOnDryRun"]);
        let timeout = hook.get("timeoutSeconds");
        if timeout.opt_number().is_some_and(|seconds| !(1..=SECONDS_MAX).contains(&seconds)) {
            timeout.invalid(errors, "the timeout value must be between 1 and 30 seconds");
        }
        label_selector(hook.get("namespaceSelector"), errors);
        label_selector(hook.get("objectSelector"), errors);
        one_of(hook.get("reinvocationPolicy"), errors, &["IfNeeded", "Never"]);
        let client = hook.get("clientConfig");
        match (client.get("url").is_set(), client.get("service").is_set()) {
            (true, false) => url(client.get("url"), errors),
            (false, true) => {
                let service = client.get("service");
                for field in ["name", "namespace"] {
                    if service.get(field).is_empty() {
                        service.get(field).required(errors, "");
                    }
                }
            }
            _ => client.required(errors, "exactly one of url or service is required"),
        }
    }
}

/// A name of at least three parts.
fn qualified(name: At<'_>, errors: &mut FieldErrors) {
    let messages = names::dns1123_subdomain(name.text());
    if name.is_empty() {
        name.required(errors, "");
    } else if !messages.is_empty() {
        name.invalid_each(errors, messages);
    } else if name.text().split('.').count() < 3 {
        name.invalid(errors, "should be a domain with at least three segments separated by dots");
    }
}

fn url(at: At<'_>, errors: &mut FieldErrors) {
    let text = at.text();
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    if scheme != "https" {
        at.invalid_as(errors, scheme, format!("'https' is the only allowed URL scheme; {URL_FORMAT}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let host = rest.split('/').next().unwrap_or("");
    if host.is_empty() {
        at.invalid_as(errors, host, format!("host must be specified; {URL_FORMAT}"));
    }
    if let Some((user, _)) = host.split_once('@') {
        at.invalid_as(errors, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        at.invalid_as(errors, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        at.invalid_as(errors, query, "query parameters are not permitted in the URL");
    }
}
