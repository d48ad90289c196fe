//! Convolution over time.

use super::pad::{pad_axis, pad_cost};
use super::{Args, Builder, Function, Op, Operator};
use crate::error::{Error, Result};
use crate::io::onnx::ints::extent;
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::kernels::Copy;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] =
    &[Operator { name: "Conv", since: 1, inputs: 2..=3, outputs: 1, build: conv, folds: false }];

/// Fixed work per group, because a group may have few elements.
const GROUP: u64 = 1 << 15;

/// A convolution over one axis.
struct Conv {
    group: usize,
    stride: usize,
    dilation: usize,
    pads: [i64; 2],
    /// `SAME_UPPER` or `SAME_LOWER`: whether the larger half of the padding is at the end.
    same: Option<bool>,
    kernel: Option<usize>,
}

fn conv(b: &mut Builder) -> Result<Op> {
    let auto = b.text("auto_pad")?;
    let same = match auto.as_deref() {
        None | Some("NOTSET" | "VALID") => None,
        Some("SAME_UPPER") => Some(true),
        Some("SAME_LOWER") => Some(false),
        Some(other) => return Err(b.refuse(format!("auto_pad {other:?}"))),
    };
    let pads = b.ints("pads")?.unwrap_or_else(|| vec![0, 0]);
    let &[start, end] = &pads[..] else { return Err(b.refuse("a convolution over more than one axis")) };
    if start < 0 || end < 0 || (auto.as_deref().is_some_and(|a| a != "NOTSET") && [start, end] != [0, 0]) {
        return Err(b.refuse(format!("pads {pads:?} with auto_pad {}", auto.as_deref().unwrap_or("NOTSET"))));
    }
    let mut one = |name| -> Result<Option<usize>> {
        match b.ints(name)?.as_deref() {
            None => Ok(None),
            Some(&[v]) if (1..1 << 31).contains(&v) => Ok(Some(v as usize)),
            Some(other) => Err(b.refuse(format!("{name} {other:?}; only convolutions over one axis are supported"))),
        }
    };
    let (stride, dilation, kernel) =
        (one("strides")?.unwrap_or(1), one("dilations")?.unwrap_or(1), one("kernel_shape")?);
    let group = b.int("group")?.unwrap_or(1);
    let group = usize::try_from(group).ok().filter(|&g| g > 0).ok_or_else(|| b.refuse(format!("group {group}")))?;
    Ok(Op::Function(Box::new(Conv { group, stride, dilation, pads: [start, end], same, kernel })))
}

/// Extents of one run.
struct Sizes {
    batch: usize,
    channels: usize,
    /// Channels of a group.
    depth: usize,
    maps: usize,
    kernel: usize,
    pads: [i64; 2],
    padded: usize,
    /// Steps of the output.
    steps: usize,
}

impl Function for Conv {
    fn cost(&self, args: &Args) -> Result<Cost> {
        let (x, w) = (args.tensor(0)?, args.tensor(1)?);
        let s = self.sizes(x, w)?;
        let mut dims = x.dims().to_vec();
        let padded = pad_cost(&mut dims, 2, s.pads)?;
        // The windows of one group at a time, and the output three times: in parts, concatenated, and transposed.
        let windows = Cost::floats(extent(&[s.batch, s.steps, s.depth, s.kernel])?);
        let output = Cost::floats(extent(&[s.batch, s.steps, s.maps])?);
        let work = windows.times(self.group).work.saturating_add(GROUP.saturating_mul(self.group as u64));
        let product = Cost::product([1, s.batch * s.steps, s.maps, s.depth * s.kernel]);
        Ok(padded + Cost { work, ..windows } + output.times(3) + Cost::floats(w.len()) + product)
    }

    fn run(&self, args: &Args) -> Result<Vec<Value>> {
        Ok(vec![self.convolve(args.tensor(0)?, args.tensor(1)?, args.optional(2)?)?.into()])
    }
}

impl Conv {
    fn sizes(&self, x: &Tensor, w: &Tensor) -> Result<Sizes> {
        let wrong = || Error::shape("onnx", "W", format!("[M, C/{}, K] for X {:?}", self.group, x.dims()), w.dims());
        let (&[batch, channels, len], &[maps, depth, kernel]) = (x.dims(), w.dims()) else { return Err(wrong()) };
        let fits = depth.checked_mul(self.group) == Some(channels) && maps % self.group == 0;
        if !fits || self.kernel.is_some_and(|k| k != kernel) {
            return Err(wrong());
        }
        let reach = (kernel - 1).checked_mul(self.dilation).and_then(|r| r.checked_add(1)).ok_or_else(wrong)?;
        let pads = match self.same {
            None => self.pads,
            Some(upper) => {
                let total = ((len - 1) / self.stride * self.stride).saturating_add(reach).saturating_sub(len) as i64;
                if upper { [total / 2, total - total / 2] } else { [total - total / 2, total / 2] }
            }
        };
        let mut dims = x.dims().to_vec();
        pad_cost(&mut dims, 2, pads)?;
        let padded = dims[2];
        if padded < reach {
            return Err(Error::shape("onnx", "X", format!("at least {reach} steps with padding"), &dims));
        }
        let steps = (padded - reach) / self.stride + 1;
        Ok(Sizes { batch, channels, depth, maps, kernel, pads, padded, steps })
    }

    /// Computes `[N, M, L']` from `x` `[N, C, L]` and `w` `[M, C/group, K]`: copies windows to rows, then computes one
    /// product per group.
    fn convolve(&self, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let Sizes { batch, channels, depth, maps, kernel, pads, padded, steps } = self.sizes(x, w)?;
        let x = pad_axis(x, 2, pads, 0.0)?;
        let mut parts = Vec::with_capacity(self.group);
        for g in 0..self.group {
            let columns = Tensor::empty("onnx", x.device(), &[batch, steps, depth, kernel])?;
            let [all, step, row, tap] = [channels * padded, self.stride, padded, self.dilation].map(|n| n as u32);
            let copy = Copy {
                dims: [batch, steps, depth, kernel].map(|n| n as u32),
                src_strides: [all, step, row, tap],
                dst_strides: [steps * depth * kernel, depth * kernel, kernel, 1].map(|n| n as u32),
                src_offset: (g * depth * padded) as u32,
                dst_offset: 0,
            };
            x.device().run(&copy, [&x], [&columns])?;
            let columns = columns.reshape(&[batch, steps, depth * kernel])?;
            let own = maps / self.group;
            let part = |t: &Tensor| if self.group == 1 { Ok(t.clone()) } else { t.slice(0, g * own..(g + 1) * own) };
            let bias = bias.map(part).transpose()?;
            parts.push(columns.linear(&part(w)?.reshape(&[own, depth * kernel])?, bias.as_ref())?);
        }
        let y = if self.group == 1 { parts.remove(0) } else { Tensor::concat(&parts.iter().collect::<Vec<_>>(), 2)? };
        y.permute(&[0, 2, 1])
    }
}
