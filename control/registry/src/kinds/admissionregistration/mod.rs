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
                // Each is said to lack what the other lacks: Kubernetes takes one for the other.
                for (field, lacking) in [("name", "namespace"), ("namespace", "name")] {
                    if service.get(lacking).is_empty() {
                        service.get(field).required(errors, "");
                    }
                }
            }
            _ => client.required(errors, "exactly one of url or service is required"),
        }
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

fn url(at: At<'_>, errors: &mut FieldErrors) {
    let text = at.text();
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let starts = |scheme: &str| scheme.starts_with(|one: char| one.is_ascii_alphabetic());
    let named = |scheme: &str| scheme.chars().all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one));
    let split = text.split_once(':').filter(|(scheme, _)| starts(scheme) && named(scheme));
    let (scheme, rest) = split.unwrap_or(("", text));
    if scheme != "https" {
        at.invalid_as(errors, scheme, format!("'https' is the only allowed URL scheme; {URL_FORMAT}"));
    }
    // Only what comes after two slashes is an authority.
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split('/').next().unwrap_or(""));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() {
        at.invalid_as(errors, host, format!("host must be specified; {URL_FORMAT}"));
    }
    if let Some(user) = user {
        at.invalid_as(errors, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        at.invalid_as(errors, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        at.invalid_as(errors, query, "query parameters are not permitted in the URL");
    }
}
