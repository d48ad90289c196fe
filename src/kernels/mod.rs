//! The kernels: one shader and one Rust twin per stem.

/// Declares the modules and lists the contracts. Adding a kernel is one line here.
macro_rules! kernels {
    ($($module:ident: $($kernel:ty)|+ { $r:literal, $w:literal },)*) => {
        $(mod $module; pub use $module::*;)*

        /// The contracts of every kernel, with its variants.
        pub fn all() -> Vec<crate::kernel::Contract> {
            [$($(crate::kernel::contracts::<$r, $w, $kernel>()),+),*].concat()
        }
    };
}

pub mod cell;
pub mod ctc;
pub mod fused;
pub mod marks;
mod recurrent;
pub mod time;
pub mod weight_dtype;
pub use cell::CellStep;
pub use ctc::Ctc;
pub use fused::Fused;
pub use weight_dtype::WeightDtype;

use half::{bf16, f16};

use fused::{GRU, GRU_RESET_BEFORE, LSTM, RNN};

kernels! {
    fill: Fill { 0, 1 },
    copy: Copy { 1, 1 },
    gather: Gather { 2, 1 },
    scatter_add: ScatterAdd { 2, 1 },
    unfold: Unfold { 1, 1 },
    fold: Fold { 1, 1 },
    unary: Unary { 1, 1 },
    unary_backward: UnaryBackward { 3, 1 },
    binary: Binary { 2, 1 },
    map: Map { 1, 1 },
    zip: Zip { 2, 1 },
    sum: Sum { 1, 1 },
    extreme: Extreme { 2, 2 },
    extreme_backward: ExtremeBackward { 2, 1 },
    matmul: MatMul | MatMulTiled | MatMulTiledBlocks | MatMulBlocks | MatMulRows | MatMulWide | MatMulSubgroup | MatMulSubgroupTall | MatMulOuter { 3, 1 },
    softmax: Softmax { 1, 1 },
    softmax_backward: SoftmaxBackward { 2, 1 },
    masked_softmax: MaskedSoftmax { 2, 1 },
    layer_norm: LayerNorm { 3, 2 },
    layer_norm_backward: LayerNormBackward { 4, 2 },
    loss: Loss { 2, 1 },
    loss_backward: LossBackward { 3, 1 },
    cross_entropy: CrossEntropy { 2, 2 },
    cross_entropy_backward: CrossEntropyBackward { 3, 1 },
    ctc_alpha: CtcAlpha { 3, 3 },
    ctc_beta: CtcBeta { 4, 2 },
    ctc_gradient: CtcGradient { 5, 1 },
    dropout: Dropout { 1, 1 },
    scan: Scan { 3, 1 },
    min_gru_sequence: MinGruSequence { 3, 2 },
    min_gru_chunks: MinGruChunks { 2, 2 },
    min_gru_sequence_backward: MinGruSequenceBackward { 6, 2 },
    min_gru_chunks_backward: MinGruChunksBackward { 3, 2 },
    sgd: Sgd { 1, 3 },
    adam: Adam { 1, 4 },
    clip_factor: ClipFactor { 1, 1 },
    training_status: TrainingStatus { 1, 1 },
    pack: Pack { 2, 1 },
    pack_low: PackLow { 2, 1 },
    recurrent_step:
        RecurrentStep<GRU, f32> | RecurrentStep<GRU, f16> | RecurrentStep<GRU, bf16> | RecurrentStep<GRU, i8> |
        RecurrentStep<GRU_RESET_BEFORE, f32> | RecurrentStep<GRU_RESET_BEFORE, f16> |
        RecurrentStep<GRU_RESET_BEFORE, bf16> | RecurrentStep<GRU_RESET_BEFORE, i8> |
        RecurrentStep<LSTM, f32> | RecurrentStep<LSTM, f16> |
        RecurrentStep<LSTM, bf16> | RecurrentStep<LSTM, i8> |
        RecurrentStep<RNN, f32> | RecurrentStep<RNN, f16> | RecurrentStep<RNN, bf16> | RecurrentStep<RNN, i8> { 3, 3 },
    recurrent_sequence:
        RecurrentSequence<GRU, f32> | RecurrentSequence<GRU, f16> |
        RecurrentSequence<GRU, bf16> | RecurrentSequence<GRU, i8> |
        RecurrentSequence<GRU_RESET_BEFORE, f32> | RecurrentSequence<GRU_RESET_BEFORE, f16> |
        RecurrentSequence<GRU_RESET_BEFORE, bf16> | RecurrentSequence<GRU_RESET_BEFORE, i8> |
        RecurrentSequence<LSTM, f32> | RecurrentSequence<LSTM, f16> |
        RecurrentSequence<LSTM, bf16> | RecurrentSequence<LSTM, i8> |
        RecurrentSequence<RNN, f32> | RecurrentSequence<RNN, f16> |
        RecurrentSequence<RNN, bf16> | RecurrentSequence<RNN, i8> { 3, 3 },
    recurrent_step_backward:
        RecurrentStepBackward<GRU> | RecurrentStepBackward<GRU_RESET_BEFORE> |
        RecurrentStepBackward<LSTM> | RecurrentStepBackward<RNN> { 5, 2 },
    recurrent_sequence_backward:
        RecurrentSequenceBackward<GRU> | RecurrentSequenceBackward<GRU_RESET_BEFORE> |
        RecurrentSequenceBackward<LSTM> | RecurrentSequenceBackward<RNN> { 5, 2 },
    valid_rows: ValidRows { 2, 1 },
    rnn_cell: RnnCell { 2, 2 },
    rnn_cell_backward: RnnCellBackward { 3, 1 },
    gru_cell: GruCell { 3, 2 },
    gru_cell_backward: GruCellBackward { 4, 3 },
    lstm_cell: LstmCell { 4, 2 },
    lstm_cell_backward: LstmCellBackward { 6, 2 },
    state_update: StateUpdate { 2, 3 },
    state_update_backward: StateUpdateBackward { 3, 2 },
}
