//! What a write to a pod's status may say (ValidatePodStatusUpdate).

use super::At;
use super::addresses::Legacy;
use super::change::places;
use super::checks::{immutable, named_if_set, parse_ip, user_or_group_id};
use sampan_api::field::FieldErrors;
use sampan_api::names;
use sampan_api::object::Object;
use sampan_schema::gates::Gates;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

const ENDED: &str = "may not be transitioned to non-terminated state";
const HEALTH: [&str; 3] = ["Healthy", "Unhealthy", "Unknown"];
/// The lists of containers' statuses, in the order in which they are checked.
const LISTS: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

pub(super) fn pod_status(gates: &Gates, pod: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old_at) = (At::object(pod), At::object(old));
    let (status, old_status) = (at.get("status"), old_at.get("status"));
    let conditions = status.get("conditions");
    for condition in conditions.items() {
        let generation = condition.get("observedGeneration");
        if generation.number() < 0 {
            generation.invalid(errors, "must be a non-negative integer");
        }
        let type_ = condition.get("type").text();
        if !matches!(type_, "PodScheduled" | "Ready" | "Initialized") {
            condition.get("Type").invalid_each_as(errors, type_, names::qualified_name(type_));
        }
    }
    let (spec, old_spec) = (at.get("spec"), old_at.get("spec"));
    if spec.get("nodeName").text() != old_spec.get("nodeName").text() {
        status.get("nodeName").forbidden(errors, "may not be changed directly");
    }
    let nominated = status.get("nominatedNodeName");
    if nominated.text() != old_status.get("nominatedNodeName").text() {
        named_if_set(nominated, errors, names::dns1123_subdomain);
        if !old_spec.get("nodeName").is_empty() && !nominated.is_empty() {
            nominated.forbidden(errors, "may not be set on pods that are already bound to a node");
        }
    }
    if status.get("observedGeneration").number() < 0 {
        status.get("observedGeneration").invalid(errors, "must be a non-negative integer");
    }
    let qos = status.get("qosClass");
    if qos.text() != old_status.get("qosClass").text() {
        immutable(qos, old_status.get("qosClass"), errors);
    }
    for (statuses, containers) in LISTS.iter().zip(["containers", "initContainers", "ephemeralContainers"]) {
        transitions(status.get(statuses), old_status.get(statuses), old_spec, containers, errors);
    }
    resource_claims(status.get("resourceClaimStatuses"), spec.get("resourceClaims"), errors);
    extended_claim(status.get("extendedResourceClaimStatus"), spec, errors);
    addresses(gates, status, old_status, errors);
    let windows = spec.get("os").get("name").text() == "windows";
    for statuses in LISTS {
        users(status.get(statuses), windows, errors);
    }
    for (statuses, containers) in LISTS.iter().zip(["containers", "initContainers"]) {
        health(status.get(statuses), spec.get(containers), errors);
    }
    let ephemeral = status.get(LISTS[2]);
    for told in ephemeral.items() {
        let told = told.get("allocatedResourcesStatus");
        if !told.is_empty() {
            told.forbidden(errors, "must not be specified in container status");
        }
    }
}

/// The claim that was made for extended resources, and which of its requests is whose.
fn extended_claim(at: At<'_>, spec: At<'_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    let mappings = at.get("requestMappings");
    if mappings.is_empty() {
        mappings.required(errors, "at least one request mapping is required");
    }
    let lists = [spec.get("initContainers"), spec.get("containers")];
    let requests: HashMap<&str, Option<&Value>> =
        lists.iter().flat_map(|list| list.value().as_array().into_iter().flatten()).map(named_requests).collect();
    let mut seen = HashSet::new();
    for mapping in mappings.items() {
        let parts = ["containerName", "resourceName", "requestName"].map(|name| mapping.get(name));
        let text = |name: &str| mapping.value().get(name).and_then(Value::as_str).unwrap_or("");
        let [container, resource, request] = ["containerName", "resourceName", "requestName"].map(text);
        match requests.get(container) {
            Some(asked) if asked.is_none_or(|asked| asked.get(resource).is_none()) => parts[1].invalid_as(
                errors,
                resource,
                "must match the extended resource name of an entry in spec.initContainers.resources.requests or \
                 spec.containers.resources.requests",
            ),
            Some(_) => {}
            None => parts[0].invalid_as(
                errors,
                container,
                "must match the name of an entry in spec.initContainers.name or spec.containers.name",
            ),
        }
        // Told of the status itself, as in Kubernetes.
        at.get("requestName").invalid_each_as(errors, request, names::dns1123_label(request));
        if !seen.insert([container, resource, request]) {
            parts.iter().for_each(|part| part.duplicate_as(errors, part.text()));
        }
    }
    let name = at.get("resourceClaimName");
    if name.is_empty() {
        name.required(errors, "");
    } else {
        name.invalid_each(errors, names::dns1123_subdomain(name.text()));
    }
}

fn named_requests(container: &Value) -> (&str, Option<&Value>) {
    let name = container.get("name").and_then(Value::as_str).unwrap_or("");
    (name, container.get("resources").and_then(|resources| resources.get("requests")))
}

/// The health of devices that containers have: each is of a resource that its container asks for, and told once.
fn health(statuses: At<'_>, containers: At<'_>, errors: &mut FieldErrors) {
    let (owners, claimed) = (places(containers), claimed(containers.value()));
    for status in statuses.items() {
        let list = status.get("allocatedResourcesStatus");
        for resource in list.items() {
            let name = resource.get("name");
            let owner = owners.get(status.get("name").text());
            // A container that the pod has not is let pass.
            if let Some(why) = owner.and_then(|owner| not_asked_for(containers.value(), *owner, &claimed, name.text()))
            {
                name.invalid_as(errors, name.text(), why);
            }
            let mut seen = HashSet::new();
            let devices = resource.get("resources");
            for device in devices.items() {
                let (health, id) = (device.get("health"), device.get("resourceID"));
                if !HEALTH.contains(&health.text()) {
                    health.not_supported_as(errors, health.text(), &HEALTH);
                }
                if !seen.insert(id.text().to_owned()) {
                    id.duplicate_as(errors, id.text());
                }
            }
        }
    }
}

/// Claims and their requests, by the place of the container that asks for them.
type Claimed<'a> = HashSet<(usize, &'a str, &'a str)>;

fn claimed(containers: &Value) -> Claimed<'_> {
    let mut claimed = HashSet::new();
    for (place, container) in containers.as_array().into_iter().flatten().enumerate() {
        let claims = container.get("resources").and_then(|resources| resources.get("claims"));
        for claim in claims.and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| claim.get(name).and_then(Value::as_str).unwrap_or("");
            claimed.insert((place, text("name"), text("request")));
        }
    }
    claimed
}

/// Why a resource, or a claim's request (`claim:NAME/REQUEST`), is none that the container in that place asks for.
fn not_asked_for(containers: &Value, place: usize, claimed: &Claimed<'_>, name: &str) -> Option<&'static str> {
    const CLAIM: &str = "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' \
                         or 'claim:<claimName>' if request is empty";
    let Some(claim) = name.strip_prefix("claim:") else {
        let requests = containers.get(place).and_then(|container| named_requests(container).1);
        let asked = requests.is_some_and(|requests| requests.get(name).is_some());
        return (!asked).then_some("must match one of the container's resource requests");
    };
    let whole = claimed.contains(&(place, claim, ""));
    let part = claim.split_once('/').filter(|(_, request)| !request.is_empty());
    let asked = whole || part.is_some_and(|(name, request)| claimed.contains(&(place, name, request)));
    (!asked).then_some(CLAIM)
}

/// What became of the claims that a pod makes: each is one of the pod's, and told once.
fn resource_claims(statuses: At<'_>, claims: At<'_>, errors: &mut FieldErrors) {
    let known = places(claims);
    let mut seen = HashSet::new();
    for status in statuses.items() {
        let (name, made) = (status.get("name"), status.get("resourceClaimName"));
        if !known.contains_key(name.text()) {
            name.invalid_as(errors, name.text(), "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.text().to_owned()) {
            name.duplicate_as(errors, name.text());
        }
        if made.is_set() {
            // Told of the other field, as in Kubernetes.
            name.invalid_each_as(errors, made.text(), names::dns1123_subdomain(made.text()));
        }
    }
}

/// Who containers run as. Windows has no such numbers; of another system nothing is known.
fn users(statuses: At<'_>, windows: bool, errors: &mut FieldErrors) {
    for status in statuses.items() {
        let user = status.get("user");
        let linux = user.get("linux");
        if !linux.is_set() {
            continue;
        }
        if windows {
            linux.forbidden(errors, "cannot be set for a windows pod");
            continue;
        }
        user_or_group_id(linux.get("uid"), errors);
        user_or_group_id(linux.get("gid"), errors);
        let groups = linux.get("supplementalGroups");
        groups.items().for_each(|group| user_or_group_id(group, errors));
    }
}

/// A container that has ended for good stays ended.
fn transitions(new: At<'_>, old: At<'_>, spec: At<'_>, containers: &str, errors: &mut FieldErrors) {
    let list = spec.get(containers);
    let (afters, owners) = (places(new), places(list));
    for (index, before) in old.items().enumerate() {
        let ended = before.get("state");
        let ended = ended.get("terminated");
        let name = before.get("name").text().to_owned();
        let Some(after) = afters.get(&name) else { continue };
        let after = new.index(*after);
        let after_state = after.get("state");
        if !ended.is_set() || after_state.get("terminated").is_set() {
            continue;
        }
        if containers == "ephemeralContainers" {
            // Nothing restarts these.
            new.index(index).get("state").forbidden(errors, ENDED);
            continue;
        }
        let code = ended.get("exitCode").number();
        let own = owners.get(&name).map(|index| {
            let container = list.index(*index);
            let policy = container.get("restartPolicy").text().to_owned();
            (policy, container.get("restartPolicyRules").is_empty())
        });
        let (policy, no_rules) = own.unwrap_or_default();
        let policy = if policy.is_empty() { spec.get("restartPolicy").text().to_owned() } else { policy };
        // Rules may restart what the policy would not.
        let restarts = match policy.as_str() {
            "Always" => true,
            "OnFailure" => code != 0,
            _ => !no_rules,
        };
        if !restarts {
            let place = new.index(index);
            place.get("state").forbidden(errors, ENDED);
        }
    }
}

fn addresses(gates: &Gates, status: At<'_>, old: At<'_>, errors: &mut FieldErrors) {
    let hosts = status.get("hostIPs");
    for (name, list, own) in [("podIPs", status.get("podIPs"), None), ("hostIPs", hosts, Some("hostIP"))] {
        let before = old.value().get(name).and_then(Value::as_array).into_iter().flatten();
        let legacy = Legacy::over(gates, before.filter_map(|address| address.get("ip")?.as_str()));
        if let (Some(own), false) = (own, list.is_empty()) {
            let first = list.index(0);
            if first.get("ip").text() != status.get(own).text() {
                first.get("ip").invalid(errors, "must be equal to `hostIP`");
            }
        }
        let mut families = Vec::new();
        for address in list.items() {
            let text = address.get("ip").text();
            legacy.ip_of(address, text, errors);
            families.extend(parse_ip(text).map(|ip| ip.to_canonical().is_ipv4()));
        }
        if list.len() > 2 || (list.len() == 2 && families.first() == families.get(1)) {
            list.invalid(errors, "may specify no more than one IP for each IP family");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Statuses of features that are off by default, which no recording has.
    #[test]
    fn health_of_devices_and_extended_claims() {
        let pod = |status: Value| {
            let resources =
                json!({"requests": {"x.io/a": "1"}, "claims": [{"name": "c", "request": "r"}, {"name": "d"}]});
            let spec = json!({"containers": [{"name": "a", "resources": resources}]});
            Object::from_value(json!({"spec": spec, "status": status})).expect("an object")
        };
        let check = |status: Value, expected: &[&str]| {
            let mut errors = FieldErrors::default();
            pod_status(&Gates::default(), &pod(status.clone()), &pod(json!({})), &mut errors);
            let found: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(found, expected, "{status}");
        };
        let health = |name: &str, devices: Value| json!({"containerStatuses": [{"name": "a", "allocatedResourcesStatus": [{"name": name, "resources": devices}]}]});
        let fine = json!([{"resourceID": "1", "health": "Healthy"}]);
        for name in ["x.io/a", "claim:c/r", "claim:d"] {
            check(health(name, fine.clone()), &[]);
        }
        for name in ["x.io/b", "claim:c", "claim:d/r", "claim:d/", "claim:"] {
            check(health(name, fine.clone()), &["status.containerStatuses[0].allocatedResourcesStatus[0].name"]);
        }
        check(
            health("x.io/a", json!([{"resourceID": "1", "health": "Fine"}, {"resourceID": "1", "health": "Unknown"}])),
            &[
                "status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health",
                "status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].resourceID",
            ],
        );
        check(
            json!({"ephemeralContainerStatuses": [{"name": "e", "allocatedResourcesStatus": [{"name": "x.io/a"}]}]}),
            &["status.ephemeralContainerStatuses[0].allocatedResourcesStatus"],
        );
        let claim = |container: &str, resource: &str| {
            let mapping = json!({"containerName": container, "resourceName": resource, "requestName": "r"});
            json!({"extendedResourceClaimStatus": {"requestMappings": [mapping], "resourceClaimName": "c"}})
        };
        check(claim("a", "x.io/a"), &[]);
        check(claim("a", "x.io/b"), &["status.extendedResourceClaimStatus.requestMappings[0].resourceName"]);
        check(claim("b", "x.io/a"), &["status.extendedResourceClaimStatus.requestMappings[0].containerName"]);
        check(
            json!({"extendedResourceClaimStatus": {}}),
            &[
                "status.extendedResourceClaimStatus.requestMappings",
                "status.extendedResourceClaimStatus.resourceClaimName",
            ],
        );
    }
}
