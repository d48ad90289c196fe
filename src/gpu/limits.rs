//! Checks a kernel against the device's limits before creating anything.

use crate::error::{Error, Result};
use crate::kernel::Program;
use crate::wgsl;

/// Stride in bytes between the parameters of two dispatches: the largest alignment of dynamic offsets in WebGPU.
pub(super) const SLOT: usize = 256;

/// Checks a kernel's bindings, parameters and workgroup against the limits of the device.
///
/// # Errors
/// [`Error::Limit`] naming the limit by its WebGPU name.
pub(super) fn check(program: &Program, limits: &wgpu::Limits) -> Result<()> {
    let storage = program.reads.len() + program.writes.len();
    let [x, y, z] = wgsl::workgroup_size(program.wgsl);
    let needs: [(&'static str, u64, u64); 13] = [
        ("maxBindGroups", 1, limits.max_bind_groups.into()),
        ("maxBindingsPerBindGroup", storage as u64 + 1, limits.max_bindings_per_bind_group.into()),
        ("maxStorageBuffersPerShaderStage", storage as u64, limits.max_storage_buffers_per_shader_stage.into()),
        ("maxUniformBuffersPerShaderStage", 1, limits.max_uniform_buffers_per_shader_stage.into()),
        ("maxDynamicUniformBuffersPerPipelineLayout", 1, limits.max_dynamic_uniform_buffers_per_pipeline_layout.into()),
        ("maxUniformBufferBindingSize", params_size(program), limits.max_uniform_buffer_binding_size),
        ("maxComputeInvocationsPerWorkgroup", x * y * z, limits.max_compute_invocations_per_workgroup.into()),
        ("maxComputeWorkgroupSizeX", x, limits.max_compute_workgroup_size_x.into()),
        ("maxComputeWorkgroupSizeY", y, limits.max_compute_workgroup_size_y.into()),
        ("maxComputeWorkgroupSizeZ", z, limits.max_compute_workgroup_size_z.into()),
        (
            "maxComputeWorkgroupStorageSize",
            wgsl::workgroup_bytes(program.wgsl),
            limits.max_compute_workgroup_storage_size.into(),
        ),
        ("maxComputeWorkgroupsPerDimension", 1, limits.max_compute_workgroups_per_dimension.into()),
        ("maxBufferSize", SLOT as u64, limits.max_buffer_size),
    ];
    match needs.into_iter().find(|(_, needed, allowed)| needed > allowed) {
        Some((limit, needed, allowed)) => Err(Error::Limit { op: program.name, limit, needed, allowed }),
        None => Ok(()),
    }
}

/// Size of a kernel's parameter block in bytes. The size of a uniform block with vectors is a multiple of 16.
pub(super) fn params_size(program: &Program) -> u64 {
    program.size.next_multiple_of(16) as u64
}
