//! `sampan up`: everything in one process.

use crate::cluster::Cluster;
use crate::config::{Config, ServerFlags};
use crate::context::ClusterContext;
use crate::idle;
use crate::report::{Form, Report, State};
use crate::tell::{self, Counts};
use anyhow::bail;
use sampan_api::{Object, UserInfo};
use sampan_cli::apply::Conflicts;
use sampan_cli::manifest::Files;
use sampan_cli::session::told;
use sampan_cli::wait::{Heard, NotReady};
use sampan_cli::{apply, wait};
use sampan_client::{Client, Discovery};
use sampan_env::Env;
use serde_json::json;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Time that the applied objects have to become ready, all together.
const READY_DEADLINE: Duration = Duration::from_secs(120);

/// The flags of `sampan up`.
#[derive(Clone, Debug, clap::Args)]
pub struct UpFlags {
    #[command(flatten)]
    pub files: Files,
    /// text for people, json for machines: an event a line on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Form::Text)]
    pub output: Form,
    #[command(flatten)]
    pub server: ServerFlags,
}

/// The form that a command line asks for which cannot be read as a whole; its first word is the program.
pub fn form_asked(line: impl IntoIterator<Item = OsString>) -> Form {
    let words = line.into_iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    let mut words = words.skip_while(|word| word.starts_with('-'));
    if words.next().as_deref() != Some("up") {
        return Form::Text;
    }
    let words: Vec<String> = words.collect();
    let joined = words.iter().any(|word| word == "--output=json");
    let apart = words.windows(2).any(|two| two[0] == "--output" && two[1] == "json");
    if joined || apart { Form::Json } else { Form::Text }
}

/// The signals that end it: Ctrl-C, kill, and a terminal that is closed.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Ends {
    fn listen() -> std::io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup: signal(SignalKind::hangup())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// What became of the applied objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Applied {
    /// All are ready, or were on their way when it was ended.
    Well,
    /// Some are not ready.
    Unready,
}

/// Starts everything, applies the files, and goes on until it is told to end.
///
/// # Errors
/// It cannot start or end as it should, or not everything that was applied is ready.
pub async fn up(flags: UpFlags, env: &Env) -> anyhow::Result<()> {
    let report = Report::new(flags.output, env);
    let config = Config::resolve(&flags.server)?;
    // Read before anything starts: a mistake in a file should cost nothing.
    let objects = flags.files.read()?;
    let mut ends = Ends::listen()?;
    let cluster = Cluster::start(&config, env, &|what| report.step(what)).await?;
    let again = format!("sampan up{}", flags.server.cluster.repeated());
    let context = ClusterContext::write(&config, &cluster, env).await;
    let applied = match &context {
        Ok(context) => serve(&cluster, context, &objects, &report, &mut ends).await,
        Err(_) => Ok(Applied::Well),
    };
    report.step("ending");
    cluster.drain().await;
    let forgotten = match context {
        Ok(context) => context.forget(env).await,
        Err(error) => Err(error),
    };
    if applied.is_ok() && forgotten.is_ok() {
        report.step(&format!("ended, and its context is taken away; the next `{again}` finds everything as it was"));
    }
    let applied = applied?;
    forgotten?;
    if applied == Applied::Unready {
        bail!("not everything that was applied has become ready");
    }
    Ok(())
}

/// Applies the objects, tells what came of it, and goes on until something ends it.
async fn serve(
    cluster: &Cluster,
    context: &ClusterContext,
    objects: &[Object],
    report: &Report,
    ends: &mut Ends,
) -> anyhow::Result<Applied> {
    let unready = AtomicBool::new(false);
    let work = async {
        let admin = cluster.client(UserInfo::new("sampan-admin", ["system:masters"]), "sampan");
        let waited = apply_all(&admin, objects, report).await?;
        unready.store(!waited.is_empty(), Ordering::Relaxed);
        if report.is_text() {
            waited.iter().for_each(|why| report.error(&why.to_string()));
            if !waited.is_empty() {
                report.error("the cluster runs on: `sampan get events` and `sampan explain pod NAME` say more");
            }
            report.text(&tell::up(&admin, cluster, context, objects).await?);
        }
        report.event(&finished(cluster, context, &waited));
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        () = ends.any() => {}
        result = work => result?,
    }
    Ok(if unready.into_inner() { Applied::Unready } else { Applied::Well })
}

/// The last event of a start.
fn finished(cluster: &Cluster, context: &ClusterContext, waited: &[NotReady]) -> serde_json::Value {
    let why: Vec<String> = waited.iter().map(ToString::to_string).collect();
    let mut event = json!({
        "event": if why.is_empty() { "ready" } else { "notReady" },
        "server": cluster.server_url(),
        "kubeconfig": context.merged.file,
        "context": context.name,
        "serviceCIDR": cluster.addresses.services().to_string(),
        "podCIDR": cluster.addresses.pods().map(|block| block.to_string()),
        "dataDir": cluster.data_dir.root,
        "pid": std::process::id(),
    });
    if !why.is_empty() {
        event["why"] = why.into();
    }
    event
}

/// Applies everything, and waits for it when all is there. What does not become ready is returned: the cluster runs on, so
/// that it can be looked into.
async fn apply_all(admin: &Client, objects: &[Object], report: &Report) -> anyhow::Result<Vec<NotReady>> {
    let mut unready = Vec::new();
    if objects.is_empty() {
        return Ok(unready);
    }
    let mut discovery = admin.discover().await?;
    let mut made = Vec::new();
    let mut counts = Counts::default();
    for object in objects {
        let mut object = object.clone();
        // What a manifest defines may be served by the time that the next object of it comes.
        if object.gvk().is_some_and(|gvk| discovery.by_kind(&gvk).is_none()) {
            discovery = admin.discover().await?;
        }
        apply::place(&discovery, &mut object, "default");
        let (applied, live) = match apply::apply(admin, &discovery, &object, Conflicts::TakeOver).await {
            Ok(done) => done,
            // One that is refused does not keep the others from running.
            Err(error) => {
                let why = told(&error);
                report.object(&object, State::Failed, &why);
                unready.push(NotReady(why));
                continue;
            }
        };
        counts.add(live.kind(), applied);
        if made.len() < tell::SHOWN_MAX {
            report.object(&live, State::Applied, applied.as_str());
        }
        made.push(live);
    }
    if made.len() > tell::SHOWN_MAX {
        report.step(&format!("applied in all: {counts}"));
    }
    unready.extend(wait_for(admin, &discovery, made, report).await?);
    Ok(unready)
}

/// Waits for all of it at once, but for what nothing acts on. What does not become ready is returned.
async fn wait_for(
    admin: &Client,
    discovery: &Discovery,
    made: Vec<Object>,
    report: &Report,
) -> anyhow::Result<Vec<NotReady>> {
    let (kept, made): (Vec<Object>, Vec<Object>) = made.into_iter().partition(idle::is_only_kept);
    kept.iter().take(tell::SHOWN_MAX).for_each(|object| report.object(object, State::Kept, idle::TOLD));
    let mut ready = 0;
    // Objects that are told of while they are waited for: others wait for the same.
    let mut waited = BTreeSet::new();
    let tell = |index: usize, heard: Heard<'_>| match heard {
        Heard::Missing(missing) => {
            if waited.len() < tell::SHOWN_MAX {
                waited.insert(index);
            }
            if waited.contains(&index) {
                report.object(&made[index], State::Waiting, missing);
            }
        }
        Heard::Ready => {
            ready += 1;
            if index < tell::SHOWN_MAX {
                report.object(&made[index], State::Ready, "ready");
            }
        }
        Heard::Failed(why) => report.object(&made[index], State::Failed, why),
    };
    let unready = wait::until_current(admin, discovery, &made, READY_DEADLINE, tell).await?;
    if made.len() > tell::SHOWN_MAX {
        report.step(&format!("{ready} of {} objects ready", made.len()));
    }
    if kept.len() > tell::SHOWN_MAX {
        report.step(&format!("of {} objects: {}", kept.len(), idle::TOLD));
    }
    Ok(unready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_says_for_whom_its_mistake_is() {
        let check = |line: &str, expected: Form| {
            assert_eq!(form_asked(line.split(' ').map(OsString::from)), expected, "{line}");
        };
        check("sampan up --output json --nosuch", Form::Json);
        check("sampan up --nosuch --output=json", Form::Json);
        check("sampan --nosuch up --output json", Form::Json);
        check("sampan up --output text --nosuch", Form::Text);
        check("sampan up --nosuch json", Form::Text);
        check("sampan up --output", Form::Text);
        check("sampan status --output json --nosuch", Form::Text);
        check("sampan", Form::Text);
    }
}
