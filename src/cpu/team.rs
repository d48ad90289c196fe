//! Threads that share work, however short.
//!
//! A step of a recurrent network takes a few microseconds: waking a thread costs more. A helper therefore spins while
//! work keeps coming, sees an offer within 0.1 µs, and sleeps when none comes. The caller never waits for a helper that
//! has not begun: it takes such a share back and does it itself.
#![allow(unsafe_code, reason = "work that borrows from its caller runs on other threads")]

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::pace::{Pace, TRIED, Turns};

/// How long a helper spins after its last work, and how long it then sleeps between looks.
const SPIN: Duration = Duration::from_micros(500);
const SLEEP: Duration = Duration::from_millis(1);
/// How long the caller waits for a helper, beside four times what its own share took, before that was most likely
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

/// How a shared call went.
struct Went {
    /// What the caller's own share took, and how long it then waited.
    own: Duration,
    wait: Duration,
    /// No helper had begun when the caller was done.
    is_missed: bool,
}

impl Went {
    /// Whether a helper was so late that it was most likely interrupted.
    fn is_late(&self) -> bool {
        self.wait > 4 * self.own + LATE
    }
}

/// States of a desk.
const FREE: u32 = 0;
const OFFERED: u32 = 1;
const TAKEN: u32 = 2;
const DONE: u32 = 3;
const FAILED: u32 = 4;

type Task<'a> = &'a (dyn Fn(Range<usize>) + Sync);

/// Where the caller leaves a share for one helper. Its own cache line.
#[repr(align(128))]
struct Desk {
    state: AtomicU32,
    /// Counts up with every offer.
    offers: AtomicU32,
    /// The helper sleeps, or is about to.
    asleep: AtomicBool,
    /// The helper may go.
    closed: AtomicBool,
    /// Written by the caller while the state is FREE, read by the helper while it is TAKEN.
    share: UnsafeCell<Option<(Task<'static>, Range<usize>)>>,
}

// SAFETY: the state says who may touch the share.
unsafe impl Sync for Desk {}

impl Desk {
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

/// The caller and its helpers, who are hired when there is first work for them.
pub(crate) struct Team {
    threads: usize,
    helpers: OnceLock<Helpers>,
    /// One caller at a time; a second one works alone.
    in_use: AtomicBool,
    turns: Turns,
    pace: Pace,
}

impl Team {
    /// `threads` in all.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            helpers: OnceLock::new(),
            in_use: AtomicBool::new(false),
            turns: Turns::default(),
            pace: Pace::default(),
        }
    }

    /// Threads in all, the caller's among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Hires the helpers now; fewer if the system gives no more.
    pub fn hire(&self) -> &Helpers {
        self.helpers.get_or_init(|| Helpers::new(self.threads - 1))
    }

    /// Short work: `task` over `0..parts`, neighbouring parts for each thread, as far as sharing pays. What it computes
    /// must not depend on how the parts are shared. All parts are `work`, in units that mean the same from call to call.
    /// Makes no system call; helpers that sleep are left alone.
    pub fn share(&self, parts: usize, work: usize, task: Task<'_>) {
        let Some(offer) = self.offer(self.threads.min(parts)) else { return task(0..parts) };
        let tried = self.pace.of(work);
        let (which, notes) = tried.choose();
        let helped = parts * TRIED[which] * (offer.threads - 1) / (4 * offer.threads);
        if helped > 0 && !self.turns.take_alone() {
            let went = offer.run(parts, helped, task);
            self.turns.note(went.is_late());
            if notes && !went.is_missed {
                tried.note(which, went.own + went.wait);
            }
            return;
        }
        // Another caller may have the helpers meanwhile.
        drop(offer);
        let start = notes.then(Instant::now);
        task(0..parts);
        if let Some(start) = start {
            tried.note(0, start.elapsed());
        }
    }

    /// Long work: `task` for each of `0..parts`, by whoever is free. Wakes helpers that sleep.
    pub fn over(&self, parts: usize, task: impl Fn(usize) + Sync) {
        let Some(offer) = self.offer(self.threads.min(parts)) else { return (0..parts).for_each(task) };
        offer.wake();
        let next = AtomicUsize::new(0);
        offer.run(offer.threads, offer.threads - 1, &|_| {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    break;
                }
                task(part);
            }
        });
    }

    /// Wakes helpers before much short work.
    pub fn wake(&self) {
        if let Some(offer) = self.offer(self.threads) {
            offer.wake();
        }
    }

    /// The team for the caller, if it has `threads`, more than one, and nobody else uses it.
    fn offer(&self, threads: usize) -> Option<Offer<'_>> {
        if threads <= 1 || self.in_use.swap(true, Ordering::Acquire) {
            return None;
        }
        let helpers = self.hire();
        let threads = threads.min(helpers.desks.len() + 1);
        // Dropped, and the team with it, where the system gives no threads.
        Some(Offer { team: self, helpers, threads }).filter(|_| threads > 1)
    }
}

pub(crate) struct Helpers {
    desks: Vec<Arc<Desk>>,
    threads: Vec<JoinHandle<()>>,
}

impl Helpers {
    fn new(count: usize) -> Self {
        let mut helpers = Self { desks: Vec::new(), threads: Vec::new() };
        for _ in 0..count {
            let desk = Arc::new(Desk {
                state: AtomicU32::new(FREE),
                offers: AtomicU32::new(0),
                asleep: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                share: UnsafeCell::new(None),
            });
            let theirs = desk.clone();
            let Ok(thread) = std::thread::Builder::new().name("wgru".into()).spawn(move || theirs.stand_by()) else {
                break;
            };
            helpers.desks.push(desk);
            helpers.threads.push(thread);
        }
        helpers
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        for desk in &self.desks {
            desk.closed.store(true, Ordering::Relaxed);
        }
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // Its panic was reported by the share that it had.
            _ = thread.join();
        }
    }
}

/// A team that its caller has to itself.
struct Offer<'a> {
    team: &'a Team,
    helpers: &'a Helpers,
    threads: usize,
}

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        self.team.in_use.store(false, Ordering::Release);
    }
}

impl Offer<'_> {
    fn wake(&self) {
        for (desk, thread) in self.helpers.desks.iter().zip(&self.helpers.threads).take(self.threads - 1) {
            desk.offers.fetch_add(BUSY, Ordering::SeqCst);
            if desk.asleep.load(Ordering::SeqCst) {
                thread.thread().unpark();
            }
        }
    }

    /// Runs `task` over `0..parts`, of which helpers get the last `helped`, as evenly as whole parts can be.
    fn run(&self, parts: usize, helped: usize, task: Task<'_>) -> Went {
        let own = parts - helped;
        let end = |helpers: usize| own + helped * helpers / (self.threads - 1);
        // SAFETY: `open` is dropped before the borrow ends, and then no helper has the task, nor will have it.
        let task_of_helpers = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        let mut open = Open { desks: &self.helpers.desks[..self.threads - 1], task, failed: false };
        for (i, desk) in open.desks.iter().enumerate() {
            // SAFETY: FREE: every caller leaves all desks so.
            unsafe { *desk.share.get() = Some((task_of_helpers, end(i)..end(i + 1))) };
            // Only callers write it, one at a time.
            desk.offers.store(desk.offers.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            desk.state.store(OFFERED, Ordering::Release);
        }
        let start = Instant::now();
        task(0..own);
        let own = start.elapsed();
        let is_missed = open.collect();
        assert!(!open.failed, "a share of the work panicked");
        Went { own, wait: start.elapsed() - own, is_missed }
    }
}

/// Work that lies on the desks; nobody has it any more once this is dropped.
struct Open<'a> {
    desks: &'a [Arc<Desk>],
    task: Task<'a>,
    failed: bool,
}

impl Open<'_> {
    /// Does the shares that nobody began, and waits for the others; whether there were any of the former.
    fn collect(&mut self) -> bool {
        let mut is_missed = false;
        for desk in self.desks {
            if let Some(range) = take_back(desk) {
                is_missed = true;
                (self.task)(range);
            }
        }
        self.wait();
        is_missed
    }

    fn wait(&mut self) {
        for desk in self.desks {
            while desk.state.load(Ordering::Acquire) == TAKEN {
                std::hint::spin_loop();
            }
            self.failed |= desk.state.load(Ordering::Relaxed) == FAILED;
            desk.state.store(FREE, Ordering::Relaxed);
        }
    }
}

/// The share on this desk, unless a helper has begun.
fn take_back(desk: &Desk) -> Option<Range<usize>> {
    // Looking is cheap, an exchange takes the line from the helper even if it fails.
    if desk.state.load(Ordering::Relaxed) != OFFERED {
        return None;
    }
    desk.state.compare_exchange(OFFERED, FREE, Ordering::Acquire, Ordering::Relaxed).ok()?;
    // SAFETY: FREE: the share is the caller's again.
    unsafe { (*desk.share.get()).take() }.map(|(_, range)| range)
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // After a panic of the caller's own share, some still lie there.
        self.desks.iter().for_each(|desk| _ = take_back(desk));
        self.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::super::pace::ALONE;
    use super::*;

    #[test]
    fn every_part_is_done_once_however_many_threads() {
        for threads in [1, 2, 3, 5] {
            let team = Team::new(threads);
            for round in 0..2000 {
                let parts = round % 9;
                let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                share_alike(&team, parts, &|range| range.for_each(|i| _ = counts[i].fetch_add(1, Ordering::Relaxed)));
                team.over(parts, |i| _ = counts[i].fetch_add(1, Ordering::Relaxed));
                assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 2), "{threads} threads, {parts} parts");
            }
        }
    }

    /// Shares as if that had long been the fastest.
    fn share_alike(team: &Team, parts: usize, task: Task<'_>) {
        team.pace.of(1).share_alike();
        team.share(parts, 1, task);
    }

    /// The rule in its place: shares to be done alone are the caller's, all parts at once, and are counted off.
    #[test]
    fn a_team_whose_threads_take_turns_leaves_the_work_to_the_caller() {
        let team = Team::new(2);
        team.turns.note(true);
        let caller = std::thread::current().id();
        for _ in 0..ALONE {
            let ranges = std::sync::Mutex::new(Vec::new());
            share_alike(&team, 8, &|range| ranges.lock().expect("no panic").push((range, std::thread::current().id())));
            assert_eq!(ranges.into_inner().expect("no panic"), [(0..8, caller)]);
        }
        assert!(!team.turns.take_alone(), "the next one is shared again");
        let ranges = std::sync::Mutex::new(Vec::new());
        share_alike(&team, 8, &|range| ranges.lock().expect("no panic").push(range));
        let mut ranges = ranges.into_inner().expect("no panic");
        ranges.sort_by_key(|range| range.start);
        assert_eq!(ranges, [0..4, 4..8]);
    }

    #[test]
    fn two_callers_at_once_do_not_meet() {
        let team = Team::new(2);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..5000 {
                        let sum = AtomicUsize::new(0);
                        share_alike(&team, 8, &|range| _ = sum.fetch_add(range.sum::<usize>(), Ordering::Relaxed));
                        assert_eq!(sum.into_inner(), 28);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_works_on() {
        let team = Team::new(2);
        for bad in [0, 7] {
            let task = |range: Range<usize>| assert!(!range.contains(&bad), "this share panics");
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| share_alike(&team, 8, &task)));
            assert!(result.is_err());
            let sum = AtomicUsize::new(0);
            share_alike(&team, 8, &|range| _ = sum.fetch_add(range.sum::<usize>(), Ordering::Relaxed));
            assert_eq!(sum.into_inner(), 28);
        }
    }
}
