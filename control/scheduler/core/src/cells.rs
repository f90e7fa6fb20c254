//! Objects as the words of cells: plugins/wit/COLUMNS.md.

use crate::columns::{COLUMNS, ColumnSet, id};
use crate::limits;
use crate::pod::PodInfo;
use crate::strings::{Strings, Text};
use sampan_api::k8s::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration};
use sampan_api::names::decimal_integer;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// One word of a cell. A mirror is sent numbers; which number a text has is each mirror's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// Sent as it is.
    Number(i64),
    /// Sent as the mirror's number of it.
    Text(Text),
}

impl From<i64> for Word {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Word {
    fn from(number: u32) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<&Text> for Word {
    fn from(text: &Text) -> Self {
        Self::Text(text.clone())
    }
}

/// A receiver of a cell's words.
pub(crate) trait Sink {
    fn number(&mut self, number: i64);
    fn text(&mut self, text: &str);
    fn known(&mut self, text: &Text);
    fn numbers<const N: usize>(&mut self, numbers: [i64; N]) {
        numbers.into_iter().for_each(|number| self.number(number));
    }
}

/// Makes words.
pub(crate) struct Words<'a> {
    /// Interns the texts.
    pub strings: &'a mut Strings,
    /// The words made so far.
    pub words: Vec<Word>,
}

impl Sink for Words<'_> {
    fn number(&mut self, number: i64) {
        self.words.push(Word::Number(number));
    }
    fn text(&mut self, text: &str) {
        self.words.push(Word::Text(self.strings.intern(text)));
    }
    fn known(&mut self, text: &Text) {
        self.words.push(Word::Text(text.clone()));
    }
}

/// Counts words and the bytes of their texts.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    words: usize,
    text_bytes: usize,
}

impl Sink for Size {
    fn number(&mut self, _: i64) {
        self.words += 1;
    }
    fn text(&mut self, text: &str) {
        self.words += 1;
        self.text_bytes += text.len();
    }
    fn known(&mut self, text: &Text) {
        self.text(text.as_str());
    }
}

/// A pod that brings more than policies take.
/// A pod whose cells exceed what one policy may be told of a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the pod is too large to be decided on: {column} alone has {words} words and {bytes} bytes of text; all that one \
     policy is told of a pod may have {} words and {} bytes",
    limits::POD_WORDS,
    limits::POD_TEXT_BYTES
)]
pub struct TooLarge {
    /// Its largest column.
    pub column: &'static str,
    /// Words of that column.
    pub words: usize,
    /// Bytes of the texts of that column.
    pub bytes: usize,
}

#[derive(Debug)]
struct Shape {
    columns: ColumnSet,
    words: Box<[Word]>,
    hash: u64,
    bytes: usize,
}

/// A pod as one unit sees it: the cells of the columns that the unit wants. Pods with equal cells are one pod to it.
#[derive(Clone, Debug)]
pub struct Signature(Arc<Shape>);

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        Arc::ptr_eq(a, b) || (a.hash == b.hash && a.columns == b.columns && a.words == b.words)
    }
}

impl Eq for Signature {}

impl Hash for Signature {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl Signature {
    /// # Errors
    /// When the pod brings more than policies take.
    pub(crate) fn new(pod: &PodInfo, columns: ColumnSet, strings: &mut Strings) -> Result<Self, TooLarge> {
        check_size(pod, columns)?;
        let mut made = Words { strings, words: Vec::with_capacity(64) };
        for column in columns.pods() {
            let at = made.words.len();
            made.number(0);
            pod_cell(pod, column, &mut made);
            made.words[at] = Word::Number((made.words.len() - at - 1) as i64);
        }
        let words = made.words.into_boxed_slice();
        let mut hasher = DefaultHasher::new();
        (columns, &words).hash(&mut hasher);
        let text = |word: &Word| if let Word::Text(text) = word { text.as_str().len() } else { 0 };
        let bytes = words.len() * size_of::<Word>() + words.iter().map(text).sum::<usize>();
        Ok(Self(Arc::new(Shape { columns, words, hash: hasher.finish(), bytes })))
    }

    /// Column and cell, in order of the columns.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (u32, &[Word])> {
        let mut at = 0;
        self.0.columns.pods().map(move |column| {
            let Word::Number(length) = &self.0.words[at] else { return (column, &[][..]) };
            let end = at + 1 + *length as usize;
            let cell = &self.0.words[at + 1..end];
            at = end;
            (column, cell)
        })
    }

    /// Bytes that it takes, its texts among them.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }
}

fn check_size(pod: &PodInfo, columns: ColumnSet) -> Result<(), TooLarge> {
    let (mut total, mut largest) = (Size::default(), TooLarge { column: "", words: 0, bytes: 0 });
    for column in columns.pods() {
        let mut size = Size::default();
        pod_cell(pod, column, &mut size);
        if (size.words, size.text_bytes) >= (largest.words, largest.bytes) {
            let name = COLUMNS.iter().find(|(id, _)| *id == column).map_or("", |(_, name)| name);
            largest = TooLarge { column: name, words: size.words, bytes: size.text_bytes };
        }
        total.words += size.words;
        total.text_bytes += size.text_bytes;
    }
    let fits = total.words <= limits::POD_WORDS && total.text_bytes <= limits::POD_TEXT_BYTES;
    if fits { Ok(()) } else { Err(largest) }
}

fn pairs(map: Option<&BTreeMap<String, String>>, out: &mut impl Sink) {
    for (key, value) in map.into_iter().flatten() {
        out.text(key);
        out.text(value);
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
pub(crate) fn node_cell(node: &Node, column: u32, out: &mut impl Sink) {
    match column {
        id::NODE_NAME => out.text(node.metadata.name.as_deref().unwrap_or_default()),
        id::NODE_UNSCHEDULABLE => {
            let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
            out.number(i64::from(cordoned));
        }
        id::NODE_LABELS => pairs(node.metadata.labels.as_ref(), out),
        id::NODE_ANNOTATIONS => pairs(node.metadata.annotations.as_ref(), out),
        id::NODE_TAINTS => {
            for taint in node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()) {
                if let Some(effect) = effect(&taint.effect) {
                    out.text(&taint.key);
                    out.text(taint.value.as_deref().unwrap_or_default());
                    out.number(effect);
                }
            }
        }
        id::NODE_ALLOCATABLE => {
            let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
            for (name, amount) in allocatable.map(crate::resources::amounts).unwrap_or_default() {
                out.text(&name);
                out.number(amount);
            }
        }
        _ => {}
    }
}

fn pod_cell(pod: &PodInfo, column: u32, out: &mut impl Sink) {
    let meta = &pod.pod.metadata;
    let default = PodSpec::default();
    let spec = pod.pod.spec.as_ref().unwrap_or(&default);
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    match column {
        id::POD_ROW => out.number(1),
        id::POD_NAME => out.text(pod.name()),
        id::POD_NAMESPACE => out.text(pod.namespace()),
        id::POD_UID => out.text(&pod.uid),
        id::POD_LABELS => pairs(meta.labels.as_ref(), out),
        id::POD_ANNOTATIONS => pairs(meta.annotations.as_ref(), out),
        id::POD_REQUESTS => {
            for (name, amount) in &pod.usage.requests {
                out.known(name);
                out.number(*amount);
            }
        }
        id::POD_REQUESTS_NONZERO => out.numbers([pod.usage.nonzero.0, pod.usage.nonzero.1]),
        id::POD_TOLERATIONS => spec.tolerations.iter().flatten().for_each(|one| toleration_cell(one, out)),
        id::POD_COMPARING_TOLERATIONS => {
            spec.tolerations.iter().flatten().for_each(|one| comparing_toleration_cell(one, out));
        }
        id::POD_NODE_NAME => pod.node_name().into_iter().for_each(|name| out.text(name)),
        id::POD_NODE_SELECTOR => pairs(spec.node_selector.as_ref(), out),
        id::POD_NODE_AFFINITY => {
            if let Some(required) =
                affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
            {
                out.number(required.node_selector_terms.len() as i64);
                required.node_selector_terms.iter().for_each(|term| term_cell(term, out));
            }
        }
        id::POD_NODE_AFFINITY_PREFERRED => {
            let preferred = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
            for preference in preferred.into_iter().flatten() {
                out.number(i64::from(preference.weight));
                term_cell(&preference.preference, out);
            }
        }
        id::POD_PORTS => {
            for port in &pod.usage.ports {
                out.known(&port.ip);
                out.numbers([port.protocol as i64, i64::from(port.port)]);
            }
        }
        id::POD_PRIORITY => out.number(i64::from(pod.priority())),
        id::POD_IMAGES => {
            let images = spec.containers.iter().filter_map(|container| container.image.as_deref());
            images.for_each(|image| out.text(image));
        }
        id::POD_OWNER => {
            if let Some(owner) = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)) {
                [&owner.kind, &owner.name, &owner.uid].into_iter().for_each(|text| out.text(text));
            }
        }
        _ => {}
    }
}

fn toleration_cell(toleration: &Toleration, out: &mut impl Sink) {
    let exists = match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => false,
        // Those that compare have a column of their own.
        Some(_) => return,
    };
    let Some(effect) = tolerated_effect(toleration) else { return };
    optional(toleration.key.as_ref().filter(|key| !key.is_empty()), out);
    out.number(i64::from(exists));
    match exists {
        true => out.number(-1),
        false => out.text(toleration.value.as_deref().unwrap_or_default()),
    }
    out.number(effect);
}

/// A value that is no number tolerates nothing.
fn comparing_toleration_cell(toleration: &Toleration, out: &mut impl Sink) {
    let operator = match toleration.operator.as_deref() {
        Some("Gt") => 4,
        Some("Lt") => 5,
        _ => return,
    };
    let number = decimal_integer(toleration.value.as_deref().unwrap_or_default());
    let (Some(number), Some(effect)) = (number, tolerated_effect(toleration)) else { return };
    optional(toleration.key.as_ref().filter(|key| !key.is_empty()), out);
    out.numbers([operator, number, effect]);
}

/// -1 for all of them; `None`: it is none that there is.
fn tolerated_effect(toleration: &Toleration) -> Option<i64> {
    match toleration.effect.as_deref() {
        None | Some("") => Some(-1),
        Some(other) => effect(other),
    }
}

fn optional(text: Option<&String>, out: &mut impl Sink) {
    match text {
        Some(text) => out.text(text),
        None => out.number(-1),
    }
}

fn term_cell(term: &NodeSelectorTerm, out: &mut impl Sink) {
    let (labels, fields) = (term.match_expressions.iter().flatten(), term.match_fields.iter().flatten());
    let requirements: Vec<(i64, &NodeSelectorRequirement)> =
        labels.map(|r| (0, r)).chain(fields.map(|r| (1, r))).collect();
    out.number(requirements.len() as i64);
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
        out.number(kind);
        out.text(&requirement.key);
        out.number(known.unwrap_or(0));
        // An operator or a field that is none matches nothing: In, without a value.
        let field_known = kind == 0 || requirement.key == "metadata.name";
        let values: &[String] = match requirement.values.as_deref() {
            Some(values) if known.is_some() && field_known => values,
            _ => &[],
        };
        out.number(values.len() as i64);
        values.iter().for_each(|value| out.text(value));
    }
}
