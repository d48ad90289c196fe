//! Shader modules without the checks that the contract makes needless.
#![allow(unsafe_code, reason = "modules that the contract proves right are made without run-time checks")]

use crate::kernel::Program;

/// The module of a kernel. What may be left out and why, for every shader of this crate:
///
/// - *Loops end.* Each counts one variable by a step that is not 0 to a bound that it does not change; the bounds
///   are parameters below 2^32, which `Kernel::check` accepted.
/// - *Indices lie in their buffers.* `Bound::run` compares every buffer with `Kernel::lens` before a dispatch, and
///   shaders index as their twins do; the twins run on slices of exactly those lengths in `tests/kernels/`, where
///   Rust checks every index. Where an index is itself read from a buffer (`Kernel::ADDRESSES`), that proves
///   nothing, and the check stays. It also stays for workgroup memory and private arrays on every backend that
///   asks for it there, since it is the same switch.
pub(super) fn shader_module(device: &wgpu::Device, program: &Program) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(program.wgsl.join("\n").into());
    let source = wgpu::ShaderModuleDescriptor { label: Some(program.name), source };
    let checks = wgpu::ShaderRuntimeChecks {
        bounds_checks: program.addresses,
        force_loop_bounding: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: the loops end and, unless they are checked, indices are in range, as said above.
    unsafe { device.create_shader_module_trusted(source, checks) }
}
