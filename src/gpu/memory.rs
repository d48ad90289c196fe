//! Buffers, and the pool they come from and go back to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use super::buffers::Buffers;
use super::lock;
use crate::error::{Error, Result};
use crate::shelf::{Shelf, size_class};

/// Bytes of the largest buffer for reading back that is kept.
const STAGED: u64 = 16 << 20;

/// 4-byte words on the GPU. Goes back to its pool when dropped: commands run in the order they were recorded, so a
/// later owner cannot disturb work that is still pending.
pub(crate) struct Memory {
    buffer: Option<wgpu::Buffer>,
    bytes: u64,
    pool: Weak<Pool>,
}

impl Memory {
    pub fn buffer(&self) -> &wgpu::Buffer {
        self.buffer.as_ref().expect("present until dropped")
    }

    /// The part that the tensor uses.
    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding { buffer: self.buffer(), offset: 0, size: wgpu::BufferSize::new(self.bytes) }
    }
}

/// The place of a tensor's elements on the GPU; see [`Tensor::wgpu_buffer`](crate::Tensor::wgpu_buffer).
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
        if let (Some(pool), Some(buffer)) = (self.pool.upgrade(), self.buffer.take()) {
            pool.give(buffer);
        }
    }
}

/// Buffers that wait for their next use, by size.
pub(super) struct Pool {
    buffers: Buffers,
    max_binding: u64,
    max_buffer: u64,
    free: Mutex<Shelf<wgpu::Buffer>>,
    staging: Mutex<HashMap<u64, Vec<wgpu::Buffer>>>,
}

impl Pool {
    pub fn new(buffers: Buffers, limits: &wgpu::Limits) -> Self {
        let (max_binding, max_buffer) = (limits.max_storage_buffer_binding_size, limits.max_buffer_size);
        Self { buffers, max_binding, max_buffer, free: Mutex::default(), staging: Mutex::default() }
    }

    pub fn alloc(self: &Arc<Self>, op: &'static str, words: usize) -> Result<Arc<Memory>> {
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
        let kept = lock(&self.free).take(size);
        let buffer = kept.unwrap_or_else(|| self.buffers.create("wgru", size, usage));
        Ok(Arc::new(Memory { buffer: Some(buffer), bytes, pool: Arc::downgrade(self) }))
    }

    fn give(&self, buffer: wgpu::Buffer) {
        lock(&self.free).give(buffer.size(), buffer);
    }

    /// A buffer to read back through.
    pub fn staging(&self, words: usize) -> Result<wgpu::Buffer> {
        let size = size_class(4 * words as u64).min(self.max_buffer);
        let kept = lock(&self.staging).get_mut(&size).and_then(Vec::pop);
        Ok(kept.unwrap_or_else(|| {
            self.buffers.create("wgru reading back", size, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
        }))
    }

    pub fn give_staging(&self, buffer: wgpu::Buffer) {
        if buffer.size() > STAGED {
            return;
        }
        lock(&self.staging).entry(buffer.size()).or_default().push(buffer);
    }

    /// Frees what waits and keeps nothing more.
    pub fn close(&self) {
        lock(&self.free).close();
        lock(&self.staging).clear();
    }
}
