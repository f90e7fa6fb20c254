//! A request's body on its way in: charged as it comes, and given up when it comes too slowly.

use crate::body::{Body, collect_from, late, too_large};
use crate::exchange::Exchange;
use crate::flow::seats::too_many_requests;
use crate::ledger::Charge;
use crate::limits::{BODY_BYTES_PER_SECOND_MIN, BODY_GRACE, BODY_TIMEOUT, CHARGE_STEP_BYTES};
use crate::line::Ledgers;
use bytes::Bytes;
use sampan_api::Status;
use sampan_api::limits::REQUEST_BODY_MAX;
use sampan_env::Env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Reads a request's body whole: at most [`REQUEST_BODY_MAX`] bytes, as fast as [`BODY_BYTES_PER_SECOND_MIN`] and
/// [`BODY_TIMEOUT`] want it, charged as it comes. No seat is held meanwhile.
pub(crate) async fn receive(
    exchange: &Exchange,
    ledgers: &Ledgers,
    env: &Env,
    body: &mut Body,
) -> Result<Bytes, Status> {
    if http_body::Body::is_end_stream(&*body) {
        return Ok(Bytes::new());
    }
    if http_body::Body::size_hint(&*body).lower() > REQUEST_BODY_MAX as u64 {
        return Err(too_large());
    }
    if exchange.in_process() {
        return collect_from(body, |_| Ok(())).await;
    }
    exchange.aside(arrive(exchange, ledgers, env, body)).await?
}

/// The charge of one body more that arrives; `None`: too many of the request's connection, its identity, or all do.
pub(crate) fn one_more(exchange: &Exchange, ledgers: &Ledgers) -> Option<Charge> {
    let share = exchange.line.as_ref().map(|line| line.shares(ledgers).arriving.clone());
    ledgers.arriving.account(&exchange.payer(), share).try_charge(1)
}

async fn arrive(exchange: &Exchange, ledgers: &Ledgers, env: &Env, body: &mut Body) -> Result<Bytes, Status> {
    let _arriving = one_more(exchange, ledgers).ok_or_else(too_many_requests)?;
    let share = exchange.line.as_ref().map(|line| line.shares(ledgers).bodies.clone());
    let account = ledgers.bodies.account(&exchange.payer(), share);
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
        bytes = collect_from(body, charge) => bytes?,
        () = too_slow => return Err(late()),
    };
    exchange.hold(charges);
    Ok(bytes)
}
