//! Compiles the shaders of a model before its first call.

use super::Module;
use crate::error::Result;
use crate::tensor::Tensor;

/// Compiles the shaders that `module` needs for inputs shaped like `x`, and packs its weights.
///
/// On a GPU, this saves a few hundred milliseconds in the first call, and computes nothing else. Call it from a
/// background thread; other threads can use the device meanwhile. On the CPU, it runs one forward pass.
///
/// ```
/// use std::sync::Arc;
/// use wgru::{Device, Rng, Tensor, nn::{RecurrentConfig, prepare}};
/// let device = Device::cpu();
/// let gru = Arc::new(RecurrentConfig { input: 4, hidden: 8, ..Default::default() }.build(&device, &mut Rng::new(0))?);
/// let background = std::thread::spawn({
///     let (gru, device) = (gru.clone(), device.clone());
///     move || prepare(&*gru, &Tensor::zeros(&device, &[64, 1, 4])?)
/// });
/// background.join().expect("no panic")?;
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// Errors from [`Module::forward`].
pub fn prepare(module: &dyn Module, x: &Tensor) -> Result<()> {
    // The results are dropped, so dead-code elimination removes the recorded work.
    module.forward(x).map(drop)
}
