//! Fuzzes the reader of ONNX models that are stacks of layers. A network that was read is saved, read back and run,
//! and compared with the model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::Device;
use wgru::io::onnx;

#[path = "../../tests/damage/network.rs"]
mod network;

fuzz_target!(|bytes: &[u8]| {
    let device = Device::cpu();
    if let Ok(read) = onnx::load_network(&device, bytes) {
        network::try_out(&device, &read);
        network::agrees(&device, bytes, &read);
    }
});
