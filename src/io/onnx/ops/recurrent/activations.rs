//! Reads the attributes `activations`, `activation_alpha` and `activation_beta`.

use super::super::Builder;
use crate::cell::Cell;
use crate::error::Result;
use crate::math::Activation;

/// Returns the activations of every direction: `f` for an RNN, `f, g` for a GRU, `f, g, h` for an LSTM.
///
/// Follows ONNX Runtime: names are case-insensitive, and each function with an α (or β) takes the next value of the
/// list. When the list is exhausted, it takes the default of its own operator, or 0 if there is none.
pub fn read(b: &mut Builder, cell: Cell, directions: usize) -> Result<Vec<Vec<Activation>>> {
    let defaults: &[&str] = match cell {
        Cell::Gru | Cell::GruResetBefore => &["Sigmoid", "Tanh"],
        Cell::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        Cell::Rnn | Cell::RnnRelu => &["Tanh"],
    };
    let default = || defaults.repeat(directions).iter().map(|s| s.to_string()).collect();
    let names: Vec<String> = b.texts("activations")?.unwrap_or_else(default);
    if names.len() != defaults.len() * directions {
        return Err(b.refuse(format!("{} activations for {directions} directions", names.len())));
    }
    let mut alphas = b.floats("activation_alpha")?.into_iter();
    let mut betas = b.floats("activation_beta")?.into_iter();
    let mut out = Vec::with_capacity(names.len());
    for name in &names {
        let mut alpha = |default: f32| alphas.next().unwrap_or(default);
        let mut beta = |default: f32| betas.next().unwrap_or(default);
        out.push(match &*name.to_ascii_lowercase() {
            "sigmoid" => Activation::Sigmoid,
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            "softsign" => Activation::Softsign,
            "softplus" => Activation::Softplus,
            "leakyrelu" => Activation::LeakyRelu { alpha: alpha(0.01) },
            "thresholdedrelu" => Activation::ThresholdedRelu { alpha: alpha(0.0) },
            "elu" => Activation::Elu { alpha: alpha(1.0) },
            "affine" => Activation::Affine { alpha: alpha(0.0), beta: beta(0.0) },
            "scaledtanh" => Activation::ScaledTanh { alpha: alpha(0.0), beta: beta(0.0) },
            "hardsigmoid" => Activation::HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) },
            _ => return Err(b.refuse(format!("activation {name:?}"))),
        });
    }
    if alphas.len() + betas.len() > 0 {
        return Err(b.refuse("more activation_alpha or activation_beta than its activations take"));
    }
    Ok(out.chunks(defaults.len()).map(<[Activation]>::to_vec).collect())
}

/// Returns one activation for each of the cell's [`activation_names`](Cell::activation_names), from ONNX's f, g, h.
pub fn of_gates(cell: Cell, functions: &[Activation]) -> Vec<Activation> {
    cell.onnx_activations().iter().map(|&place| functions[place]).collect()
}
