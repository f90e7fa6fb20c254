//! LIST: a page of one revision.

use super::selection;
use crate::ask::Ask;
use crate::body::Body;
use crate::negotiate::Endpoint;
use http::Response;
use sampan_api::{Records, Status};
use std::sync::Arc;

/// Answers with a page that is encoded as it is sent.
///
/// # Errors
/// 400 for bad options or selectors, 410 for a revision or `continue` that is no longer kept, 504 for a revision that does
/// not come in time.
pub async fn list(ask: &Ask) -> Result<Response<Body>, Status> {
    let options = selection(ask)?;
    let output = ask.output(Endpoint::List)?;
    let registry = &ask.core.registry;
    ask.until_readable(&options).await?;
    let selection = registry.select(&ask.row, ask.namespace(), &options).await.map_err(Status::from)?;
    if ask.wants_records() {
        let list = selection.into_list().await.map_err(Status::from)?;
        return Ok(Ask::records(Records::List {
            items: Arc::new(list.items),
            revision: list.revision,
            continue_token: list.continue_token,
            remaining: list.remaining,
        }));
    }
    ask.page(output, selection).await
}
