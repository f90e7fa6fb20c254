//! NetworkPolicies: rules for the traffic between pods.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::addresses::{Legacy, cidr_warning};
use super::super::validation::checks::{label_selector, network, parse_cidr, port_number};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::{Generation, MetadataOfUpdate, Warned};
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
        .short_names(["netpol"])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    validate: Some(|ctx, object| {
        let mut errors = FieldErrors::default();
        spec(At::object(object).get("spec"), &Legacy::new(ctx.gates), &mut errors);
        errors
    }),
    validate_update: Some(|ctx, object, old| {
        let mut errors = FieldErrors::default();
        if ctx.subresource.is_empty() {
            let before = ranges(old.get(&["spec"]).unwrap_or(&Value::Null));
            spec(At::object(object).get("spec"), &Legacy::over(ctx.gates, before), &mut errors);
        }
        errors
    }),
    generation: Generation::Spec,
    warnings: &[(Warned::Object, |_, policy, _| {
        let mut all = Vec::new();
        let at = At::object(policy);
        let spec = at.get("spec");
        for (direction, peers) in DIRECTIONS {
            for rule in spec.get(direction).items() {
                for peer in rule.get(peers).items() {
                    let block = peer.get("ipBlock");
                    cidr_warning(block.get("cidr"), &mut all);
                    block.get("except").items().for_each(|range| cidr_warning(range, &mut all));
                }
            }
        }
        all
    })],
    ..Rules::NONE
};

/// The ranges of all peers, with their exceptions.
fn ranges(spec: &Value) -> impl Iterator<Item = &str> {
    fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        value.get(name).and_then(Value::as_array).into_iter().flatten()
    }
    let peers = DIRECTIONS.iter().flat_map(move |(direction, peers)| {
        list(spec, direction).flat_map(move |rule| list(rule, peers)).filter_map(|peer| peer.get("ipBlock"))
    });
    peers.flat_map(|block| block.get("cidr").into_iter().chain(list(block, "except"))).filter_map(Value::as_str)
}

/// Where a policy has its rules, and where those have their peers.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

fn spec(at: At<'_>, legacy: &Legacy<'_>, errors: &mut FieldErrors) {
    label_selector(at.get("podSelector"), errors);
    for (direction, peers) in DIRECTIONS {
        let rules = at.get(direction);
        for rule in rules.items() {
            let ports = rule.get("ports");
            for port in ports.items() {
                check_port(port, errors);
            }
            let list = rule.get(peers);
            for peer in list.items() {
                check_peer(peer, legacy, errors);
            }
        }
    }
    let types = at.get("policyTypes");
    if types.len() > 2 {
        types.invalid(errors, "may not specify more than two policyTypes");
        return;
    }
    for type_ in types.items() {
        super::super::validation::checks::one_of(type_, errors, &["Ingress", "Egress"]);
    }
}

fn check_port(at: At<'_>, errors: &mut FieldErrors) {
    super::super::validation::checks::one_of(at.get("protocol"), errors, &["TCP", "UDP", "SCTP"]);
    let (port, end) = (at.get("port"), at.get("endPort"));
    match port.opt_number() {
        Some(number) => {
            port_number(port, errors);
            if end.is_set() {
                if end.number() < number {
                    end.invalid_as(errors, number, "must be greater than or equal to `port`");
                }
                port_number(end, errors);
            }
        }
        None if port.is_set() => {
            if end.is_set() {
                end.invalid(errors, "may not be specified when `port` is non-numeric");
            }
            port.invalid_each(errors, sampan_api::names::port_name(port.text()));
        }
        None if end.is_set() => end.invalid(errors, "may not be specified when `port` is not specified"),
        None => {}
    }
}

fn check_peer(at: At<'_>, legacy: &Legacy<'_>, errors: &mut FieldErrors) {
    let (pods, namespaces, block) = (at.get("podSelector"), at.get("namespaceSelector"), at.get("ipBlock"));
    label_selector(pods, errors);
    label_selector(namespaces, errors);
    if block.is_set() {
        check_block(block, legacy, errors);
    }
    match (pods.is_set() || namespaces.is_set(), block.is_set()) {
        (false, false) => at.required(errors, "must specify a peer"),
        (true, true) => at.forbidden(errors, "may not specify both ipBlock and another peer"),
        _ => {}
    }
}

fn check_block(at: At<'_>, legacy: &Legacy<'_>, errors: &mut FieldErrors) {
    let range = at.get("cidr");
    if range.is_empty() {
        range.required(errors, "");
        return;
    }
    legacy.cidr(range, errors);
    let Some((whole, bits)) = parse_cidr(range.text()) else { return };
    let exceptions = at.get("except");
    for exception in exceptions.items() {
        legacy.cidr(exception, errors);
        let Some((part, part_bits)) = parse_cidr(exception.text()) else { continue };
        let inside = part.is_ipv4() == whole.is_ipv4() && part_bits > bits && network(part, bits) == whole;
        if !inside {
            exception.invalid(errors, "must be a strict subset of `cidr`");
        }
    }
}
