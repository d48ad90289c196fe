//! Devices: adopted and lost ones, recording, tuning, routing, determinism.

// This also provides `block_on`.
#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests as pollster;

#[path = "../common/mod.rs"]
mod common;

mod adopted;
mod determinism;
#[cfg(not(target_arch = "wasm32"))]
mod device_loss;
#[cfg(not(target_arch = "wasm32"))]
mod guest;
#[cfg(not(target_arch = "wasm32"))]
mod recording;
#[cfg(not(target_arch = "wasm32"))]
mod router;
#[cfg(not(target_arch = "wasm32"))]
mod shared_buffers;
#[cfg(not(target_arch = "wasm32"))]
mod tuning;
