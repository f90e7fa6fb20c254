//! Watches: the changes of a selection, from now on or from a revision on.

use crate::error::Error;
use crate::history::Replay;
use crate::limits::WATCH_TIMEOUT_MIN;
use crate::options::ListOptions;
use crate::read::{ListVerb, check_list_options, filter, parse_revision};
use crate::registry::Registry;
use crate::resource::Resource;
use futures::StreamExt;
use sampan_api::record::{RecordEvent, RecordStream};
use sampan_api::status::Status;
use sampan_watch::{EventStream, Start, StreamOptions};
use std::time::Duration;

impl Registry {
    /// The changes of a selection. Errors that come after the start are the stream's last item.
    pub async fn watch(&self, row: &Resource, namespace: &str, options: &ListOptions) -> Result<RecordStream, Error> {
        if row.converted_by.is_some() {
            return self.watch_converted(row, namespace, options).await;
        }
        let events = self.watch_stored(row, namespace, options).await?;
        if row.stored_as.is_none() {
            return Ok(events);
        }
        let (registry, row) = (self.clone(), row.clone());
        let show = move |event: Result<_, Status>| event.and_then(|event| Ok(registry.shown(&row, event)?));
        Ok(events.map(show).boxed())
    }

    /// As [`Self::watch`], with each object as it is stored: [`Self::shown`] makes the row's version of it. Not of rows whose
    /// objects a webhook converts.
    pub async fn watch_stored(
        &self,
        row: &Resource,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<RecordStream, Error> {
        let table = self.inner.table.load();
        let place = self.place(&table, row, namespace)?;
        check_list_options(options, ListVerb::Watch)?;
        let filter = filter(row, namespace, options)?;
        let revision = parse_revision(&options.resource_version)?;
        let start = match options.send_initial_events {
            Some(true) => {
                self.catch_up().await?;
                // As Kubernetes' cache, which is waited for once the watch has begun.
                if let Err(ahead) = self.wait_until(row, revision).await {
                    return Ok(ended_by(ahead));
                }
                Start::Current { announce_end: options.allow_bookmarks }
            }
            Some(false) if revision == 0 => {
                self.catch_up().await?;
                Start::After(self.revision())
            }
            None if revision == 0 => {
                self.catch_up().await?;
                // Begun by its options or by the lack of them: SetListOptionsDefaults makes one of both.
                Start::Current { announce_end: options.allow_bookmarks }
            }
            Some(false) | None => Start::After(revision),
        };
        let replay = match start {
            Start::After(revision) => match self.replay(&table, &place, revision, &options.history).await {
                // As where the log itself no longer has it: an ERROR event, which tells clients to list again.
                Err(expired @ Error::Expired(_)) => return Ok(ended_by(expired)),
                replay => replay?,
            },
            Start::Current { .. } => None,
        };
        let timeout = match options.timeout_seconds {
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds),
            _ => {
                let spread = self.inner.env.random_u64() % (WATCH_TIMEOUT_MIN.as_millis() as u64).max(1);
                WATCH_TIMEOUT_MIN + Duration::from_millis(spread)
            }
        };
        let options = StreamOptions { filter, start, bookmarks: options.allow_bookmarks, timeout };
        let events = self.inner.watch.stream(&place.prefix, row.namespaced, options)?;
        let Some(replay) = replay else {
            let next = |mut events: EventStream| async move {
                let event = events.next().await?.map_err(|error| Status::from(Error::from(error)));
                Some((event, events))
            };
            return Ok(futures::stream::unfold(events, next).boxed());
        };
        let shown = Shown { events, registry: self.clone(), replay };
        Ok(futures::stream::unfold(shown, |mut shown| async { Some((shown.next().await?, shown)) }).boxed())
    }

    /// The event with its object in the row's version.
    ///
    /// # Errors
    /// When it cannot be converted.
    pub fn shown(&self, row: &Resource, event: RecordEvent) -> Result<RecordEvent, Error> {
        Ok(match event {
            RecordEvent::Added(record) => RecordEvent::Added(self.serve_here(row, record)?),
            RecordEvent::Modified(record) => RecordEvent::Modified(self.serve_here(row, record)?),
            RecordEvent::Deleted(record) => RecordEvent::Deleted(self.serve_here(row, record)?),
            bookmark @ RecordEvent::Bookmark { .. } => bookmark,
        })
    }
}

/// A watch that an error ends at once: an ERROR event, which tells clients what to begin anew.
fn ended_by(error: Error) -> RecordStream {
    futures::stream::iter([Err(Status::from(error))]).boxed()
}

/// The events of a watch which may not show all that came before it.
struct Shown {
    events: EventStream,
    registry: Registry,
    replay: Replay,
}

impl Shown {
    async fn next(&mut self) -> Option<Result<RecordEvent, Status>> {
        loop {
            let event = match self.events.next().await? {
                Ok(event) => event,
                Err(error) => return Some(Err(Error::from(error).into())),
            };
            match self.registry.replayed(&self.replay, event) {
                Ok(None) => {}
                Ok(Some(event)) => return Some(Ok(event)),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}
