//! Checks every kernel's shader without a device: it parses and validates, its bindings and parameters match the Rust
//! struct, and it translates to the languages of Vulkan, Metal and DX12.

use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, Scalar, ScalarKind, StorageAccess, TypeInner};
use wgru::kernel::Contract;
use wgru::kernels;

fn parse(kernel: &Contract) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(&kernel.wgsl)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&kernel.wgsl)));
    // WebGPU's own capabilities, which include `unpack2x16float`, and subgroups if the kernel uses them.
    let subgroup = if kernel.subgroup > 0 { Capabilities::SUBGROUP } else { Capabilities::empty() };
    let allowed = subgroup | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let info = Validator::new(ValidationFlags::all(), allowed)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&kernel.wgsl)));
    (module, info)
}

fn type_name(module: &Module, ty: naga::Handle<naga::Type>) -> String {
    let scalar = |s: Scalar| match s.kind {
        ScalarKind::Uint => "u32",
        ScalarKind::Float => "f32",
        _ => "other",
    };
    match module.types[ty].inner {
        TypeInner::Scalar(s) | TypeInner::Atomic(s) => scalar(s).to_string(),
        TypeInner::Vector { size, scalar: s } => format!("vec{}<{}>", size as u8, scalar(s)),
        ref other => format!("{other:?}"),
    }
}

#[test]
fn every_shader_validates_and_matches_its_struct() {
    let all = kernels::all();
    assert!(all.len() >= 25, "only {} kernels listed", all.len());
    for kernel in &all {
        let (module, _) = parse(kernel);
        let [entry] = &module.entry_points[..] else { panic!("{}: one entry point", kernel.name) };
        assert_eq!(entry.name, "main", "{}", kernel.name);

        let mut bindings: Vec<_> =
            module.global_variables.iter().filter_map(|(_, v)| v.binding.map(|b| (b.binding, v))).collect();
        bindings.sort_by_key(|(binding, _)| *binding);
        let names: Vec<_> = bindings.iter().map(|(_, v)| v.name.clone().unwrap_or_default()).collect();
        let want: Vec<_> = std::iter::once("params")
            .chain(kernel.reads.iter().map(|r| r.0))
            .chain(kernel.writes.iter().map(|w| w.0))
            .collect();
        assert_eq!(names, want, "{}: bindings", kernel.name);
        assert!(bindings.len() <= 9, "{}: more than 8 storage buffers", kernel.name);
        for (i, (binding, variable)) in bindings.iter().enumerate() {
            assert_eq!(*binding as usize, i, "{}: binding numbers", kernel.name);
            assert_eq!(variable.binding.map(|b| b.group), Some(0), "{}: group", kernel.name);
            if i == 0 {
                check_params(kernel, &module, variable);
                continue;
            }
            let is_read = i <= kernel.reads.len();
            let access = if is_read { StorageAccess::LOAD } else { StorageAccess::LOAD | StorageAccess::STORE };
            assert_eq!(variable.space, AddressSpace::Storage { access }, "{}: {}", kernel.name, want[i]);
            let TypeInner::Array { base, .. } = module.types[variable.ty].inner else {
                panic!("{}: {} is no array", kernel.name, want[i])
            };
            let (_, is_index) = if is_read { kernel.reads[i - 1] } else { kernel.writes[i - 1 - kernel.reads.len()] };
            let word = if is_index { "u32" } else { "f32" };
            let element = type_name(&module, base);
            let is_right = element == word || element == format!("vec4<{word}>");
            assert!(is_right, "{}: element of {}: {element}", kernel.name, want[i]);
        }
        check_limits(kernel, &module);
    }
}

fn check_params(kernel: &Contract, module: &Module, variable: &naga::GlobalVariable) {
    assert_eq!(variable.space, AddressSpace::Uniform, "{}: params", kernel.name);
    let TypeInner::Struct { members, span } = &module.types[variable.ty].inner else {
        panic!("{}: params is no struct", kernel.name)
    };
    let mut offset = 0;
    assert_eq!(members.len(), kernel.params.len(), "{}: number of parameters", kernel.name);
    for (member, (name, ty)) in members.iter().zip(kernel.params) {
        assert_eq!(member.name.as_deref(), Some(*name), "{}: parameter", kernel.name);
        assert_eq!(type_name(module, member.ty), *ty, "{}: type of {name}", kernel.name);
        assert_eq!(member.offset, offset, "{}: offset of {name}", kernel.name);
        offset += if ty.starts_with("vec4") { 16 } else { 4 };
    }
    assert_eq!(kernel.size, offset as usize, "{}: size of the struct", kernel.name);
    assert!(*span as usize <= 256, "{}: parameters larger than a slot", kernel.name);
}

/// Every kernel must stay within WebGPU's default limits.
fn check_limits(kernel: &Contract, module: &Module) {
    let entry = &module.entry_points[0];
    let threads: u32 = entry.workgroup_size.iter().product();
    assert!(threads <= 256, "{}: {threads} invocations", kernel.name);
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).expect("laid out");
    let shared: u32 = module
        .global_variables
        .iter()
        .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
        .map(|(_, v)| layouter[v.ty].size)
        .sum();
    assert!(shared <= 16_384, "{}: {shared} bytes of workgroup memory", kernel.name);
    assert_eq!(kernel.workgroup_size, entry.workgroup_size.map(u64::from), "{}: workgroup as read", kernel.name);
    assert_eq!(kernel.workgroup_bytes, u64::from(shared), "{}: workgroup memory as read", kernel.name);
}

#[test]
fn every_shader_translates_to_spirv_msl_and_hlsl() {
    for kernel in kernels::all() {
        let (module, info) = parse(&kernel);
        let words = spv::write_vec(&module, &info, &spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{}: SPIR-V: {e}", kernel.name));
        assert!(words.len() > 100, "{}", kernel.name);

        let policies = BoundsCheckPolicies { buffer: BoundsCheckPolicy::Restrict, ..Default::default() };
        let msl_options =
            msl::Options { fake_missing_bindings: true, bounds_check_policies: policies, ..Default::default() };
        let (text, _) = msl::write_string(&module, &info, &msl_options, &msl::PipelineOptions::default())
            .unwrap_or_else(|e| panic!("{}: MSL: {e}", kernel.name));
        assert!(text.contains("kernel void main_"), "{}", kernel.name);

        let hlsl_options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &hlsl_options, &hlsl::PipelineOptions::default())
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{}: HLSL: {e}", kernel.name));
        assert!(text.contains("numthreads"), "{}", kernel.name);
    }
}

/// Negative control: a renamed struct field is found.
#[test]
#[should_panic(expected = "parameter")]
fn a_renamed_parameter_is_found() {
    let mut kernel = kernels::all().into_iter().find(|k| k.name == "fill").expect("listed");
    kernel.params = &[("len", "u32"), ("renamed", "f32")];
    let (module, _) = parse(&kernel);
    let (_, variable) = module.global_variables.iter().find(|(_, v)| v.space == AddressSpace::Uniform).expect("params");
    check_params(&kernel, &module, variable);
}
