//! Features and limits for host applications that request a device themselves.

/// Features and limits to request a device with.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceNeeds {
    /// For [`wgpu::DeviceDescriptor::required_features`].
    pub features: wgpu::Features,
    /// For [`wgpu::DeviceDescriptor::required_limits`]. Merge them with the host's own limits by
    /// [`wgpu::Limits::or_better_values_from`].
    pub limits: wgpu::Limits,
}

/// Features and limits to request for a device that [`Device::from_wgpu`](crate::Device::from_wgpu) will adopt.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirements {
    /// For the highest speed on this adapter.
    pub best: DeviceNeeds,
    /// The minimum for all kernels. A device with lower limits also works, but a kernel that exceeds them returns
    /// [`Error::Limit`](crate::Error::Limit).
    pub least: DeviceNeeds,
}

/// Optional features that kernels can use.
const FEATURES: wgpu::Features = wgpu::Features::SUBGROUP.union(wgpu::Features::PIPELINE_CACHE);

/// Names of the features of a device that this crate can use. `Features::iter_names` would add the names of all features
/// to browser builds.
pub(super) fn used(features: wgpu::Features) -> impl Iterator<Item = &'static str> {
    let known = [
        (wgpu::Features::TIMESTAMP_QUERY, "TIMESTAMP_QUERY"),
        (wgpu::Features::PIPELINE_CACHE, "PIPELINE_CACHE"),
        (wgpu::Features::SUBGROUP, "SUBGROUP"),
    ];
    known.into_iter().filter(move |(feature, _)| features.contains(*feature)).map(|(_, name)| name)
}

/// Returns the features and limits that a host should request from this adapter. Limits of textures and render
/// pipelines are the lowest defaults of wgpu.
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
    Requirements { best: best(adapter), least: DeviceNeeds { features: wgpu::Features::empty(), limits: least() } }
}

/// [`Requirements::best`].
pub(super) fn best(adapter: &wgpu::Adapter) -> DeviceNeeds {
    let has = adapter.limits();
    let limits = wgpu::Limits {
        max_buffer_size: has.max_buffer_size,
        max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
        ..least()
    };
    DeviceNeeds { features: adapter.features() & FEATURES, limits }
}

fn least() -> wgpu::Limits {
    let compute = wgpu::Limits::default();
    wgpu::Limits {
        max_bind_groups: 1,
        max_bindings_per_bind_group: 16,
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
    }
}
