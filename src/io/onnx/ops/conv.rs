//! Convolutions and transposed convolutions.

use super::linear::product;
use super::windows::{self, Axis, Sizes, Spec, far, halves};
use super::{Args, Builder, Function, Op, Operator};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{extent, shown};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::ops::strided;
use crate::shape::MAX_RANK;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator::new("Conv", 2..=3, |b| Ok(Op::Function(Box::new(Conv::of(b)?)))),
    Operator::new("ConvTranspose", 2..=3, transposed),
];

/// Fixed work per group, because a group may have few elements.
const GROUP: u64 = 1 << 15;

/// A convolution over one to three axes.
pub struct Conv {
    spec: Spec,
    group: usize,
}

fn group(b: &mut Builder) -> Result<usize> {
    let group = b.int("group")?.unwrap_or(1);
    usize::try_from(group).ok().filter(|&g| g > 0).ok_or_else(|| b.refuse(format!("group {group}")))
}

impl Conv {
    pub fn of(b: &mut Builder) -> Result<Self> {
        let spec = Spec::of(b)?;
        Ok(Self { group: group(b)?, spec })
    }

    fn sizes(&self, x: &[usize], w: &[usize]) -> Result<(Vec<Axis>, Sizes)> {
        let wrong = || Error::shape("onnx", "W", format!("[M, C/{}, K..] for X {x:?}", self.group), w);
        let (&[_, channels, ref extents @ ..], &[maps, depth, ref kernel @ ..]) = (x, w) else { return Err(wrong()) };
        let fits = depth.checked_mul(self.group) == Some(channels) && maps % self.group == 0;
        if !fits || extents.len() != kernel.len() || self.spec.kernel.as_ref().is_some_and(|k| k != kernel) {
            return Err(wrong());
        }
        let axes = self.spec.resolve(extents, kernel)?;
        let sizes = Sizes::of(x, &axes, false)?;
        Ok((axes, sizes))
    }

    /// Returns the cost for `x` `[B, C, ..]` and `w` `[M, C/group, K..]`.
    pub fn cost_of(&self, x: &[usize], w: &[usize]) -> Result<Cost> {
        let (axes, sizes) = self.sizes(x, w)?;
        let (count, taps) = (sizes.count()?, extent(&w[1..])?);
        let output = Cost::floats(extent(&[x[0], w[0], count])?);
        // The windows, repeated weights of a batch, and the output with its bias.
        let weights = Cost::floats(extent(&[x[0], w[0], taps])?);
        let each = Cost { bytes: 0, work: GROUP }.times(self.group);
        let products = Cost::product([x[0] * self.group, w[0] / self.group, taps, count]);
        Ok(sizes.cost(x, &axes)?.times(2) + output.times(3) + weights.times(2) + products + each)
    }

    /// Computes `[B, M, ..]` from `x` `[B, C, ..]` and `w` `[M, C/group, K..]`: copies the windows to columns, then
    /// computes one product for each group.
    pub fn apply(&self, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let (axes, sizes) = self.sizes(x.dims(), w.dims())?;
        let padded = windows::pad(x, &axes, &sizes, 0.0)?;
        convolved(&padded, w, bias, &axes, &sizes, self.group)
    }
}

/// Convolves an input that is padded already.
fn convolved(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    axes: &[Axis],
    sizes: &Sizes,
    group: usize,
) -> Result<Tensor> {
    let (batch, maps, taps) = (x.dims()[0], w.dims()[0], w.len() / w.dims()[0]);
    let (own, count) = (maps / group, sizes.count()?);
    let columns = windows::windows(x, axes, sizes)?;
    let y = match (batch, group) {
        (1, 1) => w.reshape(&[maps, taps])?.matmul(&columns.reshape(&[taps, count])?)?,
        (1, _) => w.reshape(&[group, own, taps])?.matmul(&columns.reshape(&[group, taps, count])?)?,
        _ => {
            let w = w.reshape(&[1, group, own, taps])?;
            product(&w, &columns.reshape(&[batch, group, taps, count])?)?
        }
    };
    let mut y = y.reshape(&[batch, maps, count])?;
    if let Some(bias) = bias {
        y = y.add(&bias.reshape(&[maps, 1])?)?;
    }
    y.reshape(&[&[batch, maps], &sizes.windows[..]].concat())
}

fn check_bias(bias: Option<&Tensor>, maps: usize) -> Result<Option<&Tensor>> {
    match bias {
        Some(bias) if bias.dims() != [maps] => Err(Error::shape("onnx", "B", format!("[{maps}]"), bias.dims())),
        bias => Ok(bias),
    }
}

impl Function for Conv {
    fn cost(&self, args: &Args) -> Result<Cost> {
        self.cost_of(args.tensor(0)?.dims(), args.tensor(1)?.dims())
    }

    fn run(&self, args: &Args) -> Result<Vec<Value>> {
        let (x, w) = (args.tensor(0)?, args.tensor(1)?);
        let bias = check_bias(args.optional(2)?, w.dims().first().copied().unwrap_or(0))?;
        Ok(vec![self.apply(x, w, bias)?.into()])
    }
}

/// A transposed convolution: a convolution of the input with zeros between its elements, by the kernel in reverse
/// order.
struct Transposed {
    spec: Spec,
    group: usize,
    output_padding: Vec<usize>,
    output_shape: Option<Vec<usize>>,
    /// Constant weights, already in the layout of a convolution.
    weights: Option<Tensor>,
}

fn transposed(b: &mut Builder) -> Result<Op> {
    let (spec, group) = (Spec::of(b)?, group(b)?);
    let mut list = |name| -> Result<Option<Vec<usize>>> {
        let Some(list) = b.ints(name)? else { return Ok(None) };
        let small: Option<Vec<usize>> = list.iter().map(|&v| u32::try_from(v).ok().map(|v| v as usize)).collect();
        small.map(Some).ok_or_else(|| b.refuse(format!("{name} {}", shown(&list))))
    };
    let output_padding = list("output_padding")?.unwrap_or_default();
    let output_shape = list("output_shape")?;
    let mut out = Transposed { spec, group, output_padding, output_shape, weights: None };
    if let Some(Value::Tensor(w)) = b.constant(1) {
        b.charge(Cost::floats(w.len()).times(4))?;
        out.weights = Some(turned(w, group)?.to_device_now(b.device)?);
        b.absorbed.push(1);
    }
    Ok(Op::Function(Box::new(out)))
}

/// Converts weights `[C, M/group, K..]` of a transposed convolution to those of a convolution, `[M, C/group, K..]`.
fn turned(w: &Tensor, group: usize) -> Result<Tensor> {
    let &[channels, own, ref kernel @ ..] = w.dims() else {
        return Err(Error::shape("onnx", "W", "[C, M, K..]", w.dims()));
    };
    if channels % group != 0 || kernel.len() > 3 {
        return Err(Error::shape("onnx", "W", format!("[C, M/{group}, K..], with C a multiple of {group}"), w.dims()));
    }
    let taps: usize = kernel.iter().product();
    let w = windows::flipped(w)?.reshape(&[group, channels / group, own, taps])?.permute(&[0, 2, 1, 3])?;
    w.reshape(&[&[group * own, channels / group], kernel].concat())
}

/// Extents of a transposed convolution.
struct Grown {
    /// Convolution over the grown input, with stride 1.
    axes: Vec<Axis>,
    sizes: Sizes,
    strides: Vec<usize>,
    /// Elements of the input that are cut off at the start, in the grown input.
    start: Vec<i64>,
}

impl Transposed {
    fn sizes(&self, x: &[usize], maps_and_kernel: &[usize]) -> Result<Grown> {
        let (Some(extents), Some(kernel)) = (x.get(2..), maps_and_kernel.get(2..)) else { return Err(far(x)) };
        let rank = extents.len();
        if self.spec.kernel.as_ref().is_some_and(|k| k != kernel) {
            return Err(Error::shape("onnx", "W", "the extents of kernel_shape", maps_and_kernel));
        }
        let given = self.spec.axes(rank, kernel)?;
        let (mut axes, mut strides, mut start) = (Vec::new(), Vec::new(), Vec::new());
        let mut sizes = Sizes { padded: Vec::new(), windows: Vec::new() };
        let list = |list: &[usize], a: usize| if list.len() == rank { list[a] } else { 0 };
        let fits = |list: &[usize]| list.is_empty() || list.len() == rank;
        if !fits(&self.output_padding) || self.output_shape.as_ref().is_some_and(|shape| shape.len() != rank) {
            return Err(far(x));
        }
        for (a, axis) in given.into_iter().enumerate() {
            let reach = axis.reach().ok_or_else(|| far(x))? as i64;
            let between = extents[a].checked_sub(1).and_then(|n| n.checked_mul(axis.stride)).ok_or_else(|| far(x))?;
            let (between, extra) = (between as i64, list(&self.output_padding, a) as i64);
            let pads = match (&self.output_shape, self.spec.same) {
                (Some(shape), same) => {
                    let total = between + extra + reach - shape[a] as i64;
                    halves(total, same.unwrap_or(false))
                }
                (None, Some(upper)) => halves(between + extra + reach - (extents[a] * axis.stride) as i64, upper),
                (None, None) => axis.pads,
            };
            // A stated extent may exceed the result, which then ends with zeros.
            let stated = self.output_shape.as_ref().map(|shape| shape[a] as i64);
            let windows = stated.unwrap_or(between + extra + reach - pads[0] - pads[1]);
            let windows = usize::try_from(windows).ok().filter(|&n| n > 0).ok_or_else(|| far(x))?;
            strides.push(axis.stride);
            start.push(reach - 1 - pads[0]);
            sizes.windows.push(windows);
            sizes.padded.push(windows + reach as usize - 1);
            axes.push(Axis { stride: 1, pads: [0, 0], ..axis });
        }
        Ok(Grown { axes, sizes, strides, start })
    }

    /// Extents of the weights in the layout of a convolution.
    fn weight_dims(&self, args: &Args) -> Result<Vec<usize>> {
        if let Some(w) = &self.weights {
            return Ok(w.dims().to_vec());
        }
        let w = args.tensor(1)?.dims();
        match w {
            [channels, own, kernel @ ..] if channels % self.group == 0 => {
                Ok([&[own.saturating_mul(self.group), channels / self.group], kernel].concat())
            }
            _ => Err(Error::shape("onnx", "W", format!("[C, M/{}, K..]", self.group), w)),
        }
    }
}

/// Writes `x` `[B, C, ..]` with zeros between its elements, cut and padded as the windows need.
fn spread(x: &Tensor, grown: &Grown) -> Result<Tensor> {
    let dims = [&x.dims()[..2], &grown.sizes.padded].concat();
    let out = Tensor::zeros(x.device(), &dims)?;
    let lead = MAX_RANK - dims.len();
    let (mut from, mut to) = (x.shape().strides(), out.shape().strides());
    let (mut extents, mut offsets) = (x.shape().padded(), [0usize; 2]);
    for (a, (&stride, &start)) in grown.strides.iter().zip(&grown.start).enumerate() {
        let (i, len) = (lead + 2 + a, x.dims()[2 + a]);
        // The elements whose place is within the grown input.
        let first = (-start).max(0) as usize;
        let first = first.div_ceil(stride);
        let room = (grown.sizes.padded[a] as i64 - 1 - start).max(-1);
        let end = if room < 0 { 0 } else { (room as usize / stride + 1).min(len) };
        if first >= end {
            return Ok(out);
        }
        extents[i] = (end - first) as u32;
        offsets[0] += first * from[i] as usize;
        offsets[1] += (start + (first * stride) as i64) as usize * to[i] as usize;
        from[i] = if extents[i] == 1 { 0 } else { from[i] };
        to[i] = if extents[i] == 1 { 0 } else { to[i].saturating_mul(stride as u32) };
    }
    strided::copy((x, from, offsets[0]), (&out, to, offsets[1]), extents)?;
    Ok(out)
}

impl Function for Transposed {
    fn cost(&self, args: &Args) -> Result<Cost> {
        let (x, w) = (args.tensor(0)?.dims(), self.weight_dims(args)?);
        let Grown { axes, sizes, .. } = self.sizes(x, &w)?;
        let (count, taps) = (sizes.count()?, extent(&w[1..])?);
        let weights = Cost::floats(extent(&[x[0], w[0], taps])?);
        let output = Cost::floats(extent(&[x[0], w[0], count])?);
        let each = Cost { bytes: 0, work: GROUP }.times(self.group);
        let products = Cost::product([x[0] * self.group, w[0] / self.group, taps, count]);
        Ok(sizes.cost(x, &axes)?.times(2) + output.times(3) + weights.times(5) + products + each)
    }

    fn run(&self, args: &Args) -> Result<Vec<Value>> {
        let x = args.tensor(0)?;
        let own;
        let w = match &self.weights {
            Some(w) => w,
            None => {
                own = turned(args.tensor(1)?, self.group)?;
                &own
            }
        };
        let dims = w.dims();
        if x.dims().len() != dims.len() || dims[1].checked_mul(self.group) != Some(x.dims()[1]) {
            let expected = format!("[B, {}, ..] with {} axes", dims[1].saturating_mul(self.group), dims.len());
            return Err(Error::shape("onnx", "X", expected, x.dims()));
        }
        let grown = self.sizes(x.dims(), dims)?;
        let bias = check_bias(args.optional(2)?, dims[0])?;
        let spread = spread(x, &grown)?;
        Ok(vec![convolved(&spread, w, bias, &grown.axes, &grown.sizes, self.group)?.into()])
    }
}
