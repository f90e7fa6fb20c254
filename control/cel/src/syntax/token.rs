//! What tokens are.

use std::fmt;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An operator, a bracket or a word of the language, by its text.
    Word(&'static str),
    Int,
    Uint,
    Float,
    String,
    Bytes,
    Ident,
    /// A name in back quotes.
    Escaped,
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) => write!(f, "'{text}'"),
            Self::Int => f.write_str("NUM_INT"),
            Self::Uint => f.write_str("NUM_UINT"),
            Self::Float => f.write_str("NUM_FLOAT"),
            Self::String => f.write_str("STRING"),
            Self::Bytes => f.write_str("BYTES"),
            Self::Ident => f.write_str("IDENTIFIER"),
            Self::Escaped => f.write_str("ESC_IDENTIFIER"),
            Self::End => f.write_str("<EOF>"),
        }
    }
}
