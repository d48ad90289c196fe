//! GPU memory, and the pool that recycles its buffers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::buffers::Buffers;
use super::content::Content;
use super::lock;
use crate::error::{Error, Result};
use crate::shelf::{Shelf, size_class};

/// Size of the largest staging buffer that is recycled, in bytes.
const STAGED: u64 = 16 << 20;

/// 4-byte words on the GPU. The buffer returns to its pool when this is dropped. Commands run in the order in which
/// they were recorded, so the next owner cannot disturb pending work.
pub(crate) struct Memory {
    buffer: Option<wgpu::Buffer>,
    /// First byte of the words.
    offset: u64,
    bytes: u64,
    content: Arc<Content>,
    /// [`Buffers::exhausted`] at the time the buffer was taken.
    exhausted: usize,
    /// Dangling for a buffer of the host.
    pool: Weak<Pool>,
}

impl Memory {
    /// A range of a buffer of the host. The buffer is never recycled.
    pub fn of_host(buffer: wgpu::Buffer, offset: u64, bytes: u64) -> Self {
        Self { buffer: Some(buffer), offset, bytes, content: Arc::default(), exhausted: 0, pool: Weak::new() }
    }

    pub fn buffer(&self) -> &wgpu::Buffer {
        self.buffer.as_ref().expect("present until dropped")
    }

    /// First byte of the words in the [`buffer`](Self::buffer).
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// The range of the buffer that the tensor uses.
    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding { buffer: self.buffer(), offset: self.offset, size: wgpu::BufferSize::new(self.bytes) }
    }
}

/// The range of a buffer that holds a tensor's elements; see [`Tensor::wgpu_buffer`](crate::Tensor::wgpu_buffer).
#[derive(Clone, Debug)]
pub struct BufferPart {
    /// The buffer, which may be longer than the tensor.
    pub buffer: wgpu::Buffer,
    /// First byte of the elements.
    pub offset: u64,
    /// Bytes of the elements: four each.
    pub bytes: u64,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.content.release();
        if let (Some(pool), Some(buffer)) = (self.pool.upgrade(), self.buffer.take()) {
            pool.give(buffer, self.exhausted);
        }
    }
}

/// Size-bucketed free lists of buffers.
pub(super) struct Pool {
    buffers: Buffers,
    max_binding: u64,
    max_buffer: u64,
    exhausted: AtomicUsize,
    free: Mutex<Free>,
    staging: Mutex<HashMap<u64, Vec<wgpu::Buffer>>>,
}

#[derive(Default)]
struct Free {
    shelf: Shelf<wgpu::Buffer>,
    /// Number of unsubmitted encoders of the host. While there are any, dropped buffers are quarantined in `waiting`,
    /// because the encoded work may still use them.
    encoders: usize,
    waiting: Vec<wgpu::Buffer>,
}

impl Pool {
    pub fn new(buffers: Buffers, limits: &wgpu::Limits) -> Self {
        let (max_binding, max_buffer) = (limits.max_storage_buffer_binding_size, limits.max_buffer_size);
        Self {
            buffers,
            max_binding,
            max_buffer,
            exhausted: AtomicUsize::new(0),
            free: Mutex::default(),
            staging: Mutex::default(),
        }
    }

    /// Allocates memory with undefined contents. `reclaim` has the driver free the buffers that the pool released.
    pub fn alloc(
        self: &Arc<Self>,
        op: &'static str,
        words: usize,
        reclaim: impl FnOnce() -> Result<()>,
    ) -> Result<Arc<Memory>> {
        let bytes = (4 * words as u64).max(16);
        if bytes > self.max_binding {
            let limit = "maxStorageBufferBindingSize";
            return Err(Error::Limit { op, limit, needed: bytes, allowed: self.max_binding });
        }
        let size = size_class(bytes).min(self.max_buffer);
        if bytes > size {
            return Err(Error::Limit { op, limit: "maxBufferSize", needed: bytes, allowed: self.max_buffer });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let exhausted = self.exhausted();
        let kept = lock(&self.free).shelf.take(size);
        let buffer = match kept {
            Some(buffer) => buffer,
            None => self.create(op, "wgru", size, usage, reclaim)?,
        };
        let (buffer, content) = (Some(buffer), Arc::default());
        Ok(Arc::new(Memory { buffer, offset: 0, bytes, content, exhausted, pool: Arc::downgrade(self) }))
    }

    /// Number of allocations known to have failed. If it has grown, empties the free lists, which may hold invalid
    /// buffers.
    fn exhausted(&self) -> usize {
        let now = self.buffers.exhausted();
        if self.exhausted.swap(now, Ordering::Relaxed) != now {
            self.trim();
        }
        now
    }

    /// Creates a buffer. If the device is out of memory, empties the free lists and tries once more.
    fn create(
        &self,
        op: &'static str,
        label: &'static str,
        size: u64,
        usage: wgpu::BufferUsages,
        reclaim: impl FnOnce() -> Result<()>,
    ) -> Result<wgpu::Buffer> {
        match self.buffers.create(op, label, size, usage) {
            Err(Error::OutOfMemory { .. }) => {
                self.trim();
                reclaim()?;
                self.buffers.create(op, label, size, usage)
            }
            made => made,
        }
    }

    /// Recycles a buffer, unless an allocation has failed since the buffer was taken.
    fn give(&self, buffer: wgpu::Buffer, exhausted: usize) {
        if exhausted != self.exhausted() {
            return;
        }
        let mut free = lock(&self.free);
        match free.encoders {
            0 => free.shelf.give(buffer.size(), buffer),
            _ => free.waiting.push(buffer),
        }
    }

    /// Called when work is recorded into an encoder of the host. No buffer is reused until
    /// [`encoder_done`](Self::encoder_done).
    pub fn encoder_begins(&self) {
        let mut free = lock(&self.free);
        free.encoders += 1;
        // The encoded work may use buffers that are already on the free list.
        let kept = free.shelf.drain();
        free.waiting.extend(kept);
    }

    pub fn encoder_done(&self) {
        let mut free = lock(&self.free);
        free.encoders -= 1;
        if free.encoders == 0 {
            for buffer in std::mem::take(&mut free.waiting) {
                free.shelf.give(buffer.size(), buffer);
            }
        }
    }

    /// Returns a staging buffer for a readback.
    pub fn staging(&self, words: usize, reclaim: impl FnOnce() -> Result<()>) -> Result<wgpu::Buffer> {
        let size = size_class(4 * words as u64).min(self.max_buffer);
        let kept = lock(&self.staging).get_mut(&size).and_then(Vec::pop);
        match kept {
            Some(buffer) => Ok(buffer),
            None => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                self.create("Tensor::read", "wgru reading back", size, usage, reclaim)
            }
        }
    }

    pub fn give_staging(&self, buffer: wgpu::Buffer) {
        if buffer.size() > STAGED {
            return;
        }
        lock(&self.staging).entry(buffer.size()).or_default().push(buffer);
    }

    /// Empties the free lists.
    pub fn trim(&self) {
        lock(&self.free).shelf.clear();
        lock(&self.staging).clear();
    }

    /// Empties the free lists and stops recycling.
    pub fn close(&self) {
        lock(&self.free).shelf.close();
        lock(&self.staging).clear();
    }
}
