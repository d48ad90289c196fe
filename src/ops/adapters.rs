//! Properties of a device's adapter that decide which plans and shaders the rules choose.

#[cfg(feature = "gpu")]
mod measured;

use crate::device::Device;
#[cfg(feature = "gpu")]
use crate::gpu::AdapterClass;
use crate::kernel::Kernel;
use crate::kernels::MatMulSubgroup;
pub use crate::tuning::Rules;

/// Rules that were measured on an adapter, or on adapters of one vendor.
#[cfg(feature = "gpu")]
struct Measured {
    vendor: &'static str,
    class: AdapterClass,
    /// The adapter's name; empty for all others of this vendor and class.
    name: &'static str,
    rules: Rules,
}

/// Whether the adapter computes on the CPU.
pub(crate) fn is_software(device: &Device) -> bool {
    device.is_gpu() && !device.info().is_hardware_gpu()
}

/// Whether the adapter computes on the CPU, in subgroups of eight lanes; see ADR 0017.
pub(crate) fn has_narrow_subgroups(device: &Device) -> bool {
    !device.info().is_hardware_gpu() && device.subgroup() == MatMulSubgroup::SUBGROUP
}

/// Returns the rules of a device: those measured on its adapter, else on adapters of its vendor and class, else the
/// estimates for its class.
pub fn rules(device: &Device) -> Rules {
    *device.rules().get_or_insert_with(|| find(device))
}

/// Replaces the rules of a device, to measure or to test shaders that they would not choose. `None` restores them.
#[doc(hidden)]
pub fn set_rules(device: &Device, rules: Option<Rules>) {
    *device.rules() = rules;
}

#[cfg(feature = "gpu")]
fn find(device: &Device) -> Rules {
    let Some(adapter) = &device.info().adapter else { return Rules::CPU };
    let of = |name: &str| {
        let known = |m: &&Measured| m.vendor == adapter.vendor && m.class == adapter.class && m.name == name;
        measured::MEASURED.iter().find(known).map(|m| m.rules)
    };
    // A browser may not name the adapter.
    let measured = match adapter.vendor.is_empty() {
        true => None,
        false => of(&adapter.name).or_else(|| of("")),
    };
    measured.unwrap_or_else(|| estimates(adapter.class, adapter.cached_workgroup_memory))
}

#[cfg(not(feature = "gpu"))]
fn find(_: &Device) -> Rules {
    Rules::CPU
}

/// Returns the rules for adapters that were not measured. The numbers of invocations follow from the lanes that GPUs of
/// each class have: see `docs/performance.md`.
#[cfg(feature = "gpu")]
pub fn estimates(class: AdapterClass, cached_workgroup_memory: bool) -> Rules {
    let busy = match class {
        AdapterClass::Discrete => 4096,
        AdapterClass::Integrated | AdapterClass::Mobile => 2048,
        AdapterClass::Software => 0,
    };
    Rules {
        whole_hidden: 128,
        fused_hidden: if class == AdapterClass::Software { 64 } else { usize::MAX },
        busy,
        blocks_in_registers: cached_workgroup_memory,
    }
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::*;
    use crate::kernels::Fused;

    #[test]
    fn measured_rules_are_found_once_and_in_range() {
        for (i, m) in measured::MEASURED.iter().enumerate() {
            let key = |m: &Measured| (m.vendor, m.class, m.name);
            assert!(!m.vendor.is_empty() && measured::MEASURED[..i].iter().all(|other| key(other) != key(m)));
            assert!((1..=Fused::ROOM).contains(&m.rules.whole_hidden) && m.rules.fused_hidden > 0, "{}", m.name);
            assert_eq!(m.rules.busy == 0, m.class == AdapterClass::Software, "{}", m.name);
        }
    }
}
