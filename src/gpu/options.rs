//! Options for opening or adopting a GPU device.

use super::pace::Pacing;
use crate::tuning::Tuning;

/// How a GPU is opened or adopted; see [`Device::gpu_with`](crate::Device::gpu_with) and
/// [`Device::from_wgpu_with`](crate::Device::from_wgpu_with).
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Times every dispatch with the adapter's clock, for profiling. Each dispatch becomes its own compute pass, and
    /// every submission waits for the GPU. Native only. See [`Device::take_times_blocking`](crate::Device::take_times_blocking).
    pub timestamps: bool,
    /// Part of the adapter's name, without regard to case; `None` uses the environment variable `WGRU_ADAPTER`.
    pub adapter: Option<String>,
    /// File that caches compiled pipelines between runs of the program, on adapters that support it (Vulkan). It is
    /// read when the device is opened, and written when it is dropped. Drivers trust its content, so only the user may
    /// have write access to it.
    #[cfg(not(target_arch = "wasm32"))]
    pub pipeline_cache: Option<std::path::PathBuf>,
    /// Choices measured on this adapter; see `Device::tune`. Built-in rules make all other choices.
    pub tuning: Option<Tuning>,
    /// How work is split into submissions.
    pub pacing: Pacing,
}
