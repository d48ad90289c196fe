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
    /// `int32_data` or `int64_data`.
    pub ints: Vec<i64>,
}

impl<'a> TensorProto<'a> {
    /// Parses the fields. Data in more than one field is an error.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut fields = Fields::new("tensor", bytes);
        let (mut refusal, mut data) = (None, 0);
        while let Some((number, wire)) = fields.next()? {
            let is_empty = matches!(wire, Wire::Bytes([]));
            match number {
                1 => fields.ints("dims", wire, &mut out.dims)?,
                2 => out.data_type = fields.int("data_type", wire)?,
                3 => refusal = Some("is stored in segments, which is not supported"),
                4 => fields.floats("float_data", wire, &mut out.floats)?,
                5 | 7 => fields.ints("int32_data or int64_data", wire, &mut out.ints)?,
                8 => out.name = fields.text("name", wire)?,
                9 if !is_empty => out.raw = Some(fields.bytes("raw_data", wire)?),
                10 => fields.doubles("double_data", wire, &mut out.doubles)?,
                13 => refusal = Some("is stored in a separate file, which is not supported"),
                14 if fields.int("data_location", wire)? != 0 => {
                    refusal = Some("is stored in a separate file, which is not supported");
                }
                _ => {}
            }
            if matches!(number, 4 | 5 | 6 | 7 | 9 | 10 | 11) && !is_empty {
                if data != 0 && (data != number || number == 9) {
                    refusal = Some("holds its data twice; only one of raw_data, float_data and the like is allowed");
                }
                data = number;
            }
        }
        match refusal {
            Some(why) => Err(refused(&format!("tensor {:?}", out.name), why)),
            None => Ok(out),
        }
    }
}
