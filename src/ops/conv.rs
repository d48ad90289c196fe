//! Convolution over time, as matrix products with unfolded windows.

use super::elementwise;
use super::linalg::product;
use super::movement::permute;
use super::reduce::{SumOptions, sum_into};
use crate::error::{Error, Result};
use crate::kernels::{BinaryOp, Fold, MatMul, Unfold};
use crate::tensor::Tensor;

/// Stride, padding, dilation and groups of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
    pub groups: usize,
}

impl Window {
    /// Number of windows of `taps` steps over a sequence of `steps`; `None` if not even one fits.
    pub fn outputs(&self, steps: usize, taps: usize) -> Option<usize> {
        let reach = taps.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)?;
        let padded = self.padding.checked_mul(2)?.checked_add(steps)?;
        Some(padded.checked_sub(reach)?.checked_div(self.stride)? + 1)
    }
}

/// Checked extents of a convolution.
pub struct Conv {
    p: Unfold,
    output: usize,
}

impl Conv {
    pub fn of(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, window: Window) -> Result<Self> {
        for (arg, tensor) in [("x", Some(x)), ("weight", Some(weight)), ("bias", bias)] {
            if let Some(tensor) = tensor {
                tensor.check_dtype("conv1d", arg, "f32")?;
                x.device().check_same("conv1d", arg, tensor)?;
            }
        }
        let [output, width, taps] = weight.dims()[..] else {
            return Err(Error::shape("conv1d", "weight", "[out, in / groups, kernel]", weight.dims()));
        };
        let Window { stride, padding, dilation, groups } = window;
        for (arg, value) in [("stride", stride), ("dilation", dilation), ("groups", groups)] {
            if value == 0 {
                return Err(Error::value("conv1d", arg, "at least 1", 0));
            }
        }
        if !output.is_multiple_of(groups) {
            return Err(Error::value("conv1d", "groups", format!("a divisor of {output} channels"), groups));
        }
        let channels = width.saturating_mul(groups);
        let (steps, batch) = match x.dims() {
            [steps, batch, c] if *c == channels => (*steps, *batch),
            dims => return Err(Error::shape("conv1d", "x", format!("[steps, batch, {channels}]"), dims)),
        };
        if bias.is_some_and(|bias| bias.dims() != [output]) {
            return Err(Error::shape("conv1d", "bias", format!("[{output}]"), bias.map_or(&[][..], Tensor::dims)));
        }
        let Some(outputs) = window.outputs(steps, taps) else {
            let expected = format!("steps for a window of {taps} taps {dilation} apart, with padding {padding}");
            return Err(Error::shape("conv1d", "x", expected, x.dims()));
        };
        let words = |n: usize| {
            u32::try_from(n).map_err(|_| Error::value("conv1d", "stride, padding or dilation", "below 2^32", n))
        };
        let p = Unfold {
            steps: words(steps)?,
            outputs: words(outputs)?,
            batch: words(batch)?,
            channels: words(channels)?,
            groups: words(groups)?,
            taps: words(taps)?,
            stride: words(stride)?,
            padding: words(padding)?,
            dilation: words(dilation)?,
        };
        p.check_extents("conv1d")?;
        Ok(Self { p, output })
    }

    /// `[groups, rows, width, depth]`: the rows of the output and of the windows, and the columns of each within a
    /// group.
    fn extents(&self) -> [usize; 4] {
        let groups = self.p.groups as usize;
        let rows = self.p.outputs as usize * self.p.batch as usize;
        [groups, rows, self.output / groups, self.p.width() * self.p.taps as usize]
    }

    fn windows(&self, x: &Tensor) -> Result<Tensor> {
        let [groups, rows, _, depth] = self.extents();
        let windows = Tensor::empty("conv1d", x.device(), &[groups, rows, depth])?;
        x.device().run(&self.p, [x], [&windows])?;
        Ok(windows)
    }

    /// `y[o, b, :] = weight·window[o, b] + bias`, `[outputs, batch, out]`
    pub fn forward(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let [groups, rows, width, depth] = self.extents();
        let windows = self.windows(x)?;
        let y = Tensor::empty("conv1d", x.device(), &[groups, rows, width])?;
        let p =
            items(MatMul::new(rows, width, depth).b_transposed(), groups, [rows * depth, width * depth, rows * width]);
        product(&p, &windows, weight, bias.filter(|_| groups == 1), &y)?;
        let dims = [self.p.outputs as usize, self.p.batch as usize, self.output];
        if groups == 1 {
            return y.view("conv1d", &dims);
        }
        let y = permute(&y, &[1, 0, 2])?.view("conv1d", &dims)?;
        match bias {
            Some(bias) => elementwise::binary(BinaryOp::Add, &y, bias),
            None => Ok(y),
        }
    }

    /// Returns the gradients of `x` (if `wanted`), of `weight` and of the bias.
    pub fn backward(&self, x: &Tensor, weight: &Tensor, dy: &Tensor, wanted: bool) -> Result<[Option<Tensor>; 3]> {
        let [groups, rows, width, depth] = self.extents();
        let empty = |dims: &[usize]| Tensor::empty("conv1d_backward", x.device(), dims);
        let (dw, db) = (empty(weight.dims())?, empty(&[self.output])?);
        sum_into(dy, [1, rows, self.output], SumOptions::default(), &db, 0)?;
        let dy = match groups {
            1 => dy.detach(),
            _ => permute(&dy.view("conv1d_backward", &[rows, groups, width])?, &[1, 0, 2])?,
        };
        let windows = self.windows(x)?;
        let [of_dy, of_windows, of_weight] = [rows * width, rows * depth, width * depth];
        let p = items(MatMul::new(width, depth, rows).a_transposed(), groups, [of_dy, of_windows, of_weight]);
        product(&p, &dy, &windows, None, &dw)?;
        if !wanted {
            return Ok([None, Some(dw), Some(db)]);
        }
        // The windows are no longer needed, so their buffer is reused for the gradient.
        let dwindows = windows;
        let p = items(MatMul::new(rows, depth, width), groups, [of_dy, of_weight, of_windows]);
        product(&p, &dy, weight, None, &dwindows)?;
        let dx = empty(x.dims())?;
        x.device().run(&Fold(self.p), [&dwindows], [&dx])?;
        Ok([Some(dx), Some(dw), Some(db)])
    }
}

/// Extends `p` to one product per group, with these strides between the groups of `a`, `b` and `c`.
fn items(p: MatMul, groups: usize, [a, b, c]: [usize; 3]) -> MatMul {
    let [batch, a_batch, b_batch, c_batch] = [groups, a, b, c].map(|n| n as u32);
    MatMul { batch, a_batch, b_batch, c_batch, ..p }
}
