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

/// Not negative; told as a number (validateBasicResource).
pub(in crate::kinds) fn basic_quantity(at: At<'_>, errors: &mut FieldErrors) {
    if let Some(amount) = quantity(at.value()).filter(|amount| amount.value() < 0) {
        at.invalid_as(errors, amount.value(), "must be a valid resource quantity");
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
pub(in crate::kinds) fn is_native(name: &str) -> bool {
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
    requirements_of(at, claims, container_resource_name, errors);
}

/// A resource of a pod as a whole, whatever its containers ask for.
fn pod_resource_name(at: At<'_>, name: &str, errors: &mut FieldErrors) {
    if resource_name(at, name, errors) && !matches!(name, "cpu" | "memory") && !name.starts_with(HUGE_PAGES) {
        at.not_supported_as(errors, name, &["cpu", HUGE_PAGES, "memory"]);
    }
}

/// What a pod asks for as a whole (validatePodResources). `windows`: of the pod's system.
pub(in crate::kinds) fn pod_requirements(
    spec: At<'_>,
    claims: &ClaimNames<'_>,
    windows: bool,
    errors: &mut FieldErrors,
) {
    let at = spec.get("resources");
    if !at.is_set() {
        return;
    }
    if windows {
        at.forbidden(errors, "may not be set for a windows pod");
        return;
    }
    if at.get("claims").is_set() {
        at.get("claims").forbidden(errors, "claims may not be set for Resources at pod-level");
    }
    requirements_of(at, claims, pod_resource_name, errors);
    within_pod(spec, at, errors);
}

/// Containers together ask for no more than their pod does, and none is limited to more.
fn within_pod(spec: At<'_>, at: At<'_>, errors: &mut FieldErrors) {
    let Some(fields) = spec.value().as_object() else { return };
    for (list, all) in [("requests", true), ("limits", false)] {
        let own = at.get(list);
        for (name, sum) in sampan_schema::default::aggregate(fields, list) {
            let amount = own.key(&name);
            let Some(asked) = quantity(amount.value()).filter(|_| all || name.starts_with(HUGE_PAGES)) else {
                continue;
            };
            if sum > asked {
                let detail = format!("must be greater than or equal to aggregate container {list} of {sum}");
                amount.invalid_as(errors, asked.to_string(), detail);
            }
        }
    }
    let (limits, containers) = (at.get("limits"), spec.get("containers"));
    // Told of a place below the pod's own resources, as in Kubernetes.
    let shown = At::within(containers.value(), &at, "containers");
    for container in shown.items() {
        let resources = container.get("resources");
        for (name, limit) in resources.get("limits").entries() {
            let (most, own) = (quantity(limits.key(name).value()), quantity(limit.value()));
            if let (Some(most), Some(own)) = (most, own)
                && own > most
            {
                let detail = format!("must be less than or equal to pod limits of {most}");
                container.key(name).get("limits").invalid_as(errors, own.to_string(), detail);
            }
        }
    }
}

fn requirements_of(
    at: At<'_>,
    claims: &ClaimNames<'_>,
    name_rule: fn(At<'_>, &str, &mut FieldErrors),
    errors: &mut FieldErrors,
) {
    let (limits, requests) = (at.get("limits"), at.get("requests"));
    for (name, limit) in limits.entries() {
        name_rule(limit, name, errors);
        resource_quantity(limit, name, errors);
    }
    for (name, request) in requests.entries() {
        name_rule(request, name, errors);
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
    huge_pages_alone(at, &[&limits, &requests], errors);
    claim_names(at.get("claims"), claims, errors);
}

fn huge_pages_alone(at: At<'_>, lists: &[&At<'_>], errors: &mut FieldErrors) {
    let any = |wanted: fn(&str) -> bool| lists.iter().any(|list| list.entries().any(|(name, _)| wanted(name)));
    if any(|name| name.starts_with(HUGE_PAGES)) && !any(|name| matches!(name, "cpu" | "memory")) {
        at.forbidden(errors, "HugePages require cpu or memory");
    }
}

/// What it takes to run a pod beside its containers. Kubernetes checks the amounts as a container's limits, and calls them so
/// (validateOverhead).
pub(in crate::kinds) fn overhead(at: At<'_>, amounts: &Value, errors: &mut FieldErrors) {
    let limits = At::within(amounts, &at, "limits");
    for (name, amount) in limits.entries() {
        container_resource_name(amount, name, errors);
        resource_quantity(amount, name, errors);
    }
    huge_pages_alone(at, &[&limits], errors);
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
