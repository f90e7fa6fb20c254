//! DELETE of a collection.

use super::selection;
use crate::ask::Ask;
use crate::body::Body;
use crate::negotiate::Endpoint;
use crate::options;
use http::Response;
use sampan_api::Status;
use sampan_registry::check_fields;

/// Deletes the objects that are selected and answers with them.
///
/// # Errors
/// 400 for bad options or selectors, 410 for an expired `continue`, and what a deletion is refused with.
pub async fn delete_collection(ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
    let output = ask.output(Endpoint::Resource)?;
    let selection = selection(ask)?;
    check_fields(&ask.row, &selection).map_err(Status::from)?;
    let bytes = ask.read(body).await?;
    let (options, write) = options::delete(&ask.query(), &ask.parts.headers, &bytes)?;
    let caller = ask.caller(&write);
    let registry = &ask.core.registry;
    ask.until_readable(&selection).await?;
    let list = registry
        .delete_collection(&caller, &ask.row, ask.namespace(), &selection, &options)
        .await
        .map_err(Status::from)?;
    ask.page(output, list.into()).await
}
