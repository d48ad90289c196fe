//! Tags: distinct numbers in place of the elements of an activation.

use crate::error::{Error, Result};

/// Bits of the first tag. The others are the floats after it, which no weight has.
const FIRST: u32 = 1e30f32.to_bits();
/// Maximum number of tags of an activation, in addition to [`SHARE`] for each weight.
const BASE: usize = 1 << 22;
const SHARE: usize = 64;
/// Maximum number of tags of a model.
const MOST: usize = 1 << 26;

/// The tags of an activation `[rows, width]`, whose rows are the steps of all sequences.
#[derive(Clone, Copy)]
pub struct Tags {
    first: u32,
    pub rows: usize,
    pub width: usize,
}

/// Hands out tags.
pub struct Counter {
    used: usize,
    /// Maximum of an activation.
    most: usize,
}

impl Counter {
    /// Creates a counter for a model with this number of weights.
    pub fn new(weights: u64) -> Self {
        let share = usize::try_from(weights).unwrap_or(usize::MAX).saturating_mul(SHARE);
        Self { used: 0, most: share.saturating_add(BASE) }
    }

    /// Whether a number is a tag.
    pub fn is_tag(&self, value: f32) -> bool {
        value.to_bits().checked_sub(FIRST).is_some_and(|tag| (tag as usize) < self.used)
    }

    /// Returns new tags.
    ///
    /// # Errors
    /// [`Error::Format`] for a model with too many elements.
    pub fn next(&mut self, rows: usize, width: usize) -> Result<Tags> {
        let first = self.used as u32;
        let len = rows.saturating_mul(width);
        self.used = self.used.saturating_add(len);
        match len <= self.most && self.used <= MOST {
            true => Ok(Tags { first, rows, width }),
            false => Err(Error::format("ONNX model", "fixes extents that are too large to look for its layers")),
        }
    }
}

impl Tags {
    /// Returns the tag of place `row · width + feature`.
    pub fn value(self, place: usize) -> f32 {
        f32::from_bits(FIRST + self.first + place as u32)
    }

    /// Returns all tags in order.
    pub fn values(self) -> Vec<f32> {
        (0..self.rows * self.width).map(|place| self.value(place)).collect()
    }

    /// Returns the place of a tag; `None` for any other number.
    pub fn place(self, value: f32) -> Option<usize> {
        let place = value.to_bits().checked_sub(FIRST + self.first)? as usize;
        (place < self.rows * self.width).then_some(place)
    }

    /// Returns the places of values that are all of the tags, each once, in any order.
    pub fn places(self, values: &[f32]) -> Option<Vec<usize>> {
        let mut seen = vec![false; self.rows * self.width];
        if values.len() != seen.len() {
            return None;
        }
        values.iter().map(|&v| self.place(v).filter(|&place| !std::mem::replace(&mut seen[place], true))).collect()
    }
}

/// The rows of sequences.
#[derive(Clone, Copy)]
pub struct Sequences {
    pub batch: usize,
    pub steps: usize,
    pub is_time_first: bool,
}

impl Sequences {
    /// Returns the row of step `t` of sequence `b`.
    pub fn row(self, b: usize, t: usize) -> usize {
        if self.is_time_first { t * self.batch + b } else { b * self.steps + t }
    }
}
