//! Trains, draws and streams a GRU inside an egui application, on the GPU that draws the window.
//!
//! ```text
//! cargo run --release
//! ```

mod app;
mod gates;
mod gpu;
mod infer;
mod meter;
mod model;
mod options;
mod player;
mod report;
mod restart;
mod session;
mod settings;
mod ui;
mod weather;
mod worker;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match session::Session::new(options::Options::parse()).and_then(session::Session::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
