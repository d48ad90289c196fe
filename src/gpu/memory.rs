//! GPU memory, and the pool that recycles its buffers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::buffers::Buffers;
use super::content::{Content, Lent, is_lent};
use super::lock;
use crate::error::{Error, Result};
use crate::free_list::{FreeList, size_class};

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
    /// `None` for a host buffer.
    pool: Option<Weak<Pool>>,
}

impl Memory {
    /// A range of a host buffer. The buffer is never recycled.
    pub fn of_host(buffer: wgpu::Buffer, offset: u64, bytes: u64) -> Self {
        Self { buffer: Some(buffer), offset, bytes, content: Arc::default(), exhausted: 0, pool: None }
    }

    pub fn buffer(&self) -> &wgpu::Buffer {
        self.buffer.as_ref().expect("present until dropped")
    }

    /// First byte of the words in the [`buffer`](Self::buffer).
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the words are undefined.
    pub fn is_void(&self) -> bool {
        #[cfg(target_arch = "wasm32")]
        return false;
        #[cfg(not(target_arch = "wasm32"))]
        self.content.why_void().is_some()
    }

    pub(super) fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// The range of the buffer that the tensor uses.
    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding { buffer: self.buffer(), offset: self.offset, size: wgpu::BufferSize::new(self.bytes) }
    }
}

/// Range of a buffer that holds a tensor's elements; see [`Tensor::wgpu_buffer`](crate::Tensor::wgpu_buffer).
#[derive(Clone, Debug)]
pub struct BufferPart {
    /// The buffer, which may be longer than the tensor.
    pub buffer: wgpu::Buffer,
    /// First byte of the elements.
    pub offset: u64,
    /// Size of the elements in bytes, four per element.
    pub bytes: u64,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // The host can read its buffer without a tensor, so work that writes it stays live.
        let Some(pool) = &self.pool else { return };
        self.content.release();
        if let (Some(pool), Some(buffer)) = (pool.upgrade(), self.buffer.take()) {
            pool.give(buffer, self.content.lent().clone(), self.exhausted);
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
    staging: Mutex<FreeList<wgpu::Buffer>>,
}

#[derive(Default)]
struct Free {
    free_list: FreeList<Kept>,
    /// Buffers in quarantine: an unsubmitted host encoder uses them.
    waiting: Vec<Kept>,
}

/// A buffer without an owner.
struct Kept {
    buffer: wgpu::Buffer,
    lent: Lent,
}

impl Free {
    /// Puts a buffer on the free list, or in quarantine.
    fn give(&mut self, kept: Kept) {
        match is_lent(&kept.lent) {
            true => self.waiting.push(kept),
            false => self.free_list.give(kept.buffer.size(), kept),
        }
    }

    /// Takes a buffer that nothing uses.
    fn take(&mut self, size: u64) -> Option<Kept> {
        while let Some(kept) = self.free_list.take(size) {
            match is_lent(&kept.lent) {
                true => self.waiting.push(kept),
                false => return Some(kept),
            }
        }
        None
    }
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
        let kept = lock(&self.free).take(size);
        let Kept { buffer, lent } = match kept {
            Some(kept) => kept,
            None => Kept { buffer: self.create(op, "wgru", size, usage, reclaim)?, lent: Lent::default() },
        };
        let (buffer, content) = (Some(buffer), Arc::new(Content::of(lent)));
        Ok(Arc::new(Memory { buffer, offset: 0, bytes, content, exhausted, pool: Some(Arc::downgrade(self)) }))
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
    fn give(&self, buffer: wgpu::Buffer, lent: Lent, exhausted: usize) {
        if exhausted != self.exhausted() {
            return;
        }
        lock(&self.free).give(Kept { buffer, lent });
    }

    /// Called when the host has submitted or dropped an encoder: ends the quarantine of buffers that no other encoder
    /// uses.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn encoder_done(&self) {
        let mut free = lock(&self.free);
        let waiting = std::mem::take(&mut free.waiting);
        waiting.into_iter().for_each(|kept| free.give(kept));
    }

    /// Returns a staging buffer for a readback.
    pub fn staging(&self, words: usize, reclaim: impl FnOnce() -> Result<()>) -> Result<wgpu::Buffer> {
        let size = size_class(4 * words as u64).min(self.max_buffer);
        let kept = lock(&self.staging).take(size);
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
        lock(&self.staging).give(buffer.size(), buffer);
    }

    /// Empties the free lists.
    pub fn trim(&self) {
        let mut free = lock(&self.free);
        free.free_list.clear();
        // wgpu keeps buffers alive while encoders use them.
        free.waiting.clear();
        drop(free);
        lock(&self.staging).clear();
    }

    /// Empties the free lists and stops recycling.
    pub fn close(&self) {
        lock(&self.free).free_list.close();
        lock(&self.staging).clear();
    }
}
