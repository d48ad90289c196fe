//! Freezes parameters.

use super::Module;

/// Freezes or unfreezes all parameters of a module, as `Module.requires_grad_` of PyTorch. Frozen parameters have no
/// gradient, and an [`Optimizer`](crate::train::Optimizer) that holds them does not change them. Clones of the module
/// are frozen too.
///
/// ```
/// use wgru::nn::{Linear, Module, Sequential, set_requires_grad};
/// use wgru::{Device, Rng, train::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(1));
/// let (body, head) = (Linear::new(&device, 2, 4, true, &mut rng)?, Linear::new(&device, 4, 1, true, &mut rng)?);
/// let before = body.weight().read_blocking()?;
/// let model = Sequential::new().push("body", body.clone()).push("head", head);
/// // Fine-tunes only the head.
/// set_requires_grad(&body, false);
/// let data = HostData::new(&device, vec![0.5; 64], &[2])?.with_targets(vec![1.0; 32], &[1])?;
/// let mut trainer = Trainer::new(Optimizer::adam(model.parameters(), 0.1)?, TrainOptions::default(), rng);
/// let history = trainer.fit_blocking(&model, &data, None, loss::mse)?;
/// assert!(history.loss[9] < history.loss[0]);
/// assert_eq!(body.weight().read_blocking()?, before);
/// # Ok::<(), wgru::Error>(())
/// ```
pub fn set_requires_grad(module: &dyn Module, requires_grad: bool) {
    module.parameters().iter().for_each(|(_, parameter)| parameter.set_requires_grad(requires_grad));
}
