//! What a shell may complete that only the cluster knows: resources, names of objects, namespaces, contexts. Where the cluster
//! does not answer in time, or refuses, there is nothing to complete.

use crate::limits::{COMPLETION_DEADLINE, COMPLETIONS_MAX};
use crate::session::{ClientFlags, Session, find};
use bytes::Bytes;
use clap::{ArgMatches, Command, FromArgMatches};
use clap_complete::{ArgValueCompleter, CompletionCandidate};
use sampan_client::{ApiResource, Kubeconfig};
use sampan_env::{Env, Tasks};
use serde_json::Value;
use std::ffi::{OsStr, OsString};

/// What is completed in the place of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// A resource, names behind a resource, or `RESOURCE/NAME`.
    Objects,
    /// Names of this resource, or `RESOURCE/NAME`.
    NamesOf(&'static str),
    /// Contexts of the kubeconfig.
    Contexts,
}

/// The arguments of which the cluster knows the values, by their ids.
const ARGUMENTS: [(&str, Wanted); 6] = [
    ("what", Wanted::Objects),
    ("object", Wanted::Objects),
    ("pod", Wanted::NamesOf("pods")),
    ("name", Wanted::NamesOf("pods")),
    ("namespace", Wanted::NamesOf("namespaces")),
    ("context", Wanted::Contexts),
];

/// The command line that `whole` makes, whose arguments complete to what the cluster has.
pub fn with_names(whole: fn() -> Command) -> Command {
    named(whole(), whole)
}

fn named(command: Command, whole: fn() -> Command) -> Command {
    // Only the commands over the API have a context.
    let over_api = command.get_arguments().any(|argument| argument.get_id() == "context");
    let command = command.mut_subcommands(|inner| named(inner, whole));
    command.mut_args(|argument| {
        let known = ARGUMENTS.iter().find(|(id, _)| over_api && argument.get_id() == *id);
        match known.map(|(_, wanted)| *wanted) {
            Some(wanted) => {
                argument.add(ArgValueCompleter::new(move |current: &OsStr| candidates(current, wanted, whole)))
            }
            None => argument,
        }
    })
}

/// What stands on the line before the word that is completed.
#[derive(Default)]
struct Line {
    flags: ClientFlags,
    /// The words of `WHAT`.
    what: Vec<String>,
}

impl Line {
    /// The line that the shell's script hands over behind `--`.
    fn of_process(whole: Command) -> Self {
        let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
        let at = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|at| at.parse().ok());
        let before = words.len().saturating_sub(1).min(at.unwrap_or(usize::MAX));
        Self::read(whole, &words[..before])
    }

    fn read(whole: Command, words: &[OsString]) -> Self {
        let read = whole.ignore_errors(true).try_get_matches_from(words).ok();
        let inner = read.as_ref().and_then(ArgMatches::subcommand).map(|(_, inner)| inner.clone());
        let Some(mut inner) = inner else { return Self::default() };
        let what = inner.try_get_many::<String>("what").ok().flatten();
        let what = what.into_iter().flatten().cloned().collect();
        Self { flags: ClientFlags::from_arg_matches_mut(&mut inner).unwrap_or_default(), what }
    }
}

fn candidates(current: &OsStr, wanted: Wanted, whole: fn() -> Command) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy().into_owned();
    let line = Line::of_process(whole());
    let found = match wanted {
        Wanted::Contexts => contexts(&line.flags),
        _ => of_cluster(&line, &current, wanted),
    };
    matching(found.unwrap_or_default(), &current)
}

fn contexts(flags: &ClientFlags) -> anyhow::Result<Vec<String>> {
    let config = flags.kubeconfig.as_deref().map_or_else(Kubeconfig::load, Kubeconfig::load_file)?;
    Ok(config.contexts().map(str::to_owned).collect())
}

fn of_cluster(line: &Line, current: &str, wanted: Wanted) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (env, tasks) = (Env::system(), Tasks::new("complete"));
    runtime.block_on(async {
        let session = Session::open(&line.flags, &env, &tasks)?;
        tokio::time::timeout(COMPLETION_DEADLINE, words(&session, &line.what, current, wanted)).await?
    })
}

fn matching(mut words: Vec<String>, current: &str) -> Vec<CompletionCandidate> {
    words.sort_unstable();
    words.dedup();
    words.into_iter().filter(|word| word.starts_with(current)).map(CompletionCandidate::new).collect()
}

/// The words that may stand there.
async fn words(session: &Session, what: &[String], current: &str, wanted: Wanted) -> anyhow::Result<Vec<String>> {
    let discovery = session.discover().await?;
    let of = match (current.split_once('/'), wanted) {
        (Some((resource, _)), _) => Some((resource, format!("{resource}/"))),
        (None, Wanted::NamesOf(resource)) => Some((resource, String::new())),
        (None, _) => match what.first() {
            Some(first) if !first.contains('/') => Some((first.as_str(), String::new())),
            _ => None,
        },
    };
    if let Some((resource, prefix)) = of {
        let names = names(session, find(&discovery, resource)?).await?;
        return Ok(names.into_iter().map(|name| format!("{prefix}{name}")).collect());
    }
    let listed = discovery.preferred().filter(|one| one.has_verb("list"));
    Ok(listed.map(|one| one.resource.resource.clone()).collect())
}

/// The names of objects, without anything else of them.
async fn names(session: &Session, resource: &ApiResource) -> anyhow::Result<Vec<String>> {
    const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let namespace = if resource.namespaced { format!("/namespaces/{}", session.namespace) } else { String::new() };
    let of = &resource.resource;
    let path = format!("{}{namespace}/{}?limit={COMPLETIONS_MAX}", of.base_path(), of.resource);
    let asked = http::Request::get(path).header(http::header::ACCEPT, METADATA).body(Bytes::new())?;
    let list: Value = session.client.request(asked).await?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items.iter().filter_map(|item| item["metadata"]["name"].as_str()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[derive(clap::Parser)]
    struct Program {
        #[command(subcommand)]
        command: crate::commands::Command,
    }

    #[test]
    fn what_stands_before_the_word_says_where_it_is_looked() {
        let check = |text: &str, what: &str, context: Option<&str>, namespace: Option<&str>| {
            let words: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
            let line = Line::read(Program::command(), &words);
            assert_eq!(line.what.join(" "), what, "{text}");
            assert_eq!(
                (line.flags.context.as_deref(), line.flags.namespace.as_deref()),
                (context, namespace),
                "{text}"
            );
        };
        check("sampan", "", None, None);
        check("sampan get", "", None, None);
        check("sampan get pods", "pods", None, None);
        check("sampan get -n a pods web", "pods web", None, Some("a"));
        check("sampan delete --context=two svc", "svc", Some("two"), None);
        check("sampan logs --context two -n a", "", Some("two"), Some("a"));
        check("sampan nosuch pods", "", None, None);
    }

    #[test]
    fn words_are_offered_once_and_in_order() {
        let words = ["b", "ab", "aa", "ab"].map(str::to_owned).to_vec();
        let shown: Vec<String> =
            matching(words, "a").iter().map(|one| one.get_value().to_string_lossy().into_owned()).collect();
        assert_eq!(shown, ["aa", "ab"]);
    }
}
