//! Liveness and validity of a buffer's elements: whether a tensor or a command needs them, and whether they are
//! defined.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::lock;
use crate::error::{Error, Result};

/// State of the elements of one [`Memory`](super::Memory). Recorded commands share it, because the memory may be
/// dropped before they are submitted.
#[derive(Default)]
pub(super) struct Content {
    /// Set when the last tensor of this memory is dropped.
    dropped: AtomicBool,
    /// Number of the last sweep for dead commands that found a later command in need of the elements.
    needed: AtomicU64,
    is_void: AtomicBool,
    void: Mutex<Option<Void>>,
    /// Number of the host's unsubmitted encoders that read the elements, and of those that write them.
    lent: [AtomicU32; 2],
}

/// Why elements are undefined.
#[derive(Clone, Debug)]
pub(super) enum Void {
    /// The kernel that should have written them failed. A browser does not tell which.
    #[cfg(not(target_arch = "wasm32"))]
    Failed { kernel: &'static str, why: String },
    /// The driver had no memory for the submission.
    #[cfg(not(target_arch = "wasm32"))]
    OutOfMemory { kernel: &'static str },
    /// The work was cancelled before it was submitted.
    Cancelled,
    /// The host never confirmed that it submitted the encoder with the work.
    Discarded,
}

impl Void {
    /// The reason why the results of `kernel` are undefined after it failed with `error`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from(kernel: &'static str, error: &Error) -> Self {
        match error {
            Error::OutOfMemory { .. } => Self::OutOfMemory { kernel },
            error => Self::Failed { kernel, why: error.to_string() },
        }
    }

    #[cold]
    pub fn error(self) -> Error {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Self::Failed { kernel, why } => Error::Gpu(format!("{kernel} did not run: {why}")),
            #[cfg(not(target_arch = "wasm32"))]
            Self::OutOfMemory { kernel } => Error::OutOfMemory { op: kernel },
            Self::Cancelled => Error::Stopped("the work that writes this tensor was cancelled".into()),
            Self::Discarded => Error::Stopped("`EncodedWork::submitted` was not called for this tensor's work".into()),
        }
    }
}

impl Content {
    /// Records that the last tensor of this memory was dropped.
    pub fn release(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Whether the elements are live: owned by a tensor, or needed by a later command according to sweep number
    /// `sweep`.
    pub fn is_needed(&self, sweep: u64) -> bool {
        !self.dropped.load(Ordering::Acquire) || self.needed.load(Ordering::Relaxed) == sweep
    }

    pub fn need(&self, sweep: u64) {
        self.needed.store(sweep, Ordering::Relaxed);
    }

    /// Marks the elements as undefined.
    pub fn void(&self, why: Void) {
        *lock(&self.void) = Some(why);
        self.is_void.store(true, Ordering::Release);
    }

    /// Marks the elements as defined again, after all of them were written.
    pub fn fill(&self) {
        if self.is_void.swap(false, Ordering::AcqRel) {
            *lock(&self.void) = None;
        }
    }

    /// The reason, if the elements are undefined.
    pub fn why_void(&self) -> Option<Void> {
        self.is_void.load(Ordering::Acquire).then(|| lock(&self.void).clone()).flatten()
    }

    /// Returns an error if the elements are undefined, or if an unsubmitted encoder of the host writes them.
    pub fn check_read(&self) -> Result<()> {
        if let Some(why) = self.why_void() {
            return Err(why.error());
        }
        match self.lent[1].load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(lent()),
        }
    }

    /// Returns an error if an unsubmitted encoder of the host reads or writes the elements.
    pub fn check_write(&self) -> Result<()> {
        match self.lent.iter().all(|n| n.load(Ordering::Acquire) == 0) {
            true => Ok(()),
            false => Err(lent()),
        }
    }

    /// Registers an encoder of the host that reads the elements, or writes them if `writes` is set.
    pub fn lend(&self, writes: bool) {
        self.lent[usize::from(writes)].fetch_add(1, Ordering::AcqRel);
    }

    pub fn take_back(&self, writes: bool) {
        self.lent[usize::from(writes)].fetch_sub(1, Ordering::AcqRel);
    }
}

#[cold]
fn lent() -> Error {
    Error::value(
        "Device::encode_into",
        "tensor",
        "one in no pending encoder: call EncodedWork::submitted() after Queue::submit()",
        "one in a pending encoder",
    )
}
