//! Padding: with a constant, by the edge, by reflection, or around.

use super::compare::chosen;
use super::index::select_rows;
use super::{Args, Builder, Function, Op, Operator, axes_of, axis_of, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{Ints, extent, shown};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::ops::movement;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[Operator::new("Pad", 1..=4, pad).folds()];

/// Where the padding comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Constant,
    Edge,
    Reflect,
    Wrap,
}

/// Pads are an attribute before operator set 11, and an input since.
fn pad(b: &mut Builder) -> Result<Op> {
    let mode = match b.text("mode")?.as_deref() {
        None | Some("constant") => Mode::Constant,
        Some("edge") => Mode::Edge,
        Some("reflect") => Mode::Reflect,
        Some("wrap") => Mode::Wrap,
        Some(mode) => return Err(b.refuse(format!("mode {mode:?}"))),
    };
    let (mut pads, mut value, mut integer) = (None, 0.0, 0);
    if b.opset < 11 {
        pads = b.ints("pads")?.or(b.ints("paddings")?);
        if pads.is_none() {
            return Err(b.refuse("no pads"));
        }
        value = b.float("value")?.unwrap_or(0.0);
    } else if let Some(Value::Ints(fill)) = b.constant(2)
        && let &[fill] = fill.values()
    {
        integer = fill;
        b.absorbed.push(2);
    } else if mode == Mode::Constant && b.constant(2).is_some() {
        value = b.number(2, "constant_value")?.map_or(0.0, |number| number.value);
    }
    Ok(Op::Function(Box::new(Pad { mode, pads, value, integer })))
}

struct Pad {
    mode: Mode,
    /// The attribute; `None` if pads are an input.
    pads: Option<Vec<i64>>,
    value: f32,
    /// Value of integers.
    integer: i64,
}

impl Function for Pad {
    fn cost(&self, args: &Args) -> Result<Cost> {
        let x = args.value(0)?;
        let (mut dims, mut cost) = (x.dims().to_vec(), Cost::default());
        for (axis, pads) in self.axes(args)? {
            cost = cost + pad_cost(&mut dims, axis, pads)?;
            if self.mode != Mode::Constant || args.get(2).is_some() {
                cost = cost + Cost::floats(extent(&dims)?).times(5);
            }
        }
        Ok(if let Value::Ints(_) = x { cost.times(8) } else { cost })
    }

    fn run(&self, args: &Args) -> Result<Vec<Value>> {
        let mut y = args.value(0)?.clone();
        for (axis, pads) in self.axes(args)? {
            y = match &y {
                Value::Tensor(x) if self.mode == Mode::Constant => match args.optional(2)? {
                    None => pad_axis(x, axis, pads, self.value)?.into(),
                    Some(value) => {
                        let ones = pad_axis(&Tensor::full(x.device(), 1.0, x.dims())?, axis, pads, 0.0)?;
                        chosen(&ones, &pad_axis(x, axis, pads, 0.0)?, &value.reshape(&[])?)?.into()
                    }
                },
                Value::Tensor(x) => match pads == [0, 0] {
                    true => y,
                    false => select_rows(x, axis, self.places(x.dims()[axis], pads)?.into_iter().flatten())?.into(),
                },
                Value::Ints(x) => self.pad_ints(x, axis, pads)?.into(),
                Value::Whole(_) => {
                    return Err(Error::value("onnx", "data", "a value on the host", "one on the device"));
                }
            };
        }
        Ok(vec![y])
    }
}

impl Pad {
    /// Returns the positions that the elements of a padded axis come from; `None` for the constant.
    fn places(&self, len: usize, [start, end]: [i64; 2]) -> Result<Vec<Option<usize>>> {
        let Padded { kept, before, after } = Padded::of(len, [start, end])?;
        let n = kept.len() as i64;
        if self.mode == Mode::Reflect && before.max(after) >= kept.len() {
            let got = format!("{start}, {end}");
            return Err(Error::value("onnx", "pads", format!("below {n}, the elements to reflect"), got));
        }
        let place = |i: i64| {
            let at = match self.mode {
                Mode::Constant if !(0..n).contains(&i) => return None,
                Mode::Constant => i,
                Mode::Edge => i.clamp(0, n - 1),
                Mode::Reflect if i < 0 => -i,
                Mode::Reflect if i >= n => 2 * (n - 1) - i,
                Mode::Reflect => i,
                Mode::Wrap => i.rem_euclid(n),
            };
            Some(kept.start + at as usize)
        };
        Ok((-(before as i64)..n + after as i64).map(place).collect())
    }

    fn pad_ints(&self, x: &Ints, axis: usize, pads: [i64; 2]) -> Result<Ints> {
        let places = self.places(x.dims()[axis], pads)?;
        let mut dims = x.dims().to_vec();
        let len = std::mem::replace(&mut dims[axis], places.len());
        let inner: usize = dims[axis + 1..].iter().product();
        let outer: usize = dims[..axis].iter().product();
        let mut values = Vec::with_capacity(outer * places.len() * inner);
        for row in 0..outer {
            for place in &places {
                match place {
                    Some(at) => values.extend(&x.values()[(row * len + at) * inner..][..inner]),
                    None => values.extend(std::iter::repeat_n(self.integer, inner)),
                }
            }
        }
        Ok(Ints::new(dims, values)?.of_kind(x.kind()))
    }

    /// Returns the padded axes, each with its start and end.
    fn axes(&self, args: &Args) -> Result<Vec<(usize, [i64; 2])>> {
        let rank = args.value(0)?.dims().len();
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
