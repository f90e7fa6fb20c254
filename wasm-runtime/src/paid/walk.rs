//! Walks every function of the interfaces that guests may import and holds what it returns against the price list.

use crate::prices::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Functions that are linked as the engine has them and make no resource here. Anything else that returns one must be
/// charged by a view of this module or of `net::tcp`.
const NEVER: [(&str, &str); 5] = [
    // The context allows neither UDP nor names.
    ("wasi:sockets/udp-create-socket", "create-udp-socket"),
    ("wasi:sockets/ip-name-lookup", "resolve-addresses"),
    // No standard stream is a terminal.
    ("wasi:cli/terminal-stdin", "get-terminal-stdin"),
    ("wasi:cli/terminal-stdout", "get-terminal-stdout"),
    ("wasi:cli/terminal-stderr", "get-terminal-stderr"),
];

/// Interfaces whose functions only work on resources that [`NEVER`] makes.
const BEHIND: [&str; 2] = ["wasi:sockets/udp", "wasi:sockets/ip-name-lookup"];

/// The files that charge.
const VIEWS: [&str; 8] = [
    include_str!("io.rs"),
    include_str!("http/mod.rs"),
    include_str!("http/fields.rs"),
    include_str!("http/incoming.rs"),
    include_str!("http/outgoing.rs"),
    include_str!("../net/tcp.rs"),
    include_str!("../wasi/lifecycle.rs"),
    include_str!("../wasi/files.rs"),
];

/// The files with the engine's own definitions of the interfaces.
fn definitions() -> Vec<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata");
    let home = |name: &str| {
        let packages = metadata["packages"].as_array().expect("packages");
        let package = packages.iter().find(|package| package["name"] == name).expect("a dependency");
        PathBuf::from(package["manifest_path"].as_str().expect("a path")).parent().expect("a folder").to_owned()
    };
    vec![home("wasmtime-wasi").join("src/p2/wit/deps"), home("wasmtime-wasi-http").join("wit/deps")]
}

/// A function of an interface: where it stands, its name, and the text after its arrow.
struct Function {
    interface: String,
    name: String,
    result: String,
}

/// Reads a definition: its resources by name, and its functions. Comments and annotations are left out.
fn read(text: &str, resources: &mut BTreeMap<String, String>, functions: &mut Vec<Function>) {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .fold(String::new(), |all, line| if line.trim_start().starts_with('@') { all } else { all + line + " " });
    let package = code.split("package ").nth(1).and_then(|rest| rest.split(['@', ';', ' ']).next()).unwrap_or_default();
    let (mut interface, mut resource) = (String::new(), String::new());
    let mut depth = 0;
    let mut statement = String::new();
    for character in code.chars() {
        match character {
            '{' => {
                let words: Vec<&str> = statement.split_whitespace().collect();
                match words.as_slice() {
                    ["interface", name] => interface = format!("{package}/{name}"),
                    ["resource", name] => {
                        resource = (*name).to_owned();
                        resources.insert((*name).to_owned(), interface.clone());
                    }
                    _ => {}
                }
                depth += 1;
                statement.clear();
            }
            '}' => {
                depth -= 1;
                if depth == 1 {
                    resource.clear();
                }
                statement.clear();
            }
            ';' => {
                let words: Vec<&str> = statement.split_whitespace().collect();
                if let ["resource", name] = words.as_slice() {
                    resources.insert((*name).to_owned(), interface.clone());
                }
                if statement.trim_start().starts_with("constructor") {
                    let (interface, name) = (interface.clone(), "new".to_owned());
                    functions.push(Function { interface, name, result: resource.clone() });
                } else if let Some((name, rest)) = statement.split_once(':')
                    && rest.contains("func")
                    && let Some((_, result)) = rest.split_once("->")
                {
                    let (interface, name) = (interface.clone(), name.trim().trim_start_matches('%').to_owned());
                    functions.push(Function { interface, name, result: result.to_owned() });
                }
                statement.clear();
            }
            _ => statement.push(character),
        }
    }
}

#[test]
fn every_function_that_makes_a_resource_has_a_price_and_is_charged() {
    let (mut resources, mut functions) = (BTreeMap::new(), Vec::new());
    for folder in definitions() {
        for file in std::fs::read_dir(&folder).expect("definitions").flatten() {
            let text = std::fs::read_to_string(file.path()).expect("a definition");
            read(&text, &mut resources, &mut functions);
        }
    }
    // Other names of fields, and of the streams' error.
    for (alias, of) in [("headers", "fields"), ("trailers", "fields"), ("io-error", "error")] {
        let interface = resources.get(of).cloned().unwrap_or_default();
        resources.insert(alias.to_owned(), interface);
    }
    let priced: BTreeSet<(&str, &str)> = Kind::ALL.iter().map(|kind| kind.wit()).collect();
    assert_eq!(priced.len(), Kind::ALL.len());
    let named = |name: &str| match name {
        "headers" | "trailers" => "fields".to_owned(),
        "io-error" => "error".to_owned(),
        other => other.to_owned(),
    };
    let mut walked = 0;
    for function in &functions {
        let owned = function.result.replace("borrow<", "borrow ");
        let mut words = owned.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).peekable();
        while let Some(word) = words.next() {
            if word == "borrow" {
                words.next();
                continue;
            }
            let Some(interface) = resources.get(word) else { continue };
            walked += 1;
            let at = format!("{}.{}", function.interface, function.name);
            assert!(
                priced.contains(&(interface.as_str(), named(word).as_str())),
                "{at} returns {word} without a price"
            );
            let never = NEVER.contains(&(function.interface.as_str(), function.name.as_str()));
            let behind = BEHIND.contains(&function.interface.as_str());
            let ours = format!("fn {}(", function.name.replace('-', "_"));
            assert!(never || behind || VIEWS.iter().any(|view| view.contains(&ours)), "{at} is charged nowhere");
        }
    }
    for kind in Kind::ALL {
        assert!(resources.contains_key(kind.wit().1), "{kind:?} is priced and unknown");
        assert!(kind.price() > 0);
    }
    println!("{walked} resources that functions return");
    assert!(walked > 40, "only {walked} were found: the definitions were not read");
}
