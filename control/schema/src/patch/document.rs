//! The document that a JSON patch works on. An array takes an insertion or a removal anywhere at a bounded cost, and every
//! value knows how deep it nests, so that an operation costs what it says and not what the document is long.

use std::collections::BTreeMap;

use sampan_api::field::go_quote;
use serde_json::{Map, Value};

/// A value of the document.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Neither a list nor an object.
    Scalar(Value),
    List(Box<List>),
    Object(Box<Object>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct List {
    elements: Elements,
    heights: Heights,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    fields: BTreeMap<String, Node>,
    heights: Heights,
}

/// The reason why an operation does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing has a place for what the path means: what is above it is absent, null or a scalar.
    Parent,
    /// The last token means nothing there, in evanphx/json-patch's words.
    Key(String),
    /// The document would nest too deeply.
    Nesting(String),
}

type Found<T> = Result<T, Failure>;

impl Node {
    pub(super) fn of(value: Value) -> Node {
        match value {
            Value::Array(list) => {
                let mut heights = Heights::default();
                let list = list.into_iter().map(Node::of).inspect(|node| heights.add(node.height())).collect();
                Node::List(Box::new(List { elements: Elements::of(list), heights }))
            }
            Value::Object(map) => {
                let mut heights = Heights::default();
                let fields = map.into_iter().map(|(name, value)| (name, Node::of(value)));
                let fields = fields.inspect(|(_, node)| heights.add(node.height())).collect();
                Node::Object(Box::new(Object { fields, heights }))
            }
            scalar => Node::Scalar(scalar),
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Node::Scalar(value) => value,
            Node::List(list) => Value::Array(list.elements.into_iter().map(Node::into_value).collect()),
            Node::Object(object) => {
                let fields = object.fields.into_iter().map(|(name, node)| (name, node.into_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// The number of lists and objects that stand within each other at most: 0 for a scalar.
    pub(super) fn height(&self) -> usize {
        match self {
            Node::Scalar(_) => 0,
            Node::List(list) => 1 + list.heights.max(),
            Node::Object(object) => 1 + object.heights.max(),
        }
    }

    /// Whether it is that value. Costs no more than the shorter of the two.
    pub(super) fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Node::Scalar(scalar), value) => scalar == value,
            (Node::List(list), Value::Array(values)) => {
                list.elements.len() == values.len()
                    && list.elements.iter().zip(values).all(|(node, value)| node.equals(value))
            }
            (Node::Object(object), Value::Object(map)) => {
                let pairs = object.fields.iter().zip(map);
                object.fields.len() == map.len()
                    && pairs.into_iter().all(|((name, node), (key, value))| name == key && node.equals(value))
            }
            _ => false,
        }
    }

    /// What has a place for the last token of a path.
    fn parent(&self, way: &[String]) -> Option<&Node> {
        let found = way.iter().try_fold(self, |node, token| match node {
            Node::Object(object) => object.fields.get(token),
            Node::List(list) => list.elements.get(list.place(token).ok()?),
            Node::Scalar(_) => None,
        });
        found.filter(|node| !matches!(node, Node::Scalar(_)))
    }

    /// Whether something has a place for what a path leads to.
    pub(super) fn has_parent_of(&self, path: &[String]) -> bool {
        path.split_last().is_some_and(|(_, way)| self.parent(way).is_some())
    }

    /// The node that a path of decoded tokens leads to; `None`: a field that is absent.
    pub(super) fn get(&self, path: &[String]) -> Found<Option<&Node>> {
        let (last, way) = path.split_last().ok_or(Failure::Parent)?;
        match self.parent(way) {
            Some(Node::Object(object)) => Ok(object.fields.get(last)),
            Some(Node::List(list)) => Ok(list.elements.get(list.place(last)?)),
            Some(Node::Scalar(_)) | None => Err(Failure::Parent),
        }
    }

    /// Puts a node where a path leads: in place of a field, before a list's element or, with `-`, at a list's end.
    pub(super) fn add(&mut self, path: &[String], node: Node) -> Found<()> {
        self.change_parent(path, |parent, last| match parent {
            Node::Object(object) => {
                object.insert(last, node);
                Ok(())
            }
            Node::List(list) => {
                let len = list.elements.len();
                let at =
                    if last == "-" { len } else { index(last, len + 1).map_err(|why| why.of_an_addition(last))? };
                list.heights.add(node.height());
                list.elements.insert(at, node);
                Ok(())
            }
            Node::Scalar(_) => Err(Failure::Parent),
        })
    }

    /// Takes out what a path leads to.
    pub(super) fn take(&mut self, path: &[String]) -> Found<Node> {
        self.change_parent(path, |parent, last| match parent {
            Node::Object(object) => {
                let absent = || Failure::Key(format!("Unable to remove nonexistent key: {last}: missing value"));
                let node = object.fields.remove(last).ok_or_else(absent)?;
                object.heights.remove(node.height());
                Ok(node)
            }
            Node::List(list) => {
                let at = list.place(last)?;
                let node = list.elements.remove(at).ok_or(Failure::Parent)?;
                list.heights.remove(node.height());
                Ok(node)
            }
            Node::Scalar(_) => Err(Failure::Parent),
        })
    }

    /// Puts a node in the place of a list's element, or of a field, which may be absent.
    pub(super) fn set(&mut self, path: &[String], node: Node) -> Found<()> {
        self.change_parent(path, |parent, last| match parent {
            Node::Object(object) => {
                object.insert(last, node);
                Ok(())
            }
            Node::List(list) => {
                let at = list.place(last)?;
                let place = list.elements.get_mut(at).ok_or(Failure::Parent)?;
                list.heights.remove(place.height());
                list.heights.add(node.height());
                *place = node;
                Ok(())
            }
            Node::Scalar(_) => Err(Failure::Parent),
        })
    }

    /// Changes what has a place for the last token of a path.
    fn change_parent<T>(&mut self, path: &[String], change: impl FnOnce(&mut Node, &str) -> Found<T>) -> Found<T> {
        let (last, way) = path.split_last().ok_or(Failure::Parent)?;
        self.change(way, |parent| change(parent, last))
    }

    /// Changes what a path leads to, and what is known of the nesting on the way.
    fn change<T>(&mut self, path: &[String], change: impl FnOnce(&mut Node) -> Found<T>) -> Found<T> {
        let Some((token, rest)) = path.split_first() else { return change(self) };
        let (inner, heights) = match self {
            Node::Object(object) => (object.fields.get_mut(token), &mut object.heights),
            Node::List(list) => {
                let at = list.place(token).map_err(|_| Failure::Parent)?;
                (list.elements.get_mut(at), &mut list.heights)
            }
            Node::Scalar(_) => return Err(Failure::Parent),
        };
        let inner = inner.ok_or(Failure::Parent)?;
        let before = inner.height();
        let changed = inner.change(rest, change);
        heights.remove(before);
        heights.add(inner.height());
        changed
    }
}

impl Object {
    fn insert(&mut self, name: &str, node: Node) {
        self.heights.add(node.height());
        if let Some(before) = self.fields.insert(name.to_owned(), node) {
            self.heights.remove(before.height());
        }
    }
}

impl List {
    /// The place of the element that a token names.
    fn place(&self, token: &str) -> Found<usize> {
        index(token, self.elements.len()).map_err(|why| Failure::Key(why.text()))
    }
}

/// The reason why a token names no place of a list.
enum NoIndex {
    /// It is no number.
    Improper(String),
    Outside(i64),
}

impl NoIndex {
    fn text(&self) -> String {
        match self {
            NoIndex::Improper(why) => why.clone(),
            NoIndex::Outside(number) => {
                format!("Unable to access invalid index: {number}: invalid index referenced")
            }
        }
    }

    fn of_an_addition(&self, token: &str) -> Failure {
        Failure::Key(match self {
            NoIndex::Improper(why) => format!("value was not a proper array index: '{token}': {why}"),
            NoIndex::Outside(_) => self.text(),
        })
    }
}

/// The index that a token names among `len`: a number as Go's `strconv.Atoi` reads it, from the end where it is negative.
fn index(token: &str, len: usize) -> Result<usize, NoIndex> {
    let digits = token.strip_prefix(['+', '-']).unwrap_or(token);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoIndex::Improper(format!("strconv.Atoi: parsing {}: invalid syntax", go_quote(token))));
    }
    let Ok(number) = token.parse::<i64>() else {
        return Err(NoIndex::Improper(format!("strconv.Atoi: parsing {}: value out of range", go_quote(token))));
    };
    let at = if number < 0 { i64::try_from(len).unwrap_or(i64::MAX).saturating_add(number) } else { number };
    usize::try_from(at).ok().filter(|at| *at < len).ok_or(NoIndex::Outside(number))
}

/// The number of a list's or object's values by the depth to which they nest.
#[derive(Clone, Debug, Default)]
struct Heights(Vec<u32>);

impl Heights {
    fn add(&mut self, height: usize) {
        if self.0.len() <= height {
            self.0.resize(height + 1, 0);
        }
        self.0[height] += 1;
    }

    fn remove(&mut self, height: usize) {
        if let Some(count) = self.0.get_mut(height) {
            *count = count.saturating_sub(1);
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn max(&self) -> usize {
        self.0.len().saturating_sub(1)
    }
}

/// Elements that are moved by an insertion or a removal, at most.
const CHUNK: usize = 512;

/// A list's elements in chunks, which are found by a tree of sums over their lengths.
#[derive(Clone, Debug, Default)]
struct Elements {
    chunks: Vec<Vec<Node>>,
    /// A Fenwick tree: the entry at `i` (from 1) sums the lengths of the chunks from `i - (i & -i)` up to `i`.
    sums: Vec<usize>,
    len: usize,
}

impl Elements {
    fn of(mut nodes: Vec<Node>) -> Elements {
        let len = nodes.len();
        if len <= CHUNK {
            return Elements { sums: vec![len], chunks: vec![nodes], len };
        }
        let mut chunks = Vec::with_capacity(len.div_ceil(CHUNK / 2));
        let mut rest = nodes.drain(..);
        loop {
            let chunk: Vec<Node> = rest.by_ref().take(CHUNK / 2).collect();
            if chunk.is_empty() {
                break;
            }
            chunks.push(chunk);
        }
        drop(rest);
        let mut elements = Elements { chunks, sums: Vec::new(), len };
        elements.sum();
        elements
    }

    fn len(&self) -> usize {
        self.len
    }

    /// Makes the tree of sums anew.
    fn sum(&mut self) {
        self.sums = self.chunks.iter().map(Vec::len).collect();
        for at in 1..=self.sums.len() {
            let above = at + (at & at.wrapping_neg());
            if above <= self.sums.len() {
                self.sums[above - 1] += self.sums[at - 1];
            }
        }
    }

    /// The chunk that has the element of that index, and its place there. One index past the end is in the last chunk.
    fn find(&self, index: usize) -> (usize, usize) {
        let (mut at, mut left) = (0, index);
        let mut step = self.sums.len().checked_ilog2().map_or(0, |bits| 1usize << bits);
        while step > 0 {
            if let Some(sum) = self.sums.get(at + step - 1)
                && *sum <= left
            {
                at += step;
                left -= sum;
            }
            step /= 2;
        }
        if at < self.chunks.len() {
            return (at, left);
        }
        let last = self.chunks.len().saturating_sub(1);
        (last, self.chunks.get(last).map_or(0, Vec::len))
    }

    fn get(&self, index: usize) -> Option<&Node> {
        let (chunk, at) = self.find(index);
        if index < self.len { self.chunks.get(chunk)?.get(at) } else { None }
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Node> {
        let (chunk, at) = self.find(index);
        if index < self.len { self.chunks.get_mut(chunk)?.get_mut(at) } else { None }
    }

    /// `index` is at most the length.
    fn insert(&mut self, index: usize, node: Node) {
        if self.chunks.is_empty() {
            self.chunks.push(Vec::new());
            self.sum();
        }
        let (chunk, at) = self.find(index);
        self.chunks[chunk].insert(at, node);
        self.len += 1;
        if self.chunks[chunk].len() > CHUNK {
            let half = self.chunks[chunk].split_off(CHUNK / 2);
            self.chunks.insert(chunk + 1, half);
            self.sum();
        } else {
            self.shift(chunk, 1);
        }
    }

    fn remove(&mut self, index: usize) -> Option<Node> {
        if index >= self.len {
            return None;
        }
        let (chunk, at) = self.find(index);
        let node = self.chunks[chunk].remove(at);
        self.len -= 1;
        self.shift(chunk, -1);
        Some(node)
    }

    /// Notes that a chunk has one element more or less.
    fn shift(&mut self, chunk: usize, by: isize) {
        let mut at = chunk + 1;
        while let Some(sum) = self.sums.get_mut(at - 1) {
            *sum = sum.wrapping_add_signed(by);
            at += at & at.wrapping_neg();
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Node> {
        self.chunks.iter().flatten()
    }

    fn into_iter(self) -> impl Iterator<Item = Node> {
        self.chunks.into_iter().flatten()
    }
}
