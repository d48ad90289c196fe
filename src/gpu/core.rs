//! State that a device shares with its driver thread, and submission of recorded work.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(not(target_arch = "wasm32"))]
use std::thread::{self, ThreadId};
#[cfg(not(target_arch = "wasm32"))]
use std::time::Duration;

use super::adapter::AdapterReport;
use super::buffers::Buffers;
#[cfg(not(target_arch = "wasm32"))]
use super::content::Void;
use super::events::Events;
use super::faults::Faults;
use super::memory::Pool;
use super::pace::Pace;
use super::recorder::{Recorder, Size};
use super::submit::{Index, Submitter};
use crate::error::Result;

/// How long a failed allocation waits for the GPU to release memory.
#[cfg(not(target_arch = "wasm32"))]
const RECLAIM: Duration = Duration::from_secs(10);

/// State that a device shares with its driver thread.
pub(super) struct Core {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub faults: Faults,
    pub buffers: Buffers,
    pub pool: Arc<Pool>,
    pub recorder: Mutex<Recorder>,
    pub submitter: Mutex<Submitter>,
    /// The thread that holds `submitter`.
    #[cfg(not(target_arch = "wasm32"))]
    pub submitting: Mutex<Option<ThreadId>>,
    pub pace: Mutex<Pace>,
    pub events: Events,
    #[cfg(not(target_arch = "wasm32"))]
    pub is_adopted: bool,
    pub report: AdapterReport,
}

/// Locks a mutex. A panic in a host callback, which wgpu runs in our calls, leaves the state as it is.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to submit. It stores its thread, so that wgpu callbacks that run within a submission do not wait for it.
pub(super) struct Turn<'a> {
    submitter: MutexGuard<'a, Submitter>,
    #[cfg(not(target_arch = "wasm32"))]
    thread: &'a Mutex<Option<ThreadId>>,
}

impl Deref for Turn<'_> {
    type Target = Submitter;

    fn deref(&self) -> &Submitter {
        &self.submitter
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Submitter {
        &mut self.submitter
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(self.thread) = None;
    }
}

impl Core {
    /// Waits for the right to submit. Returns `None` during a submission by this thread.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn turn(&self) -> Option<Turn<'_>> {
        let this = thread::current().id();
        if *lock(&self.submitting) == Some(this) {
            return None;
        }
        let submitter = lock(&self.submitter);
        *lock(&self.submitting) = Some(this);
        Some(Turn { submitter, thread: &self.submitting })
    }

    /// Waits for the right to submit. A browser runs no callbacks within its calls.
    #[cfg(target_arch = "wasm32")]
    pub fn turn(&self) -> Option<Turn<'_>> {
        Some(Turn { submitter: lock(&self.submitter) })
    }

    /// Submits the next batch and returns its estimated work.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn submit_batch(&self, size: Size) -> u64 {
        let Some(mut turn) = self.turn() else { return 0 };
        let batch = lock(&self.recorder).take(size);
        let work = batch.work;
        turn.submit(batch, || self.reclaim(), &self.events);
        work
    }

    /// Submits everything recorded so far.
    pub fn submit_all(&self, size: Size) -> Option<Index> {
        let last = self.submit_recorded(size);
        #[cfg(not(target_arch = "wasm32"))]
        self.caught_up();
        last
    }

    pub fn submit_recorded(&self, size: Size) -> Option<Index> {
        // Commands that a callback records during a submission go into the next one.
        let mut turn = self.turn()?;
        let until = lock(&self.recorder).recorded();
        let mut last = None;
        loop {
            let batch = {
                let mut recorder = lock(&self.recorder);
                if recorder.taken() >= until {
                    return last;
                }
                recorder.take(size)
            };
            last = turn.submit(batch, || self.reclaim(), &self.events).or(last);
        }
    }

    /// Frees dropped buffers that only recorded work still uses: submits that work, then has the driver free the
    /// buffers.
    pub fn free_dropped(&self) -> Result<()> {
        self.submit_all(Size::LARGEST);
        self.pool.trim();
        self.reclaim()
    }

    /// Waits until the GPU has finished, so that the driver can free unused buffers. Gives up after ten seconds: a long
    /// wait is better than an out-of-memory error.
    pub fn reclaim(&self) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        self.faults.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(RECLAIM) })?;
        Ok(())
    }

    /// Counts the work submitted so far as running until the GPU has finished it.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn watch_submitted(&self) {
        self.events.update(|state| state.running += 1);
        let events = self.events.clone();
        let watched = self.faults.guard("Queue::on_submitted_work_done", || {
            self.queue.on_submitted_work_done(move || {
                events.update(|state| state.running = state.running.saturating_sub(1));
            });
        });
        if watched.is_err() {
            self.events.update(|state| state.running = 0);
        }
    }

    /// Wakes futures that wait for the driver thread, unless it is still behind.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn caught_up(&self) {
        if !self.is_behind() {
            let waiting = self.events.update(|state| std::mem::take(&mut state.waiting));
            waiting.into_iter().for_each(|waiting| _ = waiting.send(()));
        }
    }

    /// Whether the driver thread is about to run out of commands to submit, given the number of recorded commands.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn is_idle(&self, recorded: u64) -> bool {
        const SOON: u64 = 64;
        self.events.state().wanted + SOON < recorded
    }

    /// Whether a paced device has more work recorded than its next two submissions hold.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn is_behind(&self) -> bool {
        let pace = lock(&self.pace);
        let size = pace.size();
        pace.slice().is_some() && lock(&self.recorder).is_full(Size { work: size.work.saturating_mul(2), ..size })
    }

    /// Drops recorded work that was not submitted; its results become undefined.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cancel(&self) {
        let commands = lock(&self.recorder).cancel();
        commands.into_iter().for_each(|command| command.refuse(Void::Cancelled));
        self.caught_up();
    }

    /// Wakes everything that waits for a lost device; readbacks complete with an error.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn abandon(&self) {
        self.cancel();
        let (readbacks, waiting) = self.events.update(|state| {
            (state.running, state.wanted) = (0, 0);
            (std::mem::take(&mut state.readbacks), std::mem::take(&mut state.waiting))
        });
        for (_, done) in readbacks {
            let _ = done.send(Err(self.faults.lost()));
        }
        waiting.into_iter().for_each(|waiting| _ = waiting.send(()));
    }
}
