//! What may become of a Job's status, as a table (pkg/apis/batch/validation and pkg/registry/batch/job of v1.35). Most rules
//! are asked only where a fact that they name changes: a status that breaks one already may still be written otherwise.

use super::super::validation::checks::not_negative;
use super::super::validation::{At, FieldErrors};
use super::indexes::{self, INDEXED};
use sampan_api::field::{BadValue, FieldError};
use sampan_api::object::Object;
use sampan_api::time;
use serde_json::Value;
use std::collections::HashSet;

/// Everything that is wrong with a write of the status.
pub(super) fn validate(job: &Object, old: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let (at, old_at) = (At::object(job), At::object(old));
    let (status, old_status) = (at.get("status"), old_at.get("status"));
    for counter in ["active", "succeeded", "failed", "ready", "terminating"] {
        not_negative(status.get(counter), &mut errors);
    }
    uncounted_once(status.get("uncountedTerminatedPods"), &mut errors);
    let change = Change { spec: at.get("spec"), new: Status(status), old: Status(old_status) };
    for rule in RULES.iter().filter(|rule| change.concerns(rule)) {
        rule.check(&change, &mut errors);
    }
    errors
}

/// Pods that ended and are not counted yet: each once.
fn uncounted_once(pods: At<'_>, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for list in ["succeeded", "failed"] {
        let list = pods.get(list);
        for pod in list.items() {
            if pod.is_empty() {
                pod.invalid(errors, "must not be empty");
            } else if !seen.insert(pod.text().to_owned()) {
                pod.duplicate(errors);
            }
        }
    }
}

/// A Job's status with what its conditions say.
#[derive(Clone, Copy)]
struct Status<'a>(At<'a>);

impl<'a> Status<'a> {
    fn has(&self, type_: &str, status: &str) -> bool {
        let conditions = self.0.value().get("conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|one| one["type"] == type_ && one["status"] == status)
    }
    /// Whether the condition is true; `Finished`: one of the two that end a Job.
    fn is(&self, type_: &str) -> bool {
        match type_ {
            FINISHED => self.has("Complete", "True") || self.has("Failed", "True"),
            type_ => self.has(type_, "True"),
        }
    }
    fn value(&self, field: &str) -> &'a Value {
        self.0.value().get(field).unwrap_or(&Value::Null)
    }
    fn is_set(&self, field: &str) -> bool {
        !self.value(field).is_null()
    }
    fn number(&self, field: &str) -> i64 {
        self.value(field).as_i64().unwrap_or(0)
    }
    fn text(&self, field: &str) -> &'a str {
        self.value(field).as_str().unwrap_or("")
    }
    /// Pods that ended and are not counted.
    fn uncounted(&self) -> usize {
        let pods = self.value("uncountedTerminatedPods").as_object();
        pods.into_iter().flatten().filter_map(|(_, list)| list.as_array()).map(Vec::len).sum()
    }
}

/// A status, the one before, and the spec that both are of.
struct Change<'a> {
    spec: At<'a>,
    new: Status<'a>,
    old: Status<'a>,
}

impl Change<'_> {
    fn concerns(&self, rule: &Rule) -> bool {
        rule.on.is_empty() || rule.on.iter().any(|fact| self.changes(fact))
    }
    /// Whether a fact is another than before: a condition's, by its type, or a field's.
    fn changes(&self, fact: &str) -> bool {
        match fact {
            "active" => self.new.number(fact) != self.old.number(fact),
            "completedIndexes" => self.new.text(fact) != self.old.text(fact),
            field if field.starts_with(|first: char| first.is_ascii_lowercase()) => {
                self.new.value(field) != self.old.value(field)
            }
            condition => self.new.is(condition) != self.old.is(condition),
        }
    }
    fn is_indexed(&self) -> bool {
        self.spec.get("completionMode").text() == INDEXED
    }
    fn suspended(&self) -> bool {
        self.spec.get("suspend").flag()
    }
    /// What is wrong with the form of a text of indexes.
    fn indexes_problem(&self, field: &str) -> Option<String> {
        let completions = self.spec.get("completions").opt_number()?;
        let problem = indexes::count(self.new.text(field), completions).err()?;
        Some(format!("error parsing {field}: {problem}"))
    }
    fn before_start(&self) -> bool {
        let time = |field: &str| time::parse(self.new.text(field));
        matches!((time("startTime"), time("completionTime")), (Some(start), Some(end)) if end < start)
    }
}

/// Complete or Failed, in the table.
const FINISHED: &str = "Finished";

/// One thing that a status may not say.
struct Rule {
    /// Facts of which one must change for the rule to be asked; none: it is asked always.
    on: &'static [&'static str],
    field: &'static str,
    refused: Refused,
}

/// How a rule finds what is wrong, and says so.
enum Refused {
    /// The field is missing.
    Missing(&'static str, fn(&Change<'_>) -> bool),
    /// The field's value, which is shown.
    Shown(&'static str, fn(&Change<'_>) -> bool),
    /// The field, of which nothing is shown.
    Bare(&'static str, fn(&Change<'_>) -> bool),
    /// The field's value, with a text that depends on it.
    Told(fn(&Change<'_>) -> Option<String>),
}

impl Rule {
    fn check(&self, change: &Change<'_>, errors: &mut FieldErrors) {
        let at = change.new.0.get(self.field);
        match self.refused {
            Refused::Missing(text, wrong) if wrong(change) => at.required(errors, text),
            Refused::Shown(text, wrong) if wrong(change) => at.invalid_as(errors, shown(at), text),
            Refused::Bare(text, wrong) if wrong(change) => errors.push(FieldError::invalid_unshown(&at.path(), text)),
            Refused::Told(problem) => {
                if let Some(problem) = problem(change) {
                    at.invalid_as(errors, shown(at), problem);
                }
            }
            _ => {}
        }
    }
}

/// The value as Go has it: numbers that are not sent are 0, and structs have no JSON names.
fn shown(at: At<'_>) -> BadValue {
    match at.value() {
        Value::Null => 0.into(),
        Value::Object(pods) => {
            let list = |name: &str| pods.get(name).cloned().unwrap_or(Value::Null);
            BadValue::Raw(format!(r#"{{"Succeeded":{},"Failed":{}}}"#, list("succeeded"), list("failed")))
        }
        value => value.into(),
    }
}

const CONDITIONS: &str = "conditions";
const SUCCEEDS: &str = "SuccessCriteriaMet";
const FAILS: &str = "FailureTarget";

/// In the order in which Kubernetes tells them.
const RULES: &[Rule] = &[
    bare(&["Complete", "Failed"], "cannot set Complete=True and Failed=true conditions", |change| {
        change.new.is("Complete") && change.new.is("Failed")
    }),
    bare(&["Complete", FAILS], "cannot set Complete=True and FailureTarget=true conditions", |change| {
        change.new.is("Complete") && change.new.is(FAILS)
    }),
    shows(
        &["Complete", "completionTime"],
        "completionTime",
        "cannot set completionTime when there is no Complete=True condition",
        |change| change.new.is_set("completionTime") && !change.new.is("Complete"),
    ),
    misses(
        &["Complete", "completionTime"],
        "completionTime",
        "completionTime is required for Complete jobs",
        |change| !change.new.is_set("completionTime") && change.new.is("Complete"),
    ),
    shows(&["startTime", "completionTime"], "completionTime", "must be equal to or after `startTime`", |change| {
        change.before_start()
    }),
    bare(
        &["Failed", "failedIndexes"],
        "cannot set Failed=True condition without the FailureTarget=true condition",
        |change| change.new.is("Failed") && !change.new.is(FAILS),
    ),
    bare(
        &["Complete", SUCCEEDS],
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        |change| change.new.is("Complete") && !change.new.is(SUCCEEDS),
    ),
    shows(&[FINISHED, "active"], "active", "active>0 is invalid for finished job", |change| {
        change.new.number("active") > 0 && change.new.is(FINISHED)
    }),
    misses(&[FINISHED, "startTime"], "startTime", "startTime is required for finished job", |change| {
        let nothing_to_do = change.suspended() && change.spec.get("completions").opt_number() == Some(0);
        !nothing_to_do && !change.new.is_set("startTime") && change.new.is(FINISHED)
    }),
    shows(
        &[FINISHED, "uncountedTerminatedPods"],
        "uncountedTerminatedPods",
        "must be empty for finished job",
        |change| change.new.is(FINISHED) && change.new.uncounted() > 0,
    ),
    tells(&["completedIndexes"], "completedIndexes", |change| change.indexes_problem("completedIndexes")),
    tells(&["failedIndexes"], "failedIndexes", |change| {
        change.indexes_problem("failedIndexes").filter(|_| change.spec.get("backoffLimitPerIndex").is_set())
    }),
    shows(
        &["completedIndexes"],
        "completedIndexes",
        "cannot set non-empty completedIndexes when non-indexed completion mode",
        |change| !change.new.text("completedIndexes").is_empty() && !change.is_indexed(),
    ),
    shows(
        &["failedIndexes"],
        "failedIndexes",
        "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
        |change| change.new.is_set("failedIndexes") && !change.spec.get("backoffLimitPerIndex").is_set(),
    ),
    tells(&["failedIndexes", "completedIndexes"], "failedIndexes", |change| {
        let completions = change.spec.get("completions").opt_number()?;
        let shared =
            indexes::shared(change.new.text("completedIndexes"), change.new.text("failedIndexes"), completions)?;
        Some(format!("failedIndexes and completedIndexes overlap at index: {shared}"))
    }),
    shows(&[FINISHED, "terminating"], "terminating", "terminating>0 is invalid for finished job", |change| {
        change.new.number("terminating") > 0 && change.new.is(FINISHED)
    }),
    shows(&["ready", "active"], "ready", "cannot set more ready pods than active", |change| {
        change.new.is_set("ready") && change.new.number("ready") > change.new.number("active")
    }),
    bare(&[], "cannot set SuccessCriteriaMet=True and Failed=true conditions", |change| {
        change.new.is(SUCCEEDS) && change.new.is("Failed")
    }),
    bare(&[], "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions", |change| {
        change.new.is(SUCCEEDS) && change.new.is(FAILS)
    }),
    bare(&[], "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True", |change| {
        change.spec.get("successPolicy").is_set() && !change.new.is(SUCCEEDS) && change.new.is("Complete")
    }),
    // From here on the status before is asked.
    bare(&[], "cannot disable the terminal Failed=True condition", |change| {
        change.old.is("Failed") && !change.new.is("Failed")
    }),
    bare(&[], "cannot disable the terminal Complete=True condition", |change| {
        change.old.is("Complete") && !change.new.is("Complete")
    }),
    bare(&[], "cannot disable the terminal FailureTarget=True condition", |change| {
        change.old.is(FAILS) && !change.new.is(FAILS)
    }),
    shows(&[], "failed", "cannot decrease the failed counter", |change| {
        change.new.number("failed") < change.old.number("failed")
    }),
    shows(&[], "succeeded", "cannot decrease the succeeded counter", |change| {
        // An indexed Job with as many pods at once as completions may shrink.
        let (completions, parallelism) = (change.spec.get("completions"), change.spec.get("parallelism"));
        let shrinks = change.is_indexed() && completions.value() == parallelism.value();
        !shrinks && change.new.number("succeeded") < change.old.number("succeeded")
    }),
    shows(&["completionTime"], "completionTime", "field is immutable", |change| {
        change.new.is_set("completionTime") && change.old.is_set("completionTime")
    }),
    misses(&["startTime"], "startTime", "startTime cannot be removed for unsuspended job", |change| {
        let resumes = change.old.has("Suspended", "True") && change.new.has("Suspended", "False");
        !resumes && change.old.is_set("startTime") && !change.suspended()
    }),
    bare(&[], "cannot disable the SuccessCriteriaMet=True condition", |change| {
        change.old.is(SUCCEEDS) && !change.new.is(SUCCEEDS)
    }),
    bare(&[], "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions", |change| {
        change.old.is("Complete") && !change.old.is(SUCCEEDS) && change.new.is(SUCCEEDS)
    }),
];

type Wrong = fn(&Change<'_>) -> bool;

const fn bare(on: &'static [&'static str], text: &'static str, wrong: Wrong) -> Rule {
    Rule { on, field: CONDITIONS, refused: Refused::Bare(text, wrong) }
}
const fn shows(on: &'static [&'static str], field: &'static str, text: &'static str, wrong: Wrong) -> Rule {
    Rule { on, field, refused: Refused::Shown(text, wrong) }
}
const fn misses(on: &'static [&'static str], field: &'static str, text: &'static str, wrong: Wrong) -> Rule {
    Rule { on, field, refused: Refused::Missing(text, wrong) }
}
const fn tells(on: &'static [&'static str], field: &'static str, problem: fn(&Change<'_>) -> Option<String>) -> Rule {
    Rule { on, field, refused: Refused::Told(problem) }
}
