//! Devices: the CPU or a GPU, chosen at run time.

mod info;
mod memory;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use crate::cpu::{Cpu, CpuOptions, recording};
#[cfg(any(feature = "gpu", doc))]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu::{self, DispatchTime, Gpu, GpuOptions};
use crate::tuning::{Rules, Tuned, Tuning};
#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
use crate::wait;

pub use info::{DeviceInfo, MemoryUse};
pub(crate) use memory::{Memory, Reading};

/// A CPU or a GPU. Cheap to clone; all clones refer to the same device.
///
/// ```
/// use wgru::{Device, Tensor};
/// let device = Device::cpu();
/// let x = Tensor::from_slice(&device, &[1.0, 2.0], &[2])?;
/// assert_eq!(x.read_blocking()?, [1.0, 2.0]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    engine: Engine,
    info: DeviceInfo,
    /// Serial number within this process, to distinguish devices of the same name in messages.
    number: usize,
    /// Current bytes of tensors.
    live: AtomicUsize,
    /// Maximum of `live` since [`Device::reset_peak`].
    peak: AtomicUsize,
    tuned: Mutex<Tuned>,
    /// The rules for decisions that tuning did not make, once they are known.
    rules: Mutex<Option<Rules>>,
}

impl Inner {
    fn new(engine: Engine, info: DeviceInfo) -> Self {
        static OPENED: AtomicUsize = AtomicUsize::new(0);
        let number = OPENED.fetch_add(1, Ordering::Relaxed) + 1;
        let (tuned, rules) = Default::default();
        Self { engine, info, number, live: AtomicUsize::new(0), peak: AtomicUsize::new(0), tuned, rules }
    }
}

pub(crate) enum Engine {
    Cpu(Cpu),
    #[cfg(feature = "gpu")]
    Gpu(Box<Gpu>),
}

/// Calls a function of the GPU, or returns a constant on the CPU.
macro_rules! on_gpu {
    ($device:ident, $cpu:expr, |$gpu:ident| $run:expr) => {
        match &$device.0.engine {
            Engine::Cpu(_) => $cpu,
            #[cfg(feature = "gpu")]
            Engine::Gpu($gpu) => $run,
        }
    };
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({})", self.0.info.name)
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Device {
    /// Returns the CPU with default options. It is always available.
    pub fn cpu() -> Self {
        Self::from_cpu(Cpu::best(), "requested".into())
    }

    /// Returns the CPU with the given options.
    ///
    /// # Errors
    /// [`Error::Value`] for a number of threads out of range, or an instruction set that the processor lacks.
    pub fn cpu_with(options: CpuOptions) -> Result<Self> {
        Ok(Self::from_cpu(Cpu::new(options)?, "requested".into()))
    }

    fn from_cpu(engine: Cpu, reason: String) -> Self {
        let info = DeviceInfo {
            name: engine.name(),
            reason,
            #[cfg(feature = "gpu")]
            adapter: None,
        };
        Self(Arc::new(Inner::new(Engine::Cpu(engine), info)))
    }

    /// Opens the best GPU: discrete before integrated before software. `WGRU_BACKEND` (vulkan, metal, dx12, or gl with
    /// the feature `gl`) and `WGRU_ADAPTER` (part of the name) narrow the choice.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if no adapter matches; the message lists those that exist. Never falls back to the CPU.
    #[cfg(feature = "gpu")]
    pub async fn gpu() -> Result<Self> {
        Self::gpu_with(GpuOptions::default()).await
    }

    /// Like [`Device::gpu`], with options such as timestamps or a cache of compiled pipelines.
    ///
    /// ```no_run
    /// use wgru::{Device, GpuOptions};
    /// let options = GpuOptions { timestamps: true, ..GpuOptions::default() };
    /// let device = pollster::block_on(Device::gpu_with(options))?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// Same as [`Device::gpu`]; [`Error::Value`] for timestamps on an adapter that does not support them.
    #[cfg(feature = "gpu")]
    pub async fn gpu_with(options: GpuOptions) -> Result<Self> {
        let device = Self::from_gpu(Gpu::new(&options).await?, "requested".into());
        if let Some(tuning) = &options.tuning {
            device.set_tuning(tuning);
        }
        Ok(device)
    }

    /// Like [`Device::gpu`], but blocks until the GPU is open.
    ///
    /// # Errors
    /// Same as [`Device::gpu`].
    #[cfg(all(feature = "gpu", any(not(target_arch = "wasm32"), wgru_jspi)))]
    pub fn gpu_blocking() -> Result<Self> {
        wait::block_on(Self::gpu())
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn from_gpu(gpu: Gpu, reason: String) -> Self {
        let info = DeviceInfo { name: gpu.report().name.clone(), reason, adapter: Some(gpu.report().clone()) };
        Self(Arc::new(Inner::new(Engine::Gpu(Box::new(gpu)), info)))
    }

    /// Opens a hardware GPU if there is one, else the CPU. [`Device::info`] has the reason.
    ///
    /// `WGRU_BACKEND=cpu` forces the CPU. Other values of `WGRU_BACKEND` (except `auto`), and any of `WGRU_ADAPTER`,
    /// force a GPU, even a software adapter.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], only if the environment variables select an adapter that does not exist; other errors if
    /// the adapter fails to open.
    pub async fn auto() -> Result<Self> {
        #[cfg(feature = "gpu")]
        {
            let backend = gpu::setting("WGRU_BACKEND").unwrap_or_default();
            let because = |why: &str| Ok(Self::from_cpu(Cpu::best(), why.into()));
            if backend.eq_ignore_ascii_case("cpu") {
                return because("WGRU_BACKEND=cpu");
            }
            let forced = !matches!(&*backend.to_ascii_lowercase(), "" | "auto")
                || gpu::setting("WGRU_ADAPTER").is_some_and(|v| !v.is_empty());
            match Gpu::new(&GpuOptions::default()).await {
                Ok(gpu) if forced => Ok(Self::from_gpu(gpu, "requested by the environment variables".into())),
                Ok(gpu) if gpu.report().is_software() => {
                    let name = match &*gpu.report().name {
                        // Browsers hide it.
                        "" => String::new(),
                        name => format!(", {name},"),
                    };
                    because(&format!("the only adapter{name} is a software adapter, slower than the CPU device"))
                }
                Ok(gpu) => Ok(Self::from_gpu(gpu, "the best adapter".into())),
                Err(Error::NoAdapter(why)) if !forced => because(&format!("no adapter: {why}")),
                Err(error) => Err(error),
            }
        }
        #[cfg(not(feature = "gpu"))]
        Ok(Self::from_cpu(Cpu::best(), "built without the feature `gpu`".into()))
    }

    /// Like [`Device::auto`], but blocks until the device is open.
    ///
    /// # Errors
    /// Same as [`Device::auto`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn auto_blocking() -> Result<Self> {
        wait::block_on(Self::auto())
    }

    /// Describes this device, and why it was chosen.
    pub fn info(&self) -> &DeviceInfo {
        &self.0.info
    }

    /// Whether kernels run as shaders. Also true for software adapters.
    pub fn is_gpu(&self) -> bool {
        !matches!(self.0.engine, Engine::Cpu(_))
    }

    /// Returns the memory of this device's tensors, now and at the peak, for example to find out how much a training
    /// step takes.
    ///
    /// ```
    /// use wgru::{Device, Tensor};
    /// let device = Device::cpu();
    /// drop(Tensor::zeros(&device, &[100])?);
    /// let x = Tensor::zeros(&device, &[10])?;
    /// assert_eq!((device.memory_use().live, device.memory_use().peak), (40, 400));
    /// device.reset_peak();
    /// assert_eq!(device.memory_use().peak, 40);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    pub fn memory_use(&self) -> MemoryUse {
        MemoryUse { live: self.0.live.load(Ordering::Relaxed), peak: self.0.peak.load(Ordering::Relaxed) }
    }

    /// Resets the [peak](MemoryUse::peak) to the memory of the tensors that are live now.
    pub fn reset_peak(&self) {
        self.0.peak.store(self.0.live.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn count(&self, bytes: usize) {
        let live = self.0.live.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.0.peak.fetch_max(live, Ordering::Relaxed);
    }

    pub(crate) fn uncount(&self, bytes: usize) {
        self.0.live.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns the measured choices that are in use. Choices of the built-in rules are not included.
    pub fn tuning(&self) -> Tuning {
        Tuning::of(self.adapter_key(), self.tuned().choices.clone())
    }

    /// Uses the choices of `tuning` for this device's adapter and driver, and the built-in rules for everything else.
    /// Returns whether `tuning` has choices for them.
    pub fn set_tuning(&self, tuning: &Tuning) -> bool {
        let choices = tuning.choices(&self.adapter_key());
        let is_known = !choices.is_empty();
        *self.tuned() = Tuned { choices, asked: None };
        is_known
    }

    /// Returns the key of this device in a [`Tuning`]: adapter, backend and driver, or the device's name on the CPU.
    fn adapter_key(&self) -> String {
        #[cfg(feature = "gpu")]
        if let Some(a) = &self.info().adapter {
            return format!("{}, {}, {}", a.name, a.backend, a.driver);
        }
        self.info().name.clone()
    }

    pub(crate) fn tuned(&self) -> MutexGuard<'_, Tuned> {
        self.0.tuned.lock().expect("nothing panics while it holds the choices")
    }

    pub(crate) fn rules(&self) -> MutexGuard<'_, Option<Rules>> {
        self.0.rules.lock().expect("nothing panics while it holds the rules")
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn as_gpu(&self) -> Option<&Gpu> {
        match &self.0.engine {
            Engine::Cpu(_) => None,
            Engine::Gpu(gpu) => Some(gpu),
        }
    }

    /// Whether the device was lost: destroyed, unplugged, or reset by its driver. Every call then returns
    /// [`Error::DeviceLost`]. Open another device and continue from copies in host memory, such as those of
    /// [`Trainer::keep_every`](crate::train::Trainer::keep_every). The CPU is never lost.
    pub fn is_lost(&self) -> bool {
        on_gpu!(self, false, |gpu| gpu.is_lost())
    }

    /// Drops recorded work that is not submitted yet. The tensors that it would have written become undefined,
    /// including the parameters of an unfinished update: reading them returns [`Error::Stopped`] until
    /// [`assign`](crate::Tensor::assign) writes them. To discard a single result, drop its tensor instead: work whose
    /// results are dropped before it is submitted does not run.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cancel(&self) {
        #[cfg(feature = "gpu")]
        if let Engine::Gpu(gpu) = &self.0.engine {
            gpu.cancel();
        }
    }

    /// With `always`, disables dead-code elimination for measurements: work runs even if its results were dropped.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn run_dropped(&self, always: bool) {
        #[cfg(feature = "gpu")]
        if let Engine::Gpu(gpu) = &self.0.engine {
            gpu.run_dropped(always);
        }
        #[cfg(not(feature = "gpu"))]
        let _ = always;
    }

    /// Lets the device's driver thread submit the recorded work, without waiting for it. With `Pacing::Slice`, it
    /// submits in slices. [`flush`](Self::flush) submits on the calling thread instead.
    ///
    /// # Errors
    /// [`Error::DeviceLost`]; [`Error::Gpu`] if the system refuses to create the thread.
    pub fn submit_later(&self) -> Result<()> {
        on_gpu!(self, Ok(()), |gpu| gpu.submit_later())
    }

    /// Backpressure for custom training loops on a device with `Pacing::Slice`: waits, without blocking the thread,
    /// until little of the recorded work is left to submit. Call it after every update, so that work does not pile up.
    /// On other devices it returns at once.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub async fn catch_up(&self) -> Result<()> {
        on_gpu!(self, Ok(()), |gpu| gpu.catch_up().await)
    }

    /// Submits the recorded work on the calling thread. Readbacks do so by themselves.
    ///
    /// Drivers may block the thread while the GPU is busy; see [`submit_later`](Self::submit_later). Work whose results
    /// are dropped does not run. If a kernel fails, reading its results returns the error.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn flush(&self) -> Result<()> {
        on_gpu!(self, Ok(()), |gpu| gpu.flush())
    }

    /// Submits the recorded work and waits until it is done, for measurements. Keep the results until then: work whose
    /// results are dropped before it is submitted does not run.
    ///
    /// # Errors
    /// Same as [`Device::flush`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait_blocking(&self) -> Result<()> {
        on_gpu!(self, Ok(()), |gpu| gpu.wait())
    }

    /// Returns the number of GPU buffers that this device has created. In a steady state it creates none, because
    /// dropped buffers are recycled. 0 on the CPU.
    pub fn buffers_made(&self) -> usize {
        on_gpu!(self, 0, |gpu| gpu.buffers_made())
    }

    /// Submits the recorded work, and returns the start and duration of each dispatch since the last call. Empty unless
    /// the device was opened with [`GpuOptions::timestamps`].
    ///
    /// # Errors
    /// Same as [`Device::flush`].
    #[cfg(feature = "gpu")]
    pub fn take_times_blocking(&self) -> Result<Vec<DispatchTime>> {
        match &self.0.engine {
            Engine::Cpu(_) => Ok(Vec::new()),
            Engine::Gpu(gpu) => gpu.take_times_blocking(),
        }
    }

    /// Whether this is the CPU and `rows` sequences are too few to occupy all of its threads.
    pub(crate) fn has_idle_threads(&self, rows: usize) -> bool {
        matches!(&self.0.engine, Engine::Cpu(cpu) if cpu.has_idle_threads(rows))
    }

    /// Returns the number of lanes per subgroup if shaders may use subgroups and all have the same size, else 0.
    pub(crate) fn subgroup(&self) -> u32 {
        #[cfg(feature = "gpu")]
        return self.info().adapter.as_ref().map_or(0, |a| a.subgroup);
        #[cfg(not(feature = "gpu"))]
        0
    }

    /// Returns the number of dispatches that are recorded but not yet submitted; 0 on the CPU.
    pub fn pending(&self) -> usize {
        on_gpu!(self, 0, |gpu| gpu.pending())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Returns the name for messages, with the serial number if `other` has the same name.
    pub(crate) fn title(&self, other: &Self) -> String {
        match &self.0.info.name {
            name if *name == other.0.info.name => format!("{name} (device {} of this process)", self.0.number),
            name => name.clone(),
        }
    }

    pub(crate) fn alloc(&self, op: &'static str, words: usize) -> Result<Memory> {
        match &self.0.engine {
            Engine::Cpu(cpu) => Ok(Memory::Cpu(cpu.store.try_alloc(op, words.max(1))?)),
            #[cfg(feature = "gpu")]
            Engine::Gpu(gpu) => Ok(Memory::Gpu(gpu.alloc(op, words)?)),
        }
    }

    pub(crate) fn upload(&self, memory: &Memory, words: &[f32]) -> Result<()> {
        match &self.0.engine {
            Engine::Cpu(_) => {
                recording::wrote(memory.cpu());
                memory.cpu().overwrite(words);
                Ok(())
            }
            #[cfg(feature = "gpu")]
            Engine::Gpu(gpu) => gpu.upload(memory.gpu(), words),
        }
    }

    /// Starts readbacks of parts of memory, the first words of each, in one submission. Does not wait;
    /// [`poll_read`](Self::poll_read) returns the words once they have arrived.
    pub(crate) fn start_reads(&self, parts: &[(&Memory, usize)]) -> Result<Vec<Reading>> {
        match &self.0.engine {
            Engine::Cpu(_) => {
                let words = |&(memory, words): &(&Memory, usize)| {
                    recording::read(memory.cpu());
                    memory.cpu().read()[..words].to_vec()
                };
                Ok(parts.iter().map(|part| Reading::Done(words(part))).collect())
            }
            #[cfg(feature = "gpu")]
            Engine::Gpu(gpu) => {
                let parts: Vec<_> = parts.iter().map(|(memory, words)| (memory.gpu(), *words)).collect();
                Ok(gpu.start_reads(&parts)?.into_iter().map(Reading::Gpu).collect())
            }
        }
    }

    /// Returns the words of a readback of this device if they have arrived. Does not wait.
    pub(crate) fn poll_read(&self, reading: &mut Reading) -> Result<Option<Vec<f32>>> {
        match (&self.0.engine, reading) {
            (_, Reading::Done(words)) => Ok(Some(std::mem::take(words))),
            #[cfg(feature = "gpu")]
            (Engine::Gpu(gpu), Reading::Gpu(reading)) => gpu.poll_read(reading),
            #[cfg(feature = "gpu")]
            (Engine::Cpu(_), Reading::Gpu(_)) => unreachable!("started by this device"),
        }
    }

    /// Waits until the words of a readback of this device have arrived, and returns them.
    pub(crate) fn finish_read(&self, mut reading: Reading) -> impl Future<Output = Result<Vec<f32>>> {
        std::future::poll_fn(move |_context| match (&self.0.engine, &mut reading) {
            (_, Reading::Done(words)) => Poll::Ready(Ok(std::mem::take(words))),
            #[cfg(feature = "gpu")]
            (Engine::Gpu(gpu), Reading::Gpu(reading)) => gpu.poll_wake(reading, _context),
            #[cfg(feature = "gpu")]
            (Engine::Cpu(_), Reading::Gpu(_)) => unreachable!("started by this device"),
        })
    }

    pub(crate) fn read_now(&self, memory: &Memory, words: usize) -> Result<Vec<f32>> {
        match &self.0.engine {
            Engine::Cpu(_) => {
                recording::read(memory.cpu());
                Ok(memory.cpu().read()[..words].to_vec())
            }
            #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
            Engine::Gpu(gpu) => gpu.read_blocking(memory.gpu(), words),
            #[cfg(all(feature = "gpu", wgru_jspi))]
            Engine::Gpu(_) => wait::block_on(async {
                let readings = self.start_reads(&[(memory, words)])?;
                self.finish_read(readings.into_iter().next().expect("one")).await
            }),
            #[cfg(all(feature = "gpu", target_arch = "wasm32", not(wgru_jspi)))]
            Engine::Gpu(_) => {
                Err(Error::value("Tensor::read", "device", "the CPU, because a browser cannot wait for a GPU", "a GPU"))
            }
        }
    }
}
