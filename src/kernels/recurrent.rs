//! The fused kernels: their shader parts by cell and by format of the weights, and the macro that declares them.

use super::fused::{GRU, GRU_RESET_BEFORE, LSTM};
use super::weight_dtype::WeightDtype;
use crate::kernel::{Text, wgsl};

macro_rules! parts {
    ($($name:ident: $stem:literal),+ $(,)?) => { $(const $name: &str = wgsl!($stem)[0];)+ };
}
parts! {
    FUSED: "common/fused",
    MARKS: "common/marks",
    TIME: "common/time",
    ACTIVATION: "common/activation",
    STEP: "common/step",
    PRODUCTS: "common/products",
    WEIGHTS_F32: "common/weights_f32",
    WEIGHTS_LOW: "common/weights_low",
    WEIGHTS_F16: "common/weights_f16",
    WEIGHTS_BF16: "common/weights_bf16",
    WEIGHTS_INT8: "common/weights_int8",
    CELL_GRU: "common/cell_gru",
    CELL_GRU_RESET_BEFORE: "common/cell_gru_reset_before",
    CELL_LSTM: "common/cell_lstm",
    CELL_RNN: "common/cell_rnn",
    ONE_HALF: "common/one_half",
    HALVES_STEP: "common/halves_step",
    HALVES_SEQUENCE: "common/halves_sequence",
    HALVES_SPLIT: "common/halves_split",
    PRODUCTS_STEP: "common/products_step",
    WEIGHTS_READ: "common/weights_read",
    WEIGHTS_HELD: "common/weights_held",
    SUMS_READ: "common/sums_read",
    SUMS_HELD_16: "common/sums_held_16",
    SUMS_HELD_64: "common/sums_held_64",
    STEP_MAIN: "recurrent_step",
    STEP_SPLIT_MAIN: "recurrent_step_split",
    SEQUENCE_MAIN: "recurrent_sequence",
    SEQUENCE_SPLIT_MAIN: "recurrent_sequence_split",
    STEP_BACKWARD: "common/step_backward",
    PRODUCTS_BACKWARD: "common/products_backward",
    GRU_BACKWARD: "common/gru_backward",
    CELL_GRU_BACKWARD: "common/cell_gru_backward",
    CELL_GRU_RESET_BEFORE_BACKWARD: "common/cell_gru_reset_before_backward",
    CELL_LSTM_BACKWARD: "common/cell_lstm_backward",
    CELL_RNN_BACKWARD: "common/cell_rnn_backward",
    ONE_HALF_BACKWARD: "common/one_half_backward",
    DELTA_STEP: "common/delta_step",
    STEP_BACKWARD_MAIN: "recurrent_step_backward",
    STEP_BACKWARD_SPLIT_MAIN: "recurrent_step_backward_split",
    SEQUENCE_BACKWARD_MAIN: "recurrent_sequence_backward",
    SEQUENCE_BACKWARD_SPLIT_MAIN: "recurrent_sequence_backward_split",
}

/// Defines a function that returns the text of a forward kernel for a kind of cell and a format of the weights. The
/// brackets hold the stem, the end of the name, and the last parts, where `$halves` is that of cells with two halves.
macro_rules! forward {
    ($function:ident, [$stem:literal, $end:literal], $halves:ident, [$($last:ident),+]) => {
        pub(crate) const fn $function<W: WeightDtype>(kind: usize) -> Text {
            let all = match kind {
                GRU => forward!([$stem, "_gru"], $end, CELL_GRU, ONE_HALF, $($last),+),
                GRU_RESET_BEFORE => {
                    forward!([$stem, "_gru_reset_before"], $end, CELL_GRU_RESET_BEFORE, $halves, $($last),+)
                }
                LSTM => forward!([$stem, "_lstm"], $end, CELL_LSTM, ONE_HALF, $($last),+),
                _ => forward!([$stem, "_rnn"], $end, CELL_RNN, ONE_HALF, $($last),+),
            };
            all[W::FORMAT]
        }
    };
    ([$($name:literal),+], $end:literal, $($part:ident),+) => {
        [
            forward!(@ [$($name),+, $end], WEIGHTS_F32, $($part),+),
            forward!(@ [$($name),+, "_f16", $end], WEIGHTS_LOW, WEIGHTS_F16, $($part),+),
            forward!(@ [$($name),+, "_bf16", $end], WEIGHTS_LOW, WEIGHTS_BF16, $($part),+),
            forward!(@ [$($name),+, "_int8", $end], WEIGHTS_LOW, WEIGHTS_INT8, $($part),+),
        ]
    };
    (@ [$($name:literal),+], $($part:ident),+) => {{
        const PARTS: &[&str] = &[MARKS, TIME, FUSED, ACTIVATION, STEP, PRODUCTS, $($part),+];
        (concat!($($name),+), PARTS)
    }};
}
forward!(step, ["recurrent_step", ""], HALVES_STEP, [WEIGHTS_READ, PRODUCTS_STEP, STEP_MAIN]);
forward!(step_split, ["recurrent_step", "_split"], HALVES_STEP, [WEIGHTS_READ, PRODUCTS_STEP, STEP_SPLIT_MAIN]);
forward!(sequence, ["recurrent_sequence", ""], HALVES_SEQUENCE, [WEIGHTS_READ, SEQUENCE_MAIN]);
forward!(
    sequence_split,
    ["recurrent_sequence", "_split"],
    HALVES_SPLIT,
    [WEIGHTS_READ, SUMS_READ, SEQUENCE_SPLIT_MAIN]
);
forward!(
    sequence_held_16,
    ["recurrent_sequence", "_held"],
    HALVES_SPLIT,
    [WEIGHTS_HELD, SUMS_HELD_16, SEQUENCE_SPLIT_MAIN]
);
forward!(
    sequence_held_64,
    ["recurrent_sequence", "_held"],
    HALVES_SPLIT,
    [WEIGHTS_HELD, SUMS_HELD_64, SEQUENCE_SPLIT_MAIN]
);

/// Largest hidden size of [`sequence_held`]. More weights would take the registers of all but a few waves.
pub(crate) const fn held_hidden<W: WeightDtype>(kind: usize) -> u32 {
    let has_many_words = W::IN_WORD == 1 || (W::IN_WORD == 2 && kind == LSTM);
    if has_many_words { 64 } else { 128 }
}

/// The text of the kernel whose lanes hold their weights in registers.
pub(crate) const fn sequence_held<W: WeightDtype>(kind: usize) -> Text {
    if held_hidden::<W>(kind) == 64 { sequence_held_16::<W>(kind) } else { sequence_held_64::<W>(kind) }
}

/// Defines a function that returns the text of a backward kernel for a kind of cell.
macro_rules! backward {
    ($function:ident, [$stem:literal, $end:literal], [$($last:ident),+]) => {
        pub(crate) const fn $function(kind: usize) -> Text {
            match kind {
                GRU => backward!([$stem, "_gru", $end], GRU_BACKWARD, CELL_GRU_BACKWARD, ONE_HALF_BACKWARD, $($last),+),
                GRU_RESET_BEFORE => backward!(
                    [$stem, "_gru_reset_before", $end],
                    GRU_BACKWARD,
                    CELL_GRU_RESET_BEFORE_BACKWARD,
                    $($last),+
                ),
                LSTM => backward!([$stem, "_lstm", $end], CELL_LSTM_BACKWARD, ONE_HALF_BACKWARD, $($last),+),
                _ => backward!([$stem, "_rnn", $end], CELL_RNN_BACKWARD, ONE_HALF_BACKWARD, $($last),+),
            }
        }
    };
    ([$($name:literal),+], $($part:ident),+) => {{
        const PARTS: &[&str] = &[MARKS, TIME, FUSED, STEP_BACKWARD, PRODUCTS_BACKWARD, $($part),+];
        (concat!($($name),+), PARTS)
    }};
}
backward!(step_backward, ["recurrent_step_backward", ""], [DELTA_STEP, STEP_BACKWARD_MAIN]);
backward!(step_backward_split, ["recurrent_step_backward", "_split"], [DELTA_STEP, STEP_BACKWARD_SPLIT_MAIN]);
backward!(sequence_backward, ["recurrent_sequence_backward", ""], [SEQUENCE_BACKWARD_MAIN]);
backward!(sequence_backward_split, ["recurrent_sequence_backward", "_split"], [SEQUENCE_BACKWARD_SPLIT_MAIN]);

/// Declares a fused kernel of the cells of kind `C`. Forward kernels also have the format `W` of the
/// packed weights.
macro_rules! recurrent_kernel {
    ($(#[$meta:meta])* $name:ident<C>) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name<const C: usize>(pub $crate::kernels::Fused);

        impl<const C: usize> $crate::kernel::Params for $name<C> {
            const FIELDS: &'static [(&'static str, &'static str)] =
                <$crate::kernels::Fused as $crate::kernel::Params>::FIELDS;
        }
    };
    ($(#[$meta:meta])* $name:ident<C, W>) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name<const C: usize, W = f32>(pub $crate::kernels::Fused, std::marker::PhantomData<W>);

        impl<const C: usize> $name<C> {
            /// Creates the kernel that reads `f32` weights.
            pub fn new(p: $crate::kernels::Fused) -> Self {
                p.into()
            }
        }

        impl<const C: usize, W: $crate::kernels::WeightDtype> From<$crate::kernels::Fused> for $name<C, W> {
            fn from(p: $crate::kernels::Fused) -> Self {
                Self(p, std::marker::PhantomData)
            }
        }

        impl<const C: usize, W: $crate::kernels::WeightDtype> $crate::kernel::Params for $name<C, W> {
            const FIELDS: &'static [(&'static str, &'static str)] =
                <$crate::kernels::Fused as $crate::kernel::Params>::FIELDS;
        }
    };
}
pub(crate) use recurrent_kernel;
