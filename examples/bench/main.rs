//! Times the workloads that wgru is compared on with other libraries, and prints a line for each as text or JSON.
//!
//! `check` is the sum of the first sequence's outputs at the last step: programs that compute the same function print
//! the same value. `scripts/bench.sh` alternates this program with others, and prints the table of `ratios`.

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod growth;
mod memory;
#[cfg(feature = "gpu")]
mod plans;
mod ratios;
mod timing;
mod workloads;

use std::path::PathBuf;
#[cfg(feature = "gpu")]
use std::time::Instant;

use clap::{Parser, Subcommand};
use timing::{Timing, time};
use wgru::nn::{Mode, Module};
use wgru::train::{AdamConfig, Method, Optimizer, SgdConfig};
use wgru::{Cell, CpuOptions, Device, Precision, Result, Rng, StreamOptions};
use workloads::{SEQUENCES, STREAMS, TRAIN, Work};

/// Times streams, sequences and training.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print lines of JSON instead of text
    #[arg(long)]
    json: bool,
    /// `cpu`, `gpu` or `all`
    #[arg(long, default_value = "all", global = true)]
    device: String,
    /// gru, gru_reset_before, lstm, rnn or rnn_relu; other libraries are only measured on GRUs
    #[arg(long, default_value_t = Cell::Gru)]
    cell: Cell,
    /// Number of CPU threads
    #[arg(long, default_value_t = 2, global = true)]
    threads: usize,
    /// Only workloads whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// On a GPU, first tune plans and products for each workload, and save the choices in this file
    #[arg(long)]
    tuning: Option<PathBuf>,
    /// Seconds per measurement
    #[arg(long, default_value_t = 3.0, global = true)]
    seconds: f64,
}

#[derive(Subcommand)]
enum Command {
    /// Print the table of ratios between wgru and other libraries, from lines of JSON
    Ratios {
        /// File with the lines, or - for standard input
        file: PathBuf,
    },
    /// Measure how time grows with T, B and H on the CPU
    Growth {
        /// Write a plot as SVG
        #[arg(long)]
        plot: Option<PathBuf>,
    },
    /// Measure every plan on the GPU, for the shapes estimated in docs/performance.md
    #[cfg(feature = "gpu")]
    GpuPlans,
    /// Measure the memory of a training step, with and without recomputing the gates
    Memory {
        #[arg(long, default_value_t = 4096)]
        steps: usize,
        #[arg(long, default_value_t = 32)]
        batch: usize,
        #[arg(long, default_value_t = 256)]
        hidden: usize,
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
}

impl Args {
    fn cpu(&self) -> Result<Device> {
        Device::cpu_with(CpuOptions { threads: Some(self.threads), ..CpuOptions::default() })
    }

    fn wants(&self, work: &Work) -> bool {
        self.only.split(',').any(|part| work.name.contains(part))
    }

    /// Tunes a GPU for `call`, if that was requested.
    fn tune(&self, device: &Device, call: impl FnMut() -> Result<()>) -> Result<()> {
        match &self.tuning {
            Some(path) if device.is_gpu() => device.tune(call)?.save(path),
            _ => Ok(()),
        }
    }

    fn emit(&self, backend: &str, work: &Work, threads: usize, t: &Timing, check: f64, note: &str) {
        let (k, unit) = if work.is_stream() { (1e6, "us") } else { (1e3, "ms") };
        let (median, min) = (t.median * k, t.min * k);
        if self.json {
            println!(
                "{{\"peer\":\"wgru\",\"version\":\"{}\",\"backend\":\"{backend}\",\"workload\":\"{}\",\"median\":{median:.4},\
                 \"min\":{min:.4},\"unit\":\"{unit}\",\"threads\":{threads},\"runs\":{},\"check\":{check:.5},\"note\":\"{note}\"}}",
                env!("CARGO_PKG_VERSION"),
                work.name,
                t.runs,
            );
        } else {
            println!("{:<14} {backend:<24} {median:>10.3} {unit} (best {min:.3})  check {check:.5}  {note}", work.name);
        }
    }
}

fn streams(args: &Args) -> Result<()> {
    for work in STREAMS.iter().filter(|work| args.wants(work)) {
        for weights in [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8] {
            let mut stream =
                work.stream(args.cell, StreamOptions { weights, threads: args.threads, ..Default::default() })?;
            let x = work.input();
            let check = work.check(stream.step(&x)?);
            let t = time(args.seconds, 200, || stream.step(&x).map(|y| _ = std::hint::black_box(y[0])))?;
            args.emit("cpu", work, args.threads, &t, check, &format!("{weights:?} weights"));
        }
    }
    Ok(())
}

fn sequences(args: &Args, device: &Device, backend: &str) -> Result<()> {
    for work in SEQUENCES.iter().filter(|work| args.wants(work)) {
        let (layer, x) = (work.layer(device, args.cell)?, work.input_on(device)?);
        let run = || layer.forward(&x)?.read_blocking();
        args.tune(device, || run().map(drop))?;
        let check = work.check(&run()?);
        let t = time(args.seconds, 1, || run().map(|y| _ = std::hint::black_box(y)))?;
        args.emit(backend, work, args.threads, &t, check, "");
    }
    Ok(())
}

fn training(args: &Args, device: &Device, backend: &str) -> Result<()> {
    if !args.wants(&TRAIN) {
        return Ok(());
    }
    for (note, method) in [("sgd", Method::Sgd(SgdConfig::default())), ("adam", Method::Adam(AdamConfig::default()))] {
        let (layer, x) = (TRAIN.layer(device, args.cell)?, TRAIN.input_on(device)?.requires_grad());
        let check = TRAIN.check(&layer.forward(&x)?.read_blocking()?);
        let mut optimizer = Optimizer::new(layer.parameters(), method, 1e-4)?;
        let mut rng = Rng::new(1);
        let mut step = || {
            x.set_grad(None);
            let y = layer.forward_with(&x, &mut Mode::Train(&mut rng))?;
            y.square()?.mean()?.backward()?;
            optimizer.step()?;
            optimizer.zero_grad();
            device.wait_blocking()
        };
        args.tune(device, &mut step)?;
        let t = time(args.seconds, 1, step)?;
        args.emit(backend, &TRAIN, args.threads, &t, check, note);
    }
    Ok(())
}

/// Times everything from the start of the process: opening the device, creating the weights, one step, and its
/// readback.
#[cfg(feature = "gpu")]
fn first_result(args: &Args, started: Instant) -> Result<()> {
    let work = Work { name: "first-result", ..STREAMS[0] };
    let device = Device::gpu_blocking()?;
    let (layer, x) = (work.layer(&device, args.cell)?, work.input_on(&device)?);
    let y = layer.forward(&x)?.read_blocking()?;
    let seconds = started.elapsed().as_secs_f64();
    args.emit(
        &device.info().name,
        &work,
        args.threads,
        &Timing { median: seconds, min: seconds, runs: 1 },
        work.check(&y),
        "",
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "gpu")]
    let started = Instant::now();
    let args = Args::parse();
    match &args.command {
        Some(Command::Ratios { file }) => return Ok(ratios::print(file)?),
        Some(Command::Growth { plot }) => {
            let device = args.cpu()?;
            let timer = growth::Timer { budget: args.seconds, one_thread: args.threads == 1 };
            let points = growth::run(&device, timer)?;
            return plot.as_ref().map_or(Ok(()), |path| growth::draw(&points, &device.info().name, path));
        }
        #[cfg(feature = "gpu")]
        Some(Command::GpuPlans) => return Ok(plans::print(&Device::gpu_blocking()?, args.seconds)?),
        Some(Command::Memory { steps, batch, hidden, runs }) => {
            let work = Work { name: "memory", layers: 1, batch: *batch, steps: *steps, hidden: *hidden };
            #[cfg(feature = "gpu")]
            if args.device == "gpu" {
                return Ok(memory::print(&Device::gpu_blocking()?, &work, *runs)?);
            }
            return Ok(memory::print(&args.cpu()?, &work, *runs)?);
        }
        None => {}
    }
    #[cfg(feature = "gpu")]
    if args.device != "cpu" && args.only == "first-result" {
        return Ok(first_result(&args, started)?);
    }
    if args.device != "gpu" {
        streams(&args)?;
        let device = args.cpu()?;
        sequences(&args, &device, "cpu")?;
        training(&args, &device, "cpu")?;
    }
    #[cfg(feature = "gpu")]
    if args.device != "cpu" {
        let device = Device::gpu_blocking()?;
        let name = device.info().name.clone();
        sequences(&args, &device, &name)?;
        training(&args, &device, &name)?;
    }
    Ok(())
}
