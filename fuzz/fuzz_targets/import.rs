//! Fuzzes the readers of all kinds of files, and the list of recurrent layers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::Device;
use wgru::io::{TensorFile, load_network};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut file) = TensorFile::import_bytes("fuzz", bytes) {
        for layer in file.layers() {
            let mode = file.metadata.get(&format!("{}.merge_mode", layer.name));
            match file.recurrent(&layer.name) {
                Ok(_) => assert!(mode.is_none_or(|mode| mode == "concat"), "{} was not refused", layer.name),
                // Its output is not that of a layer of this crate, so it is only listed.
                Err(error) => assert!(error.to_string().contains("merges its directions"), "{error}"),
            }
        }
        let _ = load_network(&Device::cpu(), &file);
        file.discard_unreadable();
        let again = file.to_bytes().expect("what was read can be written");
        let again = TensorFile::from_safetensors("fuzz", &again).expect("what was written can be read");
        assert!(file.names().eq(again.names()));
    }
});
