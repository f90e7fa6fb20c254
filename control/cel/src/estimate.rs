//! The most that an expression can cost, reckoned from the bounds of the schema. Kubernetes decides by it which rules a
//! CustomResourceDefinition may have, so its figures are Kubernetes'.

use crate::check::Checked;
use crate::cost::{CHECK, LIST, MAP, NOMINAL, REGEX, STRUCT, TRAVERSAL};
use crate::decl::{Decl, Field};
use crate::syntax::ast::{Call, Expr, Fold, Id, Kind, Literal, Test};
use crate::types::Type;
use std::collections::HashMap;
use std::sync::Arc;

/// A range, of sizes or of costs. What is too large stays at the largest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Range {
    const UNKNOWN: Self = Self { min: 0, max: u64::MAX };
    const ZERO: Self = Self { min: 0, max: 0 };

    fn exactly(size: u64) -> Self {
        Self { min: size, max: size }
    }

    fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn scaled(self, factor: f64) -> Self {
        let scale = |value: u64| (value as f64 * factor).ceil() as u64;
        Self { min: scale(self.min), max: scale(self.max) }
    }

    fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// Sizes of the entries of a list or a map.
#[derive(Clone, Copy, Debug)]
struct Entries {
    list: bool,
    key: Range,
    value: Range,
}

/// Where an expression leads in the declared data, if anywhere.
type Place = Option<Step>;

/// A place in the declared data.
#[derive(Clone)]
struct Step {
    /// What is declared there.
    decl: Option<Arc<Decl>>,
    /// How many steps lead there from nothing.
    depth: usize,
}

impl Step {
    fn to(&self, decl: Option<Arc<Decl>>) -> Self {
        Self { decl, depth: self.depth + 1 }
    }
}

struct Local<'a> {
    name: &'a str,
    place: Place,
    size: Option<Range>,
    entries: Option<Entries>,
}

/// A call's cost without its arguments', and the size of its result.
struct Estimate {
    cost: Range,
    size: Option<Range>,
}

impl Estimate {
    fn of(cost: Range) -> Self {
        Self { cost, size: None }
    }
}

struct Estimator<'a> {
    checked: &'a Checked,
    /// The declaration of which sizes are known; that of `self` and `oldSelf`.
    root: Option<&'a Arc<Decl>>,
    locals: Vec<Local<'a>>,
    places: HashMap<Id, Place>,
    sizes: HashMap<Id, Range>,
    entries: HashMap<Id, Entries>,
}

/// The cost of an expression over data of this declaration.
pub(crate) fn estimate(root: &Expr, checked: &Checked, decl: Option<&Arc<Decl>>) -> Range {
    let (locals, places, sizes) = (Vec::new(), HashMap::new(), HashMap::new());
    Estimator { checked, root: decl, locals, places, sizes, entries: HashMap::new() }.cost(root)
}

impl<'a> Estimator<'a> {
    fn ty(&self, expr: &Expr) -> &Type {
        &self.checked.types[expr.id]
    }

    fn local(&self, name: &str) -> Option<&Local<'a>> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    fn cost(&mut self, expr: &'a Expr) -> Range {
        match &expr.kind {
            Kind::Literal(_) | Kind::Broken => Range::ZERO,
            Kind::Ident(name) => {
                let place = match self.local(name) {
                    Some(local) => local.place.clone(),
                    None => Some(Step { decl: self.root.cloned(), depth: 1 }),
                };
                self.places.insert(expr.id, place);
                Range::exactly(1)
            }
            Kind::Select(select) => {
                let operand = self.cost(&select.operand);
                if select.test == Test::Presence {
                    return operand;
                }
                let costs = matches!(self.ty(&select.operand), Type::Map(..) | Type::Object(_) | Type::Library(_));
                let place = self.below(&select.operand, |decl| {
                    decl.field(&select.field).map(Field::decl).or_else(|| decl.any_value()).cloned()
                });
                self.places.insert(expr.id, place);
                if costs { operand.plus(Range::exactly(1)) } else { operand }
            }
            Kind::Call(call) => self.call(expr, call),
            Kind::List(elements) => {
                let mut sum = Range::ZERO;
                let mut size = Range { min: if elements.is_empty() { 0 } else { u64::MAX }, max: 0 };
                for element in elements {
                    sum = sum.plus(self.cost(&element.value));
                    size = size.union(self.size_or_unknown(&element.value));
                }
                self.entries.insert(expr.id, Entries { list: true, key: Range::exactly(1), value: size });
                sum.plus(Range::exactly(LIST))
            }
            Kind::Map(entries) => {
                let mut sum = Range::ZERO;
                let least = if entries.is_empty() { 0 } else { u64::MAX };
                let (mut key, mut value) = (Range { min: least, max: 0 }, Range { min: least, max: 0 });
                for entry in entries {
                    sum = sum.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
                    key = key.union(self.size_or_unknown(&entry.key));
                    value = value.union(self.size_or_unknown(&entry.value));
                }
                self.entries.insert(expr.id, Entries { list: false, key, value });
                sum.plus(Range::exactly(MAP))
            }
            Kind::Struct(message) => {
                let parts = message.fields.iter();
                let sum = parts.fold(Range::ZERO, |sum, one| sum.plus(self.cost(&one.value)));
                sum.plus(Range::exactly(STRUCT))
            }
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn place(&self, expr: &Expr) -> Place {
        match &expr.kind {
            Kind::Ident(name) if self.local(name).is_some() => self.local(name).and_then(|local| local.place.clone()),
            _ => self.places.get(&expr.id).cloned().flatten(),
        }
    }

    /// The place one step below that of an expression. What leads nowhere leads to the root, as in the reference: it takes
    /// the first step of a path for the variable's.
    fn below(&self, expr: &Expr, step: impl Fn(&Arc<Decl>) -> Option<Arc<Decl>>) -> Place {
        Some(match self.place(expr) {
            Some(place) => place.to(place.decl.as_ref().and_then(step)),
            None => Step { decl: self.root.cloned(), depth: 1 },
        })
    }

    /// The size that the schema allows there.
    fn declared(&self, expr: &Expr) -> Option<Range> {
        self.place(expr)?.decl.map(|decl| Range { min: 0, max: decl.max() })
    }

    fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(known) = self.sizes.get(&expr.id) {
            return Some(*known);
        }
        let literal = match &expr.kind {
            Kind::Literal(Literal::String(text)) => Some(text.chars().count()),
            Kind::Literal(Literal::Bytes(bytes)) => Some(bytes.len()),
            Kind::Literal(_) => Some(1),
            Kind::List(all) => Some(all.len()),
            Kind::Map(all) => Some(all.len()),
            _ => None,
        };
        if let Some(size) = literal {
            return Some(Range::exactly(size as u64));
        }
        if let Some(size) = self.declared(expr) {
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if self.ty(expr).is_scalar() {
            return Some(Range::exactly(1));
        }
        let name = expr.ident()?;
        self.local(name).and_then(|local| local.size)
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(Range::UNKNOWN)
    }

    fn entries_of(&self, expr: &Expr) -> Option<Entries> {
        let known = self.entries.get(&expr.id).copied();
        known.or_else(|| self.local(expr.ident()?).and_then(|local| local.entries))
    }

    fn call(&mut self, expr: &'a Expr, call: &'a Call) -> Range {
        if &*call.function == "dyn" {
            let cost = self.cost(&call.args[0]);
            if let Some(size) = self.size(&call.args[0]) {
                self.sizes.insert(expr.id, size);
            }
            if let Some(entries) = self.entries_of(&call.args[0]) {
                self.entries.insert(expr.id, entries);
            }
            return cost.plus(Range::exactly(1));
        }
        let costs: Vec<Range> = call.args.iter().map(|arg| self.cost(arg)).collect();
        let overloads = &self.checked.overloads[expr.id];
        if overloads.is_empty() {
            return Range::ZERO;
        }
        let target = call.target.as_ref().map_or(Range::ZERO, |target| self.cost(target));
        let mut all = Range { min: u64::MAX, max: 0 };
        let mut size: Option<Range> = None;
        for overload in overloads {
            let estimate = self.overload(expr, call, overload.id, &costs);
            all = all.union(estimate.cost);
            size = match (size, estimate.size) {
                (Some(before), Some(next)) => Some(before.union(next)),
                (before, next) => before.or(next),
            };
            if matches!(overload.id, "index_list" | "index_map") {
                size = self.entries_of(&call.args[0]).map(|entries| entries.value);
                let place = self.below(&call.args[0], |decl| decl.element().cloned());
                self.places.insert(expr.id, place);
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        target.plus(all)
    }

    /// One overload's cost with its arguments', and its result's size.
    fn overload(&mut self, expr: &Expr, call: &Call, overload: &str, costs: &[Range]) -> Estimate {
        let sum = costs.iter().fold(Range::ZERO, |sum, cost| sum.plus(*cost));
        let own = self.lists(call, overload).or_else(|| self.libraries(call, overload));
        if let Some(own) = own {
            return Estimate { cost: own.cost.plus(sum), size: own.size };
        }
        match overload {
            "logical_or" | "logical_and" => {
                Estimate::of(Range { min: costs[0].min, max: costs[0].max.saturating_add(costs[1].max) })
            }
            "conditional" => {
                let size = self.size_or_unknown(&call.args[1]).union(self.size_or_unknown(&call.args[2]));
                if let Some(both) = self.both(&call.args[1], &call.args[2]) {
                    self.entries.insert(expr.id, both);
                }
                Estimate { cost: costs[0].plus(costs[1].union(costs[2])), size: Some(size) }
            }
            _ => {
                let own = self.standard(expr, call, overload);
                Estimate { cost: own.cost.plus(sum), size: own.size }
            }
        }
    }

    fn both(&self, a: &Expr, b: &Expr) -> Option<Entries> {
        let (a, b) = (self.entries_of(a)?, self.entries_of(b)?);
        Some(Entries { list: a.list, key: a.key.union(b.key), value: a.value.union(b.value) })
    }

    /// The functions of cel-go itself.
    fn standard(&mut self, expr: &Expr, call: &Call, overload: &str) -> Estimate {
        let target = call.target.as_ref();
        match (overload, target, &call.args[..]) {
            ("string_format", Some(target), _) => Estimate::of(self.size_or_unknown(target).scaled(TRAVERSAL)),
            ("string_to_bytes", _, [arg]) => {
                let size = self.size_or_unknown(arg);
                let made = Range { min: size.min, max: size.max.wrapping_mul(4) };
                Estimate { cost: size.scaled(TRAVERSAL), size: Some(made) }
            }
            ("bytes_to_string", _, [arg]) => {
                let size = self.size_or_unknown(arg);
                Estimate { cost: size.scaled(TRAVERSAL), size: Some(Range { min: size.min / 4, max: size.max }) }
            }
            ("strings_quote", _, [arg]) => {
                let size = self.size_or_unknown(arg);
                let made = Range { min: size.min.wrapping_add(2), max: size.max.wrapping_mul(2).wrapping_add(2) };
                Estimate { cost: size.scaled(TRAVERSAL), size: Some(made) }
            }
            ("starts_with_string" | "ends_with_string", _, [arg]) => {
                Estimate::of(self.size_or_unknown(arg).scaled(TRAVERSAL))
            }
            ("in_list", _, [_, list]) => Estimate::of(self.size_or_unknown(list)),
            ("matches_string" | "matches", Some(text), [pattern]) => Estimate::of(self.regex(text, pattern)),
            ("contains_string", Some(text), [part]) => {
                let (text, part) = (self.size_or_unknown(text), self.size_or_unknown(part));
                Estimate::of(text.scaled(TRAVERSAL).times(part.scaled(TRAVERSAL)))
            }
            ("add_string" | "add_bytes" | "add_list", _, [a, b]) => {
                let size = self.size_or_unknown(a).plus(self.size_or_unknown(b));
                if let Some(both) = self.both(a, b) {
                    self.entries.insert(expr.id, both);
                }
                let cost = if overload == "add_list" { Range::exactly(1) } else { size.scaled(TRAVERSAL) };
                Estimate { cost, size: Some(size) }
            }
            (
                "less_string"
                | "greater_string"
                | "less_equals_string"
                | "greater_equals_string"
                | "less_bytes"
                | "greater_bytes"
                | "less_equals_bytes"
                | "greater_equals_bytes"
                | "equals"
                | "not_equals",
                _,
                [a, b],
            ) => {
                let max = self.size_or_unknown(a).max.min(self.size_or_unknown(b).max);
                Estimate::of(Range { min: u64::from(max > 0), max }.scaled(TRAVERSAL))
            }
            _ => Estimate::of(Range::exactly(1)),
        }
    }

    fn regex(&mut self, text: &Expr, pattern: &Expr) -> Range {
        let text = self.size_or_unknown(text).plus(Range::exactly(1)).scaled(TRAVERSAL);
        text.times(self.size_or_unknown(pattern).scaled(REGEX))
    }

    /// The size that a library sees: a list's or text's own, or that of the schema.
    fn known(&mut self, expr: &Expr) -> Range {
        self.size_or_unknown(expr)
    }

    /// The overloads of cel-go's lists and sets that have rules of their own.
    fn lists(&mut self, call: &Call, overload: &str) -> Option<Estimate> {
        let made = |factor: f64, size: Range| {
            let cost = size.scaled(factor).plus(Range::exactly(1)).plus(Range::exactly(LIST));
            Some(Estimate { cost, size: Some(size) })
        };
        let number = |expr: &Expr, other: u64| match &expr.kind {
            Kind::Literal(Literal::Int(value)) => u64::try_from(*value).unwrap_or(0),
            _ => other,
        };
        let target = call.target.as_ref();
        match (overload, target, &call.args[..]) {
            ("list_sets_contains_list" | "list_sets_intersects_list" | "list_sets_equivalent_list", None, [a, b]) => {
                let factor = if overload == "list_sets_equivalent_list" { 2.0 } else { 1.0 };
                let size = self.known(a).times(self.known(b));
                Some(Estimate::of(size.scaled(factor).plus(Range::exactly(1))))
            }
            ("list_slice", Some(list), [start, end]) => {
                let size = self.known(list);
                made(1.0, Range::exactly(number(end, size.max).wrapping_sub(number(start, 0))))
            }
            ("lists_range", None, [count]) => made(1.0, Range::exactly(number(count, u64::MAX))),
            ("list_reverse", Some(list), []) => made(1.0, self.known(list)),
            ("list_flatten", Some(list), []) => made(1.0, self.known(list)),
            ("list_flatten_int", Some(list), [depth]) => made(number(depth, u64::MAX) as f64, self.known(list)),
            ("list_distinct", Some(list), []) => {
                let size = self.known(list);
                made(2.0, size.times(size))
            }
            (_, Some(list), args) if overload.ends_with("_sort") || overload.ends_with("_sortByAssociatedKeys") => {
                let texts = overload.starts_with("list_string_") || overload.starts_with("list_bytes_");
                let size = self.known(args.first().unwrap_or(list));
                made(if texts { 2.0 + TRAVERSAL } else { 2.0 }, size.times(size))
            }
            _ => None,
        }
    }

    /// The functions of Kubernetes' libraries.
    fn libraries(&mut self, call: &Call, overload: &str) -> Option<Estimate> {
        let function = &*call.function;
        if NOMINAL.contains(&function) {
            return Some(Estimate::of(Range::exactly(1)));
        }
        let target = call.target.as_ref();
        match (function, target, &call.args[..]) {
            ("check", ..) => Some(Estimate::of(Range::exactly(CHECK))),
            ("fieldSelector" | "labelSelector", _, [text]) => {
                let size = self.known(text);
                let parts = size.scaled(0.5).scaled((LIST + STRUCT) as f64);
                Some(Estimate::of(Range::exactly(LIST).plus(size.scaled(TRAVERSAL)).plus(parts)))
            }
            ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(target), _) => {
                Some(Estimate::of(self.walk(target)))
            }
            ("url", _, [text]) => {
                let size = self.known(text);
                Some(Estimate { cost: size.scaled(TRAVERSAL), size: Some(size) })
            }
            ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(text), _) => {
                let size = self.known(text);
                Some(Estimate { cost: size.scaled(TRAVERSAL), size: Some(size) })
            }
            ("replace", Some(text), [old, new, ..]) => {
                let (text, old, new) = (self.known(text), self.known(old), self.known(new));
                Some(Estimate { cost: text.scaled(2.0 * TRAVERSAL), size: Some(replaced(text, old, new)) })
            }
            ("split", Some(text), args) => {
                let size = self.known(text);
                let max = match args.get(1).map(|arg| &arg.kind) {
                    Some(Kind::Literal(Literal::Int(count))) => *count as u64,
                    _ => size.max,
                };
                Some(Estimate { cost: size.scaled(2.0 * TRAVERSAL), size: Some(Range { min: 0, max }) })
            }
            ("join", Some(list), args) => {
                let size = self.joined(list, args.first());
                Some(Estimate { cost: size.scaled(TRAVERSAL), size: Some(size) })
            }
            ("find" | "findAll", Some(text), [pattern, ..]) => {
                let max = self.known(text).max;
                Some(Estimate { cost: self.regex(text, pattern), size: Some(Range { min: 0, max }) })
            }
            ("ip", ..) if overload == "cidr_ip" => Some(Estimate::of(Range::exactly(1))),
            ("cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver", _, [text, ..]) => {
                Some(Estimate::of(self.known(text).scaled(TRAVERSAL)))
            }
            ("ip.isCanonical", _, [text]) => Some(Estimate::of(self.known(text).scaled(2.0 * TRAVERSAL))),
            ("containsIP" | "containsCIDR", _, [other]) => Some(Estimate::of(self.network(function, overload, other))),
            ("validate", _, [text]) => Some(Estimate::of(self.known(text).scaled(TRAVERSAL).scaled(128.0 * REGEX))),
            ("_==_", _, [a, b]) if self.ty(a) == self.ty(b) => match self.ty(a) {
                Type::Library(name) => Some(Estimate::of(match &**name {
                    "kubernetes.NamedFormat" => Range { min: 1, max: 64 }.scaled(TRAVERSAL),
                    "kubernetes.URL" => {
                        let size = self.sizes.get(&b.id).map_or(1, |size| size.max);
                        Range { min: 1, max: size }.scaled(TRAVERSAL)
                    }
                    _ => Range::exactly(1),
                })),
                _ => None,
            },
            _ => None,
        }
    }

    fn network(&mut self, function: &str, overload: &str, other: &Expr) -> Range {
        let bytes = Range { min: 4, max: 16 };
        let mut cost = bytes.plus(bytes).scaled(TRAVERSAL);
        if function == "containsCIDR" {
            cost = cost.plus(bytes.scaled(TRAVERSAL)).plus(Range::exactly(1));
        }
        if overload.ends_with("_string") {
            cost = cost.plus(self.known(other).scaled(TRAVERSAL));
        }
        cost
    }

    /// The size of the elements of a list, where the schema says it.
    fn element_size(&self, list: &Expr) -> Range {
        let decl = self.place(list).and_then(|step| step.decl);
        let element = decl.as_ref().and_then(|decl| decl.element());
        element.map_or(Range::UNKNOWN, |decl| Range { min: 0, max: decl.max() })
    }

    fn walk(&mut self, target: &Expr) -> Range {
        let size = self.known(target);
        match self.ty(target) {
            Type::List(element) => {
                let mut each = Range::exactly(1);
                if matches!(**element, Type::String | Type::Bytes) {
                    each = each.plus(self.element_size(target).scaled(TRAVERSAL));
                }
                size.times(each)
            }
            _ => size.scaled(TRAVERSAL),
        }
    }

    fn joined(&mut self, list: &Expr, separator: Option<&Expr>) -> Range {
        let count = self.known(list);
        let size = match self.ty(list) {
            Type::List(_) => count.times(self.element_size(list)),
            _ => Range::ZERO,
        };
        let Some(separator) = separator else { return size };
        let gaps = Range { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
        size.plus(self.known(separator).times(gaps))
    }

    fn fold(&mut self, expr: &'a Expr, fold: &'a Fold) -> Range {
        let mut sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        let (place, size) = (self.place(&fold.init), self.size(&fold.init));
        let entries = self.entries_of(&fold.init);
        let depth = self.locals.len();
        self.locals.push(Local { name: &fold.accu, place, size, entries });
        if fold.is_bind() {
            sum = sum.plus(self.cost(&fold.result));
            let (size, entries) = (self.size(&fold.result), self.entries_of(&fold.result));
            self.locals.truncate(depth);
            self.sizes.extend(size.map(|size| (expr.id, size)));
            self.entries.extend(entries.map(|entries| (expr.id, entries)));
            return sum;
        }
        self.iterate(fold);
        let turn = self.cost(&fold.condition).plus(self.cost(&fold.step));
        self.locals.truncate(depth + 1);
        sum = sum.plus(self.cost(&fold.result));
        self.locals.truncate(depth);
        let count = self.size_or_unknown(&fold.range);
        sum = sum.plus(count.times(turn));
        match &fold.init.kind {
            Kind::Literal(_) => {
                let size = self.size(&fold.init);
                self.sizes.extend(size.map(|size| (expr.id, size)));
            }
            Kind::List(_) | Kind::Map(_) => {
                self.sizes.insert(expr.id, count);
                let entries = self.entries_of(&fold.step);
                self.entries.extend(entries.map(|entries| (expr.id, entries)));
            }
            _ => {}
        }
        sum
    }

    /// Binds the variables of a fold.
    fn iterate(&mut self, fold: &'a Fold) {
        let entries = self.entries_of(&fold.range);
        let list = entries.map_or_else(|| matches!(self.ty(&fold.range), Type::List(_)), |entries| entries.list);
        let nowhere = self.place(&fold.range).is_none();
        let root = self.root.cloned();
        let place = self.place(&fold.range).unwrap_or(Step { decl: None, depth: 0 });
        let element = place.decl.as_ref().and_then(|decl| decl.element());
        // The reference appends both steps to one slice: where that has room, the second overwrites the first.
        let shared = fold.iter2.is_some() && place.depth > 0 && !place.depth.is_power_of_two();
        let inside = |key: bool| -> Place {
            if nowhere {
                return Some(Step { decl: root.clone(), depth: 1 });
            }
            let decl = match element {
                Some(element) if !key || shared => Some(element.clone()),
                Some(_) if !list => Some(KEYS.clone()),
                _ => None,
            };
            Some(place.to(decl))
        };
        let (key, value) = (entries.map(|all| all.key), entries.map(|all| all.value));
        if let Some(second) = &fold.iter2 {
            self.locals.push(Local { name: second, place: inside(false), size: value, entries: None });
        }
        let plain = fold.iter2.is_none() && list;
        let (place, size) = if plain { (inside(false), value) } else { (inside(true), key) };
        self.locals.push(Local { name: &fold.iter, place, size, entries: None });
    }
}

/// The keys of maps: texts of which no length is known, which cel-go's estimator counts as of no size.
static KEYS: std::sync::LazyLock<Arc<Decl>> = std::sync::LazyLock::new(Decl::key);

fn replaced(text: Range, old: Range, new: Range) -> Range {
    let (mut count, mut kept) = (Range::ZERO, Range::ZERO);
    if old.min == 0 {
        (count.max, kept.max) = (text.max.saturating_add(1), text.max);
    } else if new.max <= old.min {
        kept.max = text.max;
    } else {
        count.max = (text.max as f64 / old.min as f64).ceil() as u64;
    }
    if old.max == 0 {
        (count.min, kept.min) = (text.min.saturating_add(1), text.min);
    } else if old.max <= new.min {
        kept.min = text.min;
    } else {
        count.min = (text.min as f64 / old.max as f64).ceil() as u64;
    }
    count.times(new).plus(kept)
}
