//! Prints all adapters, the choice of `Device::auto` with its reason, and the plans and matrix products for a few
//! shapes.
//!
//! `cargo run --example devices`; `WGRU_BACKEND` and `WGRU_ADAPTER` narrow the choice.

use wgru::ops::product_variants;
use wgru::ops::recurrent::Plan;
use wgru::{Cell, Device, DeviceInfo};

/// T, B, I, H, and a description.
const SHAPES: [(usize, usize, usize, usize, &str); 6] = [
    (1, 1, 64, 64, "one frame, small"),
    (1, 1, 256, 256, "one frame"),
    (28, 32, 7, 48, "forecast"),
    (128, 32, 256, 256, "text"),
    (128, 64, 512, 512, "translation"),
    (64, 256, 1024, 1024, "large"),
];

fn main() -> wgru::Result<()> {
    env_logger::init();
    let adapters = pollster::block_on(wgru::adapters())?;
    println!("adapters, best first:");
    if adapters.is_empty() {
        println!("  none (on Debian, the package mesa-vulkan-drivers provides a software adapter)");
    }
    for a in &adapters {
        let kind = if a.software { "software" } else { "hardware" };
        println!("  {} [{}, {kind}] {}", a.name, a.backend, a.driver);
        println!("    largest binding {} MiB, largest buffer {} MiB", a.max_binding >> 20, a.max_buffer >> 20);
        println!("    workgroups per dimension {}, workgroup memory {} B", a.max_groups, a.workgroup_memory);
    }

    let auto = Device::auto_blocking()?;
    println!("\nDevice::auto: {} ({})", auto.info().name, auto.info().reason);
    show(&Device::cpu());
    match Device::gpu_blocking() {
        Ok(gpu) => show(&gpu),
        Err(error) => println!("\n{error}"),
    }
    Ok(())
}

fn show(device: &Device) {
    println!("\non {}:{}", device.info().name, in_use(device.info()));
    println!(
        "  {:>5} {:>5} {:>5} {:>5}  {:<18} {:<7} {:<16} weight gradients",
        "T", "B", "I", "H", "", "plan", "input product"
    );
    for (steps, batch, input, hidden, what) in SHAPES {
        let plan = Plan::choose(device, hidden, Some(Cell::Gru));
        let [projection, gradient] = product_variants(device, [steps * batch, 3 * hidden, input]);
        println!("  {steps:>5} {batch:>5} {input:>5} {hidden:>5}  {what:<18} {plan:<7} {projection:<16} {gradient}");
    }
}

/// Formats the features and limits that a device was opened with.
fn in_use(info: &DeviceInfo) -> String {
    let Some(a) = &info.adapter else { return String::new() };
    let features = if a.features.is_empty() { "none".to_string() } else { a.features.join(", ") };
    let mib = a.max_binding >> 20;
    format!(" features in use: {features}; limits in use: binding {mib} MiB, workgroup memory {} B", a.workgroup_memory)
}
