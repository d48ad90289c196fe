//! Primitives of the thread pool. `tools/models` compiles the pool with loom's instead, to check its hand-over in every
//! interleaving of the threads.

pub use std::hint::spin_loop;
pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
pub use std::thread::{Builder, JoinHandle, park_timeout};
pub use std::time::Instant;

/// Number of times that a worker polls for a share between two readings of the clock.
pub const POLLS: usize = 256;

/// `std::cell::UnsafeCell` with loom's interface.
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with the address of the value. Only `f` may use the address.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
