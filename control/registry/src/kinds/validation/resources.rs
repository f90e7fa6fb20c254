//! Requests and limits of containers.

use super::At;
use super::checks::named;
use sampan_api::field::{FieldError, FieldErrors};
use sampan_api::names;
use sampan_api::quantity::Quantity;
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};

const HUGE_PAGES: &str = "hugepages-";
const NATIVE_DOMAIN: &str = "kubernetes.io/";
const QUOTA_PREFIX: &str = "requests.";

pub(in crate::kinds) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// A quantity in its canonical form.
pub(in crate::kinds) fn canonical(value: &Value) -> String {
    quantity(value).map_or_else(String::new, |quantity| quantity.to_string())
}

pub(in crate::kinds) fn not_negative_quantity(at: At<'_>, errors: &mut FieldErrors) {
    if quantity(at.value()).is_some_and(|quantity| quantity.is_negative()) {
        at.invalid_as(errors, canonical(at.value()), super::checks::NOT_NEGATIVE);
    }
}

pub(in crate::kinds) fn is_standard_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with(HUGE_PAGES)
}

fn is_standard_for_quotas(name: &str) -> bool {
    const COUNTED: [&str; 9] = [
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
        "services.nodeports",
        "services.loadbalancers",
    ];
    const SUMMED: [&str; 11] = [
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "storage",
    ];
    COUNTED.contains(&name) || SUMMED.contains(&name)
}

/// Known without a domain, whether to containers, quotas or volumes.
pub(in crate::kinds) fn is_standard(name: &str) -> bool {
    is_standard_for_quotas(name) || is_standard_for_containers(name) || name.starts_with("requests.hugepages-")
}

/// Known to quotas: standard ones but `storage`.
pub(in crate::kinds) fn is_standard_quota(name: &str) -> bool {
    (is_standard_for_quotas(name) && name != "storage")
        || name.starts_with(HUGE_PAGES)
        || name.starts_with("requests.hugepages-")
}

/// In Kubernetes' own domain.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains(NATIVE_DOMAIN)
}

pub(in crate::kinds) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with(QUOTA_PREFIX)
        && names::qualified_name(&format!("{QUOTA_PREFIX}{name}")).is_empty()
}

fn overcommit_allowed(name: &str) -> bool {
    is_native(name) && !name.starts_with(HUGE_PAGES)
}

fn is_integer(name: &str) -> bool {
    const COUNTED: [&str; 9] = [
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ];
    COUNTED.contains(&name) || is_extended(name)
}

/// A resource's name, as any place takes it. The path's last step is the name. False where something is wrong.
pub(in crate::kinds) fn resource_name(at: At<'_>, name: &str, errors: &mut FieldErrors) -> bool {
    let before = errors.len();
    for message in names::qualified_name(name) {
        at.invalid_as(errors, name, message);
    }
    if errors.len() == before && !name.contains('/') && !is_standard(name) {
        at.invalid_as(errors, name, "must be a standard resource type or fully qualified");
    }
    errors.len() == before
}

pub(in crate::kinds) fn container_resource_name(at: At<'_>, name: &str, errors: &mut FieldErrors) {
    resource_name(at, name, errors);
    if !name.contains('/') {
        if !is_standard_for_containers(name) {
            at.invalid_as(errors, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        at.invalid_as(errors, name, "doesn't follow extended resource name standard");
    }
}

/// Not negative, and whole where the resource cannot be divided.
pub(in crate::kinds) fn resource_quantity(at: At<'_>, name: &str, errors: &mut FieldErrors) {
    not_negative_quantity(at, errors);
    let Some(quantity) = quantity(at.value()) else { return };
    if is_integer(name) && quantity.milli_value() % 1000 != 0 {
        at.invalid_as(errors, quantity.to_string(), "must be an integer");
    }
}

/// A container's `resources`.
pub(in crate::kinds) fn requirements(at: At<'_>, claims: &ClaimNames<'_>, errors: &mut FieldErrors) {
    let (limits, requests) = (at.get("limits"), at.get("requests"));
    for (name, limit) in limits.entries() {
        container_resource_name(limit, name, errors);
        resource_quantity(limit, name, errors);
    }
    for (name, request) in requests.entries() {
        container_resource_name(request, name, errors);
        resource_quantity(request, name, errors);
        let asked = quantity(request.value());
        match (asked, quantity(limits.key(name).value())) {
            (Some(asked), Some(limit)) if asked != limit && !overcommit_allowed(name) => {
                requests.invalid_as(errors, asked.to_string(), format!("must be equal to {name} limit of {limit}"));
            }
            (Some(asked), Some(limit)) if asked > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                requests.invalid_as(errors, asked.to_string(), detail);
            }
            (Some(_), None) if !overcommit_allowed(name) => {
                limits.required(errors, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
    let any =
        |wanted: fn(&str) -> bool| [&limits, &requests].iter().any(|list| list.entries().any(|(name, _)| wanted(name)));
    if any(|name| name.starts_with(HUGE_PAGES)) && !any(|name| matches!(name, "cpu" | "memory")) {
        at.forbidden(errors, "HugePages require cpu or memory");
    }
    claim_names(at.get("claims"), claims, errors);
}

/// The names of a pod's claims, which its containers may ask for.
pub(in crate::kinds) struct ClaimNames<'a> {
    names: BTreeSet<&'a str>,
    /// The message about a name that is none of them; made at the first such name.
    refusal: OnceCell<String>,
}

impl<'a> ClaimNames<'a> {
    /// Of the list `spec.resourceClaims`.
    pub(in crate::kinds) fn of(list: &'a Value) -> Self {
        let names = list.as_array().into_iter().flatten().filter_map(|claim| claim.get("name")?.as_str()).collect();
        Self { names, refusal: OnceCell::new() }
    }

    fn refusal(&self) -> &str {
        self.refusal.get_or_init(|| {
            const DETAIL: &str = "must be one of the names in pod.spec.resourceClaims";
            if self.names.is_empty() {
                return format!("{DETAIL} which is empty");
            }
            let names: Vec<&str> = self.names.iter().copied().collect();
            format!("{DETAIL}: {}", names.join(", "))
        })
    }
}

/// A container's claims: each is one of the pod's, and stands once.
fn claim_names(at: At<'_>, claims: &ClaimNames<'_>, errors: &mut FieldErrors) {
    let mut seen: HashSet<String> = HashSet::new();
    for claim in at.items() {
        let name = claim.get("name").text();
        if name.is_empty() {
            claim.required(errors, "");
            continue;
        }
        let request = claim.get("request");
        let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{}", request.text()) };
        if seen.contains(name) {
            claim.duplicate_as(errors, name);
        } else if seen.contains(&key) {
            claim.duplicate_as(errors, &key);
        } else {
            if !request.is_empty() {
                named(request, errors, names::dns1123_label);
            }
            seen.insert(key);
        }
        if !claims.names.contains(name) && !errors.is_full() {
            let mut error = FieldError::not_found(&claim.path(), name);
            claims.refusal().clone_into(&mut error.detail);
            errors.push(error);
        }
    }
}
