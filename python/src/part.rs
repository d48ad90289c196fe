//! Layers of a network.

use engine::nn::{Dropout, Embedding, Kind, LastState, LayerNorm, Linear, Mode, Module, Recurrent, Relu, Tanh};
use engine::{Result, Tensor};

/// A layer. Clones share the parameters.
#[derive(Clone)]
pub enum Part {
    Recurrent(Recurrent),
    Linear(Linear),
    Embedding(Embedding),
    LayerNorm(LayerNorm),
    Relu,
    Tanh,
    /// Dropout, with its probability.
    Dropout(Dropout, f32),
    LastState(LastState),
}

impl Part {
    /// Name of the kind in files.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Part::Recurrent(_) => "recurrent",
            Part::Linear(_) => "linear",
            Part::Embedding(_) => "embedding",
            Part::LayerNorm(_) => "layer_norm",
            Part::Relu => "relu",
            Part::Tanh => "tanh",
            Part::Dropout(..) => "dropout",
            Part::LastState(_) => "last_state",
        }
    }

    fn module(&self) -> &dyn Module {
        match self {
            Part::Recurrent(layer) => layer,
            Part::Linear(layer) => layer,
            Part::Embedding(layer) => layer,
            Part::LayerNorm(layer) => layer,
            Part::Relu => &Relu,
            Part::Tanh => &Tanh,
            Part::Dropout(layer, _) => layer,
            Part::LastState(layer) => layer,
        }
    }
}

impl Module for Part {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.module().parameters()
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.module().forward_with(x, mode)
    }

    fn kind(&self) -> Kind<'_> {
        self.module().kind()
    }
}
