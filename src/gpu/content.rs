//! Liveness and validity of a buffer's elements: whether a tensor or a command needs them, and whether they are
//! defined.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::{Arc, Mutex, atomic::AtomicU32};

#[cfg(not(target_arch = "wasm32"))]
use super::lock;
#[cfg(not(target_arch = "wasm32"))]
use crate::error::Error;
use crate::error::Result;

/// Counts of the host's unsubmitted encoders that read a buffer, and of those that write it. They belong to the
/// buffer, so that a later owner of a recycled buffer sees them, too.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type Lent = Arc<[AtomicU32; 2]>;

/// In a browser, nothing is recorded into host encoders.
#[cfg(target_arch = "wasm32")]
pub(super) type Lent = ();

/// Whether an unsubmitted host encoder uses the buffer.
pub(super) fn is_lent(_lent: &Lent) -> bool {
    #[cfg(target_arch = "wasm32")]
    return false;
    #[cfg(not(target_arch = "wasm32"))]
    _lent.iter().any(|n| n.load(Ordering::Acquire) > 0)
}

/// State of the elements of one [`Memory`](super::Memory). Recorded commands share it, because the memory may be
/// dropped before they are submitted.
#[derive(Default)]
pub(super) struct Content {
    /// Set when the last tensor of this memory is dropped.
    dropped: AtomicBool,
    /// Number of the last dead-code sweep in which a later command needed the elements.
    needed: AtomicU64,
    #[cfg(not(target_arch = "wasm32"))]
    is_void: AtomicBool,
    #[cfg(not(target_arch = "wasm32"))]
    void: Mutex<Option<Void>>,
    lent: Lent,
}

/// Why elements are undefined. Not used in browsers, which report errors only after the call.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Debug)]
pub(super) enum Void {
    /// The kernel that should have written them failed.
    Failed { kernel: &'static str, why: String },
    /// The driver ran out of memory for the submission.
    OutOfMemory { kernel: &'static str },
    /// The work was cancelled before it was submitted.
    Cancelled,
    /// The host never confirmed that it submitted the encoder with the work.
    Discarded,
}

#[cfg(not(target_arch = "wasm32"))]
impl Void {
    /// Returns why the results of `kernel` are undefined after it failed with `error`.
    pub fn from(kernel: &'static str, error: &Error) -> Self {
        match error {
            Error::OutOfMemory { .. } => Self::OutOfMemory { kernel },
            error => Self::Failed { kernel, why: error.to_string() },
        }
    }

    #[cold]
    pub fn error(self) -> Error {
        match self {
            Self::Failed { kernel, why } => Error::Gpu(format!("{kernel} did not run: {why}")),
            Self::OutOfMemory { kernel } => Error::OutOfMemory { op: kernel },
            Self::Cancelled => Error::Stopped("the work that writes this tensor was cancelled".into()),
            Self::Discarded => Error::Stopped("`EncodedWork::submitted` was not called for this tensor's work".into()),
        }
    }
}

impl Content {
    /// Creates the content of a buffer whose host encoders are counted in `lent`.
    pub fn of(lent: Lent) -> Self {
        Self { lent, ..Self::default() }
    }

    pub fn lent(&self) -> &Lent {
        &self.lent
    }

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
    #[cfg(not(target_arch = "wasm32"))]
    pub fn void(&self, why: Void) {
        let mut void = lock(&self.void);
        *void = Some(why);
        self.is_void.store(true, Ordering::Release);
    }

    /// Marks the elements as defined again, after all of them were written.
    pub fn fill(&self) {
        #[cfg(not(target_arch = "wasm32"))]
        if self.is_void.load(Ordering::Acquire) {
            let mut void = lock(&self.void);
            *void = None;
            self.is_void.store(false, Ordering::Release);
        }
    }

    /// Returns why the elements are undefined, or `None` if they are defined.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn why_void(&self) -> Option<Void> {
        self.is_void.load(Ordering::Acquire).then(|| lock(&self.void).clone()).flatten()
    }

    /// Returns an error if the elements are undefined, or if an unsubmitted host encoder writes them.
    pub fn check_read(&self) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(why) = self.why_void() {
            return Err(why.error());
        }
        #[cfg(not(target_arch = "wasm32"))]
        if self.lent[1].load(Ordering::Acquire) > 0 {
            return Err(lent());
        }
        Ok(())
    }

    /// Returns an error if an unsubmitted host encoder reads or writes the elements.
    pub fn check_write(&self) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        if is_lent(&self.lent) {
            return Err(lent());
        }
        Ok(())
    }

    /// Registers a host encoder that reads the elements, or writes them if `writes` is set.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn lend(&self, writes: bool) {
        self.lent[usize::from(writes)].fetch_add(1, Ordering::AcqRel);
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub fn take_back(&self, writes: bool) {
        self.lent[usize::from(writes)].fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[cold]
fn lent() -> Error {
    Error::value(
        "Device::encode_into",
        "tensor",
        "one in no pending encoder: call EncodedWork::submitted() after Queue::submit()",
        "one in a pending encoder",
    )
}
