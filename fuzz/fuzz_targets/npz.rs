//! Fuzzes the readers of `.npz`, `.npy` and detected formats. Files that can be read must survive a round trip through
//! `.npz`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::io::TensorFile;

fuzz_target!(|bytes: &[u8]| {
    let _ = TensorFile::from_npz("fuzz", bytes);
    let _ = TensorFile::from_npy("fuzz", bytes);
    if let Ok(mut file) = TensorFile::from_bytes("fuzz", bytes) {
        file.discard_unreadable();
        let again = file.to_npz().expect("what was read can be written");
        let again = TensorFile::from_npz("fuzz", &again).expect("what was written can be read");
        assert!(file.names().eq(again.names()));
    }
});
