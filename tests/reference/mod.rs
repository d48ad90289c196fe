//! The mathematics of every kernel in f64, from plain definitions, in a different algebraic form where there is one.
//! Shares no code with the library except the names of operations.
#![allow(dead_code, reason = "each test file uses only some of these items")]

pub mod conv;
pub mod ctc;
pub mod dense;
pub mod elementwise;
pub mod gru;
pub mod min_gru;
pub mod normalize;
pub mod recurrent;
pub mod training;

/// Step of a central difference. Its error, of order step² and 1e-16/step, is below 1e-9 for values near 1.
const STEP: f64 = 1e-5;

/// Converts the values to f64.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v as f64).collect()
}

/// Rounds the values to f32.
pub fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// `Σ a·b`
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The gradient of a scalar function of several arrays by central differences, one array per input.
pub fn differences(inputs: &[Vec<f64>], f: impl Fn(&[Vec<f64>]) -> f64) -> Vec<Vec<f64>> {
    let mut moved = inputs.to_vec();
    let mut gradient = |i: usize, j: usize| {
        moved[i][j] = inputs[i][j] + STEP;
        let above = f(&moved);
        moved[i][j] = inputs[i][j] - STEP;
        let below = f(&moved);
        moved[i][j] = inputs[i][j];
        (above - below) / (2.0 * STEP)
    };
    (0..inputs.len()).map(|i| (0..inputs[i].len()).map(|j| gradient(i, j)).collect()).collect()
}
