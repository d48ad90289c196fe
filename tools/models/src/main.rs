//! Checks the library's thread pool, `src/cpu/thread_pool.rs` itself, in every interleaving of its threads, with every
//! value that its atomics may return. loom ends a model with a message at the first access of two threads to the same
//! memory without an order between them, at a deadlock, and at a failed assertion.
//!
//!     cargo run --manifest-path tools/models/Cargo.toml [MODEL…]

#[allow(dead_code, reason = "models use a part of the pool")]
#[path = "../../../src/cpu/thread_pool.rs"]
mod thread_pool;

mod share_tuner;
mod sync;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use loom::cell::UnsafeCell;
use thread_pool::ThreadPool;

/// Counts how often each part ran. loom refuses a count that two threads may change at once, or that the caller may read
/// before a worker's change.
struct Parts(Vec<UnsafeCell<u32>>);

// SAFETY: loom checks every access.
unsafe impl Sync for Parts {}

impl Parts {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| UnsafeCell::new(0)).collect())
    }

    fn run(&self, part: usize) {
        // SAFETY: loom checks that no other thread uses the part.
        self.0[part].with_mut(|count| unsafe { *count += 1 });
    }

    fn all(&self) -> Vec<u32> {
        // SAFETY: as above.
        self.0.iter().map(|count| count.with(|count| unsafe { *count })).collect()
    }
}

/// Short work, twice: a share is taken back, or begun by the worker at any moment before.
fn share() {
    let pool = ThreadPool::new(2);
    for _ in 0..2 {
        let parts = Parts::new(2);
        pool.share(2, 1, &|range| range.for_each(|part| parts.run(part)));
        assert_eq!(parts.all(), [1, 1]);
    }
}

/// Long work, which wakes the worker first.
fn over() {
    let pool = ThreadPool::new(2);
    let parts = Parts::new(3);
    pool.over(3, |part| parts.run(part));
    assert_eq!(parts.all(), [1, 1, 1]);
}

/// One share for each of two workers.
fn workers() {
    let pool = ThreadPool::new(3);
    let parts = Parts::new(3);
    pool.share(3, 1, &|range| range.for_each(|part| parts.run(part)));
    assert_eq!(parts.all(), [1, 1, 1]);
}

/// A panic in the caller's share or in the worker's reaches the caller, which then owns all parts again. The pool keeps
/// working.
fn panic_in(bad: usize) {
    let pool = ThreadPool::new(2);
    let parts = Parts::new(2);
    let task = |part| {
        parts.run(part);
        assert!(part != bad, "expected by the model");
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| pool.share(2, 1, &|range| range.for_each(task))));
    assert!(outcome.is_err());
    let counts = parts.all();
    assert!(counts[bad] == 1 && counts.iter().all(|&count| count <= 1), "{counts:?}");
    let parts = Parts::new(2);
    pool.share(2, 1, &|range| range.for_each(|part| parts.run(part)));
    assert_eq!(parts.all(), [1, 1]);
}

/// Two callers: one of them works alone while the other has the worker, and the worker changes hands in order.
fn callers() {
    let pool = Arc::new(ThreadPool::new(2));
    let call = |pool: &ThreadPool| {
        let parts = Parts::new(2);
        pool.share(2, 1, &|range| range.for_each(|part| parts.run(part)));
        assert_eq!(parts.all(), [1, 1]);
    };
    pool.start();
    let other = loom::thread::spawn({
        let pool = pool.clone();
        move || call(&pool)
    });
    call(&pool);
    other.join().expect("no panic");
}

/// A worker that naps without a limit still ends with the pool, whenever it fell asleep.
fn close() {
    let pool = ThreadPool::new(2);
    pool.wake();
}

/// A model: its name, whether naps end by themselves, the most preemptions explored, and its function.
type Model = (&'static str, bool, Option<usize>, fn());

const MODELS: [Model; 8] = [
    ("share", false, None, share),
    ("over", false, None, over),
    ("workers", false, Some(3), workers),
    ("panic of the caller", false, None, || panic_in(0)),
    ("panic of the worker", false, None, || panic_in(1)),
    ("callers", false, Some(4), callers),
    ("naps", true, Some(3), over),
    ("close", false, None, close),
];

fn main() {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let chosen = MODELS.iter().filter(|(name, ..)| only.is_empty() || only.iter().any(|only| only == name));
    static IS_QUIET: AtomicBool = AtomicBool::new(false);
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.payload().downcast_ref::<&str>().copied()).unwrap_or_default();
        let is_expected = ["expected by the model", "a part of the work panicked"].contains(&text);
        if !(is_expected && IS_QUIET.load(Ordering::Relaxed)) {
            report(panic);
        }
    }));
    let mut count = 0;
    for &(name, naps_end, preemptions, model) in chosen {
        sync::NAPS_END.store(naps_end, Ordering::Relaxed);
        IS_QUIET.store(name.starts_with("panic"), Ordering::Relaxed);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        builder.max_branches = 10_000;
        let (start, runs) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        builder.check({
            let runs = runs.clone();
            move || {
                runs.fetch_add(1, Ordering::Relaxed);
                model();
            }
        });
        let bound = preemptions.map_or(String::new(), |most| format!(" with at most {most} preemptions"));
        println!("{name}: {} interleavings{bound}, {:.1?}", runs.load(Ordering::Relaxed), start.elapsed());
        count += 1;
    }
    assert!(count > 0, "no model of these names: {only:?}");
}
