//! Files that are read and written.

// This also provides `block_on`.
#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests as pollster;

#[path = "../common/mod.rs"]
mod common;
#[path = "../readers/mod.rs"]
mod readers;

#[cfg(not(target_arch = "wasm32"))]
mod any;
mod conversions;
#[cfg(not(target_arch = "wasm32"))]
mod import;
#[cfg(not(target_arch = "wasm32"))]
mod keras;
mod layers;
#[cfg(not(target_arch = "wasm32"))]
mod recurrent;
#[cfg(not(target_arch = "wasm32"))]
mod round_trips;
#[cfg(not(target_arch = "wasm32"))]
mod saved_networks;
#[cfg(not(target_arch = "wasm32"))]
mod saving;
#[cfg(not(target_arch = "wasm32"))]
mod tensors;
mod verification;
