//! Short texts with a grammar: selectors, amounts, names, times, paths, patterns, token files.

use crate::corpus::object;
use crate::input::{Input, garble, pick, several};
use crate::target::{Bound, LINEAR, Target, Verdict};
use sampan_api::field::Path;
use sampan_api::jsonpath::JsonPath;
use sampan_api::quantity::{Format, Quantity};
use sampan_api::time::{Fraction, UnixTime};
use sampan_api::{FieldSelector, LabelSelector, names, percent};
use sampan_auth::tokens::StaticTokens;
use sampan_schema::{parse_duration, pattern};
use sampan_testing::Dice;
use serde_json::Value;

/// A text of these words, garbled half the time.
fn worded(dice: &mut Dice, most: u64, words: &[&str]) -> Input {
    let mut text = several(dice, most, words).into_bytes();
    if dice.one_in(3) {
        garble(dice, &mut text);
    }
    Input::one(text)
}

/// Words that are at most some bytes long are read into little.
const SHORT: Bound = Bound { held: 64 << 10, held_a_byte: 300, turnover: 12 };

pub const LABEL_SELECTOR: Target<'_> = Target {
    name: "label selector",
    cases: 2_000,
    input: &|dice| {
        let words = [
            "a",
            "app",
            "example.com/b",
            "=",
            "==",
            "!=",
            "!",
            " in ",
            " notin ",
            "(x, y)",
            "(",
            ")",
            ",",
            "x",
            ">",
            "<",
            "1",
            " ",
            "a=b",
            "a in (b)",
            ",!c",
            "a>1",
        ];
        worded(dice, 5, &words)
    },
    read: &|input| {
        let Ok(selector) = LabelSelector::parse(&input.text(0)) else { return Verdict::Refused };
        let again = LabelSelector::parse(&selector.to_string()).expect("what is printed is read");
        for value in [None, Some(""), Some("x"), Some("1"), Some("99999999999999999999")] {
            assert_eq!(selector.matches(|_| value), again.matches(|_| value), "{selector} is not {again}");
        }
        Verdict::Taken
    },
    bound: SHORT,
};

pub const FIELD_SELECTOR: Target<'_> = Target {
    name: "field selector",
    cases: 2_000,
    input: &|dice| {
        let words = ["metadata.name", "a", "=", "==", "!=", ",", "\\", "\\,", "\\=", "x", " ", "!", "a=b"];
        worded(dice, 6, &words)
    },
    read: &|input| {
        let Ok(selector) = FieldSelector::parse(&input.text(0)) else { return Verdict::Refused };
        let again = FieldSelector::parse(&selector.to_string()).expect("what is printed is read");
        // Terms come in the order of their texts, of which `a==b` and `a=b` are two.
        let terms = |of: &FieldSelector| {
            let mut all: Vec<String> = of.requirements.iter().map(|term| format!("{term:?}")).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(terms(&selector), terms(&again), "printed and read again it is another");
        let _ = (selector.matches(|_| Some("x")), selector.required_value("metadata.name"));
        Verdict::Taken
    },
    bound: SHORT,
};

/// Selectors as objects hold them.
pub const STRUCTURED_SELECTOR: Target<'_> = Target {
    name: "structured selector",
    cases: 1_000,
    input: &|dice| {
        let operator = *pick(dice, &["In", "NotIn", "Exists", "DoesNotExist", "Gt"]);
        let tree = serde_json::json!({
            "matchLabels": {"app": several(dice, 2, &["a", "-", "x_1"])},
            "matchExpressions": [{"key": several(dice, 2, &["a", "b/", "c"]), "operator": operator, "values": ["x"]}],
        });
        let other = object(dice);
        Input::one(crate::input::bent(dice, tree, other))
    },
    read: &|input| {
        let Ok(tree) = serde_json::from_slice::<Value>(input.part(0)) else { return Verdict::Refused };
        let read = LabelSelector::from_v1(&tree, &Path::new("spec"));
        if let Ok(selector) = &read {
            let _ = (selector.matches(|_| Some("x")), selector.to_string());
        }
        Verdict::of(&read)
    },
    bound: LINEAR,
};

pub const QUANTITY: Target<'_> = Target {
    name: "quantity",
    cases: 3_000,
    input: &|dice| {
        let words = [
            "0", "1", "9", "99999999", ".", "-", "+", "e", "E", "Ki", "m", "n", "u", "k", "Ei", "e-9", "e9", "E18",
            "1", "5",
        ];
        worded(dice, 5, &words)
    },
    read: &|input| {
        let text = input.text(0);
        let Ok(amount) = text.parse::<Quantity>() else { return Verdict::Refused };
        let shown = Quantity::shown(&text).expect("what is read is shown");
        for text in [&amount.to_string(), &shown] {
            let again: Quantity = text.parse().expect("what is printed is read");
            assert_eq!(again.cmp(&amount), std::cmp::Ordering::Equal, "{text} is another amount");
        }
        let _ = (amount.value(), amount.milli_value(), amount.rounded_to_millis(), amount.rounded_to_units());
        let other = Quantity::from_millis(i64::MIN, Format::BinarySi);
        let _ = (amount.plus(other).to_string(), other.minus(amount).to_string(), amount.plus(amount).to_string());
        Verdict::Taken
    },
    bound: SHORT,
};

pub const NAMES: Target<'_> = Target {
    name: "names",
    cases: 2_000,
    input: &|dice| {
        worded(dice, 6, &["a", "b1", "-", ".", "/", "A", "_", "é", "0", "urn:uuid:", "web", "0123456789abcdef"])
    },
    read: &|input| {
        let text = input.text(0);
        let checks = [
            names::dns1123_label,
            names::dns1123_subdomain,
            names::dns1035_label,
            names::path_segment,
            names::qualified_name,
            names::label_value,
            names::env_var_name,
            names::config_map_key,
            names::port_name,
        ];
        let free = checks.iter().filter(|check| check(&text).is_empty()).count();
        let _ = names::uuid_error(&text);
        assert_eq!(percent::decode(&percent::encode(&text)).as_deref(), Some(text.as_str()), "encoded and decoded");
        let _ = (percent::decode(&text), percent::decode_query(&text));
        // A label is a subdomain too.
        assert!(!names::dns1123_label(&text).is_empty() || names::dns1123_subdomain(&text).is_empty());
        if free > 2 { Verdict::Taken } else { Verdict::Refused }
    },
    bound: SHORT,
};

pub const TIMES: Target<'_> = Target {
    name: "times",
    cases: 2_000,
    input: &|dice| {
        let words = [
            "2026-01-02T03:04:05",
            "Z",
            ".5",
            ".123456789",
            "+02:00",
            "-14:00",
            "0000-01-01T00:00:00",
            "9999-12-31T23:59:60",
            "1h",
            "30m",
            "1.5s",
            "100ms",
            "-",
            "µs",
            "9223372036854775807ns",
            "2026-02-29",
            "T",
            "0",
        ];
        worded(dice, 3, &words)
    },
    read: &|input| {
        let text = input.text(0);
        let mut read = false;
        for fraction in [Fraction::Any, Fraction::Micros] {
            let Ok(time) = UnixTime::parse(&text, fraction) else { continue };
            read = true;
            let again = UnixTime::parse(&time.rfc3339(), Fraction::Any).expect("what is printed is read");
            assert_eq!(again.seconds(), time.seconds(), "another second");
            let again = UnixTime::parse(&time.rfc3339_micro(), Fraction::Micros).expect("what is printed is read");
            assert_eq!((again.seconds(), again.nanos() / 1000), (time.seconds(), time.nanos() / 1000), "another time");
        }
        read |= parse_duration(&text).is_ok();
        let _ = sampan_api::time::parse(&text);
        if read { Verdict::Taken } else { Verdict::Refused }
    },
    bound: SHORT,
};

/// Columns and selectable fields over an object.
pub const JSON_PATH: Target<'_> = Target {
    name: "jsonpath",
    cases: 2_000,
    input: &|dice| {
        let words = [
            ".metadata",
            ".name",
            ".spec",
            "..name",
            "[*]",
            ".*",
            "[0]",
            "[-1]",
            "[1:2]",
            "[::-1]",
            "[?(@.type==\"Ready\")]",
            "['a.b']",
            ".status.conditions",
            "[?(@.a)]",
            "[?(@.x>1)]",
            "$",
            "{",
            "}",
            "..",
            "\\.",
            "[?(@..name=='a')]",
        ];
        let Input(mut parts) = worded(dice, 5, &words);
        parts.push(object(dice).to_string().into_bytes());
        Input(parts)
    },
    read: &|input| {
        let (text, tree) = (input.text(0), serde_json::from_slice::<Value>(input.part(1)).unwrap_or_default());
        let Ok(path) = JsonPath::parse(&text) else { return Verdict::Refused };
        let _ = (path.find(&tree).len(), path.fields().map(|fields| fields.len()));
        Verdict::Taken
    },
    bound: LINEAR,
};

/// Patterns of definitions, over texts.
pub const PATTERN: Target<'_> = Target {
    name: "pattern",
    cases: 800,
    input: &|dice| {
        let words = [
            "^",
            "$",
            "a",
            "(",
            ")",
            "[a-z",
            "]",
            "*",
            "+",
            "?",
            "{2,1000}",
            "{",
            "|",
            "\\d",
            "\\pL",
            "(?i)",
            "(?P<n>",
            "[^",
            "\\x{10FFFF}",
            ".",
            "\\b",
            "[[:alpha:]]",
            "&&",
            "(a*)*",
            "x{500}",
        ];
        worded(dice, 6, &words)
    },
    read: &|input| {
        let compiled = pattern::compile(&input.text(0));
        if let Ok(pattern) = &compiled {
            let _ = pattern.is_match(&"ab1-é".repeat(200));
        }
        Verdict::of(&compiled)
    },
    // A pattern's program has a limit of its own.
    bound: Bound { held: 16 << 20, held_a_byte: 2_000, turnover: 12 },
};

pub const TOKEN_FILE: Target<'_> = Target {
    name: "token file",
    cases: 1_000,
    input: &|dice| {
        worded(dice, 12, &["token", ",", "user", ",uid", "\n", "\"a,b\"", "\"", " ", "t,u,1,\"g1,g2\"\n", "t,u,i\n"])
    },
    read: &|input| Verdict::of(&StaticTokens::parse(&input.text(0))),
    bound: LINEAR,
};
