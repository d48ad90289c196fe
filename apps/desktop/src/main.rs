//! Trains, draws and streams a GRU inside an egui application, on the GPU that draws the window.
//!
//! ```text
//! cargo run --release
//! ```
//!
//! A module imports only from modules of lower ranks:
//!
//! | rank | modules | what |
//! | --- | --- | --- |
//! | 0 | `meter` `options` `wake` `weather` | measurements, the command line, repaints, the data |
//! | 1 | `gpu` `model` `restart` `settings` | devices, the network, restarting the program, the user's choices |
//! | 2 | `infer` `worker` | inferences recorded by frames; the training thread |
//! | 3 | `gates` `player` `report` | users of its results: pictures of the gates, the sensor, the report of a run |
//! | 4 | `session` | the state that outlives the windows |
//! | 5 | `ui` | the content of a window |
//! | 6 | `app` | the frames of a window |
//! | 7 | `windows` | opens the windows, one after another |

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
mod wake;
mod weather;
mod windows;
mod worker;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match session::Session::new(options::Options::parse()).and_then(windows::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
