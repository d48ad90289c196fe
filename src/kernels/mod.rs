//! The kernels: one shader and one Rust twin per stem.

/// Declares the modules and lists the contracts. Adding a kernel is one line here.
macro_rules! kernels {
    ($($module:ident: $($kernel:ty)|+ { $r:literal, $w:literal },)*) => {
        $(mod $module; pub use $module::*;)*

        /// The contract of every kernel.
        pub fn all() -> Vec<crate::kernel::Contract> {
            vec![$($(crate::kernel::contract::<$r, $w, $kernel>()),+),*]
        }
    };
}

pub mod cell;
pub mod ctc;
pub mod marks;
pub mod plain;
pub mod stored;
pub mod time;
pub use cell::CellStep;
pub use ctc::Ctc;
pub use plain::Plain;
pub use stored::Stored;

use half::{bf16, f16};

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
    matmul: MatMul | MatMulTiled | MatMulRows | MatMulWide | MatMulSubgroup | MatMulSubgroupTall | MatMulOuter { 3, 1 },
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
    gru_pack_low: GruPackLow { 2, 1 },
    cell_sequence: CellSequence { 3, 3 },
    cell_sequence_backward: CellSequenceBackward { 5, 2 },
    gru_step: GruStep<f32> | GruStep<f16> | GruStep<bf16> | GruStep<i8> { 3, 3 },
    gru_gates: GruGates<f32> | GruGates<f16> | GruGates<bf16> | GruGates<i8> { 3, 1 },
    gru_candidate: GruCandidate<f32> | GruCandidate<f16> | GruCandidate<bf16> | GruCandidate<i8> { 3, 3 },
    gru_sequence: GruSequence<f32> | GruSequence<f16> | GruSequence<bf16> | GruSequence<i8> { 3, 3 },
    gru_step_backward: GruStepBackward { 5, 2 },
    gru_reset_backward: GruResetBackward { 4, 2 },
    gru_sequence_backward: GruSequenceBackward { 5, 2 },
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
