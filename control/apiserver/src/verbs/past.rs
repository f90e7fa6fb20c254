//! What happened: the history of one object, and the changes of many.

use super::history;
use crate::ask::Ask;
use crate::body::Body;
use crate::limits::{CHANGES_PAGE, CHANGES_PAGE_MAX, HISTORY_ANSWER_BYTES};
use crate::negotiate::Endpoint;
use crate::query::Query;
use crate::respond;
use http::Response;
use sampan_api::{Attributes, Status, time};
use sampan_registry::{Change, Changes, GetOptions, Registry, Resource, Span};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

const API_VERSION: &str = "history.sampan.dev/v1alpha1";

/// `GET .../NAME?history=true`: what became of an object, while its history is kept and as far as the reader may see it.
///
/// # Errors
/// 404, where there is neither the object, nor was it at the end of what is asked for, nor a change of it that may be seen;
/// 400 for bad options.
pub(super) async fn of_object(ask: &Ask) -> Result<Response<Body>, Status> {
    let output = ask.output(Endpoint::Plain)?;
    let query = ask.query();
    let registry = &ask.core.registry;
    let span = span(ask, &query, HISTORY_ANSWER_BYTES).await?;
    let right = history::right(ask, true);
    let found = registry.changes(&ask.row, ask.namespace(), Some(ask.name()), &span, &right).await;
    let found = found.map_err(Status::from)?;
    let there = || registry.stored_bytes(&ask.row, ask.namespace(), ask.name()) > 0;
    if found.items.is_empty() && !there() {
        // Its last change may be older than what is kept of changes, and its state is kept.
        let options =
            GetOptions { resource_version: span.until.to_string(), version_match: "Exact".to_owned(), history: right };
        let then = registry.get(&ask.row, ask.namespace(), ask.name(), &options).await;
        then.map_err(|_| Status::not_found(&ask.row.group_resource(), ask.name()))?;
    }
    let value = ask.compute(move || list("History", &found, span.until, |change| item(change, None))).await;
    Ok(respond::object(200, output, None, &value))
}

/// `changes` of `history.sampan.dev`: what happened to all objects of a namespace, or of all, that the reader may list.
///
/// # Errors
/// 400 for bad options.
pub(crate) async fn of_all(ask: &Ask) -> Result<Response<Body>, Status> {
    let output = ask.output(Endpoint::Plain)?;
    let query = ask.query();
    let namespace = match (ask.namespace(), query.get("namespace").unwrap_or("")) {
        ("", named) => named,
        (own, "") => own,
        (own, named) if own == named => own,
        (own, named) => return Err(Status::bad_request(format!("{named} is asked for in the path of {own}"))),
    };
    let span = span(ask, &query, 0).await?;
    let (user, kind) = (query.get("user").unwrap_or(""), query.get("kind").unwrap_or(""));
    let table = ask.core.registry.table();
    let mut all: Vec<(Arc<Resource>, Change)> = Vec::new();
    let mut reached = span.until;
    for row in table.iter().filter(|row| is_asked_for(row, kind) && (row.namespaced || namespace.is_empty())) {
        let attributes = Attributes {
            user: ask.user.clone(),
            verb: "list".to_owned(),
            namespace: if row.namespaced { namespace.to_owned() } else { String::new() },
            group: row.group.to_string(),
            version: row.version.to_string(),
            resource: row.resource.to_string(),
            resource_request: true,
            ..Attributes::default()
        };
        if !ask.authorize(&attributes).await.allowed() {
            continue;
        }
        let right = history::right_to(ask, attributes);
        let found = ask.core.registry.changes(row, namespace, None, &span, &right).await.map_err(Status::from)?;
        reached = reached.min(found.reached);
        let written = found.items.into_iter().filter(|change| user.is_empty() || change.writer.user == user);
        all.extend(written.map(|change| (row.clone(), change)));
    }
    // What lies beyond the page of one resource is told with the next.
    all.retain(|(_, change)| change.revision <= reached);
    all.sort_by_key(|(_, change)| change.revision);
    if let Some((_, last)) = all.get(span.limit - 1) {
        let last = last.revision;
        reached = last;
        all.retain(|(_, change)| change.revision <= last);
    }
    let (rows, items): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let mut rows = rows.into_iter();
    let found = Changes { items, reached };
    let value = list("ChangeList", &found, span.until, |change| item(change, rows.next().as_deref()));
    Ok(respond::object(200, output, None, &value))
}

/// A stored row that is meant by `Pod`, `pods` or `deployments.apps`; any, where nothing is named.
fn is_asked_for(row: &Resource, kind: &str) -> bool {
    let stored = row.body == sampan_registry::Body::Stored && row.stored_as.is_none();
    let of_group = || kind.split_once('.').is_some_and(|(plural, group)| row.resource == plural && row.group == group);
    stored && (kind.is_empty() || row.kind.eq_ignore_ascii_case(kind) || row.resource == kind || of_group())
}

/// The part of the log that a request asks for: `since`, `until`, `limit`, and where it goes on.
async fn span(ask: &Ask, query: &Query<'_>, bytes: usize) -> Result<Span, Status> {
    let registry = &ask.core.registry;
    let now = ask.core.env.now();
    let since = revision(registry, now, query, "since").await?.unwrap_or(0);
    let until = revision(registry, now, query, "until").await?.unwrap_or_else(|| registry.revision());
    let number = |name: &str| match query.get(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => {
            text.parse::<u64>().map(Some).map_err(|_| Status::bad_request(format!("{name}: {text} is no number")))
        }
    };
    let limit = usize::try_from(number("limit")?.unwrap_or(CHANGES_PAGE)).unwrap_or(usize::MAX);
    let after = number("continue")?.unwrap_or(since);
    let until = until.min(registry.revision());
    Ok(Span { after: after.min(until), until, limit: limit.clamp(1, CHANGES_PAGE_MAX), bytes })
}

/// The revision at a time: RFC 3339, or how long ago (`90s`, `10m`, `2h`, `1d`).
async fn revision(registry: &Registry, now: SystemTime, query: &Query<'_>, name: &str) -> Result<Option<u64>, Status> {
    let Some(text) = query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let time = time::parse(text).or_else(|| now.checked_sub(time::ago(text)?));
    let time = time.ok_or_else(|| {
        Status::bad_request(format!("{name}: {text:?} is neither a time as RFC 3339 writes it nor an age like 10m"))
    })?;
    registry.revision_at(time).await.map(Some).map_err(Status::from)
}

fn list(kind: &str, found: &Changes, until: u64, mut item: impl FnMut(&Change) -> Value) -> Value {
    let mut metadata = json!({"resourceVersion": until.to_string()});
    if found.reached < until {
        metadata["continue"] = found.reached.to_string().into();
    }
    let items: Vec<Value> = found.items.iter().map(&mut item).collect();
    json!({"kind": kind, "apiVersion": API_VERSION, "metadata": metadata, "items": items})
}

/// A change; `of`: the row of the object, where the request does not name it.
fn item(change: &Change, of: Option<&Resource>) -> Value {
    let mut metadata = json!({"name": change.revision.to_string(), "creationTimestamp": time::rfc3339(change.time)});
    if !change.key.namespace.is_empty() {
        metadata["namespace"] = (&*change.key.namespace).into();
    }
    let writer = &change.writer;
    let mut value = json!({
        "metadata": metadata,
        "action": change.action,
        "revision": change.revision,
        "time": time::rfc3339_micro(change.time),
        "user": writer.user,
        "verb": writer.verb,
        "userAgent": writer.user_agent,
        "requestID": writer.request_id,
        "name": &*change.key.name,
    });
    if let Some(row) = of {
        value["resource"] = json!({
            "group": row.group,
            "version": row.version,
            "resource": row.resource,
            "kind": row.kind,
        });
    }
    if let Some(record) = &change.record {
        value["object"] = record.object().into_value();
    }
    value
}
