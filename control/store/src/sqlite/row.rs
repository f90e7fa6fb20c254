//! A row of the log and its checksum.

use super::fault;
use crate::entry::{Entry, Event, EventKind, LeaseId, Writer};
use crate::error::Error;
use crate::head::{HeadKey, row_id, row_index, row_revision};
use crate::limits::{BATCH_ROWS_MAX, TXN_OPS_MAX};
use bytes::Bytes;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Row};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// All columns of the log, in the order that [`decode`] and [`bind`] use.
macro_rules! columns {
    () => {
        "id, key, op, create_revision, version, lease, time, value, user, verb, user_agent, request_id, sum"
    };
}
pub(super) use columns;

pub(super) const COLUMNS: usize = 13;
/// SQLite's default limit of parameters in a statement.
const PARAMETERS_MAX: usize = 32_766;
const _: () = assert!((BATCH_ROWS_MAX + TXN_OPS_MAX) * COLUMNS <= PARAMETERS_MAX, "a batch is one statement");

pub(super) fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Integers of a row as stored: id, op, create_revision, version, lease, time.
type Integers = [i64; 6];

/// CRC-32 of every column, each text and blob led by its length.
fn sum(integers: &Integers, key: &str, value: &[u8], writer: &Writer) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for integer in integers {
        hasher.update(&integer.to_le_bytes());
    }
    let Writer { user, verb, user_agent, request_id } = writer;
    for bytes in [key.as_bytes(), value, user.as_bytes(), verb.as_bytes(), user_agent.as_bytes(), request_id.as_bytes()]
    {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    i64::from(hasher.finalize())
}

/// Checksum of a row of the small tables.
pub(super) fn small_sum(text: &str, integers: &[i64]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(text.as_bytes());
    for integer in integers {
        hasher.update(&integer.to_le_bytes());
    }
    i64::from(hasher.finalize())
}

/// Adds the event's columns to the statement's parameters.
pub(super) fn bind(arguments: &mut SqliteArguments, event: &Event) -> Result<(), sqlx::error::BoxDynError> {
    let entry = &event.entry;
    let (op, value): (i64, &[u8]) = match event.kind {
        EventKind::Put => (0, &entry.value),
        // The row before it has the value: history looks there.
        EventKind::Delete => (1, &[]),
    };
    let integers: Integers = [
        row_id(entry.mod_revision, event.index) as i64,
        op,
        entry.create_revision as i64,
        entry.version as i64,
        entry.lease.map_or(0, |lease| lease.0 as i64),
        millis(entry.time),
    ];
    let writer = &*entry.writer;
    arguments.add(integers[0])?;
    arguments.add(entry.key.clone())?;
    for integer in &integers[1..] {
        arguments.add(*integer)?;
    }
    arguments.add(value)?;
    for text in [&writer.user, &writer.verb, &writer.user_agent, &writer.request_id] {
        arguments.add(text.as_str())?;
    }
    arguments.add(sum(&integers, &entry.key, value, writer))
}

/// Reads a row selected as [`columns`] and checks its sum. A Delete event's value is still empty.
pub(super) fn decode(row: &SqliteRow) -> Result<Event, Error> {
    let id: i64 = row.try_get(0).map_err(|error| fault::error("table log", &error))?;
    let (revision, index) = (row_revision(id as u64), row_index(id as u64));
    parse(row, id).map_err(|error| fault::error(&format!("table log, row {revision}.{index}"), &error))?.ok_or_else(
        || {
            let key: &str = row.try_get(1).unwrap_or("?");
            Error::Damaged { what: format!("table log, row {revision}.{index} ({key}): its checksum does not match") }
        },
    )
}

fn parse(row: &SqliteRow, id: i64) -> Result<Option<Event>, sqlx::Error> {
    let key: &str = row.try_get(1)?;
    let integers: Integers = [id, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?, row.try_get(5)?, row.try_get(6)?];
    let value: &[u8] = row.try_get(7)?;
    let writer = Writer {
        user: row.try_get(8)?,
        verb: row.try_get(9)?,
        user_agent: row.try_get(10)?,
        request_id: row.try_get(11)?,
    };
    let stored: i64 = row.try_get(12)?;
    if stored != sum(&integers, key, value, &writer) {
        return Ok(None);
    }
    let [_, op, create_revision, version, lease, time] = integers;
    let entry = Entry {
        key: Arc::from(key),
        create_revision: create_revision as u64,
        mod_revision: row_revision(id as u64),
        version: version as u64,
        lease: (lease != 0).then_some(LeaseId(lease as u64)),
        value: Bytes::copy_from_slice(value),
        writer: Arc::new(writer),
        time: UNIX_EPOCH + Duration::from_millis(time.max(0) as u64),
        payload: None,
    };
    let kind = if op == 0 { EventKind::Put } else { EventKind::Delete };
    Ok(Some(Event { kind, entry, index: row_index(id as u64) }))
}

/// The head's entry of a put.
pub(super) fn head_key(event: &Event) -> HeadKey {
    HeadKey {
        create: event.entry.create_revision,
        modified: event.entry.mod_revision,
        index: event.index,
        version: event.entry.version,
        lease: event.entry.lease,
    }
}
