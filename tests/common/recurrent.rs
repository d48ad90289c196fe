//! Helpers for tests that run over every recurrent cell.

/// Evaluates `$run` with the constant `$kind` set to the kind of the cell with this number.
#[macro_export]
macro_rules! by_kind {
    ($cell:expr, $kind:ident => $run:expr) => {
        match $cell {
            0 => {
                const $kind: usize = wgru::kernels::plain::GRU;
                $run
            }
            1 => {
                const $kind: usize = wgru::kernels::plain::GRU_RESET_BEFORE;
                $run
            }
            2 => {
                const $kind: usize = wgru::kernels::plain::LSTM;
                $run
            }
            _ => {
                const $kind: usize = wgru::kernels::plain::RNN;
                $run
            }
        }
    };
}

use wgru::nn::RecurrentConfig;
use wgru::ops::recurrent::Plan;
use wgru::{Activation, Cell};

/// The cells with the GRU's equations, which have kernels of their own.
pub const GRUS: [Cell; 2] = [Cell::Gru, Cell::GruResetBefore];
/// The other cells.
pub const OTHERS: [Cell; 3] = [Cell::Lstm, Cell::Rnn, Cell::RnnRelu];

/// Plans that run a layer of `cell` without options.
pub fn plans(cell: Cell) -> &'static [Plan] {
    if cell.is_gru() { &[Plan::Whole, Plan::Chain, Plan::Steps] } else { &[Plan::Whole, Plan::Steps] }
}

/// The activations in use, one per entry of [`Cell::activation_names`].
pub fn activations(config: &RecurrentConfig) -> &[Activation] {
    if config.activations.is_empty() { config.cell.activations() } else { &config.activations }
}

/// Extents of `h0` and of `c0`.
pub fn states(config: &RecurrentConfig, batch: usize) -> [[usize; 3]; 2] {
    let all = config.layers * config.directions();
    [[all, batch, config.out()], [all, batch, config.hidden]]
}
