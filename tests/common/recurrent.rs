//! Helpers for tests that run over every recurrent cell.

/// Evaluates `$run` with the constant `$kind` set to the kind of the cell with this number.
#[macro_export]
macro_rules! by_kind {
    ($cell:expr, $kind:ident => $run:expr) => {
        match $cell {
            0 => {
                const $kind: usize = wgru::kernels::fused::GRU;
                $run
            }
            1 => {
                const $kind: usize = wgru::kernels::fused::GRU_RESET_BEFORE;
                $run
            }
            2 => {
                const $kind: usize = wgru::kernels::fused::LSTM;
                $run
            }
            _ => {
                const $kind: usize = wgru::kernels::fused::RNN;
                $run
            }
        }
    };
}

use wgru::Activation;
use wgru::nn::RecurrentConfig;
use wgru::ops::recurrent::Plan;

/// Plans that run a layer without options.
pub const PLANS: [Plan; 3] = [Plan::Whole, Plan::Chain, Plan::Steps];

/// The activations in use, one per entry of [`Cell::activation_names`].
pub fn activations(config: &RecurrentConfig) -> &[Activation] {
    if config.activations.is_empty() { config.cell.activations() } else { &config.activations }
}

/// Extents of `h0` and of `c0`.
pub fn states(config: &RecurrentConfig, batch: usize) -> [[usize; 3]; 2] {
    let all = config.layers * config.directions();
    [[all, batch, config.out()], [all, batch, config.hidden]]
}
