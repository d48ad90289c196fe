//! The storage format of weights.

/// Storage format of weights: all weights of a [stream](crate::StreamOptions::weights), or the recurrent weights of a
/// [layer on a GPU](crate::nn::Recurrent::with_weights). A GPU computes in f32 in every format; a stream multiplies
/// int8 weights by inputs rounded to int8, and sums the products in i32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Unchanged.
    #[default]
    F32,
    /// Half the size; about 3 decimal digits.
    F16,
    /// Half the size; about 2 decimal digits. Converting to f32 takes one instruction, while f16 takes several, so this
    /// is the faster of the two on most processors.
    Bf16,
    /// A quarter of the size: integers up to ±127, with one scale per row. A stream also scales the inputs of each step.
    Int8,
    /// The faster of f32 and bf16. In a stream, f32 for layers of up to 64 units, in browsers up to 128, and bf16 for
    /// larger ones; the measurements are in `docs/performance.md` in the repository. In a layer on a GPU, f32.
    ///
    /// Int8 is often faster still, but its error is larger, so it must be asked for.
    Auto,
}

/// Largest layer for which [`Precision::Auto`] takes f32.
const MOST_F32_UNITS: usize = if cfg!(target_arch = "wasm32") { 128 } else { 64 };

impl Precision {
    /// Returns the format of a stream of layers with `units`: never [`Precision::Auto`].
    pub(crate) fn in_stream(self, units: usize) -> Self {
        match self {
            Self::Auto if units <= MOST_F32_UNITS => Self::F32,
            Self::Auto => Self::Bf16,
            other => other,
        }
    }
}
