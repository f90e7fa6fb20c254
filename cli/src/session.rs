//! The cluster that a command speaks to, the things that it names, and its standard output.

use anyhow::{Context, bail};
use bytes::Bytes;
use sampan_client::{ApiResource, Client, Discovery, Error, Kubeconfig};
use sampan_env::{Env, Tasks};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;

/// Which cluster, and where in it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClientFlags {
    /// Kubeconfig to use instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace to work in [default: the context's, else default]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// A client of the cluster that flags name, and the namespace to work in.
pub struct Session {
    /// Speaks as the kubeconfig's user.
    pub client: Client,
    /// For objects that name none.
    pub namespace: String,
    /// Whether the command line named it: then an object that names another is refused.
    pub namespace_named: bool,
    /// The URL of the API server.
    pub server: String,
}

const NONE_RUNS: &str = "is a cluster running? `sampan up` starts one";

impl Session {
    /// # Errors
    /// There is no configuration, or it cannot be used.
    pub fn open(flags: &ClientFlags, env: &Env, tasks: &Tasks) -> anyhow::Result<Self> {
        let config = match &flags.kubeconfig {
            Some(path) => Kubeconfig::load_file(path)?,
            None => Kubeconfig::load()?,
        };
        let context = flags.context.as_deref();
        // No configuration at all: nothing has run yet, or it has ended and taken its context away.
        let remote = config.remote_config(context);
        let remote = match context {
            None => remote.context(NONE_RUNS)?,
            Some(name) => remote.with_context(|| unknown(&config, name))?,
        };
        let namespace = match &flags.namespace {
            Some(namespace) => namespace.clone(),
            None => config.namespace(context)?,
        };
        let server = remote.server.clone();
        let namespace_named = flags.namespace.is_some();
        Ok(Self { client: Client::remote(remote, "sampan", env, tasks)?, namespace, namespace_named, server })
    }

    /// What the cluster serves.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn discover(&self) -> anyhow::Result<Discovery> {
        Ok(self.client.discover().await?)
    }

    /// The answer to a GET, JSON.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    pub async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.client.request(http::Request::get(path).body(Bytes::new())?).await?)
    }
}

/// For who named a context that cannot be used.
fn unknown(config: &Kubeconfig, name: &str) -> String {
    let names: Vec<&str> = config.contexts().collect();
    match names.as_slice() {
        [] => format!("context {name}: {NONE_RUNS}"),
        names => format!("context {name} (there are {})", names.join(", ")),
    }
}

/// Says what may be done about a cluster that cannot be reached.
pub(crate) fn hinted(error: anyhow::Error) -> anyhow::Error {
    let unreachable = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::Connect { .. })));
    if unreachable { error.context(NONE_RUNS) } else { error }
}

/// An error with its causes, each said once: some errors' own texts end with their causes'.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Fails where one of several things did, with the last of the errors; the others are printed.
///
/// # Errors
/// There is an error.
pub(crate) fn all_well(mut errors: Vec<anyhow::Error>) -> anyhow::Result<()> {
    let Some(last) = errors.pop() else { return Ok(()) };
    for error in errors {
        eprintln!("sampan: {}", told(&error));
    }
    Err(last)
}

/// A resource and names of objects of it; no names: all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As the user wrote it: `pods`, `deploy`, `deployments.apps`.
    pub resource: String,
    /// Names of objects.
    pub names: Vec<String>,
}

/// Reads `pods`, `pods,services`, `pod NAME...` and `pod/NAME service/NAME...`.
///
/// # Errors
/// The two forms are mixed, or a name is missing.
pub fn targets(words: &[String]) -> anyhow::Result<Vec<Target>> {
    if words.iter().any(|word| word.contains('/')) {
        return words.iter().map(|word| pair(word)).collect();
    }
    let resources = words.first().map(|first| first.split(',').filter(|one| !one.is_empty()));
    let names = words.get(1..).unwrap_or_default();
    let named = resources.into_iter().flatten().map(|one| Target { resource: one.to_owned(), names: names.to_vec() });
    let named: Vec<Target> = named.collect();
    if named.is_empty() {
        bail!("name a resource, such as pods");
    }
    Ok(named)
}

/// `KIND/NAME`.
fn pair(word: &str) -> anyhow::Result<Target> {
    let Some((resource, name)) = word.split_once('/') else {
        bail!("{word:?}: there is no need to specify a resource type as a separate argument: name all as KIND/NAME");
    };
    if resource.is_empty() || name.is_empty() || resource.contains(',') || name.contains('/') {
        bail!("{word:?}: arguments in resource/name form must have a single resource and name");
    }
    Ok(Target { resource: resource.to_owned(), names: vec![name.to_owned()] })
}

/// The resource of that name, short name or kind.
///
/// # Errors
/// The cluster serves none; the text says how to see what it serves.
pub fn find<'a>(discovery: &'a Discovery, name: &str) -> anyhow::Result<&'a ApiResource> {
    discovery.by_name(name).with_context(|| {
        format!("the server doesn't have a resource type {name:?}; `kubectl api-resources` lists those that it has")
    })
}

/// The resources of that name, or all of that category: `all`.
///
/// # Errors
/// As [`find`].
pub(crate) fn find_all<'a>(discovery: &'a Discovery, name: &str) -> anyhow::Result<Vec<&'a ApiResource>> {
    let in_category = |one: &&ApiResource| one.categories.iter().any(|category| category == name);
    match discovery.by_name(name) {
        Some(one) => Ok(vec![one]),
        None => match discovery.preferred().filter(in_category).collect::<Vec<_>>() {
            all if all.is_empty() => find(discovery, name).map(|one| vec![one]),
            all => Ok(all),
        },
    }
}

/// Writes to standard output. That a reader went away is no failure: what the command does, it does to its end.
///
/// # Errors
/// The output cannot be written.
pub fn say(text: &str) -> anyhow::Result<()> {
    write(&mut std::io::stdout(), text.as_bytes()).map(drop)
}

/// Writes all of it, at once. `false`: nobody reads it any more, as in `sampan get pods | head -1`.
pub(crate) fn write(out: &mut impl Write, bytes: &[u8]) -> anyhow::Result<bool> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_cause_is_told_once_and_a_cluster_that_is_not_there_with_what_to_do() {
        let connect = Error::Connect { server: "https://a".into(), source: "refused".into() };
        let error = hinted(anyhow::Error::from(connect).context("pod \"a\""));
        assert_eq!(told(&error), format!("{NONE_RUNS}: pod \"a\": cannot reach https://a: refused"));
        let other = hinted(anyhow::anyhow!("one").context("two"));
        assert_eq!(told(&other), "two: one");
    }

    #[test]
    fn things_are_named_as_kubectl_names_them() {
        let check = |text: &str, expected: Option<&str>| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            let shown = |all: Vec<Target>| {
                let one = |target: &Target| format!("{}:{}", target.resource, target.names.join("+"));
                all.iter().map(one).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(targets(&words).ok().map(shown).as_deref(), expected, "{text}");
        };
        check(",", None);
        check("po,deploy/a", None);
        check("pod/a/b", None);
        check("pods", Some("pods:"));
        check("pods,svc", Some("pods: svc:"));
        check("pod a b", Some("pod:a+b"));
        check("pod/a svc/b", Some("pod:a svc:b"));
        check("pod/a svc", None);
        check("pod/", None);
        check("", None);
        assert!(targets(&[String::new()]).is_err(), "an empty word names nothing");
    }

    #[test]
    fn one_error_of_several_is_the_commands() {
        let errors = |texts: &[&'static str]| texts.iter().map(|text| anyhow::anyhow!(*text)).collect();
        assert!(all_well(errors(&[])).is_ok());
        assert_eq!(all_well(errors(&["one", "two"])).expect_err("two").to_string(), "two");
    }
}
