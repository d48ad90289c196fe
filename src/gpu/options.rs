//! Options for opening or adopting a GPU device.

use super::pace::Pacing;
use crate::tuning::Tuning;

/// How a GPU is opened or adopted; see [`Device::gpu_with`](crate::Device::gpu_with) and
/// [`Device::from_wgpu_with`](crate::Device::from_wgpu_with).
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Measure every dispatch by the adapter's clock: each is a pass of its own, and every submission is waited for.
    /// For profiling; natively only. See [`Device::take_times`](crate::Device::take_times).
    pub timestamps: bool,
    /// Where compiled pipelines are kept between runs of the program, if the adapter can (Vulkan): read when the
    /// device is opened, written when it is dropped. Drivers trust such a file: keep it where only the user writes.
    #[cfg(not(target_arch = "wasm32"))]
    pub pipeline_cache: Option<std::path::PathBuf>,
    /// Choices measured on this adapter, see `Device::tune`. Rules decide the others.
    pub tuning: Option<Tuning>,
    /// How work is split into submissions.
    pub pacing: Pacing,
}
