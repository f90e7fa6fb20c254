//! CronJobs: Jobs that are made at times of a schedule.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::checks::{not_negative, required_one_of, selector_as_go};
use super::super::validation::cron;
use super::super::validation::warnings;
use super::super::validation::{At, FieldErrors};
use super::job;
use crate::resource::{HistoryClass, Resource};
use crate::strategy::{Context, Generation, Warned};
use sampan_api::object::Object;
use sampan_cel::zones;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("batch", "v1", "cronjobs", "CronJob")
        .short_names(["cj"])
        .categories(["all"])
        .view("status")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    validate: Some(|ctx, object| {
        let mut errors = FieldErrors::default();
        spec(ctx, At::object(object).get("spec"), None, &mut errors);
        if object.name().len() > NAME_MAX {
            At::object(object).get("metadata").get("name").invalid(&mut errors, "must be no more than 52 characters");
        }
        errors
    }),
    validate_update: Some(|ctx, object, old| {
        let mut errors = FieldErrors::default();
        if ctx.subresource.is_empty() {
            let old = At::object(old);
            spec(ctx, At::object(object).get("spec"), Some(old.get("spec")), &mut errors);
        }
        errors
    }),
    generation: Generation::Spec,
    pods: Some(&["spec", "jobTemplate", "spec", "template"]),
    warnings: &[(Warned::Object, |ctx, object, old| {
        let mut all = warnings::new_pods_name(ctx, object, old);
        if old.is_none_or(|old| object.generation() != old.generation()) {
            all.extend(many_indexes(object));
        }
        all
    })],
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] =
    &[("suspend", |object, _| match object.get(&["spec", "suspend"]).and_then(Value::as_bool) {
        Some(true) => "True".into(),
        Some(false) => "False".into(),
        None => "<unset>".into(),
    })];

fn many_indexes(object: &Object) -> Option<String> {
    let at = At::object(object);
    let spec = at.get("spec");
    let template = spec.get("jobTemplate");
    job::many_indexes(template.get("spec"))
}

/// The names of Jobs are made of this one and eleven characters more.
const NAME_MAX: usize = 52;

fn spec(ctx: &Context<'_>, at: At<'_>, old: Option<At<'_>>, errors: &mut FieldErrors) {
    let (schedule, zone) = (at.get("schedule"), at.get("timeZone"));
    if schedule.is_empty() {
        schedule.required(errors, "");
    } else {
        if let Err(problem) = cron::check(schedule.text()) {
            schedule.invalid(errors, problem);
        }
        let zoned = schedule.text().contains("TZ");
        let was_zoned = old.is_some_and(|old| old.get("schedule").text().contains("TZ"));
        if zoned && !was_zoned {
            schedule.invalid(errors, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        } else if zoned && zone.is_set() {
            schedule.invalid(errors, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
        }
    }
    not_negative(at.get("startingDeadlineSeconds"), errors);
    if zone.is_set() && old.is_none_or(|old| old.get("timeZone").value() != zone.value()) {
        time_zone(zone, errors);
    }
    required_one_of(at.get("concurrencyPolicy"), errors, &["Allow", "Forbid", "Replace"]);
    let template = at.get("jobTemplate");
    let job = template.get("spec");
    let before = old.and_then(|old| old.value().pointer("/jobTemplate/spec/template"));
    job::spec(ctx, job, before, errors);
    if job.get("selector").is_set() {
        let selector = job.get("selector");
        selector.invalid_as(errors, selector_as_go(selector.value()), "`selector` will be auto-generated");
    }
    if job.get("manualSelector").flag() {
        job.get("manualSelector").not_supported_as(errors, true, &["nil", "false"]);
    }
    not_negative(at.get("successfulJobsHistoryLimit"), errors);
    not_negative(at.get("failedJobsHistoryLimit"), errors);
}

/// The name of a zone that there is; the server's own is not named.
fn time_zone(at: At<'_>, errors: &mut FieldErrors) {
    let word = |part: &str| {
        !part.is_empty() && part.len() <= 14 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
    };
    if at.is_empty() {
        at.invalid(errors, "timeZone must be nil or non-empty string");
    } else if at.text().split('/').any(|part| matches!(part, "." | "..") || part.starts_with('-') || !word(part)) {
        at.invalid(errors, format!("unknown time zone {}", at.text()));
    } else {
        if at.text().eq_ignore_ascii_case("Local") {
            let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
            at.invalid(errors, detail);
        }
        if at.text() != "Local" && zones::find(at.text()).is_none() {
            at.invalid(errors, format!("unknown time zone {}", at.text()));
        }
    }
}
