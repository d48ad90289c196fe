//! Compares a run on a device with the same run in f64, and finds the first difference.

use std::fmt;

use crate::error::{Error, Result};
use crate::nn::{HostInput, HostOutput, Mode, Recurrent, RecurrentConfig, RunOptions, read, run_f64};
use crate::tensor::Tensor;

/// A value that differs from its expected value.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Index of the layer.
    pub layer: usize,
    /// Whether it belongs to the reverse direction.
    pub reverse: bool,
    /// Time step; `None` for the state after the last step.
    pub step: Option<usize>,
    /// Index of the sequence in the batch.
    pub sequence: usize,
    /// The quantity that differs: `gate reset`, `output`, `h_n`, …
    pub what: String,
    /// Index of the unit.
    pub unit: usize,
    /// The computed value.
    pub got: f64,
    /// The expected value.
    pub want: f64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.reverse { "reverse direction" } else { "forward direction" };
        write!(f, "layer {}, {direction}, ", self.layer)?;
        match self.step {
            Some(step) => write!(f, "step {step}, ")?,
            None => write!(f, "after the last step, ")?,
        }
        let Self { what, sequence, unit, got, want, .. } = self;
        write!(f, "{what}, sequence {sequence}, unit {unit}: {got:.8} instead of {want:.8}")
    }
}

/// Result of comparing a run on a device with the same run in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Name of the device.
    pub device: String,
    /// Largest error of any gate, output or last state: relative if the expected value exceeds 1 in magnitude,
    /// otherwise absolute.
    pub largest: f64,
    /// First difference above the tolerance, in the order of computation: by layer, then by step, then by gate. `None`
    /// if every error is within the tolerance.
    pub first: Option<Difference>,
}

/// Runs a layer on its device and in f64, and reports the first difference above `tolerance`.
///
/// ```
/// use wgru::{Device, Rng, io, nn::{RecurrentConfig, HostInput}};
/// let mut rng = Rng::new(0);
/// let gru = RecurrentConfig { input: 4, hidden: 8, ..Default::default() }.build(&Device::cpu(), &mut rng)?;
/// let input = HostInput::random(&gru, 10, 3, &mut rng);
/// let comparison = pollster::block_on(io::compare(&gru, &input, 1e-5))?;
/// assert!(comparison.largest < 1e-5 && comparison.first.is_none());
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// Errors from the run; [`Error::Value`] if the tolerance is not a finite number above 0.
pub async fn compare(layer: &Recurrent, input: &HostInput, tolerance: f64) -> Result<Comparison> {
    check_tolerance("compare", tolerance)?;
    let (got, want) = (run(layer, input).await?, run_f64(layer, input).await?);
    let (largest, first) = difference(layer.config(), input, &got, &want, tolerance)?;
    Ok(Comparison { device: layer.device.info().name.clone(), largest, first })
}

pub(super) fn check_tolerance(op: &'static str, tolerance: f64) -> Result<()> {
    match tolerance > 0.0 && tolerance.is_finite() {
        true => Ok(()),
        false => Err(Error::value(op, "tolerance", "a number above 0", tolerance)),
    }
}

/// Runs a layer on its device and reads all results back.
pub(super) async fn run(layer: &Recurrent, input: &HostInput) -> Result<HostOutput> {
    let c = layer.config();
    let [_, batch] = input.extents(c)?;
    let rows = c.layers * c.directions();
    let tensor = |values: &[f32], dims: &[usize]| Tensor::from_slice(&layer.device, values, dims);
    let state = |values: &Option<Vec<f32>>, width: usize| {
        values.as_ref().map(|values| tensor(values, &[rows, batch, width])).transpose()
    };
    let x = tensor(&input.x, &input.dims)?;
    let (h0, c0) = (state(&input.h0, c.out())?, state(&input.c0, c.hidden)?);
    let options = RunOptions {
        h0: h0.as_ref(),
        c0: c0.as_ref(),
        lengths: input.lengths.as_deref(),
        mask: input.mask.as_deref(),
        resets: input.resets.as_deref(),
        reset_to_h0: input.reset_to_h0,
        gates: true,
    };
    let run = layer.run(&x, options, &mut Mode::Eval)?;
    let c_n = match &run.c_n {
        Some(c_n) => read(c_n).await?,
        None => Vec::new(),
    };
    let mut out = HostOutput { output: read(&run.output).await?, h_n: read(&run.h_n).await?, c_n, gates: Vec::new() };
    for gates in &run.gates {
        let mut values = Vec::new();
        for (_, gate) in gates.iter() {
            values.push(read(gate).await?);
        }
        out.gates.push(values);
    }
    Ok(out)
}

/// Returns the largest error, and the first difference above `tolerance`. Parts that `want` lacks are not compared.
pub(super) fn difference(
    c: &RecurrentConfig,
    input: &HostInput,
    got: &HostOutput,
    want: &HostOutput,
    tolerance: f64,
) -> Result<(f64, Option<Difference>)> {
    let [steps, batch] = input.extents(c)?;
    let directions = c.directions();
    let mut found = Found { tolerance, largest: 0.0, first: None };
    for (layer, d) in (0..c.layers).flat_map(|layer| (0..directions).map(move |d| (layer, d))) {
        let reverse = c.reverse || d == 1;
        for (step, sequence) in (0..steps).flat_map(|s| (0..batch).map(move |row| (s, row))) {
            let t = if reverse { steps - 1 - step } else { step };
            let at = Place { layer, reverse, step: Some(t), sequence };
            let gates = c.cell.gate_names().iter().zip(&got.gates[layer]);
            for (g, (name, got)) in gates.enumerate().filter(|_| input.counts(c, t, sequence)) {
                let from = ((t * batch + sequence) * directions + d) * c.hidden;
                let want = want.gates.get(layer).and_then(|gates| gates.get(g)).map_or(&[][..], |v| v);
                found.check(&at, &format!("gate {name}"), [got, want], from, c.hidden);
            }
            if layer + 1 == c.layers {
                let from = (input.at(c, t, sequence) * directions + d) * c.out();
                found.check(&at, "output", [&got.output, &want.output], from, c.out());
            }
        }
        for sequence in 0..batch {
            let at = Place { layer, reverse, step: None, sequence };
            let row = (layer * directions + d) * batch + sequence;
            found.check(&at, "h_n", [&got.h_n, &want.h_n], row * c.out(), c.out());
            found.check(&at, "c_n", [&got.c_n, &want.c_n], row * c.hidden, c.hidden);
        }
    }
    Ok((found.largest, found.first))
}

struct Place {
    layer: usize,
    reverse: bool,
    step: Option<usize>,
    sequence: usize,
}

struct Found {
    tolerance: f64,
    largest: f64,
    first: Option<Difference>,
}

impl Found {
    /// Compares `units` values, starting at index `from`, if `want` has them. Values that `got` lacks count as NaN.
    fn check(&mut self, at: &Place, what: &str, [got, want]: [&[f64]; 2], from: usize, units: usize) {
        let Some(want) = want.get(from..from + units) else { return };
        for (unit, &want) in want.iter().enumerate() {
            let got = got.get(from + unit).copied().unwrap_or(f64::NAN);
            let error = match (got - want).abs() / want.abs().max(1.0) {
                _ if got == want || (got.is_nan() && want.is_nan()) => 0.0,
                error if error.is_nan() => f64::INFINITY,
                error => error,
            };
            self.largest = self.largest.max(error);
            if error > self.tolerance && self.first.is_none() {
                let Place { layer, reverse, step, sequence } = *at;
                self.first = Some(Difference { layer, reverse, step, sequence, what: what.into(), unit, got, want });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_infinities_agree_and_nan_does_not() {
        let largest = |got: &[f64], want: &[f64]| {
            let mut found = Found { tolerance: 1e-3, largest: 0.0, first: None };
            let at = Place { layer: 0, reverse: false, step: None, sequence: 0 };
            found.check(&at, "h_n", [got, want], 0, 2);
            assert_eq!(found.first.is_some(), found.largest > 1e-3);
            found.largest
        };
        let infinity = f64::INFINITY;
        assert_eq!(largest(&[infinity, f64::NAN], &[infinity, f64::NAN]), 0.0);
        assert_eq!(largest(&[infinity, 1.0], &[-infinity, 1.0]), infinity);
        assert_eq!(largest(&[infinity, 1.0], &[2.0, 1.0]), infinity);
        assert_eq!(largest(&[1.0], &[1.0, 1.0]), infinity);
        assert_eq!(largest(&[1.0, 1.0], &[]), 0.0);
    }
}
