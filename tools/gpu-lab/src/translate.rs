//! Translates kernels to the languages of drivers, with the options that wgpu derives from `src/gpu/trusted.rs`.

use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use wgru::kernel::Contract;

use crate::Result;

/// Vulkan versions that SPIR-V is written for, by their names in `spirv-val`, with the SPIR-V version that wgpu writes.
pub const ENVIRONMENTS: [(&str, (u8, u8)); 2] = [("vulkan1.1", (1, 3)), ("vulkan1.3", (1, 6))];

/// Accesses of buffers in kernels that keep their bounds checks.
#[derive(Clone, Copy)]
pub enum Buffers {
    /// By the shader.
    Checked,
    /// By the driver: wgpu relies on `robustBufferAccess2` where a driver has it.
    Robust,
}

/// A validated shader.
pub struct Shader {
    module: naga::Module,
    info: ModuleInfo,
    /// Whether indices are checked.
    is_checked: bool,
}

/// Parses and validates a kernel's shader.
pub fn parse(kernel: &Contract) -> Result<Shader> {
    let named = |text: String| format!("{}: {text}", kernel.name);
    let module = naga::front::wgsl::parse_str(&kernel.wgsl).map_err(|e| named(e.emit_to_string(&kernel.wgsl)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|e| named(e.emit_to_string(&kernel.wgsl)))?;
    Ok(Shader { module, info, is_checked: kernel.addresses })
}

impl Shader {
    fn policies(&self, buffers: Buffers) -> BoundsCheckPolicies {
        let index = if self.is_checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
        let buffer = match buffers {
            Buffers::Checked => index,
            Buffers::Robust => BoundsCheckPolicy::Unchecked,
        };
        let unused = BoundsCheckPolicy::Unchecked;
        BoundsCheckPolicies { index, buffer, image_load: unused, binding_array: unused }
    }

    pub fn spirv(&self, lang_version: (u8, u8), buffers: Buffers) -> Result<Vec<u32>> {
        let options = spv::Options {
            lang_version,
            flags: spv::WriterFlags::empty(),
            force_loop_bounding: false,
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            bounds_check_policies: self.policies(buffers),
            ..Default::default()
        };
        let pipeline =
            spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".to_string() };
        Ok(spv::write_vec(&self.module, &self.info, &options, Some(&pipeline))?)
    }

    pub fn hlsl(&self) -> Result<String> {
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_0,
            fake_missing_bindings: true,
            force_loop_bounding: false,
            restrict_indexing: self.is_checked,
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &Default::default()).write(&self.module, &self.info, None)?;
        Ok(text)
    }

    pub fn msl(&self) -> Result<String> {
        let options = msl::Options {
            lang_version: (2, 4),
            fake_missing_bindings: true,
            force_loop_bounding: false,
            zero_initialize_workgroup_memory: false,
            bounds_check_policies: self.policies(Buffers::Checked),
            ..Default::default()
        };
        Ok(msl::write_string(&self.module, &self.info, &options, &Default::default())?.0)
    }
}
