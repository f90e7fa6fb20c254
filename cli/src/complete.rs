//! What a shell may complete that the commands themselves do not say: what only the cluster knows (resources, names of
//! objects, namespaces), contexts, forms of output, and what a program adds. Where the cluster does not answer in time, or
//! refuses, there is nothing to complete.

use crate::get::Output;
use crate::limits::{COMPLETION_DEADLINE, COMPLETIONS_MAX};
use crate::session::{ClientFlags, Session, find};
use bytes::Bytes;
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use clap_complete::{ArgValueCompleter, CompletionCandidate};
use sampan_client::{ApiResource, Kubeconfig};
use sampan_env::{Env, Tasks};
use serde_json::Value;
use std::ffi::{OsStr, OsString};

/// What is completed in the place of an argument.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// A resource, names behind a resource, or `RESOURCE/NAME`.
    Objects,
    /// Names of this resource, or `RESOURCE/NAME`.
    NamesOf(&'static str),
    /// Contexts of the kubeconfig.
    Contexts,
    /// One of these words.
    Words(&'static [&'static str]),
    /// What the program knows.
    Own(Find),
}

/// Finds the words that may stand in the place of an argument, by what stands on the line before it.
pub type Find = fn(&mut ArgMatches) -> anyhow::Result<Vec<String>>;

/// An argument by its id, of which the program knows the values.
pub type Known = (&'static str, Find);

/// The arguments of commands over the API of which the cluster knows the values, by their ids.
const ARGUMENTS: [(&str, Wanted); 7] = [
    ("what", Wanted::Objects),
    ("object", Wanted::Objects),
    ("pod", Wanted::NamesOf("pods")),
    ("name", Wanted::NamesOf("pods")),
    ("namespace", Wanted::NamesOf("namespaces")),
    ("context", Wanted::Contexts),
    ("output", Wanted::Words(&Output::NAMES)),
];

/// The command line that `whole` makes, whose arguments complete to what the cluster has, and those that are `known` to what the
/// program finds.
pub fn with_names(whole: fn() -> Command, known: &'static [Known]) -> Command {
    named(whole(), whole, known)
}

fn named(command: Command, whole: fn() -> Command, known: &'static [Known]) -> Command {
    // Only the commands over the API have a context.
    let over_api = command.get_arguments().any(|argument| argument.get_id() == "context");
    let command = command.mut_subcommands(|inner| named(inner, whole, known));
    command.mut_args(|argument| match wanted(&argument, over_api, known) {
        Some(wanted) => argument.add(ArgValueCompleter::new(move |current: &OsStr| candidates(current, wanted, whole))),
        None => argument,
    })
}

/// What is completed there beyond what the argument itself says.
fn wanted(argument: &Arg, over_api: bool, known: &[Known]) -> Option<Wanted> {
    if !argument.get_possible_values().is_empty() {
        return None;
    }
    let id = argument.get_id();
    let own = known.iter().find(|(known, _)| id == *known).map(|(_, find)| Wanted::Own(*find));
    own.or_else(|| ARGUMENTS.iter().find(|(known, _)| over_api && id == *known).map(|(_, wanted)| *wanted))
}

/// The innermost command of the line that the shell's script hands over behind `--`, without the word that is completed.
fn command_of_process(whole: Command) -> Option<ArgMatches> {
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let at = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|at| at.parse().ok());
    let before = words.len().saturating_sub(1).min(at.unwrap_or(usize::MAX));
    innermost(whole, &words[..before])
}

fn innermost(whole: Command, words: &[OsString]) -> Option<ArgMatches> {
    let mut command = whole.ignore_errors(true).try_get_matches_from(words).ok()?.remove_subcommand()?.1;
    while let Some((_, inner)) = command.remove_subcommand() {
        command = inner;
    }
    Some(command)
}

/// What stands on the line of a command over the API before the word that is completed.
#[derive(Default)]
struct Line {
    flags: ClientFlags,
    /// The words of `WHAT`.
    what: Vec<String>,
}

impl Line {
    fn read(command: Option<ArgMatches>) -> Self {
        let Some(mut command) = command else { return Self::default() };
        let what = command.try_get_many::<String>("what").ok().flatten();
        let what = what.into_iter().flatten().cloned().collect();
        Self { flags: ClientFlags::from_arg_matches_mut(&mut command).unwrap_or_default(), what }
    }
}

fn candidates(current: &OsStr, wanted: Wanted, whole: fn() -> Command) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy().into_owned();
    let command = command_of_process(whole());
    let found = match wanted {
        Wanted::Words(words) => Ok(words.iter().map(|word| (*word).to_owned()).collect()),
        Wanted::Own(find) => command.map_or_else(|| Ok(Vec::new()), |mut command| find(&mut command)),
        Wanted::Contexts => contexts(&Line::read(command).flags),
        Wanted::Objects => of_cluster(&Line::read(command), &current, None),
        Wanted::NamesOf(resource) => of_cluster(&Line::read(command), &current, Some(resource)),
    };
    matching(found.unwrap_or_default(), &current)
}

fn contexts(flags: &ClientFlags) -> anyhow::Result<Vec<String>> {
    let config = flags.kubeconfig.as_deref().map_or_else(Kubeconfig::load, Kubeconfig::load_file)?;
    Ok(config.contexts().map(str::to_owned).collect())
}

/// `names_of`: the resource whose names may stand there; `None`: the line says which.
fn of_cluster(line: &Line, current: &str, names_of: Option<&str>) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (env, tasks) = (Env::system(), Tasks::new("complete"));
    runtime.block_on(async {
        let session = Session::open(&line.flags, &env, &tasks)?;
        tokio::time::timeout(COMPLETION_DEADLINE, words(&session, &line.what, current, names_of)).await?
    })
}

fn matching(mut words: Vec<String>, current: &str) -> Vec<CompletionCandidate> {
    words.sort_unstable();
    words.dedup();
    words.into_iter().filter(|word| word.starts_with(current)).map(CompletionCandidate::new).collect()
}

/// The words that may stand there.
async fn words(
    session: &Session,
    what: &[String],
    current: &str,
    names_of: Option<&str>,
) -> anyhow::Result<Vec<String>> {
    let discovery = session.discover().await?;
    let of = match (current.split_once('/'), names_of) {
        (Some((resource, _)), _) => Some((resource, format!("{resource}/"))),
        (None, Some(resource)) => Some((resource, String::new())),
        (None, None) => match what.first() {
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
            let line = Line::read(innermost(Program::command(), &words));
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
    fn words_that_the_program_knows_are_found_by_the_line_before_them() {
        let images = Arg::new("images").required(true).num_args(1..);
        let remove = Command::new("rm").arg(images).arg(Arg::new("cluster").long("name"));
        let whole = Command::new("sampan").subcommand(Command::new("image").subcommand(remove));
        let words = ["sampan", "image", "rm", "--name", "two"].map(OsString::from);
        let found = innermost(whole, &words).expect("a command");
        assert_eq!(found.get_one::<String>("cluster").map(String::as_str), Some("two"));
    }

    #[test]
    fn an_argument_completes_to_what_is_known_of_it() {
        const KNOWN: [Known; 1] = [("images", |_| Ok(Vec::new()))];
        let check = |argument: Arg, over_api: bool, expected: &str| {
            let found = format!("{:?}", wanted(&argument, over_api, &KNOWN));
            assert!(found.starts_with(expected), "{}: {found}", argument.get_id());
        };
        check(Arg::new("images"), false, "Some(Own(");
        check(Arg::new("output"), true, "Some(Words([\"wide\", \"name\"");
        check(Arg::new("output"), false, "None");
        check(Arg::new("output").value_parser(["text", "json"]), true, "None");
        check(Arg::new("pod"), true, "Some(NamesOf(\"pods\"))");
        check(Arg::new("file"), true, "None");
    }

    #[test]
    fn every_form_that_is_offered_is_one() {
        for name in Output::NAMES {
            let text = if name.ends_with('=') { format!("{name}{{.kind}}") } else { name.to_owned() };
            assert!(Output::parse(Some(&text)).is_ok(), "{text}");
        }
    }

    #[test]
    fn words_are_offered_once_and_in_order() {
        let words = ["b", "ab", "aa", "ab"].map(str::to_owned).to_vec();
        let shown: Vec<String> =
            matching(words, "a").iter().map(|one| one.get_value().to_string_lossy().into_owned()).collect();
        assert_eq!(shown, ["aa", "ab"]);
    }
}
