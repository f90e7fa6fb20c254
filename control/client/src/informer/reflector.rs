//! The loop that keeps an informer's copy: watch-list where the server has it, else list and then watch; from its
//! revision after every break, from the beginning when that revision is gone.

use super::Shared;
use crate::api::Api;
use crate::client::Client;
use crate::error::Error;
use crate::params::{ListParams, WatchParams};
use crate::watch::WatchStream;
use crate::{Result, limits};
use futures::StreamExt;
use sampan_api::{Object, Record, RecordEvent, RecordKey};
use sampan_env::Env;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Runs until its task is cancelled.
pub(super) async fn run(client: Client, informer: Arc<Shared>, env: Env) {
    let mut state = State { revision: None, watch_list: true };
    let mut failures: u32 = 0;
    let api = client.dynamic(&informer.spec.resource, informer.spec.namespace.as_deref());
    loop {
        let started = env.instant();
        let outcome = state.follow(&api, &informer, &env).await;
        if env.instant().duration_since(started) >= limits::REFLECTOR_BACKOFF_RESET {
            failures = 0;
        }
        let refused = outcome.as_ref().is_err_and(|error| error.code() == 404);
        informer.refused.store(refused, Ordering::Release);
        match outcome {
            // The server ended the watch, as it was asked to: go on from the revision reached.
            Ok(events) => {
                if events > 0 {
                    failures = 0;
                    continue;
                }
            }
            Err(error) if error.is_expired() => {
                tracing::debug!(resource = %informer.spec.resource, %error, "revision gone: the state is read anew");
                state.revision = None;
            }
            Err(error) => {
                let resource = &informer.spec.resource;
                tracing::warn!(%resource, %error, failures, "watch broke: it is tried again");
            }
        }
        failures = failures.saturating_add(1);
        env.sleep(wait(failures, env.random_u64())).await;
    }
}

/// Exponential, with up to as much again at random, so that many clients do not come back at the same moment.
fn wait(failures: u32, random: u64) -> Duration {
    let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let base = limits::REFLECTOR_BACKOFF_BASE.saturating_mul(factor).min(limits::REFLECTOR_BACKOFF_MAX);
    base + base.mul_f64(fraction(random))
}

/// 0 to 1, out of 53 random bits.
fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

struct State {
    /// The revision of the copy; `None`: it has none, or one that the server has dropped.
    revision: Option<u64>,
    /// The server has not refused `sendInitialEvents`.
    watch_list: bool,
}

impl State {
    /// One watch, from its beginning to its end. Answers how many events it brought.
    async fn follow(&mut self, api: &Api<Object>, shared: &Shared, env: &Env) -> Result<u64> {
        let timeout = limits::WATCH_TIMEOUT_MIN.mul_f64(1.0 + fraction(env.random_u64()));
        let spec = &shared.spec;
        let params = WatchParams {
            label_selector: spec.label_selector.clone(),
            field_selector: spec.field_selector.clone(),
            timeout: Some(timeout),
            ..WatchParams::default()
        };
        let mut events = 0;
        let stream = match self.revision {
            Some(revision) => {
                api.watch(&WatchParams { resource_version: Some(revision.to_string()), ..params }).await?
            }
            None if self.watch_list => match self.initial(api, &params, shared).await {
                Ok(stream) => {
                    events += 1;
                    stream
                }
                Err(error)
                    if matches!(error.code(), 400 | 404 | 405 | 422) || matches!(error, Error::Timeout { .. }) =>
                {
                    // 404 is a resource that is not served (yet): list and watch says so again.
                    tracing::debug!(resource = %spec.resource, %error, "no watch-list here: list, then watch");
                    self.watch_list = error.code() == 404;
                    self.list(api, &params, shared).await?
                }
                Err(error) => return Err(error),
            },
            None => {
                events += 1;
                self.list(api, &params, shared).await?
            }
        };
        self.drain(stream, shared, &mut events).await.map(|()| events)
    }

    /// Watch-list: the initial events, then the stream goes on as the watch.
    async fn initial(&mut self, api: &Api<Object>, params: &WatchParams, shared: &Shared) -> Result<WatchStream> {
        let mut stream = api.watch(&WatchParams { send_initial_events: true, ..params.clone() }).await?;
        let mut records: BTreeMap<RecordKey, Arc<Record>> = BTreeMap::new();
        loop {
            let next = tokio::time::timeout(limits::INITIAL_EVENTS_IDLE, stream.next()).await;
            match next.map_err(|_| Error::Timeout { after: limits::INITIAL_EVENTS_IDLE })? {
                None => return Err(Error::Protocol("a watch-list ended before its initial events did".into())),
                Some(event) => match event? {
                    RecordEvent::Added(record) | RecordEvent::Modified(record) => {
                        records.insert(record.key.clone(), record);
                    }
                    RecordEvent::Deleted(record) => {
                        records.remove(&record.key);
                    }
                    RecordEvent::Bookmark { revision, initial_events_end: true } => {
                        shared.replace(records.into_values().collect(), revision);
                        self.revision = Some(revision);
                        return Ok(stream);
                    }
                    RecordEvent::Bookmark { .. } => {}
                },
            }
        }
    }

    async fn list(&mut self, api: &Api<Object>, params: &WatchParams, shared: &Shared) -> Result<WatchStream> {
        let list = api
            .list_all_records(&ListParams {
                label_selector: params.label_selector.clone(),
                field_selector: params.field_selector.clone(),
                ..ListParams::default()
            })
            .await?;
        shared.replace(list.items, list.revision);
        self.revision = Some(list.revision);
        api.watch(&WatchParams { resource_version: Some(list.revision.to_string()), ..params.clone() }).await
    }

    async fn drain(&mut self, mut stream: WatchStream, shared: &Shared, events: &mut u64) -> Result<()> {
        while let Some(event) = stream.next().await {
            let event = event?;
            *events += 1;
            match event {
                RecordEvent::Added(record) | RecordEvent::Modified(record) => {
                    self.revision = Some(record.mod_revision);
                    shared.apply(record);
                }
                RecordEvent::Deleted(record) => {
                    self.revision = Some(record.mod_revision);
                    shared.delete(record);
                }
                RecordEvent::Bookmark { revision, .. } => {
                    self.revision = Some(revision);
                    shared.reached(revision);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_have_jitter() {
        assert_eq!(wait(1, 0), limits::REFLECTOR_BACKOFF_BASE);
        assert!(wait(1, u64::MAX) <= limits::REFLECTOR_BACKOFF_BASE * 2);
        assert_eq!(wait(3, 0), limits::REFLECTOR_BACKOFF_BASE * 4);
        assert!(wait(u32::MAX, u64::MAX) <= limits::REFLECTOR_BACKOFF_MAX * 2);
    }
}
