//! Models from files.

use std::path::Path;

use wgru::Device;
use wgru::io::{ModelFile, TensorFile};

use crate::chain::Chain;
use crate::failure::{Failure, Result};
use crate::graph::{self, Graph};

/// Sample rate of models whose files do not contain it, in hertz.
const USUAL_RATE: f64 = 48_000.0;

/// A loaded model, from which cores for any number of signals are created.
pub struct Model {
    source: Source,
    /// Sample rate of the signals on which it was trained, in hertz.
    pub rate: f64,
    /// Gain factors of the model for its input and output.
    pub gains: [f32; 2],
    /// Name from the metadata, or else of the file.
    pub name: String,
}

enum Source {
    Chain(Chain),
    Graph(graph::File),
}

/// A model of one signal, at its own sample rate.
pub enum Core {
    Chain(Box<Chain>),
    Graph(Box<Graph>),
}

/// Returns a number from the metadata.
fn number(file: &TensorFile, keys: &[&str]) -> Option<f64> {
    keys.iter().find_map(|key| file.metadata.get(*key)?.parse().ok())
}

impl Model {
    /// Opens a file of Neural Amp Modeler (LSTM), RTNeural, AIDA-X, GuitarML, Keras, or ONNX.
    ///
    /// # Errors
    /// A message with the file and the problem.
    pub fn open(path: &Path) -> Result<Self> {
        let place = |error: Failure| Failure::new(format!("{}: the model {error}", path.display()));
        let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let opened = ModelFile::open(path)?;
        let network = opened.network(&Device::cpu());
        let ModelFile::Weights(file) = opened else {
            let graph = graph::File::open(path)?;
            // Checks that the model can process a signal.
            let states = graph.graph().map_err(place)?.state_len();
            // A stack of layers is much faster as a network, which carries the states of all its layers.
            let chain = network.ok().and_then(|network| Chain::new(&network).ok());
            let chain = chain.filter(|chain| chain.state_len() == states);
            let source = chain.map_or(Source::Graph(graph), Source::Chain);
            return Ok(Self { source, rate: USUAL_RATE, gains: [1.0; 2], name: stem() });
        };
        let chain = Chain::new(&network?).map_err(place)?;
        let rate = number(&file, &["sample_rate", "samplerate", "metadata.samplerate", "metadata.sample_rate"]);
        let rate = rate.filter(|rate| (1000.0..=1e6).contains(rate)).unwrap_or(USUAL_RATE);
        let name = file.metadata.get("metadata.name").filter(|name| !name.is_empty());
        let name = name.map_or_else(stem, |name| name.chars().take(128).collect());
        // AIDA-X: gains in decibels. `in_gain` also applies to the input that is added to the output, `out_gain` to the
        // sum.
        let is_aidax = file.metadata.get("kind").is_some_and(|kind| kind == "aida-x");
        let gain = |key| match number(&file, &[key]) {
            Some(decibels) if is_aidax => 10.0f64.powf(decibels.clamp(-90.0, 90.0) / 20.0) as f32,
            _ => 1.0,
        };
        Ok(Self { source: Source::Chain(chain), rate, gains: [gain("in_gain"), gain("out_gain")], name })
    }

    /// Creates a model of one signal.
    pub fn core(&self) -> Result<Core> {
        Ok(match &self.source {
            Source::Chain(chain) => Core::Chain(Box::new(chain.clone())),
            Source::Graph(file) => Core::Graph(Box::new(file.graph()?)),
        })
    }
}

impl Core {
    /// Replaces samples by the output for them.
    pub fn process(&mut self, samples: &mut [f32]) {
        match self {
            Core::Chain(chain) => chain.process(samples),
            Core::Graph(graph) => graph.process(samples),
        }
    }

    /// Makes [`reset`](Self::reset) restore the current state.
    pub fn rest(&mut self) {
        match self {
            Core::Chain(chain) => chain.rest(),
            Core::Graph(graph) => graph.rest(),
        }
    }

    pub fn reset(&mut self) {
        match self {
            Core::Chain(chain) => chain.reset(),
            Core::Graph(graph) => graph.reset(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgru::Rng;
    use wgru::io::onnx;
    use wgru::nn::{Linear, RecurrentConfig, Sequential};

    #[test]
    fn onnx_models_that_are_stacks_of_layers_run_as_networks() {
        let (device, mut rng, folder) = (Device::cpu(), Rng::new(1), tempfile::tempdir().expect("a folder"));
        for config in [RecurrentConfig::gru(1, 20), RecurrentConfig { layers: 2, ..RecurrentConfig::lstm(1, 8) }] {
            let layer = RecurrentConfig { batch_first: true, ..config }.build(&device, &mut rng).expect("layer");
            let head = Linear::new(&device, layer.config().hidden, 1, true, &mut rng).expect("linear");
            let model = Sequential::new().push("layer", layer).push("head", head);
            let dims = vec![onnx::Extent::Fixed(1), onnx::Extent::named("steps"), onnx::Extent::Fixed(1)];
            let path = folder.path().join("model.onnx");
            let bytes = onnx::export_blocking(&model, &onnx::Input::new("x", dims)).expect("exported");
            std::fs::write(&path, bytes).expect("written");
            assert!(matches!(Model::open(&path).expect("opened").source, Source::Chain(_)));
        }
    }
}
