//! Recordings: the kernels that some code ran, to run them again without the code that chose them.
//! See `docs/adr/0045-recorded-runs.md`.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use super::{Cpu, Fast, Memory};
use crate::kernel::{Call, IS_LEAN, MOST_BUFFERS};

/// One kernel with its parameters and buffers.
pub(crate) struct Launch {
    name: &'static str,
    call: Box<dyn Call + Send + Sync>,
    fast: Option<Fast>,
    /// Number of buffers that are read; they are the first.
    reads: usize,
    buffers: Box<[Arc<Memory>]>,
}

impl Launch {
    fn reads(&self) -> &[Arc<Memory>] {
        &self.buffers[..self.reads]
    }

    fn writes(&self) -> &[Arc<Memory>] {
        &self.buffers[self.reads..]
    }

    fn run(&self, cpu: &Cpu) {
        let last = self.buffers.len() - 1;
        let all: [&Memory; MOST_BUFFERS] = std::array::from_fn(|i| &*self.buffers[i.min(last)]);
        cpu.run(&*self.call, self.fast, &all[..self.reads], &all[self.reads..=last]);
    }
}

enum Event {
    Launch(Launch),
    /// The host read a buffer.
    Read(Arc<Memory>),
    /// The host wrote a buffer.
    Write(Arc<Memory>),
}

thread_local! {
    /// The events of this thread while it records.
    static EVENTS: RefCell<Option<Vec<Event>>> = const { RefCell::new(None) };
}

fn add(event: impl FnOnce() -> Option<Event>) {
    if IS_LEAN {
        return;
    }
    EVENTS.with_borrow_mut(|events| {
        if let Some(events) = events {
            events.extend(event());
        }
    });
}

/// Records a kernel that ran on these buffers.
pub(crate) fn launched(
    name: &'static str,
    call: &dyn Call,
    fast: Option<Fast>,
    reads: usize,
    buffers: &dyn Fn() -> Box<[Arc<Memory>]>,
) {
    add(|| Some(Event::Launch(Launch { name, call: call.boxed()?, fast, reads, buffers: buffers() })));
}

/// Records that the host read a buffer.
pub(crate) fn read(memory: &Arc<Memory>) {
    add(|| Some(Event::Read(memory.clone())));
}

/// Records that the host wrote a buffer.
pub(crate) fn wrote(memory: &Arc<Memory>) {
    add(|| Some(Event::Write(memory.clone())));
}

/// Kernels that compute outputs from inputs. Running them allocates nothing.
pub(crate) struct Recording {
    launches: Vec<Launch>,
}

impl Recording {
    /// Calls `f`, and records the kernels that it runs on this thread whose results depend on `inputs`. Returns `None`
    /// in place of the recording if the host read such a result, because it may have decided what ran next, or if it
    /// wrote into a buffer that a kernel had used.
    pub fn of<T>(inputs: &[Arc<Memory>], f: impl FnOnce() -> T) -> (T, Option<Self>) {
        /// Ends the recording of this thread, also if `f` panics.
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                EVENTS.set(None);
            }
        }
        let end = End;
        EVENTS.set(Some(Vec::new()));
        let result = f();
        let events = EVENTS.take().unwrap_or_default();
        drop(end);
        let recording = if IS_LEAN { None } else { Self::from_events(inputs, events) };
        (result, recording)
    }

    fn from_events(inputs: &[Arc<Memory>], events: Vec<Event>) -> Option<Self> {
        // Buffers whose content depends on the inputs, and buffers that a kernel used.
        let mut fed: HashSet<*const Memory> = inputs.iter().map(Arc::as_ptr).collect();
        let mut used = fed.clone();
        let mut launches = Vec::new();
        for event in events {
            match event {
                Event::Read(memory) if fed.contains(&Arc::as_ptr(&memory)) => return None,
                Event::Write(memory) if used.contains(&Arc::as_ptr(&memory)) => return None,
                Event::Read(_) | Event::Write(_) => {}
                Event::Launch(launch) => {
                    if launch.reads().iter().any(|memory| fed.contains(&Arc::as_ptr(memory))) {
                        fed.extend(launch.writes().iter().map(Arc::as_ptr));
                    }
                    used.extend(launch.buffers.iter().map(Arc::as_ptr));
                    launches.push(launch);
                }
            }
        }
        // Kernels whose results do not depend on the inputs have already run. They run again only if they write to a
        // buffer that another kernel also writes, because that kernel may add to its content.
        launches.retain(|launch| launch.writes().iter().any(|memory| fed.contains(&Arc::as_ptr(memory))));
        Some(Self { launches })
    }

    /// Runs the kernels.
    pub fn run(&self, cpu: &Cpu) {
        self.launches.iter().for_each(|launch| launch.run(cpu));
    }

    /// Bytes of the buffers that the kernels write.
    pub fn bytes(&self) -> usize {
        let mut all: Vec<&Arc<Memory>> = self.launches.iter().flat_map(Launch::writes).collect();
        all.sort_unstable_by_key(|memory| Arc::as_ptr(memory));
        all.dedup_by_key(|memory| Arc::as_ptr(memory));
        all.iter().map(|memory| memory.read().len() * size_of::<f32>()).sum()
    }

    /// Names of the kernels, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.launches.iter().map(|launch| launch.name)
    }
}
