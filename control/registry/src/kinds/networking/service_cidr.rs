//! ServiceCIDRs: ranges of Services' addresses.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::addresses::{BAD_CIDR, strict_cidr};
use super::super::validation::checks::{IMMUTABLE, ordered, parse_cidr};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::shapes;
use std::net::IpAddr;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR")
        .cluster_scoped()
        .view("status")
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    // None of Kubernetes' reset fields: who sends it comes to own it all the same.
    prepare_for_update: Some(|ctx, object, old| {
        if ctx.subresource == "status" {
            shapes::restore_metadata(object, old);
        }
    }),
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        ranges(At::object(object).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|ctx, object, old| {
        let mut errors = FieldErrors::default();
        if !ctx.subresource.is_empty() {
            return errors;
        }
        let (at, old) = (At::object(object), At::object(old));
        let (spec, before) = (at.get("spec"), old.get("spec"));
        let (list, old_list) = (spec.get("cidrs"), before.get("cidrs"));
        // A second family may be added to the first; nothing else may change.
        if list.len() != old_list.len() && !(old_list.len() == 1 && list.len() == 2) {
            list.invalid(&mut errors, IMMUTABLE);
            return errors;
        }
        for (index, range) in list.items().take(old_list.len()).enumerate() {
            if range.text() != old_list.index(index).text() {
                range.invalid(&mut errors, IMMUTABLE);
            }
        }
        if list.len() != old_list.len() {
            ranges(spec, &mut errors);
        }
        errors
    }),
    ..Rules::NONE
};

/// What is wrong with the way in which a range is written.
fn strict(text: &str, network: IpAddr, bits: u8) -> Vec<String> {
    match strict_cidr(text, network) {
        Some(why) => vec![why.to_owned()],
        None if format!("{network}/{bits}") != text => {
            vec![format!("must be in canonical form (\"{network}/{bits}\")")]
        }
        None => Vec::new(),
    }
}

fn ranges(spec: At<'_>, errors: &mut FieldErrors) {
    let list = spec.get("cidrs");
    if list.is_empty() {
        list.required(errors, "at least one CIDR required");
        return;
    }
    if list.len() > 2 {
        let shown = serde_json::json!({"CIDRs": list.value()});
        list.invalid_as(errors, ordered(&shown, &[]), "may only hold up to 2 values");
        return;
    }
    for range in list.items() {
        match parse_cidr(range.text()) {
            None => range.invalid_as(errors, range.text(), BAD_CIDR),
            Some((network, bits)) => range.invalid_each(errors, strict(range.text(), network, bits)),
        }
    }
    let families: Vec<bool> =
        list.texts().into_iter().filter_map(parse_cidr).map(|(network, _)| network.is_ipv4()).collect();
    if families.len() == 2 && families[0] == families[1] {
        list.invalid(
            errors,
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        );
    }
}
