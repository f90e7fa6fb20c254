//! The outcome of a check: errors, each once, and how well a schema fits.

use std::collections::HashSet;

use sampan_api::field::FieldError;
use sampan_api::limits::{FIELD_ERRORS_BYTES_MAX, FIELD_ERRORS_MAX};

/// One error.
pub(super) struct Fault {
    /// kube-openapi's text, by which it tells errors apart.
    pub text: String,
    /// As it is told.
    pub error: FieldError,
}

/// The result of a check: errors, each once, and how many checks were made, by which the best of several schemas is found.
#[derive(Default)]
pub(super) struct Outcome {
    /// In the order in which they were found, up to a limit.
    pub errors: Vec<Fault>,
    texts: HashSet<String>,
    bytes: usize,
    /// The number of checks that were made.
    pub matches: u64,
}

impl Outcome {
    /// That of one error.
    pub fn of(fault: Fault) -> Self {
        let mut outcome = Self::default();
        outcome.add(fault);
        outcome
    }

    /// Checks that found nothing.
    pub fn passed(matches: u64) -> Self {
        Self { matches, ..Self::default() }
    }

    /// Whether there are no errors.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// Adds an error that is not there yet.
    pub fn add(&mut self, fault: Fault) {
        // More are not shown; who asks whether there are any knows by the first.
        if self.errors.len() >= FIELD_ERRORS_MAX || self.bytes >= FIELD_ERRORS_BYTES_MAX {
            return;
        }
        if self.texts.insert(fault.text.clone()) {
            self.bytes += fault.text.len();
            self.errors.push(fault);
        }
    }

    /// Adds another's errors and checks.
    pub fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        if self.errors.is_empty() {
            (self.errors, self.texts, self.bytes) = (other.errors, other.texts, other.bytes);
        } else {
            other.errors.into_iter().for_each(|fault| self.add(fault));
        }
    }
}
