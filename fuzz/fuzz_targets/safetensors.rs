//! Fuzzes the safetensors reader, and loading a model from the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::{Device, io};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut file) = io::TensorFile::from_safetensors("fuzz", bytes) {
        file.discard_unreadable();
        // A file that was read can be written, and reads back with the same names.
        let again = file.to_bytes().expect("what was read can be written");
        let again = io::TensorFile::from_safetensors("fuzz", &again).expect("what was written can be read");
        assert!(file.names().eq(again.names()));
        let _ = io::load_recurrent_blocking(&Device::cpu(), &file);
    }
});
