//! Reads the structs of k8s-openapi: JSON names, required fields, descriptions, and which types are kinds.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub struct Field {
    pub json: String,
    pub required: bool,
    pub doc: String,
}

pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

pub struct Struct {
    pub name: String,
    pub doc: String,
    /// Set when the type implements `Resource`.
    pub kind: Option<Kind>,
    /// By name in lower case without underscores.
    pub fields: HashMap<String, Field>,
}

/// Structs by (module path such as `api/core/v1`, name in lower case).
pub type Structs = BTreeMap<(String, String), Struct>;

pub fn read(root: &Path) -> Structs {
    let mut structs = Structs::new();
    walk(root, "", &mut structs);
    structs
}

/// The form in which names are compared: the two crates break words at different places.
pub fn fold(name: &str) -> String {
    name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

fn walk(folder: &Path, module: &str, structs: &mut Structs) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|e| panic!("{}: {e}", folder.display())).path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_string();
        if path.is_dir() {
            let inner = if module.is_empty() { name } else { format!("{module}/{name}") };
            walk(&path, &inner, structs);
        } else if name != "mod.rs" && !module.is_empty() {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            file(&text, module, structs);
        }
    }
}

fn file(text: &str, module: &str, structs: &mut Structs) {
    // The declaration comes first; the trait impls after it are long and regular: searched, not parsed.
    let end = text.find("\nimpl").unwrap_or(text.len());
    let (declaration, rest) = text.split_at(end);
    let Ok(parsed) = syn::parse_file(declaration) else { panic!("k8s-openapi {module}: {declaration}") };
    for item in parsed.items {
        let syn::Item::Struct(item) = item else { continue };
        let mut json = HashMap::new();
        for line in rest.lines() {
            let Some((name, key)) = line.trim().split_once("\" => Field::Key_") else { continue };
            json.insert(fold(key.trim_end_matches(',')), name.trim_start_matches('"').to_string());
        }
        let (own, mut described) = descriptions(rest);
        let mut fields = HashMap::new();
        for field in &item.fields {
            let Some(ident) = &field.ident else { continue };
            let key = fold(ident.to_string().trim_start_matches("r#"));
            let Some(json) = json.remove(&key) else { panic!("k8s-openapi {module} {}: {ident}", item.ident) };
            let doc = described.remove(&json).unwrap_or_else(|| doc(&field.attrs));
            fields.insert(key, Field { json, required: !is_option(&field.ty), doc });
        }
        let name = item.ident.to_string();
        let doc = own.unwrap_or_else(|| doc(&item.attrs));
        let parsed = Struct { doc, kind: kind(rest, &name), name: name.clone(), fields };
        structs.insert((module.to_string(), name.to_ascii_lowercase()), parsed);
    }
}

/// The descriptions of the type and of its fields, letter by letter as they are published: those of the JSON schema. (The
/// crate's own documentation has them with rustdoc's escapes, in other lines.)
fn descriptions(text: &str) -> (Option<String>, HashMap<String, String>) {
    let (mut own, mut fields, mut field) = (None, HashMap::new(), None);
    let Some((_, schema)) = text.split_once("fn json_schema(") else { return (own, fields) };
    for line in schema.lines().take_while(|line| *line != "}") {
        let written = line.trim_start();
        let indent = line.len() - written.len();
        if indent == FIELD_INDENT
            && let Some((name, _)) = written.trim_start_matches('"').split_once("\": ")
        {
            field = Some(name.to_owned());
        }
        let plain = written.strip_prefix("\"description\": ").and_then(|rest| rest.strip_suffix(','));
        let inserted = written.strip_prefix("schema_obj.ensure_object().insert(\"description\".into(), ");
        let inserted = inserted.and_then(|rest| rest.strip_suffix(".into());"));
        let Some(literal) = plain.or(inserted) else { continue };
        let Ok(literal) = syn::parse_str::<syn::LitStr>(literal) else { panic!("k8s-openapi: {line}") };
        match &field {
            None => own = Some(literal.value()),
            // The first one is the field's, those behind it are of what is in it.
            Some(field) => drop(fields.entry(field.clone()).or_insert(literal.value())),
        }
    }
    (own, fields)
}

/// Spaces before a field's name in a JSON schema of k8s-openapi.
const FIELD_INDENT: usize = 16;

fn kind(text: &str, name: &str) -> Option<Kind> {
    let body = text.split_once(&format!("impl crate::Resource for {name} {{"))?.1;
    let constant = |name: &str| {
        let value = body.split_once(&format!("const {name}: &'static str = \""))?.1;
        Some(value.split_once('"')?.0.to_string())
    };
    Some(Kind { group: constant("GROUP")?, version: constant("VERSION")?, kind: constant("KIND")? })
}

fn is_option(ty: &syn::Type) -> bool {
    matches!(ty, syn::Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == "Option"))
}

fn doc(attributes: &[syn::Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        let syn::Meta::NameValue(pair) = &attribute.meta else { continue };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) = &pair.value else { continue };
        let line = line.value();
        if !text.is_empty() {
            text.push('\n');
        }
        // The crate escapes brackets for rustdoc.
        text.push_str(
            &line.strip_prefix(' ').unwrap_or(&line).replace("\\[", "[").replace("\\]", "]").replace("\\*", "*"),
        );
    }
    text
}
