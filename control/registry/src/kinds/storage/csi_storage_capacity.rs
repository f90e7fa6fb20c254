//! CSIStorageCapacities: the capacity that a driver could still provide, by topology.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::At;
use super::super::validation::warnings;
use crate::resource::Resource;
use crate::strategy::Warned;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity").strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    unconditional_update: false,
    warnings: &[(Warned::Object, |_, capacity, _| {
        let mut all = Vec::new();
        let at = At::object(capacity);
        let topology = at.get("nodeTopology");
        topology.get("matchExpressions").items().for_each(|one| warnings::old_key(one.get("key"), &mut all));
        for (label, _) in topology.get("matchLabels").entries() {
            let text = warnings::node_label(label);
            all.extend(text.map(|text| format!("nodeTopology.matchLabels.{label}: {text}")));
        }
        all
    })],
    ..Rules::NONE
};
