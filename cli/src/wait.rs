//! Waiting until what was applied is there.

use crate::apply::api_of;
use crate::kstatus::{Progress, progress};
use anyhow::{Context, bail};
use futures::StreamExt;
use sampan_api::Object;
use sampan_client::{Client, Discovery, WatchEvent, WatchParams};
use std::time::Duration;

/// Follows one object until it is Current. `tell` hears what is still missing, each time that it changes.
pub async fn until_current(
    client: &Client,
    discovery: &Discovery,
    object: &Object,
    deadline: Duration,
    tell: impl Fn(&str),
) -> anyhow::Result<Object> {
    let mut last = String::new();
    let what = format!("{} {:?}", object.kind(), object.name());
    let follow = async {
        let api = api_of(client, discovery, object)?;
        loop {
            let params = WatchParams {
                field_selector: Some(format!("metadata.name={}", object.name())),
                send_initial_events: true,
                ..WatchParams::default()
            };
            let mut events = api.watch(&params).await.with_context(|| what.clone())?;
            while let Some(event) = events.next().await {
                let record = match event {
                    Ok(WatchEvent::Added(record) | WatchEvent::Modified(record)) => record,
                    Ok(WatchEvent::Deleted(_)) => bail!("{what} was deleted"),
                    Ok(WatchEvent::Bookmark { .. }) => continue,
                    // The watch ended: begun anew.
                    Err(_) => break,
                };
                let now = record.object();
                match progress(&now) {
                    Progress::Current => return Ok(now),
                    Progress::Failed(why) => bail!("{what} failed: {why}"),
                    Progress::Terminating => bail!("{what} is being deleted"),
                    Progress::InProgress(missing) => {
                        if missing != last {
                            tell(&missing);
                            last = missing;
                        }
                    }
                }
            }
        }
    };
    match tokio::time::timeout(deadline, follow).await {
        Ok(found) => found,
        Err(_) => bail!("{what} was not ready after {} s: {last}", deadline.as_secs()),
    }
}
