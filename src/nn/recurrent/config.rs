//! Configuration of a recurrent layer.

use super::Recurrent;
use crate::cell::Cell;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::math::Activation;
use crate::nn::{check_layers, check_share, check_sizes};
use crate::ops::recurrent::Plan;
use crate::rng::Rng;
use crate::shape::Shape;

/// Output of padded and masked steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// 0, as in PyTorch's packed sequences and ONNX Runtime.
    #[default]
    Zero,
    /// The previous output, as in Keras; 0 before the first valid step.
    RepeatLast,
}

/// Options of every recurrent layer, all off by default.
///
/// Noise is applied only during training; in evaluation mode, zoneout uses its expected value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecurrentOptions {
    /// Bound of the pre-activations of all gates, as ONNX's `clip`.
    pub clip: Option<f32>,
    /// Output of padded and masked steps.
    pub padding: Padding,
    /// Probability that an input feature is 0 for a whole sequence, in every layer. Keras: `dropout`.
    pub input_dropout: f32,
    /// Probability that a unit of the state is 0 in the recurrent product, drawn once per sequence. Keras:
    /// `recurrent_dropout`. Gal and Ghahramani (2016).
    pub recurrent_dropout: f32,
    /// Probability that a unit keeps its value in a step: `h' = h + m⊙(h̃ − h)`, with `m = 1 − p` in evaluation mode.
    /// Krueger et al., *Zoneout* (2016).
    pub zoneout: f32,
    /// The same for the LSTM's cell state.
    pub zoneout_cell: f32,
    /// Probability that a recurrent weight is 0 for a whole run: DropConnect, as in AWD-LSTM. Merity et al. (2017).
    pub weight_dropout: f32,
    /// Whether the initial states are parameters: `h0`, for an LSTM also `c0`, `[layers·D, 1, H]`. They are used when a
    /// run does not provide initial states.
    pub learn_h0: bool,
    /// Gradient checkpointing: training keeps about 2√T states of a run instead of every gate, and the backward pass
    /// recomputes the rest. Gradients are equal up to rounding. This uses a fraction of the memory, at the cost of
    /// another forward pass. Not stored in model files; not available with zoneout, recurrent dropout, or
    /// [`reset_to_h0`](super::RunOptions::reset_to_h0).
    pub recompute: bool,
}

/// Configuration of a [`Recurrent`] layer. The default is a GRU with PyTorch's defaults.
///
/// ```
/// use wgru::{Cell, Device, Rng, nn::RecurrentConfig};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let gru = RecurrentConfig::gru(4, 8).build(&device, &mut rng)?;
/// let stacked = RecurrentConfig { layers: 2, bidirectional: true, ..RecurrentConfig::lstm(4, 8) };
/// let stacked = stacked.build(&device, &mut rng)?;
/// assert_eq!((gru.config().cell, stacked.config().cell), (Cell::Gru, Cell::Lstm));
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentConfig {
    /// The cell.
    pub cell: Cell,
    /// I, features of the input.
    pub input: usize,
    /// H, units of the hidden state (for a projected LSTM: of the cell state).
    pub hidden: usize,
    /// P, width to which an LSTM projects its hidden state; 0 for no projection. PyTorch: `proj_size`.
    pub projection: usize,
    /// Number of stacked layers; each one runs on the output of the one below.
    pub layers: usize,
    /// Whether the products have biases.
    pub bias: bool,
    /// Whether `x` and the output are `[B, T, ..]` instead of `[T, B, ..]`. States are `[.., B, H]` either way.
    pub batch_first: bool,
    /// Dropout probability between the layers during training; there is none after the last layer.
    pub dropout: f32,
    /// Adds to every layer a second direction, which runs from each sequence's last step; outputs are concatenated.
    pub bidirectional: bool,
    /// The only direction runs backward in time; each output stays at its time step.
    pub reverse: bool,
    /// An LSTM's gates also read the cell state, with separate weights: Gers and Schmidhuber (2000). ONNX: `P`.
    pub peephole: bool,
    /// An LSTM's forget gate is `1 − i`. ONNX: `input_forget`.
    pub input_forget: bool,
    /// One activation for each of the cell's [`activation_names`](Cell::activation_names); empty for the usual ones.
    pub activations: Vec<Activation>,
    /// Clipping, padding, noise, learned initial states, gradient checkpointing.
    pub options: RecurrentOptions,
    /// The plan that runs the steps; `None` chooses one for the device.
    pub plan: Option<Plan>,
}

impl Default for RecurrentConfig {
    fn default() -> Self {
        Self {
            cell: Cell::Gru,
            input: 1,
            hidden: 32,
            projection: 0,
            layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
            reverse: false,
            peephole: false,
            input_forget: false,
            activations: Vec::new(),
            options: RecurrentOptions::default(),
            plan: None,
        }
    }
}

impl RecurrentConfig {
    /// Returns the configuration of a layer with `input` features and `hidden` units; all other fields have their
    /// defaults.
    pub fn new(cell: Cell, input: usize, hidden: usize) -> Self {
        Self { cell, input, hidden, ..Self::default() }
    }

    /// Returns the configuration of a GRU; see [`new`](Self::new).
    pub fn gru(input: usize, hidden: usize) -> Self {
        Self::new(Cell::Gru, input, hidden)
    }

    /// Returns the configuration of an LSTM; see [`new`](Self::new).
    pub fn lstm(input: usize, hidden: usize) -> Self {
        Self::new(Cell::Lstm, input, hidden)
    }

    /// Returns the configuration of a simple recurrent layer; see [`new`](Self::new).
    pub fn rnn(input: usize, hidden: usize) -> Self {
        Self::new(Cell::Rnn, input, hidden)
    }

    /// Builds a layer with random weights; see [`Recurrent::new`].
    ///
    /// # Errors
    /// Same as [`Recurrent::new`].
    pub fn build(&self, device: &Device, rng: &mut Rng) -> Result<Recurrent> {
        Recurrent::new(device, self.clone(), rng)
    }

    /// Returns the width of the hidden state and of one direction's output: `hidden`, or the projection's width.
    pub fn out(&self) -> usize {
        if self.is_projected() { self.projection } else { self.hidden }
    }

    /// Returns the number of directions of a layer, `D`: 1 or 2.
    pub fn directions(&self) -> usize {
        1 + self.bidirectional as usize
    }

    /// Extents of the hidden states of a batch, `[layers·D, B, out]`, and of an LSTM's cell states, `[layers·D, B, H]`.
    pub fn state_dims(&self, batch: usize) -> [[usize; 3]; 2] {
        let rows = self.layers * self.directions();
        [[rows, batch, self.out()], [rows, batch, self.hidden]]
    }

    /// The layer type, for errors.
    pub(crate) fn op(&self) -> &'static str {
        self.cell.layer()
    }

    pub(crate) fn is_projected(&self) -> bool {
        self.projection > 0
    }

    /// Returns the width of the whole state: `out`, for an LSTM plus its cell state.
    pub(crate) fn width(&self) -> usize {
        self.out() + if self.cell == Cell::Lstm { self.hidden } else { 0 }
    }

    /// The activations, one per entry of [`Cell::activation_names`].
    pub fn activations(&self) -> &[Activation] {
        if self.activations.is_empty() { self.cell.activations() } else { &self.activations }
    }

    /// The activations, the last one repeated up to five.
    pub(crate) fn five_activations(&self) -> [Activation; 5] {
        let all = self.activations();
        std::array::from_fn(|i| all[i.min(all.len() - 1)])
    }

    /// Returns names and shapes of the parameters, in order.
    pub(crate) fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (rows, h, directions) = (self.cell.gates() * self.hidden, self.hidden, self.directions());
        let mut shapes = Vec::new();
        for (layer, d) in (0..self.layers).flat_map(|layer| (0..directions).map(move |d| (layer, d))) {
            let input = if layer == 0 { self.input } else { directions * self.out() };
            let parts = [
                (true, "weight_ih", vec![rows, input]),
                (true, "weight_hh", vec![rows, self.out()]),
                (self.bias, "bias_ih", vec![rows]),
                (self.bias, "bias_hh", vec![rows]),
                (self.is_projected(), "weight_hr", vec![self.out(), h]),
                (self.peephole, "weight_peephole", vec![3 * h]),
            ];
            let present = parts.into_iter().filter(|(is_present, ..)| *is_present);
            shapes.extend(present.map(|(_, name, dims)| (parameter_name(name, layer, d == 1), dims)));
        }
        if self.options.learn_h0 {
            let states = [("h0", self.out()), ("c0", h)].into_iter().take(self.cell.states());
            shapes.extend(states.map(|(name, width)| (name.into(), vec![self.layers * directions, 1, width])));
        }
        shapes
    }

    /// Returns the canonical configuration of the same layer, without activations that are the cell's usual ones.
    ///
    /// # Errors
    /// [`Error::Value`] for a wrong number of activations.
    pub(crate) fn canonical(mut self) -> Result<Self> {
        let names = self.cell.activation_names();
        if !self.activations.is_empty() && self.activations.len() != names.len() {
            let expected = format!("none, or one for each of {names:?}");
            return Err(Error::value(self.op(), "activations", expected, format!("{:?}", self.activations)));
        }
        if self.cell.gates() == 1 {
            self.cell = if self.activations() == [Activation::Relu] { Cell::RnnRelu } else { Cell::Rnn };
        }
        if self.activations == self.cell.activations() {
            self.activations.clear();
        }
        Ok(self)
    }

    pub(crate) fn check(&self, device: &Device) -> Result<()> {
        let op = self.op();
        check_layers(op, self.layers)?;
        check_sizes(op, [("input", self.input), ("hidden", self.hidden)])?;
        // Checks the largest matrix of any layer before anything is multiplied or allocated.
        let widest = self.input.max(self.hidden.max(self.out()).saturating_mul(2));
        Shape::new(op, &[self.hidden.saturating_mul(4), widest])?;
        let o = &self.options;
        for (arg, share) in [
            ("dropout", self.dropout),
            ("input_dropout", o.input_dropout),
            ("recurrent_dropout", o.recurrent_dropout),
            ("zoneout", o.zoneout),
            ("zoneout_cell", o.zoneout_cell),
            ("weight_dropout", o.weight_dropout),
        ] {
            check_share(op, arg, share)?;
        }
        if self.cell != Cell::Lstm {
            if o.zoneout_cell != 0.0 {
                return Err(Error::value(op, "zoneout_cell", "0 for a cell without a cell state", o.zoneout_cell));
            }
            if self.is_projected() {
                return Err(Error::value(op, "projection", "0: only an LSTM has one", self.projection));
            }
            for (arg, is_set) in [("peephole", self.peephole), ("input_forget", self.input_forget)] {
                if is_set {
                    return Err(Error::value(op, arg, "false: only an LSTM has it", true));
                }
            }
        }
        if o.recompute && !self.is_quiet() {
            return Err(Error::value(op, "recompute", "false with zoneout or recurrent dropout", true));
        }
        if let Some(clip) = o.clip
            && (clip.is_nan() || clip <= 0.0)
        {
            return Err(Error::value(op, "clip", "above 0", clip));
        }
        if self.bidirectional && self.reverse {
            return Err(Error::value(op, "reverse", "false for a bidirectional layer", true));
        }
        if let Some(plan) = self.plan {
            plan.check(device, self.hidden, self.fused())?;
        }
        Ok(())
    }

    /// Whether there is neither zoneout nor recurrent dropout.
    fn is_quiet(&self) -> bool {
        let o = &self.options;
        o.zoneout == 0.0 && o.zoneout_cell == 0.0 && o.recurrent_dropout == 0.0
    }

    /// Whether the equations are the cell's usual ones.
    pub(crate) fn is_usual(&self) -> bool {
        self.activations.is_empty() && !self.is_projected() && !self.peephole && !self.input_forget
    }

    /// Returns the cell if no option requires [`Plan::Steps`], so that fused kernels can run it.
    pub(crate) fn fused(&self) -> Option<Cell> {
        (self.is_usual() && self.is_quiet() && self.options.clip.is_none()).then_some(self.cell)
    }
}

/// Returns PyTorch's name of a parameter.
pub(crate) fn parameter_name(part: &str, layer: usize, is_reverse: bool) -> String {
    format!("{part}_l{layer}{}", if is_reverse { "_reverse" } else { "" })
}
