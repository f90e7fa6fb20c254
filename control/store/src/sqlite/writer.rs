//! The one writer: drains its queue, checks against the head, writes the batch as one statement, publishes, acknowledges.

use super::fault::{self, Fault};
use super::row::{COLUMNS, bind, small_sum};
use super::{Command, Shared, readers};
use crate::entry::{Event, LeaseId};
use crate::error::Error;
use crate::head::{Batch, Head, Staged};
use crate::lease;
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_ROWS_MAX, BATCH_TURNS_MAX, BATCH_TXNS_MAX, LEASE_RETRY, PREPARED_ROWS_MAX, REVISION_MAX,
};
use crate::txn::{Committed, Op, Txn};
use sampan_env::CancellationToken;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Row};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

type Reply<T> = oneshot::Sender<Result<T, Error>>;

pub(super) struct LogWriter {
    shared: Arc<Shared>,
    head: Head,
    connection: SqliteConnection,
    commands: mpsc::Receiver<Command>,
    /// The command that ended the last batch without being part of it.
    held: Option<Command>,
    /// Texts of INSERT by number of rows.
    inserts: HashMap<usize, &'static str>,
    /// Pages written since the last checkpoint, guessed high.
    wal_pages: u64,
    /// A checkpoint by the other connection is under way, begun at this many pages.
    checkpointing: Option<u64>,
}

/// Ends the store: what is durable is no longer known.
struct Fatal;

fn answer<T>(reply: Reply<T>, result: Result<T, Error>) {
    // Whoever asked may have been cancelled; the answer is then nobody's.
    if reply.send(result).is_err() {
        tracing::debug!("an answer of the log came too late");
    }
}

impl LogWriter {
    pub(super) fn new(
        shared: Arc<Shared>,
        head: Head,
        connection: SqliteConnection,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            shared,
            head,
            connection,
            commands,
            held: None,
            inserts: HashMap::new(),
            wal_pages: 0,
            checkpointing: None,
        }
    }

    /// Runs until the queue is closed and empty, and gives the connection back; or until a fatal error.
    pub(super) async fn run(mut self, closing: CancellationToken) -> Option<SqliteConnection> {
        let mut closed = false;
        loop {
            let command = match self.held.take() {
                Some(command) => Some(command),
                None => {
                    let deadline = self.head.leases.next_deadline();
                    let ended = async {
                        match deadline {
                            Some(deadline) => tokio::time::sleep_until(deadline).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        command = self.commands.recv() => command,
                        () = ended => Some(Command::EndLeases),
                        () = closing.cancelled(), if !closed => {
                            closed = true;
                            self.commands.close();
                            continue;
                        }
                    }
                }
            };
            if self.shared.failed.load(Relaxed) {
                self.abandon().await;
                return None;
            }
            let Some(command) = command else { break };
            let mut done = self.execute(command).await;
            if done.is_ok() {
                done = self.checkpoint_if_due().await;
            }
            if let Err(Fatal) = done {
                self.abandon().await;
                return None;
            }
        }
        self.shared.publisher.close();
        self.shared.readers.close().await;
        Some(self.connection)
    }

    async fn execute(&mut self, command: Command) -> Result<(), Fatal> {
        match command {
            Command::Txn { txn, reply } => self.group(txn, reply).await?,
            Command::EndLeases => self.end_leases().await?,
            Command::Grant { ttl, id, reply } => {
                let result = self.grant(ttl, id).await?;
                answer(reply, result);
            }
            Command::KeepAlive { id, reply } => {
                answer(reply, self.head.leases.keep_alive(id, self.shared.env.instant()));
            }
            Command::Status { id, reply } => answer(reply, self.head.leases.status(id, self.shared.env.instant())),
            Command::Revoke { id, reply } => {
                let result = self.revoke(id, "revoke").await?;
                answer(reply, result);
            }
            Command::Floor { prefix, revision, reply } => {
                let result = self.floor(prefix, revision).await?;
                answer(reply, result);
            }
            Command::Remove { ids, reply } => {
                let list: Vec<String> = ids.iter().map(u64::to_string).collect();
                let sql = format!("DELETE FROM log WHERE id IN ({})", list.join(","));
                let result = self.write("removing rows", sql, SqliteArguments::default()).await?;
                if result.is_ok() {
                    self.shared.counters.compacted_rows.fetch_add(ids.len() as u64, Relaxed);
                    self.wal_pages += ids.len() as u64;
                }
                answer(reply, result);
            }
            Command::Swept { prefix, revision, reply } => {
                let result = self.write_floor(&prefix, revision, revision).await?;
                answer(reply, result);
            }
            Command::Checkpointed { complete } => {
                if let Some(at) = self.checkpointing.take() {
                    if complete && self.wal_pages == at {
                        self.wal_pages = 0;
                    } else {
                        // Few pages were written meanwhile: they are moved here, nothing more can come between, and the
                        // next commit begins the log's file anew.
                        self.checkpoint().await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Commits the transaction together with those that wait behind it.
    async fn group(&mut self, txn: Txn, reply: Reply<Committed>) -> Result<(), Fatal> {
        let mut batch = self.head.batch(self.shared.env.now());
        let mut waiting: Vec<(Reply<Committed>, Result<Staged, Error>)> = Vec::new();
        let mut next = Some((txn, reply));
        let (mut bytes, mut turns) = (0, 0);
        while let Some((mut txn, reply)) = next.take() {
            bytes += txn.bytes();
            let staged = match self.complete(&batch, &mut txn).await {
                Ok(()) => batch.stage(&self.head, txn),
                Err(error) => Err(error),
            };
            waiting.push((reply, staged));
            let room = batch.events.len() < BATCH_ROWS_MAX && bytes < BATCH_BYTES_MAX && waiting.len() < BATCH_TXNS_MAX;
            // The held command came before those that are still queued.
            if room && self.held.is_none() {
                match self.waiting_command(&mut turns).await {
                    Some(Command::Txn { txn, reply }) => next = Some((txn, reply)),
                    other => self.held = other,
                }
            }
        }
        let written = if batch.events.is_empty() { Ok(()) } else { self.insert(&batch.events).await };
        match written {
            Ok(()) => {
                self.finish(batch, waiting);
                Ok(())
            }
            Err(Fault::Refused(error)) => {
                // Also for those whose compare failed: it may have failed against what now never was.
                self.refused(&error);
                waiting.into_iter().for_each(|(reply, _)| answer(reply, Err(error.clone())));
                Ok(())
            }
            Err(Fault::Fatal(what)) => {
                let fatal = self.fatal(&what);
                waiting.into_iter().for_each(|(reply, _)| answer(reply, Err(Error::Closed)));
                Err(fatal)
            }
        }
    }

    /// The command that waits next. Where none does, what is ready to run has one turn to bring some: the more transactions share
    /// a sync, the less each costs. A group gives [`BATCH_TURNS_MAX`] turns.
    async fn waiting_command(&mut self, turns: &mut usize) -> Option<Command> {
        if let Ok(command) = self.commands.try_recv() {
            return Some(command);
        }
        if *turns == BATCH_TURNS_MAX {
            return None;
        }
        *turns += 1;
        tokio::task::yield_now().await;
        self.commands.try_recv().ok()
    }

    /// Makes what is durable the head, publishes it, and lets the writers know: in this order.
    fn finish(&mut self, batch: Batch, waiting: Vec<(Reply<Committed>, Result<Staged, Error>)>) {
        let events = self.head.apply(batch);
        let counters = &self.shared.counters;
        if !events.is_empty() {
            counters.rows.fetch_add(events.len() as u64, Relaxed);
            self.shared.publisher.publish(&events, self.head.revision);
        }
        counters.keys.store(self.head.keys.len() as u64, Relaxed);
        for (reply, staged) in waiting {
            let result = staged.map(|Staged { revision, events: part }| {
                counters.transactions.fetch_add(u64::from(!part.is_empty()), Relaxed);
                Committed { revision, events: events[part].to_vec() }
            });
            if matches!(result, Err(Error::Conflict { .. })) {
                counters.conflicts.fetch_add(1, Relaxed);
            }
            answer(reply, result);
        }
    }

    /// Looks up the values that the transaction deletes and does not bring along, over the writer's own connection: those
    /// of the readers may all be taken for as long as somebody reads history, and every write waits here.
    async fn complete(&mut self, batch: &Batch, txn: &mut Txn) -> Result<(), Error> {
        for op in &mut txn.ops {
            if let Op::Delete { key, last: last @ None, .. } = op
                && let Some(row) = batch.last_row(&self.head, key)
            {
                *last = Some(readers::row(&mut self.connection, row).await?.entry.value);
            }
        }
        Ok(())
    }

    async fn insert(&mut self, events: &[Event]) -> Result<(), Fault> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(events.len() * COLUMNS, 0);
        for event in events {
            bind(&mut arguments, event).map_err(|error| Fault::Refused(Error::Io(format!("a row: {error}"))))?;
            // A row's own pages, and one of the index.
            self.wal_pages += 2 + event.entry.value.len() as u64 / 4096;
        }
        let done = if events.len() <= PREPARED_ROWS_MAX {
            // Leaked once per length: at most PREPARED_ROWS_MAX short texts.
            let sql = self.inserts.entry(events.len()).or_insert_with(|| insert_sql(events.len()).leak());
            sqlx::query_with(*sql, arguments).execute(&mut self.connection).await
        } else {
            let sql = AssertSqlSafe(insert_sql(events.len()));
            sqlx::query_with(sql, arguments).persistent(false).execute(&mut self.connection).await
        };
        done.map_err(|error| fault::of_write("writing to the log", &error))?;
        self.wrote();
        Ok(())
    }

    /// One statement that is its own transaction.
    async fn write(
        &mut self,
        doing: &str,
        sql: String,
        arguments: SqliteArguments,
    ) -> Result<Result<(), Error>, Fatal> {
        let done =
            sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(false).execute(&mut self.connection).await;
        match done.map_err(|error| fault::of_write(doing, &error)) {
            Ok(_) => {
                self.wal_pages += 2;
                self.wrote();
                Ok(Ok(()))
            }
            Err(Fault::Refused(error)) => {
                self.refused(&error);
                Ok(Err(error))
            }
            Err(Fault::Fatal(what)) => Err(self.fatal(&what)),
        }
    }

    fn wrote(&self) {
        self.shared.counters.batches.fetch_add(1, Relaxed);
        if self.shared.counters.disk_full.swap(false, Relaxed) {
            tracing::info!("writes fit on the disk again");
        }
    }

    fn refused(&self, error: &Error) {
        match error {
            Error::DiskFull if self.shared.counters.disk_full.swap(true, Relaxed) => {}
            error => tracing::error!(%error, "the log refused a write"),
        }
    }

    fn fatal(&self, what: &str) -> Fatal {
        self.shared.fail(what);
        Fatal
    }

    /// Answers all that wait, and leaves the files as they are.
    async fn abandon(mut self) {
        self.commands.close();
        // Dropping what is queued drops the senders of its answers, which reads as Closed.
        self.held = None;
        while self.commands.recv().await.is_some() {}
        self.shared.readers.close().await;
        // To close the connection would be to checkpoint, and so to sync again what could not be synced.
        std::mem::forget(self.connection);
    }

    async fn grant(&mut self, ttl: Duration, id: Option<LeaseId>) -> Result<Result<LeaseId, Error>, Fatal> {
        let id = match lease::new_id(&self.head.leases, &self.shared.env, ttl, id) {
            Ok(id) => id,
            Err(error) => return Ok(Err(error)),
        };
        let ttl_ms = ttl.as_millis() as i64;
        let sum = small_sum("lease", &[id.0 as i64, ttl_ms]);
        let sql = format!("INSERT INTO lease (id, ttl_ms, sum) VALUES ({}, {ttl_ms}, {sum})", id.0);
        let written = self.write("granting a lease", sql, SqliteArguments::default()).await?;
        Ok(written.map(|()| {
            self.head.leases.insert(id, ttl, self.shared.env.instant());
            self.count_leases();
            id
        }))
    }

    async fn revoke(&mut self, id: LeaseId, verb: &str) -> Result<Result<u64, Error>, Fatal> {
        if let Err(error) = self.head.leases.begin_end(id) {
            return Ok(Err(error));
        }
        while let Some(txn) = self.head.revocation(id, verb) {
            let (reply, mut done) = oneshot::channel();
            self.group(txn, reply).await?;
            if let Ok(Err(error)) = done.try_recv() {
                self.head.leases.call_off_end(id);
                return Ok(Err(error));
            }
        }
        let sql = format!("DELETE FROM lease WHERE id = {}", id.0);
        let written = self.write("revoking a lease", sql, SqliteArguments::default()).await?;
        if written.is_err() {
            self.head.leases.call_off_end(id);
        }
        Ok(written.map(|()| {
            self.head.leases.remove(id);
            self.count_leases();
            self.head.revision
        }))
    }

    fn count_leases(&self) {
        self.shared.counters.leases.store(self.head.leases.len() as u64, Relaxed);
    }

    async fn end_leases(&mut self) -> Result<(), Fatal> {
        while let Some(id) = self.head.leases.expired(self.shared.env.instant()) {
            if let Err(error) = self.revoke(id, "expire").await? {
                tracing::warn!(%error, lease = id.0, "a lease's end is put off");
                self.head.leases.postpone(id, self.shared.env.instant() + LEASE_RETRY);
            }
            if self.held.is_some() {
                // A command that the group took from the queue goes first.
                break;
            }
        }
        Ok(())
    }

    async fn floor(&mut self, prefix: String, revision: u64) -> Result<Result<u64, Error>, Fatal> {
        let in_force = |shared: &Shared| shared.floors.lock().of(&prefix);
        if revision > self.head.revision.min(REVISION_MAX) {
            return Ok(Err(Error::Future { current: self.head.revision }));
        }
        let allowed = self.shared.floors.lock().allows(&prefix, revision);
        match allowed {
            Err(error) => return Ok(Err(error)),
            Ok(false) => return Ok(Ok(in_force(&self.shared))),
            Ok(true) => {}
        }
        if let Err(error) = self.write_floor(&prefix, revision, 0).await? {
            return Ok(Err(error));
        }
        // Refused to readers before the first row goes.
        self.shared.floors.lock().raise(&prefix, revision);
        let floor = in_force(&self.shared);
        self.shared.sweeps.push(prefix, revision);
        Ok(Ok(floor))
    }

    async fn write_floor(&mut self, prefix: &str, revision: u64, swept: u64) -> Result<Result<(), Error>, Fatal> {
        let (revision, swept) = (revision as i64, swept as i64);
        let sum = small_sum(prefix, &[revision, swept]);
        let mut arguments = SqliteArguments::default();
        if let Err(error) = arguments.add(prefix) {
            return Ok(Err(Error::Invalid(error.to_string())));
        }
        // A sweep that ends after its prefix's floor was raised again must not lower it.
        let sql = format!(
            "INSERT INTO floor (prefix, revision, swept, sum) VALUES (?1, {revision}, {swept}, {sum}) ON CONFLICT (prefix) \
             DO UPDATE SET revision = excluded.revision, swept = excluded.swept, sum = excluded.sum \
             WHERE excluded.revision >= floor.revision"
        );
        self.write("keeping a floor", sql, arguments).await
    }

    /// Lets the other connection do the bulk of a checkpoint while commits go on.
    async fn checkpoint_if_due(&mut self) -> Result<(), Fatal> {
        let due = self.shared.checkpoint_pages;
        if self.checkpointing.is_none() && self.wal_pages >= due {
            self.checkpointing = Some(self.wal_pages);
            self.shared.checkpoint_due.notify_one();
        } else if self.wal_pages >= due.saturating_mul(4) {
            // It does not keep up.
            self.checkpointing = None;
            self.checkpoint().await?;
        }
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<(), Fatal> {
        match checkpoint(&mut self.connection, &self.shared).await {
            Ok(complete) => {
                // Left over by a reader: tried again at the next threshold.
                tracing::debug!(complete, pages = self.wal_pages, "checkpointed");
                self.wal_pages = 0;
                Ok(())
            }
            Err(Fault::Refused(error)) => {
                tracing::warn!(%error, "a checkpoint did not succeed; the log's file grows");
                self.wal_pages = 0;
                Ok(())
            }
            Err(Fault::Fatal(what)) => Err(self.fatal(&what)),
        }
    }
}

/// Moves what is durable in the write-ahead log to the database, waiting for nobody; true if that was all of it.
pub(super) async fn checkpoint(connection: &mut SqliteConnection, shared: &Shared) -> Result<bool, Fault> {
    shared.counters.checkpoints.fetch_add(1, Relaxed);
    let doing = "checkpointing";
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(connection)
        .await
        .map_err(|error| fault::of_write(doing, &error))?;
    let column = |i: usize| row.try_get::<i64, _>(i).map_err(|error| Fault::Refused(fault::error(doing, &error)));
    Ok(column(0)? == 0 && column(1)? == column(2)?)
}

fn insert_sql(rows: usize) -> String {
    let mut sql = String::with_capacity(64 + rows * (2 * COLUMNS + 2));
    sql.push_str("INSERT INTO log VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(?" } else { ",(?" });
        (1..COLUMNS).for_each(|_| sql.push_str(",?"));
        sql.push(')');
    }
    sql
}
