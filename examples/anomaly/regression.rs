//! Linear regression of the remaining life, to compare with.

use crate::common::cholesky::{cholesky, substitute};
use crate::engines::{Engine, MOST};
use crate::life::Units;

/// Number of last cycles over which the measurements are averaged.
const MEAN_OF: usize = 10;
/// Penalty that keeps the equations solvable, relative to the number of rows.
const PENALTY: f64 = 1e-6;

/// Predicts the remaining cycles, up to 125, from the mean measurements of the last ten cycles.
pub struct Regression {
    /// By feature; the last one is the constant.
    weights: Vec<f64>,
}

impl Regression {
    /// Fits the weights by least squares to all cycles; `None` if the table has no measurements that vary.
    pub fn fit(units: &Units, engines: &[Engine]) -> Option<Self> {
        let width = units.columns.len() + 1;
        let (mut gram, mut moments, mut count) = (vec![vec![0.0; width]; width], vec![0.0; width], 0.0);
        for engine in engines {
            for cycles in 1..=engine.cycles.len() {
                let x = features(units, engine, cycles);
                let y = f64::from(engine.remaining(cycles).min(MOST));
                for i in 0..width {
                    (0..=i).for_each(|j| gram[i][j] += x[i] * x[j]);
                    moments[i] += x[i] * y;
                }
                count += 1.0;
            }
        }
        (0..width).for_each(|i| gram[i][i] += PENALTY * count);
        Some(Self { weights: substitute(&cholesky(gram)?, &moments) })
    }

    /// Returns the predicted remaining cycles after the first `cycles`.
    pub fn predict(&self, units: &Units, engine: &Engine, cycles: usize) -> f32 {
        let x = features(units, engine, cycles);
        let y: f64 = self.weights.iter().zip(&x).map(|(w, x)| w * x).sum();
        (y as f32).clamp(0.0, MOST)
    }
}

fn features(units: &Units, engine: &Engine, cycles: usize) -> Vec<f64> {
    let last = &engine.cycles[cycles.saturating_sub(MEAN_OF)..cycles];
    let mut sums = vec![0.0; units.columns.len()];
    for row in last {
        sums.iter_mut().zip(units.frame(row)).for_each(|(sum, value)| *sum += f64::from(value));
    }
    sums.iter_mut().for_each(|sum| *sum /= last.len() as f64);
    sums.push(1.0);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::MEASURED;

    #[test]
    fn regression_finds_linear_wear() {
        // One sensor falls with the remaining cycles, another is constant.
        let engine = |number: u32, cycles: usize| Engine {
            number,
            cycles: (1..=cycles)
                .map(|cycle| {
                    let mut row = [7.0; MEASURED];
                    row[3] = 2.0 * (cycles - cycle) as f32;
                    row
                })
                .collect(),
        };
        let engines = [engine(1, 90), engine(2, 120)];
        let units = Units::of(&engines);
        assert_eq!(units.columns, [3]);
        let regression = Regression::fit(&units, &engines).unwrap();
        let predicted = regression.predict(&units, &engines[0], 50);
        assert!((predicted - 40.0).abs() < 1.0, "{predicted}");
    }
}
