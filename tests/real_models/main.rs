//! Complete models trained elsewhere, compared with the results of their original software. They are not part of this
//! project: `WGRU_DATA` names the folder that holds `models/…`. Without it these tests are skipped with a message.

#[path = "../common/mod.rs"]
mod common;
mod denoiser;
#[path = "../../examples/g2p/model.rs"]
mod g2p;
mod spelling;

use std::path::PathBuf;

/// Returns the folder `models/<name>` of the data, or `None` after printing a message.
fn model(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WGRU_DATA").map(|data| PathBuf::from(data).join("models").join(name));
    match folder {
        Some(folder) => {
            assert!(folder.is_dir(), "WGRU_DATA is set, but {} does not exist", folder.display());
            Some(folder)
        }
        None => {
            eprintln!("SKIPPED: WGRU_DATA is not set, so there is no models/{name}");
            None
        }
    }
}
