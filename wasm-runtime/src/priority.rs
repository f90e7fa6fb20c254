//! What the kernel is told about a thread that runs guests.

use std::io;
use std::time::Duration;

/// How a thread competes for a core. Applies where the kernel allows it; guests elsewhere only compete as equals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Priority {
    /// How small its share of a contended core is, from 0 to 19.
    pub(crate) nice: i32,
    /// In how long pieces it has that share, from 0.1 to 100 ms (Linux 6.12 and newer; older ones ignore it). A thread that
    /// wakes goes before a running one that asked for longer pieces than itself, at once and not at the kernel's next tick.
    pub(crate) slice: Duration,
}

impl Priority {
    /// Applies to the calling thread alone.
    #[cfg(target_os = "linux")]
    pub(crate) fn apply(self) -> io::Result<()> {
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let attributes = libc::sched_attr {
            size: u32::try_from(size_of::<libc::sched_attr>()).map_err(invalid)?,
            sched_policy: libc::SCHED_OTHER.cast_unsigned(),
            sched_flags: 0,
            sched_nice: self.nice,
            sched_priority: 0,
            sched_runtime: u64::try_from(self.slice.as_nanos()).map_err(invalid)?,
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
