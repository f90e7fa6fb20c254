//! Errors of compilation, with their places, in the words and the form of cel-go.

use sampan_api::user::Attributes;
use std::fmt;

/// One error in an expression's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// From 1; 0 where the error has no place.
    pub line: usize,
    /// Characters before the place in its line.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// All errors of an expression, shown as `ERROR: <input>:1:5: ...` with the line and a mark below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues {
    text: String,
    issues: Vec<Issue>,
    /// The text checks, but no program can be made of it.
    program: bool,
}

impl Issues {
    /// The errors of `text`, by place.
    pub(crate) fn new(text: &str, mut issues: Vec<Issue>) -> Self {
        issues.sort_by_key(|issue| (issue.line, issue.column));
        Self { text: text.to_owned(), issues, program: false }
    }

    /// The text checks, but no program can be made of it: a constant in it has no value.
    pub(crate) fn of_program(message: String) -> Self {
        Self { text: String::new(), issues: vec![Issue { line: 0, column: 0, message }], program: true }
    }

    /// What failed, as Kubernetes says it before the text: `compilation`, or `program instantiation`.
    pub fn stage(&self) -> &'static str {
        if self.program { "program instantiation" } else { "compilation" }
    }

    /// The errors, by place.
    pub fn iter(&self) -> std::slice::Iter<'_, Issue> {
        self.issues.iter()
    }
}

/// A line longer than this is not shown below its error.
const SNIPPET_CHARS_MAX: usize = 16_384;
/// As many errors are shown.
const SHOWN_MAX: usize = 100;

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, issue) in self.issues.iter().take(SHOWN_MAX).enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            if self.program {
                return f.write_str(&issue.message);
            }
            if issue.line == 0 {
                write!(f, "ERROR: <input>:-1:0: {}", issue.message)?;
                continue;
            }
            if self.text.is_empty() {
                // There is no place in a text without characters, and nothing to show.
                write!(f, "ERROR: <input>:{}:0: {}", issue.line, issue.message)?;
                continue;
            }
            write!(f, "ERROR: <input>:{}:{}: {}", issue.line, issue.column + 1, issue.message)?;
            let line = issue.line.checked_sub(1).and_then(|line| self.text.split('\n').nth(line));
            let Some(line) = line.filter(|line| line.len() <= SNIPPET_CHARS_MAX) else { continue };
            let line = line.replace('\t', " ");
            write!(f, "\n | {line}\n | ")?;
            let mut chars = line.chars();
            for char in chars.by_ref().take(issue.column) {
                f.write_str(if char.is_ascii() { "." } else { "\u{ff0e}" })?;
            }
            f.write_str(if chars.next().is_none_or(|char| char.is_ascii()) { "^" } else { "\u{ff3e}" })?;
        }
        if self.issues.len() > SHOWN_MAX {
            write!(f, "\n{} more errors were truncated", self.issues.len() - SHOWN_MAX)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}

/// What an expression asks the authorizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question(pub Attributes);

/// Why an evaluation gave no value. The text is cel-go's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvalError {
    /// The expression itself failed: `no such key: x`.
    Failed(String),
    /// The cost limit is reached.
    CostExceeded,
    /// An answer of the authorizer is missing; it is to be found out, and the expression evaluated again.
    NeedsDecision(Box<Question>),
}

impl EvalError {
    /// An error of the expression itself.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// No function of that name takes these types.
    pub(crate) fn no_such_overload() -> Self {
        Self::failed("no such overload")
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) => f.write_str(text),
            Self::CostExceeded => f.write_str("operation cancelled: actual cost limit exceeded"),
            Self::NeedsDecision(_) => f.write_str("authorization has not been decided yet"),
        }
    }
}

impl std::error::Error for EvalError {}
