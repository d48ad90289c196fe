//! Zip archives written member by member, including invalid ones.
#![allow(dead_code, reason = "each test file uses only some of these items")]

pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let (mut c, mut bit) = (n as u32, 0);
            while bit < 8 {
                c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
                bit += 1;
            }
            table[n] = c;
            n += 1;
        }
        table
    };
    !bytes.iter().fold(!0u32, |c, &b| (c >> 8) ^ TABLE[(c as u8 ^ b) as usize])
}

/// A member as the zip directory describes it, with `data` as stored in the file.
#[derive(Clone)]
pub struct Member<'a> {
    pub name: &'a str,
    pub data: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    pub crc: u32,
    pub len: u32,
}

pub fn stored<'a>(name: &'a str, data: &[u8]) -> Member<'a> {
    Member { name, data: data.to_vec(), method: 0, flags: 0, crc: crc32(data), len: data.len() as u32 }
}

pub fn deflated<'a>(name: &'a str, data: &[u8]) -> Member<'a> {
    let packed = miniz_oxide::deflate::compress_to_vec(data, 1);
    Member { name, data: packed, method: 8, flags: 0, crc: crc32(data), len: data.len() as u32 }
}

pub fn zip(members: &[Member]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for m in members {
        let start = out.len() as u32;
        let mut common = Vec::new();
        [20u16, m.flags, m.method, 0, 0x21].iter().for_each(|w| common.extend(w.to_le_bytes()));
        [m.crc, m.data.len() as u32, m.len].iter().for_each(|w| common.extend(w.to_le_bytes()));
        [m.name.len() as u16, 0].iter().for_each(|w| common.extend(w.to_le_bytes()));
        out.extend([b"PK\x03\x04", &common[..], m.name.as_bytes(), &m.data].concat());
        directory
            .extend([b"PK\x01\x02\x14\x00", &common[..], &[0; 10], &start.to_le_bytes(), m.name.as_bytes()].concat());
    }
    end(out, &directory, members.len() as u16)
}

/// Completes the archive whose members are in `out`, with this directory and this number of members.
pub fn end(mut out: Vec<u8>, directory: &[u8], count: u16) -> Vec<u8> {
    let start = out.len() as u32;
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    out.extend([(directory.len() as u32).to_le_bytes(), start.to_le_bytes()].concat());
    out.extend([0, 0]);
    out
}

/// Returns the names and inflated contents of the members of a valid archive, or `None` if it is not one of plain
/// members.
pub fn members(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let short = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?) as usize);
    let wide = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let end = bytes.windows(4).rposition(|w| w == b"PK\x05\x06")?;
    let (count, mut at) = (short(end + 10)?, wide(end + 16)?);
    let mut out = Vec::new();
    for _ in 0..count {
        let (method, packed, local) = (short(at + 10)?, wide(at + 20)?, wide(at + 42)?);
        let name = String::from_utf8(bytes.get(at + 46..at + 46 + short(at + 28)?)?.to_vec()).ok()?;
        let start = local + 30 + short(local + 26)? + short(local + 28)?;
        let data = bytes.get(start..start + packed)?;
        out.push((name, if method == 8 { miniz_oxide::inflate::decompress_to_vec(data).ok()? } else { data.to_vec() }));
        at += 46 + short(at + 28)? + short(at + 30)? + short(at + 32)?;
    }
    Some(out)
}
