//! Checked operations on tensors, forward and backward side by side. None of them records on the tape.

pub mod adapters;
pub(crate) mod conv;
mod create;
pub(crate) mod ctc;
pub(crate) mod elementwise;
pub(crate) mod extreme;
pub(crate) mod index;
pub(crate) mod layer_norm;
pub(crate) mod linalg;
pub(crate) mod loss;
pub(crate) mod masked;
pub(crate) mod min_gru;
pub(crate) mod movement;
pub(crate) mod optim;
pub mod recurrent;
pub(crate) mod reduce;
pub(crate) mod softmax;
pub(crate) mod strided;
#[cfg(not(target_arch = "wasm32"))]
mod tune;

use crate::device::Device;
use crate::kernels::MatMul;

/// Describes how `device` runs the layer input's product `X [m, k] · Wᵀ [k, n] + b` and the weight gradient
/// `Aᵀ [m, k] · X [k, n]`. For display only.
pub fn product_variants(device: &Device, [m, n, k]: [usize; 3]) -> [String; 2] {
    let input = MatMul { bias: 1, ..MatMul::new(m, n, k).b_transposed() };
    [input, MatMul::new(n, k, m).a_transposed()].map(|p| variant_name(device, &p))
}

/// Returns the variant that `rules` choose on a hardware GPU for a product of at least 64 rows and columns in whole
/// vectors.
pub fn tiled_variant(rules: &adapters::Rules, [m, n, k]: [usize; 3]) -> String {
    linalg::tiled(rules, &MatMul::new(m, n, k).b_transposed()).to_string()
}

fn variant_name(device: &Device, p: &MatMul) -> String {
    if !device.is_gpu() {
        return "packed".into();
    }
    match linalg::choice(device, p) {
        (variant, 1) => variant.to_string(),
        (variant, splits) => format!("{variant}, k / {splits}"),
    }
}
