//! Ingresses: HTTP routes into the cluster.

use super::super::columns::{Cell, Tabled};
use super::super::core::service;
use super::super::rules::Rules;
use super::super::validation::addresses::{Legacy, entries_before, entry_address, entry_host};
use super::super::validation::checks::{named, parse_ip, port_number, required_named};
use super::super::validation::{At, FieldErrors, warnings};
use crate::resource::Resource;
use crate::strategy::{Context, Generation, MetadataOfUpdate, Warned};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "ingresses", "Ingress")
        .kept_at("ingress")
        .short_names(["ing"])
        .view("status")
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    validate: Some(|ctx, object| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        let spec_at = at.get("spec");
        spec(spec_at, service_names(ctx, None), &mut errors);
        let class = spec_at.get("ingressClassName");
        let annotation = object.annotation(CLASS).unwrap_or("");
        if object.annotation(CLASS).is_some() && class.is_set() && annotation != class.text() {
            at.get("annotations").get(CLASS).invalid_as(
                &mut errors,
                annotation,
                "must match `ingressClassName` when both are specified",
            );
        }
        errors
    }),
    validate_update: Some(|ctx, object, old| {
        let mut errors = FieldErrors::default();
        spec(At::object(object).get("spec"), service_names(ctx, Some(old)), &mut errors);
        errors
    }),
    validate_status: Some(|ctx, object, old| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        let status = at.get("status");
        let balancer = status.get("loadBalancer");
        let legacy = Legacy::over(ctx.gates, entries_before(old));
        for point in balancer.get("ingress").items() {
            entry_address(point, &legacy, &mut errors);
            entry_host(point, &mut errors);
        }
        errors
    }),
    generation: Generation::Spec,
    prepare_for_create: Some(|_, ingress| ingress.set(&["status"], serde_json::json!({"loadBalancer": {}}))),
    warnings: &[
        (Warned::Object, |_, ingress, old| {
            let text = "is deprecated, please use 'spec.ingressClassName' instead";
            let unset = ingress.get(&["spec", "ingressClassName"]).is_none();
            ingress
                .annotation(CLASS)
                .filter(|_| unset && old.is_none())
                .map(|_| format!("annotation {CLASS:?} {text}"))
                .into_iter()
                .collect()
        }),
        (Warned::Status, warnings::load_balancer),
    ],
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[
    ("hosts", |ingress, _| hosts(ingress).into()),
    ("address", |ingress, _| {
        let points = ingress.get(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array);
        service::addresses(points.into_iter().flatten()).into_iter().collect::<Vec<_>>().join(",").into()
    }),
    ("ports", |ingress, _| {
        let tls = ingress.get(&["spec", "tls"]).and_then(Value::as_array).is_some_and(|tls| !tls.is_empty());
        if tls { "80, 443".into() } else { "80".into() }
    }),
];

/// Hosts that are shown before the rest is only counted.
const SHOWN: usize = 3;

fn hosts(ingress: &Object) -> String {
    let rules = ingress.get(&["spec", "rules"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let hosts =
        rules.iter().filter_map(|rule| rule.get("host").and_then(Value::as_str)).filter(|host| !host.is_empty());
    let hosts: Vec<&str> = hosts.collect();
    match hosts.len() {
        0 => "*".to_owned(),
        count if count > SHOWN || (count == SHOWN && rules.len() > SHOWN) => {
            format!("{} + {} more...", hosts[..SHOWN].join(","), rules.len() - SHOWN)
        }
        _ => hosts.join(","),
    }
}

const CLASS: &str = "kubernetes.io/ingress.class";
const SEQUENCES: [&str; 6] = ["//", "/./", "/../", "%2f", "%2F", "%00"];
const SUFFIXES: [&str; 2] = ["/..", "/."];
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// The rule of the names of Services: relaxed while the feature is on, and for an Ingress that has such a name already.
fn service_names(ctx: &Context<'_>, old: Option<&Object>) -> NameRule {
    let relaxed = |name: &str| names::dns1123_label(name).is_empty() && !names::dns1035_label(name).is_empty();
    let has = |backend: &Value| backend["service"]["name"].as_str().is_some_and(relaxed);
    let in_use = old.and_then(|old| old.get(&["spec"])).is_some_and(|spec| {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut paths = list(&spec["rules"]).into_iter().flat_map(|rule| list(&rule["http"]["paths"]));
        has(&spec["defaultBackend"]) || paths.any(|path| has(&path["backend"]))
    });
    match in_use || ctx.gates.enabled("RelaxedServiceNameValidation") {
        true => names::dns1123_label,
        false => names::dns1035_label,
    }
}

type NameRule = fn(&str) -> Vec<String>;

fn spec(at: At<'_>, service: NameRule, errors: &mut FieldErrors) {
    let (rules, fallback) = (at.get("rules"), at.get("defaultBackend"));
    if rules.is_empty() && !fallback.is_set() {
        at.invalid_as(errors, rules.value(), "either `defaultBackend` or `rules` must be specified");
    }
    if fallback.is_set() {
        backend(fallback, service, errors);
    }
    for rule in rules.items() {
        let host = rule.get("host");
        if !host.is_empty() {
            if parse_ip(host.text()).is_some() {
                host.invalid(errors, "must be a DNS name, not an IP address");
            }
            host_name(host, errors);
        }
        let http = rule.get("http");
        if http.is_set() {
            let paths = http.get("paths");
            if paths.is_empty() {
                paths.required(errors, "");
            }
            for path in paths.items() {
                http_path(path, service, errors);
            }
        }
    }
    let tls = at.get("tls");
    for entry in tls.items() {
        let hosts = entry.get("hosts");
        for host in hosts.items() {
            host_name(host, errors);
        }
        let secret = entry.get("secretName");
        if !secret.is_empty() {
            named(secret, errors, names::dns1123_subdomain);
        }
    }
    let class = at.get("ingressClassName");
    if class.is_set() {
        named(class, errors, names::dns1123_subdomain);
    }
}

fn host_name(host: At<'_>, errors: &mut FieldErrors) {
    if !host.text().contains('*') {
        named(host, errors, names::dns1123_subdomain);
    } else if !host.text().strip_prefix("*.").is_some_and(|rest| names::dns1123_subdomain(rest).is_empty()) {
        host.invalid(errors, WILDCARD);
    }
}

fn http_path(at: At<'_>, names: NameRule, errors: &mut FieldErrors) {
    let (type_, path) = (at.get("pathType"), at.get("path"));
    if !type_.is_set() {
        type_.required(errors, "pathType must be specified");
        return;
    }
    let relative = !path.text().starts_with('/');
    match type_.text() {
        "Exact" | "Prefix" => {
            if relative {
                path.invalid_as(errors, path.text(), "must be an absolute path");
            }
            for sequence in SEQUENCES.into_iter().filter(|sequence| path.text().contains(sequence)) {
                path.invalid(errors, format!("must not contain '{sequence}'"));
            }
            for suffix in SUFFIXES.into_iter().filter(|suffix| path.text().ends_with(suffix)) {
                path.invalid(errors, format!("cannot end with '{suffix}'"));
            }
        }
        "ImplementationSpecific" => {
            if relative && !path.is_empty() {
                path.invalid(errors, "must be an absolute path");
            }
        }
        _ => type_.not_supported(errors, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(at.get("backend"), names, errors);
}

fn backend(at: At<'_>, service_name: NameRule, errors: &mut FieldErrors) {
    let (resource, service) = (at.get("resource"), at.get("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => at.invalid_as(errors, "", "cannot set both resource and service backends"),
        (false, false) => at.invalid_as(errors, "", "resource or service backend is required"),
        (true, false) => super::typed_reference(resource, errors),
        (false, true) => {
            required_named(service.get("name"), errors, service_name);
            let port = service.get("port");
            let (name, number) = (port.get("name"), port.get("number"));
            match (!name.is_empty(), number.number() != 0) {
                (true, true) => at.invalid_as(errors, "", "cannot set both port name & port number"),
                (true, false) => named(name, errors, names::port_name),
                (false, true) => port_number(number, errors),
                (false, false) => at.required(errors, "port name or number is required"),
            }
        }
    }
}
