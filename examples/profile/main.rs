//! Shows where the time of one training step of a GRU goes on a GPU, as a table by kernel and a flame graph.
//!
//! `cargo run --release --example profile -- --svg profile.svg`. The adapter must support timestamps. Every dispatch is
//! measured separately, so the sum exceeds the time of an unprofiled step.

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod flame;

use std::collections::BTreeMap;

use clap::Parser;
use flame::Phase;
use wgru::nn::{Mode, Module, RecurrentConfig, RunOptions};
use wgru::ops::recurrent::Plan;
use wgru::train::{Method, Optimizer, SgdConfig};
use wgru::{Device, DispatchTime, GpuOptions, Result, Rng, Tensor};

/// Profiles one training step.
#[derive(Parser)]
struct Args {
    /// Time steps
    #[arg(long, default_value_t = 64)]
    steps: usize,
    /// Sequences per batch
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Input and hidden size
    #[arg(long, default_value_t = 256)]
    hidden: usize,
    #[arg(long, default_value_t = 1)]
    layers: usize,
    #[arg(long)]
    bidirectional: bool,
    /// `whole`, `chain` or `steps` [default: chosen automatically]
    #[arg(long)]
    plan: Option<Plan>,
    /// File for the flame graph
    #[arg(long)]
    svg: Option<std::path::PathBuf>,
}

/// Returns the kernels of one phase, each with its number of dispatches and milliseconds, the slowest first.
fn by_kernel(name: &'static str, times: &[DispatchTime]) -> Phase {
    let mut sums: BTreeMap<&'static str, (usize, f64)> = BTreeMap::new();
    for t in times {
        let sum = sums.entry(t.kernel).or_default();
        sum.0 += 1;
        sum.1 += t.duration / 1e6;
    }
    let mut kernels: Vec<_> = sums.into_iter().map(|(kernel, (count, ms))| (kernel, count, ms)).collect();
    kernels.sort_by(|a, b| b.2.total_cmp(&a.2));
    Phase { name, kernels }
}

fn measure(args: &Args, device: &Device) -> Result<Vec<Phase>> {
    let Args { steps, batch, hidden, layers, bidirectional, plan, .. } = *args;
    let config = RecurrentConfig { layers, bidirectional, plan, ..RecurrentConfig::gru(hidden, hidden) };
    let gru = config.build(device, &mut Rng::new(0))?;
    let mut rng = Rng::new(1);
    let values: Vec<f32> = (0..steps * batch * hidden).map(|_| rng.uniform(-1.0, 1.0)).collect();
    let x = Tensor::from_slice(device, &values, &[steps, batch, hidden])?.requires_grad();
    let mut optimizer = Optimizer::new(gru.parameters(), Method::Sgd(SgdConfig::default()), 1e-4)?;
    let mut step = || {
        x.set_grad(None);
        device.take_times_blocking()?;
        let y = gru.run(&x, RunOptions::default(), &mut Mode::Train(&mut rng))?.output;
        let forward = by_kernel("forward", &device.take_times_blocking()?);
        let loss = y.square()?.mean()?;
        let losses = by_kernel("loss", &device.take_times_blocking()?);
        loss.backward()?;
        let backward = by_kernel("backward", &device.take_times_blocking()?);
        optimizer.step()?;
        optimizer.zero_grad();
        Ok(vec![forward, losses, backward, by_kernel("update", &device.take_times_blocking()?)])
    };
    // The first step compiles the shaders.
    step()?;
    step()
}

fn table(phases: &[Phase]) {
    let all: f64 = phases.iter().map(Phase::ms).sum();
    println!("{:<10} {:<24} {:>10} {:>10} {:>7}", "phase", "kernel", "dispatches", "ms", "share");
    for phase in phases {
        for (kernel, count, ms) in &phase.kernels {
            println!("{:<10} {kernel:<24} {count:>10} {ms:>10.3} {:>6.1}%", phase.name, 100.0 * ms / all);
        }
    }
    println!("{:<35} {:>10} {all:>10.3}", "all", phases.iter().map(Phase::dispatches).sum::<usize>());
}

fn main() -> Result<()> {
    let args = Args::parse();
    let options = GpuOptions { timestamps: true, ..GpuOptions::default() };
    let device = pollster::block_on(Device::gpu_with(options))?;
    let Args { steps, batch, hidden, layers, .. } = args;
    let title = format!("{}: T = {steps}, B = {batch}, I = H = {hidden}, layers {layers}", device.info().name);
    println!("{title}");
    let phases = measure(&args, &device)?;
    table(&phases);
    if let Some(path) = &args.svg {
        wgru::io::write_atomically(path, flame::svg(&title, &phases).as_bytes())?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
