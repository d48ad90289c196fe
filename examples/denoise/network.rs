//! An ONNX model with one input and one output per frame.

use std::ops::{Deref, DerefMut};

use wgru::io::onnx::{BoundStream, Extent, OnnxModel};
use wgru::{Device, Result, Tensor};

/// A model whose frame goes in and comes out with the same extents, and whose states are carried from run to run.
pub struct Network {
    stream: BoundStream,
    input: String,
    output: String,
}

/// Whether the extents of an input in a file are those of a frame, where they are fixed.
fn fits(extents: &[Extent], frame: &[usize]) -> bool {
    let fit = |(extent, &n): (&Extent, &usize)| !matches!(extent, Extent::Fixed(fixed) if *fixed != n);
    extents.len() == frame.len() && extents.iter().zip(frame).all(fit)
}

impl Network {
    /// Whether the model has an input for such a frame.
    pub fn takes(model: &OnnxModel, frame: &[usize]) -> bool {
        let mut inputs = model.inputs();
        inputs.next().is_some_and(|first| first.float && first.dims.as_ref().is_some_and(|dims| fits(dims, frame)))
    }

    /// Prepares the model for frames of these extents, for its first input and output.
    ///
    /// # Errors
    /// Errors of the library, for models that cannot run frame by frame.
    pub fn new(device: &Device, model: &OnnxModel, frame: &[usize]) -> Result<Self> {
        let [input, output] = [model.inputs().next(), model.outputs().next()].map(|info| info.map(|i| i.name.clone()));
        let (input, output) = (input.unwrap_or_default(), output.unwrap_or_default());
        let example = Tensor::zeros(device, frame)?;
        let stream = model.stream()?.bind(&[(&input, example.into())])?;
        let network = Self { stream, input, output };
        let (got, expected) = (network.output().len(), frame.iter().product::<usize>());
        match got == expected {
            true => Ok(network),
            false => {
                let (op, arg) = ("denoise", "the first output");
                Err(wgru::Error::Shape { op, arg, expected: format!("{frame:?}"), got: format!("{got} floats") })
            }
        }
    }

    pub fn input_mut(&mut self) -> impl DerefMut<Target = [f32]> {
        self.stream.input_mut(&self.input).expect("the input was bound")
    }

    pub fn run(&mut self) {
        self.stream.run();
    }

    pub fn output(&self) -> impl Deref<Target = [f32]> {
        self.stream.output(&self.output).expect("an output of the model")
    }
}
