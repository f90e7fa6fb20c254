//! The commands over the API, as the command line has them.

use crate::apply::{Conflicts, Scope, api_of, apply, place};
use crate::get::{Get, Managers, Output, get};
use crate::history;
use crate::logs::{logs, seconds};
use crate::manifest::Files;
use crate::session::{ClientFlags, Session, all_well, find, hinted, say, targets, told};
use crate::status::{Build, Form, status, version};
use anyhow::bail;
use bytes::Bytes;
use sampan_api::Object;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_client::{DeleteParams, Discovery, Error};
use sampan_env::{Env, Tasks};
use serde_json::Value;

/// The commands over the API.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Show objects
    Get {
        /// pods | pods,services | pod NAME... | pod/NAME service/NAME...
        #[arg(required = true, value_name = "WHAT")]
        what: Vec<String>,
        /// Of every namespace
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// Only those with these labels: app=web,tier!=db
        #[arg(short = 'l', long, value_name = "SELECTOR")]
        selector: Option<String>,
        /// Only those with these fields: status.phase=Running
        #[arg(long, value_name = "SELECTOR")]
        field_selector: Option<String>,
        /// wide for all columns, name, json, yaml, or jsonpath=TEMPLATE
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<String>,
        /// Go on with what changes
        #[arg(short, long)]
        watch: bool,
        /// As it was at a revision, at a time (RFC 3339), or that long ago (10m, 2h, 1d)
        #[arg(long, value_name = "REV|TIME", conflicts_with = "watch")]
        at: Option<String>,
        /// In json and yaml, who owns which field too
        #[arg(long)]
        show_managed_fields: bool,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Create objects, or change them to what a manifest says (server-side apply)
    Apply {
        #[command(flatten)]
        files: Files,
        /// Take over fields that others own and the manifest says otherwise
        #[arg(long)]
        force_conflicts: bool,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Delete objects by name or by manifest
    Delete {
        /// pod NAME... | pod/NAME service/NAME...
        #[arg(value_name = "WHAT", conflicts_with_all = ["files", "kustomize"])]
        what: Vec<String>,
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Print what a pod's container has written
    Logs {
        /// POD | KIND/NAME of something that has pods, such as deployment/web
        #[arg(value_name = "POD")]
        pod: String,
        /// Container of the pod [default: its only one]
        #[arg(short, long, value_name = "NAME")]
        container: Option<String>,
        /// Go on with what is written from now on
        #[arg(short, long)]
        follow: bool,
        /// Of the run before the present one
        #[arg(short, long)]
        previous: bool,
        /// Only the last N lines; -1 for all
        #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
        tail: Option<i64>,
        /// Only what was written in that time until now: 5s, 2m, 1h30m
        #[arg(long, value_name = "AGE", value_parser = seconds)]
        since: Option<u64>,
        #[command(flatten)]
        flags: ClientFlags,
    },
    #[command(flatten)]
    Past(history::Command),
    /// Say why a pod is where it is, or why it is nowhere
    Explain {
        /// pod
        #[arg(value_name = "KIND", value_parser = ["pod", "pods", "po"])]
        resource: String,
        /// Name of the pod
        #[arg(value_name = "NAME")]
        name: String,
        /// json for machines, yaml
        #[arg(short, long, value_name = "FORMAT", value_parser = ["text", "json", "yaml"])]
        output: Option<String>,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Say whether the cluster is ready, and count its nodes and pods
    Status {
        /// text for people, json for machines
        #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Form::Text)]
        output: Form,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Say which sampan this is, and which server answers
    Version {
        /// text for people, json for machines
        #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Form::Text)]
        output: Form,
        /// Of this program alone: no server is asked
        #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
              default_value_t = false, default_missing_value = "true", hide_default_value = true)]
        client: bool,
        #[command(flatten)]
        flags: ClientFlags,
    },
}

/// Runs one command against the cluster that its flags name. `build`: of this program.
///
/// # Errors
/// For people, with what to do next where that is known.
pub async fn run(command: Command, build: Build, env: &Env, tasks: &Tasks) -> anyhow::Result<()> {
    run_one(command, build, env, tasks).await.map_err(hinted)
}

async fn run_one(command: Command, build: Build, env: &Env, tasks: &Tasks) -> anyhow::Result<()> {
    let open = |flags: &ClientFlags| Session::open(flags, env, tasks);
    match command {
        Command::Get {
            what,
            all_namespaces,
            selector,
            field_selector,
            output,
            watch,
            at,
            show_managed_fields,
            flags,
        } => {
            let output = Output::parse(output.as_deref())?;
            let targets = targets(&what)?;
            let managers = if show_managed_fields { Managers::Shown } else { Managers::Hidden };
            let wanted = Get { targets, all_namespaces, selector, field_selector, output, watch, at, managers };
            get(&open(&flags)?, &wanted).await
        }
        Command::Apply { files, force_conflicts, flags } => {
            let conflicts = if force_conflicts { Conflicts::TakeOver } else { Conflicts::Fail };
            apply_files(&open(&flags)?, &files, conflicts).await
        }
        Command::Delete { what, files, flags } => delete(&open(&flags)?, &what, &files).await,
        Command::Logs { pod, container, follow, previous, tail, since, flags } => {
            let mut query = vec![format!("follow={follow}"), format!("previous={previous}")];
            query.extend(container.map(|container| format!("container={container}")));
            query.extend(tail.filter(|tail| *tail >= 0).map(|tail| format!("tailLines={tail}")));
            query.extend(since.filter(|since| *since > 0).map(|since| format!("sinceSeconds={since}")));
            logs(&open(&flags)?, &pod, &query.join("&")).await
        }
        Command::Past(command) => history::run(command, env, tasks).await,
        Command::Explain { resource: _, name, output, flags } => {
            explain(&open(&flags)?, &name, output.as_deref()).await
        }
        Command::Status { output, flags } => status(&open(&flags)?, output).await,
        Command::Version { output, client, flags } => {
            let session = if client { None } else { Some(open(&flags)) };
            version(session, build, output).await
        }
    }
}

/// A namespaced object that names no namespace goes where the command is told to work. One that names another than the command
/// line is refused, in kubectl's words.
fn placed(session: &Session, discovery: &Discovery, object: &mut Object) -> anyhow::Result<()> {
    let scope = place(discovery, object, &session.namespace);
    refuse_other(object, scope == Scope::Namespaced && session.namespace_named, &session.namespace)
}

/// `held`: whether the object must be of that namespace.
fn refuse_other(object: &Object, held: bool, namespace: &str) -> anyhow::Result<()> {
    let own = object.namespace();
    if held && own != namespace {
        bail!(
            "the namespace from the provided object {own:?} does not match the namespace {namespace:?}. You must pass \
             '--namespace={own}' to perform this operation."
        );
    }
    Ok(())
}

/// Each object is tried, whatever becomes of the others.
async fn apply_files(session: &Session, files: &Files, conflicts: Conflicts) -> anyhow::Result<()> {
    if files.is_empty() {
        bail!("what is to be applied? Give a manifest, a folder of them, or - for standard input with -f");
    }
    let objects = files.read()?;
    if objects.is_empty() {
        bail!("no objects passed to apply");
    }
    let count = objects.len();
    let mut discovery = session.discover().await?;
    let mut failed = 0;
    for mut object in objects {
        // What a manifest defines may be served by the time that the next object of it comes.
        if object.gvk().is_some_and(|gvk| discovery.by_kind(&gvk).is_none()) {
            discovery = session.discover().await?;
        }
        let applied = match placed(session, &discovery, &mut object) {
            Ok(()) => apply(&session.client, &discovery, &object, conflicts).await,
            Err(error) => Err(error),
        };
        match applied {
            Ok((applied, made)) => {
                say(&format!("{}/{} {}\n", made.kind().to_lowercase(), made.name(), applied.as_str()))?;
            }
            Err(error) => {
                eprintln!("sampan: {}", told(&error));
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {count} objects were not applied");
    }
    Ok(())
}

/// Each is tried, whatever becomes of the others.
async fn delete(session: &Session, what: &[String], files: &Files) -> anyhow::Result<()> {
    if what.is_empty() && files.is_empty() {
        bail!("what is to be deleted? Give a resource and a name, KIND/NAME, or -f FILE");
    }
    let objects = files.read()?;
    let discovery = session.discover().await?;
    let mut errors = Vec::new();
    if !what.is_empty() {
        for target in targets(what)? {
            let found = find(&discovery, &target.resource)?;
            let namespace = found.namespaced.then_some(session.namespace.as_str());
            if target.names.is_empty() {
                bail!("which one? Give a name behind {}", target.resource);
            }
            let api = session.client.dynamic(&found.resource, namespace);
            for name in &target.names {
                match api.delete(name, &DeleteParams::default()).await {
                    Ok(_) => say(&format!("{} {name:?} deleted\n", found.singular))?,
                    Err(error) => errors.push(error.into()),
                }
            }
        }
    }
    for mut object in objects {
        match delete_object(session, &discovery, &mut object).await {
            Ok(()) => say(&format!("{} {:?} deleted\n", object.kind().to_lowercase(), object.name()))?,
            Err(error) => errors.push(error),
        }
    }
    all_well(errors)
}

async fn delete_object(session: &Session, discovery: &Discovery, object: &mut Object) -> anyhow::Result<()> {
    placed(session, discovery, object)?;
    api_of(&session.client, discovery, object)?.delete(object.name(), &DeleteParams::default()).await?;
    Ok(())
}

async fn explain(session: &Session, name: &str, output: Option<&str>) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{}/pods/{name}/scheduling", session.namespace);
    let answer: Value = match session.client.request(http::Request::get(path).body(Bytes::new())?).await {
        Ok(answer) => answer,
        Err(error) => return Err(unexplained(session, name, error).await),
    };
    match (output, answer.get("text").and_then(Value::as_str)) {
        (Some("yaml"), _) => say(&serde_saphyr::to_string(&answer)?),
        (Some("json"), _) | (_, None) => say(&format!("{}\n", serde_json::to_string_pretty(&answer)?)),
        (_, Some(text)) => say(&format!("{}\n", text.trim_end())),
    }
}

/// No decision is on record: perhaps since there is no such pod.
async fn unexplained(session: &Session, name: &str, error: Error) -> anyhow::Error {
    let pods = session.client.namespaced::<Pod>(&session.namespace);
    if error.is_not_found() && matches!(pods.get_opt(name).await, Ok(None)) {
        return anyhow::Error::from(error).context(format!("pods {name:?} not found"));
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_of_another_namespace_than_the_command_lines_is_refused() {
        let check = |namespace: &str, held: bool, refused: bool| {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace}});
            let object = Object::from_value(object).expect("an object");
            let found = refuse_other(&object, held, "a").map_err(|error| error.to_string());
            assert_eq!(found.is_err(), refused, "{namespace} {held}: {found:?}");
        };
        check("a", true, false);
        check("b", true, true);
        check("b", false, false);
    }
}
