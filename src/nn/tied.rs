//! Tied weights: one parameter under several names.

use std::collections::HashMap;

use super::Module;
use crate::tensor::Tensor;
#[cfg(feature = "autograd")]
use crate::{error::Result, kernels::BinaryOp, ops::elementwise};

/// One parameter with all of its names.
pub(crate) struct Tied {
    /// All names, in the order of the model's parameters.
    pub names: Vec<String>,
    /// Leaves that share the storage, one per gradient slot. Never empty.
    leaves: Vec<Tensor>,
}

/// Groups parameters by storage, in the order of first appearance.
///
/// Clones of a parameter share storage and gradient. Leaves that `requires_grad` makes from one tensor share only the
/// storage; the gradient of the parameter is the sum of theirs.
pub(crate) fn by_storage(parameters: &[(String, Tensor)]) -> Vec<Tied> {
    let mut places = HashMap::new();
    let mut groups: Vec<Tied> = Vec::new();
    for (name, tensor) in parameters {
        let place = *places.entry(tensor.storage_id()).or_insert_with(|| {
            groups.push(Tied { names: Vec::new(), leaves: Vec::new() });
            groups.len() - 1
        });
        let group = &mut groups[place];
        if !group.names.contains(name) {
            group.names.push(name.clone());
        }
        if !group.leaves.iter().any(|leaf| leaf.shares_gradient(tensor)) {
            group.leaves.push(tensor.clone());
        }
    }
    groups
}

/// Returns the number of elements of all parameters of a model. Tied parameters count once.
///
/// ```
/// use wgru::{Device, Rng, nn::{Linear, parameter_count}};
/// let linear = Linear::new(&Device::cpu(), 3, 2, true, &mut Rng::new(0))?;
/// assert_eq!(parameter_count(&linear), 3 * 2 + 2);
/// # Ok::<(), wgru::Error>(())
/// ```
pub fn parameter_count(model: &dyn Module) -> usize {
    by_storage(&model.parameters()).iter().map(|parameter| parameter.tensor().len()).sum()
}

impl Tied {
    pub fn tensor(&self) -> &Tensor {
        &self.leaves[0]
    }
}

#[cfg(feature = "autograd")]
impl Tied {
    /// Returns the first name.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }

    /// Returns the gradient of the parameter, in the shape of [`tensor`](Self::tensor).
    pub fn grad(&self) -> Result<Option<Tensor>> {
        let mut sum: Option<Tensor> = None;
        for grad in self.leaves.iter().filter_map(Tensor::grad) {
            // A leaf may be another view of the storage.
            let grad = grad.view("gradient", self.tensor().dims())?;
            sum = Some(match sum {
                None => grad,
                Some(sum) => elementwise::binary(BinaryOp::Add, &sum, &grad)?,
            });
        }
        Ok(sum)
    }

    /// Applies `f` to the gradient of every leaf.
    pub fn map_grad(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
        for leaf in &self.leaves {
            if let Some(grad) = leaf.grad() {
                leaf.set_grad(Some(f(&grad)?));
            }
        }
        Ok(())
    }

    pub fn clear_grad(&self) {
        self.leaves.iter().for_each(|leaf| leaf.set_grad(None));
    }
}
