//! Runs a recurrent layer on several devices and in f64, and reports where they first differ.
//!
//! ```text
//! cargo run --release --example compare -- MODEL.safetensors --input X.npy --devices cpu,gpu,twin
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use wgru::io::{TensorFile, compare, load_recurrent_blocking};
use wgru::nn::HostInput;
use wgru::{CpuOptions, Device, Rng};

/// Runs a recurrent layer on several devices and in f64, and reports where they first differ.
///
/// Errors are relative for expected values above 1, otherwise absolute. If the model file contains a verification
/// run, loading the model also checks that run.
#[derive(Parser, Debug)]
#[command(name = "compare")]
struct Args {
    /// GRU, LSTM or simple recurrent layer: a file of this crate, or a PyTorch state dict
    model: PathBuf,
    /// Input sequences as .npy in the layer's layout, [T, B, I] or [B, T, I] [default: 50 random steps of 3 sequences]
    #[arg(long, value_name = "X.npy")]
    input: Option<PathBuf>,
    /// Devices to run on
    #[arg(long, value_delimiter = ',', default_value = "cpu,twin")]
    devices: Vec<Choice>,
    /// Report the first error above this tolerance
    #[arg(long, default_value_t = 1e-5)]
    tolerance: f64,
    /// Seed of the random input
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    /// The fast paths of the CPU
    Cpu,
    /// The best GPU
    Gpu,
    /// The kernels' reference twins
    Twin,
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every device agrees with f64.
fn run(args: &Args) -> Result<bool> {
    let model = TensorFile::open(&args.model)?;
    let mut agree = true;
    for &choice in &args.devices {
        let layer = load_recurrent_blocking(&open(choice)?, &model)?;
        let input = match &args.input {
            Some(path) => {
                let file = TensorFile::open(path)?;
                let name = file.names().next().ok_or("the input holds no array")?;
                let (dims, x) = file.get(name)?;
                let dims = dims.try_into().map_err(|_| format!("the input has shape {dims:?}; expected three axes"))?;
                HostInput { x: x.to_vec(), dims, ..HostInput::default() }
            }
            None => HostInput::random(&layer, 50, 3, &mut Rng::new(args.seed)),
        };
        let comparison = pollster::block_on(compare(&layer, &input, args.tolerance))?;
        println!("{}: largest error {:.2e}", comparison.device, comparison.largest);
        if let Some(first) = &comparison.first {
            println!("  differs from f64 at {first}");
            agree = false;
        }
    }
    Ok(agree)
}

fn open(choice: Choice) -> Result<Device> {
    match choice {
        Choice::Cpu => Ok(Device::cpu()),
        Choice::Twin => Ok(Device::cpu_with(CpuOptions { reference: true, ..CpuOptions::default() })?),
        #[cfg(feature = "gpu")]
        Choice::Gpu => Ok(Device::gpu_blocking()?),
        #[cfg(not(feature = "gpu"))]
        Choice::Gpu => Err("this was built without the feature `gpu`".into()),
    }
}
