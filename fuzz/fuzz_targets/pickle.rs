//! Fuzzes the pickle inside an otherwise valid `torch.save` archive, because zip checksums would keep the fuzzer from
//! reaching it. The archive has two storages of 64 bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::io::TensorFile;

#[path = "../../tests/common/zip.rs"]
mod zip;

fuzz_target!(|bytes: &[u8]| {
    let data: Vec<u8> = (0..64).collect();
    let members = [("a/data.pkl", bytes), ("a/data/0", &data), ("a/data/1", &data)];
    let archive = zip::zip(&members.map(|(name, data)| zip::stored(name, data)));
    let _ = TensorFile::from_pt("fuzz", &archive);
    let _ = TensorFile::import_bytes("fuzz", &archive);
});
