//! Training data.

use std::fmt;

use super::Batch;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::shape::{MAX_RANK, Shape};
use crate::tensor::Tensor;

/// Examples that can be accessed by index.
///
/// Implement it for data that [`HostData`] cannot hold, for example data that is read or computed on demand:
///
/// ```
/// use wgru::{Device, Result, Tensor, train::{Batch, Data}};
///
/// /// Windows of a series, and the value after each.
/// struct Windows(Device, Vec<f32>);
///
/// impl Data for Windows {
///     fn len(&self) -> usize {
///         self.1.len() - 8
///     }
///     fn batch(&self, examples: &[usize]) -> Result<Batch> {
///         let x: Vec<f32> = examples.iter().flat_map(|&i| &self.1[i..i + 8]).copied().collect();
///         let y: Vec<f32> = examples.iter().map(|&i| self.1[i + 8]).collect();
///         let x = Tensor::from_slice(&self.0, &x, &[examples.len(), 8, 1])?;
///         Ok(Batch::new(x).with_targets(Tensor::from_slice(&self.0, &y, &[examples.len(), 1])?))
///     }
/// }
/// assert_eq!(Windows(Device::cpu(), vec![0.5; 20]).batch(&[0, 11])?.x().dims(), [2, 8, 1]);
/// # Ok::<(), wgru::Error>(())
/// ```
pub trait Data: Send + Sync {
    /// Returns the number of examples.
    fn len(&self) -> usize;

    /// Whether there are no examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of steps of an example, for
    /// [`TrainOptions::bucket_by_length`](super::TrainOptions::bucket_by_length); `None` if it is not known.
    fn length(&self, _example: usize) -> Option<usize> {
        None
    }

    /// Returns the number of rows of a batch, if each batch continues the sequences of the previous one, as in
    /// [`TokenLanes`](super::TokenLanes). The trainer then rejects other batch sizes and orders.
    fn lanes(&self) -> Option<usize> {
        None
    }

    /// Returns the examples with these indices, as batch-first tensors.
    ///
    /// # Errors
    /// Errors from the device.
    fn batch(&self, examples: &[usize]) -> Result<Batch>;
}

/// Examples in host memory. Each batch is uploaded when it is used.
///
/// ```
/// use wgru::{Device, train::{Data, HostData}};
/// let device = Device::cpu();
/// // Three padded sequences of at most two steps with one feature, a class for each, and their lengths.
/// let data = HostData::new(&device, vec![1.0, 2.0, 3.0, 0.0, 5.0, 6.0], &[2, 1])?
///     .with_classes(vec![0, 2, 1])?
///     .with_lengths(vec![2, 1, 2])?;
/// let batch = data.batch(&[1, 2])?;
/// assert_eq!(batch.x().read_blocking()?, [3.0, 0.0, 5.0, 6.0]);
/// assert_eq!((batch.targets().dims(), batch.lengths()), (&[2][..], Some(&[1, 2][..])));
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct HostData {
    device: Device,
    len: usize,
    /// Never empty.
    inputs: Vec<Column>,
    targets: Option<Column>,
    /// Whether there is a target for every step of the first input.
    has_step_targets: bool,
    lengths: Option<Vec<usize>>,
    /// Whether batches are cut to their longest sequence.
    is_trimmed: bool,
}

/// One tensor per example.
struct Column {
    values: Values,
    /// Shape of one example.
    dims: Vec<usize>,
}

enum Values {
    F32(Vec<f32>),
    U32(Vec<u32>),
}

impl HostData {
    /// Creates examples with one input of shape `dims` each: `&[20, 1]` for sequences of 20 steps with one feature,
    /// `&[]` for single numbers. `inputs` holds them one after another.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `inputs` holds a whole number of examples, at least one; also for an extent of 0, and
    /// for more than seven axes.
    pub fn new(device: &Device, inputs: Vec<f32>, dims: &[usize]) -> Result<Self> {
        Self::of("HostData::new", device, Values::F32(inputs), dims)
    }

    /// Creates examples with indices as input, such as tokens for an [`Embedding`](crate::nn::Embedding). Otherwise
    /// like [`new`](Self::new).
    ///
    /// # Errors
    /// Same as [`new`](Self::new).
    pub fn from_indices(device: &Device, inputs: Vec<u32>, dims: &[usize]) -> Result<Self> {
        Self::of("HostData::from_indices", device, Values::U32(inputs), dims)
    }

    /// Creates examples from sequences of different lengths, with `features` values per step. They are padded with 0 to
    /// the longest one, and their lengths are set.
    ///
    /// ```
    /// use wgru::{Device, train::{Data, HostData}};
    /// let data = HostData::from_sequences(&Device::cpu(), &[vec![1.0, 2.0], vec![3.0]], 1)?;
    /// let batch = data.batch(&[0, 1])?;
    /// assert_eq!((batch.x().dims(), batch.lengths()), (&[2, 2, 1][..], Some(&[2, 1][..])));
    /// assert_eq!(batch.x().read_blocking()?, [1.0, 2.0, 3.0, 0.0]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] if there are no sequences, if all are empty, or if one does not have a whole number of steps.
    pub fn from_sequences(device: &Device, sequences: &[Vec<f32>], features: usize) -> Result<Self> {
        const OP: &str = "HostData::from_sequences";
        let (inputs, lengths) = pad(OP, sequences, features)?;
        let steps = inputs.len() / sequences.len() / features;
        Self::of(OP, device, Values::F32(inputs), &[steps, features])?.with_lengths(lengths)
    }

    /// Creates examples from sequences of indices of different lengths, such as tokenized texts. They are padded with 0
    /// to the longest one, and their lengths are set.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no sequences, or if all are empty.
    pub fn from_index_sequences(device: &Device, sequences: &[Vec<u32>]) -> Result<Self> {
        const OP: &str = "HostData::from_index_sequences";
        let (inputs, lengths) = pad(OP, sequences, 1)?;
        let steps = inputs.len() / sequences.len();
        Self::of(OP, device, Values::U32(inputs), &[steps])?.with_lengths(lengths)
    }

    fn of(op: &'static str, device: &Device, inputs: Values, dims: &[usize]) -> Result<Self> {
        let width = width(op, dims)?;
        let len = inputs.len() / width;
        if len == 0 || inputs.len() != len * width {
            return Err(Error::shape(op, "inputs", format!("a multiple of {dims:?}"), &[inputs.len()]));
        }
        let inputs = vec![Column { values: inputs, dims: dims.to_vec() }];
        let (targets, lengths, has_step_targets, is_trimmed) = (None, None, false, false);
        Ok(Self { device: device.clone(), len, inputs, targets, has_step_targets, lengths, is_trimmed })
    }

    /// Adds another input with shape `dims` per example.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `inputs` holds as many examples as the first input; for `dims` as [`new`](Self::new).
    pub fn with_input(mut self, inputs: Vec<f32>, dims: &[usize]) -> Result<Self> {
        self.inputs.push(self.column("HostData::with_input", "inputs", Values::F32(inputs), dims)?);
        Ok(self)
    }

    /// Adds another input of indices with shape `dims` per example.
    ///
    /// # Errors
    /// Same as [`with_input`](Self::with_input).
    pub fn with_indices(mut self, inputs: Vec<u32>, dims: &[usize]) -> Result<Self> {
        self.inputs.push(self.column("HostData::with_indices", "inputs", Values::U32(inputs), dims)?);
        Ok(self)
    }

    /// Sets targets with shape `dims` per example. Use [`with_step_targets`](Self::with_step_targets) for targets of
    /// every step.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is a target for each example; for `dims` as [`new`](Self::new).
    pub fn with_targets(mut self, targets: Vec<f32>, dims: &[usize]) -> Result<Self> {
        self.targets = Some(self.column("HostData::with_targets", "targets", Values::F32(targets), dims)?);
        self.has_step_targets = false;
        Ok(self)
    }

    /// Sets targets with shape `dims` for every step of the first input: `&[1]` for one number per step, `&[]` for
    /// targets without a last axis. `targets` also holds those of padded steps, which may be anything.
    /// [`trimmed`](Self::trimmed) cuts them with the input.
    ///
    /// ```
    /// use wgru::{Device, train::{Data, HostData}};
    /// let data = HostData::from_sequences(&Device::cpu(), &[vec![1.0, 2.0, 3.0], vec![4.0]], 1)?
    ///     .with_step_targets(vec![10.0, 20.0, 30.0, 40.0, 0.0, 0.0], &[1])?
    ///     .trimmed()?;
    /// assert_eq!(data.batch(&[0, 1])?.targets().dims(), [2, 3, 1]);
    /// assert_eq!(data.batch(&[1])?.targets().read_blocking()?, [40.0]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is a target for each step of each example; for `dims` as [`new`](Self::new);
    /// [`Error::Value`] if the first input has no time axis.
    pub fn with_step_targets(mut self, targets: Vec<f32>, dims: &[usize]) -> Result<Self> {
        const OP: &str = "HostData::with_step_targets";
        let Some(&steps) = self.inputs[0].dims.first() else {
            return Err(Error::value(OP, "targets", "inputs whose first axis is time", "single numbers"));
        };
        self.targets = Some(self.column(OP, "targets", Values::F32(targets), &[&[steps], dims].concat())?);
        self.has_step_targets = true;
        Ok(self)
    }

    /// Sets classes as targets, for [`loss::cross_entropy`](super::loss::cross_entropy): one per example, or one per
    /// step of the first input. The loss returns an error for a class without a logit.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong number of classes.
    pub fn with_classes(mut self, classes: Vec<u32>) -> Result<Self> {
        let (len, steps) = (self.len, self.inputs[0].dims.first());
        let dims = match steps {
            _ if classes.len() == len => vec![],
            Some(&steps) if classes.len() == len * steps => vec![steps],
            _ => {
                let per_step = steps.map(|steps| format!(", or [{len}, {steps}]")).unwrap_or_default();
                let expected = format!("[{len}]{per_step}");
                return Err(Error::shape("HostData::with_classes", "classes", expected, &[classes.len()]));
            }
        };
        self.has_step_targets = !dims.is_empty();
        self.targets = Some(Column { values: Values::U32(classes), dims });
        Ok(self)
    }

    /// Sets the number of valid steps of each example's first input, whose first axis is time. The padding may
    /// hold anything.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is a length for each example; [`Error::Value`] for a length beyond the steps, or
    /// if the inputs have no time axis.
    pub fn with_lengths(mut self, lengths: Vec<usize>) -> Result<Self> {
        const OP: &str = "HostData::with_lengths";
        let Some(&steps) = self.inputs[0].dims.first() else {
            return Err(Error::value(OP, "lengths", "inputs whose first axis is time", "single numbers"));
        };
        if lengths.len() != self.len {
            return Err(Error::shape(OP, "lengths", format!("[{}]", self.len), &[lengths.len()]));
        }
        if let Some((example, length)) = lengths.iter().enumerate().find(|(_, length)| **length > steps) {
            let got = format!("{length} for example {example}");
            return Err(Error::value(OP, "lengths", format!("0 to {steps}, the steps"), got));
        }
        self.lengths = Some(lengths);
        Ok(self)
    }

    /// Cuts each batch to the length of its longest sequence, instead of padding it to the longest sequence of all
    /// data. This affects the first input, and targets of every step: from
    /// [`with_step_targets`](Self::with_step_targets), or a class for each step from
    /// [`with_classes`](Self::with_classes). A batch has at least one step.
    ///
    /// ```
    /// use wgru::{Device, train::{Data, HostData}};
    /// let sequences = [vec![1, 2, 3, 4], vec![5, 6], vec![7]];
    /// let data = HostData::from_index_sequences(&Device::cpu(), &sequences)?.trimmed()?;
    /// assert_eq!((data.batch(&[0, 1])?.x().dims(), data.batch(&[1, 2])?.x().dims()), (&[2, 4][..], &[2, 2][..]));
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] without lengths.
    pub fn trimmed(self) -> Result<Self> {
        match self.lengths {
            Some(_) => Ok(Self { is_trimmed: true, ..self }),
            None => Err(Error::value("HostData::trimmed", "lengths", "lengths, from with_lengths", "none")),
        }
    }

    fn column(&self, op: &'static str, arg: &'static str, values: Values, dims: &[usize]) -> Result<Column> {
        if width(op, dims)?.checked_mul(self.len) != Some(values.len()) {
            return Err(Error::shape(op, arg, format!("{} of {dims:?}", self.len), &[values.len()]));
        }
        Ok(Column { values, dims: dims.to_vec() })
    }
}

/// Pads sequences of `features` values per step to the longest one. Returns the values and the lengths.
fn pad<T: Copy + Default>(op: &'static str, all: &[Vec<T>], features: usize) -> Result<(Vec<T>, Vec<usize>)> {
    let longest = all.iter().map(Vec::len).max().unwrap_or(0);
    if longest == 0 || features == 0 {
        let got = format!("{} sequences, {longest} values in the longest, {features} features", all.len());
        return Err(Error::value(op, "sequences", "at least one value", got));
    }
    if let Some((i, sequence)) = all.iter().enumerate().find(|(_, sequence)| sequence.len() % features != 0) {
        let got = format!("{} values in sequence {i}", sequence.len());
        return Err(Error::value(op, "sequences", format!("a multiple of {features} values"), got));
    }
    let mut values = Vec::with_capacity(all.len() * longest);
    for (i, sequence) in all.iter().enumerate() {
        values.extend_from_slice(sequence);
        values.resize((i + 1) * longest, T::default());
    }
    Ok((values, all.iter().map(|sequence| sequence.len() / features).collect()))
}

/// Returns the number of values of one example.
fn width(op: &'static str, dims: &[usize]) -> Result<usize> {
    if dims.len() >= MAX_RANK {
        return Err(Error::shape(
            op,
            "dims",
            format!("at most {} axes, not counting the batch axis", MAX_RANK - 1),
            dims,
        ));
    }
    Ok(Shape::new(op, dims)?.len())
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::U32(values) => values.len(),
        }
    }
}

impl Column {
    /// Returns the rows of these examples, which must exist. With `steps`, cuts their first axis to this length.
    fn rows(&self, device: &Device, examples: &[usize], steps: Option<usize>) -> Result<Tensor> {
        fn gather<T: Copy>(values: &[T], [width, taken]: [usize; 2], examples: &[usize]) -> Vec<T> {
            let mut rows = Vec::with_capacity(examples.len() * taken);
            examples.iter().for_each(|&i| rows.extend_from_slice(&values[i * width..][..taken]));
            rows
        }
        let width: usize = self.dims.iter().product();
        let mut dims = [&[examples.len()], &self.dims[..]].concat();
        if let Some(steps) = steps {
            dims[1] = steps;
        }
        let sizes = [width, dims[1..].iter().product()];
        match &self.values {
            Values::F32(values) => Tensor::from_slice(device, &gather(values, sizes, examples), &dims),
            Values::U32(values) => Tensor::from_indices(device, &gather(values, sizes, examples), &dims),
        }
    }
}

impl Data for HostData {
    fn len(&self) -> usize {
        self.len
    }

    fn length(&self, example: usize) -> Option<usize> {
        self.lengths.as_ref()?.get(example).copied()
    }

    fn batch(&self, examples: &[usize]) -> Result<Batch> {
        if let Some(example) = examples.iter().find(|&&i| i >= self.len) {
            return Err(Error::value("HostData::batch", "examples", format!("indices below {}", self.len), example));
        }
        let (first, others) = self.inputs.split_first().unwrap_or_else(|| unreachable!("there is a first input"));
        let lengths = self.lengths.as_ref().filter(|_| self.is_trimmed);
        let longest = lengths.map(|lengths| examples.iter().map(|&i| lengths[i]).max().unwrap_or(0).max(1));
        let mut batch = Batch::new(first.rows(&self.device, examples, longest)?);
        for input in others {
            batch = batch.with_input(input.rows(&self.device, examples, None)?);
        }
        if let Some(targets) = &self.targets {
            let per_step = longest.filter(|_| self.has_step_targets);
            batch = batch.with_targets(targets.rows(&self.device, examples, per_step)?);
        }
        if let Some(lengths) = &self.lengths {
            batch = batch.with_lengths(examples.iter().map(|&i| lengths[i]).collect());
        }
        Ok(batch.of(examples))
    }
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self.values, Values::F32(_)) { "f32" } else { "u32" };
        write!(f, "{:?} {kind}", self.dims)
    }
}

/// Prints counts and shapes, not the values.
impl fmt::Debug for HostData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostData")
            .field("len", &self.len)
            .field("inputs", &self.inputs)
            .field("targets", &self.targets)
            .field("has_lengths", &self.lengths.is_some())
            .field("device", &self.device)
            .finish()
    }
}
