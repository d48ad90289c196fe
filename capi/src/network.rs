//! Networks that files describe: their widths, and their layers one after another. The Python package shares this file.

use engine::io;
use engine::nn::{Kind, Linear, Module, Recurrent};

use crate::failure::{Failure, Result};

/// A network that a file describes.
pub struct Network {
    inner: io::Network,
    /// Whether the input is added to the output and nothing else branches.
    is_skip: bool,
}

/// A layer that runs frame by frame.
pub enum Layer<'a> {
    Recurrent(&'a Recurrent),
    Linear(&'a Linear),
    Function(fn(f32) -> f32),
}

/// `max(v, 0)`; NaN stays NaN.
fn relu(v: f32) -> f32 {
    if v < 0.0 { 0.0 } else { v }
}

impl Network {
    /// `is_audio` tells a file of an audio program, in which nothing branches but the skip connection.
    pub fn new(inner: io::Network, is_audio: bool) -> Self {
        Self { is_skip: inner.skip && is_audio, inner }
    }

    pub fn module(&self) -> &dyn Module {
        &self.inner
    }

    /// Whether the first features of the input are added to the output.
    pub fn is_skip(&self) -> bool {
        self.is_skip
    }

    /// Returns features of a step of the input and of the output; 0 if unknown.
    pub fn widths(&self) -> [usize; 2] {
        let Ok(layers) = self.layers() else { return [0, 0] };
        let width = |layer: &Layer| match layer {
            Layer::Recurrent(layer) => {
                let c = layer.config();
                Some([c.input, c.directions() * c.out()])
            }
            Layer::Linear(linear) => match *linear.weight().dims() {
                [output, input] => Some([input, output]),
                _ => None,
            },
            Layer::Function(_) => None,
        };
        let known: Vec<_> = layers.iter().filter_map(width).collect();
        match (known.first(), known.last()) {
            (Some(first), Some(last)) => [first[0], last[1]],
            _ => [0, 0],
        }
    }

    /// Returns the layers, in order.
    ///
    /// # Errors
    /// An error naming the first layer that does not run frame by frame.
    pub fn layers(&self) -> Result<Vec<Layer<'_>>> {
        let refuse = |what: &str| {
            let way = "run whole sequences instead";
            Err(Failure::unsupported(format!("this network does not run frame by frame: {what}; {way}")))
        };
        if let (false, Kind::Other) = (self.is_skip, self.inner.kind()) {
            return refuse("its layers branch");
        }
        let Kind::Sequence(parts) = self.inner.layers.kind() else { return refuse("its layers branch") };
        let mut layers = Vec::new();
        for (name, part) in parts {
            let layer = match part.kind() {
                Kind::Recurrent(_) => self.inner.layers.layer(name).map(Layer::Recurrent),
                Kind::Linear => self.inner.layers.layer(name).map(Layer::Linear),
                Kind::Tanh => Ok(Layer::Function(f32::tanh)),
                Kind::Relu => Ok(Layer::Function(relu)),
                Kind::Dropout => continue,
                _ => return refuse(&format!("layer {name:?} is neither recurrent, linear, tanh nor ReLU")),
            };
            match layer {
                Ok(layer) => layers.push(layer),
                Err(_) => return refuse(&format!("layer {name:?} is of an unexpected type")),
            }
        }
        match layers.iter().any(|layer| matches!(layer, Layer::Recurrent(_))) {
            true => Ok(layers),
            false => refuse("it has no recurrent layer"),
        }
    }
}
