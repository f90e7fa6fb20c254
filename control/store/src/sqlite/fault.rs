//! The meaning of SQLite's errors for the log.

use crate::error::Error;

/// Result codes of SQLite (sqlite.org/rescode.html): the low byte is the class.
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const IOERR: u32 = 10;
const NOTADB: u32 = 26;
/// The wal-index could not grow: no sync failed, there is no room.
const IOERR_SHMSIZE: u32 = IOERR | 19 << 8;

/// The way in which a write failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// It was rolled back; the next may succeed.
    Refused(Error),
    /// It is no longer known what is durable: no write may follow.
    Fatal(String),
}

fn code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// An error of a read, or of anything else that leaves what is durable known.
pub(super) fn error(doing: &str, error: &sqlx::Error) -> Error {
    let damaged = || Error::Damaged { what: format!("{doing}: {error}") };
    match (code(error), error) {
        (Some(FULL | IOERR_SHMSIZE), _) => Error::DiskFull,
        (Some(code), _) if matches!(code & 0xff, CORRUPT | NOTADB) => damaged(),
        (None, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => damaged(),
        _ => Error::Io(format!("{doing}: {error}")),
    }
}

/// An error of a write. After a failed sync the kernel may have dropped the pages and call the next sync a success, so that
/// every I/O error counts as one.
pub(super) fn of_write(doing: &str, error: &sqlx::Error) -> Fault {
    match (code(error), error) {
        (Some(IOERR_SHMSIZE), _) => Fault::Refused(Error::DiskFull),
        (Some(code), _) if code & 0xff == IOERR => Fault::Fatal(format!("{doing}: {error} (SQLite code {code})")),
        (None, sqlx::Error::WorkerCrashed) => Fault::Fatal(format!("{doing}: SQLite's thread is gone")),
        _ => Fault::Refused(self::error(doing, error)),
    }
}
