//! Convolution over time.

use super::{Kind, Mode, Module, check_sizes, uniform};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::conv::Window;
use crate::rng::Rng;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Order of the axes of sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axes {
    /// `[T, B, channels]`, as in the recurrent layers.
    #[default]
    TimeFirst,
    /// `[B, T, channels]`, as in the recurrent layers with `batch_first`.
    BatchFirst,
    /// `[B, channels, T]`, as in `torch.nn.Conv1d`.
    ChannelsFirst,
}

impl Axes {
    /// Returns the permutations from these axes to `[T, B, channels]` and back; `None` for the identity.
    fn permutations(self) -> Option<[[usize; 3]; 2]> {
        match self {
            Axes::TimeFirst => None,
            Axes::BatchFirst => Some([[1, 0, 2], [1, 0, 2]]),
            Axes::ChannelsFirst => Some([[2, 0, 1], [1, 2, 0]]),
        }
    }
}

/// Configuration of a [`Conv1d`]. Defaults are those of `torch.nn.Conv1d`, except for `axes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv1dConfig {
    /// Channels of the input.
    pub input: usize,
    /// Channels of the output.
    pub output: usize,
    /// Steps of a window.
    pub kernel: usize,
    /// Steps from one window to the next.
    pub stride: usize,
    /// Number of zeros before the first step, and after the last.
    pub padding: usize,
    /// Steps between the taps of a window.
    pub dilation: usize,
    /// Number of groups into which the channels are divided. Each output reads only the inputs of its group.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// Order of the axes of input and output.
    pub axes: Axes,
}

impl Default for Conv1dConfig {
    fn default() -> Self {
        let axes = Axes::TimeFirst;
        Self { input: 1, output: 1, kernel: 1, stride: 1, padding: 0, dilation: 1, groups: 1, bias: true, axes }
    }
}

impl Conv1dConfig {
    /// Builds a layer with random weights.
    ///
    /// # Errors
    /// Same as [`Conv1d::new`].
    pub fn build(self, device: &Device, rng: &mut Rng) -> Result<Conv1d> {
        Conv1d::new(device, self, rng)
    }

    /// Returns the number of output steps for a sequence of `steps`, or 0 if no window fits. Use it to compute the
    /// `lengths` for the next layer.
    pub fn output_steps(&self, steps: usize) -> usize {
        self.window().outputs(steps, self.kernel).unwrap_or(0)
    }

    fn window(&self) -> Window {
        Window { stride: self.stride, padding: self.padding, dilation: self.dilation, groups: self.groups }
    }

    /// Returns the shape of the weight, `[out, in / groups, kernel]`, of a valid configuration.
    fn dims(&self) -> Result<[usize; 3]> {
        let &Self { input, output, kernel, stride, dilation, groups, .. } = self;
        let sizes = [("input", input), ("output", output), ("kernel", kernel)];
        let steps = [("stride", stride), ("dilation", dilation), ("groups", groups)];
        check_sizes("Conv1d", sizes).and(check_sizes("Conv1d", steps))?;
        if !input.is_multiple_of(groups) || !output.is_multiple_of(groups) {
            return Err(Error::value("Conv1d", "groups", format!("a divisor of {input} and {output}"), groups));
        }
        let dims = [output, input / groups, kernel];
        Shape::new("Conv1d", &dims)?;
        Ok(dims)
    }
}

/// Convolution over time, as `torch.nn.Conv1d` with zero padding:
///
/// ```text
/// y[t, b, o] = bias[o] + Σ_{c, j} weight[o, c, j]·x[t·stride + j·dilation − padding, b, c]
/// T' = ⌊(T + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1
/// ```
///
/// The axes are `[T, B, channels]` unless [`Conv1dConfig::axes`] is set. As in PyTorch, `weight` is
/// `[out, in / groups, kernel]` and `bias` is `[out]`.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{Conv1dConfig, Mode, Module}};
/// let device = Device::cpu();
/// let config = Conv1dConfig { input: 8, output: 16, kernel: 3, stride: 2, padding: 1, ..Default::default() };
/// let conv = config.build(&device, &mut Rng::new(0))?;
/// let y = conv.forward(&Tensor::zeros(&device, &[10, 2, 8])?)?;
/// assert_eq!(y.dims(), [5, 2, 16]);
/// assert_eq!(conv.config().output_steps(10), 5);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv1d {
    config: Conv1dConfig,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Conv1d {
    /// Creates a layer with weights and biases uniform in `±1/√(in / groups·kernel)`, as in PyTorch.
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0, or groups that do not divide the channels.
    pub fn new(device: &Device, config: Conv1dConfig, rng: &mut Rng) -> Result<Self> {
        let dims @ [output, inputs, kernel] = config.dims()?;
        let bound = 1.0 / ((inputs * kernel) as f32).sqrt();
        let weight = uniform(device, &dims, bound, rng)?;
        let bias = config.bias.then(|| uniform(device, &[output], bound, rng)).transpose()?;
        Ok(Self { config, weight, bias })
    }

    /// Creates a layer from its weight `[out, in / groups, kernel]` and, if it has one, its bias `[out]`.
    ///
    /// # Errors
    /// Same as [`new`](Self::new); [`Error::Shape`], [`Error::DType`] or [`Error::DeviceMix`] for other tensors.
    pub fn from_parameters(config: Conv1dConfig, weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let dims = config.dims()?;
        let check = |name: &'static str, tensor: &Tensor, dims: &[usize]| {
            tensor.check_dtype("Conv1d", name, "f32")?;
            match tensor.dims() == dims {
                true => Ok(()),
                false => Err(Error::shape("Conv1d", name, format!("{dims:?}"), tensor.dims())),
            }
        };
        check("weight", &weight, &dims)?;
        if let Some(bias) = &bias {
            check("bias", bias, &dims[..1])?;
            weight.device().check_same("Conv1d", "bias", bias)?;
        }
        let config = Conv1dConfig { bias: bias.is_some(), ..config };
        Ok(Self { config, weight: weight.requires_grad(), bias: bias.map(|bias| bias.requires_grad()) })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Conv1dConfig {
        &self.config
    }
}

impl Module for Conv1d {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let weight = ("weight".to_string(), self.weight.clone());
        std::iter::once(weight).chain(self.bias.iter().map(|b| ("bias".to_string(), b.clone()))).collect()
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let (weight, bias) = (mode.parameter(&self.weight), self.bias.as_ref().map(|b| mode.parameter(b)));
        let window = self.config.window();
        let input = self.config.input;
        let (channels, expected) = match self.config.axes {
            Axes::TimeFirst => (2, format!("[steps, batch, {input}]")),
            Axes::BatchFirst => (2, format!("[batch, steps, {input}]")),
            Axes::ChannelsFirst => (1, format!("[batch, {input}, steps]")),
        };
        if x.dims().len() != 3 || x.dims()[channels] != input {
            return Err(Error::shape("conv1d", "x", expected, x.dims()));
        }
        match self.config.axes.permutations() {
            None => x.conv1d(&weight, bias.as_ref(), window),
            Some([there, back]) => x.permute(&there)?.conv1d(&weight, bias.as_ref(), window)?.permute(&back),
        }
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Conv1d(&self.config)
    }
}
