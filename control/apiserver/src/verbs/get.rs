//! GET of one object, or of a view of it (which is the same object).

use super::history;
use super::past;
use crate::ask::Ask;
use crate::body::Body;
use crate::negotiate::Endpoint;
use crate::options;
use crate::request_info::truthy;
use http::Response;
use sampan_api::{Records, Status};

/// Answers with the object, of the revision that is asked for.
///
/// # Errors
/// 404 where there is none, 410 for a revision that is no longer kept, 504 for one that does not come in time.
pub async fn get(ask: &Ask) -> Result<Response<Body>, Status> {
    if ask.query().get("history").is_some_and(|asked| truthy(Some(asked))) {
        return past::of_object(ask).await;
    }
    let wants_records = ask.wants_records();
    let output = ask.output(Endpoint::Resource)?;
    let mut options = options::get(&ask.query());
    options.history = history::right(ask, !options.resource_version.is_empty());
    if let Some(revision) = ask.core.registry.awaited_by_get(&options) {
        ask.exchange.aside(ask.core.registry.wait_until(&ask.row, revision)).await?.map_err(Status::from)?;
    }
    let record = ask.core.registry.get(&ask.row, ask.namespace(), ask.name(), &options).await.map_err(Status::from)?;
    if wants_records {
        return Ok(Ask::records(Records::One(record)));
    }
    ask.record(200, output, &record).await
}
