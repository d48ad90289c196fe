//! The network around a cell: embedding, recurrent layer, attention, head.

use wgru::nn::{Embedding, Linear, Mode, Module, named_parameters};
use wgru::{Device, Result, Rng, Stream, StreamOptions, Tensor};

use crate::batch::{Batch, Values};
use crate::cell::{Kind, Layer, State};

/// Standard deviation of the vectors of tokens before training.
const SPREAD: f32 = 0.3;

/// Input of every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Numbers.
    Features(usize),
    /// A token, which becomes a learned vector of `width` numbers.
    Tokens { vocabulary: usize, width: usize },
}

impl Input {
    /// Returns the numbers that the recurrent layer reads in every step.
    pub fn width(self) -> usize {
        match self {
            Self::Features(width) | Self::Tokens { width, .. } => width,
        }
    }
}

/// Steps with an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The last step of each sequence. Attention reads the states of all steps.
    Last,
    /// The last `n` steps. Attention reads the states of the steps before them.
    Tail(usize),
    /// Every step. Attention reads the states up to that step.
    Every,
}

/// Inputs and outputs of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub input: Input,
    /// Values of an output.
    pub output: usize,
    pub read: Read,
}

/// A network:
///
/// ```text
/// y_t = V·h_t + b                  with attention:  y_t = V·[h_t; Σ_s a_s·h_s] + b,  a = softmax(h_t·W·h_s / √H)
/// ```
///
/// Source of the attention: Luong, Pham, Manning, *Effective approaches to attention-based neural machine translation*
/// (2015), with the scale of Vaswani et al., *Attention is all you need* (2017).
pub struct Network {
    device: Device,
    shape: Shape,
    embedding: Option<Embedding>,
    layer: Layer,
    attention: Option<Linear>,
    head: Linear,
}

impl Network {
    /// Creates a network with random weights.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn new(device: &Device, kind: Kind, units: usize, layers: usize, shape: Shape, rng: &mut Rng) -> Result<Self> {
        let embedding = match shape.input {
            Input::Features(_) => None,
            Input::Tokens { vocabulary, width } => {
                let embedding = Embedding::new(device, vocabulary, width, rng)?;
                let table: Vec<f32> = embedding.weight().read_blocking()?.iter().map(|v| SPREAD * v).collect();
                embedding.weight().assign(&table)?;
                Some(embedding)
            }
        };
        let layer = Layer::new(device, kind, [layers, shape.input.width(), units], rng)?;
        let attention = kind.has_attention().then(|| Linear::new(device, units, units, false, rng)).transpose()?;
        let read = if kind.has_attention() { 2 * units } else { units };
        let head = Linear::new(device, read, shape.output, true, rng)?;
        Ok(Self { device: device.clone(), shape, embedding, layer, attention, head })
    }

    /// Returns the outputs of the steps that are read, `[steps, B, output]`.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn forward(&self, batch: &Batch, mode: &mut Mode) -> Result<Tensor> {
        let Batch { steps, rows, lengths, .. } = batch;
        let x = match (&batch.input, &self.embedding) {
            (Values::Tokens(tokens), Some(embedding)) => {
                embedding.forward_with(&Tensor::from_indices(&self.device, tokens, &[*steps, *rows])?, mode)?
            }
            (Values::Numbers(values), _) => {
                Tensor::from_slice(&self.device, values, &[*steps, *rows, self.shape.input.width()])?
            }
            (Values::Tokens(_), None) => unreachable!("a task with tokens has an embedding"),
        };
        let (states, last) = self.layer.run(&x, lengths.as_deref(), mode)?;
        let &[_, _, units] = states.dims() else { unreachable!("states have three axes") };
        let read = match self.shape.read {
            Read::Last => last.reshape(&[1, *rows, units])?,
            Read::Tail(n) => states.slice(0, steps - n..*steps)?,
            Read::Every => states.clone(),
        };
        let Some(attention) = &self.attention else { return self.head.forward_with(&read, mode) };
        let keys = match self.shape.read {
            Read::Tail(n) => states.slice(0, 0..steps - n)?,
            Read::Last | Read::Every => states,
        };
        let mask = match self.shape.read {
            Read::Every => Some(self.causal(*steps)?),
            _ => lengths.as_ref().map(|lengths| self.padding(lengths, *steps)).transpose()?,
        };
        let context = attend(attention, &read, &keys, mask.as_ref(), mode)?;
        self.head.forward_with(&Tensor::concat(&[&read, &context], 2)?, mode)
    }

    /// Returns a mask `[1, T, T]` that hides later steps.
    fn causal(&self, steps: usize) -> Result<Tensor> {
        let mask: Vec<f32> = (0..steps * steps).map(|i| hidden(i % steps > i / steps)).collect();
        Tensor::from_slice(&self.device, &mask, &[1, steps, steps])
    }

    /// Returns a mask `[B, 1, T]` that hides the steps after the end.
    fn padding(&self, lengths: &[usize], steps: usize) -> Result<Tensor> {
        let mask: Vec<f32> = lengths.iter().flat_map(|&n| (0..steps).map(move |t| hidden(t >= n))).collect();
        Tensor::from_slice(&self.device, &mask, &[lengths.len(), 1, steps])
    }

    /// Returns a function that runs one step of one sequence, and writes the output of that step. Attention reads
    /// `steps` states.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn stepper(&self, steps: usize) -> Result<impl FnMut() -> Result<()>> {
        let width = self.shape.input.width();
        let x = Tensor::full(&self.device, 0.5, &[1, 1, width])?;
        let mut state = State::default();
        let units = self.layer.step(&x, &mut state)?.dims()[2];
        let keys = Tensor::full(&self.device, 0.1, &[steps, 1, units])?;
        Ok(move || {
            let mode = &mut Mode::Eval;
            let mut read = self.layer.step(&x, &mut state)?;
            if let Some(attention) = &self.attention {
                let context = attend(attention, &read, &keys, None, mode)?;
                read = Tensor::concat(&[&read, &context], 2)?;
            }
            self.head.forward_with(&read, mode)?.read_blocking()?;
            Ok(())
        })
    }

    /// Returns a [`Stream`] of the network; `None` for a cell that has none.
    ///
    /// # Errors
    /// Errors from [`Stream::new`].
    pub fn stream(&self) -> Result<Option<Stream>> {
        match &self.layer {
            Layer::Recurrent(layer) if self.attention.is_none() => {
                Ok(Some(Stream::new(layer, StreamOptions::default())?.then(&self.head)?))
            }
            _ => Ok(None),
        }
    }
}

impl Network {
    /// Returns all parameters with their names.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let mut parts: Vec<(&str, &dyn Module)> = vec![("layer", &self.layer), ("head", &self.head)];
        parts.extend(self.embedding.as_ref().map(|embedding| ("embedding", embedding as &dyn Module)));
        parts.extend(self.attention.as_ref().map(|attention| ("attention", attention as &dyn Module)));
        named_parameters(&parts)
    }
}

/// Returns what is added to the score of a step.
fn hidden(is_hidden: bool) -> f32 {
    if is_hidden { -1e9 } else { 0.0 }
}

/// Returns the contexts `[Q, B, H]` of `queries` `[Q, B, H]` over `keys` `[S, B, H]`. The scores `[B, Q, S]` are added
/// to `mask`.
fn attend(weight: &Linear, queries: &Tensor, keys: &Tensor, mask: Option<&Tensor>, mode: &mut Mode) -> Result<Tensor> {
    let units = queries.dims()[2];
    let queries = weight.forward_with(queries, mode)?.permute(&[1, 0, 2])?;
    let scores = queries.matmul(&keys.permute(&[1, 2, 0])?)?.scale(1.0 / (units as f32).sqrt())?;
    let scores = mask.map_or_else(|| Ok(scores.clone()), |mask| scores.add(mask))?;
    scores.softmax()?.matmul(&keys.permute(&[1, 0, 2])?)?.permute(&[1, 0, 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Target;

    const UNITS: usize = 6;

    fn network(kind: Kind, read: Read, layers: usize) -> Network {
        let shape = Shape { input: Input::Tokens { vocabulary: 5, width: 3 }, output: 4, read };
        Network::new(&Device::cpu(), kind, UNITS, layers, shape, &mut Rng::new(3)).unwrap()
    }

    /// Returns the outputs for two sequences of tokens, by step and row.
    fn outputs(network: &Network, rows: [&[u32]; 2], lengths: Option<Vec<usize>>) -> Vec<Vec<f32>> {
        let steps = rows[0].len();
        let tokens = (0..steps).flat_map(|t| rows.map(|row| row[t])).collect();
        let (input, target) = (Values::Tokens(tokens), Target::Classes(Vec::new()));
        let batch = Batch { steps, rows: 2, input, lengths, target };
        let y = network.forward(&batch, &mut Mode::Eval).unwrap();
        y.read_blocking().unwrap().chunks(4).map(<[f32]>::to_vec).collect()
    }

    fn are_close(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
    }

    #[test]
    fn parameters_are_counted() {
        for (kind, layers) in Kind::ALL.into_iter().flat_map(|kind| [(kind, 1), (kind, 3)]) {
            let all: usize =
                network(kind, Read::Last, layers).parameters().iter().map(|(_, tensor)| tensor.len()).sum();
            assert_eq!(all - 5 * 3, kind.parameters(UNITS, layers, 3, 4), "{kind:?}");
        }
    }

    #[test]
    fn outputs_do_not_depend_on_later_steps() {
        for kind in Kind::ALL {
            let network = network(kind, Read::Every, 1);
            let [a, b] = [[1, 2, 3, 4], [1, 2, 0, 0]].map(|row| outputs(&network, [&row, &[4, 4, 4, 4]], None));
            for (step, (a, b)) in a.iter().zip(&b).step_by(2).enumerate() {
                assert_eq!(are_close(a, b), step < 2, "{kind:?} {step}");
            }
        }
    }

    #[test]
    fn outputs_do_not_depend_on_padding() {
        for kind in Kind::ALL {
            let network = network(kind, Read::Last, 2);
            let short = outputs(&network, [&[1, 2], &[3, 1]], None);
            let padded = outputs(&network, [&[1, 2, 4, 4], &[3, 1, 0, 2]], Some(vec![2, 4]));
            assert!(are_close(&short[0], &padded[0]) && !are_close(&short[1], &padded[1]), "{kind:?}");
        }
    }

    #[test]
    fn attention_reads_the_steps_before_the_tail() {
        let network = network(Kind::GruAttention, Read::Tail(1), 1);
        let whole = outputs(&network, [&[1, 2, 3], &[4, 0, 2]], None);
        assert_eq!(whole.len(), 2);
        // The same in f64 by hand, from the states.
        let of = |name: &str| {
            let found = network.parameters().into_iter().find(|(other, _)| other == name);
            found.unwrap().1.read_blocking().unwrap()
        };
        let (weight, head, bias) = (of("attention.weight"), of("head.weight"), of("head.bias"));
        let embedding = network.embedding.as_ref().unwrap();
        let tokens = Tensor::from_indices(&network.device, &[1, 2, 3], &[3, 1]).unwrap();
        let states = network.layer.run(&embedding.forward(&tokens).unwrap(), None, &mut Mode::Eval).unwrap().0;
        let states: Vec<Vec<f64>> = states
            .read_blocking()
            .unwrap()
            .chunks(UNITS)
            .map(|state| state.iter().copied().map(f64::from).collect())
            .collect();
        let dot = |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
        let query: Vec<f64> = weight.chunks(UNITS).map(|row| dot(&states[2], row)).collect();
        let scores = [0, 1].map(|s| {
            let product: f64 = query.iter().zip(&states[s]).map(|(q, k)| q * k).sum();
            (product / (UNITS as f64).sqrt()).exp()
        });
        let context = (0..UNITS)
            .map(|i| (scores[0] * states[0][i] + scores[1] * states[1][i]) / (scores[0] + scores[1]))
            .collect();
        let read = [states[2].clone(), context].concat();
        let want: Vec<f32> =
            head.chunks(2 * UNITS).zip(&bias).map(|(row, b)| (dot(&read, row) + f64::from(*b)) as f32).collect();
        assert!(are_close(&whole[0], &want), "{:?} {want:?}", whole[0]);
    }

    #[test]
    fn only_layers_that_stream_have_streams() {
        for kind in Kind::ALL {
            let has_stream = network(kind, Read::Every, 1).stream().unwrap().is_some();
            assert_eq!(has_stream, !matches!(kind, Kind::MinGru | Kind::GruAttention), "{kind:?}");
        }
    }
}
