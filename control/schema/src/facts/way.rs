//! The way to a value under validation: borrowed steps, which become text only where there is something to tell.

use std::fmt::Write as _;

use sampan_api::field::Path;

/// A chain of steps.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    Root(&'a Path),
    Field(&'a Way<'a>, &'a str),
    Index(&'a Way<'a>, usize),
    Key(&'a Way<'a>, &'a str),
}

impl Way<'_> {
    /// The way as text.
    pub fn path(&self) -> Path {
        let mut text = String::new();
        self.write(&mut text);
        Path::from_rendered(text)
    }

    fn write(&self, text: &mut String) {
        match self {
            Way::Root(path) => text.push_str(path.as_str()),
            Way::Field(parent, name) => {
                parent.write(text);
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            // Writing to a String cannot fail.
            Way::Index(parent, at) => {
                parent.write(text);
                write!(text, "[{at}]").unwrap_or_default();
            }
            Way::Key(parent, key) => {
                parent.write(text);
                write!(text, "[{key}]").unwrap_or_default();
            }
        }
    }
}
