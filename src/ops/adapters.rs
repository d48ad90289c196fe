//! Properties of a device's adapter that decide which plans and shaders the rules choose.

use crate::device::Device;
use crate::kernel::Kernel;
use crate::kernels::MatMulSubgroup;

/// Whether the adapter computes on the CPU.
pub(crate) fn is_software(device: &Device) -> bool {
    device.is_gpu() && !device.info().is_hardware_gpu()
}

/// Whether the adapter computes on the CPU, in subgroups of eight lanes; see ADR 0017.
pub(crate) fn has_narrow_subgroups(device: &Device) -> bool {
    !device.info().is_hardware_gpu() && device.subgroup() == MatMulSubgroup::SUBGROUP
}

/// Whether workgroup memory is ordinary cached memory.
#[cfg(feature = "gpu")]
pub(crate) fn has_cached_workgroup_memory(device: &Device) -> bool {
    device.info().adapter.as_ref().is_some_and(|a| a.cached_workgroup_memory)
}

#[cfg(not(feature = "gpu"))]
pub(crate) fn has_cached_workgroup_memory(_: &Device) -> bool {
    false
}

/// Number of invocations that hide each other's waits for memory; 0 unless this is a hardware GPU. Estimates, from the
/// lanes that GPUs of each class have: see `docs/performance.md`.
#[cfg(feature = "gpu")]
pub(crate) fn busy(device: &Device) -> u64 {
    use crate::gpu::AdapterClass::{Discrete, Integrated, Mobile, Software};
    device.info().adapter.as_ref().map_or(0, |adapter| match adapter.class {
        Discrete => 4096,
        Integrated | Mobile => 2048,
        Software => 0,
    })
}

#[cfg(not(feature = "gpu"))]
pub(crate) fn busy(_: &Device) -> u64 {
    0
}
