//! Services: a name and an address for pods.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::addresses::{
    Legacy, cidr_warning, entries_before, entry_address, entry_host, ip_warning,
};
use super::super::validation::checks::{
    labels, named, one_of, port_number, port_number_or_name, required_named, required_one_of, routable_ip,
};
use super::super::validation::container::PROTOCOLS;
use super::super::validation::warnings;
use super::super::validation::{At, FieldErrors};
use super::cluster_ips::{cluster_ips, headless, texts};
use super::{connect_options, service_fields};
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::{Context, Warned};
use sampan_api::field::{FieldError, Path};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

pub(super) fn row() -> Resource {
    let any = Verbs::CREATE.or(Verbs::DELETE).or(Verbs::GET).or(Verbs::PATCH).or(Verbs::UPDATE);
    Resource::new("", "v1", "services", "Service")
        .kept_at("services/specs")
        .short_names(["svc"])
        .categories(["all"])
        .verbs(Verbs::ALL)
        .connect("proxy", connect_options("ServiceProxyOptions"), any, "proxy")
        .view("status")
        .selectable("spec.clusterIP")
        .selectable("spec.type")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    validate: Some(|ctx, service| {
        let mut errors = FieldErrors::default();
        whole(ctx, service, None, &mut errors);
        errors
    }),
    validate_update: Some(|ctx, service, old| {
        let mut errors = FieldErrors::default();
        changes(service, old, &mut errors);
        whole(ctx, service, Some(old), &mut errors);
        errors
    }),
    validate_status: Some(|ctx, service, old| {
        let mut errors = FieldErrors::default();
        status(ctx, service, old, &mut errors);
        errors
    }),
    allocator: Some(&super::service_allocator::ServiceAllocator),
    create_on_update: true,
    name: names::dns1035_label,
    name_where: Some(("RelaxedServiceNameValidation", names::dns1123_label)),
    prepare_for_create: Some(prepare_for_create),
    prepare_for_update: Some(prepare_for_update),
    canonicalize: Some(service_fields::canonicalize),
    warnings: &[(Warned::Object, warned), (Warned::Status, warnings::load_balancer)],
    ..Rules::NONE
};

/// What a Service is warned of beyond plain facts of its fields.
fn warned(_: &Context<'_>, service: &Object, _: Option<&Object>) -> Vec<String> {
    let mut all = Vec::new();
    if service.annotation(TOPOLOGY_HINTS).is_some() {
        all.push(format!(
            "annotation {TOPOLOGY_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let at = At::object(service);
    let spec = at.get("spec");
    if !matches!(spec.get("clusterIP").text(), "" | "None") {
        spec.get("clusterIPs").items().for_each(|ip| ip_warning(ip, &mut all));
    }
    spec.get("externalIPs").items().for_each(|ip| ip_warning(ip, &mut all));
    if !spec.get("loadBalancerIP").is_empty() {
        ip_warning(spec.get("loadBalancerIP"), &mut all);
    }
    spec.get("loadBalancerSourceRanges").items().for_each(|range| cidr_warning(range, &mut all));
    all
}

/// Only a balancer has points of entry, and each of its addresses says how packets come by it (ValidateLoadBalancerStatus).
fn status(ctx: &Context<'_>, service: &Object, old: &Object, errors: &mut FieldErrors) {
    let at = At::object(service);
    let status = at.get("status");
    let balancer = status.get("loadBalancer");
    let points = balancer.get("ingress");
    if at.get("spec").get("type").text() != "LoadBalancer" && !points.is_empty() {
        points.forbidden(errors, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    let legacy = Legacy::over(ctx.gates, entries_before(old));
    for point in points.items() {
        let (address, mode) = (point.get("ip"), point.get("ipMode"));
        entry_address(point, &legacy, errors);
        match (mode.is_set(), address.is_empty()) {
            (false, false) => mode.required(errors, "must be specified when `ip` is set"),
            (true, true) => mode.forbidden(errors, "may not be specified when `ip` is not set"),
            _ => one_of(mode, errors, &["Proxy", "VIP"]),
        }
        entry_host(point, errors);
    }
}

/// A creator sets no status; families and lists that are left out follow from the rest.
fn prepare_for_create(_: &Context<'_>, service: &mut Object) {
    service.set(&["status"], serde_json::json!({"loadBalancer": {}}));
    service_fields::create(service);
}

fn prepare_for_update(ctx: &Context<'_>, service: &mut Object, old: &Object) {
    if ctx.subresource.is_empty() {
        service_fields::update(service, old);
    }
}

const CELLS: &[(&str, Cell)] = &[
    ("cluster-ip", |service, _| {
        let ips = service.get(&["spec", "clusterIPs"]).and_then(Value::as_array);
        let first = ips.and_then(|ips| ips.first()).and_then(Value::as_str);
        first.filter(|ip| !ip.is_empty()).unwrap_or("<none>").into()
    }),
    ("external-ip", |service, _| external_ip(service).into()),
    ("ports", |service, _| ports(service).into()),
];

fn external_ip(service: &Object) -> String {
    let list = service.get(&["spec", "externalIPs"]).and_then(Value::as_array);
    let external: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    let or = |list: Vec<&str>, none: &str| if list.is_empty() { none.to_owned() } else { list.join(",") };
    match service.get_str(&["spec", "type"]).unwrap_or("") {
        "ClusterIP" | "NodePort" => or(external, "<none>"),
        "ExternalName" => service.get_str(&["spec", "externalName"]).unwrap_or("").to_owned(),
        "LoadBalancer" => {
            let ingress = service.get(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array);
            let mut all: Vec<&str> = addresses(ingress.into_iter().flatten()).into_iter().collect();
            all.extend(external);
            or(all, "<pending>")
        }
        _ => "<unknown>".to_owned(),
    }
}

/// The addresses or host names of a load balancer, sorted.
pub(in crate::kinds) fn addresses<'a>(ingress: impl Iterator<Item = &'a Value>) -> BTreeSet<&'a str> {
    let field = |point: &'a Value, name: &str| point.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    ingress.filter_map(|point| field(point, "ip").or_else(|| field(point, "hostname"))).collect()
}

fn ports(service: &Object) -> String {
    let ports = service.get(&["spec", "ports"]).and_then(Value::as_array);
    let words: Vec<String> = ports
        .into_iter()
        .flatten()
        .map(|port| {
            let number = |name: &str| port.get(name).and_then(Value::as_i64).unwrap_or(0);
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("");
            match number("nodePort") {
                node if node > 0 => format!("{}:{node}/{protocol}", number("port")),
                _ => format!("{}/{protocol}", number("port")),
            }
        })
        .collect();
    if words.is_empty() { "<none>".to_owned() } else { words.join(",") }
}

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITY_SECONDS_MAX: i64 = 86_400;
const ONLY_BALANCED: &str = "may only be used when `type` is 'LoadBalancer'";
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const FIXED: &str = "may not change once set";

/// Whether something outside asks each node whether it has a pod of this Service.
fn health_checked(spec: At<'_>) -> bool {
    spec.get("type").text() == "LoadBalancer" && spec.get("externalTrafficPolicy").text() == "Local"
}

fn whole(ctx: &Context<'_>, service: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(service);
    let metadata = at.get("metadata");
    let annotations = metadata.get("annotations");
    let (mode, hints) = (annotations.key(TOPOLOGY_MODE), annotations.key(TOPOLOGY_HINTS));
    if mode.is_set() && hints.is_set() && mode.text() != hints.text() {
        mode.invalid(errors, format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified"));
    }
    let spec = at.get("spec");
    let (type_, ports) = (spec.get("type"), spec.get("ports"));
    if ports.is_empty() && !headless(spec) && type_.text() != "ExternalName" {
        ports.required(errors, "");
    }
    let ips = spec.get("clusterIPs");
    match type_.text() {
        kind @ ("LoadBalancer" | "NodePort") if headless(spec) => {
            ips.index(0).invalid(errors, format!("may not be set to 'None' for {kind} services"));
        }
        "ExternalName" => external_name(spec, errors),
        _ => {}
    }
    let mut seen = HashSet::new();
    for port in ports.items() {
        check_port(port, ports.len() > 1, &mut seen, errors);
    }
    labels(spec.get("selector"), errors);
    affinity(spec, errors);
    if type_.text() != "ExternalName" {
        cluster_ips(ctx.gates, spec, old, errors);
    }
    let external = spec.get("externalIPs");
    let legacy = Legacy::over(ctx.gates, texts(old, "externalIPs"));
    for address in external.items() {
        let found = errors.len();
        legacy.ip(address, errors);
        if errors.len() == found {
            routable_ip(address, errors);
        }
    }
    required_one_of(type_, errors, &TYPES);
    unique_ports(spec, errors);
    source_ranges(ctx, service, old, errors);
    load_balancer_fields(spec, errors);
    traffic(spec, errors);
}

fn external_name(spec: At<'_>, errors: &mut FieldErrors) {
    for field in ["clusterIPs", "ipFamilies"] {
        if !spec.get(field).is_empty() {
            spec.get(field).forbidden(errors, "may not be set for ExternalName services");
        }
    }
    if spec.get("ipFamilyPolicy").is_set() {
        spec.get("ipFamilyPolicy").forbidden(errors, "may not be set for ExternalName services");
    }
    let name = spec.get("externalName");
    let text = name.text().strip_suffix('.').unwrap_or(name.text());
    if text.is_empty() {
        name.required(errors, "");
    } else {
        name.invalid_each_as(errors, text, names::dns1123_subdomain(text));
    }
}

fn check_port(port: At<'_>, must_have_name: bool, seen: &mut HashSet<String>, errors: &mut FieldErrors) {
    let name = port.get("name");
    if must_have_name {
        required_named(name, errors, names::dns1123_label);
    } else if !name.is_empty() {
        named(name, errors, names::dns1123_label);
    }
    if !name.is_empty() && !seen.insert(name.text().to_owned()) {
        name.duplicate(errors);
    }
    port_number(port.get("port"), errors);
    required_one_of(port.get("protocol"), errors, &PROTOCOLS);
    port_number_or_name(port.get("targetPort"), errors);
    if port.get("appProtocol").is_set() {
        named(port.get("appProtocol"), errors, names::qualified_name);
    }
}

fn affinity(spec: At<'_>, errors: &mut FieldErrors) {
    let (kind, config) = (spec.get("sessionAffinity"), spec.get("sessionAffinityConfig"));
    required_one_of(kind, errors, &["ClientIP", "None"]);
    match kind.text() {
        "ClientIP" => {
            const WHEN: &str = "when session affinity type is ClientIP";
            let client = config.get("clientIP");
            let timeout = client.get("timeoutSeconds");
            if !config.is_set() {
                config.required(errors, WHEN);
            } else if !client.is_set() {
                client.required(errors, WHEN);
            } else if !timeout.is_set() {
                timeout.required(errors, WHEN);
            } else if !(1..=AFFINITY_SECONDS_MAX).contains(&timeout.number()) {
                timeout.invalid(errors, format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}"));
            }
        }
        "None" if config.is_set() => config.forbidden(errors, "must not be set when session affinity is None"),
        _ => {}
    }
}

fn unique_ports(spec: At<'_>, errors: &mut FieldErrors) {
    let ports = spec.get("ports");
    if spec.get("type").text() == "ClusterIP" {
        for port in ports.items().filter(|port| port.get("nodePort").number() != 0) {
            port.get("nodePort").forbidden(errors, "may not be used when `type` is 'ClusterIP'");
        }
    }
    for field in ["nodePort", "port"] {
        let mut seen = HashSet::new();
        for port in ports.items() {
            let number = port.get(field).number();
            if field == "nodePort" && number == 0 {
                continue;
            }
            let protocol = port.get("protocol").text().to_owned();
            if !seen.insert((protocol.clone(), number)) {
                match field {
                    "nodePort" => port.get(field).duplicate(errors),
                    _ => {
                        // Go shows its own struct.
                        let text = format!(
                            "{{\"Name\":\"\",\"Protocol\":{:?},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                            protocol, number
                        );
                        port.duplicate_as(errors, sampan_api::field::BadValue::Raw(text));
                    }
                }
            }
        }
    }
}

/// Who may reach a balancer: by the field, or by the annotation that was before it, of which only changes are checked.
fn source_ranges(ctx: &Context<'_>, service: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(service);
    let (spec, metadata) = (at.get("spec"), at.get("metadata"));
    let balanced = spec.get("type").text() == "LoadBalancer";
    let ranges = spec.get("loadBalancerSourceRanges");
    let shown = spec.get("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !balanced {
        shown.forbidden(errors, ONLY_BALANCED);
    }
    let legacy = Legacy::over(ctx.gates, texts(old, "loadBalancerSourceRanges").map(str::trim));
    for (index, range) in ranges.texts().into_iter().enumerate() {
        let range = Value::from(range.trim());
        // Kubernetes begins the field's name with a capital.
        legacy.cidr(At::with_value(&range, shown.index(index)), errors);
    }
    let annotations = metadata.get("annotations");
    let annotated = annotations.key(SOURCE_RANGES);
    if !ranges.is_empty() || !annotated.is_set() {
        return;
    }
    if !balanced {
        annotated.forbidden(errors, ONLY_BALANCED);
    }
    let text = annotated.text().trim();
    let kept = old.is_some_and(|old| old.annotation(SOURCE_RANGES) == Some(annotated.text()));
    for range in text.split(',').map(str::trim).filter(|_| !kept && !text.is_empty()) {
        let value = Value::from(range);
        // The range stands in the annotation among others.
        Legacy::new(ctx.gates).cidr(At::with_value(&value, annotated), errors);
    }
}

fn load_balancer_fields(spec: At<'_>, errors: &mut FieldErrors) {
    let balanced = spec.get("type").text() == "LoadBalancer";
    let allocate = spec.get("allocateLoadBalancerNodePorts");
    match (allocate.is_set(), balanced) {
        (true, false) => allocate.forbidden(errors, ONLY_BALANCED),
        (false, true) => {
            errors.push(FieldError::required(&Path::from_rendered("allocateLoadBalancerNodePorts"), ""));
        }
        _ => {}
    }
    load_balancer_class(spec, errors);
}

fn load_balancer_class(spec: At<'_>, errors: &mut FieldErrors) {
    let class = spec.get("loadBalancerClass");
    if !class.is_set() {
        return;
    }
    if spec.get("type").text() == "LoadBalancer" {
        named(class, errors, names::qualified_name);
    } else {
        class.forbidden(errors, ONLY_BALANCED);
    }
}

fn traffic(spec: At<'_>, errors: &mut FieldErrors) {
    let kind = spec.get("type").text();
    let reachable =
        matches!(kind, "LoadBalancer" | "NodePort") || (kind == "ClusterIP" && !spec.get("externalIPs").is_empty());
    let external = spec.get("externalTrafficPolicy");
    if reachable {
        required_one_of(external, errors, &["Cluster", "Local"]);
    } else if !external.is_empty() {
        external.invalid(errors, "may only be set for externally-accessible services");
    }
    let check = spec.get("healthCheckNodePort");
    match (health_checked(spec), check.number()) {
        (false, 0) => {}
        (false, _) => {
            check.invalid(
                errors,
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
            );
        }
        (true, 0) => check.required(errors, ""),
        (true, _) => port_number(check, errors),
    }
    let internal = spec.get("internalTrafficPolicy");
    if internal.is_set() {
        one_of(internal, errors, &["Cluster", "Local"]);
    } else if matches!(kind, "NodePort" | "LoadBalancer" | "ClusterIP") {
        internal.required(errors, "");
    }
    one_of(spec.get("trafficDistribution"), errors, &["PreferClose", "PreferSameZone", "PreferSameNode"]);
}

/// Fields that a Service keeps once they are given: its first address, its families, its class.
fn changes(service: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old) = (At::object(service), At::object(old));
    let (spec, before) = (at.get("spec"), old.get("spec"));
    let kind = |spec: &At<'_>| spec.get("type").text().to_owned();
    let (new_kind, old_kind) = (kind(&spec), kind(&before));
    if new_kind != "ExternalName" && old_kind != "ExternalName" {
        if !(headless(spec) && headless(before)) {
            kept(spec, before, "clusterIPs", "primary clusterIP can not be unset", "secondary clusterIP", errors);
        }
        if !headless(spec) && !headless(before) {
            kept(spec, before, "ipFamilies", "primary ipFamily can not be unset", "secondary ipFamily", errors);
        }
    }
    let class = spec.get("loadBalancerClass");
    if new_kind == "LoadBalancer"
        && old_kind == "LoadBalancer"
        && class.value() != before.get("loadBalancerClass").value()
    {
        class.invalid(errors, FIXED);
    }
    // Kubernetes asks it of a change, and of the whole again.
    load_balancer_class(spec, errors);
    let check = spec.get("healthCheckNodePort");
    if health_checked(spec) && health_checked(before) && check.number() != before.get("healthCheckNodePort").number() {
        check.forbidden(errors, "field is immutable");
    }
}

fn kept(spec: At<'_>, before: At<'_>, field: &str, unset: &str, second: &str, errors: &mut FieldErrors) {
    let (list, old) = (spec.get(field), before.get(field));
    let (new_texts, old_texts) = (list.texts(), old.texts());
    let shown = |index: usize| At::index(&list, index).path();
    let mut wrong = |index: usize, detail: &str| {
        if !errors.is_full() {
            errors.push(FieldError::invalid(&shown(index), list.value(), detail));
        }
    };
    if new_texts.len() == old_texts.len() {
        for index in (0..new_texts.len()).filter(|index| new_texts[*index] != old_texts[*index]) {
            wrong(if field == "clusterIPs" { index } else { 0 }, FIXED);
        }
        return;
    }
    if new_texts.is_empty() {
        wrong(0, unset);
    } else if old_texts.first().is_some_and(|old| *old != new_texts[0]) {
        wrong(0, FIXED);
    }
    if new_texts.len() == 1 && old_texts.len() > 1 && spec.get("ipFamilyPolicy").text() != "SingleStack" {
        let policy = spec.get("ipFamilyPolicy");
        policy.invalid(errors, format!("must be set to 'SingleStack' when releasing the {second}"));
    }
}
