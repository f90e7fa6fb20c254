//! StorageClasses: ways to provide volumes.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::warnings;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Warned;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "storageclasses", "StorageClass")
        .cluster_scoped()
        .short_names(["sc"])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    validate: Some(|_, class| {
        let mut errors = FieldErrors::default();
        let at = At::object(class);
        let terms = at.get("allowedTopologies");
        let mut seen: HashMap<String, usize> = HashMap::new();
        for term in terms.items() {
            let expressions = term.get("matchLabelExpressions");
            // Kubernetes compares each with all before it, and with as many empty ones as there are terms.
            let before = seen.entry(choice(term)).or_default();
            let same = *before + if expressions.is_empty() { terms.len() } else { 0 };
            *before += 1;
            for _ in 0..same {
                if errors.is_full() {
                    break;
                }
                expressions.duplicate_as(&mut errors, "");
            }
        }
        errors
    }),
    warnings: &[(Warned::Object, |_, class, _| {
        let mut all = Vec::new();
        for term in At::object(class).get("allowedTopologies").items() {
            for expression in term.get("matchLabelExpressions").items() {
                let key = expression.get("key");
                all.extend(warnings::node_label(key.text()).map(|text| format!("{}: {text}", key.path())));
            }
        }
        all
    })],
    ..Rules::NONE
};

/// What a term selects, one text for all ways to write it.
fn choice(term: At<'_>) -> String {
    let mut keys = BTreeMap::new();
    for expression in term.get("matchLabelExpressions").items() {
        let values: BTreeSet<String> = expression.get("values").texts().into_iter().map(str::to_owned).collect();
        keys.insert(expression.get("key").text().to_owned(), values);
    }
    format!("{keys:?}")
}

const CELLS: &[(&str, Cell)] = &[("name", |class, _| {
    let default = |annotation| class.annotation(annotation) == Some("true");
    match IS_DEFAULT.into_iter().any(default) {
        true => format!("{} (default)", class.name()).into(),
        false => class.name().into(),
    }
})];

/// The annotations that make a class the one of claims that name none.
const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
