//! The pod in hand and a node, as a policy sees them: names over cells.

use crate::columns::{Column, Effect, Operator};
use crate::mirror::{Mirror, Symbol};

fn symbol(word: i64) -> Option<Symbol> {
    u32::try_from(word).ok().map(Symbol)
}

fn pairs(cell: &[i64]) -> impl Iterator<Item = (Symbol, Symbol)> + '_ {
    cell.chunks_exact(2).map(|pair| (Symbol(pair[0] as u32), Symbol(pair[1] as u32)))
}

fn texts<'a>(mirror: &'a Mirror, cell: &'a [i64]) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
    pairs(cell).map(|(key, value)| (mirror.text(key), mirror.text(value)))
}

fn find<'a>(mirror: &'a Mirror, cell: &[i64], key: &str) -> Option<&'a str> {
    let key = mirror.symbol(key)?;
    pairs(cell).find(|(k, _)| *k == key).map(|(_, value)| mirror.text(value))
}

fn amount(mirror: &Mirror, cell: &[i64], resource: &str) -> i64 {
    let Some(key) = mirror.symbol(resource) else { return 0 };
    cell.chunks_exact(2).find(|pair| pair[0] == i64::from(key.0)).map_or(0, |pair| pair[1])
}

/// A node. What a policy did not ask for by its columns reads as absent.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    mirror: &'a Mirror,
    row: u32,
}

impl<'a> Node<'a> {
    /// The node of that row.
    pub fn new(mirror: &'a Mirror, row: u32) -> Self {
        Self { mirror, row }
    }
    /// The mirror that holds its cells.
    pub fn mirror(&self) -> &'a Mirror {
        self.mirror
    }
    /// The words of a cell: for policies that compare ids instead of texts.
    pub fn cell(&self, column: Column) -> &'a [i64] {
        self.mirror.cell(column.id(), self.row)
    }
    /// Needs [`Column::NodeName`].
    pub fn name(&self) -> &'a str {
        self.name_symbol().map_or("", |name| self.mirror.text(name))
    }
    /// Needs [`Column::NodeName`].
    pub fn name_symbol(&self) -> Option<Symbol> {
        self.cell(Column::NodeName).first().and_then(|word| symbol(*word))
    }
    /// `spec.unschedulable` (cordoned). Needs [`Column::NodeUnschedulable`].
    pub fn unschedulable(&self) -> bool {
        self.cell(Column::NodeUnschedulable) == [1]
    }
    /// Needs [`Column::NodeLabels`].
    pub fn label(&self, key: &str) -> Option<&'a str> {
        find(self.mirror, self.cell(Column::NodeLabels), key)
    }
    /// A label by ids: nothing is hashed or compared but numbers.
    pub fn label_symbol(&self, key: Symbol) -> Option<Symbol> {
        pairs(self.cell(Column::NodeLabels)).find(|(k, _)| *k == key).map(|(_, value)| value)
    }
    /// Keys and values. Needs [`Column::NodeLabels`].
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        texts(self.mirror, self.cell(Column::NodeLabels))
    }
    /// Needs [`Column::NodeAnnotations`].
    pub fn annotation(&self, key: &str) -> Option<&'a str> {
        find(self.mirror, self.cell(Column::NodeAnnotations), key)
    }
    /// Key, value, effect. Needs [`Column::NodeTaints`].
    pub fn taints(&self) -> impl Iterator<Item = (Symbol, Symbol, Effect)> + 'a {
        self.cell(Column::NodeTaints)
            .chunks_exact(3)
            .filter_map(|taint| Some((Symbol(taint[0] as u32), Symbol(taint[1] as u32), Effect::from_word(taint[2])?)))
    }
    /// cpu in thousandths, the rest in units. Needs [`Column::NodeAllocatable`].
    pub fn allocatable(&self, resource: &str) -> i64 {
        amount(self.mirror, self.cell(Column::NodeAllocatable), resource)
    }
    /// The sum over the node's pods. Needs [`Column::NodeRequested`].
    pub fn requested(&self, resource: &str) -> i64 {
        amount(self.mirror, self.cell(Column::NodeRequested), resource)
    }
    /// cpu in thousandths and memory in bytes, with Kubernetes' assumptions for containers that ask for none.
    /// Needs [`Column::NodeRequestedNonzero`].
    pub fn requested_nonzero(&self) -> (i64, i64) {
        match self.cell(Column::NodeRequestedNonzero) {
            [cpu, memory] => (*cpu, *memory),
            _ => (0, 0),
        }
    }
    /// Needs [`Column::NodePodCount`].
    pub fn pod_count(&self) -> i64 {
        self.cell(Column::NodePodCount).first().copied().unwrap_or(0)
    }
}

/// One toleration of a pod. Absent key: every key; absent effect: every effect.
#[derive(Clone, Copy, Debug)]
pub struct Toleration {
    /// `None`: every key.
    pub key: Option<Symbol>,
    /// Every value, and none.
    pub exists: bool,
    /// `None`: the empty one.
    pub value: Option<Symbol>,
    /// `None`: every effect.
    pub effect: Option<Effect>,
    /// The comparison of the taint's value with a number, in place of one with a text.
    pub compares: Option<Comparison>,
}

/// Whether a number is on one side of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is above.
    Above(i64),
    /// It is below.
    Below(i64),
}

impl Comparison {
    /// Whether the text is a number there, in the one form that Kubernetes takes: no sign but a minus, no zeros before it.
    pub fn holds(self, text: &str) -> bool {
        let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        match self {
            Self::Above(least) => number.is_some_and(|number| number > least),
            Self::Below(most) => number.is_some_and(|number| number < most),
        }
    }
}

impl Toleration {
    /// Does it tolerate the taint? (component-helpers' `ToleratesTaint`.)
    pub fn tolerates(&self, mirror: &Mirror, (key, value, effect): (Symbol, Symbol, Effect)) -> bool {
        if self.effect.is_some_and(|own| own != effect) || self.key.is_some_and(|own| own != key) {
            return false;
        }
        if let Some(comparison) = self.compares {
            return comparison.holds(mirror.text(value));
        }
        self.exists || self.value.map_or_else(|| mirror.text(value).is_empty(), |own| own == value)
    }
}

/// The subject of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequirementKind {
    Label,
    /// `metadata.name`.
    Field,
}

/// One requirement of a node selector's term.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Its subject.
    pub kind: RequirementKind,
    /// Of the label.
    pub key: Symbol,
    /// The comparison with the value.
    pub operator: Operator,
    /// Ascending, so that a value is found among many without looking at each; as written for `Gt` and `Lt`.
    values: Vec<Symbol>,
}

impl Requirement {
    /// Whether the node fulfils it.
    pub fn matches(&self, node: &Node) -> bool {
        let found = match self.kind {
            RequirementKind::Label => node.label_symbol(self.key),
            RequirementKind::Field => node.name_symbol(),
        };
        let number = |s: Symbol| node.mirror().text(s).parse::<i64>().ok();
        let compared = |holds: fn(i64, i64) -> bool| {
            found.and_then(number).zip(self.values.first().copied().and_then(number)).is_some_and(|(a, b)| holds(a, b))
        };
        match self.operator {
            Operator::In => found.is_some_and(|value| self.values.binary_search(&value).is_ok()),
            Operator::NotIn => found.is_none_or(|value| self.values.binary_search(&value).is_err()),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::Gt => compared(|a, b| a > b),
            Operator::Lt => compared(|a, b| a < b),
        }
    }
}

/// A node selector's term: all of its requirements; a term without any matches nothing.
#[derive(Clone, Debug, Default)]
pub struct Term {
    /// All have to be fulfilled.
    pub requirements: Vec<Requirement>,
}

impl Term {
    /// Whether the node fulfils all of them; a term without any matches nothing.
    pub fn matches(&self, node: &Node) -> bool {
        !self.requirements.is_empty() && self.requirements.iter().all(|requirement| requirement.matches(node))
    }

    /// `None` when the words end too early.
    fn read(words: &mut &[i64]) -> Option<Self> {
        let mut next = || {
            let (first, rest) = words.split_first()?;
            *words = rest;
            Some(*first)
        };
        let mut requirements = Vec::new();
        for _ in 0..next()? {
            let kind = if next()? == 1 { RequirementKind::Field } else { RequirementKind::Label };
            let key = Symbol(u32::try_from(next()?).ok()?);
            let operator = Operator::from_word(next()?)?;
            let mut values = Vec::new();
            for _ in 0..next()? {
                values.push(Symbol(u32::try_from(next()?).ok()?));
            }
            if matches!(operator, Operator::In | Operator::NotIn) {
                values.sort_unstable();
            }
            requirements.push(Requirement { kind, key, operator, values });
        }
        Some(Self { requirements })
    }
}

/// The pod to be placed. What a policy did not ask for by its columns reads as absent.
#[derive(Clone, Copy)]
pub struct Pod<'a> {
    mirror: &'a Mirror,
    row: u32,
}

impl<'a> Pod<'a> {
    /// The pod of that row.
    pub fn new(mirror: &'a Mirror, row: u32) -> Self {
        Self { mirror, row }
    }
    /// The mirror that holds its cells.
    pub fn mirror(&self) -> &'a Mirror {
        self.mirror
    }
    /// The words of a cell: for policies that compare ids instead of texts.
    pub fn cell(&self, column: Column) -> &'a [i64] {
        self.mirror.cell(column.id(), self.row)
    }
    fn string(&self, column: Column) -> &'a str {
        self.cell(column).first().and_then(|word| symbol(*word)).map_or("", |s| self.mirror.text(s))
    }
    /// Needs [`Column::PodName`]. Asking for it makes each replica a pod of its own: nothing is reused between them.
    pub fn name(&self) -> &'a str {
        self.string(Column::PodName)
    }
    /// Needs [`Column::PodNamespace`].
    pub fn namespace(&self) -> &'a str {
        self.string(Column::PodNamespace)
    }
    /// Needs [`Column::PodUid`]; see [`Pod::name`].
    pub fn uid(&self) -> &'a str {
        self.string(Column::PodUid)
    }
    /// `spec.nodeName`; "" when it has none. Needs [`Column::PodNodeName`].
    pub fn node_name(&self) -> &'a str {
        self.string(Column::PodNodeName)
    }
    /// Needs [`Column::PodLabels`].
    pub fn label(&self, key: &str) -> Option<&'a str> {
        find(self.mirror, self.cell(Column::PodLabels), key)
    }
    /// Keys and values. Needs [`Column::PodLabels`].
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        texts(self.mirror, self.cell(Column::PodLabels))
    }
    /// Needs [`Column::PodAnnotations`].
    pub fn annotation(&self, key: &str) -> Option<&'a str> {
        find(self.mirror, self.cell(Column::PodAnnotations), key)
    }
    /// cpu in thousandths, the rest in units. Needs [`Column::PodRequests`].
    pub fn request(&self, resource: &str) -> i64 {
        amount(self.mirror, self.cell(Column::PodRequests), resource)
    }
    /// See [`Node::requested_nonzero`]. Needs [`Column::PodRequestsNonzero`].
    pub fn request_nonzero(&self) -> (i64, i64) {
        match self.cell(Column::PodRequestsNonzero) {
            [cpu, memory] => (*cpu, *memory),
            _ => (0, 0),
        }
    }
    /// Needs [`Column::PodPriority`].
    pub fn priority(&self) -> i64 {
        self.cell(Column::PodPriority).first().copied().unwrap_or(0)
    }
    /// Needs [`Column::PodImages`].
    pub fn images(&self) -> impl Iterator<Item = &'a str> + 'a {
        let mirror = self.mirror;
        self.cell(Column::PodImages).iter().filter_map(|word| symbol(*word)).map(|s| mirror.text(s))
    }
    /// Needs [`Column::PodTolerations`], and [`Column::PodComparingTolerations`] for those that compare.
    pub fn tolerations(&self) -> Vec<Toleration> {
        let plain = self.cell(Column::PodTolerations).chunks_exact(4).map(|words| Toleration {
            key: symbol(words[0]),
            exists: words[1] == 1,
            value: symbol(words[2]),
            effect: Effect::from_word(words[3]),
            compares: None,
        });
        let comparing = self.cell(Column::PodComparingTolerations).chunks_exact(4).map(|words| Toleration {
            key: symbol(words[0]),
            exists: false,
            value: None,
            effect: Effect::from_word(words[3]),
            compares: Some(match words[1] == Operator::Gt as i64 {
                true => Comparison::Above(words[2]),
                false => Comparison::Below(words[2]),
            }),
        });
        plain.chain(comparing).collect()
    }
    /// Key and value pairs of `spec.nodeSelector`. Needs [`Column::PodNodeSelector`].
    pub fn node_selector(&self) -> impl Iterator<Item = (Symbol, Symbol)> + 'a {
        pairs(self.cell(Column::PodNodeSelector))
    }
    /// The required terms, of which one must match; `None` when nothing is required.
    /// Needs [`Column::PodNodeAffinity`].
    pub fn node_affinity(&self) -> Option<Vec<Term>> {
        let (count, mut words) = self.cell(Column::PodNodeAffinity).split_first()?;
        (0..*count).map(|_| Term::read(&mut words)).collect()
    }
    /// Weights and terms. Needs [`Column::PodNodeAffinityPreferred`].
    pub fn node_affinity_preferred(&self) -> Vec<(i64, Term)> {
        let mut words = self.cell(Column::PodNodeAffinityPreferred);
        let mut terms = Vec::new();
        while let Some((weight, rest)) = words.split_first() {
            words = rest;
            let Some(term) = Term::read(&mut words) else { break };
            terms.push((*weight, term));
        }
        terms
    }
}
