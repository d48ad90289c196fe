//! `TensorProto`: the parsed fields of a tensor, before they become a value.

use super::refused;
use crate::error::Result;
use crate::io::onnx::wire::{Fields, Wire};

/// `TensorProto`
#[derive(Debug, Default)]
pub struct TensorProto<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
    pub data_type: i64,
    pub raw: Option<&'a [u8]>,
    pub floats: Vec<f32>,
    pub doubles: Vec<f64>,
    /// `int32_data`, `int64_data` or `uint64_data`.
    pub ints: Vec<i64>,
    /// Where the data is, if it is in a separate file.
    pub external: Option<External<'a>>,
}

/// A part of a separate file.
#[derive(Clone, Copy, Debug, Default)]
pub struct External<'a> {
    pub location: &'a str,
    pub offset: u64,
    /// `None`: up to the end of the file.
    pub length: Option<u64>,
}

impl<'a> TensorProto<'a> {
    /// Parses the fields. Data in more than one field is an error.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut fields = Fields::new("tensor", bytes);
        let (mut refusal, mut data, mut is_external) = (None, 0, false);
        while let Some((number, wire)) = fields.next()? {
            let is_empty = matches!(wire, Wire::Bytes([]));
            match number {
                1 => fields.ints("dims", wire, &mut out.dims)?,
                2 => out.data_type = fields.int("data_type", wire)?,
                3 => refusal = Some("is stored in segments, which is not supported"),
                4 => fields.floats("float_data", wire, &mut out.floats)?,
                5 | 7 | 11 => fields.ints("int32_data, int64_data or uint64_data", wire, &mut out.ints)?,
                8 => out.name = fields.text("name", wire)?,
                9 if !is_empty => out.raw = Some(fields.bytes("raw_data", wire)?),
                10 => fields.doubles("double_data", wire, &mut out.doubles)?,
                13 => out.external.get_or_insert_default().parse(fields.bytes("external_data", wire)?)?,
                14 => is_external = fields.int("data_location", wire)? != 0,
                _ => {}
            }
            if matches!(number, 4 | 5 | 6 | 7 | 9 | 10 | 11) && !is_empty {
                if data != 0 && (data != number || number == 9) {
                    refusal = Some("holds its data twice; only one of raw_data, float_data and the like is allowed");
                }
                data = number;
            }
        }
        match out.external {
            Some(_) if data != 0 => refusal = Some("holds its data here and in a separate file"),
            None | Some(External { location: "", .. }) if is_external => {
                refusal = Some("is stored in a separate file without a name");
            }
            Some(_) if !is_external => out.external = None,
            _ => {}
        }
        match refusal {
            Some(why) => Err(refused(&format!("tensor {:?}", out.name), why)),
            None => Ok(out),
        }
    }
}

impl<'a> External<'a> {
    /// Parses one entry of `external_data`: a key and a value, both text.
    fn parse(&mut self, bytes: &'a [u8]) -> Result<()> {
        let (mut key, mut value) = ("", "");
        let mut fields = Fields::new("external_data", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => key = fields.text("key", wire)?,
                2 => value = fields.text("value", wire)?,
                _ => {}
            }
        }
        let number = || value.parse().map_err(|_| refused("external_data", &format!("has {key} {value:?}")));
        match key {
            "location" => self.location = value,
            "offset" => self.offset = number()?,
            "length" => self.length = Some(number()?),
            // A checksum, and keys of later versions.
            _ => {}
        }
        Ok(())
    }
}
