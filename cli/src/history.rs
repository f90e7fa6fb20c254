//! `sampan history`, `changes` and `restore`: what was, and who made it so.

use crate::moment;
use crate::session::{ClientFlags, Session, find, say};
use crate::status::Form;
use anyhow::{Context, bail};
use bytes::Bytes;
use sampan_api::{GroupVersionKind, Object, percent};
use sampan_client::ApiResource;
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
        /// text for people, json for machines
        #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Form::Text)]
        output: Form,
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
        /// text for people, json for machines
        #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Form::Text)]
        output: Form,
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
            let place = Place::find(&session, &object).await?;
            let items = place.history(&session, since.as_deref()).await?;
            match (output, diff) {
                (Form::Json, _) => say(&format!("{}\n", serde_json::to_string_pretty(&items)?)),
                (Form::Text, _) if items.is_empty() => nothing(&place.unchanged(&session).await?),
                (Form::Text, false) => say(&rows(&items)),
                (Form::Text, true) => {
                    let before = place.before(&session, &items).await?;
                    say(&diffs(before, &items))
                }
            }
        }
        Command::Changes { since, until, user, kind, all_namespaces, output, flags } => {
            let session = Session::open(&flags, env, tasks)?;
            moment::span(&since, until.as_deref(), session.client.env().now())?;
            let namespace = if all_namespaces { None } else { Some(session.namespace.as_str()) };
            let path = changes_path(namespace);
            let (kind, unknown) = match kind {
                Some(kind) => long_name(&session, kind).await?,
                None => (None, None),
            };
            let query = [
                ("since", Some(since.as_str())),
                ("until", until.as_deref()),
                ("user", user.as_deref()),
                ("kind", kind.as_deref()),
            ];
            let items = pages(&session, &path, &query).await?;
            match (output, unknown) {
                // One that was defined once has a past.
                (_, Some(unknown)) if items.is_empty() => Err(unknown),
                (Form::Json, _) => say(&format!("{}\n", serde_json::to_string_pretty(&items)?)),
                (Form::Text, _) if items.is_empty() => {
                    nothing(&namespace.map(|name| format!(" in namespace {name}")).unwrap_or_default())
                }
                (Form::Text, _) => say(&rows(&items)),
            }
        }
        Command::Restore { object, at, flags } => {
            let session = Session::open(&flags, env, tasks)?;
            restore(&session, &Place::find(&session, &object).await?, &at).await
        }
    }
}

/// Says that there is nothing to show. Standard output stays empty.
fn nothing(place: &str) -> anyhow::Result<()> {
    eprintln!("no changes found{place}");
    Ok(())
}

/// A kind as the history has it, of its short name too; and the error of one that the server does not have now.
async fn long_name(session: &Session, kind: String) -> anyhow::Result<(Option<String>, Option<anyhow::Error>)> {
    let discovery = session.discover().await?;
    if discovery.resources.iter().any(|one| one.kind.eq_ignore_ascii_case(&kind)) {
        return Ok((Some(kind), None));
    }
    Ok(match find(&discovery, &kind) {
        Ok(found) if found.short_names.contains(&kind) => {
            let (plural, group) = (&found.resource.resource, &found.resource.group);
            (Some(if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") }), None)
        }
        Ok(_) => (Some(kind), None),
        Err(unknown) => (Some(kind), Some(unknown)),
    })
}

/// `changes` of a namespace, or of all.
fn changes_path(namespace: Option<&str>) -> String {
    let namespace = namespace.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
    format!("/apis/history.sampan.dev/v1alpha1{namespace}/changes")
}

/// The place of one object.
pub(crate) struct Place {
    /// What it is an object of.
    pub resource: ApiResource,
    /// Its name.
    pub name: String,
    path: String,
}

impl Place {
    /// The place of `KIND/NAME`.
    async fn find(session: &Session, object: &str) -> anyhow::Result<Self> {
        let (kind, name) = named(object)?;
        let discovery = session.discover().await?;
        Ok(Self::of(session, find(&discovery, kind)?, name))
    }

    /// The place of an object with that name, in the session's namespace.
    pub(crate) fn of(session: &Session, resource: &ApiResource, name: &str) -> Self {
        let mut path = resource.resource.base_path();
        if resource.namespaced {
            path.push_str(&format!("/namespaces/{}", session.namespace));
        }
        path.push_str(&format!("/{}/{name}", resource.resource.resource));
        Self { resource: resource.clone(), name: name.to_owned(), path }
    }

    async fn history(&self, session: &Session, since: Option<&str>) -> anyhow::Result<Vec<Value>> {
        pages(session, &self.path, &[("history", Some("true")), ("since", since)]).await
    }

    /// What there is to say of an object of which no change is kept: since when it is as it is.
    async fn unchanged(&self, session: &Session) -> anyhow::Result<String> {
        let namespace = self.resource.namespaced.then_some(session.namespace.as_str());
        let current = session.client.dynamic(&self.resource.resource, namespace).get_opt(&self.name).await?;
        Ok(current
            .map_or_else(String::new, |object| format!(": unchanged since revision {}", object.resource_version())))
    }

    /// The state before the first of some changes; Null: none, or it is not kept or not shown.
    async fn before(&self, session: &Session, items: &[Value]) -> anyhow::Result<Value> {
        let first = items.first().filter(|first| first["action"] == "Modified" && first.get("object").is_some());
        let Some(revision) = first.and_then(|first| first["revision"].as_u64()) else { return Ok(Value::Null) };
        match self.at(session, revision.saturating_sub(1)).await {
            Ok(before) => Ok(before),
            Err(error) if error.is_not_found() || error.is_expired() || error.is_forbidden() => Ok(Value::Null),
            Err(error) => Err(error.into()),
        }
    }

    /// The object as of a revision.
    async fn at(&self, session: &Session, revision: u64) -> Result<Value, sampan_client::Error> {
        let path = format!("{}?{}", self.path, exactly(revision));
        let request = http::Request::get(path).body(Bytes::new());
        session.client.request(request.map_err(|error| sampan_client::Error::Config(error.to_string()))?).await
    }

    /// The revision that a time, or a number, stands for, as far as the object's history tells it.
    pub(crate) async fn revision(&self, session: &Session, at: &str) -> anyhow::Result<u64> {
        match moment::revision(at, session.client.env().now())? {
            Some(revision) => Ok(revision),
            None => {
                let path = format!("{}?history=true&limit=1&until={}", self.path, percent::encode(at));
                let what = || format!("{} {:?} at {at}", self.resource.singular, self.name);
                revision_of(&session.ask(&path).await.with_context(what)?)
            }
        }
    }
}

/// The query of a read of exactly one revision.
pub(crate) fn exactly(revision: u64) -> String {
    format!("resourceVersion={revision}&resourceVersionMatch=Exact")
}

/// The revision that a time, or a number, stands for. `namespace`: whose changes may be read; `None`: all.
pub(crate) async fn revision(session: &Session, namespace: Option<&str>, at: &str) -> anyhow::Result<u64> {
    match moment::revision(at, session.client.env().now())? {
        Some(revision) => Ok(revision),
        None => {
            let time = percent::encode(at);
            let path = format!("{}?limit=1&since={time}&until={time}", changes_path(namespace));
            revision_of(&session.ask(&path).await.with_context(|| format!("--at {at}"))?)
        }
    }
}

/// The revision until which a list of changes tells what happened.
fn revision_of(list: &Value) -> anyhow::Result<u64> {
    let revision = list["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
    match revision.context("the server keeps no history")? {
        0 => bail!("the cluster's history begins later than that"),
        revision => Ok(revision),
    }
}

fn named(object: &str) -> anyhow::Result<(&str, &str)> {
    let pair =
        object.split_once('/').filter(|(kind, name)| !kind.is_empty() && !name.is_empty() && !name.contains('/'));
    pair.with_context(|| format!("which object? {object:?} is not KIND/NAME, as deploy/web"))
}

/// All items of a list in pages.
async fn pages(session: &Session, path: &str, query: &[(&str, Option<&str>)]) -> anyhow::Result<Vec<Value>> {
    let (mut items, mut token) = (Vec::new(), None::<String>);
    loop {
        let given = query.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let pairs = given.chain(token.as_deref().map(|token| ("continue", token)));
        let text: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", percent::encode(value))).collect();
        let mut page = session.ask(&format!("{path}?{}", text.join("&"))).await?;
        if let Value::Array(more) = page["items"].take() {
            items.extend(more);
        }
        match page["metadata"]["continue"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => return Ok(items),
        }
    }
}

/// Each change with what it did to the object, which was `before` before the first.
fn diffs(mut before: Value, items: &[Value]) -> String {
    let mut out = String::new();
    for item in items {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        out.push_str(&format!("{} {} {} by {}\n", item["revision"], text("time"), text("action"), text("user")));
        let gone = item["action"] == "Deleted";
        match item.get("object") {
            Some(_) if gone => before = Value::Null,
            Some(after) => {
                let mut lines = Vec::new();
                differences("", &before, after, &mut lines);
                out.extend(lines);
                before = after.clone();
            }
            None => out.push_str("  (its values are not shown)\n"),
        }
    }
    out
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

/// Fields that tell the items of a list apart, as Kubernetes' lists that are maps have them for their keys: of containers,
/// conditions, ports of containers and of Services, owners, mounts, devices, topology spread constraints, and addresses.
const KEYS: [&[&str]; 9] = [
    &["name"],
    &["type"],
    &["containerPort", "protocol"],
    &["port", "protocol"],
    &["uid"],
    &["mountPath"],
    &["devicePath"],
    &["topologyKey", "whenUnsatisfiable"],
    &["ip"],
];

/// What is gone and what has come, a line a value.
fn differences(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    if before == after || SILENT.contains(&path) {
        return;
    }
    let nothing = Map::new();
    let keyed = KEYS.iter().find_map(|key| Some((by_key(before, key)?, by_key(after, key)?)));
    let keyed = keyed.filter(|(old, new)| !old.is_empty() || !new.is_empty());
    let members = |value: &Value| value.as_object().is_some_and(|map| !map.is_empty());
    let (old, new) = match &keyed {
        Some((old, new)) => (old, new),
        None if members(before) || members(after) => {
            (before.as_object().unwrap_or(&nothing), after.as_object().unwrap_or(&nothing))
        }
        None => {
            for (sign, value) in [('-', before), ('+', after)] {
                if !value.is_null() {
                    lines.push(format!("  {sign} {path}: {value}\n"));
                }
            }
            return;
        }
    };
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let inner = match path {
            _ if name.starts_with('[') => format!("{path}{name}"),
            "" => name.clone(),
            _ => format!("{path}.{name}"),
        };
        let member = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
        differences(&inner, &member(old), &member(new), lines);
    }
}

/// The items of a list by their key, each its own: `[NAME]`, or `[type=Ready]`. Of a list that is not there: none.
fn by_key(list: &Value, key: &[&str]) -> Option<Map<String, Value>> {
    let items: &[Value] = match list {
        Value::Null => &[],
        other => other.as_array()?.as_slice(),
    };
    let keyed = |item: &Value| Some((format!("[{}]", key_of(item.as_object()?, key)?), item.clone()));
    let found: Map<String, Value> = items.iter().map(keyed).collect::<Option<_>>()?;
    (found.len() == items.len()).then_some(found)
}

/// The fields of a key in an item; what is left out of them, as a protocol may be, stands for its default.
fn key_of(item: &Map<String, Value>, key: &[&str]) -> Option<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (first, others) = key.split_first()?;
    let leading = text(item.get(*first)?);
    if *first == "name" {
        return Some(leading);
    }
    let others = others.iter().filter_map(|name| Some(format!(",{name}={}", text(item.get(*name)?))));
    Some(format!("{first}={leading}{}", others.collect::<String>()))
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

async fn restore(session: &Session, place: &Place, at: &str) -> anyhow::Result<()> {
    let what = format!("{}/{}", place.resource.singular, place.name);
    let revision = place.revision(session, at).await?;
    let old = place.at(session, revision).await.with_context(|| format!("{what} at revision {revision}"))?;
    let namespace = place.resource.namespaced.then_some(session.namespace.as_str());
    let api = session.client.dynamic(&place.resource.resource, namespace);
    let current = api.get_opt(&place.name).await?;
    let mut wanted = wanted(&old).context("the server did not answer with an object")?;
    let refused = || format!("{what} cannot be restored as it was at revision {revision}");
    let said = match &current {
        Some(current) => {
            wanted.set_meta("resourceVersion", current.resource_version());
            let made = api.update(&place.name, &wanted).await.with_context(refused)?;
            if made.resource_version() == current.resource_version() { "unchanged" } else { "restored" }
        }
        None => {
            let orphaned = keep_owners(session, &mut wanted).await?;
            for owner in orphaned {
                eprintln!("not restored: its owner {owner}, which is gone");
            }
            api.create(&wanted).await.with_context(refused)?;
            "created again"
        }
    };
    say(&format!("{what} {said}\n"))?;
    for part in lost(&old, current.as_ref()) {
        eprintln!("not restored: {part}");
    }
    Ok(())
}

/// The old object as a client writes it.
fn wanted(old: &Value) -> Option<Object> {
    let mut value = old.clone();
    value.as_object_mut()?.remove("status");
    let metadata = value["metadata"].as_object_mut()?;
    SERVERS_OWN.iter().for_each(|name| drop(metadata.remove(*name)));
    Object::from_value(value)
}

/// Takes off the owners that are not there any more: with them, the object would be collected at once. Returns them.
async fn keep_owners(session: &Session, object: &mut Object) -> anyhow::Result<Vec<String>> {
    let owners = object.get(&["metadata", "ownerReferences"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    let discovery = if owners.is_empty() { None } else { Some(session.discover().await?) };
    for owner in owners {
        let text = |name: &str| owner[name].as_str().unwrap_or_default();
        let gvk = GroupVersionKind::parse(text("apiVersion"), text("kind"));
        let found = discovery.as_ref().zip(gvk).and_then(|(discovery, gvk)| discovery.by_kind(&gvk));
        let there = match found {
            Some(found) => {
                let namespace = found.namespaced.then_some(object.namespace());
                session.client.dynamic(&found.resource, namespace).get_opt(text("name")).await?
            }
            None => None,
        };
        if there.is_some_and(|there| there.uid() == text("uid")) {
            kept.push(owner);
        } else {
            gone.push(format!("{}/{}", text("kind").to_lowercase(), text("name")));
        }
    }
    if !gone.is_empty() {
        object.set_meta("ownerReferences", kept);
    }
    Ok(gone)
}

/// Kinds of which other objects are a part that is not theirs to bring back.
const HOLDERS: [(&str, &str); 2] = [
    ("Namespace", "the objects that were in it: each has a history of its own"),
    ("CustomResourceDefinition", "the objects of its kind: each has a history of its own"),
];

/// What the object had and has not again.
fn lost(old: &Value, current: Option<&Object>) -> Vec<&'static str> {
    let mut parts = Vec::new();
    if current.is_none_or(|current| old["metadata"]["uid"] != current.uid()) {
        parts.push("its UID and its age: it is another object of that name");
    }
    if current.is_none() {
        parts.extend(HOLDERS.iter().filter(|(kind, _)| old["kind"] == *kind).map(|(_, what)| *what));
    }
    if old.get("status").is_some() {
        parts.push("its status, which is as what acts on it says");
    }
    parts
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
        let containers =
            |image: &str| json!({"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": image}]});
        let mut lines = Vec::new();
        differences("spec", &containers("y"), &containers("z"), &mut lines);
        assert_eq!(lines, ["  - spec.containers[b].image: \"y\"\n", "  + spec.containers[b].image: \"z\"\n"]);
        let pod = |status: &str| {
            let ready = json!({"type": "Ready", "status": status, "lastProbeTime": null});
            json!({"conditions": [{"type": "Initialized", "status": "True"}, ready]})
        };
        let check = |before: Value, after: Value, expected: &[&str]| {
            let mut lines = Vec::new();
            differences("status", &before, &after, &mut lines);
            let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
            assert_eq!(lines, expected);
        };
        let path = "status.conditions[type=Ready].status";
        check(pod("False"), pod("True"), &[&format!("- {path}: \"False\""), &format!("+ {path}: \"True\"")]);
        let added =
            ["+ status.conditions[type=Ready].status: \"True\"", "+ status.conditions[type=Ready].type: \"Ready\""];
        let only = json!({"conditions": [{"type": "Initialized", "status": "True"}]});
        check(only, pod("True"), &added);
        let ports = |port: u16, node: u16| json!({"ports": [{"port": port, "protocol": "TCP", "nodePort": node}, {"port": 53}]});
        let moved =
            ["- status.ports[port=80,protocol=TCP].nodePort: 1", "+ status.ports[port=80,protocol=TCP].nodePort: 2"];
        check(ports(80, 1), ports(80, 2), &moved);
        // Lists whose items no key tells apart in both are compared whole.
        let whole = ["- status.l: [1]", "+ status.l: [{\"name\":\"a\"}]"];
        check(json!({"l": [1]}), json!({"l": [{"name": "a"}]}), &whole);
        // Items that share a name are no map.
        let twice = json!([{"name": "a", "v": 1}, {"name": "a", "v": 2}]);
        let mut lines = Vec::new();
        differences("l", &twice, &json!([]), &mut lines);
        assert_eq!(lines.len(), 2, "{lines:?}");
    }

    #[test]
    fn what_cannot_be_restored_is_named() {
        let old = json!({"kind": "Namespace", "metadata": {"uid": "1", "name": "a"}, "status": {}});
        let current = |uid: &str| Object::from_value(json!({"kind": "Namespace", "metadata": {"uid": uid}}));
        let count = |current: Option<Object>| lost(&old, current.as_ref()).len();
        assert_eq!((count(None), count(current("1")), count(current("2"))), (3, 1, 2));
        let wanted = wanted(&old).expect("an object").to_value();
        assert_eq!(wanted, json!({"kind": "Namespace", "metadata": {"name": "a"}}));
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
        for bad in ["deploy", "deploy/", "/web", "a/b/c"] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}
