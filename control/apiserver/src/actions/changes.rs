//! `changes` of `history.sampan.dev`: who changed what.

use super::Action;
use crate::ask::Ask;
use crate::body::Body;
use crate::verbs::past;
use async_trait::async_trait;
use http::Response;
use sampan_api::Status;

pub(super) struct Changes;

#[async_trait]
impl Action for Changes {
    async fn call(&self, ask: &Ask, _: Body) -> Result<Response<Body>, Status> {
        past::of_all(ask).await
    }
}
