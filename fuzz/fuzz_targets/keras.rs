//! Fuzzes the reader of Keras' weights: an HDF5 file, or an archive that contains one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::io::TensorFile;

fuzz_target!(|bytes: &[u8]| {
    let _ = TensorFile::from_keras("fuzz", bytes);
});
