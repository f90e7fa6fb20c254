//! Two answers to one request: where they differ, and of which class each difference is.

use regex::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::normal::Normal;
use sampan_tests::exchange::Answer;

/// Headers that are compared.
const HEADERS: [&str; 6] = ["content-type", "warning", "location", "allow", "retry-after", "cache-control"];
/// Characters of a text that name a class.
const CLASS_CHARS_MAX: usize = 240;

static QUOTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""(?:[^"\\]|\\.)*"|[0-9]+"#).unwrap_or_else(|error| panic!("{error}")));
/// A value of several members in a message: Go prints its own structs, and members in their order.
static OBJECT: LazyLock<Regex> = LazyLock::new(|| {
    let text = r#"(?s)((?:Invalid|Unsupported|Duplicate) value: )(?:\{.*?\}|"\{.*\}\n?"|\[.*?\]|"object \(.*?\}\)")(: |\z|, )"#;
    Regex::new(text).unwrap_or_else(|error| panic!("{error}"))
});
static INDEX: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[[^\]]*\]").unwrap_or_else(|error| panic!("{error}")));

/// One difference.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What it has in common with others of its cause.
    pub class: String,
    /// The two values.
    pub detail: String,
}

/// An answer without what differs between any two servers.
#[derive(Debug)]
pub struct Plain {
    pub code: u16,
    headers: Vec<(&'static str, BTreeSet<String>)>,
    pub body: Value,
}

impl Plain {
    pub fn new(normal: &mut Normal, answer: &Answer) -> Self {
        let text = String::from_utf8_lossy(&answer.body);
        let body = match serde_json::from_slice::<Value>(&answer.body) {
            Ok(value) => normal.value(&value),
            Err(_) => Value::String(normal.text(&text)),
        };
        let values = |name: &str| {
            let values = answer.headers.get_all(name).iter();
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>()
        };
        let headers = HEADERS.map(|name| (name, values(name).iter().map(|value| normal.text(value)).collect()));
        Self { code: answer.code, headers: headers.into(), body }
    }

    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    fn is_status(&self) -> bool {
        self.body["kind"] == "Status"
    }

    fn causes(&self) -> Vec<String> {
        let causes = self.body["details"]["causes"].as_array().into_iter().flatten();
        let text = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
        let mut told = Vec::new();
        for cause in causes {
            let cause = format!("{} {}: {}", text(cause, "reason"), text(cause, "field"), text(cause, "message"));
            // Kubernetes checks some updates as creations too, and tells of both.
            if !told.contains(&cause) {
                told.push(cause);
            }
        }
        told
    }
}

/// A text without the objects in it, and without what Go's libraries have to say of how two of them differ.
fn without_objects(text: &str) -> String {
    let text = text.split_once('\n').map_or(text, |(first, _)| first);
    OBJECT.replace_all(text, "${1}{~}${2}").into_owned()
}

/// A text with its values left out.
fn class_of(text: &str) -> String {
    let text = without_objects(text);
    let text = QUOTED.replace_all(&text, "~");
    let text = INDEX.replace_all(&text, "[]");
    text.chars().take(CLASS_CHARS_MAX).map(|one| if one.is_control() { ' ' } else { one }).collect()
}

/// Where two answers differ.
pub fn differences(ours: &Plain, theirs: &Plain) -> Vec<Difference> {
    let mut found = Vec::new();
    if ours.code != theirs.code {
        let said = if theirs.code >= 400 { theirs } else { ours };
        found.push(Difference {
            class: format!("code {} there {}: {}", ours.code, theirs.code, class_of(said.message())),
            detail: format!(
                "ours   {} {}\ntheirs {} {}",
                ours.code,
                shown(&ours.body),
                theirs.code,
                shown(&theirs.body)
            ),
        });
        return found;
    }
    for ((name, ours), (_, theirs)) in ours.headers.iter().zip(&theirs.headers) {
        let each = ours.difference(theirs).map(|one| ('+', one)).chain(theirs.difference(ours).map(|one| ('-', one)));
        found.extend(each.map(|(sign, one)| Difference {
            class: format!("header {name} {sign} {}", class_of(&one.replace("\\\"", "'"))),
            detail: format!("ours   {ours:?}\ntheirs {theirs:?}"),
        }));
    }
    if ours.is_status() && theirs.is_status() && ours.code >= 400 {
        statuses(ours, theirs, &mut found);
    } else {
        values("body", &ours.body, &theirs.body, &mut found);
    }
    found
}

fn statuses(ours: &Plain, theirs: &Plain, found: &mut Vec<Difference>) {
    let before = found.len();
    let both = format!("ours   {}\ntheirs {}", ours.message(), theirs.message());
    let (own, other) = (ours.causes(), theirs.causes());
    let mut rest = other.clone();
    for cause in &own {
        match rest.iter().position(|one| without_objects(one) == without_objects(cause)) {
            Some(at) => drop(rest.remove(at)),
            None => found.push(Difference { class: format!("cause + {}", class_of(cause)), detail: both.clone() }),
        }
    }
    found.extend(
        rest.iter().map(|cause| Difference { class: format!("cause - {}", class_of(cause)), detail: both.clone() }),
    );
    if found.len() > before {
        return;
    }
    let plain = |causes: &[String]| causes.iter().map(|one| without_objects(one)).collect::<Vec<_>>();
    if plain(&own) != plain(&other) {
        found.push(Difference { class: "order of causes".to_owned(), detail: both });
    } else if own != other {
        found.push(Difference { class: "object in a cause".to_owned(), detail: both });
    } else if ours.message() != theirs.message() {
        let (own, other) = (class_of(ours.message()), class_of(theirs.message()));
        let class =
            if own == other { format!("values in message {other}") } else { format!("message {own} there {other}") };
        found.push(Difference { class, detail: both });
    } else {
        values("status", &ours.body, &theirs.body, found);
    }
}

/// Keys of maps in managedFields that hold values.
fn key(name: &str) -> &str {
    match name {
        name if name.starts_with("k:") => "k:~",
        name if name.starts_with("v:") => "v:~",
        name => name,
    }
}

/// Where two values differ.
pub fn values(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<Difference>) {
    let mut at = |what: &str, ours: &Value, theirs: &Value| {
        found.push(Difference {
            class: format!("{what} {path}"),
            detail: format!("{path}\nours   {}\ntheirs {}", shown(ours), shown(theirs)),
        });
    };
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            members(path, ours, theirs, found);
        }
        (Value::Array(own), Value::Array(other)) if own.len() == other.len() => {
            own.iter().zip(other).for_each(|(ours, theirs)| values(&format!("{path}[]"), ours, theirs, found));
        }
        (Value::Array(_), Value::Array(_)) => at("length of", ours, theirs),
        (Value::String(own), Value::String(other)) if own != other && path == "body" => {
            let class = format!("text {} there {}", class_of(own), class_of(other));
            at(&class, ours, theirs);
        }
        (ours, theirs) if ours != theirs => at("value of", ours, theirs),
        _ => {}
    }
}

fn members(path: &str, ours: &Map<String, Value>, theirs: &Map<String, Value>, found: &mut Vec<Difference>) {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for name in names {
        let below = format!("{path}.{}", key(name));
        match (ours.get(name), theirs.get(name)) {
            (Some(ours), Some(theirs)) => values(&below, ours, theirs, found),
            (Some(ours), None) => found.push(Difference {
                class: format!("more {below}"),
                detail: format!("{below}\nours   {}\ntheirs nothing", shown(ours)),
            }),
            (None, Some(theirs)) => found.push(Difference {
                class: format!("less {below}"),
                detail: format!("{below}\nours   nothing\ntheirs {}", shown(theirs)),
            }),
            (None, None) => {}
        }
    }
}

fn shown(value: &Value) -> String {
    const SHOWN: usize = 1_500;
    value.to_string().chars().take(SHOWN).collect()
}
