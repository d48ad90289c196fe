//! The engine of a stream: a network of layers, or an ONNX graph.

use engine::{Error, NetworkStream, Precision, StreamLayer, StreamOptions};

use super::graph::Graph;
use crate::failure::{Failure, Result};
use crate::file::Content;
use crate::model::WgruModel;
use crate::raw;
use crate::tensor::Input;

/// A model that does not run frame by frame is valid, but not supported.
fn refused(error: Error) -> Failure {
    match error {
        Error::Value { arg: "network" | "layers" | "bidirectional" | "reverse", .. } => {
            Failure::unsupported(format!("{error}; run whole sequences instead"))
        }
        other => other.into(),
    }
}

/// The engine of a stream.
pub enum Runner {
    Network(Box<NetworkStream>),
    Graph(Box<Graph>),
}

impl Runner {
    pub fn new(model: &WgruModel, options: StreamOptions, examples: &[Input]) -> Result<Self> {
        let onnx = match &model.content {
            Content::Onnx(onnx) => onnx,
            _ if !examples.is_empty() => {
                return Err(Failure::value("options: inputs: expected none; only ONNX models take examples"));
            }
            Content::Recurrent { layer, head } => {
                let layers = [Some(StreamLayer::Recurrent(layer)), head.as_ref().map(StreamLayer::Linear)];
                let layers: Vec<StreamLayer> = layers.into_iter().flatten().collect();
                return Ok(Runner::Network(Box::new(NetworkStream::of_layers(&layers, options).map_err(refused)?)));
            }
            Content::Network(network) => {
                return Ok(Runner::Network(Box::new(network.stream(options).map_err(refused)?)));
            }
        };
        if options.batch != 1 {
            let why = "options: batch: expected 1; an ONNX model takes the extents of options.inputs";
            return Err(Failure::value(why));
        }
        if !matches!(options.weights, Precision::F32 | Precision::Auto) {
            return Err(Failure::value(
                "options: weights: expected WGRU_WEIGHTS_F32 or WGRU_WEIGHTS_AUTO for an ONNX model",
            ));
        }
        if options.threads != 1 {
            return Err(Failure::value("options: threads: expected 1; an ONNX model uses the threads of its model"));
        }
        let plain = StreamOptions::default();
        if options.non_finite != plain.non_finite {
            return Err(Failure::value("options: non_finite: expected WGRU_NON_FINITE_PROPAGATE for an ONNX model"));
        }
        if options.rate_ratio != plain.rate_ratio {
            let got = options.rate_ratio;
            return Err(Failure::value(format!("options: rate_ratio: expected 1 for an ONNX model, got {got}")));
        }
        if options.fast_activations {
            return Err(Failure::value("options: fast_activations: expected 0 for an ONNX model"));
        }
        Ok(Runner::Graph(Box::new(Graph::new(model, onnx, examples)?)))
    }

    /// Lengths of a frame of one sequence and of its output.
    pub fn widths(&self) -> [usize; 2] {
        match self {
            Runner::Network(stream) => stream.widths(),
            Runner::Graph(graph) => graph.widths(),
        }
    }

    fn step(&mut self, frame: &[f32]) -> Result<&[f32]> {
        match self {
            Runner::Network(stream) => Ok(stream.step(frame)?),
            Runner::Graph(graph) => graph.step(frame),
        }
    }

    /// Runs `count` frames of `lengths[0]` floats. Writes as many outputs of `lengths[1]` floats.
    ///
    /// # Safety
    /// `input` must point to floats that can be read, and `output` to floats that can be written, for all frames. The
    /// two may be the same memory if an output is no longer than a frame; otherwise they must not overlap.
    #[allow(unsafe_code, reason = "input and output may be the same memory, which slices cannot express")]
    pub unsafe fn process(
        &mut self,
        input: *const f32,
        output: *mut f32,
        lengths: [usize; 2],
        count: usize,
    ) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let is_in_place = std::ptr::addr_eq(input, output);
        if let Runner::Network(stream) = self
            && (!is_in_place || lengths[0] == lengths[1])
        {
            // SAFETY: within the outputs, and the only slice of this memory if it is that of the frames.
            let out = unsafe { std::slice::from_raw_parts_mut(output, count * lengths[1]) };
            if is_in_place {
                return Ok(stream.process_in_place(out)?);
            }
            // SAFETY: within the frames.
            return Ok(stream.process(unsafe { std::slice::from_raw_parts(input, count * lengths[0]) }, out)?);
        }
        for k in 0..count {
            // SAFETY: within the frames; nothing writes to this frame before the slice is dropped.
            let frame = unsafe { std::slice::from_raw_parts(input.add(k * lengths[0]), lengths[0]) };
            let y = self.step(frame)?;
            if y.len() != lengths[1] {
                return Err(Failure::Length { arg: "output of the model", expected: lengths[1], got: y.len() });
            }
            // SAFETY: within the outputs; `y` is memory of the stream. Frames that are overwritten have been read.
            unsafe { raw::copy(y, output.add(k * lengths[1])) };
        }
        Ok(())
    }

    pub fn reset(&mut self) {
        match self {
            Runner::Network(stream) => stream.reset(),
            Runner::Graph(graph) => graph.reset(),
        }
    }

    /// Number of floats of the state.
    pub fn state_len(&self) -> usize {
        match self {
            Runner::Network(stream) => stream.state_len(),
            Runner::Graph(graph) => graph.state_len(),
        }
    }

    /// Copies the state to a slice of [`state_len`](Self::state_len) floats.
    pub fn save(&self, state: &mut [f32]) -> Result<()> {
        match self {
            Runner::Network(stream) => Ok(stream.save_state(state)?),
            Runner::Graph(graph) => graph.save(state),
        }
    }

    /// Continues from a state of [`state_len`](Self::state_len) floats.
    pub fn load(&mut self, state: &[f32]) -> Result<()> {
        match self {
            Runner::Network(stream) => Ok(stream.load_state(state)?),
            Runner::Graph(graph) => graph.load(state),
        }
    }
}
