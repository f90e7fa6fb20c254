//! Objects as the words of cells: plugins/wit/COLUMNS.md.

use crate::columns::{ColumnSet, id};
use crate::pod::PodInfo;
use crate::strings::Strings;
use sampan_api::k8s::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A pod as policies see it: the cells of the wanted columns. Pods with equal cells are one pod to them.
#[derive(Clone, Debug)]
pub struct PodView {
    pub(crate) signature: Arc<[i64]>,
    pub(crate) columns: ColumnSet,
    pub never_preempts: bool,
}

impl PodView {
    pub(crate) fn new(pod: &PodInfo, columns: ColumnSet, strings: &mut Strings) -> Self {
        let mut words = Vec::with_capacity(64);
        // Which columns they are belongs to it: words of different columns may be equal.
        words.push(columns.pods_word());
        for column in columns.pods() {
            let at = words.len();
            words.push(0);
            pod_cell(pod, column, strings, &mut words);
            words[at] = (words.len() - at - 1) as i64;
        }
        Self { signature: words.into(), columns, never_preempts: pod.never_preempts() }
    }

    /// Bytes of the words of all cells.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.signature)
    }

    /// Column and cell, in order of the columns.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (u32, &[i64])> {
        let mut at = 1;
        self.columns.pods().map(move |column| {
            let end = at + 1 + self.signature[at] as usize;
            let cell = &self.signature[at + 1..end];
            at = end;
            (column, cell)
        })
    }
}

fn pairs(map: Option<&BTreeMap<String, String>>, strings: &mut Strings, out: &mut Vec<i64>) {
    for (key, value) in map.into_iter().flatten() {
        out.push(strings.word(key));
        out.push(strings.word(value));
    }
}

fn effect(text: &str) -> Option<i64> {
    match text {
        "NoSchedule" => Some(0),
        "PreferNoSchedule" => Some(1),
        "NoExecute" => Some(2),
        _ => None,
    }
}

/// Cells of a node that come from its object (the rest come from its pods).
pub(crate) fn node_cell(node: &Node, column: u32, strings: &mut Strings, out: &mut Vec<i64>) {
    match column {
        id::NODE_NAME => out.push(strings.word(node.metadata.name.as_deref().unwrap_or_default())),
        id::NODE_UNSCHEDULABLE => {
            let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
            out.push(i64::from(cordoned));
        }
        id::NODE_LABELS => pairs(node.metadata.labels.as_ref(), strings, out),
        id::NODE_ANNOTATIONS => pairs(node.metadata.annotations.as_ref(), strings, out),
        id::NODE_TAINTS => {
            for taint in node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()) {
                if let Some(effect) = effect(&taint.effect) {
                    out.push(strings.word(&taint.key));
                    out.push(strings.word(taint.value.as_deref().unwrap_or_default()));
                    out.push(effect);
                }
            }
        }
        id::NODE_ALLOCATABLE => {
            let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
            for (name, amount) in allocatable.map(crate::resources::amounts).unwrap_or_default() {
                out.push(strings.word(&name));
                out.push(amount);
            }
        }
        _ => {}
    }
}

fn pod_cell(pod: &PodInfo, column: u32, strings: &mut Strings, out: &mut Vec<i64>) {
    let meta = &pod.pod.metadata;
    let default = PodSpec::default();
    let spec = pod.pod.spec.as_ref().unwrap_or(&default);
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    match column {
        id::POD_ROW => out.push(1),
        id::POD_NAME => out.push(strings.word(pod.name())),
        id::POD_NAMESPACE => out.push(strings.word(pod.namespace())),
        id::POD_UID => out.push(strings.word(&pod.uid)),
        id::POD_LABELS => pairs(meta.labels.as_ref(), strings, out),
        id::POD_ANNOTATIONS => pairs(meta.annotations.as_ref(), strings, out),
        id::POD_REQUESTS => out.extend(pod.usage.requests.iter().flat_map(|(name, n)| [i64::from(*name), *n])),
        id::POD_REQUESTS_NONZERO => out.extend([pod.usage.nonzero.0, pod.usage.nonzero.1]),
        id::POD_TOLERATIONS => {
            spec.tolerations.iter().flatten().for_each(|toleration| toleration_cell(toleration, strings, out));
        }
        id::POD_NODE_NAME => out.extend(pod.node_name().map(|name| strings.word(name))),
        id::POD_NODE_SELECTOR => pairs(spec.node_selector.as_ref(), strings, out),
        id::POD_NODE_AFFINITY => {
            if let Some(required) =
                affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
            {
                out.push(required.node_selector_terms.len() as i64);
                required.node_selector_terms.iter().for_each(|term| term_cell(term, strings, out));
            }
        }
        id::POD_NODE_AFFINITY_PREFERRED => {
            let preferred = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
            for preference in preferred.into_iter().flatten() {
                out.push(i64::from(preference.weight));
                term_cell(&preference.preference, strings, out);
            }
        }
        id::POD_PORTS => {
            out.extend(pod.usage.ports.iter().flat_map(|p| [i64::from(p.ip), p.protocol as i64, i64::from(p.port)]));
        }
        id::POD_PRIORITY => out.push(i64::from(pod.priority())),
        id::POD_IMAGES => {
            let images = spec.containers.iter().filter_map(|container| container.image.as_deref());
            out.extend(images.map(|image| strings.word(image)));
        }
        id::POD_OWNER => {
            if let Some(owner) = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)) {
                out.extend([&owner.kind, &owner.name, &owner.uid].map(|text| strings.word(text)));
            }
        }
        _ => {}
    }
}

fn toleration_cell(toleration: &Toleration, strings: &mut Strings, out: &mut Vec<i64>) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, value, written_effect) = (text(&toleration.key), text(&toleration.value), text(&toleration.effect));
    let exists = match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => false,
        // Operators behind gates that are off tolerate nothing.
        Some(_) => return,
    };
    let effect = match written_effect.as_str() {
        "" => -1,
        other => match effect(other) {
            Some(effect) => effect,
            None => return,
        },
    };
    let key = if key.is_empty() { -1 } else { strings.word(&key) };
    out.extend([key, i64::from(exists), if exists { -1 } else { strings.word(&value) }, effect]);
}

fn term_cell(term: &NodeSelectorTerm, strings: &mut Strings, out: &mut Vec<i64>) {
    let (labels, fields) = (term.match_expressions.iter().flatten(), term.match_fields.iter().flatten());
    let requirements: Vec<(i64, &NodeSelectorRequirement)> =
        labels.map(|r| (0, r)).chain(fields.map(|r| (1, r))).collect();
    out.push(requirements.len() as i64);
    for (kind, requirement) in requirements {
        let known = match requirement.operator.as_str() {
            "In" => Some(0),
            "NotIn" => Some(1),
            "Exists" => Some(2),
            "DoesNotExist" => Some(3),
            "Gt" => Some(4),
            "Lt" => Some(5),
            _ => None,
        };
        out.extend([kind, strings.word(&requirement.key), known.unwrap_or(0)]);
        // An operator or a field that is none matches nothing: In, without a value.
        let field_known = kind == 0 || requirement.key == "metadata.name";
        let values: &[String] = match requirement.values.as_deref() {
            Some(values) if known.is_some() && field_known => values,
            _ => &[],
        };
        out.push(values.len() as i64);
        out.extend(values.iter().map(|value| strings.word(value)));
    }
}
