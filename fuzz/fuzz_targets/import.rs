//! Fuzzes the readers of all kinds of files, and the list of recurrent layers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::Device;
use wgru::io::{TensorFile, load_network};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut file) = TensorFile::import_bytes("fuzz", bytes) {
        for layer in file.layers() {
            // A bidirectional layer that does not concatenate its directions is listed and refused.
            if let Err(error) = file.recurrent(&layer.name) {
                assert!(error.to_string().contains("merges its directions"), "{error}");
            }
        }
        let _ = load_network(&Device::cpu(), &file);
        file.discard_unreadable();
        let again = file.to_bytes().expect("what was read can be written");
        let again = TensorFile::from_safetensors("fuzz", &again).expect("what was written can be read");
        assert!(file.names().eq(again.names()));
    }
});
