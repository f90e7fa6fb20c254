//! Deployments: ReplicaSets, one after the other.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("apps", "v1", "deployments", "Deployment")
        .short_names(["deploy"])
        .categories(["all"])
        .sub_action("scale", scale_kind(), Verbs::VIEW, "scale")
        .view("status")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    // The controller copies annotations to the ReplicaSet, so a change of them is a change that it must observe.
    generation: Generation::By(|new, old| {
        ["spec", "metadata"].iter().any(|part| match *part {
            "spec" => new.get(&["spec"]) != old.get(&["spec"]),
            _ => !new.annotations().eq(old.annotations()),
        })
    }),
    ..Rules::NONE
};
