//! Models that others trained, whole, beside what their own software answers. They are not part of this project:
//! `WGRU_DATA` names the folder that holds `models/…`; without it these tests are skipped, and say so.

#[path = "../common/mod.rs"]
mod common;
mod denoiser;
#[path = "../../examples/g2p/model.rs"]
mod g2p;
mod spelling;

use std::path::PathBuf;

/// The folder `models/<name>` of the data, or `None` and a line that says so.
fn model(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WGRU_DATA").map(|data| PathBuf::from(data).join("models").join(name));
    match folder {
        Some(folder) => {
            assert!(folder.is_dir(), "WGRU_DATA is set, but {} is not there", folder.display());
            Some(folder)
        }
        None => {
            eprintln!("SKIPPED: WGRU_DATA is not set, so there is no models/{name}");
            None
        }
    }
}
