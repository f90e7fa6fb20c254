//! Manifests: YAML documents or JSON, Lists taken apart.

use crate::limits::{MANIFEST_MAX, OBJECTS_MAX};
use anyhow::{Context, bail};
use sampan_api::Object;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Reads a file, every `.yaml`, `.yml` and `.json` of a folder in the order of their names, or, of `-`, standard input.
///
/// # Errors
/// It cannot be read, is too large, or holds something that is no object.
pub fn read(path: &Path) -> anyhow::Result<Vec<Object>> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().take(MANIFEST_MAX + 1).read_to_string(&mut text).context("standard input")?;
        if text.len() as u64 > MANIFEST_MAX {
            bail!("standard input has more than {MANIFEST_MAX} bytes");
        }
        return parse(&text).context("standard input");
    }
    if path.is_dir() {
        let mut files: Vec<_> = std::fs::read_dir(path)
            .with_context(|| path.display().to_string())?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|file| file.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json"))
            .collect();
        files.sort();
        let objects: Vec<Vec<Object>> = files.iter().map(|file| read(file)).collect::<anyhow::Result<_>>()?;
        return Ok(objects.into_iter().flatten().collect());
    }
    let size = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if size > MANIFEST_MAX {
        bail!("{} has {size} bytes; the most is {MANIFEST_MAX}", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

/// Every object of a text. Each must say its apiVersion, kind and a name.
pub fn parse(text: &str) -> anyhow::Result<Vec<Object>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("it is not YAML")?;
    let mut objects = Vec::new();
    for (i, document) in documents.into_iter().enumerate().filter(|(_, document)| !document.is_null()) {
        let object = Object::from_value(document).with_context(|| format!("document {} is no object", i + 1))?;
        if object.kind() == "List" {
            let items = object.get(&["items"]).and_then(Value::as_array).cloned().unwrap_or_default();
            objects.extend(items.into_iter().filter_map(Object::from_value));
        } else {
            objects.push(object);
        }
    }
    if objects.len() > OBJECTS_MAX {
        bail!("it holds {} objects; the most is {OBJECTS_MAX}", objects.len());
    }
    for (i, object) in objects.iter().enumerate() {
        let missing: Vec<&str> =
            [("apiVersion", object.api_version()), ("kind", object.kind()), ("metadata.name", object.name())]
                .into_iter()
                .filter_map(|(field, value)| value.is_empty().then_some(field))
                .collect();
        if !missing.is_empty() {
            bail!("object {} ({} {:?}) has no {}", i + 1, object.kind(), object.name(), missing.join(", "));
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n\
                    apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n";
        let names: Vec<String> = parse(text).expect("valid").iter().map(|o| o.name().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, part: &str| {
            let error = format!("{:#}", parse(text).expect_err(text));
            assert!(error.contains(part), "{error}");
        };
        check("kind: Pod\nmetadata: {}\n", "apiVersion, metadata.name");
        check("- a\n", "document 1 is no object");
        check("a: [", "YAML");
    }
}
