//! Layers, with PyTorch's parameter names.

/// Implements [`Module::forward_padded`] for a layer that computes each step from that step alone.
macro_rules! padded_by_step {
    () => {
        #[cfg(feature = "autograd")]
        fn forward_padded(
            &self,
            x: &$crate::Tensor,
            _: &[usize],
            mode: &mut $crate::nn::Mode,
        ) -> $crate::Result<$crate::nn::Padded> {
            self.forward_with(x, mode).map($crate::nn::Padded::Steps)
        }
    };
}

mod attention;
mod attention_pool;
mod cells;
mod conv1d;
mod dropout;
mod embedding;
#[cfg(feature = "autograd")]
mod freeze;
mod kind;
mod layer_norm;
mod layer_norm_gru;
mod linear;
mod min_gru;
mod oracle;
#[cfg(feature = "autograd")]
mod padded;
mod parts;
mod prepare;
mod recurrent;
mod sequential;
mod tied;

pub use attention::{Attention, AttentionConfig, AttentionMemory, AttentionOutput, KeyMask, Score};
pub use attention_pool::{AttentionPool, PoolOutput};
pub use cells::{GruCell, LstmCell, RecurrentCell, RnnCell};
pub use conv1d::{Axes, Conv1d, Conv1dConfig};
pub use dropout::Dropout;
pub use embedding::Embedding;
#[cfg(feature = "autograd")]
pub use freeze::set_requires_grad;
pub use kind::{Kind, widths};
pub use layer_norm::LayerNorm;
pub use layer_norm_gru::{LayerNormGru, LayerNormGruConfig, LayerNormGruInput, LayerNormGruOutput};
pub use linear::Linear;
pub use min_gru::{MinGru, MinGruConfig, MinGruForm, MinGruInput, MinGruOutput};
pub(crate) use oracle::read;
pub use oracle::{HostInput, HostOutput, run_f64};
#[cfg(feature = "autograd")]
pub use padded::Padded;
pub use parts::named_parameters;
pub use prepare::prepare;
pub(crate) use recurrent::parameter_name;
pub use recurrent::{
    Gates, Gru, Lstm, Padding, Recurrent, RecurrentConfig, RecurrentOptions, RecurrentOutput, Rnn, RunOptions,
};
pub(crate) use sequential::check_last_steps;
pub use sequential::{LastState, LastStep, Relu, Sequential, Tanh};
pub use tied::parameter_count;
#[cfg(feature = "autograd")]
pub(crate) use tied::{Tied, by_storage};

pub use crate::ops::recurrent::Plan;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::masked::{check_lengths, valid_steps};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Whether a layer runs in training or evaluation mode. Layers do not store the mode; every call passes it.
#[derive(Debug)]
pub enum Mode<'a> {
    /// Inference: parameters are not on the tape, and there is no dropout.
    Eval,
    /// Training: parameters are on the tape, and dropout draws from this generator.
    Train(&'a mut Rng),
}

impl Mode<'_> {
    /// Returns the parameter, detached from the tape in evaluation mode.
    pub fn parameter(&self, parameter: &Tensor) -> Tensor {
        match self {
            Mode::Eval => parameter.detach(),
            Mode::Train(_) => parameter.clone(),
        }
    }

    /// Applies dropout with probability `p` during training; returns `x` unchanged in evaluation mode.
    ///
    /// # Errors
    /// Same as [`Tensor::dropout`].
    pub fn dropout(&mut self, x: &Tensor, p: f32) -> Result<Tensor> {
        match self {
            Mode::Train(rng) if p != 0.0 => x.dropout(p, rng),
            _ => Ok(x.clone()),
        }
    }
}

/// A layer or a model, with named parameters and a function of one tensor.
///
/// Clones of a layer share its parameters, so a handle kept from before training sees the trained weights.
///
/// ```
/// use wgru::{Device, Result, Rng, Tensor, nn::{Gru, Linear, Mode, Module, RecurrentConfig}, parts};
///
/// struct Forecaster {
///     gru: Gru,
///     head: Linear,
/// }
///
/// impl Module for Forecaster {
///     parts!(gru, head);
///
///     fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
///         self.head.forward_with(&self.gru.forward_with(x, mode)?, mode)
///     }
/// }
///
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let model = Forecaster {
///     gru: RecurrentConfig::gru(3, 8).build(&device, &mut rng)?,
///     head: Linear::new(&device, 8, 1, true, &mut rng)?,
/// };
/// assert_eq!(model.forward(&Tensor::zeros(&device, &[10, 2, 3])?)?.dims(), [10, 2, 1]);
/// assert_eq!(model.parameters()[0].0, "gru.weight_ih_l0");
/// # Ok::<(), wgru::Error>(())
/// ```
pub trait Module: Send + Sync {
    /// Returns all parameters with their names, in a fixed order. For a model made of other modules, the macro
    /// [`parts!`](crate::parts) implements it.
    fn parameters(&self) -> Vec<(String, Tensor)>;

    /// Applies the layer, in training or evaluation mode.
    ///
    /// # Errors
    /// Errors from its operations.
    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor>;

    /// Applies the layer in evaluation mode: [`forward_with`](Self::forward_with) with [`Mode::Eval`].
    ///
    /// # Errors
    /// Errors from its operations.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, &mut Mode::Eval)
    }

    /// Applies the layer to padded sequences, of which sequence `b` has `lengths[b]` valid steps, in training or
    /// evaluation mode. [`Trainer::fit`](crate::train::Trainer::fit) calls it for data with lengths, on batch-first
    /// tensors.
    ///
    /// The results of a sequence do not depend on its padding, which must be finite. A layer that computes each step
    /// alone, such as [`Linear`], ignores the lengths. [`LastStep`], [`LastState`] and [`AttentionPool`] return one row
    /// for each sequence; later layers of a [`Sequential`] then get no lengths.
    ///
    /// A module of your own implements it by the same method of its parts:
    ///
    /// ```
    /// use wgru::{Device, Result, Rng, Tensor, nn::*, parts};
    ///
    /// struct Tagger {
    ///     gru: Gru,
    ///     head: Linear,
    /// }
    ///
    /// impl Module for Tagger {
    ///     parts!(gru, head);
    ///
    ///     fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
    ///         self.head.forward_with(&self.gru.forward_with(x, mode)?, mode)
    ///     }
    ///
    ///     fn forward_padded(&self, x: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<Padded> {
    ///         let run = self.gru.run(x, RunOptions { lengths: Some(lengths), ..Default::default() }, mode)?;
    ///         self.head.forward_padded(&run.output, lengths, mode)
    ///     }
    /// }
    /// # let (device, mut rng) = (Device::cpu(), Rng::new(0));
    /// # let gru = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(1, 4) }.build(&device, &mut rng)?;
    /// # let tagger = Tagger { gru, head: Linear::new(&device, 4, 2, true, &mut rng)? };
    /// # let y = tagger.forward_padded(&Tensor::zeros(&device, &[2, 3, 1])?, &[3, 1], &mut Mode::Eval)?;
    /// # assert!(matches!(y, Padded::Steps(y) if y.dims() == [2, 3, 2]));
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] for a module that does not implement it; errors from its operations.
    #[cfg(feature = "autograd")]
    fn forward_padded(&self, x: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<Padded> {
        _ = (x, lengths, mode);
        Err(padded::refused())
    }

    /// Returns the kind of layer with its configuration, for export to other formats.
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }
}

/// Creates a parameter of `dims`, uniform in `±bound`.
fn uniform(device: &Device, dims: &[usize], bound: f32, rng: &mut Rng) -> Result<Tensor> {
    // Allocates first, so that an impossible size fails before numbers are drawn.
    let tensor = Tensor::empty("parameter", device, dims)?;
    let values: Vec<f32> = (0..tensor.len()).map(|_| rng.uniform(-bound, bound)).collect();
    tensor.assign(&values)?;
    Ok(tensor.requires_grad())
}

/// Maximum number of layers in a stack.
const MOST_LAYERS: usize = 1024;

fn check_layers(op: &'static str, layers: usize) -> Result<()> {
    match layers {
        1..=MOST_LAYERS => Ok(()),
        0 => Err(Error::value(op, "layers", "at least 1", 0)),
        _ => Err(Error::value(op, "layers", format!("at most {MOST_LAYERS}"), layers)),
    }
}

/// Checks that no size is 0.
fn check_sizes<const N: usize>(op: &'static str, sizes: [(&'static str, usize); N]) -> Result<()> {
    match sizes.into_iter().find(|(_, size)| *size == 0) {
        Some((arg, _)) => Err(Error::value(op, arg, "at least 1", 0)),
        None => Ok(()),
    }
}

/// Checks sequences `[T, B, input]`, or `[B, T, input]` if `batch_first`, and returns their steps and batch.
fn check_sequences(
    op: &'static str,
    device: &Device,
    x: &Tensor,
    batch_first: bool,
    input: usize,
) -> Result<(usize, usize)> {
    x.check_dtype(op, "x", "f32")?;
    device.check_same(op, "x", x)?;
    match *x.dims() {
        [batch, steps, i] if batch_first && i == input => Ok((steps, batch)),
        [steps, batch, i] if !batch_first && i == input => Ok((steps, batch)),
        _ => {
            let axes = if batch_first { "batch, steps" } else { "steps, batch" };
            Err(Error::shape(op, "x", format!("[{axes}, {input}]"), x.dims()))
        }
    }
}

/// Checks a dropout or zoneout probability.
pub(crate) fn check_share(op: &'static str, arg: &'static str, share: f32) -> Result<()> {
    if (0.0..1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::value(op, arg, "0 ≤ p < 1", share))
}

/// Checks that an initial state has these `dims` and is on the layer's device.
fn check_state(op: &'static str, arg: &'static str, device: &Device, state: &Tensor, dims: [usize; 3]) -> Result<()> {
    state.check_dtype(op, arg, "f32")?;
    device.check_same(op, arg, state)?;
    match state.dims() == dims {
        true => Ok(()),
        false => Err(Error::shape(op, arg, format!("{dims:?}"), state.dims())),
    }
}
