//! Fuzzes the contents of zip archives (`.npz`, `.pt`, `.pt2`, `.keras`), whose checksums would keep the fuzzer from
//! reaching them. The input is a list of members: of each the name, a zero, the length in 4 bytes, and the content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::Device;
use wgru::io::{TensorFile, load_network};

#[path = "../../tests/common/zip.rs"]
mod zip;

fn members(mut rest: &[u8]) -> Vec<(&str, &[u8])> {
    let mut out = Vec::new();
    while let Some(end) = rest.iter().position(|&byte| byte == 0) {
        let (name, after) = (&rest[..end], &rest[end + 1..]);
        let Some((len, data)) = after.split_first_chunk() else { break };
        let (data, after) = data.split_at(data.len().min(u32::from_le_bytes(*len) as usize));
        out.push((std::str::from_utf8(name).unwrap_or("?"), data));
        rest = after;
    }
    out
}

fuzz_target!(|bytes: &[u8]| {
    let list: Vec<_> = members(bytes).into_iter().map(|(name, data)| zip::stored(name, data)).collect();
    let Ok(mut file) = TensorFile::import_bytes("fuzz", &zip::zip(&list)) else { return };
    let _ = load_network(&Device::cpu(), &file);
    file.discard_unreadable();
    let again = file.to_bytes().expect("what was read can be written");
    let again = TensorFile::from_safetensors("fuzz", &again).expect("what was written can be read");
    assert!(file.names().eq(again.names()));
});
