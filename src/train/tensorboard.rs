//! Event logs for TensorBoard.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Progress;
use crate::error::{Error, Result};

/// Writes scalars to an event file, which `tensorboard --logdir FOLDER` shows while the training runs.
///
/// The file holds TFRecords of `Event` messages. Each record is written at once, with checksums, so readers can detect
/// and skip a truncated record.
///
/// ```
/// use wgru::train::TensorBoardLog;
/// let folder = std::env::temp_dir().join("wgru-doc-tensorboard");
/// let mut log = TensorBoardLog::create(&folder)?;
/// for step in 0..10 {
///     log.scalar("loss/train", step, 1.0 / (1.0 + step as f32))?;
/// }
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Debug)]
pub struct TensorBoardLog {
    path: PathBuf,
    file: File,
}

impl TensorBoardLog {
    /// Creates the folder if it does not exist, and a new event file in it. TensorBoard shows a folder of several files
    /// as one run.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be created.
    pub fn create(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("events.out.tfevents.{}.{}.{}", time.as_secs(), std::process::id(), time.subsec_nanos());
        let path = folder.join(name);
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(Error::io(&path))?;
        let mut log = Self { path, file };
        log.write(&event(0, |event| bytes(event, 3, b"brain.Event:2")))?;
        Ok(log)
    }

    /// Writes the value of `tag` at a step, such as the number of the update or the epoch.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f32) -> Result<()> {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, tag.as_bytes());
        key(&mut entry, 2, 5);
        entry.extend(value.to_le_bytes());
        let mut summary = Vec::new();
        bytes(&mut summary, 1, &entry);
        self.write(&event(step, |event| bytes(event, 5, &summary)))
    }

    /// After the last update of an epoch, writes `loss`, `val_loss` if there is one, and `learning_rate`; does nothing
    /// after other updates.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written.
    pub fn record(&mut self, progress: &Progress) -> Result<()> {
        let Some(loss) = progress.loss else { return Ok(()) };
        let epoch = progress.epoch as u64;
        self.scalar("loss", epoch, loss)?;
        if let Some(validation) = progress.validation {
            self.scalar("val_loss", epoch, validation)?;
        }
        self.scalar("learning_rate", epoch, progress.rate as f32)
    }

    /// Returns the path of the event file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let record =
            [&length, &masked_crc(&length).to_le_bytes()[..], event, &masked_crc(event).to_le_bytes()].concat();
        self.file.write_all(&record).map_err(Error::io(&self.path))
    }
}

/// Encodes an `Event` at a step: the wall time, the step, and what `content` adds.
fn event(step: u64, content: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, 1);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    event.extend(time.as_secs_f64().to_le_bytes());
    key(&mut event, 2, 0);
    varint(&mut event, step);
    content(&mut event);
    event
}

/// Writes the key of a field of a protocol buffer: its number and wire type.
fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

/// Writes a field of bytes, text or a message.
fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(out, field, 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The checksum of a TFRecord: CRC-32C, rotated and offset, because a plain CRC of data that contain CRCs is weak.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: the records are short.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of RFC 3720, B.4.
    #[test]
    fn checksums_give_the_known_answers() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn messages_have_the_bytes_of_the_format() {
        let mut out = Vec::new();
        varint(&mut out, 300);
        bytes(&mut out, 3, b"ab");
        assert_eq!(out, [0xac, 0x02, 0x1a, 0x02, b'a', b'b']);
        let event = event(5, |event| bytes(event, 3, b"x"));
        assert_eq!((event[0], event.len()), (0x09, 9 + 2 + 3));
        assert_eq!(event[9..], [0x10, 5, 0x1a, 1, b'x']);
    }
}
