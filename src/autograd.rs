//! The tape: the operations of [`ops`](crate::ops) as methods of [`Tensor`] that remember what backward needs.
//!
//! A result is tracked when an operand is. Nothing is recorded otherwise, so inference records no tape.

#[cfg(feature = "autograd")]
mod backward;
mod conv;
mod min_gru;
mod normalize;
mod recurrent;
mod split;

pub(crate) use min_gru::min_gru;
pub(crate) use recurrent::{Kept, RecurrentRun, recurrent};

use std::ops::Range;
use std::sync::Arc;

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::kernels::{BinaryOp, UnaryOp};
use crate::ops::{elementwise, index, linalg, movement, reduce, softmax};
use crate::tensor::{Backward, Gradients, Node, Tape, Tensor};

/// Puts `outputs` on the tape if any of `inputs` is on it. `saved` names what `backward` reads.
pub(crate) fn record<const N: usize>(
    op: &'static str,
    inputs: &[&Tensor],
    saved: &[&Tensor],
    outputs: [Tensor; N],
    backward: impl FnOnce() -> Gradients,
) -> [Tensor; N] {
    record_as(op, inputs, saved, outputs, || Backward::Function(backward()))
}

fn record_as<const N: usize>(
    op: &'static str,
    inputs: &[&Tensor],
    saved: &[&Tensor],
    outputs: [Tensor; N],
    backward: impl FnOnce() -> Backward,
) -> [Tensor; N] {
    // Without the feature no tape is ever made, and the linker drops everything that only backward needs.
    if cfg!(not(feature = "autograd")) || !inputs.iter().any(|t| t.is_tracked()) {
        return outputs;
    }
    let node = Arc::new(Node {
        op,
        inputs: inputs.iter().map(|&t| t.clone()).collect(),
        saved: saved.iter().map(|t| (t.detach(), t.version())).collect(),
        outputs: N,
        backward: backward(),
    });
    let mut index = 0;
    outputs.map(|t| {
        let tape = Tape::Node(node.clone(), index);
        index += 1;
        t.with_tape(tape)
    })
}

/// [`record`] for one input and one output, whose gradient is a function of `dy`.
fn record_unary(
    op: &'static str,
    x: &Tensor,
    saved: &[&Tensor],
    y: Tensor,
    dx: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Tensor {
    let [y] = record(op, &[x], saved, [y], || Box::new(move |dys| Ok(vec![dys[0].as_ref().map(&dx).transpose()?])));
    y
}

impl Tensor {
    fn unary(&self, name: &'static str, op: UnaryOp, alpha: f32) -> Result<Tensor> {
        let y = elementwise::unary(op, alpha, self)?;
        let (x, kept) = (self.detach(), y.clone());
        let read = match op {
            UnaryOp::Scale | UnaryOp::AddScalar => None,
            UnaryOp::Sigmoid | UnaryOp::Tanh | UnaryOp::Sqrt | UnaryOp::Exp => Some(y.clone()),
            _ => Some(self.detach()),
        };
        let saved: Vec<&Tensor> = read.iter().collect();
        Ok(record_unary(name, self, &saved, y, move |dy| elementwise::unary_backward(op, alpha, &x, &kept, dy)))
    }

    fn binary(&self, name: &'static str, op: BinaryOp, rhs: &Tensor) -> Result<Tensor> {
        let y = elementwise::binary(op, self, rhs)?;
        let (a, b) = (self.detach(), rhs.detach());
        let read: &[&Tensor] = match op {
            BinaryOp::Add | BinaryOp::Sub => &[],
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mask => &[self, rhs],
        };
        let [y] = record(name, &[self, rhs], read, [y], || {
            Box::new(move |dys| match &dys[0] {
                Some(dy) => Ok(elementwise::binary_backward(op, &a, &b, dy)?.map(Some).to_vec()),
                None => Ok(vec![None, None]),
            })
        });
        Ok(y)
    }

    /// `self + rhs`, broadcast as NumPy does; so are the other three.
    ///
    /// # Errors
    /// [`Error::Shape`] for shapes that do not broadcast, [`Error::DType`], [`Error::DeviceMix`].
    pub fn add(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("add", BinaryOp::Add, rhs)
    }

    /// `self − rhs`
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn sub(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("sub", BinaryOp::Sub, rhs)
    }

    /// `self · rhs`, element by element
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn mul(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("mul", BinaryOp::Mul, rhs)
    }

    /// `self / rhs`
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn div(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("div", BinaryOp::Div, rhs)
    }

    /// `self · factors`, but exactly 0 where a factor is 0: NaN and infinities of `self` do not get through a mask, nor
    /// does their gradient. The factors are constants: no gradient reaches them.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn mask(&self, factors: &Tensor) -> Result<Tensor> {
        let y = elementwise::binary(BinaryOp::Mask, self, factors)?;
        let (shape, kept) = (*self.shape(), factors.detach());
        let dx = move |dy: &Tensor| elementwise::mask_backward(&shape, &kept, dy);
        Ok(record_unary("mask", self, &[factors], y, dx))
    }

    /// `alpha · self`
    ///
    /// # Errors
    /// [`Error::DType`] for indices; so do the other functions of one tensor.
    pub fn scale(&self, alpha: f32) -> Result<Tensor> {
        self.unary("scale", UnaryOp::Scale, alpha)
    }

    /// `self + alpha`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn add_scalar(&self, alpha: f32) -> Result<Tensor> {
        self.unary("add_scalar", UnaryOp::AddScalar, alpha)
    }

    /// `max(self, 0)`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn relu(&self) -> Result<Tensor> {
        self.unary("relu", UnaryOp::Relu, 0.0)
    }

    /// `1 / (1 + e^(−self))`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn sigmoid(&self) -> Result<Tensor> {
        self.unary("sigmoid", UnaryOp::Sigmoid, 0.0)
    }

    /// `tanh(self)`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn tanh(&self) -> Result<Tensor> {
        self.unary("tanh", UnaryOp::Tanh, 0.0)
    }

    /// `self²`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn square(&self) -> Result<Tensor> {
        self.unary("square", UnaryOp::Square, 0.0)
    }

    /// `√self`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn sqrt(&self) -> Result<Tensor> {
        self.unary("sqrt", UnaryOp::Sqrt, 0.0)
    }

    /// `|self|`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn abs(&self) -> Result<Tensor> {
        self.unary("abs", UnaryOp::Abs, 0.0)
    }

    /// `min(self, limit)`; NaN stays NaN
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn clamp_max(&self, limit: f32) -> Result<Tensor> {
        self.unary("clamp_max", UnaryOp::Min, limit)
    }

    /// `e^self`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn exp(&self) -> Result<Tensor> {
        self.unary("exp", UnaryOp::Exp, 0.0)
    }

    /// `log self`, to base e
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn log(&self) -> Result<Tensor> {
        self.unary("log", UnaryOp::Log, 0.0)
    }

    /// `self`, below 0 `alpha·(e^self − 1)`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn elu(&self, alpha: f32) -> Result<Tensor> {
        self.unary("elu", UnaryOp::Elu, alpha)
    }

    /// `log(1 + e^self)`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn softplus(&self) -> Result<Tensor> {
        self.unary("softplus", UnaryOp::Softplus, 0.0)
    }

    /// `self / (1 + |self|)`
    ///
    /// # Errors
    /// As [`Tensor::scale`].
    pub fn softsign(&self) -> Result<Tensor> {
        self.unary("softsign", UnaryOp::Softsign, 0.0)
    }

    /// `Σ self`, a scalar
    ///
    /// # Errors
    /// [`Error::DType`] for indices.
    pub fn sum(&self) -> Result<Tensor> {
        self.scaled_sum("sum", 1.0)
    }

    /// `Σ self / n`, a scalar
    ///
    /// # Errors
    /// [`Error::DType`] for indices.
    pub fn mean(&self) -> Result<Tensor> {
        self.scaled_sum("mean", 1.0 / self.len() as f32)
    }

    fn scaled_sum(&self, name: &'static str, scale: f32) -> Result<Tensor> {
        let options = reduce::SumOptions { scale, ..Default::default() };
        let y = reduce::sum_all(self, options)?;
        let dims = self.dims().to_vec();
        Ok(record_unary(name, self, &[], y, move |dy| {
            movement::expand(&elementwise::unary(UnaryOp::Scale, scale, dy)?, &dims)
        }))
    }

    /// `Σ self` over one axis, which stays with extent 1.
    ///
    /// # Errors
    /// [`Error::Value`] when there is no such axis.
    pub fn sum_axis(&self, axis: usize) -> Result<Tensor> {
        let y = reduce::sum_axis(self, axis, 1.0)?;
        let dims = self.dims().to_vec();
        Ok(record_unary("sum_axis", self, &[], y, move |dy| movement::expand(dy, &dims)))
    }

    /// The matrix product over the last two axes: `[.., m, k]·[k, n]` or `[batch, m, k]·[batch, k, n]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the inner extents differ.
    pub fn matmul(&self, rhs: &Tensor) -> Result<Tensor> {
        let y = linalg::matmul(self, rhs)?;
        let (a, b) = (self.detach(), rhs.detach());
        let [y] = record("matmul", &[self, rhs], &[self, rhs], [y], || {
            Box::new(move |dys| match &dys[0] {
                Some(dy) => Ok(linalg::matmul_backward(&a, &b, dy)?.map(Some).to_vec()),
                None => Ok(vec![None, None]),
            })
        });
        Ok(y)
    }

    /// `self·Wᵀ + b` with `W` `[out, in]`, as `torch.nn.functional.linear`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the last axis is not `in`.
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let y = linalg::linear(self, weight, bias)?;
        let (x, w) = (self.detach(), weight.detach());
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        let count = inputs.len();
        let wanted = [self.is_tracked(), weight.is_tracked(), bias.is_some_and(Tensor::is_tracked)];
        let [y] = record("linear", &inputs, &[self, weight], [y], || {
            Box::new(move |dys| match &dys[0] {
                Some(dy) => Ok(linalg::linear_backward(&x, &w, dy, wanted)?.into_iter().take(count).collect()),
                None => Ok(vec![None; count]),
            })
        });
        Ok(y)
    }

    /// The same elements under another shape; no copy.
    ///
    /// # Errors
    /// [`Error::Shape`] when the number of elements differs.
    pub fn reshape(&self, dims: &[usize]) -> Result<Tensor> {
        let y = self.view("reshape", dims)?;
        let from = self.dims().to_vec();
        Ok(record_unary("reshape", self, &[], y, move |dy| dy.view("reshape", &from)))
    }

    /// The axes in another order: axis `i` of the result is axis `axes[i]` of `self`.
    ///
    /// # Errors
    /// [`Error::Value`] unless `axes` is a permutation.
    pub fn permute(&self, axes: &[usize]) -> Result<Tensor> {
        let y = movement::permute(self, axes)?;
        let back = movement::inverse(axes);
        Ok(record_unary("permute", self, &[], y, move |dy| movement::permute(dy, &back)))
    }

    /// The part `range` of one axis.
    ///
    /// # Errors
    /// [`Error::Value`] when the axis or the range is not there, or the range is empty.
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<Tensor> {
        let y = movement::slice(self, axis, range.clone())?;
        let dims = self.dims().to_vec();
        Ok(record_unary("slice", self, &[], y, move |dy| {
            let dx = Tensor::zeros(dy.device(), &dims)?;
            movement::write_slice(dy, &dx, axis, range.start)?;
            Ok(dx)
        }))
    }

    /// Tensors one after the other along an axis.
    ///
    /// # Errors
    /// [`Error::Shape`] when another extent differs, [`Error::Value`] without parts or axis.
    pub fn concat(parts: &[&Tensor], axis: usize) -> Result<Tensor> {
        let y = movement::concat(parts, axis)?;
        let extents: Vec<usize> = parts.iter().map(|t| t.dims()[axis]).collect();
        let [y] = record("concat", parts, &[], [y], || {
            Box::new(move |dys| {
                let mut start = 0;
                extents
                    .iter()
                    .map(|&n| {
                        start += n;
                        dys[0].as_ref().map(|dy| movement::slice(dy, axis, start - n..start)).transpose()
                    })
                    .collect()
            })
        });
        Ok(y)
    }

    /// Rows of this table by index: `[rows, width]` and `[..]` give `[.., width]`.
    ///
    /// # Errors
    /// [`Error::Value`] when an index is past the table, [`Error::DType`] unless `index` holds indices.
    pub fn gather(&self, index: &Tensor) -> Result<Tensor> {
        let y = index::gather(self, index)?;
        let (dims, kept) = (self.dims().to_vec(), index.clone());
        Ok(record_unary("gather", self, &[index], y, move |dy| index::gather_backward(&dims, &kept, dy)))
    }

    /// Softmax over the last axis.
    ///
    /// # Errors
    /// [`Error::Shape`] for a scalar.
    pub fn softmax(&self) -> Result<Tensor> {
        self.softmax_or_log("softmax", false)
    }

    /// Logarithm of the softmax over the last axis.
    ///
    /// # Errors
    /// As [`Tensor::softmax`].
    pub fn log_softmax(&self) -> Result<Tensor> {
        self.softmax_or_log("log_softmax", true)
    }

    fn softmax_or_log(&self, name: &'static str, log: bool) -> Result<Tensor> {
        let y = softmax::softmax(self, log)?;
        let (kept, read) = (y.clone(), y.clone());
        Ok(record_unary(name, self, &[&read], y, move |dy| softmax::softmax_backward(&kept, dy, log)))
    }

    /// Zeroes a share `p` of the elements and scales the others by `1 / (1 − p)`, by the mask of `key`.
    pub(crate) fn dropout(&self, p: f32, key: [u32; 2]) -> Result<Tensor> {
        let y = elementwise::dropout(self, p, key)?;
        Ok(record_unary("dropout", self, &[], y, move |dy| elementwise::dropout(dy, p, key)))
    }
}
