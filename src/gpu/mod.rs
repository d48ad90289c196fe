//! The GPU device: the only place that names `wgpu`. Kernels become pipelines, dispatches are recorded as plain
//! data, submitted late, and read back only when asked.

mod adapter;
mod buffers;
mod cache;
mod faults;
mod memory;
mod options;
mod pipeline;
mod reading;
mod recorder;
mod timestamps;
mod trusted;

use std::sync::{Arc, Mutex, MutexGuard};

pub use ::wgpu;
pub use adapter::{AdapterReport, adapters};
use buffers::Buffers;
use cache::Cache;
use faults::Faults;
pub use memory::BufferPart;
pub(crate) use memory::Memory;
use memory::Pool;
pub use options::GpuOptions;
pub(crate) use pipeline::Binding;
use pipeline::Pipelines;
pub(crate) use reading::Reading;
use recorder::Recorder;
pub use timestamps::DispatchTime;
use timestamps::Timestamps;

use crate::error::{Error, Result};
use crate::kernel::Program;

/// Bytes from which an upload goes to its buffer directly, after what was recorded is submitted.
const LARGE_UPLOAD: usize = 1 << 20;

pub(crate) struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: Pipelines,
    pool: Arc<Pool>,
    recorder: Mutex<Recorder>,
    faults: Faults,
    buffers: Buffers,
    pub report: AdapterReport,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a thread panicked while it held the GPU's state")
}

impl Gpu {
    /// The best adapter that the environment allows.
    pub async fn new(options: &GpuOptions) -> Result<Self> {
        let adapter = adapter::best().await?;
        let (device, queue) = adapter::open(&adapter, options).await?;
        let gpu = Self::with(adapter.get_info(), device, queue, options);
        gpu.faults.listen(&gpu.device);
        Ok(gpu)
    }

    /// A device of the host application. Its error handlers stay in place.
    pub fn adopt(info: wgpu::AdapterInfo, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self::with(info, device, queue, &GpuOptions::default())
    }

    fn with(info: wgpu::AdapterInfo, device: wgpu::Device, queue: wgpu::Queue, options: &GpuOptions) -> Self {
        let report = AdapterReport::new(&info, device.features(), &device.limits());
        let faults = Faults::default();
        let buffers = Buffers::new(device.clone(), faults.clone());
        let timestamps = options.timestamps.then(|| Timestamps::new(&device, &queue, &buffers));
        #[cfg(not(target_arch = "wasm32"))]
        let cache = options.pipeline_cache.as_ref().map_or_else(Cache::default, |path| Cache::open(&device, path));
        #[cfg(target_arch = "wasm32")]
        let cache = Cache::default();
        Self {
            pipelines: Pipelines::new(device.clone(), faults.clone(), cache),
            pool: Arc::new(Pool::new(buffers.clone(), &device.limits())),
            recorder: Mutex::new(Recorder::new(device.clone(), faults.clone(), buffers.clone(), timestamps)),
            faults,
            buffers,
            report,
            device,
            queue,
        }
    }

    /// Buffers made since the device was opened.
    pub fn buffers_made(&self) -> usize {
        self.buffers.made()
    }

    /// Times of the dispatches since the last call, after submitting all work recorded so far.
    pub fn take_times(&self) -> Result<Vec<DispatchTime>> {
        self.flush()?;
        Ok(lock(&self.recorder).take_times())
    }

    /// The error that the driver reported, once; a lost device stays lost.
    fn check(&self) -> Result<()> {
        self.faults.check()
    }

    /// Memory with undefined content.
    pub fn alloc(&self, op: &'static str, words: usize) -> Result<Arc<Memory>> {
        let memory = self.pool.alloc(op, words)?;
        self.check()?;
        Ok(memory)
    }

    /// Writes to the front of `memory`, after all work recorded so far.
    pub fn upload(&self, memory: &Memory, words: &[f32]) -> Result<()> {
        let bytes = bytemuck::cast_slice(words);
        let mut recorder = lock(&self.recorder);
        if bytes.len() < LARGE_UPLOAD {
            recorder.upload(memory.buffer(), bytes);
            if recorder.is_full() {
                recorder.submit(&self.queue, None);
            }
        } else {
            recorder.submit(&self.queue, None);
            self.faults.guard_work(&self.device, || self.queue.write_buffer(memory.buffer(), 0, bytes));
        }
        drop(recorder);
        self.check()
    }

    /// Checks that `groups`, whose invocations loop so often, fit the adapter.
    pub fn check_dispatch(&self, op: &'static str, groups: [u32; 3], loops: u64) -> Result<()> {
        let allowed = self.report.max_loops;
        if loops > allowed {
            return Err(Error::Limit { op, limit: "iterations of loops on this adapter", needed: loops, allowed });
        }
        let allowed = self.report.max_groups;
        match groups.into_iter().find(|&n| n > allowed) {
            Some(n) => Err(Error::Limit {
                op,
                limit: "maxComputeWorkgroupsPerDimension",
                needed: n as u64,
                allowed: allowed as u64,
            }),
            None => Ok(()),
        }
    }

    /// Binds buffers to a kernel, for any number of dispatches.
    pub fn bind(&self, program: &Program, buffers: Vec<Arc<Memory>>) -> Result<Binding> {
        if program.subgroup != 0 && program.subgroup != self.report.subgroup {
            let (needed, allowed) = (program.subgroup.into(), self.report.subgroup.into());
            return Err(Error::Limit { op: program.name, limit: "lanes of a subgroup", needed, allowed });
        }
        let pipeline = self.pipelines.get(program);
        self.check()?;
        Ok(Binding::new(pipeline, buffers))
    }

    /// Records one dispatch.
    pub fn dispatch(&self, binding: &mut Binding, params: &[u8], groups: [u32; 3], work: u64) -> Result<()> {
        let mut recorder = lock(&self.recorder);
        recorder.dispatch(binding, params, groups, work);
        if recorder.is_full() {
            recorder.submit(&self.queue, None);
            drop(recorder);
            self.check()?;
        }
        Ok(())
    }

    /// Submits what was recorded.
    pub fn flush(&self) -> Result<()> {
        lock(&self.recorder).submit(&self.queue, None);
        self.check()
    }

    /// Where the first `words` words of `memory` are, after submitting all work recorded so far.
    pub fn part(&self, memory: &Memory, words: usize) -> Result<BufferPart> {
        self.flush()?;
        Ok(BufferPart { buffer: memory.buffer().clone(), offset: 0, bytes: 4 * words as u64 })
    }

    /// Dispatches recorded and not yet submitted.
    pub fn pending(&self) -> usize {
        lock(&self.recorder).pending()
    }

    /// Waits until everything submitted is done.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<()> {
        self.flush()?;
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| Error::Gpu(e.to_string()))?;
        self.check()
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // What was recorded and never read has no effect that anyone could see.
        self.pool.close();
        self.pipelines.save();
    }
}
