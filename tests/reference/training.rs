//! Optimizers as `torch.optim` documents them, over the whole history of one parameter.

/// Options of SGD.
#[derive(Clone, Copy)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
}

impl Sgd {
    /// Returns the parameter and its velocity after all gradients.
    pub fn run(&self, start: f64, gradients: &[f64]) -> (f64, f64) {
        let (mut w, mut velocity) = (start, None);
        for gradient in gradients {
            let g = gradient + self.weight_decay * w;
            let b = match velocity {
                None => g,
                Some(b) => self.momentum * b + (1.0 - self.dampening) * g,
            };
            velocity = Some(b);
            w -= self.lr
                * match (self.momentum != 0.0, self.nesterov) {
                    (false, _) => g,
                    (true, false) => b,
                    (true, true) => g + self.momentum * b,
                };
        }
        (w, velocity.unwrap_or(0.0))
    }
}

/// Options of Adam.
#[derive(Clone, Copy)]
pub struct Adam {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub decoupled: bool,
}

impl Adam {
    /// Returns the parameter and its two moments after all gradients, with the bias correction as in the paper.
    pub fn run(&self, start: f64, gradients: &[f64]) -> [f64; 3] {
        let [mut w, mut m, mut v] = [start, 0.0, 0.0];
        for (i, gradient) in gradients.iter().enumerate() {
            let t = i as i32 + 1;
            let (decay, g) = match self.decoupled {
                true => (self.lr * self.weight_decay * w, *gradient),
                false => (0.0, gradient + self.weight_decay * w),
            };
            m = self.beta1 * m + (1.0 - self.beta1) * g;
            v = self.beta2 * v + (1.0 - self.beta2) * g * g;
            let m_hat = m / (1.0 - self.beta1.powi(t));
            let v_hat = v / (1.0 - self.beta2.powi(t));
            w -= decay + self.lr * m_hat / (v_hat.sqrt() + self.eps);
        }
        [w, m, v]
    }
}
