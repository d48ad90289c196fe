//! A batch of examples.

use crate::tensor::Tensor;

/// Some examples of [`Data`](super::Data) as tensors, one row per example: every tensor is batch-first.
///
/// ```
/// use wgru::{Device, Tensor, train::Batch};
/// let device = Device::cpu();
/// let batch = Batch::new(Tensor::zeros(&device, &[2, 5, 3])?)
///     .with_targets(Tensor::from_indices(&device, &[1, 0], &[2])?)
///     .with_lengths(vec![5, 2]);
/// assert_eq!((batch.len(), batch.x().dims()), (2, &[2, 5, 3][..]));
/// assert_eq!((batch.targets().dims(), batch.lengths()), (&[2][..], Some(&[5, 2][..])));
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    /// Never empty.
    inputs: Vec<Tensor>,
    targets: Option<Tensor>,
    lengths: Option<Vec<usize>>,
    examples: Vec<usize>,
}

impl Batch {
    /// Creates a batch with one input, no targets and no lengths. The indices of its examples are 0, 1, and so on.
    pub fn new(x: Tensor) -> Self {
        let examples = (0..x.dims().first().copied().unwrap_or(1)).collect();
        Self { inputs: vec![x], targets: None, lengths: None, examples }
    }

    /// Adds another input.
    pub fn with_input(mut self, input: Tensor) -> Self {
        self.inputs.push(input);
        self
    }

    /// Sets the targets.
    pub fn with_targets(self, targets: Tensor) -> Self {
        Self { targets: Some(targets), ..self }
    }

    /// Sets the number of valid steps of each row of the first input.
    pub fn with_lengths(self, lengths: Vec<usize>) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// Sets the indices of the examples in their data.
    pub(super) fn of(self, examples: &[usize]) -> Self {
        Self { examples: examples.to_vec(), ..self }
    }

    /// Returns the first input.
    pub fn x(&self) -> &Tensor {
        &self.inputs[0]
    }

    /// Returns all inputs, at least one.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// Returns the targets, or the first input if there are none.
    pub fn targets(&self) -> &Tensor {
        self.targets.as_ref().unwrap_or(self.x())
    }

    /// Whether the data has targets.
    pub fn has_targets(&self) -> bool {
        self.targets.is_some()
    }

    /// Returns the number of valid steps of each row of the first input, for
    /// [`RunOptions::lengths`](crate::nn::RunOptions::lengths); `None` if every step is valid.
    pub fn lengths(&self) -> Option<&[usize]> {
        self.lengths.as_deref()
    }

    /// Returns the index in the data of each row's example, to look up values that are not tensors, such as strings.
    pub fn examples(&self) -> &[usize] {
        &self.examples
    }

    /// Returns the number of examples.
    #[allow(clippy::len_without_is_empty, reason = "a tensor has at least one row")]
    pub fn len(&self) -> usize {
        self.examples.len()
    }
}
