//! In-place updates of parameters.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::{Adam, ClipFactor, Sgd, TrainingStatus};
use crate::tensor::Tensor;

fn check(op: &'static str, w: &Tensor, grad: &Tensor) -> Result<()> {
    if grad.dims() == w.dims() {
        return Ok(());
    }
    Err(Error::shape(op, "grad", format!("{:?}", w.dims()), grad.dims()))
}

/// One step of SGD on `w`, with its velocity `v`.
pub fn sgd(p: &Sgd, grad: &Tensor, w: &Tensor, v: &Tensor, status: &Tensor) -> Result<()> {
    check("sgd", w, grad)?;
    w.device().run(p, [grad], [w, v, status])
}

/// One step of Adam or AdamW on `w`, with its moments `m` and `v`.
pub fn adam(p: &Adam, grad: &Tensor, w: &Tensor, [m, v]: [&Tensor; 2], status: &Tensor) -> Result<()> {
    check("adam", w, grad)?;
    w.device().run(p, [grad], [w, m, v, status])
}

/// Returns the factor that clips gradients of this norm; both are scalars.
pub fn clip_factor(norm: &Tensor, max_norm: f32) -> Result<Tensor> {
    let factor = Tensor::empty("clip_grad_norm", norm.device(), &[])?;
    norm.device().run(&ClipFactor { max_norm }, [norm], [&factor])?;
    Ok(factor)
}

/// Creates a training status for this number of parameters, with a total of 0 and no flag set.
pub fn training_status(device: &Device, parameters: usize) -> Result<Tensor> {
    let most = TrainingStatus::MOST_PARAMETERS;
    if parameters > most {
        return Err(Error::value("Trainer", "parameters", format!("at most {most}"), parameters));
    }
    Tensor::zeros(device, &[TrainingStatus::FLAGS as usize + parameters])
}

/// Adds `share·loss` to the total of a training status.
pub fn add_loss(status: &Tensor, loss: &Tensor, share: f32) -> Result<()> {
    let parameters = status.len() as u32 - TrainingStatus::FLAGS;
    status.device().run(&TrainingStatus { share, parameters }, [loss], [status])
}
