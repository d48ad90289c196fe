//! A layer of minimal GRUs as one node of the tape.

use super::record;
use crate::error::Result;
use crate::ops::min_gru::{Layer, Linear};
use crate::ops::movement;
use crate::tensor::Tensor;

/// Runs `layer` on `x` `[T, B, I]` from the initial states `[D, B, H]`. Returns the output `[T, B, D·H]` and the last
/// states `[D, B, H]`. `seen` is `x` as backward reads it: finite, and 0 beyond the sequences' lengths.
pub(crate) fn min_gru(x: &Tensor, seen: &Tensor, h0: &Tensor, linears: &[Linear], layer: Layer) -> Result<[Tensor; 2]> {
    let run = layer.forward(seen, h0, linears)?;
    let parameters = || linears.iter().flat_map(|(weight, bias)| std::iter::once(weight).chain(bias));
    let inputs: Vec<&Tensor> = [x, h0].into_iter().chain(parameters()).collect();
    let outputs = [run.y.clone(), run.h_n.clone()];
    let saved: Vec<&Tensor> = [seen, h0, &outputs[0]].into_iter().chain(linears.iter().map(|l| &l.0)).collect();
    let (of_x, has_bias) = (x.is_tracked(), linears[0].1.is_some());
    let of_parameters: Vec<bool> = parameters().map(Tensor::is_tracked).collect();
    Ok(record("min_gru", &inputs, &saved, outputs.clone(), || {
        let (x, h0) = (seen.detach(), h0.detach());
        let linears: Vec<Linear> = linears.iter().map(|(weight, _)| (weight.detach(), None)).collect();
        Box::new(move |dys| {
            let or_zeros = |i: usize, like: &Tensor| match &dys[i] {
                Some(dy) => Ok(dy.clone()),
                None => Tensor::zeros(like.device(), like.dims()),
            };
            let (dy, d_last) = (or_zeros(0, &run.y)?, or_zeros(1, &run.h_n)?);
            let [d_kv, d_h0] = layer.backward(&run, &h0, [&dy, &d_last])?;
            let mut grads = vec![of_x.then(|| layer.d_input(&d_kv, &x, &linears)).transpose()?, Some(d_h0)];
            let sums = has_bias.then(|| layer.d_biases(&d_kv)).transpose()?;
            let mut wanted = of_parameters.iter();
            let mut is_wanted = || wanted.next() == Some(&true);
            for i in 0..linears.len() {
                grads.push(is_wanted().then(|| layer.d_weight(&d_kv, &x, i)).transpose()?);
                if let Some(sums) = &sums {
                    let part = || movement::slice(sums, 0, i..i + 1)?.view("min_gru", &sums.dims()[1..]);
                    grads.push(is_wanted().then(part).transpose()?);
                }
            }
            Ok(grads)
        })
    }))
}
