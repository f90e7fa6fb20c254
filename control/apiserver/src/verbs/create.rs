//! POST to a collection.

use crate::ask::Ask;
use crate::body::Body;
use crate::decode::{self, Expected};
use crate::negotiate::{self, Endpoint};
use crate::options;
use http::Response;
use sampan_api::Status;
use sampan_registry::{OwnersFrom, dedup_owners};

/// Creates the object of the body and answers 201 with it.
///
/// # Errors
/// 400, 413 and 415 for the body, 409 where the name is taken, 422 where it is invalid, and what admission refuses.
pub async fn create(ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
    let output = ask.output(Endpoint::Resource)?;
    let format = negotiate::input(&ask.parts.headers)?;
    let bytes = ask.read(body).await?;
    let options = options::write(&ask.query(), "CreateOptions")?;
    let expected = Expected::of_row(&ask.row);
    let decoded = decode::object(&expected, format, &bytes, options.field_validation)?;
    let mut object = decoded.check_fields(options.field_validation, &ask.exchange.warnings, &expected)?;
    dedup_owners(&mut object, OwnersFrom::Request, &ask.exchange.warnings);
    let caller = ask.caller(&options);
    let record = ask.core.registry.create(&caller, &ask.row, ask.namespace(), object).await.map_err(Status::from)?;
    ask.record(201, output, &record).await
}
