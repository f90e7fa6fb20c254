//! What may change of a pod that waits for its scheduling gates: it may become choosier about its node.

use super::At;
use super::affinity::REQUIRED;
use sampan_api::field::{BadValue, FieldErrors};
use serde_json::{Map, Value, json};

/// Checks what is allowed to change, and puts it back in `munged`, so that what is left different may not.
pub(super) fn allow_changes(spec: At<'_>, old: At<'_>, munged: &mut Map<String, Value>, errors: &mut FieldErrors) {
    let (selector, before) = (spec.get("nodeSelector"), old.get("nodeSelector"));
    if before.entries().any(|(key, value)| selector.key(key).value() != value.value()) {
        selector.invalid(errors, "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
    }
    put_back(munged, "nodeSelector", before.value());
    let (affinity, old_affinity) = (spec.get("affinity"), old.get("affinity"));
    let (node, old_node) = (affinity.get("nodeAffinity"), old_affinity.get("nodeAffinity"));
    if node.value() == old_node.value() {
        return;
    }
    node_affinity(node, old_node, errors);
    let only_node = affinity.entries().all(|(name, _)| name == "nodeAffinity");
    match (affinity.is_set(), old_affinity.is_set()) {
        (true, false) if only_node => drop(munged.remove("affinity")),
        (true, _) => {
            if let Some(affinity) = munged.get_mut("affinity").and_then(Value::as_object_mut) {
                put_back(affinity, "nodeAffinity", old_node.value());
            }
        }
        (false, _) if old_node.is_set() => {
            munged.insert("affinity".to_owned(), json!({"nodeAffinity": old_node.value()}));
        }
        (false, _) => {}
    }
}

fn put_back(map: &mut Map<String, Value>, field: &str, value: &Value) {
    if value.is_null() {
        map.remove(field);
    } else {
        map.insert(field.to_owned(), value.clone());
    }
}

/// Terms that are there get no others beside them, and only further requirements in them.
fn node_affinity(new: At<'_>, old: At<'_>, errors: &mut FieldErrors) {
    let (required, before) = (new.get(REQUIRED), old.get(REQUIRED));
    let (terms, before) = (required.get("nodeSelectorTerms"), before.get("nodeSelectorTerms"));
    if before.is_empty() {
        return;
    }
    if terms.len() != before.len() {
        terms.invalid_as(
            errors,
            BadValue::Raw(terms_as_go(Some(terms.value()))),
            "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
        );
        return;
    }
    for (index, term) in terms.items().enumerate() {
        if !only_adds(term, before.index(index)) {
            let shown = BadValue::Raw(term_as_go(term.value()));
            term.invalid_as(errors, shown, "only additions are allowed (no mutations or deletions)");
        }
    }
}

fn only_adds(new: At<'_>, old: At<'_>) -> bool {
    const LISTS: [&str; 2] = ["matchExpressions", "matchFields"];
    if LISTS.iter().all(|list| old.get(list).is_empty()) {
        // It selects nothing, and may not come to select something.
        return LISTS.iter().all(|list| new.get(list).is_empty());
    }
    LISTS.iter().all(|list| {
        let (new, old) = (new.get(list), old.get(list));
        new.len() >= old.len() && old.items().zip(new.items()).all(|(old, new)| old.value() == new.value())
    })
}

/// The terms of a selector of nodes, as Go shows its own structs.
pub(in crate::kinds) fn terms_as_go(terms: Option<&Value>) -> String {
    terms.and_then(Value::as_array).map_or_else(|| "null".to_owned(), |terms| list(terms, term_as_go))
}

fn term_as_go(term: &Value) -> String {
    let requirements = |name: &str| {
        let list_ = term.get(name).and_then(Value::as_array);
        list_.map_or_else(|| "null".to_owned(), |requirements| list(requirements, requirement_as_go))
    };
    format!(
        "{{\"MatchExpressions\":{},\"MatchFields\":{}}}",
        requirements("matchExpressions"),
        requirements("matchFields")
    )
}

fn requirement_as_go(requirement: &Value) -> String {
    let field = |name: &str| requirement.get(name).unwrap_or(&Value::Null);
    format!("{{\"Key\":{},\"Operator\":{},\"Values\":{}}}", field("key"), field("operator"), field("values"))
}

fn list(values: &[Value], shown: fn(&Value) -> String) -> String {
    let texts: Vec<String> = values.iter().map(shown).collect();
    format!("[{}]", texts.join(","))
}
