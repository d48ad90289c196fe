//! Fuzzes the readers of models for audio programs: JSON of RTNeural, AIDA-X, GuitarML and Neural Amp Modeler, and both
//! formats of RNNoise. What was read is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::Device;
use wgru::io::{TensorFile, load_network, to_nam_blocking, to_rtneural_blocking};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = TensorFile::import_bytes("fuzz", bytes) else { return };
    if let Ok(network) = load_network(&Device::cpu(), &file) {
        let _ = to_nam_blocking(&network, Some(48000.0));
        if let Ok(text) = to_rtneural_blocking(&network) {
            TensorFile::import_bytes("fuzz", text.as_bytes()).expect("what was written can be read");
        }
    }
});
