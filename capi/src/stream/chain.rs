//! Recurrent layers with linear layers and activations after them, frame by frame. The Python package shares this file.

use engine::nn::{Linear, Recurrent};
use engine::{Stream, StreamOptions};

use crate::failure::{Failure, Result};
use crate::network::{Layer, Network};

/// Layers that run one after another on frames `[batch, features]`. A step allocates nothing.
pub struct Chain {
    stages: Vec<Stage>,
    /// Features of the input and of the output.
    widths: [usize; 2],
    /// The output `[batch, features]` if the first features of the input are added to it.
    sum: Option<Vec<f32>>,
}

enum Stage {
    /// Recurrent layers, and the linear layer after them if there is one.
    Recurrent(Box<Stream>),
    /// A linear layer after another one, with its output.
    Linear(Matrix, Vec<f32>),
    /// An activation, with its output.
    Function(fn(f32) -> f32, Vec<f32>),
}

struct Matrix {
    /// `[output, input]`
    weight: Vec<f32>,
    bias: Vec<f32>,
    input: usize,
}

impl Matrix {
    fn new(linear: &Linear, [output, input]: [usize; 2]) -> Result<Self> {
        let bias = linear.bias().map_or_else(|| Ok(vec![0.0; output]), |bias| bias.read_blocking())?;
        Ok(Self { weight: linear.weight().read_blocking()?, bias, input })
    }

    /// Computes `y = W·x + b` for each row.
    fn run(&self, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks_exact(self.input).zip(y.chunks_exact_mut(self.bias.len())) {
            for ((y, row), bias) in y.iter_mut().zip(self.weight.chunks_exact(self.input)).zip(&self.bias) {
                *y = row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + bias;
            }
        }
    }
}

impl Stage {
    fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        match self {
            Stage::Recurrent(stream) => Ok(stream.step(x)?),
            Stage::Linear(matrix, y) => {
                matrix.run(x, y);
                Ok(y)
            }
            Stage::Function(function, y) => {
                y.iter_mut().zip(x).for_each(|(y, x)| *y = function(*x));
                Ok(y)
            }
        }
    }
}

/// Extents `[output, input]` of a linear layer.
fn extents(linear: &Linear) -> Result<[usize; 2]> {
    let dims = linear.weight().dims();
    let refused = |_| Failure::unsupported(format!("a linear layer whose weight has the shape {dims:?}"));
    dims.try_into().map_err(refused)
}

impl Chain {
    /// Creates a chain of one layer, and its head.
    pub fn of_layer(layer: &Recurrent, head: Option<&Linear>, options: StreamOptions) -> Result<Self> {
        let layers: Vec<Layer> =
            [Some(Layer::Recurrent(layer)), head.map(Layer::Linear)].into_iter().flatten().collect();
        Self::new(&layers, false, options)
    }

    /// Creates the chain of a network.
    pub fn of_network(network: &Network, options: StreamOptions) -> Result<Self> {
        Self::new(&network.layers()?, network.is_skip(), options)
    }

    /// Creates a chain of layers. With `is_skip`, the first features of the input are added to the output.
    pub fn new(layers: &[Layer], is_skip: bool, options: StreamOptions) -> Result<Self> {
        let (mut stages, mut widths) = (Vec::new(), None::<[usize; 2]>);
        let mut layers = layers.iter().peekable();
        while let Some(layer) = layers.next() {
            let (stage, [output, input]) = match layer {
                Layer::Recurrent(layer) => {
                    let c = layer.config();
                    if c.bidirectional || c.reverse {
                        let why = "a layer that reads sequences backward does not run frame by frame; run whole \
                                   sequences instead";
                        return Err(Failure::unsupported(why));
                    }
                    let mut stream = Stream::new(layer, options)?;
                    let mut output = c.hidden;
                    // The stream computes the linear layer after it faster than a stage of its own.
                    if let Some(Layer::Linear(head)) = layers.next_if(|next| matches!(next, Layer::Linear(_))) {
                        (stream, output) = (stream.then(head)?, extents(head)?[0]);
                    }
                    (Stage::Recurrent(Box::new(stream)), [output, c.input])
                }
                Layer::Linear(linear) => {
                    let [output, input] = extents(linear)?;
                    let y = vec![0.0; options.batch * output];
                    (Stage::Linear(Matrix::new(linear, [output, input])?, y), [output, input])
                }
                Layer::Function(function) => {
                    let width = widths.map_or(0, |[_, output]| output);
                    (Stage::Function(*function, vec![0.0; options.batch * width]), [width, width])
                }
            };
            let first = match widths {
                Some([_, before]) if before != input => {
                    let text = format!("a layer with an input of {input} features follows an output of {before}");
                    return Err(Failure::unsupported(text));
                }
                Some([first, _]) => first,
                None => input,
            };
            widths = Some([first, output]);
            stages.push(stage);
        }
        let widths = widths.filter(|widths| !widths.contains(&0));
        let [input, output] = widths.ok_or_else(|| Failure::unsupported("a network without features"))?;
        if is_skip && input < output {
            let text = format!("a network that adds its input of {input} features to an output of {output}");
            return Err(Failure::unsupported(text));
        }
        Ok(Self { stages, widths: [input, output], sum: is_skip.then(|| vec![0.0; options.batch * output]) })
    }

    /// Features of the input and of the output.
    pub fn widths(&self) -> [usize; 2] {
        self.widths
    }

    /// Runs one step on a frame, whose length the caller must have checked. Returns the output.
    pub fn step<'a>(&'a mut self, frame: &'a [f32]) -> Result<&'a [f32]> {
        let mut x = frame;
        for stage in &mut self.stages {
            x = stage.step(x)?;
        }
        let (Some(sum), [input, output]) = (&mut self.sum, self.widths) else { return Ok(x) };
        for (row, sum) in sum.chunks_exact_mut(output).enumerate() {
            let (y, x) = (&x[row * output..], &frame[row * input..]);
            sum.iter_mut().zip(y).zip(x).for_each(|((sum, y), x)| *sum = y + x);
        }
        Ok(sum)
    }

    /// The stream, if it is all of the chain.
    pub fn only_stream(&mut self) -> Option<&mut Stream> {
        match (&mut self.stages[..], &self.sum) {
            ([Stage::Recurrent(stream)], None) => Some(stream),
            _ => None,
        }
    }

    fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.stages.iter().filter_map(|stage| if let Stage::Recurrent(stream) = stage { Some(&**stream) } else { None })
    }

    fn streams_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.stages.iter_mut().filter_map(|stage| match stage {
            Stage::Recurrent(stream) => Some(&mut **stream),
            _ => None,
        })
    }

    pub fn reset(&mut self) {
        self.streams_mut().for_each(Stream::reset);
    }

    /// Number of floats of the state.
    pub fn state_len(&self) -> usize {
        self.streams().map(|stream| stream.state().len()).sum()
    }

    /// Copies the state to a slice of [`state_len`](Self::state_len) floats.
    pub fn save(&self, mut state: &mut [f32]) {
        for stream in self.streams() {
            let own = stream.state();
            let (part, rest) = state.split_at_mut(own.len());
            part.copy_from_slice(own);
            state = rest;
        }
    }

    /// Continues from a state of [`state_len`](Self::state_len) floats.
    pub fn load(&mut self, mut state: &[f32]) -> Result<()> {
        for stream in self.streams_mut() {
            let (part, rest) = state.split_at(stream.state().len());
            stream.set_state(part)?;
            state = rest;
        }
        Ok(())
    }
}
