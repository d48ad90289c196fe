//! Creates shader modules without the run-time checks that the kernel contract makes unnecessary.
#![allow(unsafe_code, reason = "creates modules without the run-time checks that the contract makes unnecessary")]

use crate::kernel::Program;

/// Creates the shader module of a kernel. Two kinds of checks can be left out for every shader of this crate:
///
/// - *Loop bounds.* Every loop counts one variable by a nonzero step to a bound that the loop does not change. The
///   bounds are parameters below 2^32 that `Kernel::check` accepted.
/// - *Buffer bounds.* `Bound::run` compares every buffer's length with `Kernel::lens` before a dispatch, and shaders
///   use the same indices as their twins. The twins run on slices of exactly those lengths in `tests/kernels/`, where
///   Rust checks every index. This proves nothing about an index that is itself read from a buffer, so kernels with
///   such indices (`Kernel::ADDRESSES`) keep the check. For them, workgroup memory and private arrays stay checked too,
///   on the backends that support it, because one switch controls all these checks.
pub(super) fn shader_module(device: &wgpu::Device, program: &Program) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(program.wgsl.join("\n").into());
    let source = wgpu::ShaderModuleDescriptor { label: Some(program.name), source };
    let checks = wgpu::ShaderRuntimeChecks {
        bounds_checks: program.addresses,
        force_loop_bounding: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: for the reasons above, loops terminate, and unchecked indices are in range.
    unsafe { device.create_shader_module_trusted(source, checks) }
}
