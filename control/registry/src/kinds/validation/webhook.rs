//! How a webhook is reached (apiserver's pkg/util/webhook), of admission and of conversion.

use super::checks::port_number_as;
use super::{At, FieldErrors};
use sampan_api::names;
use sampan_cel::Url;

const FORM: &str = "; desired format: https://host[/path]";

/// A `clientConfig`: a URL or a Service.
pub(in crate::kinds) fn client(at: At<'_>, errors: &mut FieldErrors) {
    let (address, target) = (at.get("url"), at.get("service"));
    match (address.is_set(), target.is_set()) {
        (true, false) => url(address, errors),
        (false, true) => service(target, errors),
        _ => at.required(errors, "exactly one of url or service is required"),
    }
}

fn url(at: At<'_>, errors: &mut FieldErrors) {
    let url = match Url::reference(at.text()) {
        Ok(url) => url,
        Err(why) => return at.required(errors, &format!("url must be a valid URL: {why}{FORM}")),
    };
    if url.scheme != "https" {
        at.invalid_as(errors, url.scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if url.host.is_empty() {
        at.invalid_as(errors, url.host, format!("host must be specified{FORM}"));
    }
    if let Some(user) = url.user {
        at.invalid_as(errors, user, "user information is not permitted in the URL");
    }
    for (part, what) in [(url.fragment, "fragments are"), (url.query, "query parameters are")] {
        if !part.is_empty() {
            at.invalid_as(errors, part, format!("{what} not permitted in the URL"));
        }
    }
}

fn service(at: At<'_>, errors: &mut FieldErrors) {
    // Each is said to lack what the other lacks: Kubernetes takes one for the other.
    for (field, lacking) in [("name", "namespace"), ("namespace", "name")] {
        if at.get(lacking).is_empty() {
            at.get(field).required(errors, "");
        }
    }
    port_number_as(at.get("port"), "port is not valid: ", errors);
    path(at.get("path"), errors);
}

/// A path whose segments are names.
fn path(at: At<'_>, errors: &mut FieldErrors) {
    let text = at.text();
    if matches!(text, "" | "/") {
        return;
    }
    if text == "//" {
        return at.invalid(errors, "segment[0] may not be empty");
    }
    if !text.starts_with('/') {
        at.invalid(errors, "must start with a '/'");
    }
    // The first character goes, whatever it is.
    let rest = text.char_indices().nth(1).map_or("", |(second, _)| &text[second..]);
    for (index, segment) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if segment.is_empty() {
            at.invalid(errors, format!("segment[{index}] may not be empty"));
            continue;
        }
        for why in names::dns1123_subdomain(segment) {
            at.invalid(errors, format!("segment[{index}]: {why}"));
        }
    }
}
