//! Encodes batches of commands and submits them in order.

use std::iter::Peekable;
use std::slice::Iter;
use std::sync::Arc;

use super::buffers::Buffers;
#[cfg(not(target_arch = "wasm32"))]
use super::content::Void;
use super::events::Events;
use super::faults::Faults;
use super::pipeline::Pipeline;
use super::recorder::{Batch, Command, Copy};
use super::timestamps::Timestamps;
use crate::error::{Error, Result};

/// Submits batches. A thread holds the submitter's lock while it takes the next batch from the recorder, so batches
/// stay in order.
pub(super) struct Submitter {
    device: wgpu::Device,
    queue: wgpu::Queue,
    faults: Faults,
    buffers: Buffers,
    upload_buffer: Option<wgpu::Buffer>,
    pub timestamps: Option<Timestamps>,
}

/// Uploads of a batch, and the offset of their first byte in the stream of all recorded upload bytes.
#[derive(Clone)]
struct Uploads {
    buffer: wgpu::Buffer,
    begin: usize,
}

impl Submitter {
    pub fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        faults: Faults,
        buffers: Buffers,
        timestamps: Option<Timestamps>,
    ) -> Self {
        Self { device, queue, faults, buffers, upload_buffer: None, timestamps }
    }

    /// Submits a batch. If part of it fails, only that part is skipped: its results become undefined, and using them is
    /// an error. Readbacks are registered in `events`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn submit(&mut self, batch: Batch, reclaim: impl Fn() -> Result<()>, events: &Events) -> Option<Index> {
        if batch.is_empty() {
            return None;
        }
        let mut written = self.write(&batch);
        if matches!(written, Err(Error::OutOfMemory { .. })) {
            written = reclaim().and_then(|()| self.write(&batch));
        }
        match written {
            Ok(uploads) => self.submit_commands(batch.commands, uploads.as_ref(), events),
            Err(error) => {
                void_all(batch.commands, &error);
                None
            }
        }
    }

    /// Submits a batch. A browser reports errors later; see [`Faults::check`].
    #[cfg(target_arch = "wasm32")]
    pub fn submit(&mut self, batch: Batch, _: impl Fn() -> Result<()>, events: &Events) -> Option<Index> {
        if batch.is_empty() {
            return None;
        }
        let uploads = self.write(&batch).ok()?;
        let index = self.try_submit(&batch.commands, uploads.as_ref()).ok()?;
        batch.commands.into_iter().for_each(|command| map(&self.faults, command, events));
        Some(index)
    }

    /// Writes parameters and uploads where the commands expect them.
    fn write(&mut self, batch: &Batch) -> Result<Option<Uploads>> {
        let uploads = match batch.uploads.len() {
            0 => None,
            bytes => Some(self.uploads(bytes)?),
        };
        self.faults.guard("parameters", || {
            for (buffer, begin, bytes) in &batch.params {
                self.queue.write_buffer(buffer, *begin, bytes);
            }
            if let Some(buffer) = &uploads {
                self.queue.write_buffer(buffer, 0, &batch.uploads);
            }
        })?;
        Ok(uploads.map(|buffer| Uploads { buffer, begin: batch.begin }))
    }

    /// Returns a buffer for `bytes` bytes of uploads.
    fn uploads(&mut self, bytes: usize) -> Result<wgpu::Buffer> {
        let size = (bytes as u64).next_power_of_two().min(self.device.limits().max_buffer_size);
        if let Some(buffer) = self.upload_buffer.as_ref().filter(|buffer| buffer.size() >= size) {
            return Ok(buffer.clone());
        }
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffer = self.buffers.create("uploads", "wgru uploads", size, usage)?;
        Ok(self.upload_buffer.insert(buffer).clone())
    }

    /// Submits commands together. If that fails, bisects them until only the faulty commands are left out.
    #[cfg(not(target_arch = "wasm32"))]
    fn submit_commands(&mut self, commands: Vec<Command>, uploads: Option<&Uploads>, events: &Events) -> Option<Index> {
        let mut last = None;
        // Stack of parts to submit, the next one on top.
        let mut parts = vec![commands];
        while let Some(part) = parts.pop() {
            let (mut part, void) = split_void(part);
            void.into_iter().for_each(|(command, why)| command.refuse(why));
            if part.is_empty() {
                continue;
            }
            match self.try_submit(&part, uploads) {
                Ok(index) => {
                    last = Some(index);
                    for command in part {
                        if let Command::Upload { content, .. } = &command {
                            content.fill();
                        }
                        map(&self.faults, command, events);
                    }
                }
                Err(error) if part.len() == 1 || matches!(error, Error::DeviceLost(_)) => {
                    log::error!("{error}");
                    void_all(part, &error);
                }
                Err(_) => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
            }
        }
        last
    }

    fn try_submit(&mut self, commands: &[Command], uploads: Option<&Uploads>) -> Result<Index> {
        let Self { device, queue, timestamps, .. } = self;
        if let Some(timestamps) = timestamps {
            timestamps.begin();
        }
        let commands = self.faults.guard("CommandEncoder::finish", || {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("wgru") });
            encode(&mut encoder, commands, uploads, timestamps.as_mut());
            if let Some(timestamps) = timestamps {
                timestamps.resolve(&mut encoder);
            }
            encoder.finish()
        })?;
        let mut index = None;
        let submitted = self.faults.guard("Queue::submit", || index = Some(queue.submit([commands])));
        let index = match (submitted, index) {
            (Ok(()), Some(index)) => index,
            // wgpu runs host callbacks in `submit`, and their errors are caught here, too.
            #[cfg(not(target_arch = "wasm32"))]
            (Err(_), Some(index)) if self.faults.was_submitted(&index) => index,
            (Err(error), _) => return Err(error),
            (Ok(()), None) => unreachable!("submitted"),
        };
        if let Some(Err(error)) = self.timestamps.as_mut().map(Timestamps::collect) {
            log::error!("timestamps: {error}");
        }
        Ok(index)
    }

    /// Encodes a batch into the host's command encoder.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn encode_for_host(&mut self, batch: &Batch, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        // The host submits later. The upload buffer is used for this batch only, so nothing overwrites it meanwhile.
        self.upload_buffer = None;
        let uploads = self.write(batch)?;
        self.upload_buffer = None;
        self.faults.guard("Device::encode_into", || encode(encoder, &batch.commands, uploads.as_ref(), None))
    }
}

/// Index of a submission, to wait for it.
pub(super) type Index = wgpu::SubmissionIndex;

/// Separates commands with defined inputs from the others, whose results become undefined as well.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn split_void(commands: Vec<Command>) -> (Vec<Command>, Vec<(Command, Void)>) {
    let (mut kept, mut void) = (Vec::with_capacity(commands.len()), Vec::new());
    for command in commands {
        match command.void_input() {
            Some(why) => {
                command.void(&why);
                void.push((command, why));
            }
            None => kept.push(command),
        }
    }
    (kept, void)
}

#[cfg(not(target_arch = "wasm32"))]
fn void_all(commands: Vec<Command>, error: &Error) {
    for command in commands {
        let why = Void::from(command.name(), error);
        command.void(&why);
        command.refuse(why);
    }
}

fn encode(
    encoder: &mut wgpu::CommandEncoder,
    commands: &[Command],
    uploads: Option<&Uploads>,
    mut timestamps: Option<&mut Timestamps>,
) {
    let mut commands = commands.iter().peekable();
    while commands.peek().is_some() {
        encode_pass(encoder, &mut commands, timestamps.as_deref_mut());
        match (commands.next(), uploads) {
            (Some(Command::Upload { from, bytes, to, offset, .. }), Some(uploads)) => {
                let from = (from - uploads.begin) as u64;
                encoder.copy_buffer_to_buffer(&uploads.buffer, from, to, *offset, *bytes as u64);
            }
            (Some(Command::Copy(copy)), _) => {
                encoder.copy_buffer_to_buffer(copy.from.buffer(), copy.from.offset(), &copy.to, 0, copy.bytes);
            }
            _ => {}
        }
    }
}

/// Encodes the dispatches up to the next upload or readback as one compute pass. If dispatches are timed, each one gets
/// its own pass.
fn encode_pass(
    encoder: &mut wgpu::CommandEncoder,
    commands: &mut Peekable<Iter<'_, Command>>,
    mut timestamps: Option<&mut Timestamps>,
) {
    while let Some(Command::Dispatch { bound, groups, .. }) = commands.peek() {
        let descriptor = wgpu::ComputePassDescriptor {
            label: Some("wgru"),
            timestamp_writes: timestamps.as_mut().map(|t| t.writes(&bound.pipeline, *groups)),
        };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        let mut last: Option<&Arc<Pipeline>> = None;
        while let Some(Command::Dispatch { bound, group, offset, groups: [x, y, z], .. }) =
            commands.next_if(|c| matches!(c, Command::Dispatch { .. }))
        {
            if !last.is_some_and(|p| Arc::ptr_eq(p, &bound.pipeline)) {
                pass.set_pipeline(&bound.pipeline.compute);
                last = Some(&bound.pipeline);
            }
            pass.set_bind_group(0, group, &[*offset]);
            pass.dispatch_workgroups(*x, *y, *z);
            if timestamps.is_some() {
                break;
            }
        }
    }
}

/// Maps the staging buffer of a submitted readback.
pub(super) fn map(faults: &Faults, command: Command, events: &Events) {
    let Command::Copy(Copy { to, bytes, done, .. }) = command else { return };
    #[cfg(not(target_arch = "wasm32"))]
    let arrive = {
        let (number, events) = (events.update(|state| state.expect(done)), events.clone());
        move |result| events.arrive(number, result)
    };
    // A browser runs the callback even if the device is lost.
    #[cfg(target_arch = "wasm32")]
    let arrive = {
        let _ = events;
        move |result| _ = done.send(result)
    };
    // The callback receives the errors.
    let _ = faults.guard("Tensor::read", || {
        to.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
            arrive(result.map_err(|e| Error::Gpu(format!("Tensor::read: {e}"))));
        });
    });
}
