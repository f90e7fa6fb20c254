//! Lists and watches of objects that a webhook converts: it may change what they are selected by, so they are selected once
//! they are converted.

use crate::continuation::Token;
use crate::error::Error;
use crate::limits::{CONVERSION_BATCH_MAX, HISTORY_PAGE_MAX, LIST_HELD_MAX};
use crate::options::ListOptions;
use crate::read::{List, filter};
use crate::registry::Registry;
use crate::resource::Resource;
use crate::selection::Selection;
use futures::StreamExt;
use sampan_api::record::{Record, RecordEvent, RecordStream};
use sampan_api::selector::{FieldSelector, LabelSelector};
use sampan_api::status::Status;
use sampan_watch::Filter;
use std::sync::Arc;

/// The options without what a webhook may change: namespace and name stay.
fn wide(options: &ListOptions) -> ListOptions {
    let mut fields = FieldSelector::clone(&options.fields);
    fields.requirements.retain(|one| matches!(one.field.as_str(), "metadata.name" | "metadata.namespace"));
    ListOptions { labels: LabelSelector::everything(), fields, ..options.clone() }
}

/// Whether a webhook may change what the options select by.
fn is_selective(options: &ListOptions) -> bool {
    !options.labels.is_everything() || wide(options).fields.requirements.len() != options.fields.requirements.len()
}

impl Registry {
    /// As [`Registry::select`], of a row whose objects a webhook converts.
    pub(crate) async fn select_converted(
        &self,
        row: &Resource,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<Selection, Error> {
        let chosen = filter(row, namespace, options)?;
        let stored = wide(options);
        let selective = is_selective(options);
        if selective && options.limit > 0 {
            return self.page_converted(row, namespace, options, &chosen).await;
        }
        let selection = self.select_stored(row, namespace, &stored).await?;
        Ok(selection.converted_elsewhere(self, row, selective.then_some(chosen)))
    }

    /// A page of what is selected once it is converted. It is at most as long as is held at once: clients go on at its end.
    async fn page_converted(
        &self,
        row: &Resource,
        namespace: &str,
        options: &ListOptions,
        chosen: &Filter,
    ) -> Result<Selection, Error> {
        let limit = usize::try_from(options.limit.min(LIST_HELD_MAX)).unwrap_or(usize::MAX);
        let mut stored = ListOptions { limit: HISTORY_PAGE_MAX as u64, ..wide(options) };
        let mut page = List { items: Vec::new(), revision: 0, continue_token: None, remaining: None };
        loop {
            let selection = self.select_stored(row, namespace, &stored).await?;
            let (revision, more) = (selection.revision, selection.continue_token.clone());
            page.revision = revision;
            let found = selection.into_list().await?.items;
            for batch in found.chunks(CONVERSION_BATCH_MAX) {
                for record in self.serve_all(row, batch.to_vec()).await? {
                    if !chosen.matches(&record) {
                        continue;
                    }
                    if page.items.len() == limit {
                        page.continue_token = self.token_behind(row, namespace, &page)?;
                        return Ok(Selection::held(page));
                    }
                    page.items.push(record);
                }
            }
            let Some(token) = more else { return Ok(Selection::held(page)) };
            stored.continue_token = token;
            (stored.resource_version, stored.version_match) = (String::new(), String::new());
        }
    }

    /// The token of a list that goes on behind the last of a page.
    fn token_behind(&self, row: &Resource, namespace: &str, page: &List) -> Result<Option<String>, Error> {
        let table = self.inner.table.load();
        let place = self.place(&table, row, namespace)?;
        let Some(last) = page.items.last() else { return Ok(None) };
        let key = match row.namespaced {
            true => format!("{}/{}", last.key.namespace, last.key.name),
            false => last.key.name.to_string(),
        };
        let key_prefix = match row.namespaced && !namespace.is_empty() {
            true => format!("{}{namespace}/", place.prefix),
            false => place.prefix.clone(),
        };
        let token = Token::new(page.revision, &key, None).sealed(&self.inner.seal, &key_prefix);
        Ok(Some(token.encode()))
    }

    /// As [`Registry::watch`], of a row whose objects a webhook converts.
    pub(crate) async fn watch_converted(
        &self,
        row: &Resource,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<RecordStream, Error> {
        let chosen = filter(row, namespace, options)?;
        let events = self.watch_stored(row, namespace, &wide(options)).await?;
        let following = Following {
            registry: self.clone(),
            row: row.clone(),
            namespace: namespace.to_owned(),
            chosen: is_selective(options).then_some(chosen),
        };
        let following = Arc::new(following);
        let shown = events.ready_chunks(CONVERSION_BATCH_MAX).then(move |events| {
            let following = following.clone();
            async move { futures::stream::iter(following.shown(events).await) }
        });
        Ok(shown.flatten().boxed())
    }
}

/// A watch of converted objects.
struct Following {
    registry: Registry,
    row: Resource,
    namespace: String,
    /// `None`: every object is told of.
    chosen: Option<Filter>,
}

impl Following {
    /// The events in the version of the row, up to the first that fails.
    async fn shown(&self, events: Vec<Result<RecordEvent, Status>>) -> Vec<Result<RecordEvent, Status>> {
        let mut stored = Vec::with_capacity(events.len());
        let mut failure = None;
        for event in events {
            match event {
                Ok(event) => stored.push(event),
                Err(status) => failure = Some(status),
            }
        }
        let mut shown: Vec<_> = match self.converted(stored).await {
            Ok(events) => events.into_iter().map(Ok).collect(),
            Err(error) => return vec![Err(error.into())],
        };
        shown.extend(failure.map(Err));
        shown
    }

    async fn converted(&self, events: Vec<RecordEvent>) -> Result<Vec<RecordEvent>, Error> {
        let mut records = Vec::new();
        for event in &events {
            if let (Some(_), RecordEvent::Modified(record)) = (&self.chosen, event) {
                records.extend(self.before(record).await?);
            }
            records.extend(event.record().cloned());
        }
        let stored: Vec<u64> = records.iter().map(|record| record.mod_revision).collect();
        let mut converted = self.registry.serve_all(&self.row, records).await?.into_iter().zip(stored).peekable();
        let mut out = Vec::with_capacity(events.len());
        for event in events {
            let Some(record) = event.record() else {
                out.push(event);
                continue;
            };
            let before = converted.next_if(|(_, revision)| *revision < record.mod_revision && is_modified(&event));
            let Some((now, _)) = converted.next() else { continue };
            out.extend(self.told(&event, now, before.map(|(before, _)| before)));
        }
        Ok(out)
    }

    /// The event as who selects sees it.
    fn told(&self, event: &RecordEvent, now: Arc<Record>, before: Option<Arc<Record>>) -> Option<RecordEvent> {
        let matches = |record: &Arc<Record>| self.chosen.as_ref().is_none_or(|chosen| chosen.matches(record));
        match event {
            RecordEvent::Bookmark { .. } => None,
            RecordEvent::Added(_) => matches(&now).then_some(RecordEvent::Added(now)),
            RecordEvent::Deleted(_) => matches(&now).then_some(RecordEvent::Deleted(now)),
            RecordEvent::Modified(_) if self.chosen.is_none() => Some(RecordEvent::Modified(now)),
            RecordEvent::Modified(_) => match (before.filter(&matches), matches(&now)) {
                (Some(_), true) => Some(RecordEvent::Modified(now)),
                (None, true) => Some(RecordEvent::Added(now)),
                (Some(before), false) => {
                    Some(RecordEvent::Deleted(Arc::new(before.at_revision(now.mod_revision, now.writer.clone()))))
                }
                (None, false) => None,
            },
        }
    }

    /// The object as it was before its last change; `None` where the log does not have it any more.
    async fn before(&self, record: &Record) -> Result<Option<Arc<Record>>, Error> {
        let table = self.registry.inner.table.load();
        let namespace = if self.namespace.is_empty() { &*record.key.namespace } else { self.namespace.as_str() };
        let place = self.registry.place(&table, &self.row, namespace)?;
        let revision = record.mod_revision.saturating_sub(1);
        match self.registry.stored(&place, &place.key(&record.key.name), revision).await {
            Ok(found) => Ok(found),
            Err(Error::Expired(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_modified(event: &RecordEvent) -> bool {
    matches!(event, RecordEvent::Modified(_))
}
