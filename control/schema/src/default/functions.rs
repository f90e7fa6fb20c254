//! Defaults that data cannot say: a value that is computed from others.

use std::collections::BTreeMap;

use sampan_api::Quantity;
use serde_json::{Map, Value};

use crate::plan::Function;
use crate::scalar;

type Object = Map<String, Value>;

const FUNCTIONS: &[(&str, Function)] = &[
    ("allocatable-from-capacity", allocatable),
    ("claim-templates", claim_templates),
    ("definition-names", definition_names),
    ("host-ports", host_ports),
    ("image-pull-policy", image_pull_policy),
    ("labels-from-template", labels_from_template),
    ("limit-range-defaults", limit_range),
    ("load-balancer-ip-mode", ip_mode),
    ("namespace-label", namespace_label),
    ("node-ranges", node_ranges),
    ("pod-addresses", pod_addresses),
    ("pod-level-resources", pod_level_resources),
    ("requests-from-limits", requests_from_limits),
    ("selector-and-labels-from-template", selector_and_labels),
    ("service-account-names", service_account_names),
    ("service-ports", service_ports),
    ("stored-versions", stored_versions),
    ("string-data", string_data),
    ("template-generation", template_generation),
    ("volume-source", volume_source),
];

pub(super) fn named(name: &str) -> Option<Function> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

fn is_unset(map: &Object, name: &str) -> bool {
    map.get(name).is_none_or(crate::zero::is_empty)
}

fn text<'m>(map: &'m Object, name: &str) -> &'m str {
    map.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn object<'m>(map: &'m mut Object, name: &str) -> Option<&'m mut Object> {
    map.get_mut(name).and_then(Value::as_object_mut)
}

fn items<'m>(map: &'m mut Object, name: &str) -> impl Iterator<Item = &'m mut Object> {
    map.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Amounts finer than a thousandth are rounded up.
pub(super) fn round(value: &mut Value) {
    let fine = value.as_str().is_some_and(|text| text.ends_with(['n', 'u']) || text.contains(['e', 'E', '.']));
    if fine && let Some(quantity) = value.as_str().and_then(|text| text.parse::<Quantity>().ok()) {
        let rounded = quantity.rounded_to_millis();
        if rounded != quantity {
            *value = Value::String(rounded.to_string());
        }
    }
}

/// `Always` for the tag `latest`, given or implied; `IfNotPresent` otherwise, and for what is no image name.
/// Longest name of an image's repository with its registry, bytes.
const IMAGE_NAME_MAX: usize = 255;

fn policy_of(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (path_start, tag) = match name.rfind(':') {
        Some(at) if !name[at..].contains('/') => (&name[..at], Some(&name[at + 1..])),
        _ => (name, None),
    };
    let (domain, path) = path_start.split_once('/').unwrap_or(("", path_start));
    let is_domain =
        domain.contains(['.', ':']) || domain == "localhost" || domain.bytes().any(|b| b.is_ascii_uppercase());
    let path = if is_domain { path } else { path_start };
    let sound = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'_' | b'-' | b'/');
    let is_name = path_start.len() <= IMAGE_NAME_MAX
        && path.split('/').all(|part| {
            let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric());
            edge(part.bytes().next()) && edge(part.bytes().last()) && part.bytes().all(sound)
        });
    match (is_name, tag, digest) {
        (true, Some("latest"), _) | (true, None, None) => "Always",
        _ => "IfNotPresent",
    }
}

fn image_pull_policy(container: &mut Object) {
    if is_unset(container, "imagePullPolicy") {
        let policy = policy_of(text(container, "image"));
        container.insert("imagePullPolicy".into(), policy.into());
    }
}

fn volume_source(volume: &mut Object) {
    if volume.iter().all(|(name, value)| name == "name" || value.is_null()) {
        volume.insert("emptyDir".into(), Value::Object(Object::new()));
    }
    if let Some(image) = object(volume, "image")
        && is_unset(image, "pullPolicy")
    {
        let policy = policy_of(text(image, "reference"));
        image.insert("pullPolicy".into(), policy.into());
    }
}

fn requests_from_limits(pod: &mut Object) {
    let Some(spec) = object(pod, "spec") else { return };
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            let Some(resources) = object(container, "resources") else { continue };
            let Some(Value::Object(limits)) = resources.get("limits").cloned() else { continue };
            let requests = resources.entry("requests").or_insert_with(|| Value::Object(Object::new()));
            if requests.is_null() {
                *requests = Value::Object(Object::new());
            }
            if let Value::Object(requests) = requests {
                for (name, amount) in limits {
                    requests.entry(name).or_insert(amount);
                }
            }
        }
    }
}

fn is_pod_level(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

/// The sum of all containers' requests or limits, or the largest step of the init sequence where that is more.
pub fn aggregate(spec: &Object, which: &str) -> BTreeMap<String, Quantity> {
    type Amounts = BTreeMap<String, Quantity>;
    let amounts = |container: &Value| -> Vec<(String, Quantity)> {
        let list = container.get("resources").and_then(|r| r.get(which)).and_then(Value::as_object);
        let parse = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.parse().ok()?));
        list.into_iter().flatten().filter_map(parse).collect()
    };
    let add = |sum: &mut Amounts, name: &str, amount: Quantity| -> Quantity {
        let sum = sum.entry(name.to_string()).and_modify(|sum| *sum = sum.plus(amount)).or_insert(amount);
        *sum
    };
    let containers = |name: &str| spec.get(name).and_then(Value::as_array).into_iter().flatten();
    // A step of the init sequence is one container and the sidecars before it. Of each resource the largest step is kept:
    // it changes only where a container names the resource.
    let (mut total, mut sidecars, mut largest) = (Amounts::new(), Amounts::new(), Amounts::new());
    for (name, amount) in containers("containers").flat_map(amounts) {
        add(&mut total, &name, amount);
    }
    for container in containers("initContainers") {
        let is_sidecar = container.get("restartPolicy").and_then(Value::as_str) == Some("Always");
        for (name, amount) in amounts(container) {
            let step = if is_sidecar {
                add(&mut total, &name, amount);
                add(&mut sidecars, &name, amount)
            } else {
                sidecars.get(&name).map_or(amount, |sidecars| sidecars.plus(amount))
            };
            largest.entry(name).and_modify(|largest| *largest = step.max(*largest)).or_insert(step);
        }
    }
    for (name, amount) in largest {
        total.entry(name).and_modify(|sum| *sum = amount.max(*sum)).or_insert(amount);
    }
    total
}

fn pod_level_resources(pod: &mut Object) {
    let Some(spec) = object(pod, "spec") else { return };
    let part = |spec: &Object, name: &str| {
        spec.get("resources").and_then(|r| r.get(name)).and_then(Value::as_object).cloned().unwrap_or_default()
    };
    if !spec.get("resources").is_some_and(Value::is_object) {
        return;
    }
    let (mut limits, mut requests) = (part(spec, "limits"), part(spec, "requests"));
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    for (name, amount) in aggregate(spec, "limits") {
        if name.starts_with("hugepages-") && !requests.contains_key(&name) {
            limits.entry(name).or_insert_with(|| Value::String(amount.to_string()));
        }
    }
    if !limits.is_empty() {
        for (name, amount) in aggregate(spec, "requests") {
            if is_pod_level(&name) && !name.starts_with("hugepages-") {
                requests.entry(name).or_insert_with(|| Value::String(amount.to_string()));
            }
        }
        for (name, amount) in &limits {
            if is_pod_level(name) {
                requests.entry(name.clone()).or_insert_with(|| amount.clone());
            }
        }
    }
    if let Some(resources) = object(spec, "resources") {
        for (name, list) in [("limits", limits), ("requests", requests)] {
            if !list.is_empty() {
                resources.insert(name.into(), Value::Object(list));
            }
        }
    }
}

fn host_ports(pod: &mut Object) {
    let Some(spec) = object(pod, "spec") else { return };
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            for port in items(container, "ports") {
                if is_unset(port, "hostPort")
                    && let Some(number) = port.get("containerPort").cloned()
                {
                    port.insert("hostPort".into(), number);
                }
            }
        }
    }
}

/// The older name of the field is kept as a copy of the newer.
fn service_account_names(spec: &mut Object) {
    let current = text(spec, "serviceAccountName").to_string();
    let name = if current.is_empty() { text(spec, "serviceAccount").to_string() } else { current };
    if !name.is_empty() {
        spec.insert("serviceAccount".into(), name.clone().into());
        spec.insert("serviceAccountName".into(), name.into());
    }
}

fn service_ports(service: &mut Object) {
    let Some(spec) = object(service, "spec") else { return };
    for port in items(spec, "ports") {
        if is_unset(port, "protocol") {
            port.insert("protocol".into(), "TCP".into());
        }
        if is_unset(port, "targetPort") {
            let number = port.get("port").cloned().unwrap_or_else(|| 0.into());
            port.insert("targetPort".into(), number);
        }
    }
}

fn ip_mode(service: &mut Object) {
    let Some(balancer) = object(service, "status").and_then(|status| object(status, "loadBalancer")) else { return };
    for ingress in items(balancer, "ingress") {
        if !is_unset(ingress, "ip") && !ingress.contains_key("ipMode") {
            ingress.insert("ipMode".into(), "VIP".into());
        }
    }
}

/// `stringData` is written only: it is moved into `data`, over what is there.
fn string_data(secret: &mut Object) {
    let Some(Value::Object(strings)) = secret.remove("stringData") else { return };
    if strings.is_empty() {
        return;
    }
    let data = secret.entry("data").or_insert_with(|| Value::Object(Object::new()));
    if let Value::Object(data) = data {
        for (name, value) in strings {
            let bytes = value.as_str().unwrap_or_default().as_bytes();
            data.insert(name, Value::String(scalar::to_base64(bytes)));
        }
    }
}

fn namespace_label(namespace: &mut Object) {
    let Some(metadata) = object(namespace, "metadata") else { return };
    let name = text(metadata, "name").to_string();
    if name.is_empty() {
        return;
    }
    let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Object::new()));
    if let Value::Object(labels) = labels {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
}

/// A field of the type that Kubernetes converts to, shown as an annotation.
fn template_generation(daemons: &mut Object) {
    let Some(metadata) = object(daemons, "metadata") else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Object::new()));
    if let Value::Object(annotations) = annotations {
        annotations.entry("deprecated.daemonset.template.generation").or_insert_with(|| "0".into());
    }
}

/// The field that old clients know, and the list that begins with it: the field wins.
fn first_of(map: &mut Object, single: &str, list: &str, value: fn(&Value) -> Option<&str>, entry: fn(&str) -> Value) {
    let first = map.get(list).and_then(|list| value(list.get(0)?)).map(str::to_owned);
    match (text(map, single).to_owned(), first) {
        (one, first) if !one.is_empty() && first.as_ref() != Some(&one) => {
            map.insert(list.into(), Value::Array(vec![entry(&one)]));
        }
        (one, Some(first)) if one.is_empty() => drop(map.insert(single.into(), first.into())),
        _ => {}
    }
}

fn node_ranges(spec: &mut Object) {
    first_of(spec, "podCIDR", "podCIDRs", Value::as_str, |range| range.into());
}

fn pod_addresses(status: &mut Object) {
    first_of(status, "podIP", "podIPs", |first| first.get("ip")?.as_str(), |ip| serde_json::json!({ "ip": ip }));
}

fn allocatable(status: &mut Object) {
    if !status.contains_key("allocatable")
        && let Some(capacity) = status.get("capacity").cloned()
    {
        status.insert("allocatable".into(), capacity);
    }
}

fn limit_range(item: &mut Object) {
    for (target, source) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let Some(Value::Object(from)) = item.get(source).cloned() else { continue };
        let to = item.entry(target).or_insert_with(|| Value::Object(Object::new()));
        if let Value::Object(to) = to {
            for (name, amount) in from {
                to.entry(name).or_insert(amount);
            }
        }
    }
}

fn template_labels(object: &Object) -> Option<Value> {
    object.get("spec")?.get("template")?.get("metadata")?.get("labels").filter(|l| l.is_object()).cloned()
}

fn labels_from_template(object: &mut Object) {
    let Some(labels) = template_labels(object) else { return };
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else { return };
    if is_unset(metadata, "labels") {
        metadata.insert("labels".into(), labels);
    }
}

fn selector_and_labels(controller: &mut Object) {
    let Some(labels) = template_labels(controller) else { return };
    if let Some(spec) = object(controller, "spec")
        && is_unset(spec, "selector")
    {
        spec.insert("selector".into(), labels);
    }
    labels_from_template(controller);
}

fn claim_templates(set: &mut Object) {
    let Some(spec) = object(set, "spec") else { return };
    for claim in items(spec, "volumeClaimTemplates") {
        for (name, value) in [("apiVersion", "v1"), ("kind", "PersistentVolumeClaim")] {
            if is_unset(claim, name) {
                claim.insert(name.into(), value.into());
            }
        }
    }
}

fn definition_names(definition: &mut Object) {
    let Some(names) = object(definition, "spec").and_then(|spec| object(spec, "names")) else { return };
    let kind = text(names, "kind").to_string();
    if is_unset(names, "singular") {
        names.insert("singular".into(), kind.to_lowercase().into());
    }
    if is_unset(names, "listKind") && !kind.is_empty() {
        names.insert("listKind".into(), format!("{kind}List").into());
    }
}

fn stored_versions(definition: &mut Object) {
    let versions = definition.get("spec").and_then(|spec| spec.get("versions")).and_then(Value::as_array);
    let stored = versions.into_iter().flatten().find(|v| v.get("storage") == Some(&Value::Bool(true)));
    let Some(name) = stored.and_then(|v| v.get("name")).cloned() else { return };
    let status = definition.entry("status").or_insert_with(|| Value::Object(Object::new()));
    if let Value::Object(status) = status
        && is_unset(status, "storedVersions")
    {
        status.insert("storedVersions".into(), Value::Array(vec![name]));
    }
}
