//! Checked operations on tensors, forward and backward side by side. None of them records on the tape.

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
mod strided;
#[cfg(not(target_arch = "wasm32"))]
mod tune;

/// Describes how `device` runs the layer input's product `X [m, k] · Wᵀ [k, n] + b` and the weight gradient
/// `Aᵀ [m, k] · X [k, n]`. For display only.
pub fn product_variants(device: &crate::Device, [m, n, k]: [usize; 3]) -> [String; 2] {
    let input = crate::kernels::MatMul { bias: 1, ..crate::kernels::MatMul::new(m, n, k).b_transposed() };
    [input, crate::kernels::MatMul::new(n, k, m).a_transposed()].map(|p| variant_name(device, &p))
}

fn variant_name(device: &crate::Device, p: &crate::kernels::MatMul) -> String {
    if !device.is_gpu() {
        return "packed".into();
    }
    match linalg::choice(device, p) {
        (variant, 1) => variant.to_string(),
        (variant, splits) => format!("{variant}, k / {splits}"),
    }
}
