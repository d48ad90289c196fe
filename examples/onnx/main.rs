//! Runs ONNX models, and checks this crate against ONNX's own test folders.
//!
//! ```text
//! cargo run --release --example onnx -- check FOLDER…      folders of test cases, or of such folders
//! ```

mod check;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use wgru::{Device, Result};

#[derive(Parser)]
#[command(about = "Runs ONNX models, and checks this crate against ONNX's own test folders")]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Where to compute.
    #[arg(long, global = true, default_value = "auto")]
    device: Which,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Auto,
    Cpu,
    Gpu,
}

#[derive(Subcommand)]
enum Command {
    /// Runs test folders (model.onnx, test_data_set_*/input_*.pb and output_*.pb) and compares the outputs.
    Check {
        /// Test folders, or folders of them.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
        /// Share of the wanted value that an output may be off.
        #[arg(long, default_value_t = 1e-3)]
        rtol: f64,
        /// What an output may be off beside that.
        #[arg(long, default_value_t = 1e-7)]
        atol: f64,
    },
}

fn device(which: Which) -> Result<Device> {
    match which {
        Which::Auto => Device::auto_blocking(),
        Which::Cpu => Ok(Device::cpu()),
        #[cfg(feature = "gpu")]
        Which::Gpu => Device::gpu_blocking(),
        #[cfg(not(feature = "gpu"))]
        Which::Gpu => Err(wgru::Error::NoAdapter("built without the feature `gpu`".into())),
    }
}

fn run(args: Args) -> Result<bool> {
    let device = device(args.device)?;
    println!("on {}", device.info().name);
    match args.command {
        Command::Check { folders, rtol, atol } => check::all(&device, &folders, check::Tolerance { rtol, atol }),
    }
}

fn main() -> ExitCode {
    env_logger::init();
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
