//! The reading at the opening: the current state, checked, of which the head keeps key -> revisions.

use super::fault;
use super::row::{columns, decode, head_key, small_sum};
use crate::entry::{Entry, EventKind, LeaseId};
use crate::error::Error;
use crate::floors::Floors;
use crate::head::{Head, row_revision};
use futures::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use std::collections::VecDeque;
use std::time::Duration;

const STATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (SELECT max(id) AS last FROM log INDEXED BY log_key GROUP BY key) CROSS JOIN log ON id = last"
);

pub(super) struct Loaded {
    pub head: Head,
    pub floors: Floors,
    /// Floors whose rows are not all removed.
    pub unswept: VecDeque<(String, u64)>,
    pub leases: Vec<(LeaseId, Duration)>,
}

/// `state` is handed each entry, in key order.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    state: &mut (dyn FnMut(Entry) + Send),
) -> Result<Loaded, Error> {
    let (floors, unswept) = floors(connection).await?;
    let leases = leases(connection).await?;
    let mut head = Head::default();
    {
        let in_log = |error: sqlx::Error| fault::error("table log", &error);
        let mut rows = sqlx::query(STATE).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await.map_err(in_log)? {
            let event = decode(&row)?;
            if event.kind == EventKind::Put {
                head.keys.insert(event.entry.key.clone(), head_key(&event));
                state(event.entry);
            }
        }
    }
    let last = "SELECT coalesce(max(id), 0) FROM log";
    let row = sqlx::query(last).fetch_one(&mut *connection).await.map_err(|error| fault::error(last, &error))?;
    let last: i64 = row.try_get(0).map_err(|error| fault::error(last, &error))?;
    // The last rows of the log may have been deletions that a floor took away; their revisions are not used again.
    head.revision = row_revision(last as u64).max(floors.highest());
    Ok(Loaded { head, floors, unswept, leases })
}

async fn floors(connection: &mut SqliteConnection) -> Result<(Floors, VecDeque<(String, u64)>), Error> {
    let (mut floors, mut unswept) = (Floors::default(), VecDeque::new());
    for row in rows(connection, "SELECT prefix, revision, swept, sum FROM floor").await? {
        let parse = || -> Result<(String, [i64; 3]), sqlx::Error> {
            Ok((row.try_get(0)?, [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?]))
        };
        let (prefix, [revision, swept, sum]) = parse().map_err(|error| fault::error("table floor", &error))?;
        if sum != small_sum(&prefix, &[revision, swept]) {
            return Err(Error::Damaged { what: format!("table floor, {prefix}: its checksum does not match") });
        }
        floors.raise(&prefix, revision as u64);
        if swept < revision {
            unswept.push_back((prefix, revision as u64));
        }
    }
    Ok((floors, unswept))
}

async fn leases(connection: &mut SqliteConnection) -> Result<Vec<(LeaseId, Duration)>, Error> {
    let mut leases = Vec::new();
    for row in rows(connection, "SELECT id, ttl_ms, sum FROM lease").await? {
        let parse = || -> Result<[i64; 3], sqlx::Error> { Ok([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?]) };
        let [id, ttl, sum] = parse().map_err(|error| fault::error("table lease", &error))?;
        if sum != small_sum("lease", &[id, ttl]) {
            return Err(Error::Damaged { what: format!("table lease, {id:x}: its checksum does not match") });
        }
        leases.push((LeaseId(id as u64), Duration::from_millis(ttl as u64)));
    }
    Ok(leases)
}

async fn rows(connection: &mut SqliteConnection, sql: &'static str) -> Result<Vec<SqliteRow>, Error> {
    sqlx::query(sql).fetch_all(connection).await.map_err(|error| fault::error(sql, &error))
}
