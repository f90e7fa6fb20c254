//! An expression that was parsed and checked.

use crate::check::Checked;
use crate::syntax::Parsed;

/// The tree, and what is known of its nodes.
#[derive(Debug)]
pub struct Compiled {
    pub(crate) parsed: Parsed,
    pub(crate) checked: Checked,
}
