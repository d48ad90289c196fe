//! Threads that share work, however short.
//!
//! A step of a recurrent network takes a few microseconds: waking a thread costs more. A worker therefore spins while
//! work keeps coming, sees an lease within 0.1 µs, and sleeps when none comes. The caller never waits for a worker that
//! has not begun: it takes such a share back and does it itself.
#![allow(unsafe_code, reason = "work that borrows from its caller runs on other threads")]

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::share_tuner::{Backoff, ShareTuner, TRIED};

/// How long a worker spins after its last work, and how long it then sleeps between looks.
const SPIN: Duration = Duration::from_micros(500);
const SLEEP: Duration = Duration::from_millis(1);
/// How long the caller waits for a worker, beside four times what its own share took, before that was most likely
/// interrupted.
const LATE: Duration = Duration::from_micros(20);
/// Offers between two looks from which on it pays to stand by again.
const BUSY: u32 = 4;
/// Floats whose disjoint parts several threads write.
#[derive(Clone, Copy)]
pub(crate) struct Parts(*mut f32, usize);

// SAFETY: who takes a part promises that no other thread has it.
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

    /// # Safety
    /// The floats still exist, and nobody else reads or writes this part while it is held.
    pub unsafe fn get<'a>(self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.1, "a part of the floats");
        // SAFETY: within the floats; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

/// How a shared call timing.
struct ShareTiming {
    /// What the caller's own share took, and how long it then waited.
    own: Duration,
    wait: Duration,
    /// No worker had begun when the caller was done.
    is_missed: bool,
}

impl ShareTiming {
    /// Whether a worker was so late that it was most likely interrupted.
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

/// Where the caller leaves a share for one worker. Its own cache line.
#[repr(align(128))]
struct Slot {
    state: AtomicU32,
    /// Counts up with every lease.
    offers: AtomicU32,
    /// The worker sleeps, or is about to.
    asleep: AtomicBool,
    /// The worker may go.
    closed: AtomicBool,
    /// Written by the caller while the state is FREE, read by the worker while it is TAKEN.
    share: UnsafeCell<Option<(Task<'static>, Range<usize>)>>,
}

// SAFETY: the state says who may touch the share.
unsafe impl Sync for Slot {}

impl Slot {
    /// Does the share that lies here, if there is one.
    fn serve(&self) -> bool {
        // Looking is cheap, an exchange takes the line from the caller even if it fails.
        let taken = self.state.load(Ordering::Relaxed) == OFFERED
            && self.state.compare_exchange(OFFERED, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if taken {
            // Marks the end even if the task panics: the caller waits for it.
            struct End<'a>(&'a AtomicU32, u32);
            impl Drop for End<'_> {
                fn drop(&mut self) {
                    self.0.store(self.1, Ordering::Release);
                }
            }
            let mut end = End(&self.state, FAILED);
            // SAFETY: TAKEN: the share is this thread's until the end is marked, and the caller waits that long.
            if let Some((task, range)) = unsafe { (*self.share.get()).take() } {
                task(range);
            }
            end.1 = DONE;
        }
        taken
    }

    fn stand_by(&self) {
        let mut seen = 0;
        while !self.closed.load(Ordering::Relaxed) {
            let mut last = Instant::now();
            self.asleep.store(false, Ordering::Relaxed);
            while last.elapsed() < SPIN {
                for _ in 0..256 {
                    if self.serve() {
                        last = Instant::now();
                    }
                    std::hint::spin_loop();
                }
            }
            self.asleep.store(true, Ordering::SeqCst);
            loop {
                std::thread::park_timeout(SLEEP);
                let offers = self.offers.load(Ordering::Relaxed);
                let busy = offers.wrapping_sub(seen) >= BUSY;
                seen = offers;
                if busy || self.closed.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    }
}

/// The caller and its workers, who are hired when there is first work for them.
pub(crate) struct ThreadPool {
    threads: usize,
    workers: OnceLock<Workers>,
    /// One caller at a time; a second one works alone.
    in_use: AtomicBool,
    backoff: Backoff,
    tuner: ShareTuner,
}

impl ThreadPool {
    /// `threads` in all.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            workers: OnceLock::new(),
            in_use: AtomicBool::new(false),
            backoff: Backoff::default(),
            tuner: ShareTuner::default(),
        }
    }

    /// Threads in all, the caller's among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Hires the workers now; fewer if the system gives no more.
    pub fn start(&self) -> &Workers {
        self.workers.get_or_init(|| Workers::new(self.threads - 1))
    }

    /// Short work: `task` over `0..parts`, neighbouring parts for each thread, as far as sharing pays. What it computes
    /// must not depend on how the parts are shared. All parts are `work`, in units that mean the same from call to call.
    /// Makes no system call; workers that sleep are left alone.
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
        // Another caller may have the workers meanwhile.
        drop(lease);
        let start = notes.then(Instant::now);
        task(0..parts);
        if let Some(start) = start {
            tried.note(0, start.elapsed());
        }
    }

    /// Long work: `task` for each of `0..parts`, by whoever is free. Wakes workers that sleep.
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

    /// Wakes workers before much short work.
    pub fn wake(&self) {
        if let Some(lease) = self.lease(self.threads) {
            lease.wake();
        }
    }

    /// The pool for the caller, if it has `threads`, more than one, and nobody else uses it.
    fn lease(&self, threads: usize) -> Option<Lease<'_>> {
        if threads <= 1 || self.in_use.swap(true, Ordering::Acquire) {
            return None;
        }
        let workers = self.start();
        let threads = threads.min(workers.slots.len() + 1);
        // Dropped, and the pool with it, where the system gives no threads.
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
            let Ok(thread) = std::thread::Builder::new().name("wgru".into()).spawn(move || theirs.stand_by()) else {
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
            // Its panic was reported by the share that it had.
            _ = thread.join();
        }
    }
}

/// A pool that its caller has to itself.
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

    /// Runs `task` over `0..parts`, of which workers get the last `helped`, as evenly as whole parts can be.
    fn run(&self, parts: usize, helped: usize, task: Task<'_>) -> ShareTiming {
        let own = parts - helped;
        let end = |workers: usize| own + helped * workers / (self.threads - 1);
        // SAFETY: `open` is dropped before the borrow ends, and then no worker has the task, nor will have it.
        let task_of_helpers = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        let mut open = InFlight { slots: &self.workers.slots[..self.threads - 1], task, failed: false };
        for (i, slot) in open.slots.iter().enumerate() {
            // SAFETY: FREE: every caller leaves all slots so.
            unsafe { *slot.share.get() = Some((task_of_helpers, end(i)..end(i + 1))) };
            // Only callers write it, one at a time.
            slot.offers.store(slot.offers.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            slot.state.store(OFFERED, Ordering::Release);
        }
        let start = Instant::now();
        task(0..own);
        let own = start.elapsed();
        let is_missed = open.collect();
        assert!(!open.failed, "a share of the work panicked");
        ShareTiming { own, wait: start.elapsed() - own, is_missed }
    }
}

/// Work that lies on the slots; nobody has it any more once this is dropped.
struct InFlight<'a> {
    slots: &'a [Arc<Slot>],
    task: Task<'a>,
    failed: bool,
}

impl InFlight<'_> {
    /// Does the shares that nobody began, and waits for the others; whether there were any of the former.
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
                std::hint::spin_loop();
            }
            self.failed |= slot.state.load(Ordering::Relaxed) == FAILED;
            slot.state.store(FREE, Ordering::Relaxed);
        }
    }
}

/// The share on this slot, unless a worker has begun.
fn take_back(slot: &Slot) -> Option<Range<usize>> {
    // Looking is cheap, an exchange takes the line from the worker even if it fails.
    if slot.state.load(Ordering::Relaxed) != OFFERED {
        return None;
    }
    slot.state.compare_exchange(OFFERED, FREE, Ordering::Acquire, Ordering::Relaxed).ok()?;
    // SAFETY: FREE: the share is the caller's again.
    unsafe { (*slot.share.get()).take() }.map(|(_, range)| range)
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // After a panic of the caller's own share, some still lie there.
        self.slots.iter().for_each(|slot| _ = take_back(slot));
        self.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::super::share_tuner::ALONE;
    use super::*;

    #[test]
    fn every_part_is_done_once_however_many_threads() {
        for threads in [1, 2, 3, 5] {
            let pool = ThreadPool::new(threads);
            for round in 0..2000 {
                let parts = round % 9;
                let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                share_alike(&pool, parts, &|range| range.for_each(|i| _ = counts[i].fetch_add(1, Ordering::Relaxed)));
                pool.over(parts, |i| _ = counts[i].fetch_add(1, Ordering::Relaxed));
                assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 2), "{threads} threads, {parts} parts");
            }
        }
    }

    /// Shares as if that had long been the fastest.
    fn share_alike(pool: &ThreadPool, parts: usize, task: Task<'_>) {
        pool.tuner.of(1).share_alike();
        pool.share(parts, 1, task);
    }

    /// The rule in its place: shares to be done alone are the caller's, all parts at once, and are counted off.
    #[test]
    fn a_team_whose_threads_take_turns_leaves_the_work_to_the_caller() {
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
    fn two_callers_at_once_do_not_meet() {
        let pool = ThreadPool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..5000 {
                        let sum = AtomicUsize::new(0);
                        share_alike(&pool, 8, &|range| _ = sum.fetch_add(range.sum::<usize>(), Ordering::Relaxed));
                        assert_eq!(sum.into_inner(), 28);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_works_on() {
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
