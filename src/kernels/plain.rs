//! The cells that have fused steps.

/// A recurrent cell with the activations it is known with. The numbers are those that shaders see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainCell {
    /// A GRU whose reset gate acts after the recurrent product.
    GruResetAfter = 0,
    /// A GRU whose reset gate acts before it.
    GruResetBefore = 1,
    /// An LSTM.
    Lstm = 2,
    /// `h' = tanh(v)`
    Rnn = 3,
    /// `h' = max(v, 0)`
    RnnRelu = 4,
}

impl PlainCell {
    /// Gates of the cell, `G`.
    pub fn gates(self) -> usize {
        match self {
            PlainCell::GruResetAfter | PlainCell::GruResetBefore => 3,
            PlainCell::Lstm => 4,
            PlainCell::Rnn | PlainCell::RnnRelu => 1,
        }
    }

    /// Vectors of `H` that go from step to step: `h`, for the LSTM `h` and `c`.
    pub fn states(self) -> usize {
        1 + (self == PlainCell::Lstm) as usize
    }
}
