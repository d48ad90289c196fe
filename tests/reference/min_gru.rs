//! The minimal GRU, step by step.

/// Extents and options of a stack.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    pub input: usize,
    pub hidden: usize,
    pub layers: usize,
    pub bias: bool,
    pub bidirectional: bool,
    pub reverse: bool,
    /// Whether the candidates are positive.
    pub positive: bool,
}

/// `1 / (1 + e^(−v))`
fn logistic(v: f64) -> f64 {
    0.5 + 0.5 * (0.5 * v).tanh()
}

/// The candidate for a pre-activation.
pub fn candidate(v: f64, positive: bool) -> f64 {
    match (positive, v >= 0.0) {
        (false, _) => v,
        (true, true) => v + 0.5,
        (true, false) => logistic(v),
    }
}

/// The state after a step: the gate moves it toward the candidate.
pub fn step(h: f64, k: f64, v: f64, positive: bool) -> f64 {
    h + logistic(k) * (candidate(v, positive) - h)
}

impl Network {
    /// Outputs `[T, B, D·H]` and last states `[layers·D, B, H]`; `parameters` are in the layer's order.
    pub fn run(&self, parameters: &[Vec<f64>], x: &[f64], h0: &[f64], lengths: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let (h, batch) = (self.hidden, lengths.len());
        let steps = x.len() / batch / self.input;
        let directions = 1 + self.bidirectional as usize;
        let mut parameters = parameters.iter();
        let (mut x, mut width, mut h_n) = (x.to_vec(), self.input, Vec::new());
        for layer in 0..self.layers {
            let mut y = vec![0.0; steps * batch * directions * h];
            for d in 0..directions {
                let mut linear = || {
                    let weight = parameters.next().expect("a weight").clone();
                    let bias = if self.bias { parameters.next().expect("a bias").clone() } else { vec![0.0; h] };
                    move |x: &[f64], unit: usize| {
                        bias[unit] + weight[unit * x.len()..][..x.len()].iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
                    }
                };
                let (linear_z, linear_h) = (linear(), linear());
                for (b, &length) in lengths.iter().enumerate() {
                    let first = ((layer * directions + d) * batch + b) * h;
                    let mut state = h0[first..first + h].to_vec();
                    for i in 0..length {
                        let t = if self.reverse || d == 1 { length - 1 - i } else { i };
                        let x = &x[(t * batch + b) * width..][..width];
                        for (unit, state) in state.iter_mut().enumerate() {
                            *state = step(*state, linear_z(x, unit), linear_h(x, unit), self.positive);
                            y[((t * batch + b) * directions + d) * h + unit] = *state;
                        }
                    }
                    h_n.extend(state);
                }
            }
            (x, width) = (y, directions * h);
        }
        (x, h_n)
    }
}
