//! Runs ONNX models, and checks this crate against ONNX's own test folders.
//!
//! ```text
//! cargo run --release --example onnx -- check FOLDER…      test folders, or folders of them
//! cargo run --release --example onnx -- run MODEL.onnx --input x=x.npy --output FOLDER
//! cargo run --release --example onnx -- export gru.safetensors gru.onnx
//! ```

mod check;
mod export;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use wgru::{Device, Result};

#[derive(Parser)]
#[command(about = "Runs ONNX models, and checks this crate against ONNX's own test folders")]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Device to use.
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
        /// Relative tolerance of the outputs.
        #[arg(long, default_value_t = 1e-3)]
        rtol: f64,
        /// Absolute tolerance of the outputs, added to the relative one.
        #[arg(long, default_value_t = 1e-7)]
        atol: f64,
    },
    /// Runs a model on arrays and writes its outputs as arrays.
    Run {
        /// ONNX file of the model.
        model: PathBuf,
        /// An input, as NAME=FILE.npy; repeat for each input.
        #[arg(long = "input", value_name = "NAME=FILE.npy")]
        inputs: Vec<String>,
        /// Folder for the outputs.
        #[arg(long)]
        output: PathBuf,
    },
    /// Writes a recurrent layer as an ONNX file with free batch and time axes.
    Export {
        /// Weights under PyTorch's names: safetensors or .pt.
        weights: PathBuf,
        /// The file to write.
        onnx: PathBuf,
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

fn dispatch(args: Args) -> Result<bool> {
    let device = device(args.device)?;
    println!("on {}", device.info().name);
    match args.command {
        Command::Check { folders, rtol, atol } => check::all(&device, &folders, check::Tolerance { rtol, atol }),
        Command::Run { model, inputs, output } => run::run(&device, &model, &inputs, &output),
        Command::Export { weights, onnx } => export::export(&device, &weights, &onnx),
    }
}

fn main() -> ExitCode {
    env_logger::init();
    match dispatch(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
