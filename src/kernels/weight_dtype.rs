//! Storage formats of packed recurrent weights, with one or several per word; the twin of
//! `shaders/common/weights_*.wgsl`.

use std::fmt::Debug;

use bytemuck::Pod;
use half::{bf16, f16};

use super::fused::BLOCK;

/// Storage format of packed recurrent weights, given by the type of one weight: `f32`, `f16`, `bf16`, or `i8` with a
/// scale per row.
///
/// For all formats but `f32`, a block of `packed` `[D, ⌈H/16⌉, ⌈H/IN_WORD⌉ + 2, G, 16]` has rows of words, each with
/// the weights of [`IN_WORD`] consecutive `k`. A row of `b_hh` and a row of scales follow, both as `f32`. See
/// [`PackLow`](super::PackLow).
///
/// [`IN_WORD`]: WeightDtype::IN_WORD
pub trait WeightDtype: Pod + Debug + Send + Sync {
    /// Index of the shader that reads this format; also `format` of [`PackLow`](super::PackLow).
    const FORMAT: usize;
    /// Number of weights per word.
    const IN_WORD: usize;

    /// Returns weight `i` of a word, before scaling.
    fn weight(word: u32, i: usize) -> f32;

    /// Returns the number of rows per block.
    fn depth(hidden: usize) -> usize {
        hidden.div_ceil(Self::IN_WORD) + if Self::FORMAT == 0 { 1 } else { 2 }
    }

    /// Returns `b + s·Σ_k weights[k, gate]·v[k]` of one unit. `packed` starts at the unit's first weight, with `gates`
    /// per row. Adds the sums of parts of `part` terms.
    fn product(packed: &[f32], [gates, gate]: [usize; 2], v: &[f32], part: usize) -> f32 {
        let at = |row: usize| packed[(row * gates + gate) * BLOCK];
        let words = v.len().div_ceil(Self::IN_WORD);
        let weight = |k: usize| Self::weight(at(k / Self::IN_WORD).to_bits(), k % Self::IN_WORD);
        let sum_of = |(i, v): (usize, &[f32])| -> f32 { (i * part..).zip(v).map(|(k, v)| weight(k) * v).sum() };
        let sum: f32 = v.chunks(part).enumerate().map(sum_of).sum();
        let scale = if Self::FORMAT == 0 { 1.0 } else { at(words + 1) };
        at(words) + scale * sum
    }
}

impl WeightDtype for f32 {
    const FORMAT: usize = 0;
    const IN_WORD: usize = 1;

    fn weight(word: u32, _: usize) -> f32 {
        f32::from_bits(word)
    }
}

impl WeightDtype for f16 {
    const FORMAT: usize = 1;
    const IN_WORD: usize = 2;

    fn weight(word: u32, i: usize) -> f32 {
        f16::from_bits((word >> (16 * i)) as u16).to_f32()
    }
}

impl WeightDtype for bf16 {
    const FORMAT: usize = 2;
    const IN_WORD: usize = 2;

    fn weight(word: u32, i: usize) -> f32 {
        bf16::from_bits((word >> (16 * i)) as u16).to_f32()
    }
}

impl WeightDtype for i8 {
    const FORMAT: usize = 3;
    const IN_WORD: usize = 4;

    fn weight(word: u32, i: usize) -> f32 {
        f32::from((word >> (8 * i)) as i8)
    }
}

/// Returns the bindings that hold u32 words: `marks`, and `packed` if several weights share a word.
pub(crate) const fn word_bindings<W: WeightDtype>() -> &'static [&'static str] {
    if W::FORMAT == 0 { &["marks"] } else { &["marks", "packed"] }
}
