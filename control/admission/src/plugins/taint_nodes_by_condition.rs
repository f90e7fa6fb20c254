use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::{Object, Status};
use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Taints new nodes as not ready: the node controller takes the taint away once a node is, and nothing is scheduled to it
/// before (plugin/pkg/admission/nodetaint).
#[derive(Clone, Copy, Debug, Default)]
pub struct TaintNodesByCondition;

#[async_trait]
impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("", "nodes") && attributes.operation == Operation::Create
    }

    async fn mutate(&self, _: &Attributes<'_>, node: &mut Object) -> Result<Mutated, Status> {
        let mut taints = node.get(&["spec", "taints"]).and_then(Value::as_array).cloned().unwrap_or_default();
        if taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule") {
            return Ok(Mutated::No);
        }
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        node.set(&["spec", "taints"], taints);
        Ok(Mutated::Yes)
    }
}
