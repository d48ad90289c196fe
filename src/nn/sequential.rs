//! Layers one after the other, and the small ones that stand between others

use super::{Kind, Mode, Module};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Layers one after the other; a parameter is named `<layer>.<name>`, as in PyTorch.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let gru = GruConfig { input: 3, hidden: 8, batch_first: true, ..Default::default() }.build(&device, &mut rng)?;
/// let model = Sequential::new()
///     .push("gru", gru)
///     .push("last", LastStep { batch_first: true })
///     .push("head", Linear::new(&device, 8, 1, true, &mut rng)?);
/// let y = model.forward(&Tensor::zeros(&device, &[2, 5, 3])?, &mut Mode::Eval)?;
/// assert_eq!(y.dims(), [2, 1]);
/// assert_eq!(model.parameters()[0].0, "gru.weight_ih_l0");
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<(String, Box<dyn Module + Send + Sync>)>,
}

impl Sequential {
    /// No layer: the identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same layers and one more.
    pub fn push(mut self, name: &str, layer: impl Module + Send + Sync + 'static) -> Self {
        self.layers.push((name.into(), Box::new(layer)));
        self
    }
}

impl Module for Sequential {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let named = |(layer, module): &(String, Box<dyn Module + Send + Sync>)| {
            module.parameters().into_iter().map(|(name, t)| (format!("{layer}.{name}"), t)).collect::<Vec<_>>()
        };
        self.layers.iter().flat_map(named).collect()
    }

    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.layers.iter().try_fold(x.clone(), |x, (_, layer)| layer.forward(&x, mode))
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Sequence(self.layers.iter().map(|(name, layer)| (name.as_str(), &**layer as &dyn Module)).collect())
    }
}

/// The last step of a sequence: `[B, T, H]` (batch-first) or `[T, B, H]` gives `[B, H]`.
pub struct LastStep {
    /// Whether the batch is the first axis.
    pub batch_first: bool,
}

impl Module for LastStep {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    fn forward(&self, x: &Tensor, _: &mut Mode) -> Result<Tensor> {
        let &[outer, inner, width] = x.dims() else {
            return Err(Error::shape("LastStep", "x", "3 axes", x.dims()));
        };
        let (axis, steps, batch) = if self.batch_first { (1, inner, outer) } else { (0, outer, inner) };
        x.slice(axis, steps - 1..steps)?.reshape(&[batch, width])
    }

    fn kind(&self) -> Kind<'_> {
        Kind::LastStep { batch_first: self.batch_first }
    }
}

macro_rules! activation {
    ($(#[$meta:meta])* $name:ident, $method:ident) => {
        $(#[$meta])*
        pub struct $name;

        impl Module for $name {
            fn parameters(&self) -> Vec<(String, Tensor)> {
                Vec::new()
            }

            fn forward(&self, x: &Tensor, _: &mut Mode) -> Result<Tensor> {
                x.$method()
            }

            fn kind(&self) -> Kind<'_> {
                Kind::$name
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
