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
use super::validation::{At, FieldErrors, webhook};
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
        webhook::client(hook.get("clientConfig"), errors);
        matching::conditions(hook.get("matchConditions"), Params::None, errors);
        review_versions(hook.get("admissionReviewVersions"), errors);
    }
}

/// The versions of AdmissionReview that a webhook understands, of which one must be Kubernetes'.
fn review_versions(list: At<'_>, errors: &mut FieldErrors) {
    if list.is_empty() {
        return list.required(errors, "must specify one of v1, v1beta1");
    }
    let mut seen = HashSet::new();
    for version in list.items() {
        if !seen.insert(version.text()) {
            version.invalid(errors, "duplicate version");
            continue;
        }
        version.invalid_each(errors, names::dns1035_label(version.text()));
    }
    if !seen.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        list.invalid(errors, "must include at least one of v1, v1beta1");
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
