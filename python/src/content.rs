//! Contents of a model.

use engine::io::Network;
use engine::io::onnx::OnnxModel;
use engine::nn::Module;

use crate::failure::{Failure, Result};
use crate::part::Part;
use crate::sequence::Sequence;

/// Contents of a model.
pub enum Content {
    /// One layer.
    Layer(Part),
    /// Layers one after another.
    Sequence(Sequence),
    /// A network that a file describes.
    Network(Network),
    Onnx(OnnxModel),
}

impl Content {
    /// Returns the module of a model other than ONNX.
    pub fn module(&self) -> Result<&dyn Module> {
        match self {
            Content::Layer(part) => Ok(part),
            Content::Sequence(sequence) => Ok(&sequence.module),
            Content::Network(network) => Ok(network),
            Content::Onnx(_) => Err(Failure::unsupported("an ONNX model has no parameters; it only runs")),
        }
    }

    /// Name of the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Content::Layer(part) => part.kind_name(),
            Content::Sequence(_) => "sequential",
            Content::Network(_) => "network",
            Content::Onnx(_) => "onnx",
        }
    }

    /// Whether the input holds indices.
    pub fn takes_indices(&self) -> bool {
        match self {
            Content::Layer(part) => matches!(part, Part::Embedding(_)),
            Content::Sequence(sequence) => sequence.takes_indices(),
            _ => false,
        }
    }

    /// Whether the batch is the first axis of the input.
    pub fn is_batch_first(&self) -> bool {
        match self {
            Content::Layer(Part::Recurrent(layer)) => layer.config().batch_first,
            Content::Sequence(sequence) => sequence.is_batch_first(),
            _ => true,
        }
    }
}
