//! GET of one object, or of a view of it (which is the same object).

use super::history;
use crate::ask::Ask;
use crate::body::Body;
use crate::negotiate::Endpoint;
use crate::options;
use http::Response;
use sampan_api::{Records, Status};

pub async fn get(ask: &Ask) -> Result<Response<Body>, Status> {
    let wants_records = ask.wants_records();
    let output = ask.output(Endpoint::Resource)?;
    let mut options = options::get(&ask.query());
    options.history = history::right(ask, !options.resource_version.is_empty());
    if let Some(revision) = ask.core.registry.awaited_by_get(&options) {
        ask.exchange.aside(ask.core.registry.wait_until(revision)).await?.map_err(Status::from)?;
    }
    let record = ask.core.registry.get(&ask.row, ask.namespace(), ask.name(), &options).await.map_err(Status::from)?;
    if wants_records {
        return Ok(Ask::records(Records::One(record)));
    }
    ask.record(200, output, &record).await
}
