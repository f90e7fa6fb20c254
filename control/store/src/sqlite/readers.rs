//! Reads of the log over a few read-only connections.

use super::fault;
use super::row::{columns, decode, millis};
use crate::entry::{Entry, Event, EventKind};
use crate::error::Error;
use crate::head::{row_id, row_revision};
use crate::key::end_of_prefix;
use crate::limits::READERS_MAX;
use crate::store::Range;
use parking_lot::Mutex;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Arguments, ConnectOptions, Connection, Encode, Row, Sqlite, Type};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::Semaphore;

/// Connections made on demand. (sqlx's own pool runs on timers, which a paused clock would fire.)
pub(super) struct Readers {
    options: SqliteConnectOptions,
    idle: Mutex<Vec<SqliteConnection>>,
    permits: Semaphore,
}

const GET: &str = concat!("SELECT ", columns!(), " FROM log WHERE key = ?1 AND id < ?2 ORDER BY id DESC LIMIT 1");

const ROW: &str = concat!("SELECT ", columns!(), " FROM log WHERE id = ?1");

const TIME: &str = "SELECT id, time FROM log NOT INDEXED WHERE id < ?1 ORDER BY id DESC LIMIT 1";

/// Columns of a range's rows in key order: of those from a key on (`>=`), or behind it (`>`). The join goes from the small
/// result of the index alone to the rows, in the index's order (CROSS JOIN keeps it so).
macro_rules! in_order {
    ([$($columns:tt)*] $from:literal) => {
        concat!(
            "SELECT ",
            $($columns)*,
            " FROM (SELECT max(id) AS last FROM log INDEXED BY log_key WHERE key ",
            $from,
            " ?1 AND key < ?2 AND id < ?3 GROUP BY key) CROSS JOIN log ON id = last WHERE op = 0 LIMIT ?4"
        )
    };
}

/// From a key on, and behind it.
const RANGE: [&str; 2] = [in_order!([columns!()] ">="), in_order!([columns!()] ">")];
/// The column stands before the value: of a row with a long one only the beginning is read.
const KEYS: [&str; 2] = [in_order!(["key"] ">="), in_order!(["key"] ">")];

const HISTORY: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM log NOT INDEXED WHERE id >= ?1 AND id < ?2 AND key >= ?3 AND key < ?4 ORDER BY id LIMIT ?5"
);

const SCAN: &str = "SELECT id, key, op FROM log INDEXED BY log_key WHERE key >= ?1 AND key < ?2 AND id < ?3 \
                    AND (key > ?1 OR id > ?4) ORDER BY key, id LIMIT ?5";

const PAGE: &str = concat!("SELECT ", columns!(), " FROM log NOT INDEXED WHERE id >= ?1 ORDER BY id LIMIT ?2");

/// A statement's parameters.
#[derive(Default)]
pub(super) struct Parameters(SqliteArguments, Option<sqlx::error::BoxDynError>);

impl Parameters {
    pub(super) fn with<'q, T: Encode<'q, Sqlite> + Type<Sqlite>>(mut self, value: T) -> Self {
        if let Err(error) = self.0.add(value) {
            self.1.get_or_insert(error);
        }
        self
    }

    pub(super) fn finish(self) -> Result<SqliteArguments, Error> {
        match self.1 {
            None => Ok(self.0),
            Some(error) => Err(Error::Invalid(error.to_string())),
        }
    }
}

/// One row of a compaction's scan.
pub(super) struct Scanned {
    pub id: u64,
    pub key: String,
    pub deletion: bool,
}

/// The row's own event, over a connection of the caller's.
pub(super) async fn row(connection: &mut SqliteConnection, id: u64) -> Result<Event, Error> {
    let parameters = Parameters::default().with(id as i64).finish()?;
    let row = sqlx::query_with(ROW, parameters).fetch_optional(connection).await;
    let row = row.map_err(|error| fault::error("table log", &error))?;
    let row = row.ok_or_else(|| Error::Damaged { what: format!("table log: row {} is missing", row_revision(id)) })?;
    decode(&row)
}

impl Readers {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { options, idle: Mutex::default(), permits: Semaphore::new(READERS_MAX) }
    }

    /// Closes the connections; reads that come later are `Closed`.
    pub(super) async fn close(&self) {
        // Whoever reads now keeps its permit until its connection is back.
        if let Ok(_all) = self.permits.acquire_many(READERS_MAX as u32).await {
            let idle = std::mem::take(&mut *self.idle.lock());
            for connection in idle {
                if let Err(error) = connection.close().await {
                    tracing::warn!(%error, "closing a reader's connection");
                }
            }
            self.permits.close();
        }
    }

    async fn rows(&self, sql: &'static str, parameters: Parameters) -> Result<Vec<SqliteRow>, Error> {
        let parameters = parameters.finish()?;
        let _permit = self.permits.acquire().await.map_err(|_| Error::Closed)?;
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(|error| fault::error("opening for reading", &error))?,
        };
        let rows = sqlx::query_with(sql, parameters).fetch_all(&mut connection).await;
        // A cancelled read drops its connection instead, and the statement under way with it.
        self.idle.lock().push(connection);
        rows.map_err(|error| fault::error("table log", &error))
    }

    async fn events(&self, sql: &'static str, parameters: Parameters) -> Result<Vec<Event>, Error> {
        self.rows(sql, parameters).await?.iter().map(decode).collect()
    }

    /// The key's last row at or before the revision.
    async fn last(&self, key: &str, before: u64) -> Result<Option<Event>, Error> {
        let parameters = Parameters::default().with(key).with(before as i64);
        Ok(self.events(GET, parameters).await?.pop())
    }

    pub(super) async fn get(&self, key: &str, revision: u64) -> Result<Option<Entry>, Error> {
        let event = self.last(key, row_id(revision + 1, 0)).await?;
        Ok(event.filter(|event| event.kind == EventKind::Put).map(|event| event.entry))
    }

    /// The last revision, `newest` at the most, with a row of this time or before: by bisection, as times grow with ids.
    pub(super) async fn revision_at(&self, time: SystemTime, newest: u64) -> Result<u64, Error> {
        let wanted = millis(time);
        let (mut found, mut low, mut high) = (0, 1, newest);
        while low <= high {
            let middle = low + (high - low) / 2;
            let rows = self.rows(TIME, Parameters::default().with(row_id(middle + 1, 0) as i64)).await?;
            let Some(row) = rows.first() else {
                // Compaction has left nothing up to here.
                low = middle + 1;
                continue;
            };
            let column = |i: usize| row.try_get::<i64, _>(i).map_err(|error| fault::error("table log", &error));
            let revision = row_revision(column(0)? as u64);
            if column(1)? <= wanted {
                found = found.max(revision);
                low = middle + 1;
            } else {
                high = revision.saturating_sub(1);
            }
        }
        Ok(found)
    }

    /// Entries in key order, and whether there are more than the limit.
    pub(super) async fn range(&self, range: &Range, revision: u64) -> Result<(Vec<Entry>, bool), Error> {
        let (rows, more) = self.in_order(RANGE, range, revision).await?;
        let entries: Result<Vec<Entry>, Error> = rows.iter().map(|row| decode(row).map(|event| event.entry)).collect();
        Ok((entries?, more))
    }

    /// The keys of these entries.
    pub(super) async fn keys(&self, range: &Range, revision: u64) -> Result<(Vec<Arc<str>>, bool), Error> {
        let (rows, more) = self.in_order(KEYS, range, revision).await?;
        let key = |row: &SqliteRow| row.try_get::<String, _>(0).map(Arc::<str>::from);
        let keys: Result<Vec<Arc<str>>, sqlx::Error> = rows.iter().map(key).collect();
        Ok((keys.map_err(|error| fault::error("table log", &error))?, more))
    }

    /// A range's rows in key order, and whether there are more than its limit. The statements: from a key on, and behind it.
    async fn in_order(
        &self,
        [from, behind]: [&'static str; 2],
        range: &Range,
        revision: u64,
    ) -> Result<(Vec<SqliteRow>, bool), Error> {
        let (sql, start) = match &range.start_after {
            Some(after) if *after >= range.prefix => (behind, after.as_str()),
            // A key begins with a slash; the empty prefix begins before all.
            _ => (from, range.prefix.as_str()),
        };
        let limit = range.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1);
        let parameters = Parameters::default()
            .with(start)
            .with(end_of_prefix(&range.prefix))
            .with(row_id(revision + 1, 0) as i64)
            .with(limit);
        let mut rows = self.rows(sql, parameters).await?;
        let more = range.limit.is_some_and(|limit| rows.len() > limit);
        if let Some(limit) = range.limit {
            rows.truncate(limit);
        }
        Ok((rows, more))
    }

    /// Events of whole transactions, at least `limit` of them if there are so many.
    pub(super) async fn history(
        &self,
        prefix: &str,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        let mut events = self.log(prefix, row_id(after + 1, 0), row_id(up_to + 1, 0), limit as i64).await?;
        if let (Some(last), true) = (events.last(), events.len() >= limit) {
            let (from, to) = (row_id(last.revision(), last.index) + 1, row_id(last.revision() + 1, 0));
            events.extend(self.log(prefix, from, to, -1).await?);
        }
        for event in events.iter_mut().filter(|event| event.kind == EventKind::Delete) {
            let id = row_id(event.revision(), event.index);
            let last = self.last(&event.entry.key, id).await?.filter(|last| last.kind == EventKind::Put);
            let last = last.ok_or_else(|| Error::Damaged {
                what: format!(
                    "table log: {} was deleted at {} and is missing before",
                    event.entry.key,
                    event.revision()
                ),
            })?;
            event.entry.value = last.entry.value;
        }
        Ok(events)
    }

    async fn log(&self, prefix: &str, from: u64, to: u64, limit: i64) -> Result<Vec<Event>, Error> {
        let parameters = Parameters::default()
            .with(from as i64)
            .with(to as i64)
            .with(prefix)
            .with(end_of_prefix(prefix))
            .with(limit);
        self.events(HISTORY, parameters).await
    }

    /// Rows of keys from `key` on (behind row `id` there), in (key, id) order, up to the revision.
    pub(super) async fn scan(
        &self,
        key: &str,
        id: u64,
        prefix: &str,
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Scanned>, Error> {
        let parameters = Parameters::default()
            .with(key)
            .with(end_of_prefix(prefix))
            .with(row_id(revision + 1, 0) as i64)
            .with(id as i64)
            .with(limit as i64);
        let rows = self.rows(SCAN, parameters).await?;
        let scanned = |row: &SqliteRow| -> Result<Scanned, sqlx::Error> {
            let (id, op): (i64, i64) = (row.try_get(0)?, row.try_get(2)?);
            Ok(Scanned { id: id as u64, key: row.try_get(1)?, deletion: op != 0 })
        };
        rows.iter().map(|row| scanned(row).map_err(|error| fault::error("table log", &error))).collect()
    }

    /// Rows from an id on, damaged ones too.
    pub(super) async fn page(&self, from: u64, limit: usize) -> Result<Vec<(u64, Result<Event, Error>)>, Error> {
        let rows = self.rows(PAGE, Parameters::default().with(from as i64).with(limit as i64)).await?;
        let id = |row: &SqliteRow| row.try_get::<i64, _>(0).map_err(|error| fault::error("table log", &error));
        rows.iter().map(|row| Ok((id(row)? as u64, decode(row)))).collect()
    }

    /// Prefixes with a floor.
    pub(super) async fn floor_table(&self) -> Result<Vec<String>, Error> {
        self.texts("SELECT prefix FROM floor").await
    }

    /// The faults that SQLite itself finds in its pages and indexes.
    pub(super) async fn integrity_check(&self) -> Result<Vec<String>, Error> {
        let lines = self.texts("PRAGMA integrity_check(100)").await?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    async fn texts(&self, sql: &'static str) -> Result<Vec<String>, Error> {
        let rows = self.rows(sql, Parameters::default()).await?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| fault::error(sql, &error))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{Options, SqliteStore};
    use crate::{Op, Store, Txn, Writer};
    use sampan_env::{Env, Tasks};

    #[tokio::test]
    async fn a_deletion_waits_for_no_reader() {
        let directory = tempfile::tempdir().expect("a directory");
        let tasks = Tasks::new("test");
        let store = SqliteStore::open(&directory.path().join("log"), Options::new(Env::system(), &tasks)).await;
        let store = store.expect("fresh");
        let write = |op| store.txn(Txn { compares: Vec::new(), ops: vec![op], writer: Writer::default() });
        write(Op::put("/a", "x")).await.expect("nothing to refuse");
        let all = store.shared.readers.permits.acquire_many(READERS_MAX as u32).await.expect("open");
        let deleted = write(Op::delete("/a")).await.expect("nothing to refuse");
        assert_eq!(&*deleted.events[0].entry.value, b"x");
        drop(all);
        store.close().await;
    }
}
