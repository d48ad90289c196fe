//! The number format of weights.

/// Storage format of a stream's weights. Sums are accumulated in f32 (int8: i32) in every format.
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
    /// A quarter of the size: integers up to ±127 with one scale per row; the inputs get one scale per step.
    Int8,
}
