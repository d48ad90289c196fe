//! ONNX models, frame by frame.

use std::collections::HashSet;

use engine::Tensor;
use engine::io::onnx::{BoundStream, Extent, Info, OnnxModel, Value};

use crate::failure::{Failure, Result};
use crate::model::WgruModel;
use crate::run::by_port;
use crate::tensor::Input;

/// An ONNX model with buffers of fixed extents. A step allocates nothing.
pub struct Graph {
    bound: BoundStream,
    /// The inputs that make up a frame, with their lengths.
    inputs: Vec<(String, usize)>,
    /// The outputs that make up the output, with their lengths.
    outputs: Vec<(String, usize)>,
    output: Vec<f32>,
}

/// Returns zeros of the extents of an input; those that the file leaves open are 1.
fn example(model: &WgruModel, info: &Info) -> Result<Value> {
    let why = match &info.dims {
        Some(_) if !info.float => "integers",
        None => "a number of axes that the file does not tell",
        Some(dims) => {
            let extent = |extent: &Extent| if let Extent::Fixed(n) = extent { *n } else { 1 };
            let dims: Vec<usize> = dims.iter().map(extent).collect();
            return Ok(Tensor::zeros(&model.device, &dims)?.into());
        }
    };
    Err(Failure::value(format!("options: inputs: expected {:?}, which has {why}", info.name)))
}

fn total(ports: &[(String, usize)]) -> usize {
    ports.iter().map(|(_, len)| len).sum()
}

impl Graph {
    /// Binds a model. `examples` give the extents of floats and the values of integers.
    pub fn new(model: &WgruModel, onnx: &OnnxModel, examples: &[Input]) -> Result<Self> {
        let stream = onnx.stream()?;
        let pairs: Vec<[String; 2]> = stream.pairs().map(|pair| pair.map(str::to_string)).collect();
        let carried: HashSet<&str> = pairs.iter().map(|[input, _]| &**input).collect();
        let continued: HashSet<&str> = pairs.iter().map(|[_, output]| &**output).collect();
        let mut values: Vec<(&str, Value)> = Vec::new();
        for (info, given) in onnx.inputs().zip(by_port(model, examples)?) {
            match given {
                Some(_) if carried.contains(&*info.name) => {
                    let why = "is a state, which the stream carries; set it with wgru_stream_restore";
                    return Err(Failure::value(format!("options: inputs: {:?} {why}", info.name)));
                }
                Some(input) => values.push((&info.name, input.to_value(&model.device)?)),
                None if carried.contains(&*info.name) => {}
                None => values.push((&info.name, example(model, info)?)),
            }
        }
        let bound = stream.bind(&values)?;
        let len = |(name, dims): (&str, &[usize])| (name.to_string(), dims.iter().product());
        let inputs: Vec<(String, usize)> = bound.inputs().map(len).collect();
        let outputs: Vec<_> = bound.outputs().filter(|(name, _)| !continued.contains(name)).map(len).collect();
        if total(&inputs) == 0 || total(&outputs) == 0 {
            return Err(Failure::unsupported("a model without floats in its inputs or outputs, or with states only"));
        }
        let output = vec![0.0; total(&outputs)];
        Ok(Self { bound, inputs, outputs, output })
    }

    /// Lengths of a frame and of its output.
    pub fn widths(&self) -> [usize; 2] {
        [total(&self.inputs), self.output.len()]
    }

    /// Runs one step on a frame, whose length the caller must have checked. Returns the output.
    pub fn step(&mut self, mut frame: &[f32]) -> Result<&[f32]> {
        for (name, len) in &self.inputs {
            let (part, rest) = frame.split_at(*len);
            self.bound.input_mut(name)?.copy_from_slice(part);
            frame = rest;
        }
        self.bound.run();
        let mut output = &mut self.output[..];
        for (name, len) in &self.outputs {
            let (part, rest) = output.split_at_mut(*len);
            part.copy_from_slice(&self.bound.output(name)?);
            output = rest;
        }
        Ok(&self.output)
    }

    pub fn reset(&mut self) {
        self.bound.reset();
    }

    /// Number of floats of the state.
    pub fn state_len(&self) -> usize {
        self.bound.state_len()
    }

    /// Copies the state to a slice of [`state_len`](Self::state_len) floats.
    pub fn save(&self, state: &mut [f32]) -> Result<()> {
        Ok(self.bound.save_state(state)?)
    }

    /// Continues from a state of [`state_len`](Self::state_len) floats.
    pub fn load(&mut self, state: &[f32]) -> Result<()> {
        Ok(self.bound.load_state(state)?)
    }
}
