//! Description of a device, and its memory use.

#[cfg(feature = "gpu")]
use crate::gpu::AdapterReport;

/// Memory of a device's tensors, in bytes. Clones that share memory count once. Internal memory of kernels and drivers
/// does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Memory of all live tensors.
    pub live: usize,
    /// Maximum of `live` since the last [`Device::reset_peak`](crate::Device::reset_peak).
    pub peak: usize,
}

/// Describes a device, and why it was chosen.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// `cpu` and its instruction set, or the adapter's name.
    pub name: String,
    /// Why [`Device::auto`](crate::Device::auto) chose this device, or how it was opened otherwise.
    pub reason: String,
    /// The adapter, on a GPU.
    #[cfg(feature = "gpu")]
    pub adapter: Option<AdapterReport>,
}

impl DeviceInfo {
    /// Whether this is a hardware GPU: neither the CPU nor a software adapter.
    pub fn is_hardware_gpu(&self) -> bool {
        #[cfg(feature = "gpu")]
        return self.adapter.as_ref().is_some_and(|a| !a.is_software());
        #[cfg(not(feature = "gpu"))]
        false
    }
}
