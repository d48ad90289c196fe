//! What a layer is

use super::{Conv1dConfig, LastState, LayerNormGruConfig, MinGruConfig, Module, RecurrentConfig};

/// What a layer is, for who writes it in another form, as [`io::onnx::export`](crate::io::onnx::export) does. Its
/// parameters are those of [`Module::parameters`].
///
/// A model of your own that runs other modules one after the other says so:
///
/// ```
/// use wgru::{Result, Tensor, nn::{Gru, Kind, Linear, Mode, Module}, parts};
///
/// struct Model { gru: Gru, head: Linear }
/// impl Module for Model {
///     parts!(gru, head);
///
///     fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
///         self.head.forward_with(&self.gru.forward_with(x, mode)?, mode)
///     }
///     fn kind(&self) -> Kind<'_> {
///         Kind::Sequence(vec![("gru", &self.gru), ("head", &self.head)])
///     }
/// }
/// ```
#[non_exhaustive]
pub enum Kind<'a> {
    /// A [`Recurrent`](super::Recurrent): GRU, LSTM, RNN.
    Recurrent(&'a RecurrentConfig),
    /// A [`MinGru`](super::MinGru).
    MinGru(&'a MinGruConfig),
    /// A [`LayerNormGru`](super::LayerNormGru).
    LayerNormGru(&'a LayerNormGruConfig),
    /// A [`Linear`](super::Linear).
    Linear,
    /// An [`Embedding`](super::Embedding).
    Embedding,
    /// A [`LayerNorm`](super::LayerNorm), with its ε.
    LayerNorm(f32),
    /// A [`Conv1d`](super::Conv1d).
    Conv1d(&'a Conv1dConfig),
    /// A [`Relu`](super::Relu).
    Relu,
    /// A [`Tanh`](super::Tanh).
    Tanh,
    /// A [`LastStep`](super::LastStep).
    LastStep {
        /// Whether the batch is the first axis.
        batch_first: bool,
    },
    /// A [`LastState`].
    LastState(LastState),
    /// A [`Dropout`](super::Dropout): nothing, outside training.
    Dropout,
    /// Modules one after the other. A parameter of one is named `<name>.<its name>`; just its name if the name is empty.
    Sequence(Vec<(&'a str, &'a dyn Module)>),
    /// Something else.
    Other,
}
