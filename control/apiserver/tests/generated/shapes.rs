//! Everything long that a kind can hold.

use crate::targets::{First, Target};
use sampan_schema::{Shape, Type};
use sampan_testing::generate::{Elements, Long, Place, places};
use std::collections::HashSet;

/// One thing that can be long, in one place of one target.
#[derive(Clone)]
pub struct Case {
    pub target: Target,
    pub place: Place,
    pub shape: &'static str,
    long: fn(usize) -> Long,
    /// What doubling the count does to the length: twice it, or four times.
    product: bool,
    /// Whether it is patched in each way; else it is only created and updated.
    pub patched: bool,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.target, self.place, self.shape)
    }
}

type Made = (&'static str, fn(usize) -> Long);

const ALONE: [Made; 3] = [
    ("distinct", |count| Long::Elements(count, Elements::Distinct)),
    ("equal", |count| Long::Elements(count, Elements::Equal)),
    ("short", |count| Long::Elements(count, Elements::Short)),
];
/// Of the lists and maps of one struct together: the first stands for all.
const TOGETHER: [Made; 3] = [
    ("distinct, with siblings", |count| Long::Siblings(count, Elements::Distinct)),
    ("equal, with siblings", |count| Long::Siblings(count, Elements::Equal)),
    ("with siblings and what is in them", Long::Family),
];

/// Every case of the targets. `once`: each field of a type is looked at in the first target that has it.
pub fn cases(targets: &[Target], once: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let (mut fields, mut structs, mut pairs) = (HashSet::new(), HashSet::new(), HashSet::new());
    for target in targets {
        if !once {
            (fields, structs, pairs) = (HashSet::new(), HashSet::new(), HashSet::new());
        }
        for place in places(target.type_id) {
            let (owner, name) = place.identity();
            let mut add = |(shape, long): Made, product: bool| {
                let patched = target.first == First::Store && matches!(shape, "distinct" | "short");
                let (target, place) = (target.clone(), place.clone());
                cases.push(Case { target, place, shape, long, product, patched });
            };
            let new = fields.insert((owner.clone(), name.clone()));
            let list = place.field().shape != Shape::One || place.field().ty == Type::FieldsV1;
            if new && list {
                ALONE.iter().for_each(|made| add(*made, false));
            }
            if place.field().shape != Shape::One && structs.insert(owner.clone()) {
                TOGETHER.iter().for_each(|made| add(*made, false));
            }
            let outer = place.path.iter().find(|(_, field)| field.shape != Shape::One);
            if let Some((outer, field)) = outer.filter(|_| place.depth() > 1 && place.field().shape != Shape::One)
                && pairs.insert((*outer, field.json_name.to_string(), owner, name))
            {
                add(("in each of another", Long::Nested), true);
            }
            if new && is_text(place.field().ty) {
                add(("text", Long::Text), false);
            }
        }
    }
    cases
}

fn is_text(ty: Type) -> bool {
    matches!(ty, Type::String | Type::Quantity | Type::IntOrString | Type::Duration | Type::Time | Type::Bytes)
}

impl Case {
    /// The case as an object of at most about so many bytes. `None`: it cannot be made so long.
    pub fn of(&self, bytes: usize) -> Option<Long> {
        if self.shape == "text" {
            return Some((self.long)(bytes.saturating_sub(512)));
        }
        let length = |count| self.target.object(&self.place, (self.long)(count), 1000).to_string().len();
        let (none, mut count) = (length(0), 8);
        let (mut size, mut before) = (length(count), none);
        while size < bytes / 8 {
            if size <= before {
                return None;
            }
            (count, before) = (2 * count, size);
            size = length(count);
        }
        let grown = |count: usize, by: f64| {
            let more = if self.product { by.sqrt() } else { by };
            ((count as f64 * more) as usize).max(1)
        };
        count = grown(count, bytes.saturating_sub(none) as f64 / (size - none).max(1) as f64);
        // Later elements have longer numbers.
        size = length(count);
        if size > bytes {
            count = grown(count, 0.98 * bytes as f64 / size as f64);
        }
        Some((self.long)(count))
    }
}
