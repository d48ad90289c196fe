//! Layer normalization and masked softmax.

/// Normalizes a row to mean 0 and variance 1 (except for ε), with the variance as `mean(x²) − mean(x)²`.
fn unit_row(x: &[f64], eps: f64) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| v * v).sum::<f64>() / n - mean * mean;
    x.iter().map(|v| (v - mean) / (variance.max(0.0) + eps).sqrt()).collect()
}

/// `x̂·weight + bias`, row `r` with the weights of group `r % groups`; `weight` and `bias` are `[groups, width]`.
pub fn layer_norm(x: &[f64], weight: &[f64], bias: &[f64], width: usize, eps: f64) -> Vec<f64> {
    let groups = weight.len() / width;
    let row = |(r, x): (usize, &[f64])| {
        let first = r % groups * width;
        let unit = unit_row(x, eps);
        (0..width).map(|i| unit[i] * weight[first + i] + bias[first + i]).collect::<Vec<_>>()
    };
    x.chunks(width).enumerate().flat_map(row).collect()
}

/// Softmax of `x` `[batch, rows, width]` over the elements that `keep` `[batch, width]` selects, computed as
/// `1 / Σ_j e^(x_j − x_i)`.
pub fn masked_softmax(x: &[f64], keep: &[bool], rows: usize, width: usize) -> Vec<f64> {
    let one = |(r, x): (usize, &[f64])| {
        let keep = &keep[r / rows * width..][..width];
        let kept: Vec<f64> = x.iter().zip(keep).filter(|(_, k)| **k).map(|(v, _)| *v).collect();
        let share = |v: f64| 1.0 / kept.iter().map(|w| (w - v).exp()).sum::<f64>();
        x.iter().zip(keep).map(|(v, k)| if *k { share(*v) } else { 0.0 }).collect::<Vec<_>>()
    };
    x.chunks(width).enumerate().flat_map(one).collect()
}
