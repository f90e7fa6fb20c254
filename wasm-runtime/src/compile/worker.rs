//! The parent's side: one child at a time, kept for a moment, killed where a job takes too much.

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
    /// CPU time, in whole seconds: the kernel counts no finer.
    pub cpu: Duration,
    /// Wall time.
    pub deadline: Duration,
    pub address_space_bytes: u64,
}

impl Default for CompileBounds {
    fn default() -> Self {
        Self { cpu: COMPILE_CPU_MAX, deadline: COMPILE_DEADLINE, address_space_bytes: COMPILE_ADDRESS_SPACE_MAX }
    }
}

/// Why a job has no answer.
#[derive(Debug)]
enum Stopped {
    /// It used up its CPU time: its own doing.
    Cpu,
    /// The wall's deadline came before it had its CPU time: the machine's doing.
    Late { cpu: Duration },
    /// The child ended: for want of memory, most likely the job's doing.
    Died(String),
}

struct Worker {
    pid: Pid,
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
        let io = |e| Error::io("starting the compiler", e);
        let idle = self.idle.lock().take();
        let worker = match idle {
            Some(worker) => worker,
            None => start(program, self.bounds).map_err(io)?,
        };
        let mut done = self.attempt(worker, role, &bytes).await.map_err(io)?;
        if let Err(Stopped::Died(why)) = &done {
            // What a child carries from its earlier jobs, or a machine short of memory, is not this component's fault.
            tracing::debug!(why, "a compiler ended, and the job is tried once more in a new one");
            done = self.attempt(start(program, self.bounds).map_err(io)?, role, &bytes).await.map_err(io)?;
        }
        match done {
            Ok(answer) => answer.map_err(|message| Error::Compile { message }),
            Err(Stopped::Died(why)) => Err(Error::CompileKilled { why }),
            Err(Stopped::Cpu) => {
                let why = format!("it needed more than {} s of CPU time", self.bounds.cpu.as_secs());
                Err(Error::CompileKilled { why })
            }
            Err(Stopped::Late { cpu }) => {
                let (cpu, wall) = (cpu.as_secs_f32(), self.bounds.deadline.as_secs_f32());
                Err(Error::CompileStarved { why: format!("it had only {cpu} s of CPU time in {wall} s") })
            }
        }
    }

    /// One job in `worker`, which is kept if it answers, and dropped, which kills it, if not.
    async fn attempt(
        &self,
        mut worker: Worker,
        role: Role,
        bytes: &[u8],
    ) -> std::io::Result<Result<Result<Vec<u8>, String>, Stopped>> {
        worker.job = self.jobs.fetch_add(1, Ordering::Relaxed);
        let before = cpu_time(worker.pid)?;
        allow_cpu(worker.pid, before + self.bounds.cpu)?;
        let answered = tokio::time::timeout(self.bounds.deadline, exchange(&mut worker, role, bytes)).await;
        Ok(match answered {
            Ok(Ok(answer)) => {
                self.keep(worker);
                Ok(answer)
            }
            Ok(Err(_)) => Err(ended(&mut worker, self.bounds).await),
            Err(_) => {
                // One that ended just now used what it had.
                let cpu = cpu_time(worker.pid).map_or(self.bounds.cpu, |now| now.saturating_sub(before));
                Err(if cpu < self.bounds.cpu { Stopped::Late { cpu } } else { Stopped::Cpu })
            }
        })
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
    prlimit(Some(pid), Resource::Core, limit(0))?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("the compiler has no pipes"));
    };
    Ok(Worker { pid, child, stdin, stdout, job: 0 })
}

/// The CPU time of all threads of a child so far.
fn cpu_time(pid: Pid) -> std::io::Result<Duration> {
    let malformed = || std::io::Error::other("/proc/PID/stat is not as proc(5) says");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    // The name is in parentheses and may hold anything; user and system time are the 12th and 13th after it.
    let (_, after) = stat.rsplit_once(')').ok_or_else(malformed)?;
    let times = after.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().ok());
    let ticks = times.sum::<Option<u64>>().ok_or_else(malformed)?;
    Ok(Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1)))
}

/// Has the kernel end a child that uses more CPU time than this in all.
fn allow_cpu(pid: Pid, total: Duration) -> std::io::Result<()> {
    // Only the soft limit: one that was lowered could not be raised again for the next job.
    let maximum = rustix::process::getrlimit(Resource::Cpu).maximum;
    let wanted = total.as_secs() + u64::from(total.subsec_nanos() > 0);
    let current = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    prlimit(Some(pid), Resource::Cpu, Rlimit { current, maximum })?;
    Ok(())
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

async fn ended(worker: &mut Worker, bounds: CompileBounds) -> Stopped {
    let status = tokio::time::timeout(COMPILE_REAP, worker.child.wait()).await;
    let memory = format!("it needed more than {} MiB", bounds.address_space_bytes >> 20);
    let why = match status {
        Ok(Ok(status)) => {
            use std::os::unix::process::ExitStatusExt;
            match status.signal() {
                Some(libc::SIGXCPU) => return Stopped::Cpu,
                // An allocation that fails aborts the process.
                Some(libc::SIGABRT) => memory,
                Some(signal) => format!("the compiler was ended by signal {signal}"),
                // A thread or mapping that could not be had ends it with a panic.
                None => format!("{memory}, or the compiler failed ({status})"),
            }
        }
        _ => "the compiler stopped answering".to_owned(),
    };
    Stopped::Died(why)
}
