//! LimitRanges: bounds and defaults of the resources that pods of a namespace ask for.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::resources::{container_resource_name, quantity, resource_name};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::MetadataOfUpdate;
use sampan_api::names;
use std::collections::{BTreeSet, HashSet};

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "limitranges", "LimitRange").short_names(["limits"]).strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        limits(At::object(object), &mut errors);
        errors
    }),
    create_on_update: true,
    names_nameless: true,
    ..Rules::NONE
};

const CLAIM: &str = "PersistentVolumeClaim";
const NOT_FOR_PODS: &str = "may not be specified when `type` is 'Pod'";

fn limits(at: At<'_>, errors: &mut FieldErrors) {
    let spec = at.get("spec");
    let list = spec.get("limits");
    let mut seen: HashSet<String> = HashSet::new();
    for limit in list.items() {
        let type_ = limit.get("type");
        let messages = names::qualified_name(type_.text());
        if messages.is_empty() && !type_.text().contains('/') && !matches!(type_.text(), "Pod" | "Container" | CLAIM) {
            type_.invalid(errors, "must be a standard limit type or fully qualified");
        }
        type_.invalid_each(errors, messages);
        if !seen.insert(type_.text().to_owned()) {
            type_.duplicate(errors);
        }
        one_limit(limit, errors);
    }
}

fn one_limit(limit: At<'_>, errors: &mut FieldErrors) {
    let type_ = limit.get("type").text();
    let mut resources = BTreeSet::new();
    let mut list = |name: &str, errors: &mut FieldErrors| {
        let list = limit.get(name);
        for (resource, amount) in list.entries() {
            match type_ {
                "Pod" | "Container" => container_resource_name(amount, resource, errors),
                _ => {
                    resource_name(amount, resource, errors);
                }
            }
            resources.insert(resource.to_owned());
        }
    };
    list("max", errors);
    list("min", errors);
    if type_ == "Pod" {
        for field in ["default", "defaultRequest"] {
            if !limit.get(field).is_empty() {
                limit.get(field).forbidden(errors, NOT_FOR_PODS);
            }
        }
    } else {
        list("default", errors);
        list("defaultRequest", errors);
    }
    let has = |name: &str| limit.get(name).key("storage").is_set();
    if type_ == CLAIM && !has("min") && !has("max") {
        limit
            .get("limits")
            .required(errors, "either minimum or maximum storage value is required, but neither was provided");
    }
    list("maxLimitRequestRatio", errors);
    for resource in resources {
        order(limit, &resource, errors);
    }
}

/// min <= default request <= default <= max, and a ratio that they allow.
fn order(limit: At<'_>, resource: &str, errors: &mut FieldErrors) {
    let pods = limit.get("type").text() == "Pod";
    let amount = |list: &str| match list {
        "default" | "defaultRequest" if pods => None,
        list => quantity(limit.get(list).key(resource).value()),
    };
    // (the smaller, its name; the greater, its name; where it is reported, whose value is shown)
    let rules = [
        ("min", "min value", "max", "max value", "min", "min"),
        ("min", "min value", "defaultRequest", "default request value", "defaultRequest", "defaultRequest"),
        ("defaultRequest", "default request value", "max", "max value", "defaultRequest", "defaultRequest"),
        (
            "defaultRequest",
            "default request value",
            "default",
            "default limit value",
            "defaultRequest",
            "defaultRequest",
        ),
        ("min", "min value", "default", "default value", "default", "min"),
        ("default", "default value", "max", "max value", "default", "max"),
    ];
    for (small, small_name, great, great_name, place, shown) in rules {
        let (Some(less), Some(more), Some(shown)) = (amount(small), amount(great), amount(shown)) else { continue };
        if less > more {
            let detail = format!("{small_name} {less} is greater than {great_name} {more}");
            limit.get(place).key(resource).invalid_as(errors, shown.to_string(), detail);
        }
    }
    let Some(ratio) = amount("maxLimitRequestRatio") else { return };
    let list = limit.get("maxLimitRequestRatio");
    if ratio.milli_value() < 1000 {
        list.key(resource).invalid_as(errors, ratio.to_string(), format!("ratio {ratio} is less than 1"));
    }
    if let (Some(min), Some(max)) = (amount("min"), amount("max")) {
        // Exact enough for a bound that people write.
        #[expect(clippy::cast_precision_loss)]
        let (bound, value) = (max.milli_value() as f64 / min.milli_value() as f64, ratio.milli_value() as f64 / 1000.0);
        if value > bound {
            let detail = format!("ratio {ratio} is greater than max/min = {bound:.6}");
            list.key(resource).invalid_as(errors, ratio.to_string(), detail);
        }
    }
}
