//! The walk over the whole log.

use super::readers::Readers;
use super::{format, reader_options};
use crate::entry::{Event, EventKind};
use crate::error::Error;
use crate::head::{row_index, row_revision};
use crate::limits::{VERIFY_PAGE_ROWS, VERIFY_PROBLEMS_MAX};
use sqlx::{ConnectOptions, Connection};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The findings of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    pub rows: u64,
    /// Keys that exist at the end.
    pub keys: u64,
    /// Revision of the first and the last row that are there.
    pub first: u64,
    pub last: u64,
    /// Revisions between them without a row: none, unless compaction removed some.
    pub absent: u64,
    pub compacted: bool,
    /// In the order of the log; the list is cut at a limit. Empty: the log is sound.
    pub problems: Vec<String>,
}

/// Verifies a database that no store has open, or a copy of one (with its `-wal`), without writing to it.
pub async fn verify_file(path: &Path) -> Result<Verification, Error> {
    let options = reader_options(path);
    let mut connection =
        options.connect().await.map_err(|error| super::fault::error(&path.display().to_string(), &error))?;
    let known = format::check(&mut connection).await;
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "closing after the format's check");
    }
    if !known? {
        return Err(Error::Damaged { what: "the file is empty".into() });
    }
    let readers = Readers::new(options);
    let verification = verify(&readers).await;
    readers.close().await;
    verification
}

/// A key as the rows so far leave it.
struct Chain {
    create: u64,
    version: u64,
    exists: bool,
    /// No damaged row may have changed it since.
    certain: bool,
}

pub(super) async fn verify(readers: &Readers) -> Result<Verification, Error> {
    let mut seen = Verification::default();
    let floors = readers.floor_table().await?;
    seen.compacted = !floors.is_empty();
    for line in readers.integrity_check().await? {
        problem(&mut seen, line);
    }
    let mut chains: HashMap<Arc<str>, Chain> = HashMap::new();
    let (mut next_row, mut next_index, mut broken) = (0, 0, false);
    loop {
        let page = readers.page(next_row, VERIFY_PAGE_ROWS).await?;
        if page.is_empty() {
            break;
        }
        for (id, event) in page {
            next_row = id + 1;
            seen.rows += 1;
            match event {
                Ok(event) => check(&mut seen, &mut chains, &mut next_index, &event, broken),
                Err(Error::Damaged { what }) => {
                    // Its revision is the tree's, not the row's; which key's history it interrupts is not known.
                    arrive(&mut seen, row_revision(id), &mut next_index);
                    next_index = row_index(id) + 1;
                    chains.values_mut().for_each(|chain| chain.certain = false);
                    broken = true;
                    problem(&mut seen, what);
                }
                Err(error) => return Err(error),
            }
        }
    }
    seen.keys = chains.values().filter(|chain| chain.exists).count() as u64;
    if seen.absent > 0 && !seen.compacted {
        let absent = seen.absent;
        problem(&mut seen, format!("{absent} revisions have no row, and nothing was compacted"));
    }
    Ok(seen)
}

fn problem(seen: &mut Verification, what: String) {
    if seen.problems.len() < VERIFY_PROBLEMS_MAX {
        seen.problems.push(what);
    }
}

/// Counts the revisions that are absent before this one.
fn arrive(seen: &mut Verification, revision: u64, next_index: &mut u32) {
    if revision == seen.last {
        return;
    }
    if seen.last == 0 {
        seen.first = revision;
    }
    seen.absent += revision - seen.last - 1;
    seen.last = revision;
    *next_index = 0;
}

fn check(
    seen: &mut Verification,
    chains: &mut HashMap<Arc<str>, Chain>,
    next_index: &mut u32,
    event: &Event,
    broken: bool,
) {
    let (revision, entry) = (event.revision(), &event.entry);
    arrive(seen, revision, next_index);
    let row = format!("table log, row {revision}.{} ({})", event.index, entry.key);
    if event.index != *next_index && !seen.compacted {
        problem(seen, format!("{row}: the row before it is missing"));
    }
    *next_index = event.index + 1;
    let put = event.kind == EventKind::Put;
    let sound = match chains.get(&entry.key).filter(|chain| chain.exists) {
        Some(chain) if !chain.certain => true,
        Some(chain) if put => entry.create_revision == chain.create && entry.version == chain.version + 1,
        Some(chain) => entry.create_revision == chain.create && entry.version == chain.version,
        None if put && entry.version == 1 => entry.create_revision == revision,
        // The row before it was compacted, or is damaged.
        None => (seen.compacted || broken) && entry.create_revision <= revision,
    };
    if !sound {
        let (create, version) = (entry.create_revision, entry.version);
        problem(seen, format!("{row}: created {create}, version {version} does not follow the key's row before it"));
    }
    let chain = Chain { create: entry.create_revision, version: entry.version, exists: put, certain: true };
    chains.insert(entry.key.clone(), chain);
}
