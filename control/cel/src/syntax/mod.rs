//! From text to tree.

pub(crate) mod ast;
mod builder;
mod lexer;
mod literal;
mod macros;
mod parser;
mod token;

pub(crate) use builder::Macros;
pub(crate) use parser::{Parsed, parse};
