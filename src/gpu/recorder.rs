//! Records dispatches, uploads and readbacks as plain data until they are submitted.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_channel::oneshot::Sender;

use super::buffers::Buffers;
use super::content::Content;
#[cfg(not(target_arch = "wasm32"))]
use super::content::Void;
use super::faults::Faults;
use super::limits::SLOT;
use super::memory::Memory;
use super::pipeline::{Binding, Bound};
use super::timestamps::MEASURED;
use crate::error::Result;

/// Parameter slots per chunk. Dispatches of one binding within a chunk share a bind group.
const SLOTS: usize = 2048;
/// Maximum number of dispatches per submission.
const FULL: usize = 8192;
/// Maximum estimated work per submission, in multiply-adds: a third of a second at 100 GFLOP/s, so that no driver
/// mistakes a slow adapter for a hung one (Windows waits for two seconds).
const WORK: u64 = 1 << 34;
/// Bytes of recorded uploads that fill a submission.
const UPLOADS: usize = 4 << 20;

pub(super) enum Command {
    Dispatch {
        bound: Arc<Bound>,
        group: wgpu::BindGroup,
        /// Id of the parameter chunk, and the byte offset in it.
        chunk: u64,
        offset: u32,
        groups: [u32; 3],
        work: u64,
    },
    Upload {
        /// Offset in the stream of all upload bytes recorded on the device.
        from: usize,
        bytes: usize,
        to: wgpu::Buffer,
        offset: u64,
        content: Arc<Content>,
    },
    Copy(Copy),
}

/// A readback.
pub(super) struct Copy {
    pub from: Arc<Memory>,
    pub to: wgpu::Buffer,
    pub bytes: u64,
    pub done: Sender<Result<()>>,
}

impl Command {
    fn is_needed(&self, sweep: u64) -> bool {
        match self {
            Command::Dispatch { bound, .. } => bound.writes().iter().any(|content| content.is_needed(sweep)),
            Command::Upload { content, .. } => content.is_needed(sweep),
            Command::Copy(copy) => !copy.done.is_canceled(),
        }
    }

    /// Marks the contents that this command depends on as needed, including its outputs: a kernel may write only a
    /// part of an output, or read it.
    fn need_inputs(&self, sweep: u64) {
        match self {
            Command::Dispatch { bound, .. } => bound.reads().iter().chain(bound.writes()).for_each(|c| c.need(sweep)),
            Command::Upload { content, .. } => content.need(sweep),
            Command::Copy(copy) => copy.from.content().need(sweep),
        }
    }

    /// Marks the results as undefined.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn void(&self, why: &Void) {
        match self {
            Command::Dispatch { bound, .. } => bound.writes().iter().for_each(|content| content.void(why.clone())),
            Command::Upload { content, .. } => content.void(why.clone()),
            Command::Copy(_) => {}
        }
    }

    /// Completes a readback with an error. Wakes the waiting task, so no lock may be held.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn refuse(self, why: Void) {
        if let Command::Copy(copy) = self {
            let _ = copy.done.send(Err(why.error()));
        }
    }

    /// Returns why an input is undefined, or `None` if all inputs are defined.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn void_input(&self) -> Option<Void> {
        match self {
            Command::Dispatch { bound, .. } => bound.reads().iter().chain(bound.writes()).find_map(|c| c.why_void()),
            Command::Upload { .. } => None,
            Command::Copy(copy) => copy.from.content().why_void(),
        }
    }

    /// Name for error messages: the kernel, or the kind of command.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn name(&self) -> &'static str {
        match self {
            Command::Dispatch { bound, .. } => bound.pipeline.name,
            Command::Upload { .. } => "an upload",
            Command::Copy(_) => "a readback",
        }
    }

    /// Whether a batch whose uploads begin at `begin` holds at most `most` bytes of uploads with this command.
    fn fits(&self, most: usize, begin: usize) -> bool {
        match self {
            Command::Upload { from, bytes, .. } => from + bytes - begin <= most,
            _ => true,
        }
    }

    fn work(&self) -> u64 {
        match self {
            Command::Dispatch { work, .. } => *work,
            Command::Upload { bytes, .. } => *bytes as u64,
            Command::Copy(copy) => copy.bytes,
        }
    }
}

/// Parameters of recorded dispatches, and the uniform buffer that they will be written to.
pub(super) struct Chunk {
    id: u64,
    buffer: wgpu::Buffer,
    bytes: Vec<u8>,
    /// Recorded dispatches that are not in a batch yet.
    waiting: usize,
}

/// Commands to be submitted together.
#[derive(Default)]
pub(super) struct Batch {
    pub commands: Vec<Command>,
    /// Parameter buffers, each with an offset and the bytes to write there.
    pub params: Vec<(wgpu::Buffer, u64, Vec<u8>)>,
    pub uploads: Vec<u8>,
    /// Estimated multiply-adds.
    pub work: u64,
    /// Offset of the first byte of `uploads` in the stream of all recorded upload bytes.
    pub begin: usize,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

/// Maximum size of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub dispatches: usize,
    pub work: u64,
}

impl Size {
    /// The largest batch that drivers do not mistake for a hung device.
    pub const LARGEST: Self = Self { dispatches: FULL, work: WORK };

    fn holds(self, dispatches: usize, work: u64) -> bool {
        dispatches < self.dispatches && work < self.work
    }
}

pub(super) struct Recorder {
    device: wgpu::Device,
    faults: Faults,
    buffers: Buffers,
    /// Parameter slots per chunk, and upload bytes per batch, within the device's limits.
    slots: usize,
    most_uploads: usize,
    commands: VecDeque<Command>,
    taken: u64,
    /// Estimated work of `commands`.
    work: u64,
    /// Recorded upload bytes, and the number of bytes in earlier batches.
    uploads: Vec<u8>,
    uploaded: usize,
    chunks: Vec<Chunk>,
    current: usize,
    next_chunk: u64,
    sweeps: u64,
    /// Whether every dispatch is measured.
    is_measured: bool,
    /// Whether dead-code elimination is off: commands run even if their results were dropped.
    runs_dropped: bool,
}

impl Recorder {
    pub fn new(device: wgpu::Device, faults: Faults, buffers: Buffers, is_measured: bool) -> Self {
        let most_uploads = usize::try_from(device.limits().max_buffer_size).unwrap_or(usize::MAX);
        let slots = SLOTS.min(most_uploads / SLOT).max(1);
        Self {
            device,
            faults,
            buffers,
            slots,
            most_uploads,
            commands: VecDeque::new(),
            taken: 0,
            work: 0,
            uploads: Vec::new(),
            uploaded: 0,
            chunks: Vec::new(),
            current: 0,
            next_chunk: 0,
            sweeps: 0,
            is_measured,
            runs_dropped: is_measured,
        }
    }

    /// Records a dispatch. If it fails, nothing is recorded.
    pub fn dispatch(&mut self, binding: &mut Binding, params: &[u8], groups: [u32; 3], work: u64) -> Result<()> {
        let bound = &binding.bound;
        bound.reads().iter().chain(bound.writes()).try_for_each(|content| content.check_read())?;
        bound.writes().iter().try_for_each(|content| content.check_write())?;
        self.find_chunk()?;
        let chunk = &mut self.chunks[self.current];
        let group = binding.group(&self.device, &self.faults, chunk.id, &chunk.buffer)?;
        let offset = chunk.bytes.len();
        chunk.bytes.extend_from_slice(params);
        chunk.bytes.resize(offset + SLOT, 0);
        chunk.waiting += 1;
        self.work = self.work.saturating_add(work);
        let (bound, chunk, offset) = (binding.bound.clone(), chunk.id, offset as u32);
        self.commands.push_back(Command::Dispatch { bound, group, chunk, offset, groups, work });
        Ok(())
    }

    /// Ensures that `current` is a chunk with a free slot.
    fn find_chunk(&mut self) -> Result<()> {
        let full = SLOT * self.slots;
        if self.chunks.get(self.current).is_some_and(|chunk| chunk.bytes.len() < full) {
            return Ok(());
        }
        if let Some(free) = self.chunks.iter().position(|chunk| chunk.waiting == 0) {
            self.chunks[free].bytes.clear();
            self.current = free;
            return Ok(());
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.buffers.create("parameters", "wgru parameters", full as u64, usage)?;
        let (id, bytes) = (self.next_chunk, Vec::with_capacity(full));
        self.next_chunk += 1;
        self.current = self.chunks.len();
        self.chunks.push(Chunk { id, buffer, bytes, waiting: 0 });
        Ok(())
    }

    /// Records an upload to the front of `to`. It keeps its place among the dispatches.
    pub fn upload(&mut self, to: &Memory, bytes: &[u8]) -> Result<()> {
        to.content().check_write()?;
        let (from, content) = (self.uploaded + self.uploads.len(), to.content().clone());
        let (buffer, offset) = (to.buffer().clone(), to.offset());
        self.work = self.work.saturating_add(bytes.len() as u64);
        self.commands.push_back(Command::Upload { from, bytes: bytes.len(), to: buffer, offset, content });
        self.uploads.extend_from_slice(bytes);
        Ok(())
    }

    /// Records a readback.
    pub fn copy(&mut self, copy: Copy) -> Result<()> {
        copy.from.content().check_read()?;
        self.work = self.work.saturating_add(copy.bytes);
        self.commands.push_back(Command::Copy(copy));
        Ok(())
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_dropped(&mut self, always: bool) {
        self.runs_dropped = always || self.is_measured;
    }

    /// Whether one batch can hold all recorded uploads.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn uploads_fit(&self) -> bool {
        self.uploads.len() < UPLOADS.min(self.most_uploads)
    }

    /// Bytes of recorded uploads.
    pub fn upload_bytes(&self) -> usize {
        self.uploads.len()
    }

    pub fn pending(&self) -> usize {
        self.commands.len()
    }

    /// Number of commands taken since the device was opened.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Number of commands recorded since the device was opened.
    pub fn recorded(&self) -> u64 {
        self.taken + self.commands.len() as u64
    }

    /// Reduces `size` to the dispatches that one submission can time, if dispatches are timed.
    fn bounded(&self, size: Size) -> Size {
        let most = if self.is_measured { MEASURED } else { usize::MAX };
        Size { dispatches: size.dispatches.min(most), ..size }
    }

    /// Whether the recorded work fills a submission.
    pub fn is_full(&self, size: Size) -> bool {
        !self.bounded(size).holds(self.commands.len(), self.work)
            || self.uploads.len() >= UPLOADS.min(self.most_uploads / 2)
    }

    /// Takes commands from the front until `size` is reached, and eliminates dead ones.
    pub fn take(&mut self, size: Size) -> Batch {
        self.take_unbounded(self.bounded(size))
    }

    fn take_unbounded(&mut self, size: Size) -> Batch {
        self.sweep();
        let mut batch = Batch { begin: self.uploaded, ..Batch::default() };
        let (mut dispatches, mut end, most_uploads) = (0, self.uploaded, self.most_uploads);
        while size.holds(dispatches, batch.work)
            && end - batch.begin < UPLOADS
            && self.commands.front().is_some_and(|command| command.fits(most_uploads, batch.begin))
            && let Some(command) = self.commands.pop_front()
        {
            self.taken += 1;
            self.work = self.work.saturating_sub(command.work());
            let is_needed = self.runs_dropped || command.is_needed(self.sweeps);
            match &command {
                Command::Dispatch { chunk, offset, .. } => {
                    self.leave(*chunk, *offset, is_needed.then_some(&mut batch.params));
                    dispatches += usize::from(is_needed);
                }
                Command::Upload { from, bytes, .. } => end = from + bytes,
                Command::Copy(_) => {}
            }
            if is_needed {
                batch.work = batch.work.saturating_add(command.work());
                batch.commands.push(command);
            }
        }
        if self.commands.is_empty() {
            self.work = 0;
            batch.uploads = std::mem::take(&mut self.uploads);
            self.chunks.iter_mut().for_each(|chunk| chunk.bytes.clear());
            self.current = 0;
        } else {
            batch.uploads = self.uploads.drain(..end - self.uploaded).collect();
        }
        self.uploaded += batch.uploads.len();
        batch
    }

    /// Frees a slot of a chunk, and appends its parameters to `params` if given.
    fn leave(&mut self, chunk: u64, offset: u32, params: Option<&mut Vec<(wgpu::Buffer, u64, Vec<u8>)>>) {
        let Some(chunk) = self.chunks.iter_mut().find(|c| c.id == chunk) else { return };
        chunk.waiting -= 1;
        let Some(params) = params else { return };
        let slot = &chunk.bytes[offset as usize..][..SLOT];
        match params.last_mut() {
            Some((buffer, begin, bytes))
                if *buffer == chunk.buffer && *begin + bytes.len() as u64 == u64::from(offset) =>
            {
                bytes.extend_from_slice(slot);
            }
            _ => params.push((chunk.buffer.clone(), offset.into(), slot.to_vec())),
        }
    }

    /// Marks live contents for dead-code elimination. A command is live if a tensor still owns a result, or if a later
    /// live command depends on one.
    fn sweep(&mut self) {
        if self.runs_dropped {
            return;
        }
        self.sweeps += 1;
        let mut last: Option<&Arc<Bound>> = None;
        for command in self.commands.iter().rev() {
            if let (Command::Dispatch { bound, .. }, Some(last)) = (command, last)
                && Arc::ptr_eq(bound, last)
            {
                continue;
            }
            if command.is_needed(self.sweeps) {
                command.need_inputs(self.sweeps);
                if let Command::Dispatch { bound, .. } = command {
                    last = Some(bound);
                }
            }
        }
    }

    /// Takes all commands for a host encoder. The host submits later, so their parameter buffers are not
    /// reused.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn take_for_host(&mut self) -> (Batch, Vec<Chunk>) {
        let batch = self.take_unbounded(Size { dispatches: usize::MAX, work: u64::MAX });
        self.current = 0;
        (batch, std::mem::take(&mut self.chunks))
    }

    /// Takes back the chunks of an encoder that was submitted or discarded. Later writes to them are ordered after the
    /// encoder's submission.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn give_back(&mut self, chunks: Vec<Chunk>) {
        self.chunks.extend(chunks);
    }

    /// Drops all recorded commands, whose results become undefined, and returns them.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cancel(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while !self.commands.is_empty() {
            commands.extend(self.take(Size::LARGEST).commands);
        }
        commands.iter().for_each(|command| command.void(&Void::Cancelled));
        commands
    }
}
