//! `x-kubernetes-validations`: the rules of a structural schema, compiled once, checked when a definition is written, and run
//! over each object that is.

mod check;
mod compile;
mod field_path;
mod validate;

pub use check::check;
pub use compile::Rules;
pub use field_path::find as find_field;
pub use validate::Outcome;
