//! Builds the networks that the Python package saves. Their metadata has the names of the layers in order, and the type
//! of each: `kind = wgru-sequential`, `layers = gru last head`, `gru.type = recurrent`. Written by `python/src/file.rs`.

use super::{Builder, build};
use crate::error::Result;
use crate::io::TensorFile;
use crate::nn::{Embedding, LastState, LayerNorm, Relu, Tanh};
use crate::tensor::Tensor;

/// Value of `kind` in the metadata.
pub(super) const KIND: &str = "wgru-sequential";

impl Builder<'_> {
    /// Adds all layers. Recurrent layers become batch-first.
    pub(super) fn sequential(&mut self) -> Result<()> {
        let names: String = self.file.field("layers")?;
        let mut directions = None;
        for name in names.split_ascii_whitespace() {
            let kind: String = self.file.field(&format!("{name}.type"))?;
            self.saved_layer(name, &kind, &mut directions)?;
        }
        match self.layers.count() {
            0 => Err(self.error("", "has no layers".into())),
            _ => Ok(()),
        }
    }

    /// Adds a layer. `directions` are those of the last recurrent layer.
    fn saved_layer(&mut self, name: &str, kind: &str, directions: &mut Option<LastState>) -> Result<()> {
        let file = self.file.under(name);
        match kind {
            "recurrent" => {
                let layer = build(self.device, &file, true)?;
                let c = layer.config();
                let (bidirectional, reverse) = (c.bidirectional, c.reverse);
                *directions = Some(LastState { batch_first: true, bidirectional, reverse });
                self.push(name, layer);
            }
            "linear" => self.dense(name, &format!("{name}.weight"), &format!("{name}.bias"), false)?,
            "embedding" => self.push(name, Embedding::from_weight(self.saved(&file, "weight")?)?),
            "layer_norm" => {
                let [weight, bias] = [self.saved(&file, "weight")?, self.saved(&file, "bias")?];
                self.push(name, LayerNorm::from_parameters(weight, bias, file.field("eps")?)?);
            }
            "relu" => self.push(name, Relu),
            "tanh" => self.push(name, Tanh),
            // Acts only during training.
            "dropout" => {}
            "last_state" => match *directions {
                Some(last) => self.push(name, last),
                None => return Err(self.error(name, "has no recurrent layer before it".into())),
            },
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(self.error(name, format!("has the type {other:?}, which load_network does not build")));
            }
        }
        Ok(())
    }

    fn saved(&self, file: &TensorFile, name: &str) -> Result<Tensor> {
        let (dims, values) = file.get(name)?;
        Tensor::from_slice(self.device, values, dims)
    }
}
