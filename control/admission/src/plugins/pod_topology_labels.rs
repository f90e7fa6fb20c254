use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::{Object, RecordKey, Status};
use sampan_client::Informer;

/// The labels of a node that its pods get.
const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// Tells pods where their node is: at their binding, whose labels become the pod's, or at their creation where they have a
/// node by then (plugin/pkg/admission/podtopologylabels).
pub struct PodTopologyLabels {
    nodes: Informer,
}

impl PodTopologyLabels {
    /// `nodes` are all nodes.
    pub fn new(nodes: Informer) -> Self {
        Self { nodes }
    }
}

#[async_trait]
impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Create
            && attributes.resource.group.is_empty()
            && attributes.resource.resource == "pods"
            && matches!(attributes.subresource, "" | "binding")
    }

    async fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status> {
        let node = match attributes.subresource {
            "binding" if object.get_str(&["target", "kind"]) == Some("Node") => object.get_str(&["target", "name"]),
            "binding" => None,
            _ => object.get_str(&["spec", "nodeName"]),
        };
        let node = node.filter(|name| !name.is_empty()).map(|name| RecordKey::new("", name));
        let Some(node) = node.and_then(|key| self.nodes.store().get(&key)) else { return Ok(Mutated::No) };
        let mut changed = Mutated::No;
        for label in LABELS {
            if let Some(value) = node.labels.get(label) {
                object.set(&["metadata", "labels", label], value.as_str());
                changed = Mutated::Yes;
            }
        }
        Ok(changed)
    }
}
