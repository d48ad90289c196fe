//! The GPU device: the only module that uses `wgpu`. Compiles kernels into pipelines, records dispatches as plain data,
//! submits them late, and reads results back on request.

mod adapter;
mod buffers;
mod cache;
mod content;
mod core;
#[cfg(not(target_arch = "wasm32"))]
mod driver;
#[cfg(not(target_arch = "wasm32"))]
mod events;
#[cfg(target_arch = "wasm32")]
mod events {
    //! Browsers have no driver thread that waits for events.
    #[derive(Clone, Default)]
    pub(super) struct Events;
}
mod faults;
#[cfg(not(target_arch = "wasm32"))]
mod host;
mod limits;
mod memory;
mod options;
mod pace;
mod pipeline;
mod reading;
mod recorder;
mod requirements;
mod submit;
mod timestamps;
mod trusted;

use std::sync::{Arc, Mutex};

use self::core::{Core, lock};
pub use ::wgpu;
pub(crate) use adapter::setting;
pub use adapter::{AdapterClass, AdapterReport, adapters};
use buffers::Buffers;
use cache::Cache;
#[cfg(not(target_arch = "wasm32"))]
use driver::Driver;
use events::Events;
use faults::Faults;
#[cfg(not(target_arch = "wasm32"))]
pub use host::EncodedWork;
pub use memory::BufferPart;
pub(crate) use memory::Memory;
use memory::Pool;
pub use options::GpuOptions;
use pace::Pace;
pub use pace::Pacing;
pub(crate) use pipeline::Binding;
use pipeline::Pipelines;
pub(crate) use reading::Reading;
use recorder::{Recorder, Size};
pub use requirements::{DeviceNeeds, Requirements, requirements};
use submit::Submitter;
pub use timestamps::DispatchTime;
use timestamps::Timestamps;

use crate::error::{Error, Result};
use crate::kernel::Program;

/// Uploads of at least this many bytes are not recorded: pending work is submitted, and the buffer is written directly.
const LARGE_UPLOAD: usize = 1 << 20;

/// Backpressure: number of pending commands at which the thread that records on a paced device submits them itself.
const MOST_PENDING: usize = 1 << 16;

/// Backpressure: bytes of pending uploads at which the thread that records on a paced device submits them itself.
const MOST_UPLOADS: usize = 64 << 20;

/// One device. Dropping it discards recorded work that was not submitted.
pub(crate) struct Gpu {
    core: Arc<Core>,
    #[cfg(not(target_arch = "wasm32"))]
    driver: Driver,
    pipelines: Pipelines,
    /// Estimated cost of a loop iteration.
    iteration: u64,
}

impl Gpu {
    /// Opens the best adapter that the environment allows.
    pub async fn new(options: &GpuOptions) -> Result<Self> {
        let adapter = adapter::best(options.adapter.as_deref()).await?;
        let (device, queue) = adapter::open(&adapter, options).await?;
        let gpu = Self::with(adapter.get_info(), device, queue, options, false)?;
        gpu.core.faults.listen();
        Ok(gpu)
    }

    /// Adopts a device of the host application. The host's error handlers stay in place.
    pub fn adopt(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &GpuOptions,
    ) -> Result<Self> {
        if options.timestamps && !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let expected = "false, or a device with the feature TIMESTAMP_QUERY";
            return Err(Error::value("Device::from_wgpu", "timestamps", expected, true));
        }
        Self::with(adapter.get_info(), device, queue, options, true)
    }

    fn with(
        info: wgpu::AdapterInfo,
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &GpuOptions,
        is_adopted: bool,
    ) -> Result<Self> {
        let report = AdapterReport::new(&info, device.features(), &device.limits());
        let faults = Faults::new(&device);
        #[cfg(target_arch = "wasm32")]
        if is_adopted {
            faults.use_scopes();
        }
        faults.check()?;
        let buffers = Buffers::new(device.clone(), faults.clone());
        let timestamps = match options.timestamps {
            true => Some(Timestamps::new(&device, &queue, &buffers)?),
            false => None,
        };
        #[cfg(not(target_arch = "wasm32"))]
        let cache = options.pipeline_cache.as_ref().map_or_else(Cache::default, |path| Cache::open(&device, path));
        #[cfg(target_arch = "wasm32")]
        let cache = Cache::default();
        let slice = is_adopted.then(|| Pace::slice_of_adopted(report.is_software()));
        let (is_measured, pace) = (timestamps.is_some(), Pace::new(options.pacing, slice));
        let core = Core {
            pool: Arc::new(Pool::new(buffers.clone(), &device.limits())),
            recorder: Mutex::new(Recorder::new(device.clone(), faults.clone(), buffers.clone(), is_measured)),
            submitter: Mutex::new(Submitter::new(
                device.clone(),
                queue.clone(),
                faults.clone(),
                buffers.clone(),
                timestamps,
            )),
            #[cfg(not(target_arch = "wasm32"))]
            submitting: Mutex::default(),
            pace: Mutex::new(pace),
            events: Events::default(),
            buffers,
            #[cfg(not(target_arch = "wasm32"))]
            is_adopted,
            report,
            faults: faults.clone(),
            queue,
            device: device.clone(),
        };
        Ok(Self {
            pipelines: Pipelines::new(device, faults, cache),
            core: Arc::new(core),
            #[cfg(not(target_arch = "wasm32"))]
            driver: Driver::default(),
            iteration: pace::iteration(&info),
        })
    }

    pub fn report(&self) -> &AdapterReport {
        &self.core.report
    }

    /// Number of buffers created since the device was opened.
    pub fn buffers_made(&self) -> usize {
        self.core.buffers.made()
    }

    /// Whether the device is lost.
    pub fn is_lost(&self) -> bool {
        self.core.faults.is_lost()
    }

    pub fn wgpu(&self) -> (&wgpu::Device, &wgpu::Queue) {
        (&self.core.device, &self.core.queue)
    }

    pub fn set_pacing(&self, pacing: Pacing) {
        lock(&self.core.pace).set(pacing);
    }

    /// With `always`, disables dead-code elimination: commands run even if their results were dropped.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_dropped(&self, always: bool) {
        lock(&self.core.recorder).run_dropped(always);
    }

    /// Submits all recorded work and returns the times of the dispatches since the last call.
    pub fn take_times_blocking(&self) -> Result<Vec<DispatchTime>> {
        self.flush()?;
        let mut turn = self.core.turn();
        let timestamps = turn.as_mut().and_then(|turn| turn.timestamps.as_mut());
        Ok(timestamps.map_or_else(Vec::new, Timestamps::take))
    }

    /// Allocates memory with undefined contents.
    pub fn alloc(&self, op: &'static str, words: usize) -> Result<Arc<Memory>> {
        self.core.faults.check()?;
        self.core.pool.alloc(op, words, || self.core.free_dropped())
    }

    /// Writes to the front of `memory`, after all work recorded so far.
    pub fn upload(&self, memory: &Memory, words: &[f32]) -> Result<()> {
        let core = &self.core;
        core.faults.check()?;
        let bytes = bytemuck::cast_slice(words);
        let (size, is_paced) = self.size();
        if memory.is_void() {
            // Earlier recorded work must still see the elements as undefined.
            core.submit_all(Size::LARGEST);
        }
        if bytes.len() < LARGE_UPLOAD || is_paced {
            lock(&core.recorder).upload(memory, bytes)?;
            memory.content().fill();
            return self.submit_if_full(size, is_paced);
        }
        memory.content().check_write()?;
        core.submit_all(Size::LARGEST);
        let _turn = core.turn();
        core.faults.guard("upload", || core.queue.write_buffer(memory.buffer(), memory.offset(), bytes))?;
        memory.content().fill();
        Ok(())
    }

    /// Returns the size of a submission, and whether the device is paced, in which case the driver thread submits.
    fn size(&self) -> (Size, bool) {
        if cfg!(target_arch = "wasm32") {
            return (Size::LARGEST, false);
        }
        let pace = lock(&self.core.pace);
        (pace.size(), pace.slice().is_some())
    }

    /// Checks the workgroups, and the loop iterations of one invocation, against the limits of the adapter.
    pub fn check_dispatch(&self, op: &'static str, groups: [u32; 3], loops: u64) -> Result<()> {
        let allowed = self.core.report.max_loops;
        if loops > allowed {
            return Err(Error::Limit { op, limit: "iterations of loops on this adapter", needed: loops, allowed });
        }
        let allowed = self.core.report.max_groups;
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
        if program.subgroup != 0 && program.subgroup != self.core.report.subgroup {
            let (needed, allowed) = (program.subgroup.into(), self.core.report.subgroup.into());
            return Err(Error::Limit { op: program.name, limit: "lanes of a subgroup", needed, allowed });
        }
        self.core.faults.check_known()?;
        Ok(Binding::new(self.pipelines.get(program)?, buffers, program.reads.len()))
    }

    /// Records one dispatch of `work` multiply-adds, in which an invocation loops `loops` times.
    pub fn dispatch(
        &self,
        binding: &mut Binding,
        params: &[u8],
        groups: [u32; 3],
        [work, loops]: [u64; 2],
    ) -> Result<()> {
        self.core.faults.check_known()?;
        let (size, is_paced) = self.size();
        let cost = pace::cost(work, loops, self.iteration);
        lock(&self.core.recorder).dispatch(binding, params, groups, cost)?;
        self.submit_if_full(size, is_paced)
    }

    /// Submits the recorded work if it fills a submission.
    fn submit_if_full(&self, size: Size, is_paced: bool) -> Result<()> {
        let (is_full, is_large, uploads, recorded) = {
            let recorder = lock(&self.core.recorder);
            let (pending, uploads) = (recorder.pending(), recorder.upload_bytes());
            let is_large = pending >= MOST_PENDING || uploads >= MOST_UPLOADS;
            (recorder.is_full(size), is_large, uploads, recorder.recorded())
        };
        match (is_full, is_paced) {
            (false, _) => Ok(()),
            (true, true) if !is_large => {
                #[cfg(not(target_arch = "wasm32"))]
                if uploads >= LARGE_UPLOAD || self.core.is_idle(recorded) {
                    self.submit_later()?;
                }
                let _ = (recorded, uploads);
                Ok(())
            }
            (true, _) => {
                self.core.submit_all(Size::LARGEST);
                self.core.faults.check()
            }
        }
    }

    /// Has the driver thread submit the recorded work. In a browser, where `submit` never blocks, this thread submits.
    pub fn submit_later(&self) -> Result<()> {
        self.core.faults.check()?;
        #[cfg(not(target_arch = "wasm32"))]
        return self.driver.submit_later(&self.core);
        #[cfg(target_arch = "wasm32")]
        {
            self.core.submit_all(Size::LARGEST);
            Ok(())
        }
    }

    /// Submits the recorded work.
    pub fn flush(&self) -> Result<()> {
        let (size, _) = self.size();
        self.core.submit_all(size);
        self.core.faults.check()
    }

    /// Waits, without blocking a thread, until a paced device has little recorded work left to submit.
    pub async fn catch_up(&self) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        while self.core.is_behind() {
            let (sender, receiver) = futures_channel::oneshot::channel();
            self.core.events.update(|state| state.waiting.push(sender));
            self.submit_later()?;
            // Another thread may have submitted everything meanwhile.
            self.core.caught_up();
            let _ = receiver.await;
            self.core.faults.check_known()?;
        }
        Ok(())
    }

    /// Drops recorded work that was not submitted. Its results become undefined.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cancel(&self) {
        self.core.cancel();
    }

    /// Wraps a range of a host buffer.
    pub fn memory_of_host(&self, buffer: wgpu::Buffer, offset: u64, bytes: u64) -> Result<Memory> {
        const OP: &str = "Tensor::from_wgpu_buffer";
        let core = &self.core;
        core.faults.check()?;
        let limits = core.device.limits();
        let needed = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        if !buffer.usage().contains(needed) {
            return Err(Error::value(OP, "buffer", format!("the usages {needed:?}"), format!("{:?}", buffer.usage())));
        }
        let alignment = u64::from(limits.min_storage_buffer_offset_alignment);
        if !offset.is_multiple_of(alignment) {
            return Err(Error::value(OP, "offset", format!("a multiple of {alignment}"), offset));
        }
        // Bindings are at least 16 bytes long.
        if offset.checked_add(bytes.max(16)).is_none_or(|end| end > buffer.size()) {
            let expected = format!("at least {} bytes from offset {offset}", bytes.max(16));
            return Err(Error::value(OP, "buffer", expected, format!("{} bytes", buffer.size())));
        }
        if bytes > limits.max_storage_buffer_binding_size {
            let (limit, allowed) = ("maxStorageBufferBindingSize", limits.max_storage_buffer_binding_size);
            return Err(Error::Limit { op: OP, limit, needed: bytes, allowed });
        }
        // Validates the buffer with a command that is never submitted: wgpu rejects destroyed buffers and those of
        // other devices.
        core.faults.guard(OP, || {
            let mut encoder = core.device.create_command_encoder(&Default::default());
            encoder.clear_buffer(&buffer, offset, Some(4));
            encoder.finish();
        })?;
        Ok(Memory::of_host(buffer, offset, bytes.max(16)))
    }

    /// Submits all recorded work and returns the buffer range of the first `words` words of `memory`.
    pub fn part(&self, memory: &Memory, words: usize) -> Result<BufferPart> {
        self.flush()?;
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(why) = memory.content().why_void() {
            return Err(why.error());
        }
        Ok(BufferPart { buffer: memory.buffer().clone(), offset: memory.offset(), bytes: 4 * words as u64 })
    }

    /// Number of commands recorded and not yet submitted.
    pub fn pending(&self) -> usize {
        lock(&self.core.recorder).pending()
    }

    /// Submits the recorded work and waits until the GPU has finished all submitted work.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<()> {
        self.core.submit_all(Size::LARGEST);
        self.core.faults.poll(wgpu::PollType::wait_indefinitely())?;
        self.core.faults.check()
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // Recorded work is not submitted: without a readback it has no observable effect.
        #[cfg(not(target_arch = "wasm32"))]
        self.driver.close(&self.core);
        self.core.pool.close();
        self.pipelines.save();
    }
}
