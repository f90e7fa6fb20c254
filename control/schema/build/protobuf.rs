//! Reads the prost structs of k8s-pb: tags, wire types and the markers kept in doc comments.

use std::collections::BTreeMap;
use std::path::Path;

#[derive(Clone, Debug)]
pub enum Wire {
    Bool,
    Int32,
    Int64,
    Double,
    String,
    Bytes,
    /// Module path and name of the message.
    Message(String, String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    One,
    List,
    Map,
}

#[derive(Clone, Debug)]
pub struct Field {
    /// The Rust name, without `r#`.
    pub name: String,
    pub tag: u32,
    pub wire: Wire,
    pub shape: Shape,
    pub doc: String,
    pub markers: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub name: String,
    pub doc: String,
    pub markers: Vec<(String, String)>,
    pub fields: Vec<Field>,
}

/// Messages by (module path such as `api/core/v1`, name in lower case).
pub type Messages = BTreeMap<(String, String), Message>;

pub fn read(root: &Path) -> Messages {
    let mut messages = Messages::new();
    walk(root, "", &mut messages);
    messages
}

fn walk(folder: &Path, module: &str, messages: &mut Messages) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|e| panic!("{}: {e}", folder.display())).path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_string();
        if path.is_dir() {
            let inner = if module.is_empty() { name } else { format!("{module}/{name}") };
            walk(&path, &inner, messages);
        } else if name == "mod.rs" && !module.is_empty() {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            if text.contains("::prost::Message") {
                file(&text, module, messages);
            }
        }
    }
}

fn file(text: &str, module: &str, messages: &mut Messages) {
    // The trait impls after the generated structs are not needed.
    let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("k8s-pb {module}: {e}"));
    for item in parsed.items {
        let syn::Item::Struct(item) = item else { continue };
        if !item.attrs.iter().any(|a| a.path().is_ident("derive")) {
            continue;
        }
        let (doc, markers) = doc(&item.attrs);
        let fields = item.fields.iter().map(|f| field(f, module)).collect();
        let name = item.ident.to_string();
        messages.insert((module.to_string(), name.to_ascii_lowercase()), Message { name, doc, markers, fields });
    }
}

fn field(field: &syn::Field, module: &str) -> Field {
    let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let name = name.trim_start_matches("r#").to_string();
    let attribute = field.attrs.iter().find(|a| a.path().is_ident("prost"));
    let attribute = attribute.unwrap_or_else(|| panic!("{module} {name}: no prost attribute"));
    let syn::Meta::List(list) = &attribute.meta else { panic!("{module} {name}: prost attribute") };
    let text = list.tokens.to_string();
    let (mut tag, mut kind, mut shape) = (0, String::new(), Shape::One);
    for part in split(&text) {
        let (key, value) =
            part.split_once('=').map_or((part.trim(), ""), |(k, v)| (k.trim(), v.trim().trim_matches('"')));
        match key {
            "tag" => tag = value.parse().unwrap_or_else(|_| panic!("{module} {name}: tag {value}")),
            "repeated" => shape = Shape::List,
            "btree_map" | "map" => {
                shape = Shape::Map;
                kind = value.rsplit(',').next().unwrap_or_default().trim().to_string();
            }
            "optional" | "packed" | "boxed" => {}
            other => kind = other.to_string(),
        }
    }
    let wire = match kind.as_str() {
        "bool" => Wire::Bool,
        "int32" => Wire::Int32,
        "int64" => Wire::Int64,
        "double" => Wire::Double,
        "string" => Wire::String,
        "bytes" => Wire::Bytes,
        "message" => {
            let (module, message) = target(&field.ty, module);
            Wire::Message(module, message)
        }
        other => panic!("{module} {name}: wire type {other}"),
    };
    let (doc, markers) = doc(&field.attrs);
    Field { name, tag, wire, shape, doc, markers }
}

/// Splits at the commas that are not inside quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The message that a field's type names: the last type argument, its path taken relative to `module`.
fn target(ty: &syn::Type, module: &str) -> (String, String) {
    let syn::Type::Path(path) = ty else { panic!("{module}: a field's type is a path") };
    let last = path.path.segments.last().expect("a path has a segment");
    if let syn::PathArguments::AngleBracketed(arguments) = &last.arguments {
        let inner = arguments.args.iter().rev().find_map(|a| match a {
            syn::GenericArgument::Type(t) => Some(t),
            _ => None,
        });
        return target(inner.expect("a container has a type argument"), module);
    }
    let mut at: Vec<String> = module.split('/').map(String::from).collect();
    let segments: Vec<String> = path.path.segments.iter().map(|s| s.ident.to_string()).collect();
    let (name, way) = segments.split_last().expect("a path has a segment");
    for step in way {
        match step.as_str() {
            "super" => drop(at.pop()),
            other => at.push(other.to_string()),
        }
    }
    (at.join("/"), name.clone())
}

/// The text and the `+marker=value` lines of a doc comment.
fn doc(attributes: &[syn::Attribute]) -> (String, Vec<(String, String)>) {
    let (mut text, mut markers) = (String::new(), Vec::new());
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        let syn::Meta::NameValue(pair) = &attribute.meta else { continue };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) = &pair.value else { continue };
        let line = line.value();
        let line = line.strip_prefix(' ').unwrap_or(&line);
        if let Some(marker) = line.trim().strip_prefix('+') {
            let (name, value) = marker.split_once('=').unwrap_or((marker, ""));
            markers.push((name.trim().to_string(), value.trim().to_string()));
        } else {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line.trim_end());
        }
    }
    (text.trim().to_string(), markers)
}
