//! Checked operations on tensors, forward beside backward. None of them touches the tape.

pub(crate) mod elementwise;
pub(crate) mod index;
pub(crate) mod linalg;
pub(crate) mod loss;
pub(crate) mod movement;
pub(crate) mod optim;
pub mod recurrent;
pub(crate) mod reduce;
pub(crate) mod softmax;

/// How a product of `[m, k]` and `[k, n]` is run on `device`, in words: for showing, not for deciding.
pub fn product_variant(device: &crate::Device, m: usize, n: usize, k: usize) -> String {
    if !device.is_gpu() {
        return "packed".into();
    }
    let p = crate::kernels::MatMul::new(m, n, k);
    let name = match linalg::variant(device, &p) {
        linalg::Variant::Plain => "plain",
        linalg::Variant::Tiled => "tiled",
        linalg::Variant::Rows => "rows",
    };
    match linalg::splits(device, &p) {
        1 => name.into(),
        splits => format!("{name}, k / {splits}"),
    }
}
