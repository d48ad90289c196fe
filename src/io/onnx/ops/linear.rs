//! Matrix products and the convolution over time

use super::index::pad_axis;
use super::{Builder, Op, Operator, function, host};
use crate::error::{Error, Result};
use crate::kernels::Copy;
use crate::ops::movement;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator { name: "MatMul", since: 1, inputs: 2..=2, outputs: 1, build: matmul, fold: None },
    Operator { name: "Gemm", since: 7, inputs: 2..=3, outputs: 1, build: gemm, fold: None },
    Operator { name: "Conv", since: 1, inputs: 2..=3, outputs: 1, build: conv, fold: None },
];

fn matmul(_: &mut Builder) -> Result<Op> {
    function(|args| Ok(vec![product(args.tensor(0)?, args.tensor(1)?)?.into()]))
}

/// The product by NumPy's rule: a vector counts as one row or one column, axes before the last two broadcast.
fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match (a.dims(), b.dims()) {
        ([], _) | (_, []) => Err(Error::shape("onnx", "inputs", "at least one axis", &[])),
        (&[k], _) => {
            let y = product(&a.reshape(&[1, k])?, b)?;
            let mut dims = y.dims().to_vec();
            dims.remove(dims.len() - 1 - (b.dims().len() > 1) as usize);
            y.reshape(&dims)
        }
        (_, &[k]) => {
            let y = product(a, &b.reshape(&[k, 1])?)?;
            y.reshape(&y.dims()[..y.dims().len() - 1])
        }
        (_, [_, _]) => a.matmul(b),
        ([a_batch @ .., m, k], [b_batch @ .., kb, n]) => {
            let batch = host::broadcast(a_batch, b_batch)?;
            let whole = |x: &Tensor, rows: usize, cols: usize| {
                let dims = [&batch[..], &[rows, cols]].concat();
                let x = if x.dims() == dims { x.clone() } else { movement::expand(x, &dims)? };
                x.reshape(&[host::count(&batch)?, rows, cols])
            };
            whole(a, *m, *k)?.matmul(&whole(b, *kb, *n)?)?.reshape(&[&batch[..], &[*m, *n]].concat())
        }
    }
}

/// `α·A'·B' + β·C`
fn gemm(b: &mut Builder) -> Result<Op> {
    let (alpha, beta) = (b.float("alpha")?.unwrap_or(1.0), b.float("beta")?.unwrap_or(1.0));
    let (trans_a, trans_b) = (b.flag("transA", false)?, b.flag("transB", false)?);
    function(move |args| {
        let (a, w) = (args.tensor(0)?, args.tensor(1)?);
        for x in [a, w] {
            if x.dims().len() != 2 {
                return Err(Error::shape("onnx", "inputs", "two axes", x.dims()));
            }
        }
        let a = if trans_a { a.permute(&[1, 0])? } else { a.clone() };
        let c = args.get(2).map(|c| c.as_tensor()).transpose()?;
        if let (true, Some(bias), 1.0, 1.0) = (trans_b, c, alpha, beta)
            && bias.dims() == [w.dims()[0]]
        {
            return Ok(vec![a.linear(w, Some(bias))?.into()]);
        }
        let mut y = if trans_b { a.linear(w, None)? } else { a.matmul(w)? };
        if alpha != 1.0 {
            y = y.scale(alpha)?;
        }
        // With β = 0 there is no C, as in BLAS: not even a NaN of it counts.
        if let Some(c) = c.filter(|_| beta != 0.0) {
            let c = if beta == 1.0 { c.clone() } else { c.scale(beta)? };
            let dims = y.dims().to_vec();
            y = y.add(&c)?;
            if y.dims() != dims {
                return Err(Error::shape("onnx", "C", format!("broadcastable to {dims:?}"), c.dims()));
            }
        }
        Ok(vec![y.into()])
    })
}

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
        return Err(b.refuse(format!("pads {pads:?} with auto_pad {auto:?}")));
    }
    let mut one = |name| -> Result<Option<usize>> {
        match b.ints(name)?.as_deref() {
            None => Ok(None),
            Some(&[v]) if (1..1 << 31).contains(&v) => Ok(Some(v as usize)),
            Some(other) => Err(b.refuse(format!("{name} {other:?}; a convolution has one axis here"))),
        }
    };
    let (stride, dilation, kernel) =
        (one("strides")?.unwrap_or(1), one("dilations")?.unwrap_or(1), one("kernel_shape")?);
    let group = b.int("group")?.unwrap_or(1);
    let group = usize::try_from(group).ok().filter(|&g| g > 0).ok_or_else(|| b.refuse(format!("group {group}")))?;
    let conv = Conv { group, stride, dilation, pads: [start, end], same, kernel };
    function(move |args| {
        let bias = args.get(2).map(|b| b.as_tensor()).transpose()?;
        Ok(vec![conv.run(args.tensor(0)?, args.tensor(1)?, bias)?.into()])
    })
}

impl Conv {
    /// `x` `[N, C, L]` and `w` `[M, C/group, K]` give `[N, M, L']`: windows as rows, then one product a group.
    fn run(&self, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
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
                let total = ((len.div_ceil(self.stride) - 1) * self.stride + reach).saturating_sub(len) as i64;
                if upper { [total / 2, total - total / 2] } else { [total - total / 2, total / 2] }
            }
        };
        let x = pad_axis(x, 2, pads, 0.0)?;
        let padded = x.dims()[2];
        if padded < reach {
            return Err(Error::shape("onnx", "X", format!("at least {reach} steps with padding"), x.dims()));
        }
        let steps = (padded - reach) / self.stride + 1;
        let mut parts = Vec::with_capacity(self.group);
        for g in 0..self.group {
            let columns = Tensor::empty("onnx", x.device(), &[batch, steps, depth, kernel])?;
            let [all, step, row, tap] = [channels * padded, self.stride, padded, self.dilation].map(|n| n as u32);
            let copy = Copy {
                dims: columns.shape().dims4(),
                src_strides: [all, step, row, tap],
                dst_strides: columns.shape().strides4(),
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
