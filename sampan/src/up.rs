//! `sampan up`: everything in one process.

use crate::cluster::Cluster;
use crate::config::{ClusterName, Config, ServerFlags};
use crate::ranges::Claim;
use crate::tell::{self, Counts};
use anyhow::{Context, bail};
use sampan_api::{Object, UserInfo};
use sampan_cli::apply::Conflicts;
use sampan_cli::wait::NotReady;
use sampan_cli::{apply, manifest, wait};
use sampan_client::{Client, kubeconfig};
use sampan_env::Env;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Time that the applied objects have to become ready.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// Clusters without a name that get a context of their own in one user's configuration.
const CLUSTERS_MAX: u32 = 64;
/// Time that each object has after the deadline to show that it is ready already.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, clap::Args)]
pub struct UpFlags {
    /// Manifest, folder of manifests, or - for standard input, to apply once the cluster is up; may be given several times
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
    /// One step, with the time since the start: a line for people, or an object for machines.
    fn step(&self, what: &str) {
        let elapsed = self.env.instant().duration_since(self.began).as_secs_f64() * 1000.0;
        if self.text {
            eprintln!("{elapsed:>7.1} ms  {what}");
        } else {
            eprintln!("{}", json!({"event": "step", "message": what, "afterMs": elapsed}));
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
    // Of a terminal that is closed.
    let mut hangup = signal(SignalKind::hangup())?;
    let cluster = Cluster::start(&config, env, &|what| report.step(what)).await?;
    let (unready, written) = (AtomicBool::new(false), OnceLock::new());
    let work = async {
        // Held until the end: no other cluster of this host's user takes the context meanwhile.
        let context = ClusterContext::take(&config)?;
        let merged = write_kubeconfig(&config, &context.name, &cluster, env).await?;
        written.get_or_init(|| (merged.file.clone(), context.name.clone(), merged.previous_context.clone()));
        let admin = cluster.client(UserInfo::new("sampan-admin", ["system:masters"]), "sampan");
        let waited = apply_all(&admin, &objects, &report).await?;
        unready.store(!waited.is_empty(), Ordering::Relaxed);
        for why in waited.iter().filter(|_| report.text) {
            eprintln!("sampan: {why}");
        }
        if report.text {
            print(&tell::up(&admin, &cluster, &context.name, &merged, &objects).await?)?;
        } else if !waited.is_empty() {
            let why: Vec<String> = waited.iter().map(ToString::to_string).collect();
            print(&format!("{}\n", json!({"event": "notReady", "server": cluster.server_url(), "why": why})))?;
        } else {
            let ready = json!({
                "event": "ready",
                "server": cluster.server_url(),
                "kubeconfig": merged.file,
                "context": context.name,
                "serviceCIDR": cluster.addresses.services().to_string(),
                "podCIDR": cluster.addresses.pods().map(|block| block.to_string()),
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
        _ = hangup.recv() => Ok(()),
        result = work => result,
    };
    report.step("ending");
    cluster.drain().await;
    if let Some((file, context, Some(previous))) = written.get() {
        let back = kubeconfig::leave(file, context, previous, env).await;
        back.with_context(|| format!("the current context could not go back to {previous}"))?;
    }
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

/// The cluster's context in a kubeconfig.
struct ClusterContext {
    name: String,
    _claim: Option<Claim>,
}

impl ClusterContext {
    /// In the user's own configuration each cluster that runs has one of its own: a second one without a name gets a number.
    /// In a file that is given for one cluster there is nobody to be kept apart from.
    fn take(config: &Config) -> anyhow::Result<Self> {
        if config.kubeconfig.is_some() {
            return Ok(Self { name: config.name.context(), _claim: None });
        }
        let user = rustix::process::getuid().as_raw();
        let claim = |name: &str| Claim::of_name(&format!("sampan/context/{user}/{name}")).context("the cluster's name");
        let name = config.name.context();
        if let Some(claim) = claim(&name)? {
            return Ok(Self { name, _claim: Some(claim) });
        }
        if config.name.is_given() {
            bail!("a cluster of the context {name} is running: end it first, or choose another --name");
        }
        for number in 2..=CLUSTERS_MAX {
            let name = ClusterName::new(Some(&number.to_string())).context();
            if let Some(claim) = claim(&name)? {
                return Ok(Self { name, _claim: Some(claim) });
            }
        }
        bail!("{CLUSTERS_MAX} clusters without a name are running: give this one a --name");
    }
}

async fn write_kubeconfig(
    config: &Config,
    context: &str,
    cluster: &Cluster,
    env: &Env,
) -> anyhow::Result<kubeconfig::Merged> {
    let entry = kubeconfig::Entry {
        name: context.to_owned(),
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
    let mut discovery = admin.discover().await?;
    let mut made = Vec::new();
    let mut counts = Counts::default();
    for object in objects {
        // What a manifest defines may be served by the time that the next object of it comes.
        if object.gvk().is_some_and(|gvk| discovery.by_kind(&gvk).is_none()) {
            discovery = admin.discover().await?;
        }
        let (applied, live) = match apply::apply(admin, &discovery, object, Conflicts::TakeOver).await {
            Ok(done) => done,
            // One that is refused does not keep the others from running.
            Err(error) => {
                unready.push(NotReady(format!("{error:#}")));
                continue;
            }
        };
        counts.add(live.kind(), applied);
        if made.len() < tell::SHOWN_MAX {
            report.step(&format!("{} {} {}", live.kind().to_lowercase(), live.name(), applied.as_str()));
        }
        made.push(live);
    }
    if made.len() > tell::SHOWN_MAX {
        report.step(&format!("applied in all: {counts}"));
    }
    // One deadline for all: what is hopeless does not make the rest wait.
    let deadline = report.env.instant() + READY_DEADLINE;
    for (index, object) in made.iter().enumerate() {
        let name = format!("{} {}", object.kind().to_lowercase(), object.name());
        let tell = |missing: &str| report.step(&format!("{name}: {missing}"));
        let left = deadline.saturating_duration_since(report.env.instant()).max(LOOK);
        match wait::until_current(admin, &discovery, object, left, tell).await {
            Ok(_) if index < tell::SHOWN_MAX => report.step(&format!("{name} ready")),
            Ok(_) => {}
            Err(error) => unready.push(error.downcast::<NotReady>()?),
        }
    }
    if made.len() > tell::SHOWN_MAX {
        report.step(&format!("{} of {} objects ready", made.len() - unready.len(), made.len()));
    }
    Ok(unready)
}
