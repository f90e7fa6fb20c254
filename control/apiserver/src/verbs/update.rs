//! PUT of an object or of a stored view of it.

use super::may;
use crate::body::{self, Body};
use crate::core::Ask;
use crate::decode::{self, Expected};
use crate::negotiate::{self, Endpoint};
use crate::options;
use http::Response;
use sampan_api::{Object, Status};
use sampan_registry::options::UpdateOptions;
use std::sync::atomic::{AtomicBool, Ordering};

pub async fn update(ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
    let output = ask.output(Endpoint::Resource)?;
    let format = negotiate::input(&ask.parts.headers)?;
    let bytes = body::read(body).await?;
    let options = options::write(&ask.query(), "UpdateOptions")?;
    let expected = Expected::of_row(&ask.row);
    let decoded = decode::object(&expected, format, &bytes)?;
    let mut object = decoded.check_fields(options.field_validation, &ask.exchange.warnings, &expected)?;
    // Before it is asked whether the object may be created: the registry says the same of what is written.
    sampan_registry::settle_namespace(&ask.row, &mut object, ask.namespace()).map_err(Status::from)?;
    sampan_registry::check_name(&object, ask.name()).map_err(Status::from)?;

    let how = UpdateOptions {
        subresource: ask.subresource().to_owned(),
        may_create: ask.subresource().is_empty(),
        uid: Some(object.uid().to_owned()).filter(|uid| !uid.is_empty()),
        ..UpdateOptions::default()
    };
    let caller = ask.caller(&options);
    // A PUT that creates needs the right to create, which is asked for only once it is known that nothing is there.
    let creates = AtomicBool::new(false);
    let granted = AtomicBool::new(false);
    let transform = |current: Option<&Object>| {
        if current.is_none() && !granted.load(Ordering::Relaxed) {
            creates.store(true, Ordering::Relaxed);
            return Err(Status::internal("the right to create has not been asked for"));
        }
        Ok(object.clone())
    };
    let registry = &ask.core.registry;
    let mut result = registry.update(&caller, &ask.row, ask.namespace(), ask.name(), &how, &transform).await;
    if result.is_err() && creates.load(Ordering::Relaxed) {
        may(ask, "create").await?;
        granted.store(true, Ordering::Relaxed);
        result = registry.update(&caller, &ask.row, ask.namespace(), ask.name(), &how, &transform).await;
    }
    let updated = result.map_err(Status::from)?;
    ask.record(if updated.created { 201 } else { 200 }, output, &updated.record)
}
