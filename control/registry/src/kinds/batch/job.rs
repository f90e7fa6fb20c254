//! Jobs: pods until so many have succeeded.

use super::super::columns::{Cell, Tabled, human_duration, seconds_between};
use super::super::core::condition_is;
use super::super::rules::Rules;
use crate::resource::{HistoryClass, Resource};
use crate::strategy::{Context, Generation};
use sampan_api::object::Object;
use sampan_api::time;
use serde_json::Value;
use std::time::SystemTime;

pub(super) fn row() -> Resource {
    Resource::new("batch", "v1", "jobs", "Job")
        .categories(["all"])
        .view("status")
        .selectable_fn("status.successful", |job| number(job, &["status", "succeeded"]).to_string())
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    generation: Generation::Spec,
    prepare_for_create: Some(prepare_for_create),
    orphan_by_default: true,
    ..Rules::NONE
};

/// The labels that tell a Job's pods: new names and, for those who still read them, the old ones.
const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const NAME_LABEL: &str = "batch.kubernetes.io/job-name";
const OLD_UID_LABEL: &str = "controller-uid";
const OLD_NAME_LABEL: &str = "job-name";

/// A selector of its own, unless the creator takes care of it: the Job's uid.
fn prepare_for_create(_: &Context<'_>, job: &mut Object) {
    if job.get(&["spec", "manualSelector"]).and_then(Value::as_bool) == Some(true) {
        return;
    }
    let (uid, name) = (job.uid().to_owned(), job.name().to_owned());
    for (label, value) in [(UID_LABEL, &uid), (OLD_UID_LABEL, &uid), (NAME_LABEL, &name), (OLD_NAME_LABEL, &name)] {
        let path = ["spec", "template", "metadata", "labels", label];
        // One that the creator set differently is left for the validation to refuse.
        if job.get(&path).is_none() {
            job.set(&path, value.clone());
        }
    }
    let path = ["spec", "selector", "matchLabels", UID_LABEL];
    if job.get(&path).is_none() {
        job.set(&path, uid);
    }
}

fn number(job: &Object, path: &[&str]) -> i64 {
    job.get(path).and_then(Value::as_i64).unwrap_or(0)
}

const CELLS: &[(&str, Cell)] = &[
    ("status", |job, _| status(job).into()),
    ("completions", |job, _| {
        let succeeded = number(job, &["status", "succeeded"]);
        let parallelism = number(job, &["spec", "parallelism"]);
        match job.get(&["spec", "completions"]).and_then(Value::as_i64) {
            Some(completions) => format!("{succeeded}/{completions}").into(),
            None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}").into(),
            None => format!("{succeeded}/1").into(),
        }
    }),
    ("duration", duration),
];

fn status(job: &Object) -> &'static str {
    let is = |type_| condition_is(job, type_, "True");
    if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if job.deletion_timestamp().is_some() {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else if is("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn duration(job: &Object, now: SystemTime) -> Value {
    let at = |name: &str| job.get_str(&["status", name]).and_then(time::parse);
    match at("startTime") {
        None => "".into(),
        Some(start) => human_duration(seconds_between(start, at("completionTime").unwrap_or(now))).into(),
    }
}
