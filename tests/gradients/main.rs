//! Gradients from the tape against central differences in f64, on the reference twins; and tests of the tape itself.

// This also provides `block_on`.
#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests as pollster;

#[path = "../common/mod.rs"]
mod common;
#[path = "../reference/mod.rs"]
mod reference;

mod cells;
mod conv;
mod ctc;
mod gates;
mod gru;
mod min_gru;
mod ops;
mod tape;

use common::{assert_close, fill, twin};
use reference::{differences, dot, wide};
use wgru::{Result, Tensor};

/// Forward in f32: a few roundings of values near 1.
const FORWARD: f64 = 4e-7;
/// Gradients in f32, sums of up to a few dozen products; the differences in f64 are accurate to 1e-9.
const GRADIENT: f64 = 1e-6;

/// A leaf's values and extents.
type Input = (Vec<f32>, Vec<usize>);

/// Random values in `±scale`.
fn input(stream: u32, dims: &[usize], scale: f32) -> Input {
    (fill(stream, dims.iter().product(), scale), dims.to_vec())
}

/// Checks `f` and the gradient of `Σ f·dy`, for a random `dy`, with respect to every input.
#[track_caller]
fn check(
    name: &str,
    inputs: &[Input],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
    reference: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    let device = twin();
    let leaf = |(values, dims): &Input| Tensor::from_slice(&device, values, dims).expect("uploaded").requires_grad();
    let leaves: Vec<Tensor> = inputs.iter().map(leaf).collect();
    let y = f(&leaves).expect("forward");
    let dy = fill(99, y.len(), 1.0);
    y.backward_with(&Tensor::from_slice(&device, &dy, y.dims()).expect("uploaded")).expect("backward");

    let (values, dy): (Vec<Vec<f64>>, _) = (inputs.iter().map(|(v, _)| wide(v)).collect(), wide(&dy));
    assert_close(&format!("{name}: forward"), &y.read_blocking().expect("read"), &reference(&values), FORWARD);
    let want = differences(&values, |moved| dot(&reference(moved), &dy));
    for (i, (leaf, want)) in leaves.iter().zip(&want).enumerate() {
        let grad = leaf.grad().unwrap_or_else(|| panic!("{name}: input {i} has no gradient"));
        assert_eq!(grad.dims(), leaf.dims(), "{name}: extents of gradient {i}");
        assert_close(&format!("{name}: gradient {i}"), &grad.read_blocking().expect("read"), want, GRADIENT);
    }
}

/// Negative control: the gradient of a different function is rejected.
#[test]
#[should_panic(expected = "square: gradient 0")]
fn check_rejects_a_wrong_gradient() {
    // Both functions have the same value here, where |x| = 1, but |x| has half the slope.
    let ones = (vec![1.0, -1.0, 1.0], vec![3]);
    check("square", &[ones], |x| x[0].square(), |x| x[0].iter().map(|v| v.abs()).collect());
}
