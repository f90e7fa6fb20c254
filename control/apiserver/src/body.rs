//! The bodies of both directions, and how to read one whole without being flooded.

use crate::exchange::Exchange;
use crate::flow::seats::too_many_requests;
use crate::limits::{BODY_BYTES_PER_SECOND_MIN, BODY_GRACE, BODY_TIMEOUT, CHARGE_STEP_BYTES};
use crate::line::Ledgers;
use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use sampan_api::Status;
use sampan_api::limits::REQUEST_BODY_MAX;
use sampan_env::Env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body type on both sides of the service, in process and out of it.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn too_large() -> Status {
    Status::request_entity_too_large(&format!("limit is {REQUEST_BODY_MAX}"))
}

/// Reads the body of somebody whom this process trusts: at most [`REQUEST_BODY_MAX`] bytes within [`BODY_TIMEOUT`].
pub(crate) async fn read_trusted(body: Body) -> Result<Bytes, Status> {
    tokio::time::timeout(BODY_TIMEOUT, collect(body, |_| Ok(()))).await.unwrap_or_else(|_| Err(late()))
}

/// Reads a request's body whole: at most [`REQUEST_BODY_MAX`] bytes, as fast as [`BODY_BYTES_PER_SECOND_MIN`] and
/// [`BODY_TIMEOUT`] want it, charged as it comes. No seat is held meanwhile.
pub(crate) async fn receive(exchange: &Exchange, ledgers: &Ledgers, env: &Env, body: Body) -> Result<Bytes, Status> {
    if http_body::Body::is_end_stream(&body) {
        return Ok(Bytes::new());
    }
    if http_body::Body::size_hint(&body).lower() > REQUEST_BODY_MAX as u64 {
        return Err(too_large());
    }
    if exchange.in_process {
        return collect(body, |_| Ok(())).await;
    }
    exchange.aside(arrive(exchange, ledgers, env, body)).await?
}

async fn arrive(exchange: &Exchange, ledgers: &Ledgers, env: &Env, body: Body) -> Result<Bytes, Status> {
    let payer = exchange.payer();
    let shares = exchange.line.as_ref().map(|line| line.shares(ledgers));
    let arriving = ledgers.arriving.account(&payer, shares.map(|shares| shares.arriving.clone()));
    let _arriving = arriving.try_charge(1).ok_or_else(too_many_requests)?;
    let account = ledgers.bodies.account(&payer, shares.map(|shares| shares.bodies.clone()));
    let (mut charges, mut charged) = (Vec::new(), 0);
    let began = env.instant();
    let received = AtomicUsize::new(0);
    let charge = |so_far: usize| -> Result<(), Status> {
        received.store(so_far, Ordering::Relaxed);
        if so_far > charged {
            let step = (so_far - charged).max(CHARGE_STEP_BYTES);
            charges.push(account.try_charge(step).ok_or_else(too_many_requests)?);
            charged += step;
        }
        Ok(())
    };
    let too_slow = async {
        loop {
            let fast_enough =
                Duration::from_secs((received.load(Ordering::Relaxed) / BODY_BYTES_PER_SECOND_MIN) as u64);
            let deadline = began + (BODY_GRACE + fast_enough).min(BODY_TIMEOUT);
            if env.instant() >= deadline {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    };
    let bytes = tokio::select! {
        biased;
        bytes = collect(body, charge) => bytes?,
        () = too_slow => return Err(late()),
    };
    exchange.hold(charges);
    Ok(bytes)
}

fn late() -> Status {
    Status::timeout("the body of the request did not arrive in time", 1)
}

/// Collects the frames; `arrived` is told how many bytes there are with each, and may refuse them.
async fn collect(mut body: Body, mut arrived: impl FnMut(usize) -> Result<(), Status>) -> Result<Bytes, Status> {
    // Most bodies are one frame: then its bytes are the body and nothing is copied.
    let mut first: Option<Bytes> = None;
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Status::bad_request(format!("the body of the request broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let so_far = rest.as_ref().map_or_else(|| first.as_ref().map_or(0, Bytes::len), BytesMut::len);
        if so_far + data.len() > REQUEST_BODY_MAX {
            return Err(too_large());
        }
        arrived(so_far + data.len())?;
        match (&mut first, &mut rest) {
            (_, Some(all)) => all.extend_from_slice(&data),
            (None, None) => first = Some(data),
            (Some(one), None) => {
                let mut all = BytesMut::with_capacity(one.len() + data.len());
                all.extend_from_slice(one);
                all.extend_from_slice(&data);
                rest = Some(all);
            }
        }
    }
    Ok(rest.map(BytesMut::freeze).or(first).unwrap_or_default())
}
