//! `sampan history`, `changes` and `restore`: what was, and who made it so.

use crate::session::{ClientFlags, Session, say};
use anyhow::{Context, bail};
use bytes::Bytes;
use sampan_api::{Object, percent};
use sampan_client::{Client, Discovery};
use sampan_env::{Env, Tasks};
use serde_json::{Map, Value};

/// The commands about the past.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Show what became of an object: by whom, when, and how
    History {
        /// The object, as deploy/web
        #[arg(value_name = "KIND/NAME")]
        object: String,
        /// Show what each change did to the object
        #[arg(long)]
        diff: bool,
        /// Only changes since a time (RFC 3339) or an age (10m, 2h, 1d)
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// json for machines
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<String>,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Show who changed what
    Changes {
        /// Only changes since a time (RFC 3339) or an age (10m, 2h, 1d)
        #[arg(long, value_name = "TIME", default_value = "10m")]
        since: String,
        /// Only changes until then
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only changes by this user
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Only changes of this kind: Pod, pods, deployments.apps
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Of all namespaces, and of what is in none
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// json for machines
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<String>,
        #[command(flatten)]
        flags: ClientFlags,
    },
    /// Bring an object back to what it was, even if it is gone
    Restore {
        /// The object, as deploy/web
        #[arg(value_name = "KIND/NAME")]
        object: String,
        /// A revision of its history, or a time (RFC 3339) or an age (10m, 2h, 1d)
        #[arg(long, value_name = "REV|TIME")]
        at: String,
        #[command(flatten)]
        flags: ClientFlags,
    },
}

/// Runs one of them against the cluster that its flags name.
pub(crate) async fn run(command: Command, env: &Env, tasks: &Tasks) -> anyhow::Result<()> {
    match command {
        Command::History { object, diff, since, output, flags } => {
            let session = Session::open(&flags, env, tasks)?;
            let (kind, name) = named(&object)?;
            let place = Place::find(&session, kind, name).await?;
            let items = place.history(&session.client, &[("since", since.as_deref())]).await?;
            show(&items, diff, output.as_deref())
        }
        Command::Changes { since, until, user, kind, all_namespaces, output, flags } => {
            let session = Session::open(&flags, env, tasks)?;
            let namespace = if all_namespaces { String::new() } else { format!("/namespaces/{}", session.namespace) };
            let path = format!("/apis/history.sampan.dev/v1alpha1{namespace}/changes");
            let query = [
                ("since", Some(since.as_str())),
                ("until", until.as_deref()),
                ("user", user.as_deref()),
                ("kind", kind.as_deref()),
            ];
            let items = pages(&session.client, &path, &query).await?;
            show(&items, false, output.as_deref())
        }
        Command::Restore { object, at, flags } => {
            let session = Session::open(&flags, env, tasks)?;
            let (kind, name) = named(&object)?;
            restore(&session, kind, name, &at).await
        }
    }
}

fn named(object: &str) -> anyhow::Result<(&str, &str)> {
    object.split_once('/').with_context(|| format!("which object? {object:?} is not KIND/NAME, as deploy/web"))
}

/// The place of one object.
struct Place {
    discovery: Discovery,
    kind: String,
    name: String,
    namespace: String,
    path: String,
}

impl Place {
    async fn find(session: &Session, kind: &str, name: &str) -> anyhow::Result<Self> {
        let discovery = session.client.discover().await?;
        let found = discovery.by_name(kind);
        let found = found.with_context(|| format!("the server doesn't have a resource type {kind:?}"))?;
        let mut path = found.resource.base_path();
        if found.namespaced {
            path.push_str(&format!("/namespaces/{}", session.namespace));
        }
        path.push_str(&format!("/{}/{name}", found.resource.resource));
        let (kind, name, namespace) = (kind.to_owned(), name.to_owned(), session.namespace.clone());
        Ok(Self { discovery, kind, name, namespace, path })
    }

    async fn history(&self, client: &Client, query: &[(&str, Option<&str>)]) -> anyhow::Result<Vec<Value>> {
        pages(client, &self.path, &[&[("history", Some("true"))], query].concat()).await
    }

    async fn at(&self, client: &Client, at: &str) -> anyhow::Result<Value> {
        if at.bytes().all(|byte| byte.is_ascii_digit()) {
            let path = format!("{}?resourceVersion={at}&resourceVersionMatch=Exact", self.path);
            return Ok(client.request(http::Request::get(path).body(Bytes::new())?).await?);
        }
        let before = self.history(client, &[("until", Some(at))]).await?;
        let Some(last) = before.last() else { bail!("{}/{} was not there at {at}", self.kind, self.name) };
        if last["action"] == "Deleted" {
            bail!("{}/{} had been deleted by {}", self.kind, self.name, last["time"].as_str().unwrap_or_default());
        }
        let object = last.get("object").cloned();
        object.with_context(|| format!("old values of {} are not shown", self.kind))
    }
}

/// All items of a list in pages.
async fn pages(client: &Client, path: &str, query: &[(&str, Option<&str>)]) -> anyhow::Result<Vec<Value>> {
    let (mut items, mut token) = (Vec::new(), None::<String>);
    loop {
        let given = query.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let pairs = given.chain(token.as_deref().map(|token| ("continue", token)));
        let text: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", percent::encode(value))).collect();
        let request = http::Request::get(format!("{path}?{}", text.join("&"))).body(Bytes::new())?;
        let mut page: Value = client.request(request).await?;
        if let Value::Array(more) = page["items"].take() {
            items.extend(more);
        }
        match page["metadata"]["continue"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => return Ok(items),
        }
    }
}

fn show(items: &[Value], diff: bool, output: Option<&str>) -> anyhow::Result<()> {
    if output == Some("json") {
        return say(&format!("{}\n", serde_json::to_string_pretty(items)?));
    }
    if !diff {
        return say(&rows(items));
    }
    let mut before = Value::Null;
    for item in items {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        let head = format!("{} {} {} by {}\n", item["revision"], text("time"), text("action"), text("user"));
        let after = if item["action"] == "Deleted" { Value::Null } else { item["object"].clone() };
        let mut lines = Vec::new();
        differences("", &before, &after, &mut lines);
        say(&(head + &lines.concat()))?;
        before = after;
    }
    Ok(())
}

/// The changes as a table.
fn rows(items: &[Value]) -> String {
    let with_object = items.iter().any(|item| item.get("resource").is_some());
    let mut lines = vec![["REVISION", "TIME", "ACTION", "USER", "VERB", "OBJECT"].map(str::to_owned).to_vec()];
    lines.extend(items.iter().map(|item| {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let object = format!("{}/{}", text(&item["resource"]["kind"]).to_lowercase(), text(&item["name"]));
        let mut line = ["revision", "time", "action", "user", "verb"].map(|name| text(&item[name])).to_vec();
        line.push(object);
        line
    }));
    let shown = if with_object { 6 } else { 5 };
    let widths: Vec<usize> =
        (0..shown).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("   ").trim_end());
        out.push('\n');
    }
    out
}

/// Members that change with each write and say nothing of it.
const SILENT: [&str; 2] = ["metadata.managedFields", "metadata.resourceVersion"];

/// What is gone and what has come, a line a value.
fn differences(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    if before == after || SILENT.contains(&path) {
        return;
    }
    let nothing = Map::new();
    let members = |value: &Value| value.as_object().is_some_and(|map| !map.is_empty());
    if members(before) || members(after) {
        let (old, new) = (before.as_object().unwrap_or(&nothing), after.as_object().unwrap_or(&nothing));
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let member = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
            differences(&inner, &member(old), &member(new), lines);
        }
        return;
    }
    for (sign, value) in [('-', before), ('+', after)] {
        if !value.is_null() {
            lines.push(format!("  {sign} {path}: {value}\n"));
        }
    }
}

/// Members of metadata that the server sets.
const SERVERS_OWN: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
];

async fn restore(session: &Session, kind: &str, name: &str, at: &str) -> anyhow::Result<()> {
    let place = Place::find(session, kind, name).await?;
    let mut value = place.at(&session.client, at).await?;
    if let Some(map) = value.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        SERVERS_OWN.iter().for_each(|name| drop(metadata.remove(*name)));
    }
    let mut object = Object::from_value(value).context("the server did not answer with an object")?;
    let found = place.discovery.by_name(&place.kind).context("the kind is gone")?;
    let namespace = found.namespaced.then_some(place.namespace.as_str());
    let api = session.client.dynamic(&found.resource, namespace);
    let said = match api.get_opt(name).await? {
        Some(current) => {
            object.set_meta("resourceVersion", current.resource_version());
            api.update(name, &object).await?;
            "restored"
        }
        None => {
            api.create(&object).await?;
            "created again"
        }
    };
    say(&format!("{}/{name} {said}\n", found.singular))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_name_what_is_gone_and_what_has_come() {
        let mut lines = Vec::new();
        let before = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 2, "old": {"a": 1}}});
        let after = json!({"metadata": {"resourceVersion": "2"}, "spec": {"replicas": 3, "list": [1]}});
        differences("", &before, &after, &mut lines);
        let expected =
            ["  + spec.list: [1]\n", "  - spec.old.a: 1\n", "  - spec.replicas: 2\n", "  + spec.replicas: 3\n"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn changes_are_a_table() {
        let change =
            json!({"revision": 7, "time": "t", "action": "Created", "user": "me", "verb": "create", "name": "a"});
        let text = rows(std::slice::from_ref(&change));
        assert!(text.starts_with("REVISION   TIME   ACTION    USER   VERB\n7          t      Created"), "{text}");
        let mut of = change;
        of["resource"] = json!({"kind": "Pod"});
        assert!(rows(&[of]).contains("pod/a"));
    }

    #[test]
    fn an_object_is_named_by_kind_and_name() {
        assert_eq!(named("deploy/web").expect("named"), ("deploy", "web"));
        assert!(named("deploy").is_err());
    }
}
