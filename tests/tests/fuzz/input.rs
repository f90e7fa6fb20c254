//! Inputs: parts of bytes, made of known ones by changes that know their form, and by changes that know none.

use sampan_testing::Dice;
use serde_json::{Map, Value, json};
use std::ops::Range;

/// What is read: one text, or several that belong together (an object and a patch of it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input(pub Vec<Vec<u8>>);

/// Bytes that an input may have.
pub const INPUT_BYTES_MAX: usize = 64 << 10;

impl Input {
    pub fn one(part: impl Into<Vec<u8>>) -> Self {
        Self(vec![part.into()])
    }

    pub fn part(&self, at: usize) -> &[u8] {
        self.0.get(at).map_or(&[], Vec::as_slice)
    }

    /// A part as text; what is none is replaced.
    pub fn text(&self, at: usize) -> String {
        String::from_utf8_lossy(self.part(at)).into_owned()
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Without these bytes, which are counted through all parts.
    pub fn without(&self, range: Range<usize>) -> Self {
        let mut from = 0;
        let parts = self.0.iter().map(|part| {
            let begin = from;
            from += part.len();
            let kept = part.iter().enumerate().filter(|(at, _)| !range.contains(&(begin + at)));
            kept.map(|(_, byte)| *byte).collect()
        });
        Self(parts.collect())
    }

    pub fn shown(&self, most: usize) -> String {
        let shown = |part: &Vec<u8>| match part.get(..most) {
            Some(first) => format!("  {}... ({} bytes)", first.escape_ascii(), part.len()),
            None => format!("  {}", part.escape_ascii()),
        };
        self.0.iter().map(shown).collect::<Vec<_>>().join("\n")
    }
}

/// One of these.
pub fn pick<'a, T>(dice: &mut Dice, of: &'a [T]) -> &'a T {
    &of[dice.roll(of.len() as u64) as usize]
}

/// So many of these one after the other, none to `most`.
pub fn several(dice: &mut Dice, most: u64, words: &[&str]) -> String {
    (0..dice.roll(most + 1)).map(|_| *pick(dice, words)).collect()
}

fn below(dice: &mut Dice, limit: usize) -> usize {
    dice.roll(limit.max(1) as u64) as usize
}

/// A part of what is so long: most are short.
fn span(dice: &mut Dice, length: usize) -> Range<usize> {
    let from = below(dice, length);
    let most = if dice.one_in(4) { length - from } else { (length - from).min(16) };
    from..from + below(dice, most + 1)
}

/// Texts that mean something to one reader or another.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\u0000",
    "\\ud800",
    "\0",
    "\u{feff}",
    "null",
    "true",
    "-0",
    "1e400",
    "0x1f",
    "9223372036854775808",
    "\n",
    "\r\n",
    "\t",
    "- ",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "? ",
    "|\n",
    "%",
    "%00",
    "%2F",
    "..",
    "/",
    "~0",
    "~1",
    "*",
    "$patch",
    "$setElementOrder/",
    "é",
    "\u{202e}",
    "=",
    "!",
    "(",
    ")",
    "#",
    "'",
    "k8s\0",
];

/// Changes some bytes, as one who knows nothing of what they mean.
pub fn garble(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..1 + dice.roll(3) {
        let at = below(dice, bytes.len() + 1);
        let part = span(dice, bytes.len());
        match dice.roll(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
            1 if at < bytes.len() => bytes[at] = *pick(dice, &[0, 1, 0x7f, 0x80, 0xff, b' ', b'0', b'-']),
            2 => drop(bytes.drain(part)),
            3 => {
                let copy = bytes[part].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.truncate(at),
            5 => {
                let unit = *pick(dice, &["[", "{\"a\":", "(", "!", "a.", "- ", "9", " ", "\u{10}", "{", ",", "/"]);
                let unit = unit.repeat(1 << dice.roll(14));
                bytes.splice(at..at, unit.into_bytes());
            }
            6 => {
                let noise: Vec<u8> = (0..1 + dice.roll(12)).map(|_| dice.next_u64() as u8).collect();
                bytes.splice(at..at, noise);
            }
            _ => drop(bytes.splice(at..at, pick(dice, WORDS).bytes())),
        }
        bytes.truncate(INPUT_BYTES_MAX);
    }
}

/// A text that is garbled once in so many times.
pub fn sometimes_garbled(dice: &mut Dice, of: u64, text: String) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    if dice.one_in(of) {
        garble(dice, &mut bytes);
    }
    bytes
}

/// Values at which readers of scalars go wrong.
fn odd(dice: &mut Dice) -> Value {
    let all = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1.5),
        json!(1e300),
        json!(-0.0),
        json!(""),
        json!("a"),
        json!("\u{0}"),
        json!("é\u{1F600}"),
        json!("-1"),
        json!("1e9"),
        json!("100000000000000000000Ei"),
        json!("2026-02-30T25:61:61Z"),
        json!("9999-12-31T23:59:59.999999999+14:00"),
        json!("::1"),
        json!("10.0.0.0/33"),
        json!("300%"),
        json!("h\u{202e}x"),
        json!([]),
        json!({}),
        json!([null]),
        json!({"": ""}),
        json!([[]]),
        json!("999999999h"),
        json!("=="),
        json!("LS0tLS1CRUdJTg=="),
    ];
    pick(dice, &all).clone()
}

/// How many nodes a tree has, itself among them.
fn nodes(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(nodes).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(nodes).sum::<usize>(),
        _ => 1,
    }
}

/// The node of that number; the tree itself is the first.
fn node(value: &mut Value, mut number: usize) -> &mut Value {
    let is_within = |inner: &Value, number: &mut usize| {
        let size = nodes(inner);
        let within = *number < size;
        if !within {
            *number -= size;
        }
        within
    };
    if number == 0 || !(value.is_array() || value.is_object()) {
        return value;
    }
    number -= 1;
    match value {
        Value::Array(list) => {
            let at = list.iter().position(|inner| is_within(inner, &mut number)).expect("it has so many");
            node(&mut list[at], number)
        }
        Value::Object(map) => {
            let inner = map.values_mut().find(|inner| is_within(inner, &mut number)).expect("it has so many");
            node(inner, number)
        }
        leaf => leaf,
    }
}

/// The value within so many lists or objects.
fn deep(value: Value, levels: usize) -> Value {
    (0..levels).fold(value, |inner, level| if level % 3 == 0 { json!({"a": inner}) } else { json!([inner]) })
}

/// Changes some nodes of a tree. `other`: a tree whose parts may take their place.
pub fn bend(dice: &mut Dice, tree: &mut Value, other: &Value) {
    for _ in 0..dice.roll(4) {
        let (count, others) = (nodes(tree), nodes(other));
        let mut other = other.clone();
        let graft = node(&mut other, below(dice, others)).take();
        let at = below(dice, count);
        bend_node(dice, node(tree, at), graft);
    }
}

fn bend_node(dice: &mut Dice, place: &mut Value, graft: Value) {
    match (&mut *place, dice.roll(8)) {
        (_, 0) => *place = odd(dice),
        (_, 1) => *place = graft,
        (_, 2) if dice.one_in(4) => *place = deep(place.take(), below(dice, 140)),
        (Value::Array(list), 3) if !list.is_empty() => {
            let copy = list[below(dice, list.len())].clone();
            let times = if dice.one_in(4) { 200 } else { 1 };
            list.extend(std::iter::repeat_n(copy, times));
        }
        (Value::Array(list), 4) if !list.is_empty() => drop(list.remove(below(dice, list.len()))),
        (Value::Array(list), _) => list.insert(below(dice, list.len() + 1), graft),
        (Value::Object(map), which) => bend_map(dice, map, which, graft),
        (Value::String(text), 3..=5) => {
            let mut bytes = std::mem::take(text).into_bytes();
            garble(dice, &mut bytes);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        (Value::Number(number), _) => {
            let near = number.as_i64().unwrap_or(0);
            *place = pick(dice, &[near.wrapping_neg(), near.wrapping_add(1), near.wrapping_mul(1 << 31), 0])
                .to_owned()
                .into();
        }
        _ => *place = odd(dice),
    }
}

fn bend_map(dice: &mut Dice, map: &mut Map<String, Value>, which: u64, graft: Value) {
    let names: Vec<String> = map.keys().cloned().collect();
    if names.is_empty() {
        map.insert(several(dice, 2, WORDS), graft);
        return;
    }
    let name = pick(dice, &names).clone();
    match which {
        3 => drop(map.remove(&name)),
        4 => {
            let value = map.remove(&name).unwrap_or_default();
            map.insert(format!("{name}{}", pick(dice, WORDS)), value);
        }
        5 => {
            let value = map[&name].clone();
            map.extend((0..1 + dice.roll(100)).map(|at| (format!("{name}{at}"), value.clone())));
        }
        6 => {
            let other = pick(dice, &names).clone();
            let value = map[&name].clone();
            map.insert(other, value);
        }
        _ => drop(map.insert(name, odd(dice))),
    }
}

/// A tree that is bent, as JSON that is garbled once in four times.
pub fn bent(dice: &mut Dice, mut tree: Value, other: &Value) -> Vec<u8> {
    bend(dice, &mut tree, other);
    let mut text = tree.to_string();
    text.truncate(text.floor_char_boundary(INPUT_BYTES_MAX));
    sometimes_garbled(dice, 4, text)
}
