//! Tables: columns and most cells are data (`control/schema/data/columns`, a file a group); a cell that a path cannot
//! name is a function in the kind's own file.
//!
//! A column's `cell` is one of
//! - `.a.b`: the value there; absent (or an empty text) is the column's `or`, else the zero of its type;
//! - `age .a.b`: the time since, in words; `text .a.b`: the value as text;
//! - `count .a .b`: how many entries these hold together;
//! - `join .a`: a list of texts with commas; `each .a name`: one field of each item of a list;
//! - `labels .a`: a map as `k=v,...`; `selector .a`: a label selector as text;
//! - `ratio .a .b`: two numbers as `a/b`;
//! - `fn name`: the function of that name that the row was given.

use crate::resource::{Column, Columns, Name, Resource};
use sampan_api::object::Object;
use sampan_api::outline::Outline;
use sampan_api::time;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A cell that is computed: the object in the row's version, and now.
pub(super) type Cell = fn(&Object, SystemTime) -> Value;

/// Text for a time that is not set.
const UNKNOWN: &str = "<unknown>";
const NONE: &str = "<none>";

/// Gives the row the columns that the data has for it.
pub(super) trait Tabled {
    /// `functions`: what the data's `fn name` cells name. Panics where the data has no columns for the row, or ones that
    /// cannot be read: both are parts of the same build.
    fn table(self, functions: &'static [(&'static str, Cell)]) -> Self;
}

impl Tabled for Resource {
    fn table(self, functions: &'static [(&'static str, Cell)]) -> Self {
        let loaded = load(&self, functions);
        let (columns, plan) = loaded.unwrap_or_else(|| panic!("{self:?} has no columns that can be read"));
        let reads = part(&plan);
        let cells = move |object: &Object, now: SystemTime| {
            plan.iter().map(|(source, absent)| source.cell(object, now, absent)).collect()
        };
        self.columns(Columns::new(columns, cells).reading(reads))
    }
}

/// The part of an object that its cells are made of. Functions read everything.
fn part(plan: &Plan) -> Outline {
    let mut part = Outline::default();
    for (source, _) in plan {
        match source {
            Source::Value(way)
            | Source::Text(way)
            | Source::Age(way)
            | Source::Join(way)
            | Source::Each(way, _)
            | Source::Labels(way)
            | Source::Selector(way) => part.add(way.steps(), Outline::Whole),
            Source::Count(ways) => ways.iter().for_each(|way| part.add(way.steps(), Outline::Names)),
            Source::Ratio(first, second) => {
                [first, second].into_iter().for_each(|way| part.add(way.steps(), Outline::Whole))
            }
            Source::Function(_) => return Outline::Whole,
        }
    }
    part
}

/// The source of each cell, and the text where it has nothing.
type Plan = Vec<(Source, Value)>;

enum Source {
    Value(Way),
    Text(Way),
    Age(Way),
    Count(Vec<Way>),
    Join(Way),
    Each(Way, String),
    Labels(Way),
    Selector(Way),
    Ratio(Way, Way),
    Function(Cell),
}

struct Way(Vec<String>);

impl Way {
    fn parse(text: &str) -> Self {
        Self(text.split('.').skip(1).map(str::to_owned).collect())
    }

    fn steps(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn find<'a>(&self, object: &'a Object) -> Option<&'a Value> {
        let mut value = object.get(&[self.0.first()?.as_str()])?;
        for step in &self.0[1..] {
            value = value.get(step.as_str())?;
        }
        if value.is_null() { None } else { Some(value) }
    }
}

/// `None` where the data has no columns for the row, or does not parse.
fn load(row: &Resource, functions: &'static [(&'static str, Cell)]) -> Option<(Arc<[Column]>, Plan)> {
    let data: Value = serde_json::from_str(sampan_schema::columns::of_group(&row.group)?).ok()?;
    let shared: Value = serde_json::from_str(sampan_schema::columns::descriptions()?).ok()?;
    let columns = data.get(row.resource.as_ref()).or_else(|| data.get(format!("{}/{}", row.version, row.resource)))?;
    let mut definitions = Vec::new();
    let mut plan = Vec::new();
    for column in columns.as_array()? {
        let field = |name: &str| column.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let description = field("description");
        let description = shared.get(&description).and_then(Value::as_str).map_or(description.clone(), str::to_owned);
        let type_ = field("type");
        let absent = column.get("or").cloned().unwrap_or_else(|| match type_.as_str() {
            "integer" => Value::from(0),
            "boolean" => Value::from(false),
            _ => Value::from(""),
        });
        plan.push((source(&field("cell"), functions)?, absent));
        definitions.push(Column {
            name: Name::Owned(field("name")),
            type_: Name::Owned(type_),
            format: Name::Owned(field("format")),
            description: Name::Owned(description),
            priority: column.get("priority").and_then(Value::as_i64).and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
        });
    }
    Some((definitions.into(), plan))
}

fn source(cell: &str, functions: &'static [(&'static str, Cell)]) -> Option<Source> {
    if cell.starts_with('.') {
        return Some(Source::Value(Way::parse(cell)));
    }
    let (form, rest) = cell.split_once(' ')?;
    let mut words = rest.split(' ');
    let mut way = || words.next().map(Way::parse);
    Some(match form {
        "text" => Source::Text(way()?),
        "age" => Source::Age(way()?),
        "count" => Source::Count(rest.split(' ').map(Way::parse).collect()),
        "join" => Source::Join(way()?),
        "each" => Source::Each(way()?, rest.split(' ').nth(1)?.to_owned()),
        "labels" => Source::Labels(way()?),
        "selector" => Source::Selector(way()?),
        "ratio" => Source::Ratio(way()?, way()?),
        "fn" => Source::Function(functions.iter().find(|(name, _)| *name == rest)?.1),
        _ => return None,
    })
}

impl Source {
    fn cell(&self, object: &Object, now: SystemTime, absent: &Value) -> Value {
        match self {
            Self::Value(way) => match way.find(object) {
                None => absent.clone(),
                Some(Value::String(text)) if text.is_empty() => absent.clone(),
                Some(value) => value.clone(),
            },
            Self::Text(way) => way.find(object).map_or_else(|| absent.clone(), |value| plain(value).into()),
            Self::Age(way) => match way.find(object).and_then(Value::as_str) {
                Some(text) => age(text, now).into(),
                None if absent.as_str() == Some("") => UNKNOWN.into(),
                None => absent.clone(),
            },
            Self::Count(ways) => {
                let entries = |way: &Way| match way.find(object) {
                    Some(Value::Array(list)) => list.len(),
                    Some(Value::Object(map)) => map.len(),
                    _ => 0,
                };
                ways.iter().map(entries).sum::<usize>().into()
            }
            Self::Join(way) => {
                let text = joined(way.find(object), plain);
                if text.is_empty() { absent.clone() } else { text.into() }
            }
            Self::Each(way, field) => match way.find(object) {
                None => absent.clone(),
                list => joined(list, |item| item.get(field).map(plain).unwrap_or_default()).into(),
            },
            Self::Labels(way) => labels(way.find(object)).into(),
            Self::Selector(way) => selector(way.find(object)).into(),
            Self::Ratio(first, second) => {
                let number = |way: &Way| way.find(object).and_then(Value::as_i64).unwrap_or(0);
                format!("{}/{}", number(first), number(second)).into()
            }
            Self::Function(function) => function(object, now),
        }
    }
}

/// A value as a word: strings without quotes.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn joined(list: Option<&Value>, word: impl Fn(&Value) -> String) -> String {
    list.and_then(Value::as_array).into_iter().flatten().map(word).collect::<Vec<_>>().join(",")
}

/// `labels.FormatLabels`: sorted by key.
pub(super) fn labels(map: Option<&Value>) -> String {
    match map.and_then(Value::as_object) {
        Some(map) if !map.is_empty() => {
            let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
            pairs.join(",")
        }
        _ => NONE.to_owned(),
    }
}

/// `metav1.FormatLabelSelector`: the requirements sorted by key, as the query language writes them.
pub(super) fn selector(selector: Option<&Value>) -> String {
    let text = selector_text(selector);
    if text.is_empty() { NONE.to_owned() } else { text }
}

/// The selector as text; `""` for a selector of everything.
pub(super) fn selector_text(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return String::new() };
    let mut requirements: Vec<(String, String)> = Vec::new();
    for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        requirements.push((key.clone(), format!("{key}={}", plain(value))));
    }
    for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or("");
        let key = field("key");
        let mut values: Vec<&str> = expression
            .get("values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let text = match field("operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".to_owned(),
        };
        requirements.push((key.to_owned(), text));
    }
    requirements.sort_by(|a, b| a.0.cmp(&b.0));
    requirements.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

/// The time since `since` (RFC 3339, with or without fractions) in words; `<unknown>` where it is not set.
pub fn age(since: &str, now: SystemTime) -> String {
    match time::parse(since) {
        Some(since) => human_duration(seconds_between(since, now)),
        None => UNKNOWN.to_owned(),
    }
}

/// Whole seconds from `from` to `to`, towards zero.
pub(super) fn seconds_between(from: SystemTime, to: SystemTime) -> i64 {
    match to.duration_since(from) {
        Ok(passed) => i64::try_from(passed.as_secs()).unwrap_or(i64::MAX),
        Err(ahead) => -i64::try_from(ahead.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

/// `duration.HumanDuration`; two seconds ahead are taken for a clock's disagreement.
pub(super) fn human_duration(seconds: i64) -> String {
    match u64::try_from(seconds) {
        Ok(seconds) => time::human_duration(Duration::from_secs(seconds)),
        Err(_) if seconds == -1 => "0s".to_owned(),
        Err(_) => "<invalid>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_slightly_ahead_is_now() {
        let check = |seconds, text: &str| assert_eq!(human_duration(seconds), text, "{seconds}");
        check(-2, "<invalid>");
        check(-1, "0s");
        check(125, "2m5s");
    }

    #[test]
    fn selectors_read_as_queries() {
        let check = |selector: Value, text: &str| assert_eq!(super::selector(Some(&selector)), text);
        check(json!({}), "<none>");
        check(
            json!({"matchLabels": {"b": "1"}, "matchExpressions": [
                {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "DoesNotExist"}]}),
            "a in (x,y),b=1,!c",
        );
    }
}
