//! Containers of Windows that are processes of the host.

use super::At;
use super::container::LISTS;
use sampan_api::field::FieldErrors;

/// Such containers are all of a pod or none, and in the host's network.
pub(super) fn check(spec: At<'_>, allow_privileged: bool, errors: &mut FieldErrors) {
    let context = spec.get("securityContext");
    let whole = context.get("windowsOptions").get("hostProcess").value().as_bool();
    let (mut all, mut of_host) = (0, 0);
    for list in LISTS {
        for container in spec.get(list).items() {
            let context = container.get("securityContext");
            let options = context.get("windowsOptions");
            let at = options.get("hostProcess");
            let own = at.value().as_bool();
            if let (Some(whole), Some(own)) = (whole, own)
                && whole != own
            {
                at.invalid(
                    errors,
                    format!("pod hostProcess value must be identical if both are specified, was {whole}"),
                );
            }
            all += 1;
            of_host += usize::from(own.or(whole) == Some(true));
        }
    }
    if of_host == 0 {
        return;
    }
    if of_host != all {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        spec.invalid_as(errors, "", why);
    }
    let network = spec.get("hostNetwork");
    if !network.flag() {
        network.invalid_as(errors, false, "hostNetwork must be true if pod contains any hostProcess containers");
    }
    if !allow_privileged {
        spec.forbidden(errors, "hostProcess containers are disallowed by cluster policy");
    }
}
