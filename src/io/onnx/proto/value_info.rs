//! `ValueInfoProto`: name, type and extents of an input or output.

use super::refused;
use crate::error::Result;
use crate::io::onnx::ints::MOST_AXES;
use crate::io::onnx::wire::{Fields, Wire};

/// `ValueInfoProto`
#[derive(Debug)]
pub struct ValueInfo<'a> {
    pub name: &'a str,
    /// A `TensorProto.DataType`; 0 if the file states none.
    pub data_type: i64,
    /// Extents, if the file states the rank.
    pub dims: Option<Vec<Dim<'a>>>,
}

/// One extent of a graph's input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim<'a> {
    /// A fixed extent.
    Fixed(i64),
    /// A named extent. Equal names mean equal extents.
    Named(&'a str),
    /// Any extent.
    Free,
}

impl<'a> ValueInfo<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self { name: "", data_type: 0, dims: None };
        let mut fields = Fields::new("value", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => out.name = fields.text("name", wire)?,
                2 => out.parse_type(fields.bytes("type", wire)?)?,
                _ => {}
            }
        }
        Ok(out)
    }

    fn parse_type(&mut self, bytes: &'a [u8]) -> Result<()> {
        let mut fields = Fields::new("type", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => self.parse_tensor_type(fields.bytes("tensor_type", wire)?)?,
                4 | 5 | 8 | 9 => {
                    return Err(refused(&format!("value {:?}", self.name), "is not a tensor, which is not supported"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn parse_tensor_type(&mut self, bytes: &'a [u8]) -> Result<()> {
        let mut fields = Fields::new("tensor type", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => self.data_type = fields.int("elem_type", wire)?,
                2 => self.dims = Some(parse_dims(fields.bytes("shape", wire)?)?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn parse_dims(bytes: &[u8]) -> Result<Vec<Dim<'_>>> {
    let mut out = Vec::new();
    let mut fields = Fields::new("shape", bytes);
    while let Some((number, wire)) = fields.next()? {
        if number != 1 {
            continue;
        }
        let mut dim = Dim::Free;
        let mut inner = Fields::new("dimension", fields.bytes("dim", wire)?);
        while let Some((number, wire)) = inner.next()? {
            match (number, wire) {
                (1, Wire::Varint(extent)) => dim = Dim::Fixed(extent as i64),
                (2, wire) => match inner.text("dim_param", wire)? {
                    "" => {}
                    name => dim = Dim::Named(name),
                },
                _ => {}
            }
        }
        if out.len() == MOST_AXES {
            return Err(refused("value", &format!("has more than {MOST_AXES} axes")));
        }
        out.push(dim);
    }
    Ok(out)
}
