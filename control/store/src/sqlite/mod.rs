//! The default engine: the log in one SQLite file.
//!
//! One task writes, over one connection, a batch at a time (`writer`); a few read-only connections serve history
//! (`readers`); rows that a floor made unreadable are removed in slices (`sweep`). See docs/decisions/0003.

mod fault;
mod format;
mod load;
mod readers;
mod row;
mod sweep;
mod verify;
mod writer;

pub use verify::{Verification, verify_file};

use crate::entry::{Entry, Event, LeaseId};
use crate::error::Error;
use crate::floors::Floors;
use crate::key;
use crate::lease::LeaseStatus;
use crate::limits::{
    CHECKPOINT_PAGES, HISTORY_EVENTS_MAX, PREPARED_ROWS_MAX, QUEUE_TXNS_MAX, READER_CACHE_KIB, ROW_BUFFER,
    WAL_BYTES_ALLOCATED, WRITER_CACHE_KIB,
};
use crate::publish::Publisher;
use crate::statistics::Statistics;
use crate::store::{Keys, Range, RangeResult, Sink, Store};
use crate::txn::{Committed, Txn};
use async_trait::async_trait;
use fault::Fault;
use parking_lot::Mutex;
use readers::Readers;
use sampan_env::{CancellationToken, Env, Tasks};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use sweep::Sweeps;
use tokio::sync::{Notify, mpsc, oneshot};

/// Is told what failed.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Options for opening a log.
pub struct Options {
    pub env: Env,
    /// The owner of the store's tasks. It should be drained after those of whoever writes.
    pub tasks: Tasks,
    /// File that is locked (flock) for the life of the store; `None`: the database's path with `.lock` behind it.
    pub lock: Option<PathBuf>,
    /// Called once, before anybody is answered, when a sync has failed. What is durable is no longer known: end the process.
    pub on_fatal: Option<OnFatal>,
    /// Pages in the write-ahead log at which it is checkpointed.
    pub checkpoint_pages: u64,
}

impl Options {
    pub fn new(env: Env, tasks: &Tasks) -> Self {
        Self { env, tasks: tasks.clone(), lock: None, on_fatal: None, checkpoint_pages: CHECKPOINT_PAGES }
    }
}

/// A log in a SQLite file.
pub struct SqliteStore {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    closing: CancellationToken,
}

struct Shared {
    env: Env,
    publisher: Publisher,
    floors: Mutex<Floors>,
    readers: Readers,
    sweeps: Sweeps,
    counters: Counters,
    on_fatal: Option<OnFatal>,
    checkpoint_pages: u64,
    checkpoint_due: Notify,
    /// A sync failed: no write may follow.
    failed: AtomicBool,
    /// Set when the files and the lock are free.
    ended: CancellationToken,
}

impl Shared {
    /// Ends the store, and normally the process, after a failed sync.
    fn fail(&self, what: &str) {
        tracing::error!(what, "the log failed: nothing more is written");
        let first = !self.failed.swap(true, Relaxed);
        self.publisher.close();
        // The writer and the checkpoints can fail at once.
        if let Some(on_fatal) = self.on_fatal.as_ref().filter(|_| first) {
            on_fatal(what);
        }
    }
}

#[derive(Default)]
struct Counters {
    batches: AtomicU64,
    transactions: AtomicU64,
    rows: AtomicU64,
    conflicts: AtomicU64,
    checkpoints: AtomicU64,
    compacted_rows: AtomicU64,
    keys: AtomicU64,
    leases: AtomicU64,
    disk_full: AtomicBool,
}

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A command to the writer.
enum Command {
    Txn { txn: Txn, reply: Reply<Committed> },
    Grant { ttl: Duration, id: Option<LeaseId>, reply: Reply<LeaseId> },
    KeepAlive { id: LeaseId, reply: Reply<Duration> },
    Status { id: LeaseId, reply: Reply<LeaseStatus> },
    Revoke { id: LeaseId, reply: Reply<u64> },
    EndLeases,
    Floor { prefix: String, revision: u64, reply: Reply<u64> },
    Remove { ids: Vec<u64>, reply: Reply<()> },
    Swept { prefix: String, revision: u64, reply: Reply<()> },
    Checkpointed { complete: bool },
}

fn connect_options(path: &Path, cache_kib: u32) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        // Checkpoints are made by us, off the commit path.
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", format!("-{cache_kib}"))
        .pragma("temp_store", "memory")
        .row_buffer_size(ROW_BUFFER)
        .statement_cache_capacity(PREPARED_ROWS_MAX + 16)
        .disable_statement_logging()
}

fn reader_options(path: &Path) -> SqliteConnectOptions {
    connect_options(path, READER_CACHE_KIB).read_only(true)
}

/// Takes the lock that keeps a second process, or a second opener in this one, out.
fn lock(path: &Path) -> Result<File, Error> {
    let name = || path.display().to_string();
    let file = sampan_env::files::open_lock(path).map_err(|error| Error::Io(format!("opening {}: {error}", name())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse { path: name() }),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::Io(format!("locking {}: {error}", name()))),
    }
}

/// Makes the write-ahead log's file at least [`WAL_BYTES_ALLOCATED`] long: zeros behind its frames are no frames. (SQLite locks the database's
/// file and the index's, so that this one may be opened and closed beside it.)
fn allocate_wal(database: &Path) -> std::io::Result<()> {
    let mut file = match File::options().append(true).open(beside(database, "-wal")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let missing = WAL_BYTES_ALLOCATED.saturating_sub(file.metadata()?.len());
    let zeros = [0; 1 << 16];
    for at in (0..missing).step_by(zeros.len()) {
        file.write_all(&zeros[..zeros.len().min((missing - at) as usize)])?;
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl SqliteStore {
    /// Opens the log at `path`, or begins one. Reads the whole current state once, and checks it.
    ///
    /// Errors: `InUse`, `NewerFormat`, `Damaged` (another program's file, too), `OldSqlite`, `DiskFull`, `Io`.
    pub async fn open(path: &Path, options: Options) -> Result<Self, Error> {
        Self::open_with(path, options, &mut drop).await
    }

    /// As [`SqliteStore::open`], with the state that was read: all entries, as a range of all keys would have them now. Who
    /// keeps the current state need not read and check every row once more.
    pub async fn open_with_state(path: &Path, options: Options) -> Result<(Self, RangeResult), Error> {
        let mut entries = Vec::new();
        let store = Self::open_with(path, options, &mut |entry| entries.push(entry)).await?;
        let revision = store.shared.publisher.revision();
        Ok((store, RangeResult { entries, revision, more: false }))
    }

    async fn open_with(path: &Path, options: Options, state: &mut (dyn FnMut(Entry) + Send)) -> Result<Self, Error> {
        let lock = lock(&options.lock.unwrap_or_else(|| beside(path, ".lock")))?;
        let doing = path.display().to_string();
        let refused = |error: sqlx::Error| fault::error(&doing, &error);
        let existed = path.metadata().is_ok_and(|file| file.len() > 0);
        let connect = connect_options(path, WRITER_CACHE_KIB).create_if_missing(true);
        let mut connection = connect.connect().await.map_err(refused)?;
        format::check_library(&mut connection).await?;
        let known = format::check(&mut connection).await?;
        if !known {
            tracing::debug!(path = %path.display(), existed, "beginning a log");
        }
        // Only now: it writes to the file.
        format::use_wal(&mut connection).await?;
        if !known {
            format::create(&mut connection).await?;
        }
        let loaded = load::load(&mut connection, state).await?;
        if let Err(error) = allocate_wal(path) {
            tracing::warn!(%error, "the write-ahead log could not be allocated; its first commits cost a second sync");
        }

        let counters = Counters::default();
        counters.keys.store(loaded.head.keys.len() as u64, Relaxed);
        counters.leases.store(loaded.leases.len() as u64, Relaxed);
        let mut head = loaded.head;
        for (id, ttl) in loaded.leases {
            head.leases.insert(id, ttl, options.env.instant());
        }
        for (key, state) in &head.keys {
            if let Some(lease) = state.lease {
                head.leases.attach(lease, key);
            }
        }
        let shared = Arc::new(Shared {
            env: options.env,
            publisher: Publisher::new(head.revision),
            floors: Mutex::new(loaded.floors),
            readers: Readers::new(reader_options(path)),
            sweeps: Sweeps::new(loaded.unswept),
            counters,
            on_fatal: options.on_fatal,
            checkpoint_pages: options.checkpoint_pages,
            checkpoint_due: Notify::new(),
            failed: AtomicBool::new(false),
            ended: CancellationToken::new(),
        });
        let (commands, queue) = mpsc::channel(QUEUE_TXNS_MAX);
        let tasks = options.tasks.child("sqlite store");
        let closing = tasks.token().clone();
        let background = connect_options(path, READER_CACHE_KIB).connect().await.map_err(refused)?;
        let checkpoints =
            tasks.spawn(run_checkpoints(shared.clone(), background, commands.downgrade(), closing.clone()));
        tasks.spawn_until_cancelled(sweep::run(shared.clone(), commands.downgrade()));
        let writer = writer::LogWriter::new(shared.clone(), head, connection, queue);
        let (ended, closed) = (shared.ended.clone(), closing.clone());
        // Of the owner's tasks, so that their drain waits for it.
        options.tasks.spawn(async move {
            let connection = writer.run(closed.clone()).await;
            closed.cancel();
            if let Err(error) = checkpoints.await {
                tracing::error!(%error, "the checkpoints' task ended badly");
            }
            // The last to close checkpoints and removes the write-ahead log: it must be one that can write.
            if let Some(connection) = connection
                && let Err(error) = connection.close().await
            {
                tracing::warn!(%error, "closing the log");
            }
            drop(lock);
            ended.cancel();
        });
        Ok(Self { shared, commands, closing })
    }

    /// Walks the whole log and checks every row, while writes go on.
    pub async fn verify(&self) -> Result<Verification, Error> {
        self.open_still()?;
        verify::verify(&self.shared.readers).await
    }

    /// Returns once what compaction has to remove is removed.
    pub async fn swept(&self) -> Result<(), Error> {
        let mut left = self.shared.sweeps.left.subscribe();
        tokio::select! {
            () = self.shared.ended.cancelled() => Err(Error::Closed),
            left = left.wait_for(|left| *left == 0) => left.map(|_| ()).map_err(|_| Error::Closed),
        }
    }

    fn open_still(&self) -> Result<(), Error> {
        if self.shared.publisher.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// The revision to read at, if it may be.
    fn at(&self, at: Option<u64>, floor: u64) -> Result<u64, Error> {
        let current = self.shared.publisher.revision();
        let revision = at.unwrap_or(current);
        if revision > current {
            return Err(Error::Future { current });
        }
        if revision < floor {
            return Err(Error::Compacted { floor });
        }
        Ok(revision)
    }

    /// A floor that rose while a read went on may have taken rows from under it.
    fn still(&self, revision: u64, floor: u64) -> Result<(), Error> {
        if revision < floor { Err(Error::Compacted { floor }) } else { Ok(()) }
    }

    fn floor_of_key(&self, key: &str) -> u64 {
        self.shared.floors.lock().covering(key)
    }

    fn floor_of(&self, prefix: &str) -> u64 {
        self.shared.floors.lock().of(prefix)
    }
}

/// Checkpoints when told, over a connection of its own, and tells the writer.
async fn run_checkpoints(
    shared: Arc<Shared>,
    mut connection: SqliteConnection,
    commands: mpsc::WeakSender<Command>,
    closing: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shared.checkpoint_due.notified() => {}
            () = closing.cancelled() => break,
        }
        let complete = match writer::checkpoint(&mut connection, &shared).await {
            Ok(complete) => complete,
            Err(Fault::Refused(error)) => {
                tracing::warn!(%error, "a checkpoint did not succeed");
                false
            }
            Err(Fault::Fatal(what)) => {
                shared.fail(&what);
                // Closing could sync again what could not be synced.
                std::mem::forget(connection);
                closing.cancel();
                return;
            }
        };
        let Some(sender) = commands.upgrade() else { break };
        if sender.send(Command::Checkpointed { complete }).await.is_err() {
            break;
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "closing the checkpoints' connection");
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn txn(&self, mut txn: Txn) -> Result<Committed, Error> {
        txn.check()?;
        self.ask(|reply| Command::Txn { txn, reply }).await
    }

    async fn current_revision(&self) -> Result<u64, Error> {
        self.open_still()?;
        Ok(self.shared.publisher.revision())
    }

    async fn revision_at(&self, time: SystemTime) -> Result<u64, Error> {
        self.open_still()?;
        self.shared.readers.revision_at(time, self.shared.publisher.revision()).await
    }

    async fn wait_for(&self, revision: u64) -> Result<(), Error> {
        self.shared.publisher.wait_for(revision).await
    }

    async fn get(&self, key: &str, at: Option<u64>) -> Result<Option<Entry>, Error> {
        self.open_still()?;
        let revision = self.at(at, self.floor_of_key(key))?;
        if !key::is_key(key) {
            return Ok(None);
        }
        let entry = self.shared.readers.get(key, revision).await?;
        self.still(revision, self.floor_of_key(key))?;
        Ok(entry)
    }

    async fn range(&self, range: Range, at: Option<u64>) -> Result<RangeResult, Error> {
        self.open_still()?;
        let revision = self.at(at, self.floor_of(&range.prefix))?;
        if !key::is_prefix(&range.prefix) {
            return Ok(RangeResult { entries: Vec::new(), revision, more: false });
        }
        let (entries, more) = self.shared.readers.range(&range, revision).await?;
        self.still(revision, self.floor_of(&range.prefix))?;
        Ok(RangeResult { entries, revision, more })
    }

    async fn keys(&self, range: Range, at: Option<u64>) -> Result<Keys, Error> {
        self.open_still()?;
        let revision = self.at(at, self.floor_of(&range.prefix))?;
        if !key::is_prefix(&range.prefix) {
            return Ok(Keys::default());
        }
        let (keys, more) = self.shared.readers.keys(&range, revision).await?;
        self.still(revision, self.floor_of(&range.prefix))?;
        Ok(Keys { keys, more })
    }

    async fn history(&self, prefix: &str, after: u64, up_to: u64, limit: usize) -> Result<Vec<Event>, Error> {
        self.open_still()?;
        let after = self.at(Some(after), self.floor_of(prefix))?;
        let up_to = up_to.min(self.shared.publisher.revision());
        if up_to <= after || !key::is_prefix(prefix) {
            return Ok(Vec::new());
        }
        let limit = limit.clamp(1, HISTORY_EVENTS_MAX);
        let events = self.shared.readers.history(prefix, after, up_to, limit).await;
        self.still(after, self.floor_of(prefix))?;
        events
    }

    fn subscribe(&self, sink: Arc<dyn Sink>) -> u64 {
        self.shared.publisher.subscribe(sink)
    }

    async fn compact(&self, prefix: &str, revision: u64) -> Result<u64, Error> {
        key::check_prefix(prefix)?;
        self.ask(|reply| Command::Floor { prefix: prefix.to_owned(), revision, reply }).await
    }

    async fn floor(&self, prefix: &str) -> Result<u64, Error> {
        self.open_still()?;
        Ok(self.floor_of(prefix))
    }

    async fn lease_grant(&self, ttl: Duration, id: Option<LeaseId>) -> Result<LeaseId, Error> {
        self.ask(|reply| Command::Grant { ttl, id, reply }).await
    }

    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, Error> {
        self.ask(|reply| Command::KeepAlive { id, reply }).await
    }

    async fn lease_revoke(&self, id: LeaseId) -> Result<u64, Error> {
        self.ask(|reply| Command::Revoke { id, reply }).await
    }

    async fn lease_status(&self, id: LeaseId) -> Result<LeaseStatus, Error> {
        self.ask(|reply| Command::Status { id, reply }).await
    }

    fn statistics(&self) -> Statistics {
        let counters = &self.shared.counters;
        Statistics {
            batches: counters.batches.load(Relaxed),
            transactions: counters.transactions.load(Relaxed),
            rows: counters.rows.load(Relaxed),
            conflicts: counters.conflicts.load(Relaxed),
            checkpoints: counters.checkpoints.load(Relaxed),
            compacted_rows: counters.compacted_rows.load(Relaxed),
            keys: counters.keys.load(Relaxed),
            leases: counters.leases.load(Relaxed),
            disk_full: counters.disk_full.load(Relaxed),
            closed: self.shared.publisher.is_closed(),
        }
    }

    async fn close(&self) {
        self.closing.cancel();
        self.shared.ended.cancelled().await;
    }
}
