//! What the security context of a pod or a container may say of Windows: credentials and the user.

use super::At;
use super::checks::named;
use sampan_api::field::FieldErrors;
use sampan_api::names;

/// Bytes of a credential spec of group managed service accounts, in KiB.
const CREDENTIALS_MAX_KIB: usize = 64;
/// Bytes that a user's domain must stay under.
const DOMAIN_LIMIT: usize = 256;
const USER_MAX: usize = 104;
const NETBIOS_MAX: usize = 15;
const DNS_LABEL_MAX: usize = 63;
const NOT_IN_NETBIOS: &[char] = &['\\', '/', ':', '*', '?', '"', '<', '>', '|'];
const NOT_IN_USER: &[char] = &['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']'];

/// Checks the `windowsOptions` of a security context.
pub(super) fn options(at: At<'_>, errors: &mut FieldErrors) {
    let name = at.get("gmsaCredentialSpecName");
    if name.is_set() {
        named(name, errors, names::dns1123_subdomain);
    }
    let credentials = at.get("gmsaCredentialSpec");
    if credentials.is_set() && credentials.is_empty() {
        credentials.invalid(errors, "gmsaCredentialSpec cannot be an empty string");
    } else if credentials.len() > CREDENTIALS_MAX_KIB * 1024 {
        credentials.invalid(errors, format!("gmsaCredentialSpec size must be under {CREDENTIALS_MAX_KIB} KiB"));
    }
    let user = at.get("runAsUserName");
    if user.is_set() {
        run_as(user, errors);
    }
}

/// Checks `USER` or `DOMAIN\USER`.
fn run_as(at: At<'_>, errors: &mut FieldErrors) {
    let text = at.text();
    if text.is_empty() {
        return at.invalid(errors, "runAsUserName cannot be an empty string");
    }
    if text.bytes().any(|b| b.is_ascii_control()) {
        return at.invalid(errors, "runAsUserName cannot contain control characters");
    }
    let (domain, user) = match text.split_once('\\') {
        Some((_, user)) if user.contains('\\') => {
            return at.invalid(errors, "runAsUserName cannot contain more than one backslash");
        }
        Some((domain, user)) => (Some(domain), user),
        None => (None, text),
    };
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN_LIMIT {
            at.invalid(errors, format!("runAsUserName's Domain length must be under {DOMAIN_LIMIT} characters"));
        }
        if !is_netbios(domain) && !is_dns(domain) {
            at.invalid(errors, "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        at.invalid(errors, "runAsUserName's User cannot be empty");
    } else if user.len() > USER_MAX {
        at.invalid(errors, format!("runAsUserName's User length must not be longer than {USER_MAX} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        at.invalid(errors, "runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(NOT_IN_USER) {
        at.invalid(errors, r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#);
    }
}

fn is_netbios(domain: &str) -> bool {
    let length = domain.chars().count();
    (1..=NETBIOS_MAX).contains(&length) && !domain.starts_with('.') && !domain.contains(NOT_IN_NETBIOS)
}

/// Labels of either case, between dots.
fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let within = (1..=DNS_LABEL_MAX).contains(&label.len());
        let known = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        within && known && !label.starts_with('-') && !label.ends_with('-')
    })
}
