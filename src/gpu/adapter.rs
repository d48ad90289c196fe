//! Finds an adapter and opens a device on it.

use super::options::GpuOptions;
use super::requirements::{self, DeviceNeeds};
use crate::error::{Error, Result};
use crate::kernel::MOST_LOOPS;

/// Kind of an adapter, which decides the built-in rules for plans and shaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterClass {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the memory of the processor, or one whose kind is unknown, as in browsers.
    Integrated,
    /// A GPU of a phone or a tablet: few operations per second, and dispatches take long.
    Mobile,
    /// Computes on the CPU: lavapipe, SwiftShader, WARP.
    Software,
}

impl AdapterClass {
    fn of(info: &wgpu::AdapterInfo) -> Self {
        let is_mobile = matches!(info.vendor, ARM | QUALCOMM | IMAGINATION)
            || ["mali", "immortalis", "adreno", "powervr"].iter().any(|name| has(info, name));
        match info.device_type {
            wgpu::DeviceType::Cpu => Self::Software,
            wgpu::DeviceType::DiscreteGpu => Self::Discrete,
            _ if is_mobile || cfg!(any(target_os = "android", target_os = "ios")) => Self::Mobile,
            _ => Self::Integrated,
        }
    }
}

/// Makers with their PCI number, and parts of the names of their adapters.
const VENDORS: [(&str, u32, &[&str]); 10] = [
    ("mesa", 0x10005, &["llvmpipe"]),
    ("google", 0x1ae0, &["swiftshader"]),
    ("microsoft", 0x1414, &["microsoft basic render"]),
    ("nvidia", 0x10de, &["nvidia", "geforce"]),
    ("amd", 0x1002, &["amd ", "radeon"]),
    ("intel", 0x8086, &["intel"]),
    ("apple", 0x106b, &["apple"]),
    ("arm", ARM, &["mali", "immortalis"]),
    ("qualcomm", QUALCOMM, &["adreno"]),
    ("imagination", IMAGINATION, &["powervr"]),
];

fn vendor(info: &wgpu::AdapterInfo) -> &'static str {
    let named = VENDORS.iter().find(|(.., names)| names.iter().any(|name| has(info, name)));
    let numbered = || VENDORS.iter().find(|(_, number, _)| *number == info.vendor);
    named.or_else(numbered).map_or("", |(vendor, ..)| vendor)
}

/// PCI numbers of makers of mobile GPUs.
const ARM: u32 = 0x13b5;
const QUALCOMM: u32 = 0x5143;
const IMAGINATION: u32 = 0x1010;

/// Whether the adapter's name contains `part`, in any case. Compares bytes, because searching in strings adds to browser
/// builds.
fn has(info: &wgpu::AdapterInfo, part: &str) -> bool {
    let part = part.as_bytes();
    part.is_empty() || info.name.as_bytes().windows(part.len()).any(|word| word.eq_ignore_ascii_case(part))
}

/// Properties and limits of an adapter, in WebGPU's terms.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterReport {
    /// The adapter's name, as reported by the driver.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
    pub backend: String,
    /// Driver and version.
    pub driver: String,
    /// The maker in lower case, from its PCI number or the adapter's name: `nvidia`, `amd`, `intel`, `apple`, `arm`,
    /// `qualcomm`, `imagination`, `mesa`, `google`, `microsoft`; empty if unknown, as in most browsers.
    pub vendor: &'static str,
    /// Its kind.
    pub class: AdapterClass,
    /// Names of the device's optional features, of those that this crate uses.
    pub features: Vec<String>,
    /// Largest binding in bytes.
    pub max_binding: u64,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Maximum number of workgroups along one dimension.
    pub max_groups: u32,
    /// Total loop iterations per invocation after which the driver aborts loops; `u64::MAX` if no such limit is known.
    pub max_loops: u64,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Whether workgroup memory is ordinary cached memory, so that staging operands in it gains nothing, as on Mali GPUs.
    pub cached_workgroup_memory: bool,
    /// Subgroup size, if shaders may use subgroups and all subgroups have the same size; otherwise 0.
    pub subgroup: u32,
}

impl AdapterReport {
    /// Whether the adapter computes on the CPU: lavapipe, SwiftShader, WARP.
    pub fn is_software(&self) -> bool {
        self.class == AdapterClass::Software
    }

    pub(super) fn new(info: &wgpu::AdapterInfo, features: wgpu::Features, limits: &wgpu::Limits) -> Self {
        Self {
            name: info.name.clone(),
            backend: info.backend.to_string(),
            driver: [&info.driver, &info.driver_info].map(|s| s.trim()).join(" ").trim().to_string(),
            vendor: vendor(info),
            class: AdapterClass::of(info),
            features: requirements::used(features).map(String::from).collect(),
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            max_groups: limits.max_compute_workgroups_per_dimension,
            max_loops: if has(info, "llvmpipe") { MOST_LOOPS } else { u64::MAX },
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            cached_workgroup_memory: info.vendor == ARM || has(info, "mali") || has(info, "immortalis"),
            subgroup: match features.contains(wgpu::Features::SUBGROUP)
                && info.subgroup_min_size == info.subgroup_max_size
            {
                true => info.subgroup_min_size,
                false => 0,
            },
        }
    }
}

fn instance(backends: wgpu::Backends) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    wgpu::Instance::new(descriptor)
}

/// Returns an environment variable; `None` in a browser.
pub(crate) fn setting(name: &str) -> Option<String> {
    if cfg!(target_arch = "wasm32") {
        return None;
    }
    std::env::var(name).ok()
}

/// Returns the backends that `WGRU_BACKEND` allows. OpenGL must be requested: its compute shaders are the least tested.
fn backends() -> Result<wgpu::Backends> {
    let Some(backend) = setting("WGRU_BACKEND") else { return Ok(wgpu::Backends::PRIMARY) };
    match backend.to_ascii_lowercase().as_str() {
        "" | "auto" => Ok(wgpu::Backends::PRIMARY),
        "vulkan" => Ok(wgpu::Backends::VULKAN),
        "metal" => Ok(wgpu::Backends::METAL),
        "dx12" => Ok(wgpu::Backends::DX12),
        "gl" => Ok(wgpu::Backends::GL),
        "webgpu" => Ok(wgpu::Backends::BROWSER_WEBGPU),
        "cpu" => Err(Error::NoAdapter("WGRU_BACKEND=cpu selects the CPU".into())),
        other => Err(Error::value("Device::gpu", "WGRU_BACKEND", "cpu, vulkan, metal, dx12, gl or webgpu", other)),
    }
}

/// Returns all adapters with compute shaders, best first.
async fn enumerate() -> Result<Vec<wgpu::Adapter>> {
    let backends = backends()?;
    let instance = instance(backends);
    #[cfg(target_arch = "wasm32")]
    let mut found = {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        instance.request_adapter(&options).await.into_iter().collect::<Vec<_>>()
    };
    #[cfg(not(target_arch = "wasm32"))]
    let mut found = instance.enumerate_adapters(backends).await;
    found.retain(|a| a.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
    // A browser returns at most one adapter.
    #[cfg(not(target_arch = "wasm32"))]
    found.sort_by_key(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        (kind, info.backend == wgpu::Backend::Gl)
    });
    Ok(found)
}

/// Returns the best adapter whose name contains `wanted`, or else `WGRU_ADAPTER`.
pub(super) async fn best(wanted: Option<&str>) -> Result<wgpu::Adapter> {
    let wanted = wanted.map(str::to_string).or_else(|| setting("WGRU_ADAPTER"));
    let wanted = wanted.unwrap_or_default();
    let found = enumerate().await?;
    let names: Vec<_> = found.iter().map(|a| a.get_info().name).collect();
    found.into_iter().find(|a| has(&a.get_info(), &wanted)).ok_or_else(|| {
        let filter = if wanted.is_empty() { String::new() } else { format!(" named like {wanted:?}") };
        let hint = match cfg!(target_arch = "wasm32") {
            true => "the browser has none",
            false => "on Debian, mesa-vulkan-drivers provides a software adapter",
        };
        let among = if names.is_empty() { String::new() } else { format!(" among {names:?}") };
        Error::NoAdapter(format!("none{filter}{among}; {hint}"))
    })
}

/// Opens a device with the best features and limits of [`requirements`], plus timestamp queries if requested.
pub(super) async fn open(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<(wgpu::Device, wgpu::Queue)> {
    let DeviceNeeds { mut features, limits } = requirements::best(adapter);
    if options.timestamps {
        if cfg!(target_arch = "wasm32") || !adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let name = adapter.get_info().name;
            let expected = "an adapter with timestamp queries, outside a browser";
            return Err(Error::value("Device::gpu_with", "timestamps", expected, name));
        }
        features |= wgpu::Features::TIMESTAMP_QUERY;
    }
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("wgru"),
        required_features: features,
        required_limits: limits,
        ..Default::default()
    };
    adapter.request_device(&descriptor).await.map_err(|e| Error::NoAdapter(format!("{}: {e}", adapter.get_info().name)))
}

/// Lists every available adapter, best first, with the adapter's own limits. [`Device::gpu`](crate::Device::gpu)
/// requests the best limits of [`requirements`](crate::requirements).
///
/// # Errors
/// [`Error::Value`] for an unknown `WGRU_BACKEND`.
pub async fn adapters() -> Result<Vec<AdapterReport>> {
    let report = |a: &wgpu::Adapter| AdapterReport::new(&a.get_info(), wgpu::Features::empty(), &a.limits());
    match enumerate().await {
        Ok(found) => Ok(found.iter().map(report).collect()),
        Err(Error::NoAdapter(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_adapters() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other};
        for (device_type, vendor, name, maker, class, is_cached) in [
            (DiscreteGpu, 0x10de, "NVIDIA GeForce RTX 4070", "nvidia", AdapterClass::Discrete, false),
            (DiscreteGpu, 0x1002, "gfx1100", "amd", AdapterClass::Discrete, false),
            (IntegratedGpu, 0x8086, "Intel(R) Iris(R) Xe Graphics", "intel", AdapterClass::Integrated, false),
            (IntegratedGpu, 0, "Apple M2", "apple", AdapterClass::Integrated, false),
            (IntegratedGpu, ARM, "Mali-G78", "arm", AdapterClass::Mobile, true),
            (IntegratedGpu, QUALCOMM, "Adreno (TM) 740", "qualcomm", AdapterClass::Mobile, false),
            (Other, 0, "ARM Mali-G610", "arm", AdapterClass::Mobile, true),
            (Other, 0, "", "", AdapterClass::Integrated, false),
            (Cpu, 0x10005, "llvmpipe (LLVM 15.0.6, 256 bits)", "mesa", AdapterClass::Software, false),
        ] {
            let mut info = wgpu::AdapterInfo::new(device_type, wgpu::Backend::Vulkan);
            (info.vendor, info.name) = (vendor, name.to_string());
            let report = AdapterReport::new(&info, wgpu::Features::empty(), &wgpu::Limits::default());
            let got = (report.vendor, report.class, report.cached_workgroup_memory);
            assert_eq!(got, (maker, class, is_cached), "{name:?}");
        }
    }
}
