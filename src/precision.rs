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
}
