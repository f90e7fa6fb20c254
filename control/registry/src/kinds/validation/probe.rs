//! Probes and lifecycle hooks: what a node does to a container to ask how it is.

use super::At;
use super::checks::{not_negative, port_number_or_name, required_text};
use sampan_api::field::FieldErrors;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::kinds) enum Sort {
    Liveness,
    Readiness,
    Startup,
}

const BAD_HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

pub(in crate::kinds) fn probe(at: At<'_>, sort: Sort, grace: Option<i64>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    handler(at, &HANDLERS[..4], grace, errors);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        not_negative(at.get(field), errors);
    }
    let own_grace = at.get("terminationGracePeriodSeconds");
    if own_grace.opt_number().is_some_and(|seconds| seconds <= 0) {
        own_grace.invalid(errors, "must be greater than 0");
    }
    let threshold = at.get("successThreshold");
    if sort != Sort::Readiness && threshold.number() != 1 {
        threshold.invalid_as(errors, threshold.number(), "must be 1");
    }
    if sort == Sort::Readiness && own_grace.is_set() {
        own_grace.invalid(errors, "must not be set for readinessProbes");
    }
}

pub(in crate::kinds) fn lifecycle(at: At<'_>, grace: Option<i64>, os: Option<&str>, errors: &mut FieldErrors) {
    for hook in ["postStart", "preStop"] {
        if at.get(hook).is_set() {
            handler(at.get(hook), &HANDLERS, grace, errors);
        }
    }
    if at.get("stopSignal").is_set() && os.is_none() {
        at.get("stopSignal").forbidden(errors, "may not be set for containers with empty `spec.os.name`");
    }
}

/// Exactly one of the handlers.
fn handler(at: At<'_>, handlers: &[&str], grace: Option<i64>, errors: &mut FieldErrors) {
    let mut found = false;
    for handler in handlers {
        let action = at.get(handler);
        if !action.is_set() {
            continue;
        }
        if found {
            action.forbidden(errors, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        match *handler {
            "exec" => required_text(action.get("command"), errors),
            "httpGet" => http_get(action, errors),
            "sleep" => sleep(action, grace, errors),
            _ => port_number_or_name(action.get("port"), errors),
        }
    }
    if !found {
        at.required(errors, "must specify a handler type");
    }
}

fn http_get(at: At<'_>, errors: &mut FieldErrors) {
    required_text(at.get("path"), errors);
    port_number_or_name(at.get("port"), errors);
    let scheme = at.get("scheme");
    if !matches!(scheme.text(), "HTTP" | "HTTPS") {
        scheme.not_supported(errors, &["HTTP", "HTTPS"]);
    }
    let headers = at.get("httpHeaders");
    for header in headers.items() {
        let name = header.get("name").text();
        if name.is_empty() || !name.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric()) {
            headers.invalid_as(errors, name, BAD_HEADER);
        }
    }
}

fn sleep(at: At<'_>, grace: Option<i64>, errors: &mut FieldErrors) {
    let seconds = at.get("seconds").number();
    if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        at.invalid_as(errors, seconds, detail);
    }
}
