//! ONNX models, sample by sample.

use std::path::Path;

use wgru::io::onnx::{BoundStream, Extent, OnnxModel, Value};
use wgru::{CpuOptions, Device, Tensor};

use crate::failure::{Failure, Result};

/// An opened recurrent ONNX model.
pub struct File {
    model: OnnxModel,
    device: Device,
}

/// A model with buffers for one sample. Allocates only when it is created.
pub struct Graph {
    bound: BoundStream,
    input: String,
    output: String,
    /// The state that a reset sets.
    state: Vec<f32>,
}

/// Returns the only one of several inputs or outputs, which are names and lengths.
fn only(mut ports: Vec<(String, usize)>, what: &str) -> Result<(String, usize)> {
    match ports.pop() {
        None => Err(Failure::new(format!("has no {what}"))),
        Some(port) if ports.is_empty() => Ok(port),
        Some((last, _)) => {
            let names: Vec<String> = ports.into_iter().take(8).map(|(name, _)| name).chain([last]).collect();
            Err(Failure::new(format!("has several {what}s, where one is expected: {}", names.join(", "))))
        }
    }
}

impl File {
    /// Opens a model on its own device, so that another model never waits for its work.
    pub fn open(path: &Path) -> Result<Self> {
        let device = Device::cpu_with(CpuOptions { threads: Some(1), ..CpuOptions::default() })?;
        Ok(Self { model: OnnxModel::open(&device, path)?, device })
    }

    /// Creates buffers and states for one signal.
    ///
    /// # Errors
    /// For a model that does not read and write one value per sample, or keeps no state.
    pub fn graph(&self) -> Result<Graph> {
        let stream = self.model.stream()?;
        let pairs: Vec<[String; 2]> = stream.pairs().map(|pair| pair.map(str::to_string)).collect();
        let is = |place: usize, name: &str| pairs.iter().any(|pair| pair[place] == name);
        let mut values = Vec::new();
        for info in self.model.inputs().filter(|info| !is(0, &info.name)) {
            let Some(dims) = info.dims.as_ref().filter(|_| info.float) else {
                return Err(Failure::new(format!("has the input {:?}, which is not a signal of floats", info.name)));
            };
            let extent = |extent: &Extent| if let Extent::Fixed(n) = extent { *n } else { 1 };
            let dims: Vec<usize> = dims.iter().map(extent).collect();
            values.push((&*info.name, Value::from(Tensor::zeros(&self.device, &dims)?)));
        }
        let bound = stream.bind(&values)?;
        let len = |(name, dims): (&str, &[usize])| (name.to_string(), dims.iter().product());
        let input = only(bound.inputs().map(len).collect(), "input")?;
        let output = only(bound.outputs().filter(|(name, _)| !is(1, name)).map(len).collect(), "output")?;
        for ((name, len), verb) in [(&input, "reads"), (&output, "writes")] {
            if *len != 1 {
                return Err(Failure::new(format!("{verb} {len} values at a time ({name:?}); expected one sample")));
            }
        }
        let mut state = vec![0.0; bound.state_len()];
        if state.is_empty() {
            return Err(Failure::new("keeps no state between samples, so it is not recurrent"));
        }
        bound.save_state(&mut state)?;
        Ok(Graph { input: input.0, output: output.0, bound, state })
    }
}

impl Graph {
    /// Number of values of the state.
    pub fn state_len(&self) -> usize {
        self.state.len()
    }

    /// Replaces samples by the output for them.
    pub fn process(&mut self, samples: &mut [f32]) {
        for sample in samples {
            if let Ok(mut input) = self.bound.input_mut(&self.input) {
                input[0] = *sample;
            }
            self.bound.run();
            *sample = self.bound.output(&self.output).map_or(0.0, |output| output[0]);
        }
    }

    /// Makes [`reset`](Self::reset) restore the current state.
    pub fn rest(&mut self) {
        let result = self.bound.save_state(&mut self.state);
        debug_assert!(result.is_ok(), "the length was taken from the stream: {result:?}");
    }

    pub fn reset(&mut self) {
        let result = self.bound.load_state(&self.state);
        debug_assert!(result.is_ok(), "a state of this stream: {result:?}");
    }
}
