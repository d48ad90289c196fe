//! `wgru devices`: the adapters, and the choice between them.

use serde_json::{Value, json};
use wgru::{Cell, Device, DeviceInfo, nn::Plan};

use crate::device::{Which, open};
use crate::failure::Result;
use crate::output::{Answer, Output};

/// Lists all adapters, the choice of `Device::auto` with its reason, and the plans of layers of a few sizes.
///
/// `WGRU_BACKEND` and `WGRU_ADAPTER` restrict the choice.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Units of the layers whose plans are shown.
const HIDDEN: [usize; 6] = [48, 64, 128, 256, 512, 1024];

pub fn devices(_: &Args, out: &Output) -> Result<Answer> {
    let adapters = adapters(out)?;
    let auto = Device::auto_blocking()?;
    out.line(format!("\nDevice::auto: {} ({})", auto.info().name, auto.info().reason));
    let mut devices = vec![show(&Device::cpu(), out)];
    match open(Which::Gpu) {
        Ok(gpu) => devices.push(show(&gpu, out)),
        Err(failure) => out.line(format!("\n{}", failure.text)),
    }
    Ok(Answer::yes(json!({
        "adapters": adapters, "auto": auto.info().name, "reason": auto.info().reason, "devices": devices,
    })))
}

#[cfg(feature = "gpu")]
fn adapters(out: &Output) -> Result<Vec<Value>> {
    let adapters = pollster::block_on(wgru::adapters())?;
    out.line("adapters, best first:");
    if adapters.is_empty() {
        out.line("  none (on Debian, the package mesa-vulkan-drivers provides a software adapter)");
    }
    let describe = |a: &wgru::AdapterReport| {
        let kind = if a.is_software() { "software" } else { "hardware" };
        out.line(format!("  {} [{}, {kind}] {}", a.name, a.backend, a.driver));
        out.line(format!("    largest binding {} MiB, largest buffer {} MiB", a.max_binding >> 20, a.max_buffer >> 20));
        out.line(format!("    workgroups per dimension {}, workgroup memory {} B", a.max_groups, a.workgroup_memory));
        json!({ "name": a.name, "backend": a.backend.to_string(), "software": a.is_software(), "driver": a.driver })
    };
    Ok(adapters.iter().map(describe).collect())
}

#[cfg(not(feature = "gpu"))]
fn adapters(out: &Output) -> Result<Vec<Value>> {
    out.line("no adapters: built without the feature `gpu`");
    Ok(Vec::new())
}

fn show(device: &Device, out: &Output) -> Value {
    out.line(format!("\non {}:{}", device.info().name, in_use(device.info())));
    let plan = |&hidden: &usize| (hidden, Plan::choose(device, hidden, Some(Cell::Gru)).to_string());
    let plans: Vec<(usize, String)> = HIDDEN.iter().map(plan).collect();
    let list: Vec<String> = plans.iter().map(|(hidden, plan)| format!("{hidden} units {plan}")).collect();
    out.line(format!("  plans of a GRU: {}", list.join(", ")));
    json!({ "name": device.info().name, "plans": plans.iter().map(|(h, p)| json!([h, p])).collect::<Vec<_>>() })
}

/// Formats the features and limits that a device was opened with.
#[cfg(feature = "gpu")]
fn in_use(info: &DeviceInfo) -> String {
    let Some(a) = &info.adapter else { return String::new() };
    let features = if a.features.is_empty() { "none".to_string() } else { a.features.join(", ") };
    let mib = a.max_binding >> 20;
    format!(" features in use: {features}; limits in use: binding {mib} MiB, workgroup memory {} B", a.workgroup_memory)
}

#[cfg(not(feature = "gpu"))]
fn in_use(_: &DeviceInfo) -> String {
    String::new()
}
