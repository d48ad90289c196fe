//! Discrete Fourier transforms, as products with a matrix of sines and cosines.

use std::sync::Mutex;

use super::windows::{self, Axis, Sizes};
use super::{Args, Builder, Function, Op, Operator, axis_of, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::extent;
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::ops::movement;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] =
    &[Operator::new("DFT", 1..=3, dft).since(17), Operator::new("STFT", 2..=4, stft).since(17).omits()];

/// Matrix of a transform: from `[n, parts]` to `[bins, 2]`, with 1 part of real input and 2 of complex input.
#[derive(Clone, Copy, PartialEq)]
struct Basis {
    n: usize,
    parts: usize,
    bins: usize,
    inverse: bool,
}

impl Basis {
    fn new(n: usize, parts: usize, onesided: bool, inverse: bool) -> Result<Self> {
        match (parts, n) {
            (1 | 2, 1..) => Ok(Self { n, parts, bins: if onesided { n / 2 + 1 } else { n }, inverse }),
            _ => Err(Error::value("onnx", "input", "[.., 1] or [.., 2], with at least one element", parts)),
        }
    }

    /// Cost of the matrix and of transforming `rows`.
    fn cost(&self, rows: usize) -> Result<Cost> {
        let (inputs, outputs) = (extent(&[self.n, self.parts])?, extent(&[self.bins, 2])?);
        let matrix = Cost::floats(extent(&[inputs, outputs])?).times(4);
        Ok(matrix + Cost::floats(extent(&[rows, outputs])?).times(2) + Cost::product([1, rows, inputs, outputs]))
    }

    fn matrix(&self) -> Vec<f32> {
        let Self { n, parts, bins, inverse } = *self;
        let unit = std::f64::consts::TAU / n as f64 * if inverse { 1.0 } else { -1.0 };
        let share = if inverse { 1.0 / n as f64 } else { 1.0 };
        let mut out = vec![0.0; n * parts * bins * 2];
        for i in 0..n {
            for bin in 0..bins {
                // The product is reduced first, so that the angle is exact.
                let angle = unit * ((i as u64 * bin as u64) % n as u64) as f64;
                let (cos, sin) = ((angle.cos() * share) as f32, (angle.sin() * share) as f32);
                for part in 0..parts {
                    let [re, im] = if part == 0 { [cos, sin] } else { [-sin, cos] };
                    let at = ((i * parts + part) * bins + bin) * 2;
                    out[at..at + 2].copy_from_slice(&[re, im]);
                }
            }
        }
        out
    }
}

/// The last matrix, on the device.
#[derive(Default)]
struct Cache(Mutex<Option<(Basis, Tensor)>>);

impl Cache {
    /// Transforms `[rows, n·parts]` to `[rows, bins·2]`.
    fn transform(&self, rows: &Tensor, basis: Basis) -> Result<Tensor> {
        let mut last = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let matrix = match &*last {
            Some((of, matrix)) if *of == basis && !matrix.is_void() => matrix.clone(),
            _ => {
                let dims = [basis.n * basis.parts, basis.bins * 2];
                let matrix = Tensor::from_slice(rows.device(), &basis.matrix(), &dims)?;
                *last = Some((basis, matrix.clone()));
                matrix
            }
        };
        rows.matmul(&matrix)
    }
}

/// Reads one integer.
fn number(args: &Args, i: usize) -> Result<Option<i64>> {
    match host::optional(args, i)? {
        None => Ok(None),
        Some(&[v]) => Ok(Some(v)),
        Some(other) => Err(Error::value("onnx", "input", "one number", format!("{} of them", other.len()))),
    }
}

struct Dft {
    /// Axis, unless it is an input.
    axis: Option<i64>,
    onesided: bool,
    inverse: bool,
    cache: Cache,
}

fn dft(b: &mut Builder) -> Result<Op> {
    let (onesided, inverse) = (b.flag("onesided", false)?, b.flag("inverse", false)?);
    if onesided && inverse {
        return Err(b.refuse("an inverse transform with onesided 1"));
    }
    let axis = if b.opset < 20 { Some(b.int("axis")?.unwrap_or(1)) } else { None };
    Ok(Op::Function(Box::new(Dft { axis, onesided, inverse, cache: Cache::default() })))
}

impl Dft {
    fn basis(&self, args: &Args) -> Result<(Basis, usize)> {
        let x = args.tensor(0)?;
        let axis = match self.axis {
            Some(axis) => axis,
            None => number(args, 2)?.unwrap_or(-2),
        };
        let rank = x.dims().len();
        let axis = axis_of(axis, rank)?;
        if axis + 1 == rank {
            return Err(Error::value("onnx", "axis", "an axis before the last", axis));
        }
        let n = match number(args, 1)? {
            Some(n) => host::extents(&[n])?[0],
            None => x.dims()[axis],
        };
        Ok((Basis::new(n, x.dims()[rank - 1], self.onesided, self.inverse)?, axis))
    }
}

impl Function for Dft {
    fn cost(&self, args: &Args) -> Result<Cost> {
        let (basis, axis) = self.basis(args)?;
        let x = args.tensor(0)?;
        let rows = x.len() / x.dims()[axis] / basis.parts;
        Ok(basis.cost(rows)? + Cost::floats(extent(&[rows, basis.n, basis.parts])?).times(3))
    }

    fn run(&self, args: &Args) -> Result<Vec<Value>> {
        let (basis, axis) = self.basis(args)?;
        let x = args.tensor(0)?;
        let (rank, len) = (x.dims().len(), x.dims()[axis]);
        let change = basis.n as i64 - len as i64;
        let x = super::pad::pad_axis(x, axis, [0, change], 0.0)?;
        // The axis moves to the end, before the parts.
        let mut axes: Vec<usize> = (0..rank - 1).filter(|&a| a != axis).collect();
        axes.extend([axis, rank - 1]);
        let moved = movement::permute(&x, &axes)?;
        let inputs = basis.n * basis.parts;
        let y = self.cache.transform(&moved.reshape(&[x.len() / inputs, inputs])?, basis)?;
        let y = y.reshape(&[&moved.dims()[..rank - 2], &[basis.bins, 2]].concat())?;
        Ok(vec![movement::permute(&y, &movement::inverse(&axes))?.into()])
    }
}

/// Transforms of overlapping frames of a real signal.
struct Stft {
    onesided: bool,
    cache: Cache,
}

fn stft(b: &mut Builder) -> Result<Op> {
    Ok(Op::Function(Box::new(Stft { onesided: b.flag("onesided", true)?, cache: Cache::default() })))
}

impl Stft {
    /// Returns the transform, the frames, and their sizes, for the signal as `[B, 1, L]`.
    fn sizes(&self, args: &Args) -> Result<(Basis, [Axis; 1], Sizes)> {
        let x = args.tensor(0)?;
        let (&[batch, len] | &[batch, len, 1]) = x.dims() else {
            return Err(Error::shape("onnx", "signal", "[B, L, 1]", x.dims()));
        };
        let step = number(args, 1)?.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        let step = step.ok_or_else(|| Error::value("onnx", "frame_step", "a number above 0", "none"))?;
        let length = match (number(args, 3)?, args.optional(2)?) {
            (Some(n), _) => host::extents(&[n])?[0],
            (None, Some(window)) => window.len(),
            (None, None) => return Err(Error::value("onnx", "frame_length", "a length or a window", "neither")),
        };
        let basis = Basis::new(length, 1, self.onesided, false)?;
        let axes = [Axis { kernel: length, stride: step, dilation: 1, pads: [0, 0] }];
        let sizes = Sizes::of(&[batch, 1, len], &axes, false)?;
        Ok((basis, axes, sizes))
    }
}

impl Function for Stft {
    fn cost(&self, args: &Args) -> Result<Cost> {
        let (basis, axes, sizes) = self.sizes(args)?;
        let x = args.tensor(0)?.dims();
        let rows = extent(&[x[0], sizes.count()?])?;
        Ok(sizes.cost(&[x[0], 1, x[1]], &axes)?.times(4) + basis.cost(rows)?)
    }

    fn run(&self, args: &Args) -> Result<Vec<Value>> {
        let (basis, axes, sizes) = self.sizes(args)?;
        let x = args.tensor(0)?;
        let (batch, frames) = (x.dims()[0], sizes.count()?);
        let signal = x.reshape(&[batch, 1, x.dims()[1]])?;
        let columns = windows::windows(&signal, &axes, &sizes)?.reshape(&[batch, basis.n, frames])?;
        let mut rows = columns.permute(&[0, 2, 1])?.reshape(&[batch * frames, basis.n])?;
        if let Some(window) = args.optional(2)? {
            // A shorter window is in the middle of the frame.
            let missing = basis.n.checked_sub(window.len());
            let missing = missing.ok_or_else(|| Error::shape("onnx", "window", "at most the frame", window.dims()))?;
            let before = missing as i64 / 2;
            let window = window.reshape(&[window.len()])?;
            rows = rows.mul(&super::pad::pad_axis(&window, 0, [before, missing as i64 - before], 0.0)?)?;
        }
        let y = self.cache.transform(&rows, basis)?;
        Ok(vec![y.reshape(&[batch, frames, basis.bins, 2])?.into()])
    }
}
