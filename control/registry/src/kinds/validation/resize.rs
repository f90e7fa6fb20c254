//! What a resize may change of a pod: the cpu and memory of its containers, and of itself where that is a feature that is on
//! (ValidatePodResize).

use super::At;
use super::change::{MIRROR, of_no_field};
use super::qos::qos_class;
use super::resources::canonical;
use crate::strategy::Context;
use sampan_api::field::{FieldError, FieldErrors};
use sampan_api::object::Object;

/// The feature of changing what a pod asks for as a whole.
const POD_LEVEL: &str = "InPlacePodLevelResourcesVerticalScaling";
const MUTABLE: &str = "only cpu and memory resources are mutable";

/// Why the pod cannot be resized whatever is asked.
pub(super) fn refusal(old: &Object) -> Option<&'static str> {
    if old.annotation(MIRROR).is_some() {
        return Some("static pods cannot be resized");
    }
    let windows = old.get_str(&["spec", "os", "name"]) == Some("windows");
    windows.then_some("windows pods cannot be resized")
}

/// Checks a resize of `old`, whose new spec is sound by itself.
pub(super) fn resize(ctx: &Context<'_>, pod: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old_at) = (At::object(pod), At::object(old));
    let (spec, before) = (at.get("spec"), old_at.get("spec"));
    let class = old.get_str(&["status", "qosClass"]).unwrap_or_else(|| qos_class(old));
    if class != qos_class(pod) {
        let status = at.get("status");
        spec.invalid_as(errors, status.get("qosClass").text(), "Pod QOS Class may not change as a result of resizing");
    }
    if !node_resizes(old_at.get("status")) {
        spec.forbidden(errors, "Pod running on node without support for resize");
    }
    let (own, own_before) = (spec.get("resources"), before.get("resources"));
    if asks(own) || asks(own_before) {
        if !ctx.gates.enabled(POD_LEVEL) {
            let text = "resize of pods with pod-level resources is forbidden when \
                        InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled";
            errors.push(FieldError::forbidden(&of_no_field(), text));
            return;
        }
        of_the_pod(spec, own, own_before, errors);
    }
    let known = errors.len();
    for list in ["containers", "initContainers"] {
        same_containers(spec.get(list), before.get(list), list, errors);
    }
    if errors.len() > known {
        return;
    }
    for list in ["initContainers", "containers"] {
        let (new, old) = (spec.get(list), before.get(list));
        for (container, old) in new.items().zip(old.items()) {
            if list == "containers" || restarts(container) {
                let resources = container.get("resources");
                kept(resources, old.get("resources"), "", errors);
            }
        }
    }
    for list in ["containers", "initContainers"] {
        let (new, old) = (spec.get(list), before.get(list));
        for (container, old) in new.items().zip(old.items()) {
            let (may_change, text) = match (list, restarts(container)) {
                ("containers", _) => (true, MUTABLE),
                (_, true) => (true, "only cpu and memory resources for sidecar containers are mutable"),
                (_, false) => (false, "resources for non-sidecar init containers are immutable"),
            };
            if differs(container, old, may_change) {
                spec.forbidden(errors, text);
            }
        }
    }
}

fn asks(resources: At<'_>) -> bool {
    !resources.get("requests").is_empty() || !resources.get("limits").is_empty()
}

/// Whether an init container stays beside the others.
fn restarts(container: At<'_>) -> bool {
    container.get("restartPolicy").text() == "Always"
}

/// A node that can resize tells what its running containers have; of one where none runs it is believed.
fn node_resizes(status: At<'_>) -> bool {
    let statuses = status.get("containerStatuses");
    let running = statuses.items().find(|status| status.get("state").get("running").is_set());
    running.is_none_or(|status| status.get("resources").is_set())
}

/// The pod's own requests and limits.
fn of_the_pod(spec: At<'_>, new: At<'_>, old: At<'_>, errors: &mut FieldErrors) {
    if old.is_set() && !new.is_set() {
        new.forbidden(errors, "pod-level resources cannot be removed");
        return;
    }
    kept(new, old, "pod-level ", errors);
    if ["requests", "limits"].iter().any(|list| fixed(new.get(list)) != fixed(old.get(list))) {
        spec.forbidden(errors, "only cpu and memory resources are mutable at pod-level");
    }
}

/// The same containers in the same order.
fn same_containers(new: At<'_>, old: At<'_>, what: &str, errors: &mut FieldErrors) {
    if new.len() != old.len() {
        new.forbidden(errors, format!("{what} may not be added or removed on resize"));
        return;
    }
    for (container, old) in new.items().zip(old.items()) {
        let name = container.get("name");
        if name.text() != old.get("name").text() {
            name.forbidden(errors, format!("{what} may not be renamed or reordered on resize"));
        }
    }
}

/// No request and no limit may go.
fn kept(new: At<'_>, old: At<'_>, whose: &str, errors: &mut FieldErrors) {
    for list in ["requests", "limits"] {
        let (amounts, before) = (new.get(list), old.get(list));
        if before.entries().any(|(name, _)| !amounts.key(name).is_set()) {
            amounts.forbidden(errors, format!("{whose}resource {list} cannot be removed"));
        }
    }
}

/// The amounts but cpu and memory.
fn fixed(amounts: At<'_>) -> Vec<(String, String)> {
    let others = amounts.entries().filter(|(name, _)| !matches!(*name, "cpu" | "memory"));
    others.map(|(name, amount)| (name.to_owned(), canonical(amount.value()))).collect()
}

fn all(amounts: At<'_>) -> Vec<(String, String)> {
    amounts.entries().map(|(name, amount)| (name.to_owned(), canonical(amount.value()))).collect()
}

/// Whether more of a container changed than may: `may_change` its cpu and memory. Like Kubernetes, which compares without the
/// claims of the new container, it lets none be resized that has claims.
fn differs(new: At<'_>, old: At<'_>, may_change: bool) -> bool {
    let (resources, before) = (new.get("resources"), old.get("resources"));
    let (claims, claims_before) = (resources.get("claims"), before.get("claims"));
    let claims_differ = if may_change { !claims_before.is_empty() } else { claims.value() != claims_before.value() };
    let amounts_differ = ["requests", "limits"].iter().any(|list| {
        let (amounts, before) = (resources.get(list), before.get(list));
        if may_change { fixed(amounts) != fixed(before) } else { all(amounts) != all(before) }
    });
    let (policies, policies_before) = (new.get("resizePolicy"), old.get("resizePolicy"));
    let policies_differ =
        policies.value() != policies_before.value() && !(policies.is_empty() && policies_before.is_empty());
    claims_differ || amounts_differ || policies_differ
}
