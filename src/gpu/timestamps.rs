//! Timestamp queries: start and duration of every dispatch, on the adapter's clock.

use std::sync::Arc;

use super::buffers::Buffers;
use super::pipeline::Pipeline;
use crate::error::{Error, Result};

/// Maximum number of timed dispatches per submission: each takes two queries, and a query set holds 4096.
pub(super) const MEASURED: usize = 2048;

/// Timing of one dispatch, on the adapter's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DispatchTime {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Number of workgroups along x, y and z.
    pub groups: [u32; 3],
    /// Start in nanoseconds since an arbitrary point in time.
    pub start: f64,
    /// Duration in nanoseconds.
    pub duration: f64,
}

/// Timestamp queries of the dispatches of one submission, and the results of earlier submissions.
pub(super) struct Timestamps {
    device: wgpu::Device,
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    back: wgpu::Buffer,
    /// Nanoseconds per tick.
    period: f64,
    open: Vec<(Arc<Pipeline>, [u32; 3])>,
    done: Vec<DispatchTime>,
}

impl Timestamps {
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, buffers: &Buffers) -> Result<Self> {
        let count = 2 * MEASURED as u32;
        let size = 8 * count as u64;
        let set = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("wgru timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = buffers.create("Device::gpu_with", "wgru timestamps", size, usage)?;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let back = buffers.create("Device::gpu_with", "wgru timestamps read back", size, usage)?;
        let period = queue.get_timestamp_period() as f64;
        Ok(Self { device: device.clone(), set, resolved, back, period, open: Vec::new(), done: Vec::new() })
    }

    /// Returns the two timestamp queries of the next dispatch.
    pub fn writes(&mut self, pipeline: &Arc<Pipeline>, groups: [u32; 3]) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * self.open.len() as u32;
        self.open.push((pipeline.clone(), groups));
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Begins a submission. Discards the queries of a failed one.
    pub fn begin(&mut self) {
        self.open.clear();
    }

    /// Encodes the readback of this submission's queries.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let count = 2 * self.open.len() as u32;
        if count > 0 {
            encoder.resolve_query_set(&self.set, 0..count, &self.resolved, 0);
            encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.back, 0, 8 * count as u64);
        }
    }

    /// Waits for the submission and stores its times.
    pub fn collect(&mut self) -> Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let gpu = |e: &dyn std::fmt::Display| Error::Gpu(e.to_string());
        let slice = self.back.slice(..16 * self.open.len() as u64);
        slice.map_async(wgpu::MapMode::Read, |_| ());
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| gpu(&e))?;
        let view = slice.get_mapped_range().map_err(|e| gpu(&e))?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
        for ((pipeline, groups), tick) in self.open.drain(..).zip(ticks.chunks_exact(2)) {
            let [start, duration] = [tick[0], tick[1].saturating_sub(tick[0])].map(|t| t as f64 * self.period);
            self.done.push(DispatchTime { kernel: pipeline.name, groups, start, duration });
        }
        drop(view);
        self.back.unmap();
        Ok(())
    }

    /// Returns the times of the dispatches since the last call.
    pub fn take(&mut self) -> Vec<DispatchTime> {
        std::mem::take(&mut self.done)
    }
}
