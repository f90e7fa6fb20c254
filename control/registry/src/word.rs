//! The words that rows are made of.

use std::borrow::Cow;

/// A word of the table: a literal for built-ins, owned for what definitions add at run time.
pub type Name = Cow<'static, str>;
