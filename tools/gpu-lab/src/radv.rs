//! Compiles SPIR-V with RADV, Mesa's Vulkan driver for AMD GPUs, on its null device, and reads the compiler's
//! statistics (`VK_KHR_pipeline_executable_properties`).
//!
//! RADV compiles for a GPU that is not there if the environment variable `RADV_FORCE_FAMILY` names it. Such a device
//! runs nothing. wgpu cannot open it, so this module calls Vulkan itself.
#![allow(unsafe_code, reason = "calls Vulkan")]

use std::ffi::CStr;

use ash::{Device, Entry, Instance, khr, vk};
use vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR as ExecutableFeatures;

use crate::Result;
use crate::table::Row;

/// Lanes of a subgroup that GPUs of AMD have from the generation `navi` on.
const SUBGROUP_SIZES: [u32; 2] = [32, 64];

/// An open null device. It is closed with the process.
pub struct Driver {
    _entry: Entry,
    _instance: Instance,
    device: Device,
    executables: khr::pipeline_executable_properties::Device,
    /// Name of the GPU.
    pub gpu: String,
    /// Mesa's version.
    pub mesa: String,
}

impl Driver {
    /// Opens the first device, with the features that wgpu enables and that change the compiler's work.
    pub fn open() -> Result<Self> {
        // SAFETY: the calls follow Vulkan's rules: structures are filled and live until the call returns, handles come
        // from the same instance, and extensions are enabled before they are used.
        unsafe {
            let entry = Entry::load()?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let info = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&info, None)?;
            let gpu = *instance.enumerate_physical_devices()?.first().ok_or("no Vulkan device")?;

            let mut driver = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
            instance.get_physical_device_properties2(gpu, &mut properties);
            let name = properties.properties.device_name_as_c_str()?.to_string_lossy().into_owned();
            let Some(model) = name.strip_prefix("Null hardware (").and_then(|name| name.strip_suffix(')')) else {
                return Err(format!("the first Vulkan device is {name}, not RADV's null device").into());
            };
            // "Mesa 22.3.6-1+deb12u1": the part after the dash is the distribution's.
            let mesa = driver.driver_info_as_c_str()?.to_string_lossy();
            let mesa = mesa.split('-').next().unwrap_or_default().trim().to_string();

            let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
            let mut executables = ExecutableFeatures::default().pipeline_executable_info(true);
            let mut subgroups = vk::PhysicalDeviceVulkan13Features::default().subgroup_size_control(true);
            let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
            let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
            let extensions = [khr::pipeline_executable_properties::NAME.as_ptr(), ash::ext::robustness2::NAME.as_ptr()];
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .enabled_features(&features)
                .push_next(&mut robustness)
                .push_next(&mut executables)
                .push_next(&mut subgroups);
            let device = instance.create_device(gpu, &info, None)?;
            let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Self { _entry: entry, _instance: instance, device, executables, gpu: model.to_string(), mesa })
        }
    }

    /// Whether a kernel that needs subgroups of `lanes`, or 0 for none, runs on the GPU.
    pub fn has_subgroup_size(&self, lanes: u32) -> bool {
        lanes == 0 || SUBGROUP_SIZES.contains(&lanes)
    }

    /// Compiles a kernel with so many storage buffers after its parameters, and returns the compiler's statistics.
    pub fn statistics(&self, name: &str, words: &[u32], buffers: usize) -> Result<Row> {
        let binding = |at: u32, ty| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(at)
                .descriptor_type(ty)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let mut bindings = vec![binding(0, vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC)];
        bindings.extend((1..=buffers as u32).map(|at| binding(at, vk::DescriptorType::STORAGE_BUFFER)));
        // SAFETY: as in `open`. The module passed naga's validator, and the layout has its bindings.
        let statistics = unsafe {
            let module = self.device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(words), None)?;
            let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [self.device.create_descriptor_set_layout(&info, None)?];
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = self.device.create_pipeline_layout(&info, None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let info = vk::ComputePipelineCreateInfo::default()
                .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
                .stage(stage)
                .layout(layout);
            let pipelines = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = pipelines.map_err(|(_, error)| format!("{name}: {error}"))?[0];
            let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
            self.executables.get_pipeline_executable_statistics(&info)?
        };
        let find = |wanted: &CStr| {
            let found = statistics.iter().find(|s| s.name_as_c_str() == Ok(wanted));
            // SAFETY: all of RADV's statistics are unsigned integers.
            found.map(|s| unsafe { s.value.u64 }).ok_or_else(|| format!("{name}: no statistic {wanted:?}"))
        };
        Ok(Row {
            kernel: name.to_string(),
            vgprs: find(c"VGPRs")?,
            lds: find(c"LDS size")?,
            waves: find(c"Subgroups per SIMD")?,
            instructions: find(c"Instructions")?,
            latency: find(c"Latency")?,
            throughput: find(c"Inverse Throughput")?,
            spills: find(c"Spilled SGPRs")? + find(c"Spilled VGPRs")? + find(c"Scratch size")?,
        })
    }
}
