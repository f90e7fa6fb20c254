//! Strategic merge: lists of objects merge by the key that the schema names, and directives say what merging cannot.
//!
//! `$patch: delete | replace` in an object or list element, `$retainKeys`, `$deleteFromPrimitiveList/<field>`,
//! `$setElementOrder/<field>`. The rules, the order of results and the words of errors are those of
//! `k8s.io/apimachinery/pkg/util/strategicpatch`.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::PatchError;
use crate::go_print::{self, Numbers};
use crate::limits::STRATEGIC_MERGE_PASSES_MAX;
use crate::schema::Schema;
use crate::table::{Field, Shape, Type, TypeId};

type Object = Map<String, Value>;
type Merged<T> = Result<T, PatchError>;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

/// Applies a strategic merge patch to an object of the type. Costs what the object and the patch are long together, times
/// a logarithm.
///
/// # Errors
/// `BadRequest` when the patch is no object, `Internal` when a directive or a list's key is not right, `TooLarge` when it
/// merges into the same list so often that it costs more than [`STRATEGIC_MERGE_PASSES_MAX`] passes over both.
pub fn strategic(schema: &Schema, id: TypeId, current: Value, patch: Value) -> Merged<Value> {
    let (Value::Object(current), Value::Object(patch)) = (current, patch) else {
        return Err(PatchError::BadRequest("invalid JSON document".to_string()));
    };
    let size = current.values().chain(patch.values()).map(weight).sum::<usize>();
    let left = Cell::new(size.saturating_add(1).saturating_mul(STRATEGIC_MERGE_PASSES_MAX));
    Merge { schema, left }.map(current, patch, Scope::Struct(id)).map(Value::Object)
}

/// The size of a value: about the bytes of its JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len(),
        // No number is longer as text.
        Value::Number(_) => 24,
        Value::Array(list) => 1 + list.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 1 + map.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>(),
        _ => 1,
    }
}

fn fail<T>(text: impl Into<String>) -> Merged<T> {
    Err(PatchError::Internal(text.into()))
}

struct Merge<'a> {
    schema: &'a Schema,
    /// Bytes of lists that may still be read: an element of a patch can merge into the list of an element that others of the
    /// patch have merged into before, and each such merge reads the whole list.
    left: Cell<usize>,
}

fn unknown_field<T>(of: &str, name: &str) -> Merged<T> {
    fail(format!("unable to find api field in struct {of} for the json field {name:?}"))
}

/// What names the fields of an object.
#[derive(Clone, Copy)]
enum Scope {
    Struct(TypeId),
    /// A Go struct of this name that has no fields in JSON, whatever stands in its place.
    Opaque(&'static str),
    /// Nothing: any field is merged as it is.
    Free,
}

/// The rules by which one field is merged.
struct How<'a> {
    /// Of the field, or of its elements.
    inner: Scope,
    merges: bool,
    replaces: bool,
    key: &'a str,
}

impl<'a> Merge<'a> {
    fn how(&self, scope: Scope, name: &str) -> Merged<How<'a>> {
        let id = match scope {
            Scope::Struct(id) => id,
            Scope::Opaque(of) => return unknown_field(of, name),
            Scope::Free => return Ok(How { inner: Scope::Free, merges: false, replaces: false, key: "" }),
        };
        let ty = self.schema.get(id);
        let field: &Field = match ty.field(name) {
            Some(field) => field,
            None => return unknown_field(&ty.name, name),
        };
        let inner = match (field.ty, field.shape) {
            (_, Shape::Map) => Scope::Free,
            (Type::Struct(id), _) => Scope::Struct(id),
            (Type::Raw, _) => Scope::Opaque("RawExtension"),
            (Type::Json, _) => Scope::Opaque("JSON"),
            (Type::FieldsV1, _) => Scope::Opaque("FieldsV1"),
            _ => Scope::Free,
        };
        Ok(How { inner, merges: field.patch.merge, replaces: field.patch.replace, key: &field.merge_key })
    }

    fn map(&self, mut original: Object, mut patch: Object, scope: Scope) -> Merged<Object> {
        if let Some(directive) = patch.get(DIRECTIVE) {
            return match directive.as_str() {
                Some("replace") => {
                    patch.remove(DIRECTIVE);
                    Ok(patch)
                }
                Some("delete") => Ok(Object::new()),
                _ => fail(bad_patch_type(directive, &patch)),
            };
        }
        retain_keys(&mut original, &mut patch)?;
        self.ordered_lists(&mut original, &mut patch, scope)?;
        for (key, value) in patch {
            let (key, deletes) = match key.strip_prefix(DELETE_FROM) {
                Some(rest) => match rest.strip_prefix('/') {
                    Some(name) => (name.to_string(), true),
                    None => return Err(PatchError::BadRequest("invalid patch format of primitive list".to_string())),
                },
                None => (key, false),
            };
            if value.is_null() {
                original.remove(&key);
                continue;
            }
            let merged = match (original.remove(&key), value) {
                (None, _) if deletes => continue,
                (Some(Value::Object(from)), Value::Object(to)) => {
                    let how = self.how(scope, &key)?;
                    Some(Value::Object(if how.replaces { to } else { self.map(from, to, how.inner)? }))
                }
                (Some(Value::Array(from)), Value::Array(to)) => {
                    let how = self.how(scope, &key)?;
                    Some(Value::Array(if how.merges || deletes { self.list(from, to, &how, deletes)? } else { to }))
                }
                (Some(kept), _) if deletes => Some(kept),
                (_, mut new) => {
                    discard_nulls(&mut new);
                    without_directives(new)
                }
            };
            if let Some(value) = merged {
                original.insert(key, value);
            }
        }
        Ok(original)
    }

    /// Lists whose order the patch sets: merged here, and taken out of the patch.
    fn ordered_lists(&self, original: &mut Object, patch: &mut Object, scope: Scope) -> Merged<()> {
        let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
        for directive in directives {
            let Some(order) = patch.remove(&directive) else { continue };
            let Value::Array(order) = order else {
                return fail(format!("expected a []interface {{}}, but received a {}", go_type(&order)));
            };
            let Some(name) = directive[SET_ORDER.len()..].strip_prefix('/') else {
                return Err(PatchError::BadRequest("invalid patch format of setElementOrder list".to_string()));
            };
            let list = |map: &mut Object| match map.remove(name) {
                None => Ok(None),
                Some(Value::Array(list)) => Ok(Some(list)),
                Some(other) => fail(format!("expected a []interface {{}}, but received a {}", go_type(&other))),
            };
            let (from, to) = (list(original)?, list(patch)?);
            let how = self.how(scope, name)?;
            validate_order(to.as_deref().unwrap_or_default(), &order, how.key)?;
            let on_server = self.places(from.as_deref().unwrap_or_default(), how.key)?;
            let empty = |list: &Option<Vec<Value>>| list.as_ref().is_none_or(Vec::is_empty);
            let nothing = empty(&from) && empty(&to);
            let merged = match (from, to) {
                (None, None) => continue,
                (Some(from), None) => from,
                (None, Some(to)) => match without_directives(Value::Array(to)) {
                    Some(Value::Array(list)) => list,
                    _ => continue,
                },
                (Some(from), Some(to)) if how.merges => self.list(from, to, &how, false)?,
                (Some(_), Some(to)) => to,
            };
            let in_patch = self.places(&order, how.key)?;
            let (ours, theirs) = self.partition(merged, &in_patch)?;
            all_have_keys(&order, how.key)?;
            if nothing {
                return fail("no elements in any of the given slices");
            }
            let both = in_order(ours, theirs, &in_patch, &on_server);
            original.insert(name.to_string(), Value::Array(both));
        }
        Ok(())
    }

    fn list(&self, original: Vec<Value>, patch: Vec<Value>, how: &How<'_>, deletes: bool) -> Merged<Vec<Value>> {
        let Some(sample) = original.first().or(patch.first()) else { return Ok(original) };
        all_of_one_type(&original, &patch)?;
        if !sample.is_object() {
            let in_patch = self.places(&patch, "")?;
            let on_server = self.places(&original, "")?;
            if deletes {
                return Ok(original.into_iter().filter(|value| in_patch.of(value).is_none()).collect());
            }
            let mut seen = HashSet::with_capacity(original.len() + patch.len());
            let both = original.into_iter().chain(patch);
            let merged = both.filter(|value| seen.insert(value.to_string())).collect();
            let (ours, theirs) = self.partition(merged, &in_patch)?;
            return Ok(in_order(ours, theirs, &in_patch, &on_server));
        }
        if how.key.is_empty() {
            let name = match how.inner {
                Scope::Struct(id) => &*self.schema.get(id).name,
                Scope::Opaque(name) => name,
                Scope::Free => "",
            };
            return fail(format!("cannot merge lists without merge key for {name}"));
        }
        let (original, patch) = special_elements(original, patch, how.key)?;
        let on_server = self.places(&original, how.key)?;
        let in_patch = self.places(&patch, how.key)?;
        let mut merged = original;
        // Places of the elements that the patch adds, by their keys as they are written.
        let mut added: HashMap<String, usize> = HashMap::new();
        for element in patch {
            let Value::Object(element) = element else {
                return fail(format!("expected a map[string]interface {{}}, but received a {}", go_type(&element)));
            };
            let Some(key) = element.get(how.key) else { return fail(no_merge_key(&element, how.key)) };
            let key = key.to_string();
            match on_server.by_name.get(&key).or_else(|| added.get(&key)).copied() {
                Some(at) => {
                    let from = match merged[at].take() {
                        Value::Object(map) => map,
                        _ => Object::new(),
                    };
                    merged[at] = Value::Object(self.map(from, element, how.inner)?);
                }
                None => {
                    added.insert(key, merged.len());
                    merged.push(Value::Object(element));
                }
            }
        }
        let (ours, theirs) = self.partition(merged, &in_patch)?;
        Ok(in_order(ours, theirs, &in_patch, &on_server))
    }

    /// Takes note of what is read of a list.
    fn charge(&self, bytes: usize) -> Merged<()> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(PatchError::TooLarge(
                "the patch merges into the same list more often than its size allows".to_string(),
            )),
        }
    }

    fn places<'k>(&self, list: &[Value], key: &'k str) -> Merged<Places<'k>> {
        let places = Places::new(list, key);
        self.charge(list.len() + places.bytes)?;
        Ok(places)
    }

    /// Splits a merged list into what the patch names and what only the server has.
    fn partition(&self, merged: Vec<Value>, by: &Places<'_>) -> Merged<(Vec<Value>, Vec<Value>)> {
        let key = by.key;
        self.charge(merged.len())?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for element in merged {
            if !key.is_empty() {
                match &element {
                    Value::Object(map) if !map.contains_key(key) => return fail(no_merge_key(map, key)),
                    Value::Object(_) => {}
                    other => {
                        return fail(format!(
                            "expected a map[string]interface {{}}, but received a {}",
                            go_type(other)
                        ));
                    }
                }
            }
            let place = by.of(&element);
            if let Some(at) = by.no_map.filter(|at| place.is_none_or(|place| *at < place)) {
                return fail(format!("value for key {at} is not a map"));
            }
            if place.is_some() { ours.push(element) } else { theirs.push(element) }
        }
        Ok((ours, theirs))
    }
}

/// Whether all elements of a list and of what is merged into it are of one type, which is none of lists.
fn all_of_one_type(original: &[Value], patch: &[Value]) -> Merged<()> {
    let mut elements = original.iter().chain(patch);
    let Some(first) = elements.next() else { return Ok(()) };
    if first.is_array() {
        return Err(PatchError::Unprocessable("lists of lists are not supported".to_string()));
    }
    if first.is_null() {
        // Go's panics.
        return Err(PatchError::BadRequest("lists of nulls are not supported".to_string()));
    }
    if elements.all(|one| go_type(one) == go_type(first)) {
        return Ok(());
    }
    let shown = go_text(&Value::Array(vec![original.to_vec().into(), patch.to_vec().into()]));
    fail(format!("list element types are not identical: {shown}"))
}

/// Whether each element that gives an order has the key that the list is merged by.
fn all_have_keys(order: &[Value], key: &str) -> Merged<()> {
    if key.is_empty() {
        return Ok(());
    }
    match order.iter().find(|one| one.get(key).is_none()) {
        Some(Value::Object(map)) => fail(no_merge_key(map, key)),
        Some(other) => fail(format!("expected a map[string]interface {{}}, but received a {}", go_type(other))),
        None => Ok(()),
    }
}

/// Elements that say `$patch`: what they delete is gone from the original; `replace` leaves the patch alone.
fn special_elements(mut original: Vec<Value>, patch: Vec<Value>, key: &str) -> Merged<(Vec<Value>, Vec<Value>)> {
    let (mut plain, mut replace, mut deleted) = (Vec::new(), false, HashSet::new());
    for element in patch {
        let directive = element.get(DIRECTIVE).cloned();
        let (Some(directive), Value::Object(map)) = (directive, &element) else {
            plain.push(element);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let Some(wanted) = map.get(key) else { return fail(no_merge_key(map, key)) };
                deleted.insert(wanted.to_string());
            }
            Some("replace") => replace = true,
            Some("merge") => return fail("merging lists cannot yet be specified in the patch"),
            _ => return fail(bad_patch_type(&directive, map)),
        }
    }
    if !deleted.is_empty() {
        original.retain(|value| value.get(key).is_none_or(|name| !deleted.contains(&name.to_string())));
    }
    Ok(if replace { (plain, Vec::new()) } else { (original, plain) })
}

fn retain_keys(original: &mut Object, patch: &mut Object) -> Merged<()> {
    let Some(list) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad_format = || Err(PatchError::BadRequest("invalid patch format of retainKeys".to_string()));
    let Value::Array(list) = list else { return bad_format() };
    let names: HashSet<&str> = list.iter().filter_map(Value::as_str).collect();
    let kept = |name: &String| names.contains(name.as_str());
    for (name, value) in patch.iter() {
        let counts = !value.is_null() && !name.starts_with(DELETE_FROM) && !name.starts_with(SET_ORDER);
        if counts && !kept(name) {
            return bad_format();
        }
    }
    original.retain(|name, _| kept(name));
    Ok(())
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// A new value, without the parts that are directives; `None` when it is one itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let kept = map.into_iter().filter_map(|(name, value)| Some((name, without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(list) => Some(Value::Array(list.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

/// Places of a list's elements: by their key as it is written, or by themselves where there is none. The first of
/// several counts.
struct Places<'a> {
    key: &'a str,
    by_name: HashMap<String, usize>,
    /// Of the names of all elements.
    bytes: usize,
    /// The first element that can have no key, where there is to be one.
    no_map: Option<usize>,
}

impl<'a> Places<'a> {
    fn new(list: &[Value], key: &'a str) -> Self {
        let no_map = if key.is_empty() { None } else { list.iter().position(|element| !element.is_object()) };
        let mut places = Self { key, by_name: HashMap::with_capacity(list.len()), bytes: 0, no_map };
        for (at, element) in list.iter().enumerate() {
            if let Some(name) = places.name(element) {
                places.bytes += name.len();
                places.by_name.entry(name).or_insert(at);
            }
        }
        places
    }

    fn name(&self, element: &Value) -> Option<String> {
        if self.key.is_empty() { Some(element.to_string()) } else { element.get(self.key).map(Value::to_string) }
    }

    fn of(&self, element: &Value) -> Option<usize> {
        self.name(element).and_then(|name| self.by_name.get(&name).copied())
    }
}

/// Merges two orders: the patch's items in its order, the server's in theirs, woven so that the server's order holds
/// between them.
fn in_order(ours: Vec<Value>, theirs: Vec<Value>, in_patch: &Places<'_>, on_server: &Places<'_>) -> Vec<Value> {
    let mut both = Vec::with_capacity(ours.len() + theirs.len());
    // Each with its place on the server, which is asked for more than once.
    let placed = |list: Vec<Value>| list.into_iter().map(|value| (on_server.of(&value), value)).collect::<Vec<_>>();
    let (mut ours, mut theirs) = (placed(ours), placed(theirs));
    ours.sort_by_cached_key(|(_, value)| in_patch.of(value).unwrap_or(usize::MAX));
    theirs.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
    let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
    loop {
        let next = match (theirs.peek(), ours.peek()) {
            (None, None) => return both,
            (Some(_), None) => theirs.next(),
            (None, Some(_)) => ours.next(),
            (Some((Some(left), _)), Some((Some(right), _))) if left < right => theirs.next(),
            (Some(_), Some(_)) => ours.next(),
        };
        both.extend(next.map(|(_, value)| value));
    }
}

fn validate_order(patch: &[Value], order: &[Value], key: &str) -> Merged<()> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut wanted = patch.iter().filter(|one| one.get(DIRECTIVE).is_none()).peekable();
    for set in order {
        let Some(element) = wanted.peek() else { break };
        let same = if key.is_empty() {
            *element == set
        } else {
            let value = |one: &Value| match one {
                Value::Object(map) => map.get(key).cloned().ok_or_else(|| PatchError::Internal(no_merge_key(map, key))),
                other => fail(format!("expected a map[string]interface {{}}, but received a {}", go_type(other))),
            };
            value(element)? == value(set)?
        };
        if same {
            wanted.next();
        }
    }
    if wanted.peek().is_some() {
        let show = |list: &[Value]| go_text(&Value::Array(list.to_vec()));
        let (patch, order) = (show(patch), show(order));
        return fail(format!("The order in patch list:\n{patch}\n doesn't match {SET_ORDER} list:\n{order}\n"));
    }
    Ok(())
}

fn no_merge_key(map: &Object, key: &str) -> String {
    format!("map: {} does not contain declared merge key: {key}", go_text(&Value::Object(map.clone())))
}

fn bad_patch_type(directive: &Value, map: &Object) -> String {
    format!("unknown patch type: {} in map: {}", go_print::text(directive), go_text(&Value::Object(map.clone())))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        other => go_print::kept_type_name(other),
    }
}

/// A value as Go's `%v` prints it.
fn go_text(value: &Value) -> String {
    go_print::plain(value, Numbers::Kept)
}
