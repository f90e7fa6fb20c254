//! The file's format: tables, marks, and the checks at opening.

use super::fault;
use crate::error::Error;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

/// "SMPN": what `file` and SQLite's own tools see.
pub(super) const APPLICATION_ID: i32 = 0x534d_504e;
/// Grows when an older program could not read, or could not keep, what a newer one wrote.
pub(super) const FORMAT: u32 = 1;

/// First version without the WAL-reset corruption race (in 3.7.0 to 3.51.2).
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);
const SQLITE_MIN_TEXT: &str = "3.51.3";

/// `id` is `revision << 10 | index`. A deletion (op 1) has the revisions of what it ended and an empty value. `sum` is the
/// CRC-32 of all other columns. SQLite appends the rowid to every index entry, so `log_key` is ordered by (key, id).
const CREATE: &str = "
BEGIN;
CREATE TABLE log (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, op INTEGER NOT NULL, create_revision INTEGER NOT NULL,
    version INTEGER NOT NULL, lease INTEGER NOT NULL, time INTEGER NOT NULL, value BLOB NOT NULL, user TEXT NOT NULL,
    verb TEXT NOT NULL, user_agent TEXT NOT NULL, request_id TEXT NOT NULL, sum INTEGER NOT NULL);
CREATE INDEX log_key ON log (key);
CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE floor (prefix TEXT PRIMARY KEY, revision INTEGER NOT NULL, swept INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = 0x534d504e;
PRAGMA user_version = 1;
COMMIT;
";

/// Refuses a library that can lose commits.
pub(super) async fn check_library(connection: &mut SqliteConnection) -> Result<(), Error> {
    let found: String = scalar(connection, "SELECT sqlite_version()").await?;
    let mut parts = found.split('.').map(|part| part.parse().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    if (part(), part(), part()) < SQLITE_MIN {
        return Err(Error::OldSqlite { found, required: SQLITE_MIN_TEXT });
    }
    Ok(())
}

/// Whether the file is a log of a format we know; `false`: it is empty.
pub(super) async fn check(connection: &mut SqliteConnection) -> Result<bool, Error> {
    let application: i64 = scalar(connection, "PRAGMA application_id").await?;
    let version: i64 = scalar(connection, "PRAGMA user_version").await?;
    if application == 0 && version == 0 {
        let tables: i64 = scalar(connection, "SELECT count(*) FROM sqlite_schema").await?;
        if tables == 0 {
            return Ok(false);
        }
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(Error::Damaged { what: format!("application id {application:#x}: another program's file") });
    }
    let found = u32::try_from(version).unwrap_or(u32::MAX);
    match found {
        FORMAT => Ok(true),
        0 => Err(Error::Damaged { what: "format 0 does not exist".into() }),
        _ => Err(Error::NewerFormat { found, supported: FORMAT }),
    }
}

/// Switches to the write-ahead log; SQLite stays with what it had where the file system cannot share memory.
pub(super) async fn use_wal(connection: &mut SqliteConnection) -> Result<(), Error> {
    let mode: String = scalar(connection, "PRAGMA journal_mode = WAL").await?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(Error::Io(format!("the file system allows no write-ahead log, only {mode}")))
    }
}

pub(super) async fn create(connection: &mut SqliteConnection) -> Result<(), Error> {
    sqlx::raw_sql(CREATE).execute(connection).await.map(|_| ()).map_err(|error| fault::error("creating tables", &error))
}

async fn scalar<T>(connection: &mut SqliteConnection, sql: &'static str) -> Result<T, Error>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let row = sqlx::query(sql).fetch_one(connection).await.map_err(|error| fault::error(sql, &error))?;
    row.try_get(0).map_err(|error| fault::error(sql, &error))
}
