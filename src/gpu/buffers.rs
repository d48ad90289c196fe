//! Where buffers are made, and counted: steady work makes none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::faults::Faults;

/// Makes buffers on one device. Clones share the count.
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

    pub fn create(&self, label: &'static str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.made.fetch_add(1, Ordering::Relaxed);
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        self.faults.guard(&self.device, || self.device.create_buffer(&descriptor))
    }

    /// Buffers made so far.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}
