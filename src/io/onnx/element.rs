//! Element types of files.

use crate::kernels::MapOp;

/// Supported types of `TensorProto.DataType`. Half, bfloat16 and double become f32, and all integers i64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    Float,
    Half,
    BFloat,
    Double,
    Int8,
    UInt8,
    Int16,
    UInt16,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Bool,
}

impl ElementType {
    /// Returns the type with this number. The error is the name of an unsupported type.
    pub fn of(number: i64) -> std::result::Result<Self, String> {
        const OTHERS: [(i64, &str); 3] = [(8, "string"), (14, "complex64"), (15, "complex128")];
        match number {
            1 => Ok(Self::Float),
            2 => Ok(Self::UInt8),
            3 => Ok(Self::Int8),
            4 => Ok(Self::UInt16),
            5 => Ok(Self::Int16),
            6 => Ok(Self::Int32),
            7 => Ok(Self::Int64),
            9 => Ok(Self::Bool),
            10 => Ok(Self::Half),
            11 => Ok(Self::Double),
            12 => Ok(Self::UInt32),
            13 => Ok(Self::UInt64),
            16 => Ok(Self::BFloat),
            _ => Err(OTHERS.iter().find(|o| o.0 == number).map_or(format!("number {number}"), |o| o.1.to_string())),
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Half | Self::BFloat | Self::Double)
    }

    /// Returns the smallest and the largest value of an integer type, as far as i64 represents them.
    pub fn range(self) -> [i64; 2] {
        match self {
            Self::Bool => [0, 1],
            Self::Int8 => [i8::MIN.into(), i8::MAX.into()],
            Self::UInt8 => [0, u8::MAX.into()],
            Self::Int16 => [i16::MIN.into(), i16::MAX.into()],
            Self::UInt16 => [0, u16::MAX.into()],
            Self::Int32 => [i32::MIN.into(), i32::MAX.into()],
            Self::UInt32 => [0, u32::MAX.into()],
            Self::UInt64 => [0, i64::MAX],
            _ => [i64::MIN, i64::MAX],
        }
    }

    /// Converts an integer to this type. Those out of range wrap, as in C.
    pub fn wrap(self, v: i64) -> i64 {
        match self {
            Self::Bool => (v != 0).into(),
            Self::Int8 => (v as i8).into(),
            Self::UInt8 => (v as u8).into(),
            Self::Int16 => (v as i16).into(),
            Self::UInt16 => (v as u16).into(),
            Self::Int32 => (v as i32).into(),
            Self::UInt32 => (v as u32).into(),
            _ => v,
        }
    }

    /// Bytes of an element in a file.
    pub fn width(self) -> usize {
        match self {
            Self::Bool | Self::Int8 | Self::UInt8 => 1,
            Self::Half | Self::BFloat | Self::Int16 | Self::UInt16 => 2,
            Self::Float | Self::Int32 | Self::UInt32 => 4,
            Self::Double | Self::Int64 | Self::UInt64 => 8,
        }
    }

    /// Returns the rounding from f32 to this type, if it is narrower.
    pub fn rounding(self) -> Option<MapOp> {
        match self {
            Self::Half => Some(MapOp::Half),
            Self::BFloat => Some(MapOp::Brain),
            _ => None,
        }
    }
}
