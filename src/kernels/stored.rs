//! How packed recurrent weights are kept: whole, or several to a word; the twin of `shaders/common/weights_*.wgsl`.

use std::fmt::Debug;

use bytemuck::Pod;
use half::{bf16, f16};

use super::plain::BLOCK;

/// A format of packed recurrent weights, by the type of one: `f32`, `f16`, `bf16`, or `i8` with a scale for each row.
///
/// But for `f32`, a block of `packed` `[D, ⌈H/16⌉, ⌈H/IN_WORD⌉ + 2, 3, 16]` has rows of words, each of [`IN_WORD`]
/// neighbouring `k`, then a row for `b_hh` and one for the scales, both `f32`: [`GruPackLow`](super::GruPackLow).
///
/// [`IN_WORD`]: Stored::IN_WORD
pub trait Stored: Pod + Debug + Send + Sync {
    /// Which of four shaders reads it; `format` of [`GruPackLow`](super::GruPackLow).
    const FORMAT: usize;
    /// Weights in a word.
    const IN_WORD: usize;

    /// Weight `i` of a word, before its scale.
    fn weight(word: u32, i: usize) -> f32;

    /// Rows of a block.
    fn depth(hidden: usize) -> usize {
        hidden.div_ceil(Self::IN_WORD) + if Self::FORMAT == 0 { 1 } else { 2 }
    }

    /// `b + s·Σ_k weights[k, gate]·v[k]` of one unit, whose first weight `packed` starts with.
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

/// Declares a kernel whose parameters are [`Plain`](super::Plain) and which reads packed weights of any format.
macro_rules! stored_kernel {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name<W = f32>(pub $crate::kernels::Plain, std::marker::PhantomData<W>);

        impl $name {
            /// The kernel that reads weights as `f32`.
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

/// Name and shader of a stem that reads packed weights, by format.
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

/// Which bindings of a kernel hold words: the packed weights where several share one, and the `others`.
pub(crate) const fn word_bindings<W: Stored>() -> &'static [&'static str] {
    if W::FORMAT == 0 { &["marks"] } else { &["marks", "packed"] }
}
