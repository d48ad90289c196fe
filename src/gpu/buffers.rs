//! Creates and counts buffers. Steady-state work creates none, because buffers are recycled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::faults::Faults;
use crate::error::Result;

/// Creates buffers on one device. Clones share the counter.
#[derive(Clone)]
pub(super) struct Buffers {
    device: wgpu::Device,
    faults: Faults,
    made: Arc<AtomicUsize>,
}

impl Buffers {
    pub fn new(device: wgpu::Device, faults: Faults) -> Self {
        Self { device, faults, made: Arc::default() }
    }

    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) or [`Error::DeviceLost`](crate::Error::DeviceLost); the failed
    /// buffer is dropped.
    pub fn create(
        &self,
        op: &'static str,
        label: &'static str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        let buffer = self.faults.guard_allocation(op, || self.device.create_buffer(&descriptor))?;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(buffer)
    }

    /// Number of allocations whose failure was reported only after the call returned, as in a browser.
    pub fn exhausted(&self) -> usize {
        self.faults.exhausted()
    }

    /// Number of buffers created so far.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}
