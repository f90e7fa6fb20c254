//! DELETE of one object.

use crate::ask::Ask;
use crate::body::Body;
use crate::negotiate::{Endpoint, Output, Shape};
use crate::options;
use crate::respond;
use http::Response;
use sampan_api::{Record, Status};
use sampan_registry::options::DeleteOptions;
use std::sync::Arc;

/// Deletes an object, or begins to: answers with the object while it goes, else as its row says.
///
/// # Errors
/// 404 where there is none, 409 where the preconditions do not hold, 400 for bad options.
pub async fn delete(ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
    let output = ask.output(Endpoint::Resource)?;
    let bytes = ask.read(body).await?;
    let (options, write) = options::delete(&ask.query(), &ask.parts.headers, &bytes)?;
    let caller = ask.caller(&write);
    let registry = &ask.core.registry;
    let deleted =
        registry.delete(&caller, &ask.row, ask.namespace(), ask.name(), &options).await.map_err(Status::from)?;
    if !deleted.gone {
        return ask.record(code_of_going(&options), output, &deleted.record).await;
    }
    if deleted.answer_object {
        ask.record(200, output, &deleted.record).await
    } else {
        Ok(success(ask, output, &deleted.record))
    }
}

/// 202 where the caller asked in the old way that dependents go too (k8s.io/apiserver keeps 200 otherwise, for the
/// clients that were there before).
fn code_of_going(options: &DeleteOptions) -> u16 {
    if options.orphan_dependents == Some(false) { 202 } else { 200 }
}

/// The Status of an object that is gone. It is a Status whatever shape was asked for.
fn success(ask: &Ask, output: Output, record: &Arc<Record>) -> Response<Body> {
    let mut status = Status::success();
    let details = status.details.get_or_insert_default();
    details.name = record.key.name.to_string();
    details.group = ask.row.group.to_string();
    details.kind = ask.row.resource.to_string();
    details.uid = record.uid.to_string();
    let mut response = respond::status(&status, Output { shape: Shape::Whole, ..output });
    *response.status_mut() = http::StatusCode::OK;
    response
}
