//! The driver thread of a device. It submits work for futures and for paced devices, and polls the device so that
//! finished work runs its callbacks. Futures therefore never block the thread that polls them.
//!
//! On our own devices, the driver thread polls. On an adopted device it leaves polling to the host: the host's `poll`
//! and `submit` complete our readbacks, too. The thread polls only while the host does neither. wgpu runs callbacks on
//! the polling thread, so this keeps the host's callbacks on the host's threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use super::events::State;
use super::{Core, lock};
use crate::error::{Error, Result};

/// Time without a poll after which the host is assumed not to poll.
const PATIENCE: Duration = Duration::from_millis(60);
/// Interval between two polls by this thread.
const TICK: Duration = Duration::from_micros(300);
/// Longest wait within one poll. A waiting poll keeps other threads from destroying resources.
const LONGEST: Duration = Duration::from_millis(5);
/// How long this thread polls for a gap between the host's submissions.
const GAP: Duration = Duration::from_millis(250);

/// Starts the driver thread on first use, and stops it.
#[derive(Default)]
pub(super) struct Driver(Mutex<Option<JoinHandle<()>>>);

impl Driver {
    /// Asks the thread to submit everything recorded so far.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the thread cannot be spawned.
    pub fn submit_later(&self, core: &Arc<Core>) -> Result<()> {
        let recorded = lock(&core.recorder).recorded();
        core.events.update(|state| state.wanted = state.wanted.max(recorded));
        let mut thread = lock(&self.0);
        if thread.is_none() {
            let core = core.clone();
            let run = move || {
                // A host callback that panics during our submission or poll must not end this thread.
                let run = || Run { beat: Beat::new(&core), core: core.clone(), host_polls: true }.run();
                while catch_unwind(AssertUnwindSafe(run)).is_err() {}
            };
            let spawned = thread::Builder::new().name("wgru".into()).spawn(run);
            *thread = Some(spawned.map_err(|e| Error::Gpu(format!("cannot start the device's driver thread: {e}")))?);
        }
        Ok(())
    }

    /// Stops the thread after its current step, and joins it.
    pub fn close(&self, core: &Core) {
        core.events.update(|state| state.is_closed = true);
        if let Some(thread) = lock(&self.0).take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// The state of the running thread.
struct Run {
    core: Arc<Core>,
    beat: Beat,
    /// Whether the host was polling when last observed.
    host_polls: bool,
}

impl Run {
    fn run(mut self) {
        loop {
            let taken = lock(&self.core.recorder).taken();
            let has_work = |state: &State| state.is_closed || state.wanted > taken || !state.readbacks.is_empty();
            if !self.core.events.wait(Duration::from_secs(3600), has_work) {
                continue;
            }
            let (is_closed, is_wanted) = {
                let state = self.core.events.state();
                (state.is_closed, state.wanted > taken)
            };
            if is_closed {
                return;
            }
            if is_wanted {
                self.submit();
            } else {
                // Until the readbacks have arrived, or more work is requested.
                let is_done = |state: &State| state.readbacks.is_empty() || state.wanted > taken;
                self.wait(Duration::ZERO, is_done);
            }
            if self.core.faults.check_known().is_err() {
                self.core.abandon();
            }
        }
    }

    /// Submits one batch. On a paced device, waits until the GPU has finished it.
    fn submit(&mut self) {
        let (size, slice) = {
            let pace = lock(&self.core.pace);
            (pace.size(), pace.slice())
        };
        if self.core.is_adopted && self.core.report.is_software() {
            // Back-to-back frames leave short gaps. A host that polls only once per frame would notice them too late,
            // so this thread polls for a while. A small readback can wait for the host.
            let has_backlog = slice.is_some() && lock(&self.core.recorder).is_full(size);
            self.wait_until_idle(if has_backlog { GAP } else { Duration::ZERO });
        }
        let Some(slice) = slice else {
            self.core.submit_batch(size);
            return self.core.caught_up();
        };
        let work = self.core.submit_batch(size);
        // Start timing after `submit`: on a software adapter, `submit` also executes earlier work of the host.
        let begin = Instant::now();
        if work > 0 {
            self.core.watch_submitted();
            self.wait(2 * slice, |state| state.running == 0);
            lock(&self.core.pace).learn(work, begin.elapsed());
        }
        self.core.caught_up();
    }

    /// Waits until the GPU is idle. The `submit` of a software adapter executes queued work on the calling thread, and
    /// holds wgpu locks meanwhile that the host's `poll` needs.
    fn wait_until_idle(&mut self, eager: Duration) {
        self.core.watch_submitted();
        self.wait(eager, |state| state.running == 0);
    }

    /// Waits until `is_done` holds, or the device is closed or lost. On our own devices, this thread polls. On an
    /// adopted device it polls for the duration `eager`, and after that only while the host does not.
    fn wait(&mut self, eager: Duration, is_done: impl Fn(&State) -> bool) {
        let is_done = |state: &State| state.is_closed || is_done(state);
        let begin = Instant::now();
        let (mut observed, mut looked) = (begin, begin);
        loop {
            if self.core.events.wait(Duration::ZERO, is_done) || self.core.faults.check_known().is_err() {
                return;
            }
            // Check for a loss: there may be no other call that detects it.
            if looked.elapsed() > PATIENCE && self.core.faults.is_lost() {
                return;
            }
            if looked.elapsed() > PATIENCE {
                looked = Instant::now();
            }
            if !self.core.is_adopted {
                let how = wgpu::PollType::Wait { submission_index: None, timeout: Some(LONGEST) };
                if self.core.faults.poll(how).is_err() {
                    return;
                }
                continue;
            }
            if begin.elapsed() < eager || !self.host_polls {
                if self.core.faults.poll(wgpu::PollType::Poll).is_err() {
                    return;
                }
                self.core.events.wait(TICK, is_done);
            } else {
                self.core.events.wait(PATIENCE / 4, is_done);
            }
            if self.beat.has_come(&self.core) {
                (self.host_polls, observed) = (true, Instant::now());
            } else if observed.elapsed() > PATIENCE {
                self.host_polls = false;
            }
        }
    }
}

/// Detects whether the host polls the device. A small buffer is mapped, and the mapping completes during the next poll
/// by any thread. Its callback runs on the polling thread.
struct Beat {
    buffer: Option<wgpu::Buffer>,
    came: Arc<AtomicBool>,
    by_other: Arc<AtomicBool>,
    is_armed: bool,
    thread: ThreadId,
}

impl Beat {
    fn new(core: &Core) -> Self {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let buffer = core.buffers.create("driver thread", "wgru beat", 16, usage).ok();
        Self { buffer, came: Arc::default(), by_other: Arc::default(), is_armed: false, thread: thread::current().id() }
    }

    /// Whether another thread has polled since the last call.
    fn has_come(&mut self, core: &Core) -> bool {
        let Some(buffer) = self.buffer.as_ref().filter(|_| core.is_adopted) else { return false };
        if self.is_armed && !self.came.load(Ordering::Acquire) {
            return false;
        }
        if self.is_armed {
            let _ = core.faults.guard("driver thread", || buffer.unmap());
        }
        self.came.store(false, Ordering::Release);
        let (came, by_other, thread) = (self.came.clone(), self.by_other.clone(), self.thread);
        let _ = core.faults.guard("driver thread", || {
            buffer.slice(..).map_async(wgpu::MapMode::Read, move |_| {
                by_other.fetch_or(thread::current().id() != thread, Ordering::AcqRel);
                came.store(true, Ordering::Release);
            });
        });
        self.is_armed = true;
        self.by_other.swap(false, Ordering::AcqRel)
    }
}
