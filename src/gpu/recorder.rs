//! Dispatches and uploads as plain data, until they are submitted as one command buffer.

use std::iter::Peekable;
use std::sync::Arc;

use super::buffers::Buffers;
use super::faults::Faults;
use super::pipeline::{Binding, Pipeline};
use super::timestamps::{MEASURED, Timestamps};

/// Bytes between the parameters of two dispatches: every adapter allows dynamic offsets at multiples of it.
const SLOT: usize = 256;
/// Parameter slots of a chunk: the dispatches that share a bind group.
const SLOTS: usize = 2048;
/// Dispatches of one submission at most.
const FULL: usize = 8192;
/// Estimated work of one submission at most, in multiply-adds: a third of a second at 100 GFLOP/s, so that no
/// driver takes a slow adapter for a hung one (Windows waits for two seconds).
const WORK: u64 = 1 << 34;
/// Bytes of uploads that one submission carries at most before it is sent.
const UPLOADS: usize = 4 << 20;

enum Command {
    Dispatch {
        pipeline: Arc<Pipeline>,
        group: wgpu::BindGroup,
        offset: u32,
        groups: [u32; 3],
    },
    /// Bytes of `Recorder::uploads` to the front of a buffer.
    Upload {
        from: usize,
        bytes: usize,
        to: wgpu::Buffer,
    },
}

/// Parameters of recorded dispatches, and the uniform buffer they will be in.
struct Chunk {
    buffer: wgpu::Buffer,
    bytes: Vec<u8>,
}

pub(super) struct Recorder {
    device: wgpu::Device,
    faults: Faults,
    buffers: Buffers,
    timestamps: Option<Timestamps>,
    /// Estimated work of `commands`.
    work: u64,
    commands: Vec<Command>,
    uploads: Vec<u8>,
    upload_buffer: Option<wgpu::Buffer>,
    chunks: Vec<Chunk>,
    current: usize,
}

impl Recorder {
    pub fn new(device: wgpu::Device, faults: Faults, buffers: Buffers, timestamps: Option<Timestamps>) -> Self {
        Self {
            device,
            faults,
            buffers,
            timestamps,
            work: 0,
            commands: Vec::new(),
            uploads: Vec::new(),
            upload_buffer: None,
            chunks: Vec::new(),
            current: 0,
        }
    }

    pub fn dispatch(&mut self, binding: &mut Binding, params: &[u8], groups: [u32; 3], work: u64) {
        self.work = self.work.saturating_add(work);
        if self.chunks.get(self.current).is_some_and(|c| c.bytes.len() == SLOT * SLOTS) {
            self.current += 1;
        }
        if self.current == self.chunks.len() {
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            let buffer = self.buffers.create("wgru parameters", (SLOT * SLOTS) as u64, usage);
            self.chunks.push(Chunk { buffer, bytes: Vec::with_capacity(SLOT * SLOTS) });
        }
        let chunk = &mut self.chunks[self.current];
        let offset = chunk.bytes.len();
        chunk.bytes.extend_from_slice(params);
        chunk.bytes.resize(offset + SLOT, 0);
        let group = binding.group(&self.device, &self.faults, self.current, &chunk.buffer);
        let pipeline = binding.pipeline.clone();
        self.commands.push(Command::Dispatch { pipeline, group, offset: offset as u32, groups });
    }

    /// Records a small upload, so that it takes its turn among the dispatches.
    pub fn upload(&mut self, to: &wgpu::Buffer, bytes: &[u8]) {
        self.commands.push(Command::Upload { from: self.uploads.len(), bytes: bytes.len(), to: to.clone() });
        self.uploads.extend_from_slice(bytes);
    }

    pub fn pending(&self) -> usize {
        self.commands.len()
    }

    pub fn is_full(&self) -> bool {
        let full = if self.timestamps.is_some() { MEASURED } else { FULL };
        self.commands.len() >= full || self.uploads.len() >= UPLOADS || self.work >= WORK
    }

    /// Submits everything recorded, then the copy.
    pub fn submit(&mut self, queue: &wgpu::Queue, copy: Option<(&wgpu::Buffer, &wgpu::Buffer, u64)>) {
        if self.commands.is_empty() && copy.is_none() {
            return;
        }
        self.work = 0;
        let (device, faults) = (self.device.clone(), self.faults.clone());
        faults.guard_work(&device, || self.encode_and_submit(queue, copy));
    }

    /// Times of the dispatches submitted since the last call; none when they are not measured.
    pub fn take_times(&mut self) -> Vec<super::DispatchTime> {
        self.timestamps.as_mut().map_or_else(Vec::new, Timestamps::take)
    }

    fn encode_and_submit(&mut self, queue: &wgpu::Queue, copy: Option<(&wgpu::Buffer, &wgpu::Buffer, u64)>) {
        for chunk in self.chunks.iter_mut().filter(|c| !c.bytes.is_empty()) {
            queue.write_buffer(&chunk.buffer, 0, &chunk.bytes);
            chunk.bytes.clear();
        }
        self.current = 0;
        let uploads = self.write_uploads(queue);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("wgru") });
        let mut commands = self.commands.drain(..).peekable();
        while commands.peek().is_some() {
            encode_pass(&mut encoder, &mut commands, self.timestamps.as_mut());
            if let (Some(Command::Upload { from, bytes, to }), Some(uploads)) = (commands.next(), &uploads) {
                encoder.copy_buffer_to_buffer(uploads, from as u64, &to, 0, bytes as u64);
            }
        }
        drop(commands);
        if let Some((from, to, bytes)) = copy {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, bytes);
        }
        if let Some(timestamps) = &self.timestamps {
            timestamps.resolve(&mut encoder);
        }
        queue.submit([encoder.finish()]);
        if let Some(Err(error)) = self.timestamps.as_mut().map(Timestamps::collect) {
            log::error!("timestamps: {error}");
        }
    }

    fn write_uploads(&mut self, queue: &wgpu::Queue) -> Option<wgpu::Buffer> {
        if self.uploads.is_empty() {
            return None;
        }
        let size = (self.uploads.len() as u64).next_power_of_two();
        let buffer = self.upload_buffer.take().filter(|b| b.size() >= size).unwrap_or_else(|| {
            self.buffers.create("wgru uploads", size, wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST)
        });
        queue.write_buffer(&buffer, 0, &self.uploads);
        self.uploads.clear();
        self.upload_buffer = Some(buffer.clone());
        Some(buffer)
    }
}

/// Encodes dispatches up to the next upload as one compute pass; each as its own, when they are measured.
fn encode_pass<I: Iterator<Item = Command>>(
    encoder: &mut wgpu::CommandEncoder,
    commands: &mut Peekable<I>,
    mut timestamps: Option<&mut Timestamps>,
) {
    while let Some(Command::Dispatch { pipeline, groups, .. }) = commands.peek() {
        let descriptor = wgpu::ComputePassDescriptor {
            label: Some("wgru"),
            timestamp_writes: timestamps.as_mut().map(|t| t.writes(pipeline, *groups)),
        };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        let mut bound: Option<Arc<Pipeline>> = None;
        while let Some(Command::Dispatch { pipeline, group, offset, groups: [x, y, z] }) =
            commands.next_if(|c| matches!(c, Command::Dispatch { .. }))
        {
            if !bound.as_ref().is_some_and(|p| Arc::ptr_eq(p, &pipeline)) {
                pass.set_pipeline(&pipeline.compute);
                bound = Some(pipeline);
            }
            pass.set_bind_group(0, &group, &[offset]);
            pass.dispatch_workgroups(x, y, z);
            if timestamps.is_some() {
                break;
            }
        }
    }
}
