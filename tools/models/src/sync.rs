//! Stands for `src/cpu/sync.rs`: the same names from loom, and a clock and naps that a model can explore.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use loom::sync::{Condvar, Mutex};

pub use loom::cell::UnsafeCell;
pub use loom::hint::spin_loop;
pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

/// One look for a share between two looks at the clock; more only repeat the same interleavings.
pub const POLLS: usize = 1;

/// Whether a nap ends by itself. Otherwise only a wake-up ends it.
pub static NAPS_END: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);

/// A clock on which no time passes until it is read a second time, and then more than any limit.
pub struct Instant(Cell<bool>);

impl Instant {
    pub fn now() -> Self {
        Self(Cell::new(false))
    }

    pub fn elapsed(&self) -> Duration {
        if self.0.replace(true) { Duration::from_secs(1) } else { Duration::ZERO }
    }
}

/// The token of a thread. loom 0.7 has `park` too, but its `unpark` is lost if the thread has just spun.
#[derive(Clone, Default)]
pub struct Thread(Arc<(Mutex<bool>, Condvar)>);

impl Thread {
    pub fn unpark(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_one();
    }

    fn nap(&self, ends: bool) {
        let mut is_woken = self.0.0.lock().expect("no panic");
        while !*is_woken && !ends {
            is_woken = self.0.1.wait(is_woken).expect("no panic");
        }
        if !std::mem::take(&mut *is_woken) {
            drop(is_woken);
            loom::thread::yield_now();
        }
    }
}

loom::thread_local! {
    static CURRENT: RefCell<Option<Thread>> = RefCell::new(None);
}

pub fn park_timeout(_: Duration) {
    let thread = CURRENT.with(|thread| thread.borrow().clone()).expect("a thread of `Builder`");
    thread.nap(NAPS_END.load(Ordering::Relaxed));
}

pub struct JoinHandle<T> {
    thread: Thread,
    handle: loom::thread::JoinHandle<T>,
}

impl<T> JoinHandle<T> {
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    pub fn join(self) -> std::thread::Result<T> {
        self.handle.join()
    }
}

/// `std::thread::Builder`. A panic ends only its thread; loom's would end the model.
pub struct Builder(loom::thread::Builder);

impl Builder {
    pub fn new() -> Self {
        Self(loom::thread::Builder::new())
    }

    pub fn name(self, name: String) -> Self {
        Self(self.0.name(name))
    }

    pub fn spawn(self, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let thread = Thread::default();
        let own = thread.clone();
        let handle = self.0.spawn(move || {
            CURRENT.with(|thread| thread.replace(Some(own)));
            _ = catch_unwind(AssertUnwindSafe(run));
        })?;
        Ok(JoinHandle { thread, handle })
    }
}
