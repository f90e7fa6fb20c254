//! `sampan get`, `apply`, `delete`, `logs`, `explain`.

use crate::apply::{api_of, apply};
use crate::manifest;
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use sampan_client::{Client, DeleteParams, Discovery, Kubeconfig};
use sampan_env::{Env, Tasks};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;

/// Which cluster, and where in it.
#[derive(Clone, Debug, clap::Args)]
pub struct ClientFlags {
    /// Kubeconfig to use instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// The commands over the API.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Show objects as a table
    Get {
        /// pods, deploy, nodes, ...
        resource: String,
        name: Option<String>,
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        #[arg(short = 'l', long, value_name = "SELECTOR")]
        selector: Option<String>,
        /// json, or wide for all columns
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<String>,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Create objects, or change them to what a manifest says
    Apply {
        #[arg(short, long = "filename", value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Delete objects by name or by manifest
    Delete {
        resource: Option<String>,
        name: Option<String>,
        #[arg(short, long = "filename", value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Print what a pod's container has written
    Logs {
        pod: String,
        #[arg(short, long, value_name = "NAME")]
        container: Option<String>,
        #[arg(short, long)]
        follow: bool,
        #[arg(short, long)]
        previous: bool,
        #[arg(long, value_name = "N")]
        tail: Option<u64>,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Say why a pod is where it is, or why it is nowhere
    Explain {
        /// pod
        #[arg(value_parser = ["pod", "pods", "po"])]
        resource: String,
        name: String,
        /// json for machines
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<String>,
        #[command(flatten)]
        flags: ClientFlags,
    },
}

struct Session {
    client: Client,
    namespace: String,
}

fn session(flags: &ClientFlags, env: &Env, tasks: &Tasks) -> anyhow::Result<Session> {
    let config = match &flags.kubeconfig {
        Some(path) => Kubeconfig::load_file(path)?,
        None => Kubeconfig::load()?,
    };
    let context = flags.context.as_deref();
    let namespace = match &flags.namespace {
        Some(namespace) => namespace.clone(),
        None => config.namespace(context)?,
    };
    Ok(Session { client: Client::remote(config.remote_config(context)?, "sampan", env, tasks)?, namespace })
}

/// Runs one command against the cluster that its flags name.
pub async fn run(command: Command, env: &Env, tasks: &Tasks) -> anyhow::Result<()> {
    match command {
        Command::Get { resource, name, all_namespaces, selector, output, flags } => {
            let session = session(&flags, env, tasks)?;
            let request = Get { resource, name, all_namespaces, selector, output };
            get(&session, &request).await
        }
        Command::Apply { files, flags } => {
            let session = session(&flags, env, tasks)?;
            let discovery = session.client.discover().await?;
            for mut object in
                files.iter().map(|file| manifest::read(file)).collect::<anyhow::Result<Vec<_>>>()?.concat()
            {
                place(&discovery, &mut object, &session.namespace);
                let (applied, made) = apply(&session.client, &discovery, &object).await?;
                say(&format!("{}/{} {}\n", made.kind().to_lowercase(), made.name(), applied.as_str()))?;
            }
            Ok(())
        }
        Command::Delete { resource, name, files, flags } => {
            let session = session(&flags, env, tasks)?;
            delete(&session, resource.as_deref(), name.as_deref(), &files).await
        }
        Command::Logs { pod, container, follow, previous, tail, flags } => {
            let session = session(&flags, env, tasks)?;
            let mut query = vec![format!("follow={follow}"), format!("previous={previous}")];
            query.extend(container.map(|container| format!("container={container}")));
            query.extend(tail.map(|tail| format!("tailLines={tail}")));
            logs(&session, &pod, &query.join("&")).await
        }
        Command::Explain { resource: _, name, output, flags } => {
            let session = session(&flags, env, tasks)?;
            explain(&session, &name, output.as_deref()).await
        }
    }
}

/// Writes to standard output. That a reader went away is no failure: what the command does, it does to its end.
pub fn say(text: &str) -> anyhow::Result<()> {
    write(&mut std::io::stdout(), text.as_bytes()).map(drop)
}

/// Writes all of it, at once. `false`: nobody reads it any more, as in `sampan get pods | head -1`.
fn write(out: &mut impl Write, bytes: &[u8]) -> anyhow::Result<bool> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("standard output"),
    }
}

/// A namespaced object that names no namespace goes where the command is told to work.
fn place(discovery: &Discovery, object: &mut sampan_api::Object, namespace: &str) {
    let namespaced = object.gvk().and_then(|gvk| discovery.by_kind(&gvk).map(|one| one.namespaced));
    if namespaced == Some(true) && object.namespace().is_empty() {
        object.set_meta("namespace", namespace);
    }
}

struct Get {
    resource: String,
    name: Option<String>,
    all_namespaces: bool,
    selector: Option<String>,
    output: Option<String>,
}

async fn get(session: &Session, get: &Get) -> anyhow::Result<()> {
    let discovery = session.client.discover().await?;
    let found = discovery.by_name(&get.resource);
    let resource = found.with_context(|| format!("the server doesn't have a resource type {:?}", get.resource))?;
    let mut path = resource.resource.base_path();
    if resource.namespaced && !get.all_namespaces {
        path.push_str(&format!("/namespaces/{}", session.namespace));
    }
    path.push_str(&format!("/{}", resource.resource.resource));
    if let Some(name) = &get.name {
        path.push_str(&format!("/{name}"));
    }
    if let Some(selector) = &get.selector {
        path.push_str(&format!("?labelSelector={}", sampan_api::percent::encode(selector)));
    }
    let json = get.output.as_deref() == Some("json");
    let accept = if json { "application/json" } else { "application/json;as=Table;v=v1;g=meta.k8s.io" };
    let request = http::Request::get(path).header(http::header::ACCEPT, accept).body(Bytes::new())?;
    let answer: Value = session.client.request(request).await?;
    if json {
        return say(&format!("{}\n", serde_json::to_string_pretty(&answer)?));
    }
    say(&table(&answer, get.output.as_deref() == Some("wide"), resource.namespaced && get.all_namespaces))
}

/// A Table as kubectl prints it.
fn table(answer: &Value, wide: bool, with_namespace: bool) -> String {
    let columns = answer["columnDefinitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<usize> =
        (0..columns.len()).filter(|i| wide || columns[*i]["priority"].as_i64().unwrap_or(0) == 0).collect();
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut head: Vec<String> =
        shown.iter().map(|i| columns[*i]["name"].as_str().unwrap_or_default().to_uppercase()).collect();
    if with_namespace {
        head.insert(0, "NAMESPACE".into());
    }
    lines.push(head);
    for row in answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let mut line: Vec<String> = shown
            .iter()
            .map(|i| match &row["cells"][*i] {
                Value::String(text) => text.clone(),
                Value::Null => "<none>".into(),
                other => other.to_string(),
            })
            .collect();
        if with_namespace {
            line.insert(0, row["object"]["metadata"]["namespace"].as_str().unwrap_or_default().to_owned());
        }
        lines.push(line);
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(&format!("{cell:<width$}   "));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

async fn delete(
    session: &Session,
    resource: Option<&str>,
    name: Option<&str>,
    files: &[PathBuf],
) -> anyhow::Result<()> {
    let discovery = session.client.discover().await?;
    if let Some(resource) = resource {
        let name = name.context("which one? Give a name behind the resource")?;
        let found = discovery.by_name(resource);
        let found = found.with_context(|| format!("the server doesn't have a resource type {resource:?}"))?;
        let namespace = found.namespaced.then_some(session.namespace.as_str());
        session.client.dynamic(&found.resource, namespace).delete(name, &DeleteParams::default()).await?;
        return say(&format!("{} {name:?} deleted\n", found.singular));
    }
    if files.is_empty() {
        bail!("what is to be deleted? Give a resource and a name, or -f FILE");
    }
    for mut object in files.iter().map(|file| manifest::read(file)).collect::<anyhow::Result<Vec<_>>>()?.concat() {
        place(&discovery, &mut object, &session.namespace);
        api_of(&session.client, &discovery, &object)?.delete(object.name(), &DeleteParams::default()).await?;
        say(&format!("{} {:?} deleted\n", object.kind().to_lowercase(), object.name()))?;
    }
    Ok(())
}

async fn logs(session: &Session, pod: &str, query: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/log?{query}", session.namespace);
    let mut body = session.client.stream(http::Request::get(path).body(Bytes::new())?).await?;
    let mut out = std::io::stdout();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| anyhow::anyhow!("the log was cut off: {error}"))?;
        if let Some(bytes) = frame.data_ref()
            && !write(&mut out, bytes)?
        {
            return Ok(());
        }
    }
    Ok(())
}

async fn explain(session: &Session, name: &str, output: Option<&str>) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{}/pods/{name}/scheduling", session.namespace);
    let answer: Value = session.client.request(http::Request::get(path).body(Bytes::new())?).await?;
    if output == Some("json") {
        return say(&format!("{}\n", serde_json::to_string_pretty(&answer)?));
    }
    match answer.get("text").and_then(Value::as_str) {
        Some(text) => say(&format!("{}\n", text.trim_end())),
        None => say(&format!("{}\n", serde_json::to_string_pretty(&answer)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        struct Refuses(std::io::ErrorKind);
        impl Write for Refuses {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert!(!write(&mut Refuses(std::io::ErrorKind::BrokenPipe), b"x").expect("no failure"));
        assert!(write(&mut Refuses(std::io::ErrorKind::StorageFull), b"x").is_err());
        assert!(write(&mut Vec::new(), b"x").expect("written"));
    }

    #[test]
    fn tables_are_aligned_and_hide_what_is_wide() {
        let answer = json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "IP", "priority": 1}, {"name": "Age", "priority": 0}],
            "rows": [{"cells": ["a", "1.1.1.1", "3s"]}, {"cells": ["longer", null, "5m"]}],
        });
        assert_eq!(table(&answer, false, false), "NAME     AGE\na        3s\nlonger   5m\n");
        assert!(table(&answer, true, false).contains("1.1.1.1") && table(&answer, true, false).contains("<none>"));
    }
}
