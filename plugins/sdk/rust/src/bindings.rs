//! The component's side of the contract: generated from the WIT, and the macro that fills it in.

wit_bindgen::generate!({
    path: "../../wit",
    world: "filter-score-policy",
    pub_export_macro: true,
    export_macro_name: "export_bindings",
});

pub use exports::sampan::scheduling::{filter, policy, score};
use sampan::scheduling::types;

impl From<types::Changes> for crate::Changes {
    fn from(c: types::Changes) -> Self {
        Self {
            strings: c.strings,
            string_ends: c.string_ends,
            columns: c.columns,
            column_ends: c.column_ends,
            rows: c.rows,
            cell_ends: c.cell_ends,
            words: c.words,
        }
    }
}

impl From<types::Input> for crate::Input {
    fn from(input: types::Input) -> Self {
        Self {
            changes: input.changes.into(),
            overlay: input.overlay.into(),
            pod: input.pod,
            policies: input.policies,
            nodes: input.nodes,
        }
    }
}

impl From<crate::Failure> for types::Failure {
    fn from(failure: crate::Failure) -> Self {
        Self { policy: failure.policy, message: failure.message }
    }
}

impl From<crate::FilterAnswer> for filter::Verdicts {
    fn from(answer: crate::FilterAnswer) -> Self {
        let reason = |r: crate::Reason| types::Reason { policy: r.policy, bits: r.bits, texts: r.texts };
        Self { marks: answer.marks, reasons: answer.reasons.into_iter().map(reason).collect(), skipped: answer.skipped }
    }
}

impl From<crate::Scores> for score::Scores {
    fn from(scores: crate::Scores) -> Self {
        Self { skipped: scores.skipped, values: scores.values }
    }
}

/// Makes a component of the crate that serves these policies: `sampan_policy_sdk::export!(First, Second);`. Natively it
/// makes nothing.
#[macro_export]
macro_rules! export {
    ($($policy:ty),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        mod sampan_component {
            use super::*;
            use std::cell::RefCell;
            use $crate::bindings::{filter, policy, score};

            thread_local! {
                static RUNTIME: RefCell<$crate::Runtime> =
                    RefCell::new($crate::Runtime::new(vec![$($crate::entry::<$policy>()),+]));
            }

            struct Component;
            impl policy::Guest for Component {
                fn describe() -> String {
                    RUNTIME.with_borrow(|runtime| runtime.describe())
                }
                fn configure(slot: u32, policy: String, args: String) -> Result<(), String> {
                    RUNTIME.with_borrow_mut(|runtime| runtime.configure(slot, &policy, &args))
                }
            }
            impl filter::Guest for Component {
                fn filter(input: filter::Input) -> Result<filter::Verdicts, filter::Failure> {
                    let answer = RUNTIME.with_borrow_mut(|runtime| runtime.filter(&input.into()));
                    answer.map(Into::into).map_err(Into::into)
                }
            }
            impl score::Guest for Component {
                fn score(input: score::Input) -> Result<score::Scores, score::Failure> {
                    let answer = RUNTIME.with_borrow_mut(|runtime| runtime.score(&input.into()));
                    answer.map(Into::into).map_err(Into::into)
                }
            }
            $crate::bindings::export_bindings!(Component with_types_in $crate::bindings);
        }
    };
}
