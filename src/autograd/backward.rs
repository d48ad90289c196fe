//! Backpropagation.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::recurrent::{Kept, RecurrentRun};
use crate::error::{Error, Result};
use crate::kernels::BinaryOp;
use crate::ops::elementwise;
use crate::tensor::{Backward, Node, Tape, Tensor};

/// Returns the nodes that `root` depends on, each after all nodes that depend on it.
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

/// Computes the gradients of the inputs of `run`, a [`RecurrentRun`].
fn backward_of_recurrent(run: &(dyn Any + Send + Sync), dys: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    let RecurrentRun { layer, reads, weights, kept } = run.downcast_ref().expect("recorded by `recurrent`");
    let device = reads.x.device();
    let or_zeros = |i: usize, dims: &[usize]| match &dys[i] {
        Some(dy) => Ok(dy.clone()),
        None => Tensor::zeros(device, dims),
    };
    let dy = or_zeros(0, &[layer.steps, layer.batch, layer.directions * layer.out])?;
    let d_last = or_zeros(1, &[layer.directions, layer.batch, layer.width()])?;
    let grads = match kept {
        Kept::Gates(run) => layer.backward(reads, weights, run, &dy, &d_last)?,
        Kept::States(states) => layer.backward_checkpointed(reads, weights, states, &dy, &d_last)?,
    };
    Ok([grads.dx, grads.d_first].into_iter().chain(grads.weights.into_iter().flatten()).map(Some).collect())
}

impl Tensor {
    /// Backpropagates from this scalar: adds `∂self/∂leaf` to the [`grad`](Tensor::grad) of every leaf that it depends
    /// on.
    ///
    /// # Errors
    /// [`Error::Shape`] unless it has one element, [`Error::Value`] if it does not depend on a leaf,
    /// [`Error::ModifiedInPlace`] if a saved tensor was overwritten since the forward pass.
    pub fn backward(&self) -> Result<()> {
        if self.len() != 1 {
            return Err(Error::shape("backward", "self", "one element", self.dims()));
        }
        self.backward_with(&Tensor::full(self.device(), 1.0, self.dims())?)
    }

    /// Backpropagates from this tensor, whose gradient is `grad`.
    ///
    /// # Errors
    /// Same as [`Tensor::backward`]; [`Error::Shape`] if `grad` has the wrong shape.
    pub fn backward_with(&self, grad: &Tensor) -> Result<()> {
        if grad.dims() != self.dims() {
            return Err(Error::shape("backward", "grad", format!("{:?}", self.dims()), grad.dims()));
        }
        let (root, output) = match &self.tape {
            _ if !self.is_tracked() => {
                let expected = "a result of parameters in Mode::Train(&mut rng), or of a tensor with requires_grad()";
                let got = "a tensor without a gradient graph: its forward pass ran in Mode::Eval, it was detached, or \
                           all parameters are frozen";
                return Err(Error::value("backward", "self", expected, got));
            }
            Tape::Node(node, output) => (node, *output),
            Tape::Off | Tape::Leaf(_) => return self.accumulate(grad.detach()),
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
                Backward::Recurrent(run) => backward_of_recurrent(&**run, &dys)?,
            };
            for (input, dx) in node.inputs.iter().zip(dxs) {
                match (&input.tape, dx) {
                    (Tape::Leaf(_), Some(dx)) if input.is_tracked() => input.accumulate(dx)?,
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
