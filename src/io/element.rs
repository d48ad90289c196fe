//! Converts elements of any width to f32.

use half::{bf16, f16};

use super::budget::Budget;
use crate::error::{Error, Result};

/// Maximum number of axes of a tensor in a file.
pub(super) const MAX_AXES: usize = 32;

/// Element type of a tensor in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    /// Returns the type with this name in NumPy, without byte order: `f4`.
    pub fn of_numpy(name: &str) -> Option<Self> {
        use Element::*;
        let names = [
            ("b1", Bool),
            ("u1", U8),
            ("u2", U16),
            ("u4", U32),
            ("u8", U64),
            ("i1", I8),
            ("i2", I16),
            ("i4", I32),
            ("i8", I64),
            ("f2", F16),
            ("f4", F32),
            ("f8", F64),
        ];
        names.into_iter().find(|(known, _)| *known == name).map(|(_, element)| element)
    }

    /// Size of one element in bytes.
    pub fn size(self) -> usize {
        use Element::*;
        match self {
            Bool | U8 | I8 => 1,
            U16 | I16 | F16 | Bf16 => 2,
            U32 | I32 | F32 => 4,
            U64 | I64 | F64 => 8,
        }
    }

    /// Returns the value of the element in the low bits of `word`; `None` for an integer that f32 cannot represent
    /// exactly, and for a finite number beyond its range.
    pub fn value(self, word: u64) -> Option<f32> {
        use Element::*;
        let signed = |bits: u32| ((word << (64 - bits)) as i64) >> (64 - bits);
        let unsigned = |v: u64| (v as f32 as u128 == v as u128).then_some(v as f32);
        let integer = |v: i64| (v as f32 as i128 == v as i128).then_some(v as f32);
        match self {
            Bool => Some((word != 0) as u8 as f32),
            U8 | U16 | U32 | U64 => unsigned(word),
            I8 => integer(signed(8)),
            I16 => integer(signed(16)),
            I32 => integer(signed(32)),
            I64 => integer(signed(64)),
            F16 => Some(f16::from_bits(word as u16).to_f32()),
            Bf16 => Some(bf16::from_bits(word as u16).to_f32()),
            F32 => Some(f32::from_bits(word as u32)),
            F64 => {
                let wide = f64::from_bits(word);
                let narrow = wide as f32;
                (narrow.is_finite() || !wide.is_finite()).then_some(narrow)
            }
        }
    }
}

/// A tensor as a strided view of the bytes of a file.
pub(super) struct View<'a> {
    pub element: Element,
    pub bytes: &'a [u8],
    pub big_endian: bool,
    /// Index of the first element.
    pub offset: usize,
    pub dims: &'a [usize],
    /// Distance between neighbors along each axis, in elements.
    pub strides: &'a [usize],
}

/// Returns the strides of a contiguous tensor. The last axis varies fastest, or the first axis if `first_fastest` is
/// set.
pub(super) fn strides(dims: &[usize], first_fastest: bool) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    let mut step = 1usize;
    for k in 0..dims.len() {
        let axis = if first_fastest { k } else { dims.len() - 1 - k };
        strides[axis] = step;
        step = step.saturating_mul(dims[axis]);
    }
    strides
}

/// Returns the number of elements; `None` if there are too many elements or axes. An extent of 0 does not hide an
/// overflow of the others.
pub(super) fn count(dims: &[usize]) -> Option<usize> {
    let rest = dims.iter().filter(|&&d| d > 0).try_fold(1usize, |n, &d| n.checked_mul(d));
    let rest = rest.filter(|&n| dims.len() <= MAX_AXES && n <= isize::MAX as usize / 8)?;
    Some(if dims.contains(&0) { 0 } else { rest })
}

impl View<'_> {
    /// Returns the tensor's values in row-major order, or the reason why f32 cannot represent one of them. `what` names
    /// the tensor in errors.
    ///
    /// # Errors
    /// [`Error::Format`] if the view reaches past the bytes, or the budget does not allow it.
    pub fn values(&self, what: &dyn Fn() -> String, budget: &mut Budget) -> Result<Result<Vec<f32>, String>> {
        let (dims, size) = (self.dims, self.element.size());
        let bad = |why: String| Error::format(what(), why);
        let len = count(dims).ok_or_else(|| bad(format!("has the impossible shape {dims:?}")))?;
        if self.strides.len() != dims.len() {
            return Err(bad(format!("has {} strides for shape {dims:?}", self.strides.len())));
        }
        if len == 0 {
            return Ok(Ok(Vec::new()));
        }
        let reach =
            dims.iter().zip(self.strides).try_fold(self.offset, |n, (&d, &s)| n.checked_add((d - 1).checked_mul(s)?));
        let there = self.bytes.len() / size;
        if reach.is_none_or(|last| last >= there) {
            return Err(bad(format!("has shape {dims:?}, which reaches past the {there} elements of its data")));
        }
        budget.take(what, len.saturating_mul(4))?;
        let mut out = Vec::with_capacity(len);
        let (rows, inner) = match dims.split_last() {
            Some((&last, rows)) => (rows, (last, self.strides[rows.len()])),
            None => (dims, (1, 1)),
        };
        let mut at = self.offset;
        let mut index = vec![0usize; rows.len()];
        loop {
            for k in 0..inner.0 {
                match self.at(at + k * inner.1) {
                    Ok(value) => out.push(value),
                    Err(why) => {
                        budget.give(len.saturating_mul(4));
                        return Ok(Err(why));
                    }
                }
            }
            // Next row: advance the last axis that is not at its end, and reset the axes after it.
            let Some(axis) = (0..rows.len()).rev().find(|&a| index[a] + 1 < rows[a]) else { return Ok(Ok(out)) };
            index[axis] += 1;
            at += self.strides[axis];
            for (count, stride) in index.iter_mut().zip(self.strides).skip(axis + 1) {
                at -= *count * stride;
                *count = 0;
            }
        }
    }

    /// Returns one element, by its index in the bytes.
    fn at(&self, place: usize) -> Result<f32, String> {
        let size = self.element.size();
        let bytes = self.bytes.get(place * size..(place + 1) * size).unwrap_or_default();
        let mut word = [0u8; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        if self.big_endian {
            word[..bytes.len()].reverse();
        }
        let word = u64::from_le_bytes(word);
        self.element.value(word).ok_or_else(|| format!("has values of type {:?} that f32 cannot hold", self.element))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_exact_or_refused() {
        use Element::*;
        assert_eq!(I8.value(0xff), Some(-1.0));
        assert_eq!(I64.value(-16_777_216i64 as u64), Some(-16_777_216.0));
        assert_eq!(I64.value(16_777_217), None);
        assert_eq!(U64.value(u64::MAX), None);
        assert_eq!(I64.value(i64::MAX as u64), None);
        assert_eq!(I64.value(i64::MIN as u64), Some(i64::MIN as f32));
        assert_eq!(F64.value(1e300f64.to_bits()), None);
        assert_eq!(F64.value(f64::INFINITY.to_bits()), Some(f32::INFINITY));
        assert!(F64.value(f64::NAN.to_bits()).is_some_and(f32::is_nan));
        assert_eq!(F16.value(0xc100), Some(-2.5));
        assert_eq!(Bool.value(2), Some(1.0));
    }

    #[test]
    fn overflowing_shapes_are_refused() {
        assert_eq!(count(&[3, 0, 2]), Some(0));
        assert_eq!(count(&[]), Some(1));
        assert_eq!(count(&[1 << 62, 1 << 62, 0]), None);
        assert_eq!(count(&[1; 33]), None);
    }
}
