//! Fuzzes the reader of both formats of `torch.save`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::io::TensorFile;

fuzz_target!(|bytes: &[u8]| {
    let _ = TensorFile::from_pt("fuzz", bytes);
});
