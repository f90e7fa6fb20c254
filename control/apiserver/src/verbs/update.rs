//! PUT of an object or of a stored view of it.

use super::may;
use crate::ask::Ask;
use crate::body::Body;
use crate::decode::{self, Expected};
use crate::negotiate::{self, Endpoint};
use crate::options;
use async_trait::async_trait;
use http::Response;
use sampan_api::{Object, Status};
use sampan_registry::options::{CreateValidation, Creation, UpdateOptions};
use sampan_registry::{OwnersFrom, dedup_owners};
use tokio::sync::OnceCell;

/// Puts the object of the body in the place of what is there; creates it, with 201, where nothing is there and the kind
/// allows it.
///
/// # Errors
/// 400, 413 and 415 for the body, 404 where nothing is there, 409 where another version is, 422 where it is invalid, 403
/// without the right to create, and what admission refuses.
pub async fn update(ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
    let output = ask.output(Endpoint::Resource)?;
    let format = negotiate::input(&ask.parts.headers)?;
    let bytes = ask.read(body).await?;
    let options = options::write(&ask.query(), "UpdateOptions")?;
    let expected = Expected::of_row(&ask.row);
    let decoded = decode::object(&expected, format, &bytes, options.field_validation)?;
    let mut object = decoded.check_fields(options.field_validation, &ask.exchange.warnings, &expected)?;
    // Before it is asked whether the object may be created: the registry says the same of what is written.
    sampan_registry::settle_namespace(&ask.row, &mut object, ask.namespace()).map_err(Status::from)?;
    sampan_registry::check_name(&object, ask.name()).map_err(Status::from)?;
    dedup_owners(&mut object, OwnersFrom::Request, &ask.exchange.warnings);

    let right = RightToCreate::of(ask);
    let how = UpdateOptions {
        subresource: ask.subresource().to_owned(),
        create: Creation::WhereAllowed(&right),
        uid: Some(object.uid().to_owned()).filter(|uid| !uid.is_empty()),
        ..UpdateOptions::default()
    };
    let caller = ask.caller(&options);
    let transform = |_: Option<&Object>| Ok(object.clone());
    let registry = &ask.core.registry;
    let updated = registry
        .update(&caller, &ask.row, ask.namespace(), ask.name(), &how, &transform)
        .await
        .map_err(Status::from)?;
    ask.record(if updated.created { 201 } else { 200 }, output, &updated.record).await
}

/// An update that creates needs the right to create; the authorizer is asked once, and only where nothing is there.
pub(super) struct RightToCreate<'a> {
    ask: &'a Ask,
    decided: OnceCell<Result<(), Status>>,
}

impl<'a> RightToCreate<'a> {
    pub(super) fn of(ask: &'a Ask) -> Self {
        RightToCreate { ask, decided: OnceCell::new() }
    }
}

#[async_trait]
impl CreateValidation for RightToCreate<'_> {
    async fn validate(&self) -> Result<(), Status> {
        self.decided.get_or_init(|| may(self.ask, "create")).await.clone()
    }
}
