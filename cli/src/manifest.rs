//! Manifests: YAML documents or JSON, Lists taken apart.

use crate::limits::{MANIFEST_MAX, OBJECTS_MAX};
use anyhow::{Context, bail};
use sampan_api::Object;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The manifests that a command is given.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Files {
    /// Manifest, folder of manifests, or - for standard input; may be given several times
    #[arg(short, long = "filename", value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// Of folders, the manifests of all folders in them too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Is not built in: kubectl kustomize DIR | sampan apply -f -
    #[arg(short = 'k', long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub kustomize: Option<PathBuf>,
}

/// How far into folders it is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// Their own files.
    Files,
    /// All that is below them.
    All,
}

impl Files {
    /// Whether none are named.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.kustomize.is_none()
    }

    /// All objects, in the order of the files.
    ///
    /// # Errors
    /// Something cannot be read, is too large, or is no object.
    pub fn read(&self) -> anyhow::Result<Vec<Object>> {
        if let Some(folder) = &self.kustomize {
            let folder = folder.display();
            bail!("kustomize is not built in: kubectl kustomize {folder} | sampan apply -f -");
        }
        let depth = if self.recursive { Depth::All } else { Depth::Files };
        let mut objects = Vec::new();
        for file in &self.files {
            objects.extend(read(file, depth)?);
            if objects.len() > OBJECTS_MAX {
                bail!("the manifests hold more than {OBJECTS_MAX} objects");
            }
        }
        Ok(objects)
    }
}

/// Reads a file, the manifests of a folder in the order of their names, or, of `-`, standard input.
fn read(path: &Path, depth: Depth) -> anyhow::Result<Vec<Object>> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().take(MANIFEST_MAX + 1).read_to_string(&mut text).context("standard input")?;
        if text.len() as u64 > MANIFEST_MAX {
            bail!("standard input has more than {MANIFEST_MAX} bytes");
        }
        return parse(&text).context("standard input");
    }
    if path.to_str().is_some_and(|text| text.starts_with("https://") || text.starts_with("http://")) {
        let url = path.display();
        bail!("{url}: URLs are not fetched: curl -fsSL {url} | sampan apply -f -");
    }
    if path.is_dir() {
        let mut files = Vec::new();
        list(path, depth, &mut files)?;
        if files.is_empty() {
            let below = if depth == Depth::Files { "; -R looks into the folders in it too" } else { "" };
            bail!("{} has no file named .yaml, .yml or .json{below}", path.display());
        }
        let objects: Vec<Vec<Object>> = files.iter().map(|file| read_file(file)).collect::<anyhow::Result<_>>()?;
        return Ok(objects.into_iter().flatten().collect());
    }
    read_file(path)
}

/// The manifests of a folder. Folders that are links are not entered: they may lead back.
fn list(folder: &Path, depth: Depth, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let shown = || folder.display().to_string();
    let entries = std::fs::read_dir(folder).with_context(shown)?.collect::<Result<Vec<_>, _>>().with_context(shown)?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push((entry.path(), entry.file_type().with_context(shown)?.is_dir()));
    }
    paths.sort();
    for (path, is_folder) in paths {
        if is_folder {
            if depth == Depth::All {
                list(&path, depth, files)?;
            }
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json") && !path.is_dir() {
            files.push(path);
        }
        if files.len() > OBJECTS_MAX {
            bail!("{} has more than {OBJECTS_MAX} manifests", shown());
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> anyhow::Result<Vec<Object>> {
    let size = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if size > MANIFEST_MAX {
        bail!("{} has {size} bytes; the most is {MANIFEST_MAX}", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

/// The objects of a document: of a List its items, which have its kind and version where they name none.
fn objects_of(document: Value) -> Option<Vec<Object>> {
    let Some(items) = document.get("items").and_then(Value::as_array) else {
        return Object::from_value(document).map(|object| vec![object]);
    };
    let kind = document["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).filter(|kind| !kind.is_empty());
    let of_item = |item: &Value| {
        let mut item = item.clone();
        if let (Some(kind), Some(members)) = (kind, item.as_object_mut()) {
            members.entry("kind").or_insert_with(|| kind.into());
            members.entry("apiVersion").or_insert_with(|| document["apiVersion"].clone());
        }
        Object::from_value(item)
    };
    items.iter().map(of_item).collect()
}

/// What is wrong, and in which line, for people: nothing of what a program could have set.
fn no_yaml(error: &serde_saphyr::Error) -> anyhow::Error {
    let mut form = serde_saphyr::RenderOptions::new(&serde_saphyr::UserMessageFormatter);
    form.snippets = serde_saphyr::SnippetMode::Off;
    anyhow::anyhow!("it is not YAML: {}", error.render_with_options(form))
}

/// Every object of a text. Each must say its apiVersion, kind and a name.
pub fn parse(text: &str) -> anyhow::Result<Vec<Object>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| no_yaml(&error))?;
    let mut objects = Vec::new();
    for (i, document) in documents.into_iter().enumerate().filter(|(_, document)| !document.is_null()) {
        objects.extend(objects_of(document).with_context(|| format!("document {} is no object", i + 1))?);
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
            let known = format!("{} {}", object.kind(), object.name());
            let known = match known.trim() {
                "" => String::new(),
                known => format!(" ({known})"),
            };
            bail!("object {}{known} has no {}", i + 1, missing.join(", "));
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
    fn items_of_a_list_of_one_kind_are_of_that_kind() {
        let text =
            "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n- {kind: Pod, metadata: {name: b}}\n";
        let kinds: Vec<String> = parse(text).expect("valid").iter().map(|o| o.kind().to_owned()).collect();
        assert_eq!(kinds, ["ConfigMap", "Pod"]);
    }

    #[test]
    fn folders_are_read_in_order_and_to_their_depth() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, name: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"))
                .expect("written");
        };
        for (path, name) in [("b.yaml", "b"), ("a.json", "a"), ("notes.txt", "n"), ("deep/er/c.yml", "c")] {
            write(path, name);
        }
        // A link back to the folder itself.
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).expect("a link");
        let check = |path: &str, recursive: bool, expected: Result<&str, &str>| {
            let files = Files { files: vec![folder.path().join(path)], recursive, kustomize: None };
            match (files.read(), expected) {
                (Ok(found), Ok(names)) => {
                    assert_eq!(found.iter().map(Object::name).collect::<Vec<_>>().join(" "), names);
                }
                (Err(error), Err(part)) => assert!(format!("{error:#}").contains(part), "{error:#}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        };
        check("", false, Ok("a b"));
        check("", true, Ok("a b c"));
        check("deep", false, Err("-R"));
        check("none", false, Err("none"));
        let kustomize = Files { kustomize: Some("dir".into()), ..Files::default() };
        let error = kustomize.read().expect_err("not built in").to_string();
        assert!(error.contains("kubectl kustomize dir | sampan apply -f -"), "{error}");
        let url = Files { files: vec!["https://example.com/a.yaml".into()], ..Files::default() };
        assert!(url.read().expect_err("not fetched").to_string().contains("curl -fsSL https://example.com/a.yaml"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, part: &str| {
            let error = format!("{:#}", parse(text).expect_err(text));
            assert!(error.contains(part), "{error}");
        };
        check("kind: Pod\nmetadata: {}\n", "object 1 (Pod) has no apiVersion, metadata.name");
        check("{}\n", "object 1 has no apiVersion, kind, metadata.name");
        check("a: 1\nb: 2\na: 3\n", "it is not YAML: duplicate mapping key `a` is not allowed here at line");
        check("- a\n", "document 1 is no object");
        check("kind: List\nitems: [1]\n", "document 1 is no object");
        check("a: [", "YAML");
    }
}
