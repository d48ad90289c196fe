//! Storage formats of packed recurrent weights, with one or several per word; the twin of
//! `shaders/common/weights_*.wgsl`.

use std::fmt::Debug;

use bytemuck::Pod;
use half::{bf16, f16};

use super::plain::BLOCK;

/// Storage format of packed recurrent weights, given by the type of one weight: `f32`, `f16`, `bf16`, or `i8` with a
/// scale per row.
///
/// For all formats but `f32`, a block of `packed` `[D, ⌈H/16⌉, ⌈H/IN_WORD⌉ + 2, 3, 16]` has rows of words, each with
/// the weights of [`IN_WORD`] consecutive `k`. A row of `b_hh` and a row of scales follow, both as `f32`. See
/// [`GruPackLow`](super::GruPackLow).
///
/// [`IN_WORD`]: Stored::IN_WORD
pub trait Stored: Pod + Debug + Send + Sync {
    /// Index of the shader that reads this format; also `format` of [`GruPackLow`](super::GruPackLow).
    const FORMAT: usize;
    /// Number of weights per word.
    const IN_WORD: usize;

    /// Returns weight `i` of a word, before scaling.
    fn weight(word: u32, i: usize) -> f32;

    /// Returns the number of rows per block.
    fn depth(hidden: usize) -> usize {
        hidden.div_ceil(Self::IN_WORD) + if Self::FORMAT == 0 { 1 } else { 2 }
    }

    /// Returns `b + s·Σ_k weights[k, gate]·v[k]` of one unit. `packed` starts at the unit's first weight.
    fn product(packed: &[f32], gate: usize, v: &[f32]) -> f32 {
        let at = |row: usize| packed[(row * 3 + gate) * BLOCK];
        let words = v.len().div_ceil(Self::IN_WORD);
        let parts = v.iter().enumerate();
        let sum: f32 = parts.map(|(k, v)| Self::weight(at(k / Self::IN_WORD).to_bits(), k % Self::IN_WORD) * v).sum();
        let scale = if Self::FORMAT == 0 { 1.0 } else { at(words + 1) };
        at(words) + scale * sum
    }
}

impl Stored for f32 {
    const FORMAT: usize = 0;
    const IN_WORD: usize = 1;

    fn weight(word: u32, _: usize) -> f32 {
        f32::from_bits(word)
    }
}

impl Stored for f16 {
    const FORMAT: usize = 1;
    const IN_WORD: usize = 2;

    fn weight(word: u32, i: usize) -> f32 {
        f16::from_bits((word >> (16 * i)) as u16).to_f32()
    }
}

impl Stored for bf16 {
    const FORMAT: usize = 2;
    const IN_WORD: usize = 2;

    fn weight(word: u32, i: usize) -> f32 {
        bf16::from_bits((word >> (16 * i)) as u16).to_f32()
    }
}

impl Stored for i8 {
    const FORMAT: usize = 3;
    const IN_WORD: usize = 4;

    fn weight(word: u32, i: usize) -> f32 {
        f32::from((word >> (8 * i)) as i8)
    }
}

/// Declares a kernel with the parameters [`Plain`](super::Plain) that reads packed weights of any format.
macro_rules! stored_kernel {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name<W = f32>(pub $crate::kernels::Plain, std::marker::PhantomData<W>);

        impl $name {
            /// Creates the kernel that reads `f32` weights.
            pub fn new(p: $crate::kernels::Plain) -> Self {
                p.into()
            }
        }

        impl<W: $crate::kernels::Stored> From<$crate::kernels::Plain> for $name<W> {
            fn from(p: $crate::kernels::Plain) -> Self {
                Self(p, std::marker::PhantomData)
            }
        }

        impl<W: $crate::kernels::Stored> $crate::kernel::Params for $name<W> {
            const FIELDS: &'static [(&'static str, &'static str)] =
                <$crate::kernels::Plain as $crate::kernel::Params>::FIELDS;
        }
    };
}
pub(crate) use stored_kernel;

/// Name and shader parts of a stem that reads packed weights, by format.
macro_rules! stored_texts {
    ($stem:literal) => {{
        const TEXTS: [(&str, &[&str]); 4] = [
            ($stem, stored_texts!($stem, "common/weights_f32")),
            (concat!($stem, "_f16"), stored_texts!($stem, "common/weights_low", "common/weights_f16")),
            (concat!($stem, "_bf16"), stored_texts!($stem, "common/weights_low", "common/weights_bf16")),
            (concat!($stem, "_int8"), stored_texts!($stem, "common/weights_low", "common/weights_int8")),
        ];
        TEXTS
    }};
    ($stem:literal, $($part:literal),+) => {
        $crate::kernel::wgsl!("common/marks", "common/time", "common/plain", "common/activation", $($part),+, $stem)
    };
}
pub(crate) use stored_texts;

/// Returns the bindings that hold u32 words: `marks`, and `packed` if several weights share a word.
pub(crate) const fn word_bindings<W: Stored>() -> &'static [&'static str] {
    if W::FORMAT == 0 { &["marks"] } else { &["marks", "packed"] }
}
