//! What differs between any two servers, taken out of an answer: UIDs, revisions, times of the present, addresses and ports that were
//! allotted, generated names, tokens, the order of managers within a second. Nothing else.

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::corpus::NAMESPACE;

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

static UUID: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"));
/// Earlier times are the case's own.
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b20(?:2[5-9]|[3-9]\d)-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(?:Z|[+-]\d\d:\d\d| [+-]\d{4} [A-Z]+(?: m=[+-][\d.]+)?)",
    )
});
static TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\beyJ[\w-]{10,}\.[\w-]+\.[\w-]+"));
static REVISION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(current: |resource version: |\(|ResourceVersion in record \(|esourceVersion\\*":\\*")\d+"#)
});
/// A source file of the server.
static SCHEME: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(in scheme ")[^"]+"#));
static GENERATED: LazyLock<Regex> = LazyLock::new(|| pattern(r"(kube-api-access-)[bcdfghjklmnpqrstvwxz2456789]{5}\b"));
/// A base that names are made of, as JSON has it.
static BASE: LazyLock<Regex> = LazyLock::new(|| pattern(r#""generateName":("(?:[^"\\]|\\.)*")"#));
/// Bytes of a base that a server takes.
const BASE_MAX: usize = 58;
/// What a server appends to a base.
const SUFFIX: &str = "[bcdfghjklmnpqrstvwxz2456789]{5}";
/// A port of a Service in a table, with the one that was allotted to it on nodes.
static NODE_PORT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\d+):(\d+)/"));
/// A port in a refusal.
static PORT: LazyLock<Regex> = LazyLock::new(|| pattern(r"odePort: (?:Duplicate|Invalid) value: (\d+)"));
static AGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\d+(y|d|h|m|s))+$"));
/// Columns of tables with ages.
const AGES: [&str; 5] = ["Age", "Last Seen", "First Seen", "Duration", "Last Schedule"];

/// What was seen of one server in one case.
pub struct Normal {
    namespace: String,
    /// All that was sent, whose values are no server's own.
    sent: String,
    uids: BTreeMap<String, usize>,
    /// Revisions by the UID of their object.
    revisions: BTreeMap<String, Vec<String>>,
    /// Names and addresses that the server chose, and what stands for them.
    chosen: Vec<(String, String)>,
    /// Names that are made of what was sent; the first group is the base.
    bases: Vec<Regex>,
    columns: Vec<String>,
}

impl Normal {
    pub fn new(namespace: &str) -> Self {
        let (sent, uids, revisions, chosen, bases, columns) = Default::default();
        Self { namespace: namespace.to_owned(), sent, uids, revisions, chosen, bases, columns }
    }

    pub fn sends(&mut self, text: &str) {
        self.sent.push_str(text);
        self.sent.push('\n');
        for found in BASE.captures_iter(text) {
            let base: String = serde_json::from_str(&found[1]).unwrap_or_default();
            let base = base[..base.floor_char_boundary(BASE_MAX)].replace(&self.namespace, NAMESPACE);
            if !base.is_empty() {
                self.bases.push(pattern(&format!(r"({}){SUFFIX}\b", regex::escape(&base))));
            }
        }
    }

    fn was_sent(&self, value: &str) -> bool {
        self.sent.contains(value)
    }

    /// A text without what differs.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.replace(&self.namespace, NAMESPACE);
        for (chosen, instead) in &self.chosen {
            text = text.replace(chosen, instead);
        }
        let uids = &mut self.uids;
        let uid = |found: &Captures<'_>| {
            let next = uids.len() + 1;
            format!("<uid:{}>", uids.entry(found[0].to_owned()).or_insert(next))
        };
        let text = UUID.replace_all(&text, uid).into_owned();
        let time = |found: &Captures<'_>| match found.get(1).map_or(0, |part| part.as_str().len()) {
            0 => "<time>",
            7 => "<microtime>",
            _ => "<nanotime>",
        };
        let text = TIME.replace_all(&text, time).into_owned();
        let text = TOKEN.replace_all(&text, "<token>").into_owned();
        let mut text = GENERATED.replace_all(&text, "${1}<generated>").into_owned();
        for base in &self.bases {
            text = base.replace_all(&text, "${1}<generated>").into_owned();
        }
        let text = REVISION.replace_all(&text, "${1}<revision>").into_owned();
        SCHEME.replace_all(&text, "${1}<scheme>").into_owned()
    }

    /// An answer without what differs.
    pub fn value(&mut self, value: &Value) -> Value {
        self.learn(value);
        self.walk(value)
    }

    /// Finds names and addresses that the server chose.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(map) => {
                let text = |name: &str, field: &str| value[name][field].as_str().unwrap_or_default().to_owned();
                let (prefix, name) = (text("metadata", "generateName"), text("metadata", "name"));
                if !prefix.is_empty() && name.len() > prefix.len() && name.starts_with(&prefix) && !self.was_sent(&name)
                {
                    self.choose(name, format!("{prefix}<generated>"));
                }
                self.learn_of_refusal(value);
                let addresses = value["spec"]["clusterIPs"].as_array().into_iter().flatten();
                let addresses = addresses.chain([&value["spec"]["clusterIP"]]).filter_map(Value::as_str);
                for address in
                    addresses.filter(|address| address.contains(['.', ':'])).map(str::to_owned).collect::<Vec<_>>()
                {
                    if !self.was_sent(&address) {
                        self.choose(address, "<address>".to_owned());
                    }
                }
                map.values().for_each(|value| self.learn(value));
            }
            _ => {}
        }
    }

    /// Finds the ports that the server chose for what it then refused.
    fn learn_of_refusal(&mut self, status: &Value) {
        if status["kind"] != "Status" {
            return;
        }
        let ports = PORT.captures_iter(status["message"].as_str().unwrap_or_default());
        for port in ports.map(|found| found[1].to_owned()).filter(|port| port != "0") {
            if !self.was_sent(&port) {
                self.choose(port, "<port>".to_owned());
            }
        }
    }

    fn choose(&mut self, chosen: String, instead: String) {
        if !self.chosen.iter().any(|(one, _)| *one == chosen) {
            self.chosen.push((chosen, instead));
            self.chosen.sort_by_key(|(one, _)| std::cmp::Reverse(one.len()));
        }
    }

    fn walk(&mut self, value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                if map.get("kind").is_some_and(|kind| kind == "Table") {
                    let names = value["columnDefinitions"].as_array().into_iter().flatten();
                    let names: Vec<String> =
                        names.map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect();
                    if !names.is_empty() {
                        self.columns = names;
                    }
                }
                let members = map.iter().map(|(name, value)| (self.text(name), self.member(map, name, value)));
                Value::Object(members.collect())
            }
            Value::Array(items) => items.iter().map(|item| self.walk(item)).collect(),
            Value::String(text) => self.text(text).into(),
            other => other.clone(),
        }
    }

    fn member(&mut self, of: &Map<String, Value>, name: &str, value: &Value) -> Value {
        match (name, value) {
            ("resourceVersion", Value::String(text)) if is_number(text) => self.revision(of.get("uid"), text),
            ("continue", Value::String(text)) if !text.is_empty() => json!("<continue>"),
            ("nodePort" | "healthCheckNodePort", Value::Number(port)) if !self.was_sent(&port.to_string()) => {
                json!("<port>")
            }
            ("managedFields", Value::Array(entries)) => {
                let mut entries: Vec<Value> = entries.iter().map(|entry| self.walk(entry)).collect();
                entries.sort_by_cached_key(|entry| {
                    let part = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                    (part("operation"), part("manager"), part("subresource"), part("apiVersion"), entry.to_string())
                });
                entries.into()
            }
            ("cells", Value::Array(cells)) => cells.iter().enumerate().map(|(at, cell)| self.cell(at, cell)).collect(),
            _ => self.walk(value),
        }
    }

    fn revision(&mut self, uid: Option<&Value>, revision: &str) -> Value {
        let Some(Value::String(uid)) = uid else {
            let own = revision == "0" || self.was_sent(&format!("\"{revision}\""));
            return if own { revision.into() } else { json!("<revision>") };
        };
        let seen = self.revisions.entry(uid.clone()).or_default();
        let at = seen.iter().position(|one| one == revision).unwrap_or_else(|| {
            seen.push(revision.to_owned());
            seen.len() - 1
        });
        format!("<revision:{}>", at + 1).into()
    }

    fn cell(&mut self, at: usize, cell: &Value) -> Value {
        match (self.columns.get(at), cell) {
            (Some(column), Value::String(text)) if AGES.contains(&column.as_str()) && AGE.is_match(text) => {
                json!("<age>")
            }
            (Some(column), Value::String(text))
                if column == "Cluster-IP" && is_allotted(text) && !self.was_sent(text) =>
            {
                json!("<address>")
            }
            (Some(column), Value::String(text)) if column == "Port(s)" => {
                let port = |found: &Captures<'_>| match self.was_sent(&found[2]) {
                    true => found[0].to_owned(),
                    false => format!("{}:<port>/", &found[1]),
                };
                NODE_PORT.replace_all(text, port).into_owned().into()
            }
            _ => self.walk(cell),
        }
    }
}

fn is_allotted(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn only_what_is_a_servers_own_goes() {
    let mut normal = Normal::new("k1");
    normal.sends(r#"{"nodePort":30001}"#);
    normal.sends(r#"{"metadata":{"generateName":"G_"}}"#);
    let uid = "01234567-89ab-cdef-0123-456789abcdef";
    let value = normal.value(&json!({
        "metadata": {"name": "g-abcde", "generateName": "g-", "namespace": "k1", "uid": uid, "resourceVersion": "7",
            "creationTimestamp": "2026-01-02T03:04:05Z", "managedFields": [{"manager": "b"}, {"manager": "a"}]},
        "spec": {"clusterIP": "10.96.1.2", "ports": [{"nodePort": 30001}, {"nodePort": 30002}], "at": "2020-01-01T00:00:00Z"},
        "message": format!("uid {uid} of g-abcde at 10.96.1.2 (12), not \"G_bcdfg\""),
    }));
    let expected = json!({
        "metadata": {"name": "g-<generated>", "generateName": "g-", "namespace": NAMESPACE, "uid": "<uid:1>",
            "resourceVersion": "<revision:1>", "creationTimestamp": "<time>", "managedFields": [{"manager": "a"}, {"manager": "b"}]},
        "spec": {"clusterIP": "<address>", "ports": [{"nodePort": 30001}, {"nodePort": "<port>"}], "at": "2020-01-01T00:00:00Z"},
        "message": "uid <uid:1> of g-<generated> at <address> (<revision>), not \"G_<generated>\"",
    });
    assert_eq!(value, expected);
    normal.sends(r#"{"metadata":{"generateName":"G_"}}"#);
    let refused = json!({"kind": "Status", "details": {"name": "G_bcdfg"},
        "message": "\"G_bcdfg\": spec.ports[0].nodePort: Duplicate value: 31555, spec.ports[1].nodePort: Invalid value: 30001"});
    let expected = json!({"kind": "Status", "details": {"name": "G_<generated>"},
        "message": "\"G_<generated>\": spec.ports[0].nodePort: Duplicate value: <port>, spec.ports[1].nodePort: Invalid value: 30001"});
    assert_eq!(normal.value(&refused), expected);
    let table = normal.value(&json!({"kind": "Table",
        "columnDefinitions": [{"name": "Name"}, {"name": "Cluster-IP"}, {"name": "Port(s)"}, {"name": "Age"}],
        "rows": [{"cells": ["a", "10.96.1.3", "80:30001/TCP,81:30003/TCP,82/UDP", "5s"]}]}));
    let cells = json!(["a", "<address>", "80:30001/TCP,81:<port>/TCP,82/UDP", "<age>"]);
    assert_eq!(table["rows"][0]["cells"], cells);
}
