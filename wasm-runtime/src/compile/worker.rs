//! The parent's side: a child for each line, kept for a moment, killed where a job takes too much.

use super::child::{ANSWER_ARTEFACT, ANSWER_ERROR, CHILD_ENV};
use super::line::Line;
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

/// Three compilers at most, one for each line.
pub(crate) struct CompilerPool {
    compiler: Compiler,
    bounds: CompileBounds,
    short: Bench,
    long: Bench,
    policies: Bench,
    jobs: AtomicU64,
    tasks: Tasks,
}

/// A line and the compiler that works it off.
#[derive(Default)]
struct Bench {
    line: Arc<Line>,
    idle: Arc<Mutex<Option<Worker>>>,
}

/// A component to compile.
pub(crate) struct Job {
    pub(crate) role: Role,
    pub(crate) bytes: Bytes,
    pub(crate) claim: CompileClaim,
}

/// The owner of a compilation, for the turns at the compiler.
#[derive(Clone)]
pub struct CompileClaim {
    /// Turns are shared out by it: a namespace.
    pub owner: Arc<str>,
    /// Called where the component has to wait for its turn, at most once for each line that it waits in.
    pub waiting: Arc<dyn Fn() + Send + Sync>,
}

impl Default for CompileClaim {
    /// A claim without an owner; nobody is told of waits.
    fn default() -> Self {
        Self { owner: Arc::default(), waiting: Arc::new(|| {}) }
    }
}

/// Bounds of one compilation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompileBounds {
    /// CPU time, in whole seconds: the kernel counts no finer.
    pub cpu: Duration,
    /// Wall time.
    pub deadline: Duration,
    /// Of the compiler process.
    pub address_space_bytes: u64,
}

impl Default for CompileBounds {
    fn default() -> Self {
        Self { cpu: COMPILE_CPU_MAX, deadline: COMPILE_DEADLINE, address_space_bytes: COMPILE_ADDRESS_SPACE_MAX }
    }
}

/// The reason why a job has no answer.
#[derive(Debug)]
enum Stopped {
    /// It used up its CPU time: its own doing.
    Cpu,
    /// The wall's deadline came before it had its CPU time: the machine's doing.
    Late,
    /// The child ended: for want of memory, most likely the job's doing.
    Died(String),
}

/// The outcome of a job: the compiler's answer, or the reason why there is none.
struct Done {
    result: Result<Result<Vec<u8>, String>, Stopped>,
    /// CPU time that it took.
    cpu: Duration,
}

impl Done {
    /// For whoever asked; `bounds` are what it had.
    fn answer(self, bounds: CompileBounds) -> Result<Vec<u8>, Error> {
        match self.result {
            Ok(answer) => answer.map_err(|message| Error::Compile { message }),
            Err(Stopped::Died(why)) => Err(Error::CompileKilled { why }),
            Err(Stopped::Cpu) => Err(Error::CompileKilled { why: over(bounds.cpu) }),
            Err(Stopped::Late) => {
                let (had, wall) = (self.cpu.as_secs_f32(), bounds.deadline.as_secs_f32());
                let why = format!("it had only {had} s of CPU time in {wall} s");
                Err(Error::CompileStarved { why, cpu: self.cpu })
            }
        }
    }
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
        let [short, long, policies] = Default::default();
        Self { compiler, bounds, short, long, policies, jobs: AtomicU64::new(0), tasks }
    }

    /// The artefact of a component. Must run on the runtime that owns the pool's tasks.
    pub(crate) async fn compile(&self, job: Job) -> Result<Vec<u8>, Error> {
        let program = match &self.compiler {
            Compiler::Child { program } => program,
            Compiler::InProcess => {
                let engine = engine(job.role, Purpose::Compile, Cpu::of_this_machine())?;
                return compile(&engine, &job.bytes).map_err(|message| Error::Compile { message });
            }
        };
        if job.role == Role::Policy {
            return self.on(&self.policies, program, &job, self.bounds).await?.answer(self.bounds);
        }
        if job.bytes.len() <= COMPILE_SHORT_BYTES_MAX {
            let bounds = CompileBounds {
                cpu: self.bounds.cpu.min(COMPILE_SHORT_CPU),
                address_space_bytes: self.bounds.address_space_bytes.min(COMPILE_SHORT_ADDRESS_SPACE),
                ..self.bounds
            };
            let done = self.on(&self.short, program, &job, bounds).await?;
            let more_helps = match &done.result {
                Err(Stopped::Cpu) => bounds.cpu < self.bounds.cpu,
                Err(Stopped::Died(_)) => bounds.address_space_bytes < self.bounds.address_space_bytes,
                Err(Stopped::Late) | Ok(_) => false,
            };
            if !more_helps {
                return done.answer(bounds);
            }
        }
        self.on(&self.long, program, &job, self.bounds).await?.answer(self.bounds)
    }

    /// Waits for a turn at `bench` and compiles there.
    async fn on(&self, bench: &Bench, program: &Path, job: &Job, bounds: CompileBounds) -> Result<Done, Error> {
        let turn = bench.line.turn(&job.claim.owner, job.bytes.len(), || (job.claim.waiting)()).await;
        let io = |e| Error::io("starting the compiler", e);
        let idle = bench.idle.lock().take();
        let worker = match idle {
            Some(worker) => worker,
            None => start(program, bounds).map_err(io)?,
        };
        let mut done = self.attempt(bench, worker, job, bounds).await.map_err(io)?;
        if let Err(Stopped::Died(why)) = &done.result {
            // The child's memory of earlier jobs, or a machine short of memory, is not this component's fault.
            tracing::debug!(why, "a compiler ended, and the job is tried once more in a new one");
            let again = self.attempt(bench, start(program, bounds).map_err(io)?, job, bounds).await.map_err(io)?;
            done = Done { cpu: done.cpu + again.cpu, ..again };
        }
        turn.used(done.cpu);
        Ok(done)
    }

    /// CPU time that a component may take in all.
    pub(crate) fn cpu_max(&self) -> Duration {
        self.bounds.cpu
    }

    /// One job in `worker`, which is kept if it answers, and dropped, which kills it, if not; with the CPU time it took.
    async fn attempt(
        &self,
        bench: &Bench,
        mut worker: Worker,
        job: &Job,
        bounds: CompileBounds,
    ) -> std::io::Result<Done> {
        worker.job = self.jobs.fetch_add(1, Ordering::Relaxed);
        let before = cpu_time(worker.pid)?;
        allow_cpu(worker.pid, before + bounds.cpu)?;
        let answered = tokio::time::timeout(bounds.deadline, exchange(&mut worker, job.role, &job.bytes)).await;
        // One that ended just now used what it had.
        let cpu = cpu_time(worker.pid).map_or(bounds.cpu, |now| now.saturating_sub(before));
        let result = match answered {
            Ok(Ok(answer)) => {
                self.keep(bench, worker);
                Ok(answer)
            }
            Ok(Err(_)) => Err(ended(&mut worker, bounds).await),
            Err(_) if cpu < bounds.cpu => Err(Stopped::Late),
            Err(_) => Err(Stopped::Cpu),
        };
        Ok(Done { result, cpu })
    }

    fn keep(&self, bench: &Bench, worker: Worker) {
        let job = worker.job;
        *bench.idle.lock() = Some(worker);
        let idle = bench.idle.clone();
        self.tasks.spawn_until_cancelled(async move {
            tokio::time::sleep(COMPILE_WORKER_IDLE).await;
            let mut idle = idle.lock();
            if idle.as_ref().is_some_and(|worker| worker.job == job) {
                *idle = None;
            }
        });
    }
}

/// The message about a component that used up its CPU time.
pub(crate) fn over(cpu: Duration) -> String {
    format!("it needed more than {} s of CPU time", cpu.as_secs())
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
