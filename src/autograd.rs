//! The tape: the operations of [`ops`](crate::ops) as methods of [`Tensor`] that remember what backward needs.
//!
//! A result is tracked when an operand is. Nothing is recorded otherwise, so inference records no tape.

mod arithmetic;
mod conv;
mod functions;
mod masked;
mod min_gru;
mod movement;
mod normalize;
mod operators;
mod product;
mod recurrent;
mod reduce;
mod split;

pub(crate) use min_gru::min_gru;
pub(crate) use recurrent::{Kept, RecurrentRun, recurrent};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kernels::BinaryOp;
use crate::ops::elementwise;
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
    // Without the feature no tape is ever made, and the linker drops what only backward needs.
    if cfg!(not(feature = "train")) || !inputs.iter().any(|t| t.is_tracked()) {
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

/// Nodes that `root` depends on, each after all that depend on it.
fn order(root: &Arc<Node>) -> Vec<Arc<Node>> {
    let mut seen = HashSet::new();
    let mut done: Vec<Arc<Node>> = Vec::new();
    let mut stack = vec![(root.clone(), 0)];
    seen.insert(Arc::as_ptr(root));
    while let Some((node, next)) = stack.pop() {
        match node.inputs.get(next) {
            None => done.push(node),
            Some(input) => {
                let child = match &input.tape {
                    Tape::Node(child, _) if seen.insert(Arc::as_ptr(child)) => Some(child.clone()),
                    _ => None,
                };
                stack.push((node, next + 1));
                stack.extend(child.map(|c| (c, 0)));
            }
        }
    }
    done.reverse();
    done
}

fn add_into(slot: &mut Option<Tensor>, grad: Tensor) -> Result<()> {
    *slot = Some(match slot.take() {
        None => grad,
        Some(sum) => elementwise::binary(BinaryOp::Add, &sum, &grad)?,
    });
    Ok(())
}

impl Tensor {
    /// Back-propagates from this scalar: adds `∂self/∂leaf` to the [`grad`](Tensor::grad) of every leaf that it depends
    /// on.
    ///
    /// # Errors
    /// [`Error::Shape`] unless it has one element, [`Error::Value`] when no leaf is behind it,
    /// [`Error::ModifiedInPlace`] when a saved tensor was overwritten since.
    pub fn backward(&self) -> Result<()> {
        if self.len() != 1 {
            return Err(Error::shape("backward", "self", "one element", self.dims()));
        }
        self.backward_with(&Tensor::full(self.device(), 1.0, self.dims())?)
    }

    /// Back-propagates from this tensor with `grad` as the gradient of it.
    ///
    /// # Errors
    /// As [`Tensor::backward`]; [`Error::Shape`] when `grad` has another shape.
    pub fn backward_with(&self, grad: &Tensor) -> Result<()> {
        if grad.dims() != self.dims() {
            return Err(Error::shape("backward", "grad", format!("{:?}", self.dims()), grad.dims()));
        }
        let (root, output) = match &self.tape {
            Tape::Off => {
                let expected = "a result of parameters in Mode::Train(&mut rng), or of a tensor with requires_grad()";
                let got = match cfg!(feature = "train") {
                    true => "a tensor without a gradient graph: its forward pass ran in Mode::Eval, or it was detached",
                    false => "a tensor without a gradient graph: wgru was built without the feature `train`",
                };
                return Err(Error::value("backward", "self", expected, got));
            }
            Tape::Leaf(_) => return self.accumulate(grad.detach()),
            Tape::Node(node, output) => (node, *output),
        };
        // Gradients of each node's outputs that are known so far.
        let mut grads: HashMap<*const Node, Vec<Option<Tensor>>> = HashMap::new();
        grads.entry(Arc::as_ptr(root)).or_insert_with(|| vec![None; root.outputs])[output] = Some(grad.detach());
        for node in order(root) {
            let Some(dys) = grads.remove(&Arc::as_ptr(&node)) else { continue };
            if node.saved.iter().any(|(t, version)| t.version() != *version) {
                return Err(Error::ModifiedInPlace { op: node.op });
            }
            let dxs = match &node.backward {
                Backward::Function(backward) => backward(&dys)?,
                Backward::Recurrent(run) => recurrent::backward(&**run, &dys)?,
            };
            for (input, dx) in node.inputs.iter().zip(dxs) {
                match (&input.tape, dx) {
                    (Tape::Leaf(_), Some(dx)) => input.accumulate(dx)?,
                    (Tape::Node(child, output), Some(dx)) => {
                        let slots = grads.entry(Arc::as_ptr(child)).or_insert_with(|| vec![None; child.outputs]);
                        add_into(&mut slots[*output], dx)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn accumulate(&self, grad: Tensor) -> Result<()> {
        let mut slot = self.grad();
        add_into(&mut slot, grad)?;
        self.set_grad(slot);
        Ok(())
    }
}
