//! The test program's allocator: counts the bytes that each thread holds, so that tests can enforce memory bounds.
#![allow(unsafe_code, reason = "a counting allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, Instant};

/// Requests of this many bytes or more fail, so that they cannot exhaust the machine's memory.
const ABSURD: usize = 8 << 30;

thread_local! {
    /// Bytes that this thread holds, and its peak.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
    /// Current activity of this thread, for the message about a failed request.
    static DOING: Cell<(&'static str, u64)> = const { Cell::new(("nothing", 0)) };
}

struct Counting;

fn count(bytes: isize) {
    // A thread that is ending no longer has a counter.
    let _ = HELD.try_with(|held| {
        let now = held.get().0 + bytes;
        held.set((now, held.get().1.max(now)));
    });
}

/// Whether a request may go to the system. Reports a refused request, because the program aborts after it.
fn sane(layout: Layout) -> bool {
    if layout.size() < ABSURD {
        return true;
    }
    // Neither the formatting nor standard error allocates.
    let (what, number) = DOING.try_with(Cell::get).unwrap_or(("an ending thread", 0));
    let _ = writeln!(std::io::stderr(), "{what}, case {number}: requests {} bytes at once", layout.size());
    false
}

// SAFETY: every call goes to the system's allocator unchanged, or returns null, as an allocator may.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !sane(layout) {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !sane(layout) {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `place` came from the system's allocator with this layout.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Memory and time of a piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Peak bytes that this thread held in addition to those it held before.
    pub memory: usize,
    /// Processor time of this thread, divided by `WGRU_SLOWDOWN` if that is set, for programs under a sanitizer.
    pub time: Duration,
}

/// Processor time of this thread; if the system does not report it, the time since `start`.
fn clock(start: Instant) -> Duration {
    let ran = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ran = ran.and_then(|text| text.split_whitespace().next()?.parse().ok());
    ran.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Returns how many times as slow as usual this program is.
fn slowdown() -> u32 {
    std::env::var("WGRU_SLOWDOWN").map_or(1, |times| times.parse().expect("WGRU_SLOWDOWN is a whole number"))
}

/// Runs `work` and measures it. A refused request is reported as case `number` of `what`.
pub fn measure<T>(what: &'static str, number: u64, work: impl FnOnce() -> T) -> (T, Used) {
    let start = Instant::now();
    let started = clock(start);
    let before = HELD.get().0;
    HELD.set((before, before));
    DOING.set((what, number));
    let result = work();
    DOING.set(("nothing", 0));
    let memory = (HELD.get().1 - before) as usize;
    (result, Used { memory, time: (clock(start) - started) / slowdown() })
}
