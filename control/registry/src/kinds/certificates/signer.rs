//! Names of signers, as kinds that name one ask for them (pkg/apis/core/validation/names.go, v1.35).

use super::super::validation::{At, FieldErrors};
use sampan_api::field::go_quote;
use sampan_api::names;

/// Bytes of a signer's domain.
const DOMAIN_MAX: usize = 253;
/// Bytes of a signer's name: the domain, and a path that holds a label and a subdomain.
const NAME_MAX: usize = DOMAIN_MAX + 1 + 253 + 63 + 1;

/// A domain and a path (ValidateSignerName).
pub(super) fn name(at: At<'_>, errors: &mut FieldErrors) {
    let text = at.text();
    if text.is_empty() {
        return at.required(errors, "");
    }
    let (Some((domain, path)), 1) = (text.split_once('/'), text.matches('/').count()) else {
        return at.invalid(errors, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
    };
    if domain.len() > DOMAIN_MAX {
        at.too_long(errors, DOMAIN_MAX);
    }
    labels(at, domain, names::dns1123_label, errors);
    if !domain.contains('.') {
        at.invalid_as(errors, domain, "should be a domain with at least two segments separated by dots");
    }
    labels(at, path, names::dns1123_subdomain, errors);
    if text.len() > NAME_MAX {
        at.too_long(errors, NAME_MAX);
    }
}

/// Whether the name is one of those that Kubernetes keeps for its own signers (IsKubernetesSignerName).
pub(super) fn is_kubernetes(name: &str) -> bool {
    let domain = name.split('/').next().unwrap_or_default();
    domain == "kubernetes.io" || domain.ends_with(".kubernetes.io")
}

/// The first of the text's labels that is wrong is told.
fn labels(at: At<'_>, text: &str, rule: fn(&str) -> Vec<String>, errors: &mut FieldErrors) {
    let wrong = text.split('.').map(|label| (label, rule(label))).find(|(_, wrong)| !wrong.is_empty());
    for (label, why) in wrong.into_iter().flat_map(|(label, all)| all.into_iter().map(move |why| (label, why))) {
        at.invalid_as(errors, text, format!("validating label {}: {why}", go_quote(label)));
    }
}
