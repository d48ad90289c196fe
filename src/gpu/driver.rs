//! The driver thread of a device: submits what futures and paced work ask for, and sees to it that finished work is
//! noticed. So a future never blocks the thread that polls it.
//!
//! On a device of our own the thread polls the device. On a device of a host application it leaves that to the host, whose
//! `poll` and `submit` complete our readbacks, too, and steps in only while the host does neither. wgpu runs callbacks on
//! the thread that polls; this keeps those of the host on the host's threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use super::events::State;
use super::{Core, lock};

/// Time without a poll after which a host is taken not to poll.
const PATIENCE: Duration = Duration::from_millis(60);
/// Time between two polls of this thread.
const TICK: Duration = Duration::from_micros(300);
/// The longest wait in one call of the driver, so that others are not kept from destroying resources.
const LONGEST: Duration = Duration::from_millis(5);

/// Starts the thread when it is first needed, and ends it.
#[derive(Default)]
pub(super) struct Driver(Mutex<Option<JoinHandle<()>>>);

impl Driver {
    /// Asks the thread to submit everything recorded so far.
    pub fn submit_later(&self, core: &Arc<Core>) {
        let recorded = lock(&core.recorder).recorded();
        core.events.update(|state| state.wanted = state.wanted.max(recorded));
        let mut thread = lock(&self.0);
        if thread.is_none() {
            let core = core.clone();
            let run = move || {
                let run = || Run { beat: Beat::new(&core), core: core.clone(), host_polls: true }.run();
                if catch_unwind(AssertUnwindSafe(run)).is_err() {
                    // Nobody would ever end what waits.
                    core.faults.lose("the thread that drives it panicked".into());
                    core.abandon();
                }
            };
            *thread = thread::Builder::new().name("wgru".into()).spawn(run).ok();
        }
    }

    /// Ends the thread, which finishes what it is at.
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
    /// Whether the host polled when it was last observed.
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
                // A readback, or more work.
                let is_done = |state: &State| state.readbacks.is_empty() || state.wanted > taken;
                self.wait(Duration::ZERO, is_done);
            }
            if self.core.faults.check_known().is_err() {
                self.core.abandon();
            }
        }
    }

    /// Submits one batch; where work is paced, waits until it is done.
    fn submit(&mut self) {
        let (size, slice) = {
            let pace = lock(&self.core.pace);
            (pace.size(), pace.slice())
        };
        if self.core.is_adopted && self.core.report.software {
            self.wait_until_idle();
        }
        let Some(slice) = slice else {
            self.core.submit_batch(size);
            return self.core.caught_up();
        };
        let begin = Instant::now();
        let work = self.core.submit_batch(size);
        if work > 0 {
            self.core.watch_submitted();
            self.wait(2 * slice, |state| state.running == 0);
            lock(&self.core.pace).learn(work, begin.elapsed());
        }
        self.core.caught_up();
    }

    /// Waits until the GPU has nothing to do. A software adapter's `submit` computes what is queued on the caller's time,
    /// holding locks of wgpu that the host's `poll` needs.
    fn wait_until_idle(&mut self) {
        self.core.watch_submitted();
        self.wait(Duration::ZERO, |state| state.running == 0);
    }

    /// Waits until `is_done`. For the time `eager`, and on a device of our own, this thread polls the device; else only
    /// while the host does not.
    fn wait(&mut self, eager: Duration, is_done: impl Fn(&State) -> bool) {
        let is_done = |state: &State| state.is_closed || is_done(state);
        let begin = Instant::now();
        let (mut observed, mut looked) = (begin, begin);
        loop {
            if self.core.events.wait(Duration::ZERO, &is_done) || self.core.faults.check_known().is_err() {
                return;
            }
            // Nobody else may notice a loss.
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
                self.core.events.wait(TICK, &is_done);
            } else {
                self.core.events.wait(PATIENCE / 4, &is_done);
            }
            if self.beat.has_come(&self.core) {
                (self.host_polls, observed) = (true, Instant::now());
            } else if observed.elapsed() > PATIENCE {
                self.host_polls = false;
            }
        }
    }
}

/// Finds out whether the host polls the device: a buffer whose mapping completes at the next poll by anyone.
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

    /// Whether another thread polled since the last call.
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
