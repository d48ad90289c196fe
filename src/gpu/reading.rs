//! Readbacks, asynchronous and blocking.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::oneshot::{Receiver, channel};

use super::recorder::Copy;
#[cfg(not(target_arch = "wasm32"))]
use super::recorder::Size;
use super::{Gpu, Memory, lock};
use crate::error::{Error, Result};

/// A pending readback. Dropping it cancels the readback unless it has been submitted.
pub(crate) struct Reading {
    staging: wgpu::Buffer,
    words: usize,
    mapped: Receiver<Result<()>>,
}

impl Gpu {
    /// Records the readback of the first `words` words of `memory`, after all work recorded so far.
    fn record_read(&self, memory: &Arc<Memory>, words: usize) -> Result<Reading> {
        let core = &self.core;
        core.faults.check()?;
        memory.content().check_read()?;
        let bytes = 4 * words as u64;
        let staging = core.pool.staging(words, || core.free_dropped())?;
        let (done, mapped) = channel();
        let copy = Copy { from: memory.clone(), to: staging.clone(), bytes, done };
        lock(&core.recorder).copy(copy)?;
        Ok(Reading { staging, words, mapped })
    }

    /// Starts readbacks of parts of memory, the first `words` words of each, in one submission. Does not block the
    /// calling thread.
    pub fn start_reads(&self, parts: &[(&Arc<Memory>, usize)]) -> Result<Vec<Reading>> {
        let mut readings = Vec::with_capacity(parts.len());
        for (memory, words) in parts {
            readings.push(self.record_read(memory, *words)?);
        }
        self.submit_later()?;
        Ok(readings)
    }

    /// Returns the words if they have arrived, without waiting. In a browser they can arrive only while the page's
    /// event loop runs.
    pub fn poll_read(&self, reading: &mut Reading) -> Result<Option<Vec<f32>>> {
        match reading.mapped.try_recv() {
            Ok(None) => Ok(None),
            Ok(Some(mapped)) => self.take(reading, mapped).map(Some),
            Err(_) => Err(self.core.faults.lost()),
        }
    }

    /// Like [`poll_read`](Self::poll_read), for a future: wakes its task when the words arrive.
    pub fn poll_wake(&self, reading: &mut Reading, context: &mut Context<'_>) -> Poll<Result<Vec<f32>>> {
        Pin::new(&mut reading.mapped).poll(context).map(|mapped| match mapped {
            Ok(mapped) => self.take(reading, mapped),
            Err(_) => Err(self.core.faults.lost()),
        })
    }

    /// Reads the first `words` words of `memory` back. This thread submits all work recorded so far, and waits for it.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_blocking(&self, memory: &Arc<Memory>, words: usize) -> Result<Vec<f32>> {
        let mut reading = self.record_read(memory, words)?;
        let mut submission_index = self.core.submit_all(Size::LARGEST);
        loop {
            if let Some(words) = self.poll_read(&mut reading)? {
                return Ok(words);
            }
            self.core.faults.check()?;
            // If the driver thread submitted the readback, its submission index is not known here.
            self.core.faults.poll(wgpu::PollType::Wait { submission_index: submission_index.take(), timeout: None })?;
        }
    }

    fn take(&self, reading: &Reading, mapped: Result<()>) -> Result<Vec<f32>> {
        self.core.faults.check()?;
        self.copy_out(reading, mapped).map_err(|error| self.core.faults.explain(error))
    }

    /// Copies the words out of the mapped staging buffer, and returns the buffer to the pool.
    fn copy_out(&self, reading: &Reading, mapped: Result<()>) -> Result<Vec<f32>> {
        mapped?;
        let Reading { staging, words, .. } = reading;
        let out = {
            let range = staging.slice(..4 * *words as u64).get_mapped_range();
            let view = range.map_err(|e| Error::Gpu(e.to_string()))?;
            // Copied as bytes: in a browser, a mapped range may not be aligned to words.
            let mut out = vec![0.0f32; *words];
            bytemuck::cast_slice_mut::<f32, u8>(&mut out).copy_from_slice(&view);
            out
        };
        self.core.faults.guard("Tensor::read", || staging.unmap())?;
        self.core.pool.give_staging(staging.clone());
        Ok(out)
    }
}
