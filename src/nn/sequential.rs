//! Sequences of layers, and small layers to use between others.

use std::any::Any;
use std::sync::Arc;

use super::{Kind, Mode, Module, named_parameters};
#[cfg(feature = "autograd")]
use super::{Padded, padded::step_at_end};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Runs layers one after another. Parameters are named `<layer>.<parameter>`, as in PyTorch.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let gru = RecurrentConfig { input: 3, hidden: 8, batch_first: true, ..Default::default() }.build(&device, &mut rng)?;
/// let model = Sequential::new()
///     .push("gru", gru)
///     .push("last", LastStep { batch_first: true })
///     .push("head", Linear::new(&device, 8, 1, true, &mut rng)?);
/// let y = model.forward(&Tensor::zeros(&device, &[2, 5, 3])?)?;
/// assert_eq!(y.dims(), [2, 1]);
/// assert_eq!(model.parameters()[0].0, "gru.weight_ih_l0");
/// // After training, a stream uses the layers.
/// let mut stream = model.layer::<Gru>("gru")?.stream(1)?.then(model.layer("head")?)?;
/// assert_eq!(stream.step(&[0.0; 3])?.len(), 1);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Sequential {
    layers: Vec<(String, Arc<dyn Layer>)>,
    /// Order in which the last layer computes the steps of its output.
    order: Order,
    /// If a [`LastStep`] follows a reverse direction, the option that made it one; see [`push`](Self::push).
    fault: Option<&'static str>,
    /// Other names of layers, and their names.
    aliases: Vec<(String, String)>,
}

/// A module that can be downcast to its concrete type.
pub(crate) trait Layer: Module + Any {}

impl<M: Module + 'static> Layer for M {}

impl dyn Layer {
    /// Returns the module as the type `M`, if that is its type.
    pub(crate) fn downcast_ref<M: Module + 'static>(&self) -> Option<&M> {
        (self as &dyn Any).downcast_ref()
    }
}

impl Sequential {
    /// Creates a sequence without layers, which is the identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a layer.
    ///
    /// If it is a [`LastStep`] after a bidirectional or reverse layer, `forward` returns an error: at the last step,
    /// the reverse direction has processed only one step. Use [`LastState`] there, which takes the last state of each
    /// direction.
    pub fn push(mut self, name: &str, layer: impl Module + 'static) -> Self {
        self.order = self.order.after(&layer.kind(), &mut self.fault);
        self.layers.push((name.into(), Arc::new(layer)));
        self
    }

    /// Lets [`layer`](Self::layer) find a layer by another name.
    pub(crate) fn alias(mut self, other: &str, name: &str) -> Self {
        self.aliases.push((other.into(), name.into()));
        self
    }

    /// Returns the first layer with this name, as the type that was pushed.
    ///
    /// # Errors
    /// [`Error::Value`] if no layer has this name, or it has another type.
    pub fn layer<M: Module + 'static>(&self, name: &str) -> Result<&M> {
        let by_name = |name: &str| self.layers.iter().find(|(n, _)| n == name);
        let by_alias = || by_name(&self.aliases.iter().find(|(other, _)| other == name)?.1);
        let found = by_name(name).or_else(by_alias);
        let (_, layer) = found.ok_or_else(|| {
            Error::value("Sequential::layer", "name", format!("one of {:?}", self.names()), format!("{name:?}"))
        })?;
        layer.downcast_ref().ok_or_else(|| {
            let expected = format!("the type of layer {name:?}");
            Error::value("Sequential::layer", "M", expected, std::any::type_name::<M>())
        })
    }

    /// Returns layer `k`, which must exist.
    pub(crate) fn at(&self, k: usize) -> &dyn Layer {
        &*self.layers[k].1
    }

    /// Returns the number of layers.
    pub(crate) fn count(&self) -> usize {
        self.layers.len()
    }

    pub(crate) fn parts(&self) -> Vec<(&str, &dyn Module)> {
        self.layers.iter().map(|(name, layer)| (name.as_str(), &**layer as &dyn Module)).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.layers.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Module for Sequential {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        named_parameters(&self.parts())
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.fault.map_or(Ok(()), |option| Err(wrong_last_step(option)))?;
        self.layers.iter().try_fold(x.clone(), |x, (_, layer)| layer.forward_with(&x, mode))
    }

    #[cfg(feature = "autograd")]
    fn forward_padded(&self, x: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<Padded> {
        self.fault.map_or(Ok(()), |option| Err(wrong_last_step(option)))?;
        self.layers.iter().try_fold(Padded::Steps(x.clone()), |x, (_, layer)| match x {
            Padded::Steps(x) => layer.forward_padded(&x, lengths, mode),
            Padded::Rows(x) => layer.forward_with(&x, mode).map(Padded::Rows),
        })
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Sequence(self.parts())
    }
}

/// Prints the names of the layers.
impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sequential").field(&self.names()).finish()
    }
}

/// Order in which the steps of an output are computed.
#[derive(Clone, Copy, Default)]
enum Order {
    /// Forward in time, or unknown.
    #[default]
    Forward,
    /// Backward in time, by a recurrent layer with this option: `bidirectional` or `reverse`.
    Reverse(&'static str),
}

impl Order {
    /// Returns the order of a layer's output, given that of its input. Sets `fault` for a [`LastStep`] after a reverse
    /// direction.
    fn after(self, kind: &Kind, fault: &mut Option<&'static str>) -> Self {
        let of = |bidirectional, reverse| match (bidirectional, reverse) {
            (true, _) => Order::Reverse("bidirectional"),
            (_, true) => Order::Reverse("reverse"),
            _ => Order::Forward,
        };
        match kind {
            Kind::Recurrent(c) => of(c.bidirectional, c.reverse),
            Kind::MinGru(c) => of(c.bidirectional, c.reverse),
            Kind::LayerNormGru(c) => of(c.bidirectional, c.reverse),
            // These act on each step independently.
            Kind::Linear | Kind::LayerNorm(_) | Kind::Dropout => self,
            Kind::Activation(_) | Kind::Softmax | Kind::LogSoftmax => self,
            Kind::Sequence(parts) => parts.iter().fold(self, |order, (_, part)| order.after(&part.kind(), fault)),
            Kind::LastStep { .. } => {
                if let Order::Reverse(option) = self {
                    fault.get_or_insert(option);
                }
                Order::Forward
            }
            _ => Order::Forward,
        }
    }
}

/// Returns the error for a [`LastStep`] after a layer with this option.
fn wrong_last_step(option: &str) -> Error {
    let got = format!(
        "the output of a layer with `{option}: true`, whose reverse direction has processed only one step there"
    );
    let expected = format!("the output of a forward layer; use LastState {{ {option}: true, .. }}");
    Error::value("LastStep", "x", expected, got)
}

/// Checks that no [`LastStep`] of a model follows a reverse direction.
pub(crate) fn check_last_steps(model: &Kind) -> Result<()> {
    let mut fault = None;
    Order::Forward.after(model, &mut fault);
    fault.map_or(Ok(()), |option| Err(wrong_last_step(option)))
}

/// Returns the time axis of `x`, and its steps, batch and width.
fn steps_of(op: &'static str, x: &Tensor, batch_first: bool) -> Result<(usize, [usize; 3])> {
    match *x.dims() {
        [batch, steps, width] if batch_first => Ok((1, [steps, batch, width])),
        [steps, batch, width] => Ok((0, [steps, batch, width])),
        _ => Err(Error::shape(op, "x", "3 axes", x.dims())),
    }
}

/// Returns the last step of a sequence: `[B, T, H]` (batch-first) or `[T, B, H]` gives `[B, H]`. Of sequences of
/// different lengths, [`Module::forward_padded`] returns the last valid step, and 0 for a sequence without steps.
///
/// Use it after a forward recurrent layer. After a bidirectional or reverse layer, use [`LastState`]: at the last step,
/// a reverse direction has processed only one step.
#[derive(Clone, Copy, Debug)]
pub struct LastStep {
    /// Whether the batch is the first axis.
    pub batch_first: bool,
}

impl Module for LastStep {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    fn forward_with(&self, x: &Tensor, _: &mut Mode) -> Result<Tensor> {
        let (axis, [steps, batch, width]) = steps_of("LastStep", x, self.batch_first)?;
        x.slice(axis, steps - 1..steps)?.reshape(&[batch, width])
    }

    #[cfg(feature = "autograd")]
    fn forward_padded(&self, x: &Tensor, lengths: &[usize], _: &mut Mode) -> Result<Padded> {
        let (_, extents) = steps_of("LastStep", x, self.batch_first)?;
        step_at_end("LastStep", x, (self.batch_first, true), extents, lengths).map(Padded::Rows)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::LastStep { batch_first: self.batch_first }
    }
}

/// Returns the last state of each direction from the output of a recurrent layer.
///
/// `[B, T, D·H]` (batch-first) or `[T, B, D·H]` gives `[B, D·H]`: the layer's `h_n`, side by side.
///
/// ```text
/// forward:       y[T − 1]
/// reverse:       y[0]
/// bidirectional: y[T − 1] of the first half, y[0] of the second
/// ```
///
/// [`Module::forward_padded`] takes the last valid step of each sequence instead of `T − 1`, and returns 0 for a
/// sequence without steps.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let config = RecurrentConfig { input: 3, hidden: 8, batch_first: true, bidirectional: true, ..Default::default() };
/// let model = Sequential::new()
///     .push("gru", config.build(&device, &mut rng)?)
///     .push("last", LastState { batch_first: true, bidirectional: true, ..Default::default() });
/// assert_eq!(model.forward(&Tensor::zeros(&device, &[2, 5, 3])?)?.dims(), [2, 16]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LastState {
    /// Whether the batch is the first axis.
    pub batch_first: bool,
    /// Whether the layer has two directions.
    pub bidirectional: bool,
    /// Whether the layer's only direction runs backward.
    pub reverse: bool,
}

impl LastState {
    /// Returns the last states of the directions of `x`, whose last or first step `step` returns as `[B, width]`.
    fn ends(&self, x: &Tensor, width: usize, step: impl Fn(bool) -> Result<Tensor>) -> Result<Tensor> {
        match (self.bidirectional, self.reverse) {
            (false, is_reverse) => step(!is_reverse),
            (true, false) if width.is_multiple_of(2) => {
                let (last, first) = (step(true)?, step(false)?);
                Tensor::concat(&[&last.slice(1, 0..width / 2)?, &first.slice(1, width / 2..width)?], 1)
            }
            (true, false) => Err(Error::shape("LastState", "x", "an even width, half for each direction", x.dims())),
            (true, true) => Err(Error::value("LastState", "reverse", "false for a bidirectional layer", true)),
        }
    }
}

impl Module for LastState {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    /// # Errors
    /// [`Error::Shape`] unless `x` has three axes, and an even width for two directions; [`Error::Value`] for
    /// `bidirectional` together with `reverse`.
    fn forward_with(&self, x: &Tensor, _: &mut Mode) -> Result<Tensor> {
        let (axis, [steps, batch, width]) = steps_of("LastState", x, self.batch_first)?;
        self.ends(x, width, |is_last| {
            let t = if is_last { steps - 1 } else { 0 };
            x.slice(axis, t..t + 1)?.reshape(&[batch, width])
        })
    }

    #[cfg(feature = "autograd")]
    fn forward_padded(&self, x: &Tensor, lengths: &[usize], _: &mut Mode) -> Result<Padded> {
        let (_, extents) = steps_of("LastState", x, self.batch_first)?;
        let step = |is_last| step_at_end("LastState", x, (self.batch_first, is_last), extents, lengths);
        self.ends(x, extents[2], step).map(Padded::Rows)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::LastState(*self)
    }
}

macro_rules! activation {
    ($(#[$meta:meta])* $name:ident, $method:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Module for $name {
            fn parameters(&self) -> Vec<(String, Tensor)> {
                Vec::new()
            }

            fn forward_with(&self, x: &Tensor, _: &mut Mode) -> Result<Tensor> {
                x.$method()
            }

            padded_by_step!();

            fn kind(&self) -> Kind<'_> {
                Kind::Activation(crate::math::Activation::$name)
            }
        }
    };
}

activation!(
    /// `max(x, 0)` as a layer.
    Relu,
    relu
);
activation!(
    /// `tanh(x)` as a layer.
    Tanh,
    tanh
);
