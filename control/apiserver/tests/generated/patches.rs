//! Patches of something long, in each way that there is, as long as is asked.

use crate::shapes::Case;
use sampan_api::limits::JSON_PATCH_OPERATIONS_MAX;
use sampan_schema::{Field, Schema, Shape, Type, TypeId};
use sampan_testing::generate::{self, Around, Elements, Fields, Long, element, many};
use serde_json::{Value, json};

/// One patch: what it does, its media type, its body.
pub struct Patch {
    pub what: &'static str,
    pub media: &'static str,
    pub body: String,
    /// How many times what is stored stands in what becomes of it.
    pub copies: usize,
}

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON: &str = "application/json-patch+json";

/// Copies of what is stored that one patch makes.
const COPIES: usize = 16;
/// The number of the first element of what is stored.
const STORED: usize = 1000;

/// All patches of the case; `long`: what makes a body as long as is asked.
pub fn all(case: &Case, long: Long, bytes: usize) -> Vec<Patch> {
    let other = case.target.object(&case.place, long, 2 * STORED).to_string();
    let mut patches = vec![
        Patch { what: "merge patch", media: MERGE, body: other.clone(), copies: 0 },
        Patch { what: "strategic patch", media: STRATEGIC, body: other, copies: 0 },
    ];
    let Long::Elements(count, Elements::Distinct) = long else { return patches };
    let of = |media, what, value: Value| Patch { what, media, body: value.to_string(), copies: 0 };
    let field = case.place.field();
    for (what, leaf) in directives(field, count) {
        let leaf = |map: &mut Fields, _: TypeId, _: &'static Field| map.extend(leaf.clone());
        patches.push(of(STRATEGIC, what, around(case, case.place.path.len(), leaf)));
    }
    if field.shape == Shape::Map {
        let nulls: Fields = (0..2 * count).map(|at| (format!("n{at}"), Value::Null)).collect();
        let leaf = |map: &mut Fields, _: TypeId, field: &'static Field| {
            map.insert(field.json_name.to_string(), Value::Object(nulls.clone()));
        };
        patches.push(of(MERGE, "merge patch of nulls", around(case, case.place.path.len(), leaf)));
    }
    patches.extend(same_element(case, bytes).map(|value| of(STRATEGIC, "strategic patch of one element", value)));
    if field.shape != Shape::One {
        for (what, operations) in operations(case, count, bytes) {
            patches.push(of(JSON, what, operations));
        }
        let at = case.place.pointer();
        let copy = |step| json!({"op": "copy", "from": at, "path": format!("/copy{step}")});
        let body = json!((0..COPIES).map(copy).collect::<Vec<_>>()).to_string();
        patches.push(Patch { what: "JSON patch that copies the whole", media: JSON, body, copies: COPIES });
    }
    patches
}

/// A body with the structs on the way to what `leaf` puts into the last of so many.
fn around(case: &Case, depth: usize, mut leaf: impl FnMut(&mut Fields, TypeId, &'static Field)) -> Value {
    let mut map = Fields::new();
    generate::at(&mut map, &case.place.path[..depth], Around::Scalars, &mut leaf);
    Value::Object(map)
}

/// What merging alone cannot say, for the whole of a long list or map: the fields of its struct.
fn directives(field: &'static Field, count: usize) -> Vec<(&'static str, Fields)> {
    let name = &*field.json_name;
    let long = |shift| many(field, count, Elements::Distinct, shift);
    let fields = |pairs: Vec<(String, Value)>| pairs.into_iter().collect::<Fields>();
    let names: Vec<String> = (0..count).map(|at| format!("n{at}")).collect();
    let mut found = vec![("strategic patch that retains keys", fields(vec![("$retainKeys".into(), json!(names))]))];
    if field.shape == Shape::Map {
        let nulls = names.iter().map(|name| (name.clone(), Value::Null)).collect::<Fields>();
        found.push(("strategic patch of nulls", fields(vec![(name.into(), Value::Object(nulls))])));
        return found;
    }
    let Value::Array(elements) = long(STORED) else { return found };
    let Type::Struct(_) = field.ty else {
        let half: Vec<Value> = elements.iter().rev().take(count / 2).cloned().collect();
        let deletes = format!("$deleteFromPrimitiveList/{name}");
        found.push(("strategic patch that deletes values", fields(vec![(deletes.clone(), json!(elements))])));
        let order = format!("$setElementOrder/{name}");
        let both = fields(vec![(deletes, json!(half)), (order, json!(half)), (name.into(), json!(half))]);
        found.push(("strategic patch that deletes and orders values", both));
        return found;
    };
    if field.merge_key.is_empty() {
        return found;
    }
    let key = &*field.merge_key;
    let keys: Vec<Value> = elements.iter().rev().map(|element| json!({key: element[key]})).collect();
    let deletes: Vec<Value> = keys.iter().map(|one| json!({key: one[key], "$patch": "delete"})).collect();
    let order = || (format!("$setElementOrder/{name}"), json!(keys));
    found.push(("strategic patch that orders", fields(vec![order(), (name.into(), json!(elements))])));
    found.push(("strategic patch that only orders", fields(vec![order()])));
    found.push(("strategic patch that deletes elements", fields(vec![(name.into(), json!(deletes))])));
    let odd = |(at, one): (usize, &Value)| (at % 2 == 1).then(|| one.clone());
    let mixed: Vec<Value> =
        elements.iter().enumerate().filter_map(odd).chain(deletes.iter().enumerate().filter_map(odd)).collect();
    found.push(("strategic patch that deletes and merges elements", fields(vec![(name.into(), json!(mixed))])));
    let replaced: Vec<Value> = std::iter::once(json!({"$patch": "replace"})).chain(elements).collect();
    found.push(("strategic patch that replaces a list", fields(vec![(name.into(), json!(replaced))])));
    found
}

/// A long list within an element of another, and a patch that names that element time and again.
fn same_element(case: &Case, bytes: usize) -> Option<Value> {
    let (path, field) = (&case.place.path, case.place.field());
    let above = path.len().checked_sub(2)?;
    let (_, outer) = path[above];
    if outer.shape != Shape::List || !outer.patch.merge || outer.merge_key.is_empty() || field.shape == Shape::One {
        return None;
    }
    let Type::Struct(id) = outer.ty else { return None };
    let key = Schema::builtin().get(id).field(&outer.merge_key)?;
    let mut value = element(key, 0, Elements::Distinct);
    if key.ty == Type::Bool {
        value = json!(true);
    }
    let mut one = Fields::from_iter([(outer.merge_key.to_string(), value)]);
    one.insert(field.json_name.to_string(), many(field, 1, Elements::Distinct, 2 * STORED));
    let count = bytes / (Value::Object(one.clone()).to_string().len() + 1);
    let list: Vec<Value> = std::iter::repeat_n(Value::Object(one), count).collect();
    Some(around(case, above + 1, |map, _, field| drop(map.insert(field.json_name.to_string(), json!(list)))))
}

/// Long lists of operations on a long list or map.
fn operations(case: &Case, count: usize, bytes: usize) -> Vec<(&'static str, Value)> {
    let (field, at) = (case.place.field(), case.place.pointer());
    let one = |number| element(field, number, Elements::Distinct);
    let list = field.shape == Shape::List;
    let place = |name: &str, index: usize| if list { format!("{at}/{index}") } else { format!("{at}/{name}") };
    let (middle, end) = (count / 4, if list { format!("{at}/-") } else { format!("{at}/end") });
    let heads = |index: usize| {
        let (place, one, end) = (&place, &one, &end);
        move |step: usize| {
            let (value, here, there) = (one(step), place("here", index), place("there", index));
            vec![
                json!({"op": "add", "path": here, "value": value}),
                json!({"op": "test", "path": here, "value": value}),
                json!({"op": "copy", "from": here, "path": there}),
                json!({"op": "replace", "path": there, "value": value}),
                json!({"op": "move", "from": there, "path": end}),
                json!({"op": "remove", "path": here}),
            ]
        }
    };
    let whole = many(field, count / 2, Elements::Distinct, STORED);
    let moves = |step: usize| {
        let (from, to) = if step.is_multiple_of(2) { (&*at, "/away") } else { ("/away", &*at) };
        vec![json!({"op": "move", "from": from, "path": to})]
    };
    let mut long = vec![
        ("JSON patch at the head", filled(bytes, heads(0))),
        ("JSON patch in the middle", filled(bytes, heads(middle))),
        ("JSON patch that moves the whole", filled(bytes, moves)),
    ];
    let pointer = case.place.pointer();
    let test =
        json!([{"op": "replace", "path": pointer, "value": whole}, {"op": "test", "path": pointer, "value": whole}]);
    long.push(("JSON patch that tests the whole", test));
    long
}

/// So many operations as are allowed and fit.
fn filled(bytes: usize, steps: impl Fn(usize) -> Vec<Value>) -> Value {
    let (mut all, mut length) = (Vec::new(), 0);
    for step in 0.. {
        let more = steps(step);
        length += more.iter().map(|one| one.to_string().len() + 1).sum::<usize>();
        if length > bytes || all.len() + more.len() > JSON_PATCH_OPERATIONS_MAX {
            break;
        }
        all.extend(more);
    }
    Value::Array(all)
}
