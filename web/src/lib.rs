//! wgru for JavaScript.
//!
//! Only the package's own modules (`web/ts/`) call this crate. They add types, run it in a worker and restart it after
//! a fault. Values cross as typed arrays, options as objects.

#[cfg(feature = "onnx")]
mod bound;
mod engine;
mod fault;
#[cfg(feature = "import")]
mod import;
#[cfg(any(feature = "networks", feature = "import"))]
mod layout;
#[cfg(feature = "networks")]
mod network;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg_attr(not(any(feature = "networks", feature = "onnx")), allow(dead_code, reason = "imports use a part of it"))]
mod options;
#[cfg(feature = "networks")]
mod stream;
#[cfg(feature = "train")]
mod train;
#[cfg_attr(not(any(feature = "networks", feature = "onnx")), allow(dead_code, reason = "imports use a part of it"))]
mod values;

use std::panic::PanicHookInfo;

use wasm_bindgen::prelude::*;

/// Throws the panic as a JavaScript error. The module is unusable afterwards.
fn report(info: &PanicHookInfo) {
    wasm_bindgen::throw_val(fault::panic(&info.to_string()));
}

/// Runs when the module is instantiated.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(report));
}
