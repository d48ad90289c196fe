//! Reads and writes the wire format of protocol buffers. Reading borrows from the file.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>. For the reasons not to use a
//! dependency, see `docs/adr/0010-onnx-is-read-and-written-by-hand.md`.

use crate::error::{Error, Result};

/// Maximum length of a name in bytes. Errors and states contain copies of names.
const LONGEST: usize = 1024;

/// Content of a field.
#[derive(Clone, Copy, Debug)]
pub enum Wire<'a> {
    /// Integers, booleans and enumerations.
    Varint(u64),
    /// A 32-bit number, little-endian.
    Fixed32([u8; 4]),
    /// A 64-bit number, little-endian.
    Fixed64([u8; 8]),
    /// Text, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// The fields of one message, in the order of the file.
pub struct Fields<'a> {
    message: &'static str,
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Creates an iterator over the fields of a message. Errors contain its name, `message`.
    pub fn new(message: &'static str, bytes: &'a [u8]) -> Self {
        Self { message, bytes }
    }

    fn bad(&self, why: &str) -> Error {
        Error::format(format!("ONNX {}", self.message), why)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.bytes.split_at_checked(len) {
            Some((head, rest)) => {
                self.bytes = rest;
                Ok(head)
            }
            None => Err(self.bad(&format!("is cut short: {len} bytes announced, {} left", self.bytes.len()))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| self.bad("is cut short"))
    }

    fn varint(&mut self) -> Result<u64> {
        // Fast path: most integers are a single byte.
        if let [byte @ ..0x80, rest @ ..] = self.bytes {
            self.bytes = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            // The tenth byte may only hold one bit.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.bad("has an integer of more than 64 bits"))
    }

    /// Returns the number and content of the next field, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(self.array()?),
            2 => {
                let len = self.varint()?;
                Wire::Bytes(self.take(usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            5 => Wire::Fixed32(self.array()?),
            kind => return Err(self.bad(&format!("has a field of unknown kind {kind}"))),
        };
        match tag >> 3 {
            0 => Err(self.bad("has a field with the number 0")),
            number => Ok(Some((number, wire))),
        }
    }

    /// Returns the content as bytes.
    pub fn bytes(&self, field: &str, wire: Wire<'a>) -> Result<&'a [u8]> {
        match wire {
            Wire::Bytes(bytes) => Ok(bytes),
            _ => Err(self.bad(&format!("has a number where {field} should be"))),
        }
    }

    /// Returns the content as a name.
    pub fn text(&self, field: &str, wire: Wire<'a>) -> Result<&'a str> {
        let bytes = self.bytes(field, wire)?;
        if bytes.len() > LONGEST {
            return Err(self.bad(&format!("{field} has more than {LONGEST} bytes")));
        }
        std::str::from_utf8(bytes).map_err(|_| self.bad(&format!("{field} is not UTF-8")))
    }

    /// Returns the content as an integer.
    pub fn int(&self, field: &str, wire: Wire<'a>) -> Result<i64> {
        match wire {
            Wire::Varint(value) => Ok(value as i64),
            _ => Err(self.bad(&format!("{field} is not an integer"))),
        }
    }

    /// Returns the content as a float.
    pub fn float(&self, field: &str, wire: Wire<'a>) -> Result<f32> {
        match wire {
            Wire::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(self.bad(&format!("{field} is not a float"))),
        }
    }

    /// Appends one integer, or a packed list of them.
    pub fn ints(&self, field: &str, wire: Wire<'a>, out: &mut Vec<i64>) -> Result<()> {
        let Wire::Bytes(bytes) = wire else {
            out.push(self.int(field, wire)?);
            return Ok(());
        };
        // Reserves once: every integer ends with its only byte below 128, so counting these counts the integers.
        out.reserve_exact(bytes.iter().filter(|&&b| b < 0x80).count());
        let mut packed = Fields { message: self.message, bytes };
        while !packed.bytes.is_empty() {
            out.push(packed.varint()? as i64);
        }
        Ok(())
    }

    /// Appends one float, or a packed list of them.
    pub fn floats(&self, field: &str, wire: Wire<'a>, out: &mut Vec<f32>) -> Result<()> {
        match wire {
            Wire::Bytes(bytes) if bytes.len().is_multiple_of(4) => {
                out.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
                Ok(())
            }
            _ => {
                out.push(self.float(field, wire)?);
                Ok(())
            }
        }
    }

    /// Appends one double, or a packed list of them.
    pub fn doubles(&self, field: &str, wire: Wire<'a>, out: &mut Vec<f64>) -> Result<()> {
        match wire {
            Wire::Fixed64(bytes) => out.push(f64::from_le_bytes(bytes)),
            Wire::Bytes(bytes) if bytes.len().is_multiple_of(8) => {
                out.extend(
                    bytes.chunks_exact(8).filter_map(|b| Some(f64::from_le_bytes(<[u8; 8]>::try_from(b).ok()?))),
                );
            }
            _ => return Err(self.bad(&format!("{field} is not a double"))),
        }
        Ok(())
    }
}

/// A message being written.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// Returns the bytes of the message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Appends an integer.
    pub fn int(&mut self, field: u64, value: i64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    /// Appends a float.
    pub fn float(&mut self, field: u64, value: f32) -> &mut Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends text or raw bytes.
    pub fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// Appends a nested message.
    pub fn message(&mut self, field: u64, message: Self) -> &mut Self {
        self.bytes(field, &message.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u64, i64)>> {
        let mut fields = Fields::new("test", bytes);
        let mut out = Vec::new();
        while let Some((number, wire)) = fields.next()? {
            let mut values = Vec::new();
            fields.ints("field", wire, &mut values)?;
            out.extend(values.into_iter().map(|v| (number, v)));
        }
        Ok(out)
    }

    #[test]
    fn fields_survive_a_round_trip() {
        let mut message = Message::default();
        for (field, value) in [(1, 0), (15, 127), (16, 128), (2000, i64::MAX), (3, -1), (4, i64::MIN)] {
            message.int(field, value);
        }
        message.bytes(7, &[1, 0x80, 0x01]);
        let want = [(1, 0), (15, 127), (16, 128), (2000, i64::MAX), (3, -1), (4, i64::MIN), (7, 1), (7, 128)];
        assert_eq!(read(&message.into_bytes()).expect("whole"), want);
    }

    #[test]
    fn invalid_messages_are_refused() {
        let too_long = [&[0x08][..], &[0x80; 10]].concat();
        let too_wide = [&[0x08][..], &[0xff; 9], &[0x02]].concat();
        for bytes in [&[0x08][..], &[0x0a, 5, 1], &[0x0b], &[0x00, 1], &[0x09, 1, 2], &too_long, &too_wide] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
