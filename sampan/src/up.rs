//! `sampan up`: everything in one process.

use crate::cluster::Cluster;
use crate::config::{Config, ServerFlags};
use anyhow::{Context, bail};
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::{Object, UserInfo};
use sampan_cli::wait::NotReady;
use sampan_cli::{apply, manifest, wait};
use sampan_client::{Client, ListParams, kubeconfig};
use sampan_env::Env;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long the applied objects have to become ready.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// What is looked at after that has this long to show that it is ready already.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, clap::Args)]
pub struct UpFlags {
    /// Manifest to apply once the cluster is up; may be given several times
    #[arg(short, long = "filename", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// text for people, json for machines
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    pub output: String,
    #[command(flatten)]
    pub server: ServerFlags,
}

struct Report {
    env: Env,
    began: tokio::time::Instant,
    text: bool,
}

impl Report {
    /// One step, with the time since the start, for people.
    fn step(&self, what: &str) {
        if self.text {
            let elapsed = self.env.instant().duration_since(self.began);
            eprintln!("{:>7.1} ms  {what}", elapsed.as_secs_f64() * 1000.0);
        }
    }
}

pub async fn up(flags: UpFlags, env: &Env) -> anyhow::Result<()> {
    let report = Report { env: env.clone(), began: env.instant(), text: flags.output == "text" };
    let config = Config::resolve(&flags.server)?;
    // Read before anything starts: a mistake in a file should cost nothing.
    let mut objects = Vec::new();
    for file in &flags.files {
        objects.extend(manifest::read(file)?);
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cluster = Cluster::start(&config, env, &|what| report.step(what)).await?;
    let unready = AtomicBool::new(false);
    let work = async {
        let merged = write_kubeconfig(&config, &cluster, env).await?;
        let admin = cluster.client(UserInfo::new("sampan-admin", ["system:masters"]), "sampan");
        let waited = apply_all(&admin, &objects, &report).await?;
        unready.store(!waited.is_empty(), Ordering::Relaxed);
        for why in &waited {
            eprintln!("sampan: {why}");
        }
        if report.text {
            tell(&admin, &cluster, &merged, &objects).await?;
        } else if !waited.is_empty() {
            let why: Vec<String> = waited.iter().map(ToString::to_string).collect();
            print(&format!("{}\n", json!({"event": "notReady", "server": cluster.server_url(), "why": why})))?;
        } else {
            let ready = json!({
                "event": "ready",
                "server": cluster.server_url(),
                "kubeconfig": merged.file,
                "dataDir": cluster.data_dir.root,
                "pid": std::process::id(),
            });
            print(&format!("{ready}\n"))?;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    let result = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        result = work => result,
    };
    report.step("ending");
    cluster.drain().await;
    report.step("ended; the next `sampan up` finds everything as it was");
    result?;
    if unready.into_inner() {
        bail!("not everything that was applied has become ready");
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
}

async fn write_kubeconfig(config: &Config, cluster: &Cluster, env: &Env) -> anyhow::Result<kubeconfig::Merged> {
    let entry = kubeconfig::Entry {
        name: "sampan".into(),
        server: cluster.server_url(),
        ca_pem: cluster.pki.ca_pem().as_bytes().to_vec(),
        client_cert_pem: cluster.pki.admin.certificate_pem.as_bytes().to_vec(),
        client_key_pem: cluster.pki.admin.key_pem.as_bytes().to_vec(),
    };
    let target = match &config.kubeconfig {
        Some(path) => kubeconfig::Target::File(path.clone()),
        None => kubeconfig::Target::Default,
    };
    kubeconfig::merge(&target, &entry, env).await.context("the kubeconfig")
}

/// Applies everything and waits for it. What does not become ready is returned: the cluster runs on, so that it can be
/// looked into.
async fn apply_all(admin: &Client, objects: &[Object], report: &Report) -> anyhow::Result<Vec<NotReady>> {
    let mut unready = Vec::new();
    if objects.is_empty() {
        return Ok(unready);
    }
    let discovery = admin.discover().await?;
    let mut made = Vec::new();
    for object in objects {
        let (applied, live) = apply::apply(admin, &discovery, object).await?;
        report.step(&format!("{} {} {}", live.kind().to_lowercase(), live.name(), applied.as_str()));
        made.push(live);
    }
    // One deadline for all: what is hopeless does not make the rest wait.
    let deadline = report.env.instant() + READY_DEADLINE;
    for object in &made {
        let name = format!("{} {}", object.kind().to_lowercase(), object.name());
        let tell = |missing: &str| report.step(&format!("{name}: {missing}"));
        let left = deadline.saturating_duration_since(report.env.instant()).max(LOOK);
        match wait::until_current(admin, &discovery, object, left, tell).await {
            Ok(_) => report.step(&format!("{name} ready")),
            Err(error) => unready.push(error.downcast::<NotReady>()?),
        }
    }
    Ok(unready)
}

/// What runs, where it is, and what to try next.
async fn tell(
    admin: &Client,
    cluster: &Cluster,
    merged: &kubeconfig::Merged,
    objects: &[Object],
) -> anyhow::Result<()> {
    let mut text = format!("\nSampan is up at {}\n", cluster.server_url());
    text.push_str(&format!("  kubeconfig  {} (context sampan", merged.file.display()));
    match &merged.previous_context {
        Some(previous) => text.push_str(&format!("; before it was {previous})\n")),
        None => text.push_str(")\n"),
    }
    text.push_str(&format!("  data        {}\n", cluster.data_dir.root.display()));
    let pods = admin.all::<Pod>().list_all(&ListParams::default()).await?;
    let mut first_http = None;
    for pod in &pods.items {
        let (metadata, status) = (&pod.metadata, pod.status.as_ref());
        let ip = status.and_then(|status| status.pod_ip.clone()).unwrap_or_default();
        let phase = status.and_then(|status| status.phase.clone()).unwrap_or_default();
        let port = pod
            .spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .find_map(|container| container.ports.iter().flatten().next().map(|port| port.container_port));
        let address = match port {
            Some(port) if !ip.is_empty() => format!("http://{ip}:{port}/"),
            _ => ip,
        };
        if first_http.is_none() && address.starts_with("http") {
            first_http = Some(address.clone());
        }
        let name = format!(
            "{}/{}",
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default()
        );
        text.push_str(&format!("  pod         {name}  {phase}  {address}\n"));
    }
    text.push_str("\nTry next, in another terminal:\n");
    if let Some(address) = first_http {
        text.push_str(&format!("  curl {address}\n"));
    }
    text.push_str("  kubectl get pods -o wide\n");
    if let Some(deployment) = objects.iter().find(|object| object.kind() == "Deployment") {
        text.push_str(&format!("  kubectl scale deployment {} --replicas=20\n", deployment.name()));
    }
    if let Some(pod) = pods.items.first().and_then(|pod| pod.metadata.name.as_deref()) {
        text.push_str(&format!("  sampan explain pod {pod}\n"));
    }
    text.push_str("\nCtrl-C ends it; the next `sampan up` finds everything as it was.\n");
    print(&text)
}
