//! Checks of values by the facts of a structural schema, in the words and the order of kube-openapi's validation, which
//! Kubernetes has for custom resources.
//!
//! An update ratchets: what was wrong before and is as it was is no error.

use std::collections::HashMap;

use sampan_api::field::{BadValue, FieldError, Path, go_quote};
use serde_json::{Map, Value};

use super::node::{Inside, Node};
use super::outcome::{Fault, Outcome};
use super::{formats, numbers};
use crate::schema::Schema;
use crate::table::{Checks, Facts, ListType, ValueSchema};

/// The errors of a value. `at`: the path under which errors show it; `old`: what it was.
pub(super) fn validate<'a>(
    schema: &'a Schema,
    node: Node<'a>,
    value: &'a Value,
    old: Option<&'a Value>,
    at: &'a Path,
) -> impl Iterator<Item = FieldError> + use<> {
    let mut validator = Validator { schema, at, path: Vec::new() };
    let outcome = validator.value(node, value, old.map(|value| Old { value, node }));
    outcome.errors.into_iter().map(|fault| fault.error)
}

/// The errors of a whole object.
pub(super) fn validate_object(
    schema: &Schema,
    node: Node<'_>,
    object: &Map<String, Value>,
    old: Option<&Map<String, Value>>,
) -> Vec<FieldError> {
    let checks = node.facts.and_then(|facts| facts.checks.as_deref()).unwrap_or(&UNCHECKED);
    if checks.combines() {
        // Several schemas look at it, as at any value.
        let (object, old) = (Value::Object(object.clone()), old.map(|old| Value::Object(old.clone())));
        return validate(schema, node, &object, old.as_ref(), &Path::root()).collect();
    }
    let root = Path::root();
    let mut validator = Validator { schema, at: &root, path: Vec::new() };
    let outcome = validator.object(node, checks, object, old.map(|old| (old, node)));
    if old.is_some_and(|old| old == object) {
        return Vec::new();
    }
    outcome.errors.into_iter().map(|fault| fault.error).collect()
}

static NOTHING: Facts = Facts::NONE;
static UNCHECKED: Checks = Checks::NONE;

enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

struct Validator<'a> {
    schema: &'a Schema,
    at: &'a Path,
    path: Vec<Step<'a>>,
}

/// What a value was, and the node of the schema that says how its parts belong to the new one's.
#[derive(Clone, Copy)]
struct Old<'a> {
    value: &'a Value,
    node: Node<'a>,
}

impl<'a> Validator<'a> {
    /// The path as kube-openapi writes it; `more`: a field below it.
    fn name(&self, more: Option<&str>) -> String {
        let mut name = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => name.push_str(&format!("[{index}]")),
                Step::Name(field) => {
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(field);
                }
            }
        }
        if let Some(more) = more {
            name.push('.');
            name.push_str(more);
        }
        name
    }

    fn fault(&self, make: impl FnOnce(&Path, String) -> FieldError, detail: &str) -> Fault {
        self.fault_at(self.name(None), make, detail)
    }

    fn fault_at(&self, name: String, make: impl FnOnce(&Path, String) -> FieldError, detail: &str) -> Fault {
        let text = format!("{name} in body {detail}");
        let below = name.strip_prefix('.').unwrap_or(&name);
        let path = match below {
            "" => self.at.clone(),
            below => self.at.child(below),
        };
        Fault { error: make(&path, text.clone()), text }
    }

    fn invalid(&self, value: impl Into<BadValue>, detail: &str) -> Outcome {
        let value = value.into();
        Outcome::of(self.fault(|path, text| FieldError::invalid(path, value, text), detail))
    }

    /// An error of a combination of schemas, which kube-openapi tells without a place.
    fn composite(&self, detail: &str) -> Fault {
        let text = format!("{} must {detail}", go_quote(&self.name(None)));
        Fault { error: FieldError::invalid(self.at, "", text.clone()), text }
    }

    fn value(&mut self, node: Node<'a>, value: &'a Value, old: Option<Old<'a>>) -> Outcome {
        // A type of Kubernetes' own within ours: what is said of it is not said here.
        if matches!(node.inside, Inside::Other) {
            return Outcome::default();
        }
        let outcome = self.checked(node, value, old);
        // A value that is as it was may stay as it is.
        match old {
            Some(old) if !outcome.is_valid() && self.same(value, old) => Outcome::passed(outcome.matches),
            _ => outcome,
        }
    }

    fn checked(&mut self, node: Node<'a>, value: &'a Value, old: Option<Old<'a>>) -> Outcome {
        let facts = node.facts.unwrap_or(&NOTHING);
        let checks = facts.checks.as_deref().unwrap_or(&UNCHECKED);
        let mut outcome = Outcome::default();
        if value.is_null() {
            outcome.merge(self.null_type(facts));
            outcome.merge(self.allowed(checks, value));
            return outcome;
        }
        let format = if formats::is_known(&checks.format) { &*checks.format } else { "" };
        if !facts.json_type.is_empty() || facts.int_or_string || !format.is_empty() {
            outcome.merge(self.of_type(facts, format, value));
            outcome.matches += 1;
        }
        outcome.merge(self.combined(checks, value, old));
        outcome.matches += 1;
        match value {
            Value::String(text) => {
                outcome.merge(self.string(checks, text));
                outcome.matches += 1;
                if !format.is_empty() {
                    if !formats::matches(format, text) {
                        let detail = format!("must be of type {format}: {}", go_quote(text));
                        outcome.add(self.fault(|path, text| FieldError::type_invalid(path, value, text), &detail));
                    }
                    outcome.matches += 1;
                }
            }
            Value::Number(_) => {
                for detail in numbers::faults(checks, value) {
                    outcome.add(match detail {
                        numbers::Fault::Detail(detail) => {
                            self.fault(|path, text| FieldError::invalid(path, value, text), &detail)
                        }
                        numbers::Fault::Factor(factor) => self.factor(&factor),
                    });
                }
                outcome.matches += 2;
            }
            Value::Array(list) => {
                outcome.merge(self.list(node, checks, list, old));
                outcome.matches += 1;
            }
            _ => {}
        }
        outcome.merge(self.allowed(checks, value));
        outcome.matches += 1;
        if let Value::Object(map) = value {
            let old = old.and_then(|old| old.value.as_object().map(|map| (map, old.node)));
            outcome.merge(self.object(node, checks, map, old));
            outcome.matches += 1;
        }
        outcome.matches += 1;
        outcome
    }

    fn factor(&self, factor: &Value) -> Fault {
        let name = self.name(None);
        let text = format!(
            "factor MultipleOf declared for {name} must be positive: {}",
            factor.as_f64().map_or_else(String::new, numbers::go_float)
        );
        let path = if name.is_empty() { self.at.clone() } else { self.at.child(&name) };
        Fault { error: FieldError::invalid(&path, factor, text.clone()), text }
    }

    fn null_type(&self, facts: &Facts) -> Outcome {
        let wanted = type_words(facts);
        if wanted.is_empty() || facts.nullable {
            return Outcome::passed(1);
        }
        let detail = format!("must be of type {}: \"null\"", wanted.join(","));
        Outcome::of(self.fault(|path, text| FieldError::type_invalid(path, "null", text), &detail))
    }

    fn of_type(&self, facts: &Facts, format: &str, value: &Value) -> Outcome {
        let wanted = type_words(facts);
        let (is, go_format) = match value {
            Value::Bool(_) => ("boolean", ""),
            Value::Number(_) if numbers::is_integer(value) => ("integer", "int64"),
            Value::Number(_) => ("number", "float64"),
            Value::String(_) => ("string", ""),
            Value::Array(_) => ("array", ""),
            Value::Object(_) | Value::Null => ("object", ""),
        };
        let has = |word: &str| wanted.contains(&word);
        let whole = is == "number" && numbers::is_whole(value) && has("integer");
        let fits = has(is) || whole || (is == "integer" && has("number"));
        let refused = |wanted: &str, is: &str| {
            let detail = format!("must be of type {wanted}: {}", go_quote(is));
            Outcome::of(self.fault(|path, text| FieldError::type_invalid(path, is, text), &detail))
        };
        let textual = matches!(value, Value::String(_) | Value::Array(_));
        if !textual && !format.is_empty() && !fits {
            return refused(format, go_format);
        }
        if textual && !format.is_empty() && !has("number") && !has("integer") {
            return Outcome::passed(1);
        }
        if fits { Outcome::passed(1) } else { refused(&wanted.join(","), is) }
    }

    fn string(&self, checks: &Checks, text: &str) -> Outcome {
        let length = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(max) = checks.max_length.filter(|max| length() > *max) {
            let detail = format!("should be at most {max} chars long");
            let max = usize::try_from(max).unwrap_or_default();
            return Outcome::of(self.fault(|path, _| FieldError::too_long(path, max), &detail));
        }
        if let Some(min) = checks.min_length.filter(|min| length() < *min) {
            return self.invalid(text, &format!("should be at least {min} chars long"));
        }
        if let Some(pattern) = &checks.pattern
            && !pattern.is_match(text)
        {
            return self.invalid(
                text,
                &match pattern.error() {
                    None => format!("should match '{}'", pattern.as_str()),
                    Some(why) => format!("should match '{}, but pattern is invalid: {why}'", pattern.as_str()),
                },
            );
        }
        Outcome::default()
    }

    fn allowed(&self, checks: &Checks, value: &Value) -> Outcome {
        if checks.allowed.is_empty()
            || (!value.is_null() && checks.allowed.iter().any(|one| numbers::equal(value, one)))
        {
            return Outcome::default();
        }
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let values: Vec<String> = checks.allowed.iter().map(shown).collect();
        let detail = format!("should be one of [{}]", values.join(" "));
        Outcome::of(self.fault(|path, _| FieldError::not_supported(path, value, &values), &detail))
    }

    fn list(&mut self, node: Node<'a>, checks: &Checks, list: &'a [Value], old: Option<Old<'a>>) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some(items) = node.items(self.schema) {
            let before = old.map(|old| self.by_keys(old));
            for (at, one) in list.iter().enumerate() {
                self.path.push(Step::Index(at));
                let was = before.as_ref().and_then(|before| before.of(one));
                outcome.merge(self.value(items, one, was));
                self.path.pop();
            }
        }
        let size = i64::try_from(list.len()).unwrap_or(i64::MAX);
        if let Some(min) = checks.min_items.filter(|min| size < *min) {
            outcome.merge(self.invalid(size, &format!("should have at least {min} items")));
        }
        if let Some(max) = checks.max_items.filter(|max| size > *max) {
            outcome.add(self.too_many(list.len(), max, &format!("should have at most {max} items")));
        }
        outcome.matches += 1;
        outcome
    }

    fn too_many(&self, size: usize, max: i64, detail: &str) -> Fault {
        let max = usize::try_from(max).unwrap_or_default();
        self.fault(|path, _| FieldError::too_many(path, size, max), detail)
    }

    fn object(
        &mut self,
        node: Node<'a>,
        checks: &Checks,
        map: &'a Map<String, Value>,
        old: Option<(&'a Map<String, Value>, Node<'a>)>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let size = i64::try_from(map.len()).unwrap_or(i64::MAX);
        if let Some(min) = checks.min_properties.filter(|min| size < *min) {
            outcome.merge(self.invalid(size, &format!("should have at least {min} properties")));
        }
        if let Some(max) = checks.max_properties.filter(|max| size > *max) {
            outcome.add(self.too_many(map.len(), max, &format!("should have at most {max} properties")));
        }
        for (name, value) in map {
            let Some(inner) = node.property(self.schema, name) else { continue };
            let type_meta = self.path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind");
            let was = old
                .filter(|_| !type_meta)
                .and_then(|(old, node)| Some(Old { value: old.get(name)?, node: node.property(self.schema, name)? }));
            self.path.push(Step::Name(name));
            outcome.merge(self.value(inner, value, was));
            self.path.pop();
        }
        for name in checks.required.iter().filter(|name| !map.contains_key(&***name)) {
            let at = self.name(Some(name));
            outcome.add(self.fault_at(at, |path, _| FieldError::required(path, ""), "is required"));
        }
        outcome
    }

    /// `anyOf`, `oneOf`, `allOf` and `not`.
    fn combined(&mut self, checks: &'a Checks, value: &'a Value, old: Option<Old<'a>>) -> Outcome {
        let mut outcome = Outcome::default();
        if !checks.any_of.is_empty() {
            match self.alternatives(&checks.any_of, value, old, 1) {
                (0, best) => {
                    outcome.add(self.composite("validate at least one schema (anyOf)"));
                    outcome.merge(best);
                }
                (_, first) => outcome.merge(first),
            }
        }
        if !checks.one_of.is_empty() {
            match self.alternatives(&checks.one_of, value, old, usize::MAX) {
                (1, first) => outcome.merge(first),
                (0, best) => {
                    outcome.add(self.composite("validate one and only one schema (oneOf). Found none valid"));
                    outcome.merge(best);
                }
                (valid, _) => {
                    let found = format!("Found {valid} valid alternatives");
                    outcome.add(self.composite(&format!("validate one and only one schema (oneOf). {found}")));
                }
            }
        }
        if !checks.all_of.is_empty() {
            let mut valid = 0;
            for one in &checks.all_of {
                let result = self.value(Node::of_value(one), value, old);
                valid += usize::from(result.is_valid());
                outcome.merge(result);
            }
            if valid < checks.all_of.len() {
                let more = if valid == 0 { ". None validated" } else { "" };
                outcome.add(self.composite(&format!("validate all the schemas (allOf){more}")));
            }
        }
        if let Some(not) = &checks.not
            && self.value(Node::of_value(not), value, old).is_valid()
        {
            outcome.add(self.composite("not validate the schema (not)"));
        }
        outcome.matches += 1;
        outcome
    }

    /// How many of the schemas hold, up to `enough`, and the outcome of the first of them, or of the one that came closest.
    fn alternatives(
        &mut self,
        schemas: &'a [ValueSchema],
        value: &'a Value,
        old: Option<Old<'a>>,
        enough: usize,
    ) -> (usize, Outcome) {
        let (mut valid, mut first, mut best): (usize, Option<Outcome>, Option<Outcome>) = (0, None, None);
        for one in schemas {
            let result = self.value(Node::of_value(one), value, old);
            if result.is_valid() {
                valid += 1;
                first.get_or_insert(result);
                if valid == enough {
                    break;
                }
            } else if best.as_ref().is_none_or(|best| result.matches > best.matches) {
                best = Some(result);
            }
        }
        (valid, first.or(best).unwrap_or_default())
    }

    /// The elements of an old list that new ones can be told to come from.
    fn by_keys(&self, old: Old<'a>) -> Elements<'a> {
        let mut elements = Elements { node: None, keys: &[], known: HashMap::new() };
        let (Inside::List(field), Value::Array(list)) = (old.node.inside, old.value) else { return elements };
        if field.list_type != Some(ListType::Map) {
            return elements;
        }
        elements.keys = &field.map_keys;
        elements.node = old.node.items(self.schema);
        for one in list {
            if let Some(key) = elements.key(one) {
                elements.known.entry(key).or_insert(one);
            }
        }
        elements
    }

    /// Whether a value is what it was: lists by keys in any order.
    fn same(&self, value: &'a Value, old: Old<'a>) -> bool {
        match (value, old.value) {
            (Value::Array(new), Value::Array(before)) => {
                let elements = self.by_keys(old);
                if elements.node.is_none() {
                    return new == before;
                }
                new.len() == before.len()
                    && new.iter().all(|one| elements.of(one).is_some_and(|was| self.same(one, was)))
            }
            (Value::Object(new), Value::Object(before)) => {
                new.len() == before.len()
                    && new.iter().all(|(name, one)| {
                        let was = before.get(name);
                        was.is_some_and(|was| match old.node.property(self.schema, name) {
                            Some(node) => self.same(one, Old { value: was, node }),
                            None => false,
                        })
                    })
            }
            (new, before) => new == before,
        }
    }
}

/// Elements of a list by their keys.
struct Elements<'a> {
    node: Option<Node<'a>>,
    keys: &'a [crate::table::Text],
    known: HashMap<String, &'a Value>,
}

impl<'a> Elements<'a> {
    fn key(&self, element: &Value) -> Option<String> {
        let map = element.as_object()?;
        let parts = self.keys.iter().map(|name| map.get(&**name).map_or_else(String::new, Value::to_string));
        Some(parts.collect::<Vec<_>>().join("\u{0}"))
    }

    fn of(&self, element: &Value) -> Option<Old<'a>> {
        let node = self.node?;
        self.known.get(&self.key(element)?).map(|value| Old { value, node })
    }
}

fn type_words(facts: &Facts) -> Vec<&str> {
    if facts.int_or_string {
        vec!["integer", "string"]
    } else if facts.json_type.is_empty() {
        Vec::new()
    } else {
        vec![&*facts.json_type]
    }
}
