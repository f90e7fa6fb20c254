//! Settings of the kernel for threads that run guests.

use std::io;
use std::time::Duration;

/// The weight of a thread in the competition for a core. Applies where the kernel allows it; guests elsewhere only
/// compete as equals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Priority {
    /// Niceness above that of the thread that started it: a smaller share of a contended core.
    pub(crate) nicer: i32,
    /// The length of the pieces in which it has that share, from 0.1 to 100 ms; None: the kernel's default. A thread that wakes goes
    /// before a running one that asked for longer pieces than itself, at once and not at the kernel's next tick.
    pub(crate) slice: Option<Duration>,
}

/// The kernel's largest niceness.
const NICE_MAX: i32 = 19;

impl Priority {
    /// Applies to the calling thread alone.
    #[cfg(target_os = "linux")]
    pub(crate) fn apply(self) -> io::Result<()> {
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        // A process that was started nice may not become less so: what is asked for counts from where it stands.
        let nice = rustix::process::getpriority_process(None)?.saturating_add(self.nicer).min(NICE_MAX);
        let attributes = libc::sched_attr {
            size: u32::try_from(size_of::<libc::sched_attr>()).map_err(invalid)?,
            sched_policy: libc::SCHED_OTHER.cast_unsigned(),
            sched_flags: 0,
            sched_nice: nice,
            sched_priority: 0,
            sched_runtime: u64::try_from(self.slice.unwrap_or_default().as_nanos()).map_err(invalid)?,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: the kernel reads `size` bytes of a plain struct that outlives the call; thread 0 is the calling one.
        let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn apply(self) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::{getpriority_process, setpriority_process};

    #[test]
    fn niceness_counts_from_where_the_process_stands() {
        for (started, nicer, expected) in [(0, 5, 5), (10, 1, 11), (10, 5, 15), (17, 5, 19), (19, 1, 19)] {
            // On Linux niceness is the thread's: each case has one of its own.
            let found = std::thread::spawn(move || {
                setpriority_process(None, started)?;
                Priority { nicer, slice: Some(Duration::from_millis(100)) }.apply()?;
                Ok::<_, io::Error>(getpriority_process(None)?)
            });
            let found = found.join().expect("no panic").expect("allowed: it only steps back");
            assert_eq!(found, expected, "started at {started}, {nicer} nicer");
        }
    }
}
