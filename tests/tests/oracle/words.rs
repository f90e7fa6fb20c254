//! Amounts, selectors and names.

use crate::{Compared, Known};
use sampan_api::names;
use sampan_api::quantity::Quantity;
use sampan_api::selector::{FieldSelector, LabelSelector};
use sampan_testing::Dice;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One of these.
fn pick<'a>(dice: &mut Dice, words: &[&'a str]) -> &'a str {
    words[dice.roll(words.len() as u64) as usize]
}

/// So many of these, one after the other.
fn several(dice: &mut Dice, most: u64, words: &[&str]) -> String {
    (0..dice.roll(most + 1)).map(|_| pick(dice, words)).collect()
}

const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "00", "99"];
const SUFFIXES: &[&str] = &[
    "", "", "m", "u", "n", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E3", "e-3", "e+2",
    "e9", "e18", "e-12", "kk", "e", "i", "x", "e1e", " ", "Ei1", "_",
];

pub const QUANTITY: Compared = Compared {
    of: "quantity",
    input: |dice| {
        let sign = pick(dice, &["", "", "", "+", "-", "--"]);
        let whole = several(dice, 7, DIGITS);
        let rest = if dice.one_in(3) { format!(".{}", several(dice, 6, DIGITS)) } else { String::new() };
        let twice = pick(dice, &["", "", "", "", ".", ".5", " "]);
        json!(format!("{sign}{whole}{rest}{twice}{}", pick(dice, SUFFIXES)))
    },
    ours: |input| {
        let text = input.as_str().unwrap_or_default();
        let shown = Quantity::shown(text).map_err(|error| error.to_string())?;
        let quantity: Quantity =
            text.parse().map_err(|error: sampan_api::quantity::QuantityError| error.to_string())?;
        Ok(json!([shown, quantity.value(), quantity.milli_value()]))
    },
    errors: &["quantities must match", "unable to parse numeric part", "unable to parse quantity's suffix"],
    known: &[
        Known {
            why: "numbers beyond an int64, and negative ones that Go holds in a big decimal, come out of its Value as other \
                  numbers (apimachinery, resource/quantity.go: ScaledValue); ours are the nearest",
            is: |input, ours, theirs| {
                let negative = input.as_str().is_some_and(|text| text.starts_with('-'));
                let largest = |value: &Value| value == i64::MAX || value == i64::MIN;
                let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return false };
                let agrees = |at: usize| ours[at] == theirs[at] || negative || largest(&ours[at]);
                ours[0] == theirs[0] && agrees(1) && agrees(2)
            },
        },
        Known {
            why: "Go shows an amount of more than 999 E without its suffix (apimachinery, resource/suffix.go); ours keeps it",
            is: |_, ours, theirs| {
                let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return false };
                let shown =
                    |answer: &Value| answer[0].as_str().unwrap_or_default().trim_end_matches(['0', 'E']).to_owned();
                shown(ours) == shown(theirs) && (ours[1] == i64::MAX || ours[1] == i64::MIN)
            },
        },
    ],
    ..Compared::NOTHING
};

const KEYS: &[&str] = &["a", "b", "app", "example.com/tier", "A-b.c_d", "a/b/c", "-a", "", "in", "notin", "x y"];
const VALUES: &[&str] = &["x", "y", "", "v1", "a-b", "-", "1", "in", "5", "0x5", "é", "a.b", "=", "longer_value"];

fn term(dice: &mut Dice) -> String {
    let odd = dice.one_in(4);
    let key = pick(dice, if odd { KEYS } else { &KEYS[..5] });
    let space = pick(dice, &["", "", " ", "  "]);
    let value = pick(dice, if odd { VALUES } else { &VALUES[..5] });
    match dice.roll(if odd { 10 } else { 4 }) {
        0 => key.to_owned(),
        1 => format!("!{space}{key}"),
        2 => format!("{key} in{space}({value},{space}{})", pick(dice, &VALUES[..5])),
        3 => format!("{key}{space}{}{space}{value}", pick(dice, &["=", "==", "!="])),
        7 => format!("{key} notin ({value})"),
        4 => format!(
            "{key}{space}{}{space}{}",
            pick(dice, &[">", "<"]),
            pick(dice, &["5", "x", "-1", "99999999999999999999"])
        ),
        5 => format!("{key} {} {value}", pick(dice, &["in", "exists", "=<", "!", "=="])),
        6 => format!("{key} in {}{value}{}", pick(dice, &["(", "((", ""]), pick(dice, &[")", "", ",)"])),
        _ => format!("{key}{space}{}{space}{value}", pick(dice, &["=", "==", "!=", "="])),
    }
}

pub const LABEL_SELECTOR: Compared = Compared {
    of: "label-selector",
    input: |dice| {
        let terms: Vec<String> = (0..1 + dice.roll(3)).map(|_| term(dice)).collect();
        let text = format!("{}{}", terms.join(pick(dice, &[",", ",", ", ", ",,"])), pick(dice, &["", "", "", "", ","]));
        let set = |dice: &mut Dice| -> BTreeMap<&str, &str> {
            (0..dice.roll(4)).map(|_| (pick(dice, KEYS), pick(dice, VALUES))).collect()
        };
        let sets: Vec<_> = (0..6).map(|_| set(dice)).collect();
        json!({"text": text, "sets": sets})
    },
    ours: |input| {
        let selector =
            LabelSelector::parse(input["text"].as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
        let matches = |set: &Value| {
            let of = |key: &str| set.get(key).and_then(Value::as_str);
            selector.matches(of)
        };
        Ok(input["sets"].as_array().into_iter().flatten().map(matches).collect())
    },
    errors: &["found ','", "unable to parse requirement", "expected", "for 'Gt', 'Lt' operators"],
    known: &[],
    ..Compared::NOTHING
};

pub const FIELD_SELECTOR: Compared = Compared {
    of: "field-selector",
    input: |dice| {
        let field = |dice: &mut Dice| pick(dice, &["metadata.name", "spec.nodeName", "a", "", "x\\=y", "b c"]);
        let value = |dice: &mut Dice| several(dice, 3, &["x", "y", "\\\\", "\\,", "\\=", "\\", "=", "1", " ", "!"]);
        let term =
            |dice: &mut Dice| format!("{}{}{}", field(dice), pick(dice, &["=", "==", "!=", "=", "", "!"]), value(dice));
        let terms: Vec<String> = (0..dice.roll(4)).map(|_| term(dice)).collect();
        json!(terms.join(","))
    },
    ours: |input| {
        let selector = FieldSelector::parse(input.as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
        let terms = selector.requirements.iter();
        Ok(terms.map(|one| json!([one.field, if one.equal { "=" } else { "!=" }, one.value])).collect())
    },
    errors: &["can't understand", "invalid field selector"],
    known: &[],
    ..Compared::NOTHING
};

/// A rule, and what it says of a name.
type Rule = (&'static str, fn(&str) -> Vec<String>);

const RULES: &[Rule] = &[
    ("dns1123-label", names::dns1123_label),
    ("dns1123-subdomain", names::dns1123_subdomain),
    ("dns1035-label", names::dns1035_label),
    ("path-segment", names::path_segment),
    ("qualified-name", names::qualified_name),
    ("label-value", names::label_value),
    ("env-var", names::env_var_name),
    ("config-map-key", names::config_map_key),
    ("port-name", names::port_name),
];

pub const NAME: Compared = Compared {
    of: "name",
    input: |dice| {
        let (rule, _) = RULES[dice.roll(RULES.len() as u64) as usize];
        let letters = ["a", "b", "z", "0", "9", "x1", "web", "a-b", "a"];
        let odd = ["A", "-", ".", "_", "/", "é", " ", "..", "--", "=", "%", "\n", "name"];
        let long = if dice.one_in(8) {
            "a".repeat(pick(dice, &["15", "16", "63", "64", "253", "254"]).parse().unwrap_or(0))
        } else {
            String::new()
        };
        let mut name = several(dice, 4, &letters);
        if dice.one_in(2) {
            name = format!("{name}{}{}", pick(dice, &odd), several(dice, 3, &letters));
        }
        json!([rule, name + &long])
    },
    ours: |input| {
        let (rule, name) = (input[0].as_str().unwrap_or_default(), input[1].as_str().unwrap_or_default());
        let wrong = RULES.iter().find(|one| one.0 == rule).map(|one| one.1(name)).unwrap_or_default();
        if wrong.is_empty() { Ok(json!("")) } else { Err(wrong.join("; ")) }
    },
    errors: &[
        "must be no more than 63",
        "must be no more than 253",
        "must not contain",
        "DNS-1035",
        "RFC 1123",
        "at least one letter",
    ],
    known: &[],
    ..Compared::NOTHING
};
