//! Feature gates: Kubernetes' names, with the defaults of v1.35 (`data/gates.tsv`). A field of a gate that is off is dropped
//! where its facts say so ([`crate::facts::drop_disabled`]).

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// How far a feature has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Off by default, may go.
    Alpha,
    /// May still change.
    Beta,
    /// Generally available.
    Stable,
    /// On its way out.
    Deprecated,
}

/// One gate that v1.35 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Kubernetes' name.
    pub name: &'static str,
    /// Whether it is on where nobody says otherwise.
    pub default: bool,
    /// How far it has come.
    pub stage: Stage,
    /// Who can say otherwise.
    pub choice: Choice,
}

/// Whether a gate may have another value than its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// As whoever starts the server likes.
    Free,
    /// It may not, in Kubernetes.
    Locked,
}

/// A setting of a gate that cannot be, in the words of component-base.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// No gate has the name.
    #[error("unrecognized feature gate: {0}")]
    Unknown(String),
    /// The gate has one value.
    #[error("cannot set feature gate {name} to {wanted}, feature is locked to {fixed}")]
    Locked {
        /// The gate's.
        name: String,
        /// The value that was asked for.
        wanted: bool,
        /// The one that it has.
        fixed: bool,
    },
}

/// All gates, ordered by name.
pub fn known() -> &'static [Gate] {
    static KNOWN: OnceLock<Vec<Gate>> = OnceLock::new();
    KNOWN.get_or_init(|| include_str!("../data/gates.tsv").lines().filter_map(read).collect())
}

/// A line of the table. The data is compiled in: what is wrong in it stops the first use.
fn read(line: &'static str) -> Option<Gate> {
    if line.starts_with('#') {
        return None;
    }
    let mut columns = line.split('\t');
    let name = columns.next()?;
    let default = match columns.next() {
        Some("on") => true,
        Some("off") => false,
        _ => panic!("gates: {name} is neither on nor off"),
    };
    let stage = match columns.next() {
        Some("Alpha") => Stage::Alpha,
        Some("Beta") => Stage::Beta,
        Some("GA") => Stage::Stable,
        Some("Deprecated") => Stage::Deprecated,
        _ => panic!("gates: {name} has no stage"),
    };
    let choice = match columns.next() {
        None => Choice::Free,
        Some("locked") => Choice::Locked,
        Some(other) => panic!("gates: {name} is {other}"),
    };
    Some(Gate { name, default, stage, choice })
}

/// The index of a gate in [`known`].
pub(crate) fn index(name: &str) -> Option<usize> {
    known().binary_search_by(|gate| gate.name.cmp(name)).ok()
}

/// Which features are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gates {
    /// By the index in [`known`].
    on: Vec<bool>,
}

impl Default for Gates {
    fn default() -> Self {
        Self { on: known().iter().map(|gate| gate.default).collect() }
    }
}

impl Gates {
    /// The defaults with these settings over them. `AllAlpha` and `AllBeta` set every gate of their stage that is not set by
    /// its name.
    ///
    /// # Errors
    /// All settings that cannot be.
    pub fn with(settings: &BTreeMap<String, bool>) -> Result<Self, Vec<GateError>> {
        let mut gates = Self::default();
        for (all, stage) in [("AllAlpha", Stage::Alpha), ("AllBeta", Stage::Beta)] {
            let Some(wanted) = settings.get(all) else { continue };
            let free = |gate: &Gate| gate.stage == stage && gate.choice == Choice::Free;
            for (at, _) in known().iter().enumerate().filter(|(_, gate)| free(gate)) {
                gates.on[at] = *wanted;
            }
        }
        let mut errors = Vec::new();
        for (name, wanted) in settings.iter().filter(|(name, _)| !matches!(name.as_str(), "AllAlpha" | "AllBeta")) {
            match index(name).map(|at| (at, known()[at])) {
                None => errors.push(GateError::Unknown(name.clone())),
                Some((_, gate)) if gate.choice != Choice::Free && gate.default != *wanted => {
                    errors.push(GateError::Locked { name: name.clone(), wanted: *wanted, fixed: gate.default });
                }
                Some((at, _)) => gates.on[at] = *wanted,
            }
        }
        if errors.is_empty() { Ok(gates) } else { Err(errors) }
    }

    /// Whether a feature is on. Of a name that is no gate it is not.
    pub fn enabled(&self, name: &str) -> bool {
        index(name).is_some_and(|at| self.on[at])
    }

    /// As above, for an index in [`known`].
    pub(crate) fn is_on(&self, at: usize) -> bool {
        self.on[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: &[(&str, bool)]) -> Result<Gates, Vec<GateError>> {
        Gates::with(&settings.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect())
    }

    #[test]
    fn the_table_is_ordered_and_locked_gates_are_settled() {
        assert!(known().is_sorted_by(|a, b| a.name < b.name));
        let off = |gate: &Gate| gate.stage != Stage::Alpha || !gate.default || gate.choice == Choice::Locked;
        assert!(known().iter().all(off), "alpha is off");
        let gates = Gates::default();
        assert!(gates.enabled("SidecarContainers") && !gates.enabled("ContainerStopSignals"));
        assert!(!gates.enabled("NoSuchGate"));
    }

    #[test]
    fn settings_are_taken_and_what_cannot_be_is_said_at_once() {
        let gates = with(&[("ContainerStopSignals", true), ("ImageVolume", false)]).expect("both may be set");
        assert!(gates.enabled("ContainerStopSignals") && !gates.enabled("ImageVolume"));
        let all = with(&[("AllAlpha", true), ("HPAScaleToZero", false)]).expect("one is set by its name");
        assert!(all.enabled("ContainerStopSignals") && !all.enabled("HPAScaleToZero"));
        assert!(!all.enabled("MutatingAdmissionPolicy"), "that one is beta");
        let errors = with(&[("Guess", true), ("SidecarContainers", false)]).expect_err("neither can be");
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "unrecognized feature gate: Guess",
                "cannot set feature gate SidecarContainers to false, feature is locked to true"
            ]
        );
    }
}
