//! The parent's side: one child at a time, kept for a moment, killed at the deadline.

use super::child::{ANSWER_ARTEFACT, ANSWER_ERROR, CHILD_ENV};
use super::{Compiler, compile};
use crate::engine::{Cpu, Purpose, Role, engine};
use crate::error::Error;
use crate::limits::*;
use bytes::Bytes;
use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use sampan_env::Tasks;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;

/// Compiles one component at a time: a second compiler would only take the first one's cores.
pub(crate) struct CompilerPool {
    compiler: Compiler,
    bounds: CompileBounds,
    turn: Semaphore,
    idle: Arc<Mutex<Option<Worker>>>,
    jobs: AtomicU64,
    tasks: Tasks,
}

/// What one compilation may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompileBounds {
    pub deadline: Duration,
    pub address_space_bytes: u64,
}

impl Default for CompileBounds {
    fn default() -> Self {
        Self { deadline: COMPILE_DEADLINE, address_space_bytes: COMPILE_ADDRESS_SPACE_MAX }
    }
}

struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    job: u64,
}

impl CompilerPool {
    pub(crate) fn new(compiler: Compiler, bounds: CompileBounds, tasks: Tasks) -> Self {
        Self {
            compiler,
            bounds,
            turn: Semaphore::new(1),
            idle: Arc::new(Mutex::new(None)),
            jobs: AtomicU64::new(0),
            tasks,
        }
    }

    /// The artefact of `bytes` for `role`. Must run on the runtime that owns the pool's tasks.
    pub(crate) async fn compile(&self, role: Role, bytes: Bytes) -> Result<Vec<u8>, Error> {
        let _turn = self.turn.acquire().await.map_err(|_| Error::ShuttingDown)?;
        let program = match &self.compiler {
            Compiler::Child { program } => program,
            Compiler::InProcess => {
                let engine = engine(role, Purpose::Compile, Cpu::of_this_machine())?;
                return compile(&engine, &bytes).map_err(|message| Error::Compile { message });
            }
        };
        let idle = self.idle.lock().take();
        let mut worker = match idle {
            Some(worker) => worker,
            None => start(program, self.bounds).map_err(|e| Error::io("starting the compiler", e))?,
        };
        worker.job = self.jobs.fetch_add(1, Ordering::Relaxed);
        // A worker that failed is dropped, and killed by that; the next job has a new one.
        match tokio::time::timeout(self.bounds.deadline, exchange(&mut worker, role, &bytes)).await {
            Err(_) => Err(Error::CompileKilled {
                why: format!("it took longer than {} s", self.bounds.deadline.as_secs_f32()),
            }),
            Ok(Err(_)) => Err(Error::CompileKilled { why: ended(&mut worker, self.bounds).await }),
            Ok(Ok(answer)) => {
                self.keep(worker);
                answer.map_err(|message| Error::Compile { message })
            }
        }
    }

    fn keep(&self, worker: Worker) {
        let job = worker.job;
        *self.idle.lock() = Some(worker);
        let idle = self.idle.clone();
        self.tasks.spawn_until_cancelled(async move {
            tokio::time::sleep(COMPILE_WORKER_IDLE).await;
            let mut idle = idle.lock();
            if idle.as_ref().is_some_and(|worker| worker.job == job) {
                *idle = None;
            }
        });
    }
}

fn start(program: &Path, bounds: CompileBounds) -> std::io::Result<Worker> {
    let mut child = Command::new(program)
        .env_clear()
        .env(CHILD_ENV, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(pid) = pid else { return Err(std::io::Error::other("the compiler ended at once")) };
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    prlimit(Some(pid), Resource::As, limit(bounds.address_space_bytes))?;
    prlimit(Some(pid), Resource::Cpu, limit(COMPILE_CPU_SECONDS_MAX))?;
    prlimit(Some(pid), Resource::Core, limit(0))?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("the compiler has no pipes"));
    };
    Ok(Worker { child, stdin, stdout, job: 0 })
}

/// The inner error is the compiler's answer; the outer one means that it ended.
async fn exchange(worker: &mut Worker, role: Role, bytes: &[u8]) -> std::io::Result<Result<Vec<u8>, String>> {
    worker.stdin.write_all(&[role.to_byte()]).await?;
    worker.stdin.write_all(&(bytes.len() as u64).to_le_bytes()).await?;
    worker.stdin.write_all(bytes).await?;
    worker.stdin.flush().await?;
    let answer = worker.stdout.read_u8().await?;
    let length = worker.stdout.read_u64_le().await?;
    if length > ARTEFACT_BYTES_MAX {
        return Err(std::io::Error::other("the artefact is too large"));
    }
    // Grows as it arrives: a length alone takes no memory.
    let mut content = Vec::new();
    (&mut worker.stdout).take(length).read_to_end(&mut content).await?;
    if content.len() as u64 != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    match answer {
        ANSWER_ARTEFACT => Ok(Ok(content)),
        ANSWER_ERROR => Ok(Err(String::from_utf8_lossy(&content).into_owned())),
        _ => Err(std::io::Error::other("an answer that is none")),
    }
}

async fn ended(worker: &mut Worker, bounds: CompileBounds) -> String {
    let status = tokio::time::timeout(Duration::from_secs(1), worker.child.wait()).await;
    let memory = format!("it needed more than {} MiB", bounds.address_space_bytes >> 20);
    match status {
        Ok(Ok(status)) => {
            use std::os::unix::process::ExitStatusExt;
            match status.signal() {
                // An allocation that fails aborts the process.
                Some(6) => memory,
                Some(24) => "it used up its CPU time".to_owned(),
                Some(signal) => format!("the compiler was ended by signal {signal}"),
                // A thread or mapping that could not be had ends it with a panic.
                None => format!("{memory}, or the compiler failed ({status})"),
            }
        }
        _ => "the compiler stopped answering".to_owned(),
    }
}
