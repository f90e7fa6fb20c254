//! Expressions in CEL, made by chance of those that Kubernetes' own environment was asked for
//! (`tests/tests/oracle/cel`), and the schema and the data that they are about.

use sampan_testing::Dice;
use serde_json::Value;
use std::sync::LazyLock;

fn file(name: &str) -> String {
    let path = crate::root().join("tests/tests/oracle/cel").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The recorded ones.
pub static RECORDED: LazyLock<Vec<String>> =
    LazyLock::new(|| file("cases.txt").lines().map(|line| line.replace("\\n", "\n")).collect());

/// The schema, and an object of it: `self`, and `dynamic` without the schema.
pub static ABOUT: LazyLock<(Value, Value)> = LazyLock::new(|| {
    let read = |name: &str| serde_json::from_str(&file(name)).expect("JSON");
    (read("schema.json"), read("data.json"))
});

/// Two expressions, A and B, as one.
const FORMS: &[&str] = &[
    "A && B",
    "A == B",
    "A ? B : A",
    "[A, B]",
    "[A].map(i, B)",
    "{A: B}",
    "A + B",
    "(A).size() > (B).size()",
    "A in [B]",
    "optional.of(A).orValue(B)",
    "[A, B].exists(x, x == A)",
    "string(A) + string(B)",
    "[[A, B]].all(l, l.all(m, m == B))",
    "dyn(A) == dyn(B)",
    "cel.bind(x, A, x == B)",
    "!(A) || B",
    "-(A) < B",
    "(A).B",
];

fn recorded(dice: &mut Dice) -> &'static str {
    &RECORDED[dice.roll(RECORDED.len() as u64) as usize]
}

/// A recorded one, or some put together; of most that are put together the types do not fit.
pub fn any(dice: &mut Dice) -> String {
    let mut text = recorded(dice).to_owned();
    for _ in 0..[0, 0, 1, 2][dice.roll(4) as usize] {
        let form = FORMS[dice.roll(FORMS.len() as u64) as usize];
        let other = recorded(dice);
        let parts = form.split_inclusive(['A', 'B']).map(|part| match part.as_bytes().last() {
            Some(b'A') => part[..part.len() - 1].to_owned() + &text,
            Some(b'B') => part[..part.len() - 1].to_owned() + other,
            _ => part.to_owned(),
        });
        text = parts.collect();
    }
    text
}
