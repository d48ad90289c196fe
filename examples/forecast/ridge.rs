//! Ridge regression from the window to each step of the horizon.

use std::ops::Range;

use crate::baselines::{mean_squared, targets};
use crate::common::cholesky::{cholesky, substitute};

/// Penalties that validation chooses from, in standardized units.
const PENALTIES: [f64; 5] = [0.1, 1.0, 10.0, 100.0, 1000.0];

/// Linear regression from the window to each step, with a penalty `λ‖w‖²` on the weights.
pub struct Ridge {
    /// For each step: the weights of the window, oldest first, then the constant.
    weights: Vec<Vec<f64>>,
    window: usize,
    penalty: f64,
}

impl Ridge {
    /// Fits to the origins `train` of a standardized series, with the λ that forecasts `validation` best. `None` if no
    /// penalty makes the normal equations solvable.
    pub fn fit(
        z: &[f64],
        train: Range<usize>,
        validation: Range<usize>,
        window: usize,
        horizon: usize,
    ) -> Option<Self> {
        let normal = Normal::new(z, train, window, horizon);
        let candidates = PENALTIES.iter().filter_map(|&penalty| {
            let ridge = Ridge { weights: normal.solve(penalty)?, window, penalty };
            let error = mean_squared(&ridge.forecast(z, validation.clone()), &targets(z, validation.clone(), horizon));
            Some((error, ridge))
        });
        candidates.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, ridge)| ridge)
    }

    /// Fits to other origins, with the same penalty.
    pub fn refit(&self, z: &[f64], origins: Range<usize>) -> Option<Self> {
        let Self { window, penalty, .. } = *self;
        let weights = Normal::new(z, origins, window, self.weights.len()).solve(penalty)?;
        Some(Self { weights, window, penalty })
    }

    /// Returns forecasts of the series it was fitted to, or of another one in the same units.
    pub fn forecast(&self, z: &[f64], origins: impl Iterator<Item = usize>) -> Vec<f64> {
        let mut out = Vec::new();
        for t in origins {
            let seen = &z[t - self.window..t];
            for w in &self.weights {
                out.push(w[self.window] + seen.iter().zip(w).map(|(x, w)| x * w).sum::<f64>());
            }
        }
        out
    }
}

/// `XᵀX` and `XᵀY` of centered windows and targets.
struct Normal {
    gram: Vec<Vec<f64>>,
    /// By step.
    moments: Vec<Vec<f64>>,
    x_mean: Vec<f64>,
    y_mean: Vec<f64>,
}

impl Normal {
    fn new(z: &[f64], origins: Range<usize>, window: usize, horizon: usize) -> Self {
        let count = origins.len() as f64;
        let mean = |offset: usize| origins.clone().map(|t| z[t - window + offset]).sum::<f64>() / count;
        let x_mean: Vec<f64> = (0..window).map(mean).collect();
        let y_mean: Vec<f64> = (window..window + horizon).map(mean).collect();
        let mut gram = vec![vec![0.0; window]; window];
        let mut moments = vec![vec![0.0; window]; horizon];
        for t in origins {
            let x: Vec<f64> = z[t - window..t].iter().zip(&x_mean).map(|(x, m)| x - m).collect();
            for (i, row) in gram.iter_mut().enumerate() {
                row[..=i].iter_mut().zip(&x).for_each(|(g, xj)| *g += x[i] * xj);
            }
            for (h, row) in moments.iter_mut().enumerate() {
                let y = z[t + h] - y_mean[h];
                row.iter_mut().zip(&x).for_each(|(m, xj)| *m += y * xj);
            }
        }
        Self { gram, moments, x_mean, y_mean }
    }

    fn solve(&self, penalty: f64) -> Option<Vec<Vec<f64>>> {
        let mut matrix = self.gram.clone();
        matrix.iter_mut().enumerate().for_each(|(i, row)| row[i] += penalty);
        let factor = cholesky(matrix)?;
        let solve = |(moments, y_mean): (&Vec<f64>, &f64)| {
            let mut w = substitute(&factor, moments);
            let constant = y_mean - w.iter().zip(&self.x_mean).map(|(w, m)| w * m).sum::<f64>();
            w.push(constant);
            w
        };
        Some(self.moments.iter().zip(&self.y_mean).map(solve).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs (x, y) = (0, 0), (0, 3), (3, 0): centered, Σx² = 6 and Σxy = −3; with λ = 2, w = −3/8, constant 1 + 3/8.
    #[test]
    fn ridge_matches_a_case_solved_by_hand() {
        let normal = Normal::new(&[0.0, 0.0, 3.0, 0.0], 1..4, 1, 1);
        let w = normal.solve(2.0).unwrap().remove(0);
        assert!((w[0] + 0.375).abs() < 1e-15 && (w[1] - 1.375).abs() < 1e-15, "{w:?}");
    }

    /// A sine is sin t = 2·cos ω·sin (t − ω) − sin (t − 2ω), so two values determine the next. The penalty disturbs
    /// this a little.
    #[test]
    fn ridge_learns_a_recurrence() {
        let z: Vec<f64> = (0..200).map(|t| (0.3 * t as f64).sin()).collect();
        let ridge = Ridge::fit(&z, 2..150, 150..180, 2, 3).unwrap();
        let error = mean_squared(&ridge.forecast(&z, 180..197), &targets(&z, 180..197, 3));
        assert!(error < 1e-3, "{error}");
        // Fitted again to the same origins, it is the same.
        assert_eq!(ridge.refit(&z, 2..150).unwrap().weights, ridge.weights);
        assert_ne!(ridge.refit(&z, 2..180).unwrap().weights, ridge.weights);
    }
}
