//! Products, softmax and losses.

use wgru::kernels::LossKind;

/// `a·b`, with `a` and `b` given as functions of row and column.
pub fn matmul([m, n, k]: [usize; 3], a: impl Fn(usize, usize) -> f64, b: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let dot = |row: usize, col: usize| (0..k).map(|i| a(row, i) * b(i, col)).sum();
    (0..m * n).map(|i| dot(i / n, i % n)).collect()
}

/// Softmax of each row as `1 / Σ_j e^(x_j − x_i)`.
pub fn softmax(x: &[f64], width: usize) -> Vec<f64> {
    let one = |row: &[f64], v: f64| 1.0 / row.iter().map(|w| (w - v).exp()).sum::<f64>();
    x.chunks(width).flat_map(|row| row.iter().map(move |&v| one(row, v))).collect()
}

/// Logarithm of the softmax of each row, `−log Σ_j e^(x_j − x_i)`.
pub fn log_softmax(x: &[f64], width: usize) -> Vec<f64> {
    softmax(x, width).iter().map(|p| p.ln()).collect()
}

/// `Σ_i dy_i·∂y_i/∂x_j` by the full Jacobian of softmax at `y`.
pub fn softmax_backward(y: &[f64], dy: &[f64], width: usize) -> Vec<f64> {
    let jacobian = |y: &[f64], i: usize, j: usize| if i == j { y[i] - y[i] * y[j] } else { -y[i] * y[j] };
    let rows = y.chunks(width).zip(dy.chunks(width));
    rows.flat_map(|(y, dy)| (0..width).map(move |j| (0..width).map(|i| dy[i] * jacobian(y, i, j)).sum())).collect()
}

/// `Σ_i dy_i·∂y_i/∂x_j` by the full Jacobian of log-softmax, with `y` the logarithms.
pub fn log_softmax_backward(y: &[f64], dy: &[f64], width: usize) -> Vec<f64> {
    let jacobian = |y: &[f64], i: usize, j: usize| if i == j { 1.0 - y[j].exp() } else { -y[j].exp() };
    let rows = y.chunks(width).zip(dy.chunks(width));
    rows.flat_map(|(y, dy)| (0..width).map(move |j| (0..width).map(|i| dy[i] * jacobian(y, i, j)).sum())).collect()
}

fn log_sigmoid(x: f64) -> f64 {
    -(-x).exp().ln_1p()
}

/// Loss of a single prediction.
pub fn loss(kind: LossKind, delta: f64, x: f64, t: f64) -> f64 {
    let far = (x - t).abs();
    let near = far.min(delta);
    match kind {
        LossKind::Squared => x * x - 2.0 * x * t + t * t,
        LossKind::Absolute => far,
        LossKind::Huber => near * near / 2.0 + delta * (far - near),
        LossKind::BceWithLogits => -t * log_sigmoid(x) - (1.0 - t) * log_sigmoid(-x),
    }
}

/// `∂loss/∂x`
pub fn loss_slope(kind: LossKind, delta: f64, x: f64, t: f64) -> f64 {
    match kind {
        LossKind::Squared => 2.0 * x - 2.0 * t,
        LossKind::Absolute if x == t => 0.0,
        LossKind::Absolute => (x - t).signum(),
        LossKind::Huber => (x - t).clamp(-delta, delta),
        LossKind::BceWithLogits => (1.0 - t) / (1.0 + (-x).exp()) - t / (1.0 + x.exp()),
    }
}

fn target_share(classes: usize, target: usize, smoothing: f64) -> Vec<f64> {
    let mut share = vec![smoothing / classes as f64; classes];
    share[target] += 1.0 - smoothing;
    share
}

/// `−Σ_c q_c·log p_c` of one row, `q` the smoothed target.
pub fn cross_entropy(x: &[f64], target: usize, smoothing: f64) -> f64 {
    let share = target_share(x.len(), target, smoothing);
    -log_softmax(x, x.len()).iter().zip(share).map(|(log_p, q)| q * log_p).sum::<f64>()
}

/// `p − q` of one row.
pub fn cross_entropy_slope(x: &[f64], target: usize, smoothing: f64) -> Vec<f64> {
    let share = target_share(x.len(), target, smoothing);
    softmax(x, x.len()).iter().zip(share).map(|(p, q)| p - q).collect()
}
