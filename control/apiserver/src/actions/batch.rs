//! `<kind>batch`: many objects of one kind in one transaction. All of them are stored, or none.

use super::Action;
use crate::ask::Ask;
use crate::body::Body;
use crate::decode::{self, Expected, PatchText};
use crate::options::FieldValidation;
use async_trait::async_trait;
use http::Response;
use sampan_api::{GroupVersionKind, Status};
use sampan_registry::Resource;
use serde_json::Value;
use std::sync::Arc;

pub(super) struct CreateBatch;

#[async_trait]
impl Action for CreateBatch {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        let gvk = ask.row().gvk();
        let (mut batch, options) = ask.read_object(body).await?;
        let row = row_of_items(ask, &gvk)?;
        let expected = Expected::of_row(&row);
        let Some(Value::Array(items)) = batch.remove(&["items"]) else {
            return Err(Status::bad_request("a batch has a list of items"));
        };
        let mut objects = Vec::with_capacity(items.len());
        let text = PatchText { shown: Some(&|| "{...}".to_owned()), ..PatchText::default() };
        for item in items {
            let mut object = decode::patched(&expected, item, FieldValidation::Ignore, &ask.exchange.warnings, &text)?;
            object.set_gvk(&expected.gvk);
            objects.push(object);
        }
        let caller = ask.caller(&options);
        ask.registry().create_batch(&caller, &row, objects).await.map_err(Status::from)?;
        ask.created()
    }
}

/// The row whose kind the batch's is, without `Batch`.
fn row_of_items(ask: &Ask, batch: &GroupVersionKind) -> Result<Arc<Resource>, Status> {
    let kind = batch.kind.strip_suffix("Batch").unwrap_or("");
    let gvk = GroupVersionKind { kind: kind.to_owned(), ..batch.clone() };
    let table = ask.registry().table();
    table.of_kind(&gvk).cloned().ok_or_else(|| Status::internal(&format!("no row for the items of a {}", batch.kind)))
}
