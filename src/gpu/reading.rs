//! Blocking and non-blocking readback

use futures_channel::oneshot::{Receiver, channel};

use super::{Gpu, Memory, lock};
use crate::error::{Error, Result};

/// A pending readback.
pub(crate) struct Reading {
    staging: wgpu::Buffer,
    words: usize,
    mapped: Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Gpu {
    /// Starts to read the first `words` words of `memory`, after all work recorded so far.
    pub fn start_read(&self, memory: &Memory, words: usize) -> Result<Reading> {
        let staging = self.pool.staging(words)?;
        lock(&self.recorder).submit(&self.queue, Some((memory.buffer(), &staging, 4 * words as u64)));
        self.check()?;
        let (sender, mapped) = channel();
        self.faults.guard(&self.device, || {
            staging.slice(..4 * words as u64).map_async(wgpu::MapMode::Read, move |result| {
                let _ = sender.send(result);
            });
        });
        self.check()?;
        Ok(Reading { staging, words, mapped })
    }

    /// Returns the words if they have arrived, without waiting. In a browser they can arrive only while the page's event loop
    /// runs.
    pub fn poll_read(&self, reading: &mut Reading) -> Result<Option<Vec<f32>>> {
        #[cfg(not(target_arch = "wasm32"))]
        self.device.poll(wgpu::PollType::Poll).map_err(|e| Error::Gpu(e.to_string()))?;
        match reading.mapped.try_recv() {
            Ok(None) => Ok(None),
            Ok(Some(mapped)) => self.take(reading, mapped).map(Some),
            Err(canceled) => Err(Error::DeviceLost(canceled.to_string())),
        }
    }

    /// The first `words` words of `memory`, after all work recorded so far.
    pub async fn read(&self, memory: &Memory, words: usize) -> Result<Vec<f32>> {
        let mut reading = self.start_read(memory, words)?;
        #[cfg(not(target_arch = "wasm32"))]
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| Error::Gpu(e.to_string()))?;
        let mapped = (&mut reading.mapped).await;
        self.check()?;
        self.take(&reading, mapped.map_err(|e| Error::DeviceLost(e.to_string()))?)
    }

    fn take(&self, reading: &Reading, mapped: Result<(), wgpu::BufferAsyncError>) -> Result<Vec<f32>> {
        self.check()?;
        mapped.map_err(|e| Error::Gpu(e.to_string()))?;
        let Reading { staging, words, .. } = reading;
        let out = {
            let range = staging.slice(..4 * *words as u64).get_mapped_range();
            let view = range.map_err(|e| Error::Gpu(e.to_string()))?;
            // Copied as bytes: a mapped range in a browser need not be aligned to words.
            let mut out = vec![0.0f32; *words];
            bytemuck::cast_slice_mut::<f32, u8>(&mut out).copy_from_slice(&view);
            out
        };
        staging.unmap();
        self.pool.give_staging(staging.clone());
        Ok(out)
    }
}
