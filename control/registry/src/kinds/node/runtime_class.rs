//! RuntimeClasses: the runtimes that pods may choose.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::affinity::{Comparing, tolerations};
use super::super::validation::checks::{immutable, labels};
use super::super::validation::resources::overhead;
use super::super::validation::warnings;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Warned;
use sampan_api::field::BadValue;
use serde_json::Value;
use std::collections::HashSet;

pub(super) fn row() -> Resource {
    Resource::new("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass").cluster_scoped().strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    finalizers_without_domain: true,
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        let beside = at.get("overhead");
        overhead(beside, beside.get("podFixed").value(), &mut errors);
        let scheduling = at.get("scheduling");
        labels(scheduling.get("nodeSelector"), &mut errors);
        let list = scheduling.get("tolerations");
        tolerations(list, Comparing::Refused, &mut errors);
        let mut seen = HashSet::new();
        for toleration in list.items() {
            let part = |name: &str| toleration.get(name).text().to_owned();
            let (key, operator, value, effect) = (part("key"), part("operator"), part("value"), part("effect"));
            if !seen.insert((key.clone(), operator.clone(), value.clone(), effect.clone())) {
                let seconds = toleration.get("tolerationSeconds").value();
                let shown = format!(
                    "{{\"Key\":{},\"Operator\":{},\"Value\":{},\"Effect\":{},\"TolerationSeconds\":{seconds}}}",
                    Value::from(key),
                    Value::from(operator),
                    Value::from(value),
                    Value::from(effect),
                );
                toleration.duplicate_as(&mut errors, BadValue::Raw(shown));
            }
        }
        errors
    }),
    validate_change: Some(|_, class, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(class), At::object(old));
        immutable(at.get("handler"), old.get("handler"), &mut errors);
        errors
    }),
    warnings: &[(Warned::Object, |_, class, _| {
        let at = At::object(class);
        let scheduling = at.get("scheduling");
        let labels = scheduling.get("nodeSelector");
        let old = labels.entries().filter_map(|(label, _)| warnings::node_label(label));
        old.map(|text| format!("scheduling.nodeSelector: {text}")).collect()
    })],
    create_on_update: true,
    unconditional_update: false,
    ..Rules::NONE
};
