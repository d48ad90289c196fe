//! Fuzzes the pickle inside an otherwise valid `torch.save` archive, because zip checksums would keep the fuzzer from
//! reaching it. The archive has two storages of 64 bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::io::TensorFile;

fn crc32(bytes: &[u8]) -> u32 {
    let bit = |c: u32| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
    !bytes.iter().fold(!0u32, |c, &b| (0..8).fold(c ^ b as u32, |c, _| bit(c)))
}

/// Returns an archive of stored members.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let (start, len) = (out.len() as u32, data.len() as u32);
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        [crc32(data), len, len].iter().for_each(|w| common.extend(w.to_le_bytes()));
        [name.len() as u16, 0].iter().for_each(|w| common.extend(w.to_le_bytes()));
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), data].concat());
        directory
            .extend([b"PK\x01\x02\x14\x00", &common[..], &[0; 10], &start.to_le_bytes(), name.as_bytes()].concat());
    }
    let (start, count) = (out.len() as u32, members.len() as u16);
    let size = directory.len() as u32;
    out.extend(directory);
    out.extend([b"PK\x05\x06\0\0\0\0", &count.to_le_bytes()[..], &count.to_le_bytes()].concat());
    out.extend([&size.to_le_bytes()[..], &start.to_le_bytes(), &[0, 0]].concat());
    out
}

fuzz_target!(|bytes: &[u8]| {
    let data: Vec<u8> = (0..64).collect();
    let archive = zip(&[("a/data.pkl", bytes), ("a/data/0", &data), ("a/data/1", &data)]);
    let _ = TensorFile::from_pt("fuzz", &archive);
    let _ = TensorFile::import_bytes("fuzz", &archive);
});
