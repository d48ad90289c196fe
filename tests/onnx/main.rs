//! ONNX models: operators and recurrent nodes against ONNX Runtime, whole models, and streams.

#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests;

#[path = "../common/mod.rs"]
mod common;

mod build;
mod masks;
mod operators;
mod pytorch;
mod recurrent;
mod report;
mod states;
mod stream;

// These tests read files.
#[cfg(not(target_arch = "wasm32"))]
mod bound;
#[cfg(not(target_arch = "wasm32"))]
mod export;
#[cfg(not(target_arch = "wasm32"))]
mod graphs;
#[cfg(not(target_arch = "wasm32"))]
mod loops;
#[cfg(not(target_arch = "wasm32"))]
mod networks;
#[cfg(not(target_arch = "wasm32"))]
mod nsnet2;
#[cfg(not(target_arch = "wasm32"))]
mod real;
#[cfg(not(target_arch = "wasm32"))]
mod suite;

/// The data folder outside the repository, as in `scripts/test.sh`. Prints a message if it is missing.
#[cfg(not(target_arch = "wasm32"))]
fn data(what: &str) -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("WGRU_DATA").map(|root| std::path::Path::new(&root).join(what));
    let found = folder.filter(|folder| folder.exists());
    if found.is_none() {
        eprintln!("SKIPPED: WGRU_DATA has no {what}");
    }
    found
}
