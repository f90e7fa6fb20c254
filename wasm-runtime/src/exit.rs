//! The ends of guests, in the codes and reasons that a kubelet reports.

use crate::limits::MESSAGE_BYTES_MAX;
use crate::memory::OutOfMemory;
use tokio::sync::watch;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

/// The end of a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    /// 0; the guest's own (1 from stock toolchains); 134 trap; 139 stack overflow; 137 out of memory or killed;
    /// 143 terminated; 128 not started.
    pub code: i32,
    /// For `state.terminated.reason`.
    pub reason: ExitReason,
    /// For `state.terminated.message`; may be empty. At most [`crate::limits::MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
}

/// `state.terminated.reason`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitReason {
    Completed,
    Error,
    OomKilled,
    StartError,
}

impl ExitReason {
    /// As a kubelet writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ExitReason::Completed => "Completed",
            ExitReason::Error => "Error",
            ExitReason::OomKilled => "OOMKilled",
            ExitReason::StartError => "StartError",
        }
    }
}

const TRAP: i32 = 134;
const STACK_OVERFLOW: i32 = 139;
const KILLED: i32 = 137;
const TERMINATED: i32 = 143;
const NOT_STARTED: i32 = 128;

impl Exit {
    fn new(code: i32, reason: ExitReason, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
        }
        Self { code, reason, message }
    }

    pub(crate) fn returned(code: i32) -> Self {
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
        Self::new(code, reason, "")
    }

    /// Killed at once, or at the end of the grace period.
    pub fn killed(message: impl Into<String>) -> Self {
        Self::new(KILLED, ExitReason::Error, message)
    }

    pub(crate) fn terminated() -> Self {
        Self::new(TERMINATED, ExitReason::Error, "")
    }

    /// Never ran: what the image or the configuration lacks.
    pub fn not_started(message: impl Into<String>) -> Self {
        Self::new(NOT_STARTED, ExitReason::StartError, message)
    }

    pub(crate) fn out_of_memory(error: &str) -> Self {
        Self::new(KILLED, ExitReason::OomKilled, error)
    }

    pub(crate) fn of(fault: &Fault) -> Self {
        match fault.kind {
            FaultKind::Exit(code) => Self::returned(code),
            FaultKind::OutOfMemory => Self::out_of_memory(&fault.message),
            FaultKind::StackOverflow => Self::new(STACK_OVERFLOW, ExitReason::Error, fault.message.clone()),
            FaultKind::Trap | FaultKind::Interrupted => Self::new(TRAP, ExitReason::Error, fault.message.clone()),
        }
    }
}

/// The reason why a call into a guest did not return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FaultKind {
    /// The guest called `exit`.
    Exit(i32),
    OutOfMemory,
    StackOverflow,
    /// Its budget was used up.
    Interrupted,
    /// Any other trap, and host errors that end the guest.
    Trap,
}

impl Fault {
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        if let Some(oom) = error.downcast_ref::<OutOfMemory>() {
            return Self { kind: FaultKind::OutOfMemory, message: oom.to_string() };
        }
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Self { kind: FaultKind::Exit(exit.0), message: String::new() };
        }
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => FaultKind::StackOverflow,
            Some(Trap::Interrupt) => FaultKind::Interrupted,
            _ => FaultKind::Trap,
        };
        Self { kind, message: error.root_cause().to_string() }
    }
}

/// A cell for a guest's end, written once and read by any number of waiters.
#[derive(Debug)]
pub(crate) struct ExitCell(watch::Sender<Option<Exit>>);

impl ExitCell {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The first end counts.
    pub(crate) fn set(&self, exit: Exit) {
        self.0.send_if_modified(|slot| {
            let first = slot.is_none();
            if first {
                *slot = Some(exit);
            }
            first
        });
    }

    pub(crate) fn get(&self) -> Option<Exit> {
        self.0.borrow().clone()
    }

    pub(crate) async fn wait(&self) -> Exit {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(Option::is_some).await.map(|exit| exit.clone()) {
            Ok(Some(exit)) => exit,
            // The sender is `self`, so it cannot be gone.
            Ok(None) | Err(_) => Exit::killed("the runtime lost the container's end"),
        }
    }
}

/// Writes an end even when its task panics or is dropped at shutdown.
pub(crate) struct EndsWith<'a>(pub(crate) &'a ExitCell);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.set(Exit::killed("the runtime stopped while the container ran"));
    }
}
