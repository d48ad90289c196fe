//! wgru for JavaScript.
//!
//! What is here is called by the package's own modules (`web/ts/`), which give it its types, run it in a worker and
//! restore it after a fault. Values cross as typed arrays, options as JSON.

mod engine;
mod fault;
mod network;
#[cfg(feature = "onnx")]
mod onnx;
mod options;
mod stream;
#[cfg(feature = "train")]
mod train;
mod values;

use std::panic::PanicHookInfo;

use wasm_bindgen::prelude::*;

/// A panic ends the module; whoever called learns why.
fn report(info: &PanicHookInfo) {
    wasm_bindgen::throw_val(fault::panic(&info.to_string()));
}

/// Runs when the module is made.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(report));
}
