//! Thread pool for work items as short as a few microseconds.
//!
//! A step of a recurrent network takes a few microseconds, which is less than waking a thread takes. A worker therefore
//! spins while work keeps arriving, which lets it see a new share within 0.1 µs, and otherwise sleeps. The caller never
//! waits for a worker that has not begun: it takes the share back and runs it itself.
#![allow(unsafe_code, reason = "other threads run closures that borrow from the caller")]

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::share_tuner::{Backoff, ShareTuner, TRIED};
use super::sync::{
    AtomicBool, AtomicU32, AtomicUsize, Builder, Instant, JoinHandle, POLLS, UnsafeCell, park_timeout, spin_loop,
};

/// How long a worker spins after its last share.
const SPIN: Duration = Duration::from_micros(500);
/// How long a sleeping worker waits between polls.
const SLEEP: Duration = Duration::from_millis(1);
/// A worker counts as interrupted if the caller waits for it longer than this plus four times the caller's own share.
const LATE: Duration = Duration::from_micros(20);
/// Number of offers between two polls above which a sleeping worker spins again.
const BUSY: u32 = 4;
/// Slice of floats of which several threads write disjoint parts.
#[derive(Clone, Copy)]
pub(crate) struct Parts(*mut f32, usize);

// SAFETY: callers of `get` promise that no other thread uses the same part.
unsafe impl Send for Parts {}
// SAFETY: as above.
unsafe impl Sync for Parts {}

impl Parts {
    pub fn new(all: &mut [f32]) -> Self {
        Self(all.as_mut_ptr(), all.len())
    }

    pub fn len(self) -> usize {
        self.1
    }

    pub fn as_ptr(self) -> *mut f32 {
        self.0
    }

    /// Returns the floats in `range`.
    ///
    /// # Panics
    /// If `range` is out of bounds.
    ///
    /// # Safety
    /// The floats must outlive `'a`, and nothing else may read or write this part during it.
    pub unsafe fn get<'a>(self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.1, "a part of the floats");
        // SAFETY: the range is in bounds; the caller guarantees the rest.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

/// Timing of a shared call.
struct ShareTiming {
    /// Duration of the caller's own share.
    own: Duration,
    /// Time from then until all shares were done.
    wait: Duration,
    /// Whether the caller took back a share because its worker had not begun.
    is_missed: bool,
}

impl ShareTiming {
    /// Whether a worker was so late that it was probably interrupted.
    fn is_late(&self) -> bool {
        self.wait > 4 * self.own + LATE
    }
}

/// States of a slot.
const FREE: u32 = 0;
const OFFERED: u32 = 1;
const TAKEN: u32 = 2;
const DONE: u32 = 3;
const FAILED: u32 = 4;

type Task<'a> = &'a (dyn Fn(Range<usize>) + Sync);

/// Hands shares from the caller to one worker. Aligned so that no two slots are in one cache line.
#[repr(align(128))]
struct Slot {
    state: AtomicU32,
    /// Counts the shares offered; a wake-up counts as [`BUSY`] offers.
    offers: AtomicU32,
    /// The worker sleeps, or is about to.
    asleep: AtomicBool,
    /// Tells the worker to exit.
    closed: AtomicBool,
    /// The caller may access it while the state is FREE, the worker while the state is TAKEN.
    share: UnsafeCell<Option<(Task<'static>, Range<usize>)>>,
}

// SAFETY: the state determines which thread may access the share.
unsafe impl Sync for Slot {}

impl Slot {
    /// Runs the share in this slot, if there is one. Returns whether there was one.
    fn serve(&self) -> bool {
        // Poll with a load: even a failed exchange takes the cache line from the caller.
        let taken = self.state.load(Ordering::Relaxed) == OFFERED
            && self.state.compare_exchange(OFFERED, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if taken {
            // Stores the final state even if the task panics, because the caller waits for it.
            struct End<'a>(&'a AtomicU32, u32);
            impl Drop for End<'_> {
                fn drop(&mut self) {
                    self.0.store(self.1, Ordering::Release);
                }
            }
            let mut end = End(&self.state, FAILED);
            // SAFETY: while the state is TAKEN, the share belongs to this thread, and the caller waits for `end`.
            let share = self.share.with_mut(|share| unsafe { (*share).take() });
            if let Some((task, range)) = share {
                task(range);
            }
            end.1 = DONE;
        }
        taken
    }

    /// Main loop of a worker: spins while shares keep arriving, otherwise sleeps.
    fn stand_by(&self) {
        let mut seen = 0;
        while !self.closed.load(Ordering::Relaxed) {
            let mut last = Instant::now();
            self.asleep.store(false, Ordering::Relaxed);
            while last.elapsed() < SPIN {
                for _ in 0..POLLS {
                    if self.serve() {
                        last = Instant::now();
                    }
                    spin_loop();
                }
            }
            self.asleep.store(true, Ordering::SeqCst);
            loop {
                park_timeout(SLEEP);
                let offers = self.offers.load(Ordering::Relaxed);
                let busy = offers.wrapping_sub(seen) >= BUSY;
                seen = offers;
                // The caller may have been interrupted between waking this worker and offering the share.
                let is_offered = self.state.load(Ordering::Relaxed) == OFFERED;
                if busy || is_offered || self.closed.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    }
}

/// Thread pool in which the caller works too. The workers are started when they are first needed.
pub(crate) struct ThreadPool {
    threads: usize,
    workers: OnceLock<Workers>,
    /// Set while a caller holds the [`Lease`]; other callers work alone meanwhile.
    in_use: AtomicBool,
    backoff: Backoff,
    tuner: ShareTuner,
}

impl ThreadPool {
    /// Creates a pool of `threads` threads, including the caller's.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            workers: OnceLock::new(),
            in_use: AtomicBool::new(false),
            backoff: Backoff::default(),
            tuner: ShareTuner::default(),
        }
    }

    /// Returns the number of threads, including the caller's.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Starts the workers, if they are not running yet. Starts fewer if the system cannot create a thread.
    pub fn start(&self) -> &Workers {
        self.workers.get_or_init(|| Workers::new(self.threads - 1))
    }

    /// Runs short work: `task` over `0..parts`, split into one contiguous range per thread if that is faster. Results
    /// must not depend on the split. `work` is the total amount of work, in a unit that is the same in all calls.
    ///
    /// Does not wake sleeping workers, because that takes a system call.
    pub fn share(&self, parts: usize, work: usize, task: Task<'_>) {
        let Some(lease) = self.lease(self.threads.min(parts)) else { return task(0..parts) };
        let tried = self.tuner.of(work);
        let (which, notes) = tried.choose();
        let helped = parts * TRIED[which] * (lease.threads - 1) / (4 * lease.threads);
        if helped > 0 && !self.backoff.take_alone() {
            let timing = lease.run(parts, helped, task);
            self.backoff.note(timing.is_late());
            if notes && !timing.is_missed {
                tried.note(which, timing.own + timing.wait);
            }
            return;
        }
        // Lets another caller use the workers meanwhile.
        drop(lease);
        let start = notes.then(Instant::now);
        task(0..parts);
        if let Some(start) = start {
            tried.note(0, start.elapsed());
        }
    }

    /// Runs long work: `task` for each of `0..parts`, on whichever thread is free. Wakes sleeping workers.
    pub fn over(&self, parts: usize, task: impl Fn(usize) + Sync) {
        let Some(lease) = self.lease(self.threads.min(parts)) else { return (0..parts).for_each(task) };
        lease.wake();
        let next = AtomicUsize::new(0);
        lease.run(lease.threads, lease.threads - 1, &|_| {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    break;
                }
                task(part);
            }
        });
    }

    /// Wakes sleeping workers before a series of short work.
    pub fn wake(&self) {
        if let Some(lease) = self.lease(self.threads) {
            lease.wake();
        }
    }

    /// Leases up to `threads` threads of the pool to the caller. Returns `None` if there is only one, or if another
    /// caller holds the lease.
    fn lease(&self, threads: usize) -> Option<Lease<'_>> {
        if threads <= 1 || self.in_use.swap(true, Ordering::Acquire) {
            return None;
        }
        let workers = self.start();
        let threads = threads.min(workers.slots.len() + 1);
        // If no worker could be started, this drops the lease, which releases the pool.
        Some(Lease { pool: self, workers, threads }).filter(|_| threads > 1)
    }
}

pub(crate) struct Workers {
    slots: Vec<Arc<Slot>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn new(count: usize) -> Self {
        let mut workers = Self { slots: Vec::new(), threads: Vec::new() };
        for _ in 0..count {
            let slot = Arc::new(Slot {
                state: AtomicU32::new(FREE),
                offers: AtomicU32::new(0),
                asleep: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                share: UnsafeCell::new(None),
            });
            let theirs = slot.clone();
            let Ok(thread) = Builder::new().name("wgru".into()).spawn(move || theirs.stand_by()) else {
                break;
            };
            workers.slots.push(slot);
            workers.threads.push(thread);
        }
        workers
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for slot in &self.slots {
            slot.closed.store(true, Ordering::Relaxed);
        }
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A panic in the worker has already been reported to the caller that offered the share.
            _ = thread.join();
        }
    }
}

/// Exclusive use of the pool by one caller.
struct Lease<'a> {
    pool: &'a ThreadPool,
    workers: &'a Workers,
    threads: usize,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.pool.in_use.store(false, Ordering::Release);
    }
}

impl Lease<'_> {
    fn wake(&self) {
        for (slot, thread) in self.workers.slots.iter().zip(&self.workers.threads).take(self.threads - 1) {
            slot.offers.fetch_add(BUSY, Ordering::SeqCst);
            if slot.asleep.load(Ordering::SeqCst) {
                thread.thread().unpark();
            }
        }
    }

    /// Runs `task` over `0..parts`. The workers get the last `helped` parts, split as evenly as possible.
    fn run(&self, parts: usize, helped: usize, task: Task<'_>) -> ShareTiming {
        let own = parts - helped;
        let end = |workers: usize| own + helped * workers / (self.threads - 1);
        // SAFETY: `open` is dropped before the borrow of `task` ends, and from then on no worker can reach the task.
        let task_of_helpers = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        let mut open = InFlight { slots: &self.workers.slots[..self.threads - 1], task, failed: false };
        for (i, slot) in open.slots.iter().enumerate() {
            // SAFETY: the state is FREE, as every caller leaves it, so the worker does not access the share.
            slot.share.with_mut(|share| unsafe { *share = Some((task_of_helpers, end(i)..end(i + 1))) });
            // Needs no atomic addition: only the holder of the lease writes it.
            slot.offers.store(slot.offers.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            slot.state.store(OFFERED, Ordering::Release);
        }
        let start = Instant::now();
        task(0..own);
        let own = start.elapsed();
        let is_missed = open.collect();
        assert!(!open.failed, "a part of the work panicked");
        ShareTiming { own, wait: start.elapsed() - own, is_missed }
    }
}

/// Shares in flight. Once this is dropped, no worker can reach the task.
struct InFlight<'a> {
    slots: &'a [Arc<Slot>],
    task: Task<'a>,
    failed: bool,
}

impl InFlight<'_> {
    /// Runs the shares that no worker has begun, then waits for the others. Returns whether it ran any.
    fn collect(&mut self) -> bool {
        let mut is_missed = false;
        for slot in self.slots {
            if let Some(range) = take_back(slot) {
                is_missed = true;
                (self.task)(range);
            }
        }
        self.wait();
        is_missed
    }

    fn wait(&mut self) {
        for slot in self.slots {
            while slot.state.load(Ordering::Acquire) == TAKEN {
                spin_loop();
            }
            self.failed |= slot.state.load(Ordering::Relaxed) == FAILED;
            slot.state.store(FREE, Ordering::Relaxed);
        }
    }
}

/// Takes back the share in this slot, unless a worker has begun it.
fn take_back(slot: &Slot) -> Option<Range<usize>> {
    // Check with a load: even a failed exchange takes the cache line from the worker.
    if slot.state.load(Ordering::Relaxed) != OFFERED {
        return None;
    }
    slot.state.compare_exchange(OFFERED, FREE, Ordering::Acquire, Ordering::Relaxed).ok()?;
    // SAFETY: the state is FREE again, so the share belongs to the caller.
    slot.share.with_mut(|share| unsafe { (*share).take() }).map(|(_, range)| range)
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // If the caller's own share panicked, slots may still hold shares.
        self.slots.iter().for_each(|slot| _ = take_back(slot));
        self.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::super::share_tuner::ALONE;
    use super::*;

    /// Fewer rounds under Miri, which is a thousand times slower.
    fn rounds(usual: usize) -> usize {
        if cfg!(miri) { 20 } else { usual }
    }

    #[test]
    fn every_part_runs_exactly_once() {
        for threads in [1, 2, 3, 5] {
            let pool = ThreadPool::new(threads);
            for round in 0..rounds(2000) {
                let parts = round % 9;
                let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                share_alike(&pool, parts, &|range| range.for_each(|i| _ = counts[i].fetch_add(1, Ordering::Relaxed)));
                pool.over(parts, |i| _ = counts[i].fetch_add(1, Ordering::Relaxed));
                assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 2), "{threads} threads, {parts} parts");
            }
        }
    }

    /// Shares equally, as if equal shares had been measured as fastest.
    fn share_alike(pool: &ThreadPool, parts: usize, task: Task<'_>) {
        pool.tuner.of(1).share_alike();
        pool.share(parts, 1, task);
    }

    #[test]
    #[cfg_attr(miri, ignore = "depends on the time that a share takes")]
    fn backoff_runs_all_parts_on_the_caller_until_it_ends() {
        let pool = ThreadPool::new(2);
        pool.backoff.note(true);
        let caller = std::thread::current().id();
        for _ in 0..ALONE {
            let ranges = std::sync::Mutex::new(Vec::new());
            share_alike(&pool, 8, &|range| ranges.lock().expect("no panic").push((range, std::thread::current().id())));
            assert_eq!(ranges.into_inner().expect("no panic"), [(0..8, caller)]);
        }
        assert!(!pool.backoff.take_alone(), "the next one is shared again");
        let ranges = std::sync::Mutex::new(Vec::new());
        share_alike(&pool, 8, &|range| ranges.lock().expect("no panic").push(range));
        let mut ranges = ranges.into_inner().expect("no panic");
        ranges.sort_by_key(|range| range.start);
        assert_eq!(ranges, [0..4, 4..8]);
    }

    #[test]
    fn concurrent_callers_do_not_interfere() {
        let pool = ThreadPool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..rounds(5000) {
                        let sum = AtomicUsize::new(0);
                        share_alike(&pool, 8, &|range| _ = sum.fetch_add(range.sum::<usize>(), Ordering::Relaxed));
                        assert_eq!(sum.into_inner(), 28);
                    }
                });
            }
        });
    }

    #[test]
    fn woken_worker_takes_a_part_while_the_caller_works() {
        let pool = ThreadPool::new(2);
        for _ in 0..20 {
            // Long enough for the worker to fall asleep.
            std::thread::sleep(4 * SPIN);
            let begun = AtomicUsize::new(0);
            pool.over(2, |_| {
                begun.fetch_add(1, Ordering::Relaxed);
                // Neither part ends before the other has begun.
                let start = Instant::now();
                while begun.load(Ordering::Relaxed) < 2 {
                    assert!(start.elapsed() < Duration::from_secs(60), "the wake-up was lost");
                    std::thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn panic_reaches_the_caller_and_the_pool_keeps_working() {
        let pool = ThreadPool::new(2);
        for bad in [0, 7] {
            let task = |range: Range<usize>| assert!(!range.contains(&bad), "this share panics");
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| share_alike(&pool, 8, &task)));
            assert!(result.is_err());
            let sum = AtomicUsize::new(0);
            share_alike(&pool, 8, &|range| _ = sum.fetch_add(range.sum::<usize>(), Ordering::Relaxed));
            assert_eq!(sum.into_inner(), 28);
        }
    }
}
