//! LIST: a page of one revision.

use super::selection;
use crate::body::Body;
use crate::core::Ask;
use crate::negotiate::Endpoint;
use http::Response;
use sampan_api::{Records, Status};
use std::sync::Arc;

pub async fn list(ask: &Ask) -> Result<Response<Body>, Status> {
    let output = ask.output(Endpoint::List)?;
    let options = selection(ask)?;
    let list = ask.core.registry.list(&ask.row, ask.namespace(), &options).await.map_err(Status::from)?;
    if ask.wants_records() {
        return Ok(Ask::records(Records::List {
            items: Arc::new(list.items),
            revision: list.revision,
            continue_token: list.continue_token,
            remaining: list.remaining,
        }));
    }
    ask.page(output, &list)
}
