//! `sampan get`.

use crate::history::{self, Place};
use crate::jsonpath::Template;
use crate::limits::WATCH_LINE_MAX;
use crate::session::{Session, Target, all_well, find, find_all, say};
use crate::table::{Shown, Table};
use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use sampan_client::{ApiResource, Discovery};
use serde_json::{Value, json};

const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// The form in which objects are shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// As a table, with columns of lower priority where `wide`.
    Table {
        wide: bool,
    },
    /// `KIND/NAME`, a line each.
    Name,
    Json,
    Yaml,
    /// A template that is filled with the object, or with the List of them.
    JsonPath(Template),
}

impl Output {
    /// What `-o` may be; behind the last one comes a template.
    pub const NAMES: [&str; 5] = ["wide", "name", "json", "yaml", "jsonpath="];

    /// Reads `-o`.
    ///
    /// # Errors
    /// There is no such form, or its template cannot be read.
    pub fn parse(text: Option<&str>) -> anyhow::Result<Self> {
        Ok(match text {
            None | Some("") => Self::Table { wide: false },
            Some("wide") => Self::Table { wide: true },
            Some("name") => Self::Name,
            Some("json") => Self::Json,
            Some("yaml") => Self::Yaml,
            Some(other) => match other.strip_prefix("jsonpath=") {
                Some(template) => Self::JsonPath(Template::parse(template).context("-o jsonpath")?),
                None => bail!("-o {other}: choose wide, name, json, yaml or jsonpath=TEMPLATE"),
            },
        })
    }
}

/// What is shown, and how.
#[derive(Clone, Debug)]
pub struct Get {
    /// What is asked for.
    pub targets: Vec<Target>,
    /// Of every namespace.
    pub all_namespaces: bool,
    /// Only objects with such labels.
    pub selector: Option<String>,
    /// Only objects with such fields.
    pub field_selector: Option<String>,
    /// The form.
    pub output: Output,
    /// Goes on with what changes.
    pub watch: bool,
    /// As it was: a revision, or a time.
    pub at: Option<String>,
    /// Whether it is shown who owns which field.
    pub managers: Managers,
}

/// Whether `metadata.managedFields` is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Managers {
    /// With everything else.
    Shown,
    /// Left out, as kubectl does.
    Hidden,
}

impl Managers {
    fn of(self, mut object: Value) -> Value {
        if let (Self::Hidden, Some(metadata)) = (self, object["metadata"].as_object_mut()) {
            metadata.remove("managedFields");
        }
        object
    }
}

/// The time of which objects are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Now,
    /// What there is, and what becomes of it.
    Watch,
    /// As of a revision.
    At(u64),
}

/// One request of a `get`.
struct Request<'a> {
    resource: &'a ApiResource,
    name: Option<&'a str>,
}

impl Request<'_> {
    /// `pod/a`, `deployment.apps/web`.
    fn prefix(&self) -> String {
        let of = &self.resource.resource;
        let group = if of.group.is_empty() { String::new() } else { format!(".{}", of.group) };
        format!("{}{group}/", self.resource.singular)
    }

    fn path(&self, session: &Session, get: &Get, read: Read) -> String {
        let watch = read == Read::Watch;
        let of = &self.resource.resource;
        let mut path = of.base_path();
        if self.resource.namespaced && !get.all_namespaces {
            path.push_str(&format!("/namespaces/{}", session.namespace));
        }
        path.push_str(&format!("/{}", of.resource));
        let mut query = Vec::new();
        let mut fields: Vec<String> = get.field_selector.clone().into_iter().collect();
        match self.name {
            Some(name) if watch => fields.push(format!("metadata.name={name}")),
            Some(name) => path.push_str(&format!("/{name}")),
            None => {}
        }
        match read {
            Read::Watch => {
                query.push("watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned());
            }
            Read::At(revision) => query.push(history::exactly(revision)),
            Read::Now => {}
        }
        let encode = sampan_api::percent::encode;
        query.extend(get.selector.as_ref().map(|text| format!("labelSelector={}", encode(text))));
        query.extend((!fields.is_empty()).then(|| format!("fieldSelector={}", encode(&fields.join(",")))));
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }
}

/// Shows what there is of what was asked for.
///
/// # Errors
/// Something of it is not there, or the server refuses: what there is was shown.
pub async fn get(session: &Session, get: &Get) -> anyhow::Result<()> {
    let discovery = session.discover().await?;
    let requests = requests(&discovery, get)?;
    if get.watch {
        let [only] = requests.as_slice() else { bail!("-w follows one resource, or one object, at a time") };
        return watch(session, get, only).await;
    }
    if get.all_namespaces && requests.iter().any(|one| one.name.is_some()) {
        bail!("a resource cannot be retrieved by name across all namespaces");
    }
    let read = match &get.at {
        Some(at) => Read::At(revision(session, get, &requests, at).await?),
        None => Read::Now,
    };
    let accept = if matches!(get.output, Output::Table { .. }) { AS_TABLE } else { "application/json" };
    let (answers, errors) = ask_all(session, get, &requests, read, accept).await;
    match &get.output {
        Output::Table { wide } => {
            if tables(get, &requests, answers, *wide)? == 0 && errors.is_empty() {
                let namespaced = requests.iter().any(|one| one.resource.namespaced) && !get.all_namespaces;
                let place = if namespaced { format!(" in namespace {}", session.namespace) } else { String::new() };
                eprintln!("no resources found{place}");
            }
        }
        output => {
            let single = matches!(requests.as_slice(), [Request { name: Some(_), .. }]);
            let mut items = Vec::new();
            for (request, answer) in answers {
                let objects = objects(answer).into_iter().map(|object| get.managers.of(object));
                items.extend(objects.map(|object| (request.prefix(), object)));
            }
            if errors.is_empty() || !items.is_empty() {
                say(&shown(output, items, single)?)?;
            }
        }
    }
    all_well(errors)
}

fn requests<'a>(discovery: &'a Discovery, get: &'a Get) -> anyhow::Result<Vec<Request<'a>>> {
    let mut all = Vec::new();
    for target in &get.targets {
        if target.names.is_empty() {
            let resources = find_all(discovery, &target.resource)?.into_iter();
            all.extend(resources.map(|resource| Request { resource, name: None }));
            continue;
        }
        let resource = find(discovery, &target.resource)?;
        all.extend(target.names.iter().map(|name| Request { resource, name: Some(name.as_str()) }));
    }
    Ok(all)
}

/// The revision that all is read as of. Who names each object needs no right to others' history.
async fn revision(session: &Session, get: &Get, requests: &[Request<'_>], at: &str) -> anyhow::Result<u64> {
    if let [Request { resource, name: Some(name) }] = requests {
        return Place::of(session, resource, name).revision(session, at).await;
    }
    let namespaced = requests.iter().all(|one| one.resource.namespaced) && !get.all_namespaces;
    history::revision(session, namespaced.then_some(session.namespace.as_str()), at).await
}

async fn ask(session: &Session, get: &Get, request: &Request<'_>, read: Read, accept: &str) -> anyhow::Result<Value> {
    let path = request.path(session, get, read);
    let asked = http::Request::get(path).header(http::header::ACCEPT, accept).body(Bytes::new())?;
    let answer = session.client.request(asked).await;
    match read {
        Read::At(revision) => answer.with_context(|| format!("at revision {revision}")),
        Read::Now | Read::Watch => Ok(answer?),
    }
}

/// An answer beside the request that it is to.
type Answer<'a> = (&'a Request<'a>, Value);

/// The answers to requests, and the errors of those that have none.
async fn ask_all<'a>(
    session: &Session,
    get: &Get,
    requests: &'a [Request<'a>],
    read: Read,
    accept: &str,
) -> (Vec<Answer<'a>>, Vec<anyhow::Error>) {
    let (mut answers, mut errors) = (Vec::new(), Vec::new());
    for request in requests {
        match ask(session, get, request, read, accept).await {
            Ok(answer) => answers.push((request, answer)),
            Err(error) => errors.push(error),
        }
    }
    (answers, errors)
}

/// A table for each kind; objects that were named one by one share that of their kind. Returns how many there are.
fn tables(get: &Get, requests: &[Request<'_>], answers: Vec<Answer<'_>>, wide: bool) -> anyhow::Result<usize> {
    let several = requests.windows(2).any(|two| two[0].resource.resource != two[1].resource.resource);
    let mut kinds: Vec<Answer<'_>> = Vec::new();
    for (request, mut answer) in answers {
        match kinds.last_mut().filter(|(last, _)| last.resource.resource == request.resource.resource) {
            Some((_, whole)) => {
                if let (Some(rows), Some(more)) = (rows_of(whole), rows_of(&mut answer)) {
                    rows.append(more);
                }
            }
            None => kinds.push((request, answer)),
        }
    }
    kinds.retain_mut(|(_, whole)| rows_of(whole).is_some_and(|rows| !rows.is_empty()));
    for (at, (request, whole)) in kinds.iter().enumerate() {
        let shown = Shown {
            wide,
            namespaces: request.resource.namespaced && get.all_namespaces,
            prefix: if several { request.prefix() } else { String::new() },
        };
        let gap = if at > 0 { "\n" } else { "" };
        say(&format!("{gap}{}", Table::new(shown).lines(whole)))?;
    }
    Ok(kinds.len())
}

fn rows_of(table: &mut Value) -> Option<&mut Vec<Value>> {
    table.get_mut("rows")?.as_array_mut()
}

/// The objects of an answer: itself, or the items of a list, which name neither their kind nor their version there.
fn objects(answer: Value) -> Vec<Value> {
    let kind = answer["kind"].as_str().unwrap_or_default().to_owned();
    let (Some(kind), true) = (kind.strip_suffix("List"), answer["items"].is_array()) else { return vec![answer] };
    let version = answer["apiVersion"].clone();
    let items = answer["items"].as_array().cloned().unwrap_or_default();
    let named = items.into_iter().map(|mut item| {
        item["kind"] = kind.into();
        item["apiVersion"] = version.clone();
        item
    });
    named.collect()
}

/// `items`: each with what stands before its name. `single`: one object was asked for by its name.
fn shown(output: &Output, items: Vec<(String, Value)>, single: bool) -> anyhow::Result<String> {
    if *output == Output::Name {
        let line = |(prefix, object): &(String, Value)| {
            format!("{prefix}{}\n", object["metadata"]["name"].as_str().unwrap_or_default())
        };
        return Ok(items.iter().map(line).collect());
    }
    let mut objects: Vec<Value> = items.into_iter().map(|(_, object)| object).collect();
    let whole = match objects.pop() {
        Some(only) if single && objects.is_empty() => only,
        last => {
            objects.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects})
        }
    };
    Ok(match output {
        Output::Yaml => serde_saphyr::to_string(&whole).context("YAML")?,
        Output::JsonPath(template) => template.print(&whole),
        _ => format!("{}\n", serde_json::to_string_pretty(&whole)?),
    })
}

/// Shows what there is, and each change of it.
async fn watch(session: &Session, get: &Get, request: &Request<'_>) -> anyhow::Result<()> {
    let wide = get.output == Output::Table { wide: true };
    let is_table = matches!(get.output, Output::Table { .. });
    let namespaces = request.resource.namespaced && get.all_namespaces;
    let mut table = Table::new(Shown { wide, namespaces, prefix: String::new() });
    let accept = if is_table { AS_TABLE } else { "application/json" };
    let path = request.path(session, get, Read::Watch);
    let asked = http::Request::get(path).header(http::header::ACCEPT, accept).body(Bytes::new())?;
    let mut body = session.client.stream(asked).await?;
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| anyhow::anyhow!("the watch was cut off: {error}"))?;
        read.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let line = read.split_to(end + 1);
            let event: Value = serde_json::from_slice(&line).context("an event of the watch")?;
            let object = &event["object"];
            match event["type"].as_str() {
                Some("BOOKMARK") => {}
                Some("ERROR") => bail!("{}", object["message"].as_str().unwrap_or("the watch has ended")),
                _ if is_table => say(&table.lines(object))?,
                _ => {
                    let object = get.managers.of(object.clone());
                    say(&shown(&get.output, vec![(request.prefix(), object)], true)?)?;
                }
            }
        }
        if read.len() > WATCH_LINE_MAX {
            bail!("an event of more than {WATCH_LINE_MAX} bytes");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_name() {
        let check = |text: &str, expected: Option<Output>| {
            assert_eq!(Output::parse(Some(text)).ok(), expected, "{text}");
        };
        check("", Some(Output::Table { wide: false }));
        check("wide", Some(Output::Table { wide: true }));
        check("name", Some(Output::Name));
        check("yaml", Some(Output::Yaml));
        check("jsonpath={.kind}", Template::parse("{.kind}").ok().map(Output::JsonPath));
        check("jsonpath={.kind", None);
        check("xml", None);
    }

    #[test]
    fn one_object_is_itself_and_several_are_a_list() {
        let pods = json!({"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]});
        let items = |answer: &Value| -> Vec<(String, Value)> {
            objects(answer.clone()).into_iter().map(|object| ("pod/".to_owned(), object)).collect()
        };
        let check = |output: Output, answer: &Value, single: bool, expected: &str| {
            assert_eq!(shown(&output, items(answer), single).expect("shown"), expected);
        };
        let path = |text: &str| Output::JsonPath(Template::parse(text).expect(text));
        check(Output::Name, &pods, false, "pod/a\npod/b\n");
        check(path("{.items[*].kind}"), &pods, false, "Pod Pod");
        let one = json!({"kind": "Pod", "metadata": {"name": "a"}});
        check(path("{.kind}"), &one, true, "Pod");
        check(path("{.kind}"), &one, false, "List");
        check(Output::Yaml, &json!({"kind": "Pod"}), true, "kind: Pod\n");
        check(path("{.kind}"), &json!({"kind": "PodList", "items": []}), false, "List");
    }
}
