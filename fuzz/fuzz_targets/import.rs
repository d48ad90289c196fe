//! Fuzzes the readers of all kinds of files, and the list of recurrent layers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::Device;
use wgru::io::{TensorFile, load_network};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut file) = TensorFile::import_bytes("fuzz", bytes) {
        for layer in file.layers() {
            // The output of a bidirectional layer that merges its directions is not that of a layer of this crate.
            let key = format!("{}.merge_mode", layer.name);
            let is_merged = file.metadata.get(&key).is_some_and(|mode| mode != "concat");
            assert!(file.recurrent(&layer.name).is_ok() != is_merged, "{}", layer.name);
        }
        let _ = load_network(&Device::cpu(), &file);
        file.discard_unreadable();
        let again = file.to_bytes().expect("what was read can be written");
        let again = TensorFile::from_safetensors("fuzz", &again).expect("what was written can be read");
        assert!(file.names().eq(again.names()));
    }
});
