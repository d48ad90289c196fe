//! Padding with a constant.

use super::{Args, Builder, Function, Op, Operator, axes_of, axis_of, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{extent, shown};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::ops::movement;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] =
    &[Operator { name: "Pad", since: 2, inputs: 1..=4, outputs: 1, build: pad, folds: false }];

/// Constant padding of floats. Pads are an attribute before operator set 11, and an input since.
fn pad(b: &mut Builder) -> Result<Op> {
    match b.text("mode")?.as_deref() {
        None | Some("constant") => {}
        Some(mode) => return Err(b.refuse(format!("mode {mode:?}"))),
    }
    Ok(Op::Function(Box::new(if b.opset < 11 {
        let pads = b.ints("pads")?.ok_or_else(|| b.refuse("no pads"))?;
        Pad { pads: Some(pads), value: b.float("value")?.unwrap_or(0.0) }
    } else {
        Pad { pads: None, value: b.number(2, "constant_value")?.map_or(0.0, |number| number.value) }
    })))
}

struct Pad {
    /// The attribute; `None` if pads are an input.
    pads: Option<Vec<i64>>,
    value: f32,
}

impl Function for Pad {
    fn cost(&self, args: &Args) -> Result<Cost> {
        let (mut dims, mut cost) = (args.tensor(0)?.dims().to_vec(), Cost::default());
        for (axis, pads) in self.axes(args)? {
            cost = cost + pad_cost(&mut dims, axis, pads)?;
        }
        Ok(cost)
    }

    fn run(&self, args: &Args) -> Result<Vec<Value>> {
        let mut y = args.tensor(0)?.clone();
        for (axis, pads) in self.axes(args)? {
            y = pad_axis(&y, axis, pads, self.value)?;
        }
        Ok(vec![y.into()])
    }
}

impl Pad {
    /// Returns the padded axes, each with its start and end.
    fn axes(&self, args: &Args) -> Result<Vec<(usize, [i64; 2])>> {
        let rank = args.tensor(0)?.dims().len();
        let pads = match &self.pads {
            Some(pads) => pads,
            None => args.ints(1)?,
        };
        let axes = match host::optional(args, 3)? {
            Some(axes) => {
                axes_of(axes, rank)?;
                axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<Vec<_>>>()?
            }
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(Error::value("onnx", "pads", "a start and an end for each axis", shown(pads)));
        }
        Ok(axes.iter().enumerate().map(|(i, &axis)| (axis, [pads[i], pads[axes.len() + i]])).collect())
    }
}

/// The part of an axis that is kept, and the padding before and after it.
struct Padded {
    kept: std::ops::Range<usize>,
    before: usize,
    after: usize,
}

impl Padded {
    fn of(extent: usize, [start, end]: [i64; 2]) -> Result<Self> {
        let wrong = || {
            Error::value(
                "onnx",
                "pads",
                format!("pads that leave at least one of {extent} elements"),
                format!("{start}, {end}"),
            )
        };
        let cut = |pad: i64| usize::try_from(pad.min(0).unsigned_abs()).map_err(|_| wrong());
        let grow = |pad: i64| usize::try_from(pad.max(0)).map_err(|_| wrong());
        let kept = cut(start)?..extent.checked_sub(cut(end)?).ok_or_else(wrong)?;
        if kept.is_empty() {
            return Err(wrong());
        }
        let (before, after) = (grow(start)?, grow(end)?);
        let grown = kept.len().checked_add(before).and_then(|n| n.checked_add(after));
        grown.map(|_| Self { kept, before, after }).ok_or_else(wrong)
    }

    fn extent(&self) -> usize {
        self.before + self.kept.len() + self.after
    }
}

/// Returns the cost of [`pad_axis`], and sets `dims` to the shape of its result.
pub fn pad_cost(dims: &mut [usize], axis: usize, pads: [i64; 2]) -> Result<Cost> {
    let padded = Padded::of(dims[axis], pads)?;
    let before = extent(dims)?;
    dims[axis] = padded.extent();
    Ok(Cost::floats(before) + Cost::floats(extent(dims)?))
}

/// Extends an axis by `[start, end]`, or shortens it where they are negative.
pub fn pad_axis(x: &Tensor, axis: usize, pads: [i64; 2], value: f32) -> Result<Tensor> {
    let padded = Padded::of(x.dims()[axis], pads)?;
    let kept = if padded.kept.len() == x.dims()[axis] { x.clone() } else { x.slice(axis, padded.kept.clone())? };
    if padded.before == 0 && padded.after == 0 {
        return Ok(kept);
    }
    let mut dims = kept.dims().to_vec();
    dims[axis] = padded.extent();
    let out = Tensor::full(x.device(), value, &dims)?;
    movement::write_slice(&kept, &out, axis, padded.before)?;
    Ok(out)
}
