//! The nodes of a tree while it is made: their numbers, their places, and what is wrong with them.

use super::ast::{Expr, Id, Kind};
use crate::limits::NODES_MAX;

/// Why the parser went no further.
#[derive(Debug)]
pub(super) enum Stop {
    /// A problem has been told.
    Syntax,
    TooDeep,
    TooLarge,
}

/// Macros that not every environment has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Macros {
    #[default]
    Base,
    /// `cel.bind` beside those of all.
    Bindings,
}

/// What was made so far.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) macros: Macros,
    /// Characters before each node, by its number.
    pub(super) places: Vec<usize>,
    /// What is wrong, by place.
    pub(super) problems: Vec<(usize, String)>,
}

impl Builder {
    /// An error at a node, which does not stop the parser.
    pub(super) fn tell(&mut self, id: Id, message: impl Into<String>) -> Expr {
        self.problems.push((self.places[id], message.into()));
        Expr { id, kind: Kind::Broken }
    }

    pub(super) fn place(&self, id: Id) -> usize {
        self.places[id]
    }

    /// A node at a place.
    pub(super) fn node(&mut self, at: usize, kind: Kind) -> Expr {
        self.places.push(at);
        Expr { id: self.places.len() - 1, kind }
    }

    /// Whether there may be more nodes.
    pub(super) fn room(&self) -> Result<(), Stop> {
        if self.places.len() > NODES_MAX { Err(Stop::TooLarge) } else { Ok(()) }
    }
}
