//! Neural Amp Modeler: one matrix and one bias per layer.

use super::RecurrentWeights;

impl RecurrentWeights {
    /// Adds the matrix `[G·H, I + H]`, whose columns are those of the input and then those of the state, and the sum of
    /// the biases `[G·H]`, or zeros.
    pub(in crate::io) fn add_joined(&self, out: &mut Vec<f32>) {
        let rows = self.w_ih.chunks_exact(self.input).zip(self.w_hh.chunks_exact(self.hidden));
        rows.for_each(|(input, state)| out.extend(input.iter().chain(state)));
        out.extend(self.bias.merged().unwrap_or_else(|| vec![0.0; self.rows()]));
    }
}
