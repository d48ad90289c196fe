//! What a device should have, for hosts that request it themselves.

/// Features and limits to request a device with.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceNeeds {
    /// For [`wgpu::DeviceDescriptor::required_features`].
    pub features: wgpu::Features,
    /// For [`wgpu::DeviceDescriptor::required_limits`]; merge it with those of the host by
    /// [`wgpu::Limits::or_better_values_from`].
    pub limits: wgpu::Limits,
}

/// What to request for a device that [`Device::from_wgpu`](crate::Device::from_wgpu) will adopt.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirements {
    /// What makes this adapter fastest.
    pub best: DeviceNeeds,
    /// What every kernel runs with. Less than that is possible, too: a kernel that does not fit is then refused by name.
    pub least: DeviceNeeds,
}

/// Optional features that kernels can use.
const FEATURES: wgpu::Features = wgpu::Features::SUBGROUP.union(wgpu::Features::PIPELINE_CACHE);

/// What a host should request from this adapter. Textures and render pipelines are not asked for beyond the least that
/// wgpu knows.
///
/// ```no_run
/// # async fn host(adapter: wgru::wgpu::Adapter) -> Result<(), Box<dyn std::error::Error>> {
/// use wgru::{Device, requirements, wgpu};
/// let needs = requirements(&adapter).best;
/// let descriptor = wgpu::DeviceDescriptor {
///     required_features: needs.features,
///     required_limits: wgpu::Limits::default().or_better_values_from(&needs.limits),
///     ..Default::default()
/// };
/// let (device, queue) = adapter.request_device(&descriptor).await?;
/// let device = Device::from_wgpu(&adapter, device, queue)?;
/// # Ok(())
/// # }
/// ```
pub fn requirements(adapter: &wgpu::Adapter) -> Requirements {
    let (has, compute) = (adapter.limits(), wgpu::Limits::default());
    let least = wgpu::Limits {
        max_bind_groups: 1,
        max_bindings_per_bind_group: compute.max_bindings_per_bind_group.min(has.max_bindings_per_bind_group),
        max_dynamic_uniform_buffers_per_pipeline_layout: 1,
        max_storage_buffers_per_shader_stage: compute.max_storage_buffers_per_shader_stage,
        max_uniform_buffers_per_shader_stage: 1,
        max_uniform_buffer_binding_size: 256,
        max_storage_buffer_binding_size: compute.max_storage_buffer_binding_size,
        max_buffer_size: compute.max_buffer_size,
        max_compute_workgroup_storage_size: compute.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: compute.max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x: compute.max_compute_workgroup_size_x,
        max_compute_workgroup_size_y: compute.max_compute_workgroup_size_y,
        max_compute_workgroup_size_z: compute.max_compute_workgroup_size_z,
        max_compute_workgroups_per_dimension: compute.max_compute_workgroups_per_dimension,
        min_uniform_buffer_offset_alignment: compute.min_uniform_buffer_offset_alignment,
        min_storage_buffer_offset_alignment: compute.min_storage_buffer_offset_alignment,
        ..wgpu::Limits::downlevel_webgl2_defaults()
    };
    let best = wgpu::Limits {
        max_buffer_size: has.max_buffer_size,
        max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
        ..least.clone()
    };
    Requirements {
        best: DeviceNeeds { features: adapter.features() & FEATURES, limits: best },
        least: DeviceNeeds { features: wgpu::Features::empty(), limits: least },
    }
}
