//! Descriptions of layers.

use std::any::Any;

use super::{Conv1dConfig, LastState, LayerNormGruConfig, MinGruConfig, Module, RecurrentConfig};
use crate::math::Activation;

/// Kind of a layer, with its configuration. Exporters such as [`io::onnx::export`](crate::io::onnx::export) read it
/// together with [`Module::parameters`].
///
/// Your own model can describe itself as a sequence of other modules:
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
    /// A function of each value, such as [`Relu`](super::Relu).
    Activation(Activation),
    /// The softmax over the last axis.
    Softmax,
    /// The logarithm of the softmax over the last axis.
    LogSoftmax,
    /// A [`LastStep`](super::LastStep).
    LastStep {
        /// Whether the batch is the first axis.
        batch_first: bool,
    },
    /// A [`LastState`].
    LastState(LastState),
    /// A [`Dropout`](super::Dropout): the identity except during training.
    Dropout,
    /// Modules that run one after another, with their names. A parameter is named `<module>.<parameter>`, or
    /// `<parameter>` if the module's name is empty.
    Sequence(Vec<(&'a str, &'a dyn Module)>),
    /// A module that exporters know by its type, such as a [`Network`](crate::io::Network) with branches.
    Typed(&'a dyn Any),
    /// Any other module.
    Other,
}

/// Returns the features of a step of the input and of the output of a module, as far as its layers tell them. The input
/// of an embedding has none.
pub fn widths(module: &dyn Module) -> [Option<usize>; 2] {
    let dims = || module.parameters().first().map(|(_, first)| first.dims().to_vec()).unwrap_or_default();
    match module.kind() {
        Kind::Recurrent(c) => [Some(c.input), Some(c.directions() * c.out())],
        Kind::MinGru(c) => [Some(c.input), Some(c.hidden << c.bidirectional as u32)],
        Kind::LayerNormGru(c) => [Some(c.input), Some(c.hidden << c.bidirectional as u32)],
        Kind::Conv1d(c) => [Some(c.input), Some(c.output)],
        // The weight is [out, in].
        Kind::Linear => [dims().get(1).copied(), dims().first().copied()],
        Kind::Embedding => [None, dims().get(1).copied()],
        Kind::LayerNorm(_) => [dims().first().copied(); 2],
        Kind::Sequence(parts) => {
            let known = parts.iter().filter(|(_, part)| !part.parameters().is_empty());
            let known: Vec<_> = known.map(|(_, part)| widths(*part)).collect();
            [known.first().and_then(|pair| pair[0]), known.last().and_then(|pair| pair[1])]
        }
        _ => [None; 2],
    }
}
