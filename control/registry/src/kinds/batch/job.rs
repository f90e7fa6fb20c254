//! Jobs: pods that are run until a number of them has succeeded.

use super::super::columns::{Cell, Tabled, human_duration, seconds_between};
use super::super::core::condition_is;
use super::super::rules::Rules;
use super::super::validation::checks::{
    IMMUTABLE, domain_prefixed_path, label_selector, named, not_negative, one_of, selector_as_go, selector_is_usable,
    selects,
};
use super::super::validation::pod_spec;
use super::super::validation::warnings;
use super::super::validation::workload::{fixed, selector_immutable, template_before};
use super::super::validation::{At, FieldErrors};
use super::indexes::INDEXED;
use super::{indexes, job_status, job_template};
use crate::options::Propagation;
use crate::resource::{HistoryClass, Resource};
use crate::strategy::{Context, Generation, MetadataOfUpdate, Warned};
use sampan_api::field::{BadValue, FieldError, go_quote};
use sampan_api::names;
use sampan_api::object::Object;
use sampan_api::time;
use serde_json::Value;
use std::collections::HashSet;
use std::time::SystemTime;

pub(super) fn row() -> Resource {
    Resource::new("batch", "v1", "jobs", "Job")
        .categories(["all"])
        .view("status")
        .selectable_fn("status.successful", |job| number(job, &["status", "succeeded"]).to_string())
        .refuses_labels(|row, label| format!("field label {} not supported for {}", go_quote(label), row.kind))
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    validate: Some(|ctx, job| {
        let mut errors = FieldErrors::default();
        generated_selector(job, None, &mut errors);
        whole_spec(ctx, At::object(job).get("spec"), None, &mut errors);
        host_names(job, &mut errors);
        errors
    }),
    validate_update: Some(validate_update),
    pods: Some(&["spec", "template"]),
    warnings: &[(Warned::Object, |ctx, job, old| {
        let mut all = warnings::new_pods_name(ctx, job, old);
        if old.is_none_or(|old| job.generation() != old.generation()) {
            all.extend(many_indexes(At::object(job).get("spec")));
        }
        all
    })],
    generation: Generation::Spec,
    prepare_for_create: Some(prepare_for_create),
    canonicalize: Some(|job| {
        let labels = job.get(&["spec", "template", "metadata", "labels"]).filter(|_| job.labels().next().is_none());
        if let Some(labels) = labels.cloned() {
            job.set(&["metadata", "labels"], labels);
        }
    }),
    propagation: Some(Propagation::Orphan),
    warning_on_delete: Some(super::PODS_PRESERVED),
    ..Rules::NONE
};

/// Completions and pods at once of a Job with indexes up to which it is known to work.
const INDEXES_TRACKED: (i64, i64) = (100_000, 10_000);

/// A Job whose failed indexes may be too many to note.
pub(super) fn many_indexes(spec: At<'_>) -> Option<String> {
    let (completions, parallelism) = INDEXES_TRACKED;
    let many = spec.get("completionMode").text() == "Indexed"
        && spec.get("completions").number() > completions
        && spec.get("parallelism").number() > parallelism;
    many.then(|| {
        format!(
            "{}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
             Kubernetes might not be able to track completedIndexes when a big number of indexes fail",
            spec.path()
        )
    })
}

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
    let labels = |job: &Object, path: &[&str]| job.get(path).and_then(Value::as_object).cloned().unwrap_or_default();
    const TEMPLATE: [&str; 4] = ["spec", "template", "metadata", "labels"];
    // Labels that the Job has from its template go on following it; of a template without any it has them once it is stored.
    let own = labels(job, &["metadata", "labels"]);
    let follows = !own.is_empty() && own == labels(job, &TEMPLATE) && !super::is_name_generated(job);
    let (uid, name) = (job.uid().to_owned(), job.name().to_owned());
    for (label, value) in [(UID_LABEL, &uid), (OLD_UID_LABEL, &uid), (NAME_LABEL, &name), (OLD_NAME_LABEL, &name)] {
        let path = ["spec", "template", "metadata", "labels", label];
        // One that the creator set differently is left for the validation to refuse.
        if job.get(&path).is_none() {
            job.set(&path, value.clone());
        }
    }
    if follows {
        let labels = labels(job, &TEMPLATE);
        job.set(&["metadata", "labels"], labels);
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
    let is = |condition: &&str| condition_is(job, condition, "True");
    match ["Complete", "Failed"].into_iter().find(is) {
        Some(over) => over,
        None if job.deletion_timestamp().is_some() => "Terminating",
        None => ["Suspended", "FailureTarget", "SuccessCriteriaMet"].into_iter().find(is).unwrap_or("Running"),
    }
}

fn duration(job: &Object, now: SystemTime) -> Value {
    let at = |name: &str| job.get_str(&["status", name]).and_then(time::parse);
    match at("startTime") {
        None => "".into(),
        Some(start) => human_duration(seconds_between(start, at("completionTime").unwrap_or(now))).into(),
    }
}

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
const MANAGED_BY_MAX: usize = 63;
const PARALLELISM_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
const SUCCEEDED_INDEXES_BYTES_MAX: usize = 64 * 1024;

/// The labels and the selector that the server made are as it made them. A Job from before the newer labels need not have
/// them.
fn generated_selector(job: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(job);
    let spec = at.get("spec");
    if spec.get("manualSelector").flag() || !spec.get("selector").is_set() {
        return;
    }
    let template = spec.get("template");
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    let had = |label: &str| old.is_none_or(|old| old.get(&["spec", "template", "metadata", "labels", label]).is_some());
    let mut expected = vec![(OLD_UID_LABEL, job.uid()), (OLD_NAME_LABEL, job.name())];
    if had(UID_LABEL) && had(NAME_LABEL) {
        expected.extend([(UID_LABEL, job.uid()), (NAME_LABEL, job.name())]);
    }
    for (label, value) in &expected {
        let found = labels.key(label);
        if !found.is_set() {
            found.required(errors, &format!("must be '{value}'"));
        } else if found.text() != *value {
            found.invalid_as(errors, labels.value(), format!("must be '{value}'"));
        }
    }
    let selector = spec.get("selector");
    let expected: serde_json::Map<String, Value> =
        expected.into_iter().map(|(label, value)| (label.to_owned(), value.into())).collect();
    if selector_is_usable(selector.value()) && !selects(selector.value(), &expected.into()) {
        selector.invalid_as(errors, selector_as_go(selector.value()), "`selector` not auto-generated");
    }
}

/// The pods of an indexed Job have host names made of its own.
fn host_names(job: &Object, errors: &mut FieldErrors) {
    let completions = number(job, &["spec", "completions"]);
    if job.get_str(&["spec", "completionMode"]) != Some(INDEXED) || completions < 1 {
        return;
    }
    let name = format!("{}-{}", job.name(), completions - 1);
    if !names::dns1123_label(&name).is_empty() {
        let detail = format!("will not able to create pod with invalid DNS label: {name}");
        At::object(job).get("metadata").get("name").invalid(errors, detail);
    }
}

/// `old`: the template before.
fn whole_spec(ctx: &Context<'_>, at: At<'_>, old: Option<&Value>, errors: &mut FieldErrors) {
    spec(ctx, at, old, errors);
    let selector = at.get("selector");
    match selector.is_set() {
        true => label_selector(selector, errors),
        false => selector.required(errors, ""),
    }
    let template = at.get("template");
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    // None selects nothing.
    let selected = selector.is_set() && selects(selector.value(), labels.value());
    if selector_is_usable(selector.value()) && !selected {
        labels.invalid(errors, "`selector` does not match template `labels`");
    }
}

/// A Job's spec, or that of a CronJob's template, which has no selector yet. `old`: the template of pods before.
pub(super) fn spec(ctx: &Context<'_>, at: At<'_>, old: Option<&Value>, errors: &mut FieldErrors) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        not_negative(at.get(field), errors);
    }
    let (per_index, failed) = (at.get("backoffLimitPerIndex"), at.get("maxFailedIndexes"));
    if failed.is_set() && !per_index.is_set() {
        per_index.required(errors, "when maxFailedIndexes is specified");
    }
    let manager = at.get("managedBy");
    if manager.is_set() {
        domain_prefixed_path(manager, errors);
        if manager.len() > MANAGED_BY_MAX {
            manager.too_long(errors, MANAGED_BY_MAX);
        }
    }
    indexes(at, errors);
    if at.get("podFailurePolicy").is_set() {
        failure_policy(at, errors);
    }
    let success = at.get("successPolicy");
    if success.is_set() {
        if at.get("completionMode").text() == INDEXED {
            success_policy(at, errors);
        } else {
            success.invalid_as(errors, success_as_go(success.value()), "requires indexed completion mode");
        }
    }
    let replacement = at.get("podReplacementPolicy");
    match at.get("podFailurePolicy").is_set() {
        true => one_of(replacement, errors, &["Failed"]),
        false => one_of(replacement, errors, &["Failed", "TerminatingOrFailed"]),
    }
    let template = at.get("template");
    pod_spec::template(ctx, template, old, errors);
    let pod = template.get("spec");
    let restart = pod.get("restartPolicy");
    match restart.text() {
        "" | "Always" => restart.required(errors, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if at.get("podFailurePolicy").is_set() => {
            restart.invalid(errors, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        _ => restart.not_supported(errors, &["OnFailure", "Never"]),
    }
}

fn indexes(at: At<'_>, errors: &mut FieldErrors) {
    let (mode, completions) = (at.get("completionMode"), at.get("completions"));
    let (per_index, failed, parallelism) =
        (at.get("backoffLimitPerIndex"), at.get("maxFailedIndexes"), at.get("parallelism"));
    one_of(mode, errors, &["NonIndexed", INDEXED]);
    if mode.text() == INDEXED {
        if !completions.is_set() {
            completions.required(errors, "when completion mode is Indexed");
        }
        if parallelism.number() > PARALLELISM_MAX {
            let detail = format!("must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed");
            parallelism.invalid(errors, detail);
        }
        if completions.is_set() && failed.number() > completions.number() {
            failed.invalid(errors, "must be less than or equal to completions");
        }
        if failed.number() > FAILED_INDEXES_MAX {
            failed.invalid(errors, format!("must be less than or equal to {FAILED_INDEXES_MAX}"));
        }
        let (soft, most) = INDEXES_TRACKED;
        if completions.number() > soft && per_index.is_set() {
            if !failed.is_set() {
                failed.required(errors, &format!("must be specified when completions is above {soft}"));
            }
            for field in [parallelism, failed].iter().filter(|field| field.number() > most) {
                field.invalid(
                    errors,
                    format!(
                        "must be less than or equal to {most} when completions are above {soft} and used with backoff limit per index"
                    ),
                );
            }
        }
    }
    if !mode.is_set() || mode.text() == "NonIndexed" {
        for field in [per_index, failed] {
            if field.is_set() {
                field.invalid(errors, "requires indexed completion mode");
            }
        }
    }
}

/// The names of the containers in the pod template.
fn container_names(spec: At<'_>) -> HashSet<String> {
    let template = spec.get("template");
    let pod = template.get("spec");
    let mut names = HashSet::new();
    for field in ["containers", "initContainers"] {
        let list = pod.get(field);
        names.extend(list.items().map(|container| container.get("name").text().to_owned()));
    }
    names
}

fn failure_policy(spec: At<'_>, errors: &mut FieldErrors) {
    let containers = container_names(spec);
    let policy = spec.get("podFailurePolicy");
    let rules = policy.get("rules");
    if rules.len() > RULES_MAX {
        rules.too_many(errors, RULES_MAX);
    }
    for rule in rules.items() {
        let action = rule.get("action");
        match action.text() {
            "" => action.required(errors, "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"),
            "FailIndex" if !spec.get("backoffLimitPerIndex").is_set() => {
                action.invalid(errors, "requires the backoffLimitPerIndex to be set");
            }
            text if !ACTIONS.contains(&text) => action.not_supported(errors, &ACTIONS),
            _ => {}
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        if codes.is_set() {
            exit_codes(&containers, codes, errors);
        }
        if conditions.len() > CONDITIONS_MAX {
            conditions.too_many(errors, CONDITIONS_MAX);
        }
        for pattern in conditions.items() {
            named(pattern.get("type"), errors, names::qualified_name);
            let status = pattern.get("status");
            if status.is_empty() {
                status.required(errors, "valid values: [\"False\" \"True\" \"Unknown\"]");
            } else {
                one_of(status, errors, &["False", "True", "Unknown"]);
            }
        }
        let problem = match (codes.is_set(), !conditions.is_empty()) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        let mut error = FieldError::invalid(&rule.path(), "", problem);
        error.value = None;
        errors.push(error);
    }
}

fn exit_codes(containers: &HashSet<String>, at: At<'_>, errors: &mut FieldErrors) {
    let operator = at.get("operator");
    if operator.is_empty() {
        operator.required(errors, "valid values: [\"In\" \"NotIn\"]");
    } else {
        one_of(operator, errors, &["In", "NotIn"]);
    }
    let container = at.get("containerName");
    if container.is_set() && !containers.contains(container.text()) {
        container.invalid(errors, "must be one of the container or initContainer names in the pod template");
    }
    let values = at.get("values");
    if values.is_empty() {
        values.invalid(errors, "at least one value is required");
    } else if values.len() > EXIT_CODES_MAX {
        values.too_many(errors, EXIT_CODES_MAX);
    }
    let mut seen = HashSet::new();
    let mut last = i64::MIN;
    let mut ordered = true;
    for value in values.items() {
        if operator.text() == "In" && value.number() == 0 {
            value.invalid(errors, "must not be 0 for the In operator");
        }
        if !seen.insert(value.number()) {
            value.duplicate(errors);
        }
        ordered &= last <= value.number();
        last = value.number();
    }
    if !ordered {
        values.invalid(errors, "must be ordered");
    }
}

fn success_policy(spec: At<'_>, errors: &mut FieldErrors) {
    let policy = spec.get("successPolicy");
    let rules = policy.get("rules");
    if rules.is_empty() {
        rules.required(errors, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > RULES_MAX {
        rules.too_many(errors, RULES_MAX);
    }
    let completions = spec.get("completions").number();
    for rule in rules.items() {
        let (count, named) = (rule.get("succeededCount"), rule.get("succeededIndexes"));
        if !count.is_set() && !named.is_set() {
            rule.required(errors, "at least one of succeededCount or succeededIndexes must be specified");
        }
        if named.len() > SUCCEEDED_INDEXES_BYTES_MAX {
            named.too_long(errors, SUCCEEDED_INDEXES_BYTES_MAX);
        }
        let total = indexes::count(named.text(), completions);
        if let Err(problem) = &total {
            named.invalid(errors, format!("error parsing succeededIndexes: {problem}"));
        }
        not_negative(count, errors);
        let most = |most: i64, what: &str, errors: &mut FieldErrors| {
            if count.number() > most {
                count.invalid(errors, format!("must be less than or equal to {most} (the number of {what})"));
            }
        };
        most(completions, "specified completions", errors);
        if named.is_set() {
            most(total.unwrap_or(0), "indexes in the specified succeededIndexes field", errors);
        }
    }
}

fn validate_update(ctx: &Context<'_>, job: &Object, old: &Object) -> FieldErrors {
    if !ctx.subresource.is_empty() {
        return job_status::validate(job, old);
    }
    let mut errors = FieldErrors::default();
    let (at, old_at) = (At::object(job), At::object(old));
    let (spec, old_spec) = (at.get("spec"), old_at.get("spec"));
    generated_selector(job, Some(old), &mut errors);
    let mut of_spec = FieldErrors::default();
    whole_spec(ctx, spec, template_before(Some(old)), &mut of_spec);
    errors.extend(of_spec.iter().cloned());
    host_names(job, &mut errors);
    // Kubernetes tells what is wrong with the spec as that of a Job, and as that of a changed one.
    errors.extend(of_spec);
    let (completions, parallelism) = (spec.get("completions"), spec.get("parallelism"));
    // An indexed Job may be resized in both at once.
    if spec.get("completionMode").text() != INDEXED {
        fixed(spec, old_spec, &["completions"], &mut errors);
    } else if completions.is_set()
        && completions.value() != old_spec.get("completions").value()
        && completions.value() != parallelism.value()
    {
        completions.invalid(&mut errors, "can only be modified in tandem with spec.parallelism");
    }
    selector_immutable(spec, old_spec, &mut errors);
    job_template::fixed(ctx, spec, old, &mut errors);
    fixed(spec, old_spec, &["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"], &mut errors);
    let success = spec.get("successPolicy");
    if success.value() != old_spec.get("successPolicy").value() {
        success.invalid_as(&mut errors, success_as_go(success.value()), IMMUTABLE);
    }
    errors
}

/// Go prints its own struct, which has no JSON names.
fn success_as_go(policy: &Value) -> BadValue {
    let Some(rules) = policy.get("rules").and_then(Value::as_array) else { return policy.into() };
    let field = |rule: &Value, name: &str| rule.get(name).cloned().unwrap_or(Value::Null);
    let rule = |rule: &Value| {
        let (indexes, count) = (field(rule, "succeededIndexes"), field(rule, "succeededCount"));
        format!(r#"{{"SucceededIndexes":{indexes},"SucceededCount":{count}}}"#)
    };
    BadValue::Raw(format!(r#"{{"Rules":[{}]}}"#, rules.iter().map(rule).collect::<Vec<_>>().join(",")))
}
