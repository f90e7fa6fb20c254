//! `sampan version` and `sampan status`.

use crate::session::{Session, hinted, say, told};
use bytes::Bytes;
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_client::ListParams;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Which program this is.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Its own version.
    pub version: &'static str,
    /// The commit it was built from; `unknown` where the build was not told.
    pub commit: &'static str,
    /// The version of Kubernetes' API that it serves, as `/version` says it.
    pub kubernetes: &'static str,
}

/// For whom an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Says which program this is, and which server answers, if one does. `None`: none is asked.
///
/// # Errors
/// Standard output cannot be written.
pub async fn version(session: Option<anyhow::Result<Session>>, build: Build, form: Form) -> anyhow::Result<()> {
    let server = match session {
        Some(session) => Some(of_server(session).await),
        None => None,
    };
    if form == Form::Json {
        let client = json!({"version": build.version, "gitCommit": build.commit, "kubernetes": build.kubernetes});
        let mut all = json!({"client": client});
        if let Some(Ok(server)) = &server {
            all["server"] = server.clone();
        }
        return say(&format!("{}\n", serde_json::to_string_pretty(&all)?));
    }
    let mut text =
        format!("sampan      {} (commit {})\nKubernetes  {}\n", build.version, build.commit, build.kubernetes);
    match server {
        None => {}
        Some(Ok(server)) => {
            let version = server["gitVersion"].as_str().unwrap_or("unknown");
            text.push_str(&format!("server      {version}\n"));
        }
        Some(Err(error)) => text.push_str(&format!("server      none: {}\n", told(&hinted(error)))),
    }
    say(&text)
}

async fn of_server(session: anyhow::Result<Session>) -> anyhow::Result<Value> {
    session?.ask("/version").await
}

/// Says whether the cluster is ready, and counts its nodes and pods.
///
/// # Errors
/// The cluster does not answer or is not ready.
pub async fn status(session: &Session, form: Form) -> anyhow::Result<()> {
    let asked = http::Request::get("/readyz").body(Bytes::new())?;
    let answer = session.client.send(asked).await?;
    let ready = answer.status().is_success();
    let nodes = session.client.all::<Node>().list_all(&ListParams::default()).await?.items;
    let is_ready = |node: &&Node| {
        let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.any(|one| one.type_ == "Ready" && one.status == "True")
    };
    let ready_nodes = nodes.iter().filter(is_ready).count();
    let mut phases: BTreeMap<String, usize> = BTreeMap::new();
    for pod in session.client.all::<Pod>().list_all(&ListParams::default()).await?.items {
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_else(|| "Pending".into());
        *phases.entry(phase).or_default() += 1;
    }
    let word = if ready { "ready" } else { "not ready" };
    if form == Form::Json {
        let all = json!({"ready": ready, "server": session.server, "nodes": {"all": nodes.len(), "ready": ready_nodes}, "pods": phases});
        say(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    } else {
        let pods: Vec<String> = phases.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
        let pods = if pods.is_empty() { "none".to_owned() } else { pods.join(", ") };
        let (server, all) = (&session.server, nodes.len());
        say(&format!("API    {word} at {server}\nnodes  {ready_nodes} of {all} ready\npods   {pods}\n"))?;
    }
    if !ready {
        anyhow::bail!("the API server is not ready: `kubectl get --raw '/readyz?verbose'` says what it waits for");
    }
    Ok(())
}
