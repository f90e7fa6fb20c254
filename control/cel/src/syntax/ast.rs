//! What an expression is once it is parsed: a tree whose nodes have numbers, and where each number stands in the text.

use std::sync::Arc;

/// The number of a node: an index into what is known of nodes (place, type, overloads).
pub(crate) type Id = usize;

/// A value that stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) id: Id,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(Arc<str>),
    Select(Box<Select>),
    Call(Box<Call>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct(Box<Message>),
    Fold(Box<Fold>),
    /// Stands where the text was not understood; an error tells why.
    Broken,
}

/// `operand.field`, or the question whether it is there.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) operand: Expr,
    pub(crate) field: Arc<str>,
    pub(crate) test: Test,
}

/// Whether a selection asks for a field, or whether it is there (`has`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Value,
    Presence,
}

/// A call; operators are calls by names like `_+_`.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: Arc<str>,
    pub(crate) target: Option<Expr>,
    pub(crate) args: Vec<Expr>,
}

impl Call {
    /// The target, where there is one, and the arguments.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &Expr> {
        self.target.iter().chain(&self.args)
    }
}

/// An element of a list.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) value: Expr,
    /// Written with a `?`: what holds no value is left out.
    pub(crate) optional: bool,
}

/// An entry of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    /// Written with a `?`.
    pub(crate) optional: bool,
}

/// `Name{field: value}`.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) name: Arc<str>,
    pub(crate) fields: Vec<Member>,
}

/// A field of a [`Message`].
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: Id,
    pub(crate) name: Arc<str>,
    pub(crate) value: Expr,
    /// Written with a `?`: one that holds no value is left out.
    pub(crate) optional: bool,
}

/// What the macros over lists and maps become.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) range: Expr,
    pub(crate) iter: Arc<str>,
    pub(crate) iter2: Option<Arc<str>>,
    pub(crate) accu: Arc<str>,
    pub(crate) init: Expr,
    pub(crate) condition: Expr,
    pub(crate) step: Expr,
    pub(crate) result: Expr,
}

impl Fold {
    /// Whether this only gives a value a name: nothing is iterated over.
    pub(crate) fn is_bind(&self) -> bool {
        matches!(&self.range.kind, Kind::List(all) if all.is_empty())
            && matches!(self.condition.kind, Kind::Literal(Literal::Bool(false)))
            && &*self.accu != ACCUMULATOR
    }
}

/// The name under which macros accumulate.
pub(crate) const ACCUMULATOR: &str = "__result__";

impl Expr {
    /// The dotted name that this is, if it is one: `a.b.c`.
    pub(crate) fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.to_string()),
            Kind::Select(select) if select.test == Test::Value => {
                Some(format!("{}.{}", select.operand.qualified_name()?, select.field))
            }
            _ => None,
        }
    }

    /// The name, if this is a plain one.
    pub(crate) fn ident(&self) -> Option<&Arc<str>> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }
}
