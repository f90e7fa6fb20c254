//! One dispatch by verb over the resource table. There is no handler of a kind: rows say what is particular.

mod apply;
mod collection;
mod create;
mod delete;
mod get;
mod history;
mod list;
pub(crate) mod past;
pub(crate) mod patch;
mod update;
mod watch;

use crate::aggregation;
use crate::ask::Ask;
use crate::body::Body;
use crate::chain::{attributes, forbidden};
use crate::core::Core;
use crate::exchange::{Exchange, Identity};
use crate::limits::{COMPUTED_BYTES_MIN, COMPUTED_SELECTION_MIN, COMPUTED_WRITE_BYTES_MIN};
use crate::negotiate::Output;
use crate::options;
use crate::outside;
use crate::respond;
use crate::routes;
use crate::served::Served;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use sampan_api::limits::REQUEST_BODY_MAX;
use sampan_api::{Attributes, Status};
use sampan_registry::options::ListOptions;
use sampan_registry::resource::{Body as RowBody, Subresource, SubresourceBody};
use sampan_registry::{Conversions, ListVerb, Resource, Verbs, check_list_options};
use std::sync::{Arc, OnceLock};

/// The innermost service: answers a request that was let through.
pub(crate) async fn serve(served: Arc<Served>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let found = (parts.extensions.get::<Arc<Exchange>>().cloned(), parts.extensions.get::<Identity>().cloned());
    let (Some(exchange), Some(Identity(user))) = found else {
        return respond::status(&Status::internal("the chain is incomplete"), Output::JSON);
    };
    let output = exchange.refusals;
    let core = served.core.clone();
    let known = core.aggregation.known();
    let elsewhere = aggregation::target(&exchange.info).and_then(|(group, version)| known.elsewhere(group, version));
    if let Some(other) = elsewhere {
        let answer = aggregation::forward(&core.aggregation, other, &exchange, &user, &parts, body).await;
        return answer.unwrap_or_else(|status| respond::status(&status, output));
    }
    if !exchange.info.is_resource_request() {
        return routes::serve(&served.router, Request::from_parts(parts, body)).await;
    }
    let row = match row(&core, &exchange) {
        Ok(row) => row,
        // Nobody's path, but where the group is this server's own.
        Err(_) if is_defined(&core, exchange.info.group()) => {
            return respond::page_not_found();
        }
        Err(status) => return respond::status(&status, output),
    };
    let ask = Ask { core, parts, exchange, user, row, conversions: Conversions::default(), manager: OnceLock::new() };
    let (heavy, flow, compute) = (is_heavy(&ask, &body), ask.exchange.flow(), ask.core.compute.clone());
    let work = outside::working_on(ask.exchange.clone(), async move {
        match dispatch(&served, &ask, body).await {
            Ok(response) => response,
            Err(status) => respond::status(&status, output),
        }
    });
    if heavy { compute.drive(flow, work).await } else { work.await }
}

/// Whether the request is worked on by the compute threads: it brings much, changes something large, converts something
/// large, or selects from much.
fn is_heavy(ask: &Ask, body: &Body) -> bool {
    if ask.exchange.info.is_long_running() {
        return false;
    }
    let registry = &ask.core.registry;
    if !ask.exchange.info.is_mutating() {
        let selects = || {
            let query = ask.query();
            query.has("labelSelector") || query.has("fieldSelector")
        };
        let stored = || registry.stored_bytes(&ask.row, ask.namespace(), ask.name());
        return match ask.verb() {
            "list" => selects() && registry.count(&ask.row) >= COMPUTED_SELECTION_MIN,
            "get" => ask.row.converts_here() && stored() >= COMPUTED_BYTES_MIN,
            _ => false,
        };
    }
    if ask.verb() == "deletecollection" {
        return true;
    }
    // Bodies of a length that is not told are rare, and may be long.
    let unknown = REQUEST_BODY_MAX as u64;
    let brings = if http_body::Body::is_end_stream(body) {
        0
    } else {
        http_body::Body::size_hint(body).upper().unwrap_or(unknown)
    };
    brings >= COMPUTED_WRITE_BYTES_MIN as u64 || ask.changed_bytes() >= COMPUTED_WRITE_BYTES_MIN
}

/// The row that the path names, if it stands where the path says.
fn row(core: &Core, exchange: &Exchange) -> Result<Arc<Resource>, Status> {
    let info = &exchange.info;
    let table = core.registry.table();
    let row = table.lookup(info.group(), info.version(), info.resource()).ok_or_else(respond::no_such_resource)?;
    // Who establishes it looks first whether it is served.
    if !exchange.in_process() && !core.registry.is_established(&table, row) {
        return Err(respond::no_such_resource());
    }
    // The path of a Namespace names it twice, as itself and as its namespace.
    let in_namespace = info.in_namespace();
    if in_namespace && !row.namespaced {
        return Err(respond::no_such_resource());
    }
    if row.namespaced && !in_namespace {
        // Over all namespaces there are only lists and watches.
        if !info.name().is_empty() && !info.has_watch_prefix() {
            return Err(respond::no_such_resource());
        }
        if !matches!(info.verb(), "list" | "watch") {
            return Err(respond::method_not_allowed());
        }
    }
    Ok(row.clone())
}

/// Whether all that is known of a group is what definitions define.
fn is_defined(core: &Core, group: &str) -> bool {
    let table = core.registry.table();
    !table.iter().any(|row| row.group == group && !row.defined)
}

/// The verbs at the path of a resource.
const OF_COLLECTIONS: Verbs = Verbs::CREATE.or(Verbs::LIST).or(Verbs::WATCH).or(Verbs::DELETE_COLLECTION);
/// The verbs at the path of one object.
const OF_OBJECTS: Verbs = Verbs::GET.or(Verbs::UPDATE).or(Verbs::PATCH).or(Verbs::DELETE).or(Verbs::WATCH);

type Answer<'a> = BoxFuture<'a, Result<Response<Body>, Status>>;

fn refuse<'a>(status: Status) -> Answer<'a> {
    Box::pin(std::future::ready(Err(status)))
}

fn dispatch<'a>(served: &'a Served, ask: &'a Ask, body: Body) -> Answer<'a> {
    if !ask.subresource().is_empty() {
        return match ask.row.find_subresource(ask.subresource()) {
            Some(subresource) => below(served, ask, subresource, body),
            None => refuse(no_subresource(ask)),
        };
    }
    let verbs = match &ask.row.body {
        RowBody::Action(_) if !ask.name().is_empty() => ask.row.verbs.without(Verbs::CREATE),
        _ => ask.row.verbs,
    };
    // A path that no verb has is no path.
    let there = if ask.name().is_empty() { OF_COLLECTIONS } else { OF_OBJECTS };
    if verbs.without(there) == verbs {
        return refuse(respond::no_such_resource());
    }
    if let Err(status) = check(verbs, ask).and_then(|()| check(there, ask)).and_then(|()| ask.routed()) {
        return refuse(status);
    }
    warn_of_age(ask);
    if let RowBody::Action(action) = &ask.row.body {
        return call(served, ask, action, body);
    }
    match (ask.verb(), ask.name().is_empty()) {
        ("get", false) => Box::pin(get::get(ask)),
        ("list", true) => Box::pin(list::list(ask)),
        ("watch", _) => Box::pin(watch::watch(ask)),
        ("create", true) => Box::pin(create::create(ask, body)),
        ("update", false) => Box::pin(update::update(ask, body)),
        ("patch", false) => Box::pin(patch::patch(ask, body)),
        ("delete", false) => Box::pin(delete::delete(ask, body)),
        ("deletecollection", true) => Box::pin(collection::delete_collection(ask, body)),
        _ => refuse(respond::method_not_allowed()),
    }
}

/// Says of a deprecated resource that it is. Of paths and methods that are not served nothing is said.
fn warn_of_age(ask: &Ask) {
    if let Some(text) = &ask.row.deprecated {
        ask.warn(text.as_ref());
    }
}

/// Calls the action of a request.
fn call<'a>(served: &'a Served, ask: &'a Ask, name: &str, body: Body) -> Answer<'a> {
    match served.actions.get(name) {
        Some(action) => action.call(ask, body),
        // Every name in the table was bound at the start.
        None => refuse(Status::internal(&format!("no action {name}"))),
    }
}

/// Answers a request to a subresource.
fn below<'a>(served: &'a Served, ask: &'a Ask, subresource: &'a Subresource, body: Body) -> Answer<'a> {
    let streams = matches!(subresource.body, SubresourceBody::Connect(_));
    // The handler of all defined kinds looks no further than to the subresource's name.
    if !streams && !ask.row.defined && !ask.exchange.info.rest().is_empty() {
        return refuse(respond::no_such_resource());
    }
    // Streams have forms of their own.
    let routed = || if streams { Ok(()) } else { ask.routed() };
    if let Err(status) = check(subresource.verbs, ask).and_then(|()| routed()) {
        return refuse(status);
    }
    warn_of_age(ask);
    match (&subresource.body, ask.verb()) {
        (SubresourceBody::Action(action), _) => call(served, ask, action, body),
        (SubresourceBody::Connect(name), _) => match served.streams.get(name.as_ref()) {
            Some(stream) => stream.connect(ask),
            // Every name in the table was bound at the start.
            None => refuse(Status::internal(&format!("no stream {name}"))),
        },
        (SubresourceBody::View, "get") => Box::pin(get::get(ask)),
        (SubresourceBody::View, "update") => Box::pin(update::update(ask, body)),
        (SubresourceBody::View, "patch") => Box::pin(patch::patch(ask, body)),
        _ => refuse(respond::method_not_allowed()),
    }
}

/// That there is no such subresource; of a defined kind, whose handler knows the object's name alone, that there is no object.
fn no_subresource(ask: &Ask) -> Status {
    match ask.row.defined {
        true => Status::not_found(&ask.row.group_resource(), ask.name()),
        false => respond::no_such_resource(),
    }
}

/// Whether the path has the method.
fn check(verbs: Verbs, ask: &Ask) -> Result<(), Status> {
    let method = &ask.parts.method;
    // A HEAD is authorized as the GET that it would be, and no method of the API. The old `/watch/` paths are read, and no more.
    let none = *method == Method::HEAD || (ask.exchange.info.has_watch_prefix() && *method != Method::GET);
    match Verbs::of_name(ask.verb()) {
        Some(verb) if verbs.contains(verb) && !none => Ok(()),
        _ if ask.row.defined && !none => Err(Status::method_not_supported(&ask.row.group_resource(), ask.verb())),
        _ => Err(respond::method_not_allowed()),
    }
}

/// The options of a list or a watch, with the right to history that the caller may have.
fn selection(ask: &Ask) -> Result<ListOptions, Status> {
    let mut options = options::list(&ask.query())?;
    let verb = if ask.verb() == "watch" { ListVerb::Watch } else { ListVerb::List };
    check_list_options(&options, verb).map_err(Status::from)?;
    let names_revision = !options.resource_version.is_empty() || !options.continue_token.is_empty();
    options.history = history::right(ask, names_revision);
    Ok(options)
}

/// Whether the caller may do `verb` to what it asked about: for steps that turn out to be another verb's.
async fn may(ask: &Ask, verb: &str) -> Result<(), Status> {
    let attributes = Attributes { verb: verb.to_owned(), ..attributes(&ask.exchange, &ask.user, None) };
    let decision = ask.core.authorizer.authorize(&attributes).await;
    if decision.allowed() { Ok(()) } else { Err(forbidden(&attributes, &decision)) }
}
