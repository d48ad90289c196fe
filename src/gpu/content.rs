//! The state of a buffer's elements: whether anyone still wants them, and whether the work that writes them failed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::lock;
use crate::error::{Error, Result};

/// State of the elements of one [`Memory`](super::Memory), which may be dropped before the work that uses it is submitted.
#[derive(Default)]
pub(super) struct Content {
    /// Whether a tensor still has this memory.
    dropped: AtomicBool,
    /// The last sweep of the recorded commands that found a later reader.
    needed: AtomicU64,
    is_void: AtomicBool,
    void: Mutex<Option<Void>>,
    /// Encoders of the host that read the elements, and those that write them, before they are submitted.
    lent: [AtomicU32; 2],
}

/// Why elements are undefined.
#[derive(Clone, Debug)]
pub(super) enum Void {
    /// The kernel that should have written them failed.
    Failed { kernel: &'static str, why: String },
    /// The driver had no memory for the submission.
    OutOfMemory { kernel: &'static str },
    /// The work was cancelled before it was submitted.
    Cancelled,
    /// The host dropped the encoder that held the work.
    Discarded,
}

impl Void {
    /// Why the elements that `kernel` writes are undefined, after `error`.
    pub fn from(kernel: &'static str, error: &Error) -> Self {
        match error {
            Error::OutOfMemory { .. } => Self::OutOfMemory { kernel },
            error => Self::Failed { kernel, why: error.to_string() },
        }
    }

    pub fn error(self) -> Error {
        match self {
            Self::Failed { kernel, why } => Error::Gpu(format!("{kernel} did not run: {why}")),
            Self::OutOfMemory { kernel } => Error::OutOfMemory { op: kernel },
            Self::Cancelled => Error::Stopped("the work that writes this tensor was cancelled".into()),
            Self::Discarded => Error::Stopped(
                "the work that writes this tensor was recorded into an encoder of the host, and `EncodedWork::submitted` \
                 was not called"
                    .into(),
            ),
        }
    }
}

impl Content {
    /// To be called when the last tensor of this memory is dropped.
    pub fn release(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Whether the elements are wanted: by a tensor, or by a later command that sweep number `sweep` found needed.
    pub fn is_needed(&self, sweep: u64) -> bool {
        !self.dropped.load(Ordering::Acquire) || self.needed.load(Ordering::Relaxed) == sweep
    }

    pub fn need(&self, sweep: u64) {
        self.needed.store(sweep, Ordering::Relaxed);
    }

    /// Declares the elements undefined.
    pub fn void(&self, why: Void) {
        *lock(&self.void) = Some(why);
        self.is_void.store(true, Ordering::Release);
    }

    /// Declares the elements defined again: all were written.
    pub fn fill(&self) {
        if self.is_void.swap(false, Ordering::AcqRel) {
            *lock(&self.void) = None;
        }
    }

    /// Why the elements are undefined, if they are.
    pub fn why_void(&self) -> Option<Void> {
        self.is_void.load(Ordering::Acquire).then(|| lock(&self.void).clone()).flatten()
    }

    /// Refuses elements that are undefined, or that an encoder of the host still has to write.
    pub fn check_read(&self) -> Result<()> {
        if let Some(why) = self.why_void() {
            return Err(why.error());
        }
        match self.lent[1].load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(lent()),
        }
    }

    /// Refuses to write elements that an encoder of the host still has to read or write.
    pub fn check_write(&self) -> Result<()> {
        match self.lent.iter().all(|n| n.load(Ordering::Acquire) == 0) {
            true => Ok(()),
            false => Err(lent()),
        }
    }

    /// Counts an encoder of the host that reads, or writes, the elements.
    pub fn lend(&self, writes: bool) {
        self.lent[usize::from(writes)].fetch_add(1, Ordering::AcqRel);
    }

    pub fn take_back(&self, writes: bool) {
        self.lent[usize::from(writes)].fetch_sub(1, Ordering::AcqRel);
    }
}

fn lent() -> Error {
    Error::value(
        "Device::encode_into",
        "tensor",
        "one whose encoder was submitted: call EncodedWork::submitted() after Queue::submit()",
        "one that a pending encoder of the host uses",
    )
}
