//! LeaseCandidates: who may hold a lease, and in which version.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::{immutable, required_text};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};
use sampan_api::names;
use std::cmp::Ordering;

pub(super) fn row() -> Resource {
    Resource::new("coordination.k8s.io", "v1beta1", "leasecandidates", "LeaseCandidate")
        .history(HistoryClass::Scant)
        .selectable("spec.leaseName")
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    finalizers_without_domain: true,
    name: names::config_map_key,
    validate: Some(|_, candidate| {
        let mut errors = FieldErrors::default();
        spec(At::object(candidate).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|_, candidate, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(candidate), At::object(old));
        let (at, old) = (at.get("spec"), old.get("spec"));
        spec(at, &mut errors);
        immutable(at.get("leaseName"), old.get("leaseName"), &mut errors);
        errors
    }),
    create_on_update: true,
    unconditional_update: false,
    ..Rules::NONE
};

/// Reasons and words of `ValidateLeaseCandidateSpec`.
fn spec(at: At<'_>, errors: &mut FieldErrors) {
    required_text(at.get("leaseName"), errors);
    let (emulated, binary) = (at.get("emulationVersion"), at.get("binaryVersion"));
    let read = |version: At<'_>, errors: &mut FieldErrors| {
        let read = Version::parse(version.text());
        if read.is_none() && !version.is_empty() {
            version.invalid(errors, "must be a valid semantic version");
        }
        read
    };
    let emulates = read(emulated, errors);
    required_text(binary, errors);
    let is = read(binary, errors);
    // What cannot be read counts as 0.0.0.
    let zero = || Version::parse("0.0.0");
    let older = is.clone().or_else(zero) < emulates.clone().or_else(zero);
    if !binary.is_empty() && !emulated.is_empty() && older {
        binary.invalid(errors, "must be greater than or equal to `emulationVersion`");
    }
    let strategy = at.get("strategy");
    if strategy.is_empty() {
        return strategy.required(errors, "");
    }
    if super::STRATEGIES.contains(&strategy.text()) && emulates.or_else(zero) == zero() {
        emulated.required(errors, "must be specified when `strategy` is 'OldestEmulationVersion'");
    }
    super::strategy(strategy, errors);
}

/// A semantic version, as far as its order goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    core: [u64; 3],
    /// Identifiers of a version before the release; none of a release.
    before: Vec<Identifier>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
        let mut numbers = core.split('.').map(number);
        let core = [numbers.next()??, numbers.next()??, numbers.next()??];
        let sound = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if numbers.next().is_some() || !build.into_iter().flat_map(|build| build.split('.')).all(sound) {
            return None;
        }
        let identifier = |part: &str| match part.bytes().all(|b| b.is_ascii_digit()) {
            _ if !sound(part) => None,
            true => number(part).map(Identifier::Number),
            false => Some(Identifier::Word(part.to_owned())),
        };
        let before = before.into_iter().flat_map(|before| before.split('.')).map(identifier).collect::<Option<_>>()?;
        Some(Self { core, before })
    }
}

/// Digits without a zero before them.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits && (text.len() == 1 || !text.starts_with('0')))
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // A release comes after what was before it.
        let released = |version: &Self| version.before.is_empty();
        let release = released(self).cmp(&released(other));
        self.core.cmp(&other.core).then(release).then_with(|| self.before.cmp(&other.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_semver_has_it() {
        let versions = ["1.0.0-1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0", "1.9.0", "1.10.0"];
        let read: Vec<Version> = versions.iter().map(|text| Version::parse(text).expect(text)).collect();
        assert!(read.is_sorted_by(|a, b| a < b), "{read:?}");
        assert_eq!(Version::parse("1.2.3+a"), Version::parse("1.2.3+b"));
        for text in ["", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3.4", "1.2.3-", "1.2.3-01", "1.2.3+", "1.2.x"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
