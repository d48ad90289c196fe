//! Reads and writes zip archives as `numpy.savez` and `torch.save` write them.
//!
//! Only the central directory is trusted. Members and directory must fill the archive, so that a lost entry or count is
//! an error. Members must not overlap, and none may inflate to more than it declares, or to more than deflate can
//! produce. Every checksum is verified. Source: PKWARE, *APPNOTE.TXT* 6.3.10.

mod crc;

use std::borrow::Cow;
use std::cmp::Ordering;

use super::budget::Budget;
use super::tensors::sorted_order;
use crate::error::{Error, Result};
use crc::crc32;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// Size of the end record in bytes, without its comment.
const END_LEN: usize = 22;
const END64: u32 = 0x0606_4b50;
/// Size of the zip64 end record and its locator in bytes. PyTorch writes them into every archive.
const END64_LEN: usize = 56 + 20;
/// Maximum number of bytes between a member and what follows it: a zip64 data descriptor with its signature.
const DESCRIPTOR_LEN: usize = 24;
/// Maximum expansion ratio of deflate: two bits can expand to 258 bytes.
const MOST_INFLATION: usize = 1032;

/// An archive in memory.
pub(super) struct Archive<'a> {
    source: &'a str,
    bytes: &'a [u8],
    members: Vec<Member<'a>>,
}

/// One file of the archive.
pub(super) struct Member<'a> {
    pub name: &'a str,
    deflated: bool,
    crc: u32,
    /// Offset of its own header.
    start: usize,
    /// Range of the compressed bytes.
    place: std::ops::Range<usize>,
    /// Inflated size in bytes.
    len: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let word: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(u16::from_le_bytes(word) as usize)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_le_bytes(word))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word: [u8; 8] = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
    Some(u64::from_le_bytes(word))
}

impl<'a> Archive<'a> {
    /// Whether a file starts like an archive: with a member, or with the end record of an empty archive.
    pub fn is_start(bytes: &[u8]) -> bool {
        [LOCAL, END].map(Some).contains(&u32_at(bytes, 0))
    }

    /// Reads the central directory.
    ///
    /// # Errors
    /// [`Error::Format`] if the archive is damaged, encrypted, split or zip64, or if its members overlap.
    pub fn new(source: &'a str, bytes: &'a [u8]) -> Result<Self> {
        let bad = |why: &str| Error::format(source, why);
        let end = end_record(bytes).ok_or_else(|| bad("not a complete zip archive: no end of central directory"))?;
        let field = |at| u16_at(bytes, end + at).unwrap_or(usize::MAX);
        let wide = |at| u32_at(bytes, end + at).unwrap_or(u32::MAX);
        let (count, size, start) = (field(10), wide(12), wide(16));
        if count == 0xffff || size == u32::MAX || start == u32::MAX {
            return Err(bad("is a zip64 archive, which is not supported"));
        }
        if field(4) != 0 || field(6) != 0 || field(8) != count {
            return Err(bad("is one part of a split zip archive"));
        }
        let (start, size) = (start as usize, size as usize);
        let directory = start.checked_add(size).filter(|&e| e <= end).and_then(|e| bytes.get(start..e));
        let mut directory = directory.ok_or_else(|| bad("the zip directory reaches past its end"))?;
        check_end(bytes, end, [count as u64, size as u64, start as u64]).map_err(bad)?;
        let mut members = Vec::new();
        for _ in 0..count {
            let (member, rest) = member(source, bytes, directory, start)?;
            directory = rest;
            members.push(member);
        }
        if !directory.is_empty() {
            return Err(bad("the zip directory has more entries than it counts"));
        }
        let archive = Self { source, bytes, members };
        archive.check_places(start)?;
        Ok(archive)
    }

    /// Checks that members follow each other from the first byte to the directory at `end`, and that their names
    /// differ.
    fn check_places(&self, end: usize) -> Result<()> {
        let ordered = |compare: &dyn Fn(&Member, &Member) -> Ordering| -> Vec<&Member> {
            let order = sorted_order(self.members.len(), &|a, b| compare(&self.members[a], &self.members[b]));
            order.into_iter().map(|at| &self.members[at]).collect()
        };
        let order = ordered(&|a, b| (a.place.start, a.place.end).cmp(&(b.place.start, b.place.end)));
        if let Some(pair) = order.windows(2).find(|p| p[0].place.end > p[1].start) {
            return Err(self.error(pair[1].name, "overlaps another member"));
        }
        let starts = order.iter().map(|m| m.start).chain([end]);
        let ends = std::iter::once((0, 0)).chain(order.iter().map(|m| (m.place.end, DESCRIPTOR_LEN)));
        if let Some((from, (to, _))) = starts.zip(ends).find(|&(start, (end, room))| start - end > room) {
            let why = format!("the zip directory has no entry for bytes {to} to {from}: a member is missing");
            return Err(Error::format(self.source, why));
        }
        match ordered(&|a, b| a.name.cmp(b.name)).windows(2).find(|p| p[0].name == p[1].name) {
            Some(pair) => Err(self.error(pair[0].name, "appears twice")),
            None => Ok(()),
        }
    }

    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Returns the member with this name.
    pub fn find(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|m| m.name == name)
    }

    /// Returns an error about a member.
    pub fn error(&self, name: &str, why: impl ToString) -> Error {
        Error::format(format!("{}: {name:?}", self.source), why)
    }

    /// Returns the content of a member.
    ///
    /// # Errors
    /// [`Error::Format`] if the content does not match the size and checksum in the directory, or the budget does not
    /// allow it.
    pub fn read(&self, member: &Member, budget: &mut Budget) -> Result<Cow<'a, [u8]>> {
        let bad = |why: &str| self.error(member.name, why);
        let stored = self.bytes.get(member.place.clone()).ok_or_else(|| bad("reaches past the archive"))?;
        let data = match member.deflated {
            false => Cow::Borrowed(stored),
            true => {
                budget.take(|| format!("{}: {:?}", self.source, member.name), member.len)?;
                let mut out = vec![0; member.len];
                let n = miniz_oxide::inflate::decompress_slice_iter_to_slice(
                    &mut out,
                    std::iter::once(stored),
                    false,
                    true,
                )
                .map_err(|_| bad("does not inflate to the size in the zip directory"))?;
                if n != member.len {
                    return Err(bad("inflates to less than the size in the zip directory"));
                }
                Cow::Owned(out)
            }
        };
        if crc32(&data) != member.crc {
            return Err(bad("is damaged: its checksum differs"));
        }
        Ok(data)
    }
}

/// Checks that the directory reaches to the end record, or to a zip64 end record before it, and that both state the
/// same `counts`: members, bytes and offset of the directory.
fn check_end(bytes: &[u8], end: usize, counts: [u64; 3]) -> Result<(), &'static str> {
    let [_, size, start] = counts;
    let stop = (start + size) as usize;
    if stop == end {
        return Ok(());
    }
    if end - stop != END64_LEN || u32_at(bytes, stop) != Some(END64) {
        return Err("the zip directory does not have the size in the archive's end record");
    }
    let same = [32, 40, 48].map(|at| u64_at(bytes, stop + at)).into_iter().eq(counts.map(Some));
    if same { Ok(()) } else { Err("the two end records of the zip archive differ") }
}

/// Returns the offset of the end record: the last signature whose comment reaches the end of the file.
fn end_record(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LEN)?;
    let matches = |&at: &usize| {
        u32_at(bytes, at) == Some(END) && u16_at(bytes, at + 20).is_some_and(|n| at + END_LEN + n == bytes.len())
    };
    (last.saturating_sub(0xffff)..=last).rev().find(matches)
}

/// Parses the first entry of `directory`. Returns the member and the rest of the directory. The member's bytes must end
/// below `limit`.
fn member<'a>(source: &str, bytes: &'a [u8], directory: &'a [u8], limit: usize) -> Result<(Member<'a>, &'a [u8])> {
    let bad = |why: &str| Error::format(source, why);
    let cut = || bad("the zip directory is cut short");
    let (short, wide) = (|at| u16_at(directory, at).ok_or_else(cut), |at| u32_at(directory, at).ok_or_else(cut));
    if wide(0)? != CENTRAL {
        return Err(bad("the zip directory is damaged"));
    }
    let (flags, method, crc) = (short(8)?, short(10)?, wide(16)?);
    let (packed, len, local) = (wide(20)?, wide(24)?, wide(42)?);
    let (name_len, rest) = (short(28)?, 46 + short(28)? + short(30)? + short(32)?);
    let name = directory.get(46..46 + name_len).ok_or_else(cut)?;
    let name = std::str::from_utf8(name).map_err(|_| bad("a name in the zip directory is not UTF-8"))?;
    let rest = directory.get(rest..).ok_or_else(cut)?;
    let of = |why: String| Error::format(format!("{source}: {name:?}"), why);
    if [packed, len, local].contains(&u32::MAX) {
        return Err(of("is a zip64 member, which is not supported".into()));
    }
    if flags & 0x41 != 0 {
        return Err(of("is encrypted".into()));
    }
    let (packed, len, local) = (packed as usize, len as usize, local as usize);
    match method {
        0 if packed == len => {}
        8 if len <= packed.saturating_mul(MOST_INFLATION) => {}
        0 | 8 => return Err(of(format!("claims {len} bytes, which {packed} compressed bytes cannot hold"))),
        _ => return Err(of(format!("has zip method {method}; expected stored or deflate"))),
    }
    let outside = || of("lies outside the archive".into());
    if local >= bytes.len() {
        return Err(outside());
    }
    let header = (u32_at(bytes, local), u16_at(bytes, local + 26), u16_at(bytes, local + 28));
    let (Some(LOCAL), Some(local_name), Some(local_extra)) = header else { return Err(outside()) };
    let data = local + 30 + local_name + local_extra;
    if bytes.get(local + 30..local + 30 + local_name) != Some(name.as_bytes()) {
        return Err(of("has another name in its own header".into()));
    }
    let place = data..data.checked_add(packed).filter(|&end| end <= limit).ok_or_else(outside)?;
    Ok((Member { name, deflated: method == 8, crc, start: local, place, len }, rest))
}

/// Returns an archive of stored members. The same members always give the same bytes.
///
/// # Errors
/// [`Error::Format`] if it would need zip64, or a name is too long.
pub(super) fn write(members: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    let too_large =
        || Error::format("zip archive", "needs zip64, which is not supported: it has 4 GiB or 65,535 members");
    let count = u16::try_from(members.len()).ok().filter(|&n| n < u16::MAX).ok_or_else(too_large)?;
    for (name, data) in members {
        let fits = |n: usize| u32::try_from(n).ok().filter(|&n| n < u32::MAX).ok_or_else(too_large);
        let (start, len) = (fits(out.len())?, fits(data.len())?);
        let long =
            || Error::format(format!("{name:?}"), "is too long for a name in a zip archive, which allows 65,535 bytes");
        let name_len = u16::try_from(name.len()).map_err(|_| long())?;
        // Version 2.0, names in UTF-8, stored, 1 January 1980.
        let mut common = Vec::with_capacity(26);
        for word in [20u16, 0x0800, 0, 0, 0x21] {
            common.extend(word.to_le_bytes());
        }
        for word in [crc32(data), len, len] {
            common.extend(word.to_le_bytes());
        }
        common.extend(name_len.to_le_bytes());
        common.extend([0, 0]);
        out.extend(LOCAL.to_le_bytes());
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(data);
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend(20u16.to_le_bytes());
        directory.extend(&common);
        // No comment, first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = u32::try_from(out.len()).map_err(|_| too_large())?;
    let size = u32::try_from(directory.len()).map_err(|_| too_large())?;
    out.extend(directory);
    out.extend(END.to_le_bytes());
    out.extend([0; 4]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    Ok(out)
}
