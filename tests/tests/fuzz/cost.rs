//! Counted work: the bytes that a thread takes from the allocator, and the time that it computes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

/// The system's allocator, with a count for each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes that were ever taken.
    static TAKEN: Cell<usize> = const { Cell::new(0) };
    /// Bytes that are held; what another thread gives back counts there.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// The most that were held since the measure began.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Cells without destructors: they can be had in an allocator, and as long as the thread runs.
fn count(taken: usize, given_back: usize) {
    TAKEN.set(TAKEN.get().wrapping_add(taken));
    HELD.set(HELD.get().wrapping_add_unsigned(taken).wrapping_sub_unsigned(given_back));
    PEAK.set(PEAK.get().max(HELD.get()));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// What one piece of work cost its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Bytes taken from the allocator, whether given back or not: they stand for steps too, since they are no clock.
    pub taken_bytes: usize,
    /// The most that was held at a time, in bytes.
    pub peak_bytes: usize,
    /// Time computed.
    pub cpu: Duration,
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// Does the work, and tells what it cost.
pub fn of<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (taken, held, began) = (TAKEN.get(), HELD.get(), cpu());
    PEAK.set(held);
    let done = work();
    let cost = Cost {
        taken_bytes: TAKEN.get().wrapping_sub(taken),
        peak_bytes: PEAK.get().wrapping_sub(held).max(0).cast_unsigned(),
        cpu: cpu().saturating_sub(began),
    };
    (done, cost)
}

#[test]
fn what_is_taken_and_held_is_counted() {
    let (_, cost) = of(|| {
        drop(Vec::<u8>::with_capacity(1000));
        drop(Vec::<u8>::with_capacity(2000));
    });
    assert_eq!((cost.taken_bytes, cost.peak_bytes), (3000, 2000));
}
