//! Tensors: a buffer on a device, with a shape and an autograd node.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::device::{Device, Memory, Reading};
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 32-bit floats.
    F32,
    /// 32-bit unsigned indices.
    U32 {
        /// An upper bound of the indices, to check them against the rows of a table without reading back.
        max: u32,
    },
}

impl DType {
    /// Returns the type for elements of both.
    pub(crate) fn joined(self, op: &'static str, arg: &'static str, other: Self) -> Result<Self> {
        match (self, other) {
            (DType::F32, DType::F32) => Ok(DType::F32),
            (DType::U32 { max: a }, DType::U32 { max: b }) => Ok(DType::U32 { max: a.max(b) }),
            _ => Err(Error::DType { op, arg, expected: self.name().into(), got: other.name().into() }),
        }
    }

    fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::U32 { .. } => "u32",
        }
    }
}

/// A contiguous tensor of at most eight axes ([`MAX_RANK`](crate::MAX_RANK)). Cheap to clone; clones share their
/// elements.
///
/// ```
/// use wgru::{Device, Tensor};
/// let device = Device::cpu();
/// let x = Tensor::from_slice(&device, &[1.0, 2.0, 3.0, 4.0], &[2, 2])?.requires_grad();
/// let loss = x.mul(&x)?.sum()?;
/// loss.backward()?;
/// assert_eq!(loss.item_blocking()?, 30.0);
/// assert_eq!(x.grad().unwrap().read_blocking()?, [2.0, 4.0, 6.0, 8.0]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    storage: Arc<Storage>,
    shape: Shape,
    dtype: DType,
    pub(crate) tape: Tape,
}

struct Storage {
    device: Device,
    memory: Memory,
    bytes: usize,
    /// Counts the writes, so that backward can detect saved tensors that were overwritten.
    version: AtomicU64,
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.device.uncount(self.bytes);
    }
}

/// Destination of a tensor's gradient.
#[derive(Clone)]
#[cfg_attr(not(feature = "autograd"), allow(dead_code, reason = "only backpropagation reads it"))]
pub(crate) enum Tape {
    /// Not tracked.
    Off,
    /// Accumulated in this leaf, which clones share.
    Leaf(Arc<Leaf>),
    /// Output number `.1` of this operation.
    Node(Arc<Node>, usize),
}

/// A leaf of the tape.
#[derive(Default)]
#[cfg_attr(not(feature = "autograd"), allow(dead_code, reason = "only backpropagation reads it"))]
pub(crate) struct Leaf {
    grad: Mutex<Option<Tensor>>,
    /// Whether it is frozen, and so off the tape.
    is_frozen: AtomicBool,
}

/// One operation on the tape.
#[cfg_attr(not(feature = "autograd"), allow(dead_code, reason = "only backpropagation reads it"))]
pub(crate) struct Node {
    pub op: &'static str,
    pub inputs: Vec<Tensor>,
    /// Tensors that `backward` reads, with their versions at the time of the forward pass.
    pub saved: Vec<(Tensor, u64)>,
    pub outputs: usize,
    pub backward: Backward,
}

/// Computes the gradients of an operation's inputs from the gradients of its outputs.
pub(crate) type Gradients = Box<dyn Fn(&[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> + Send + Sync>;

/// How an operation is differentiated.
#[cfg_attr(not(feature = "autograd"), allow(dead_code, reason = "only backpropagation reads it"))]
pub(crate) enum Backward {
    Function(Gradients),
    /// A run of a recurrent layer, for `autograd::recurrent`. Data, not a function: the linker then drops the backward
    /// pass, a large part of the library, from programs that never call [`Tensor::backward`].
    Recurrent(Box<dyn Any + Send + Sync>),
}

impl Drop for Node {
    fn drop(&mut self) {
        // A loop of many steps creates a long chain of nodes: free it without recursion.
        let mut chain: Vec<Tensor> = self.inputs.drain(..).collect();
        while let Some(tensor) = chain.pop() {
            if let Tape::Node(node, _) = tensor.tape
                && let Some(mut node) = Arc::into_inner(node)
            {
                chain.append(&mut node.inputs);
            }
        }
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?} {}, {:?})", self.dims(), self.dtype.name(), self.storage.device)
    }
}

impl Tensor {
    /// Copies `values` to the device.
    ///
    /// # Errors
    /// [`Error::Shape`] if `dims` is not a valid shape or does not match the number of `values`; [`Error::Limit`] if a
    /// limit of the adapter is exceeded.
    pub fn from_slice(device: &Device, values: &[f32], dims: &[usize]) -> Result<Self> {
        let len = Shape::new("Tensor::from_slice", dims)?.len();
        if values.len() != len {
            return Err(Error::shape("Tensor::from_slice", "values", format!("{len} values"), &[values.len()]));
        }
        let tensor = Self::empty("Tensor::from_slice", device, dims)?;
        device.upload(tensor.memory(), values)?;
        Ok(tensor)
    }

    /// Copies indices to the device, for [`gather`](Tensor::gather), targets and lengths.
    ///
    /// # Errors
    /// Same as [`Tensor::from_slice`].
    pub fn from_indices(device: &Device, values: &[u32], dims: &[usize]) -> Result<Self> {
        let max = values.iter().copied().max().unwrap_or(0);
        let words: &[f32] = bytemuck::cast_slice(values);
        Ok(Self { dtype: DType::U32 { max }, ..Self::from_slice(device, words, dims)? })
    }

    /// Creates a tensor in host memory, which does not count as memory use of the device.
    #[cfg(feature = "gpu")]
    pub(crate) fn of_host(device: &Device, memory: Memory, shape: Shape) -> Self {
        let storage = Storage { device: device.clone(), memory, bytes: 0, version: AtomicU64::new(0) };
        Self { storage: Arc::new(storage), shape, dtype: DType::F32, tape: Tape::Off }
    }

    /// Creates a tensor with undefined elements, for a kernel to write.
    pub(crate) fn empty(op: &'static str, device: &Device, dims: &[usize]) -> Result<Self> {
        let shape = Shape::new(op, dims)?;
        let memory = device.alloc(op, shape.len())?;
        let bytes = shape.len() * size_of::<f32>();
        device.count(bytes);
        let storage = Storage { device: device.clone(), memory, bytes, version: AtomicU64::new(0) };
        Ok(Self { storage: Arc::new(storage), shape, dtype: DType::F32, tape: Tape::Off })
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.storage.device
    }

    /// Returns the extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Returns the element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Returns the number of elements.
    #[allow(clippy::len_without_is_empty, reason = "a tensor has at least one element")]
    pub fn len(&self) -> usize {
        self.shape.len()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.storage.memory
    }

    pub(crate) fn shares_memory(&self, other: &Self) -> bool {
        self.storage.memory.is(&other.storage.memory)
    }

    /// Returns the identity of the storage, which is equal for tensors that share elements.
    pub(crate) fn storage_id(&self) -> usize {
        Arc::as_ptr(&self.storage) as usize
    }

    /// Whether both tensors have the same gradient slot, or both are off the tape.
    pub(crate) fn shares_gradient(&self, other: &Self) -> bool {
        match (&self.tape, &other.tape) {
            (Tape::Leaf(a), Tape::Leaf(b)) => Arc::ptr_eq(a, b),
            (Tape::Leaf(_), _) | (_, Tape::Leaf(_)) => false,
            _ => true,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.storage.version.load(Ordering::Relaxed)
    }

    pub(crate) fn touch(&self) {
        self.storage.version.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the same elements with a different shape, off the tape.
    pub(crate) fn view(&self, op: &'static str, dims: &[usize]) -> Result<Self> {
        let shape = Shape::new(op, dims)?;
        if shape.len() != self.len() {
            return Err(Error::shape(op, "dims", format!("{} elements", self.len()), dims));
        }
        Ok(Self { shape, ..self.detach() })
    }

    /// Returns the same elements, off the tape.
    pub fn detach(&self) -> Self {
        Self { tape: Tape::Off, ..self.clone() }
    }

    /// Whether the elements are undefined, because the work that writes them was cancelled or failed. Cached tensors
    /// must then be computed again.
    pub(crate) fn is_void(&self) -> bool {
        self.memory().is_void()
    }

    /// Returns the same elements as a leaf of the tape: `backward()` adds to its [`grad`](Self::grad).
    #[cfg(feature = "autograd")]
    pub fn requires_grad(&self) -> Self {
        Self { tape: Tape::Leaf(Arc::default()), ..self.clone() }
    }

    /// Marks a parameter. Without the feature `autograd`, it has no gradient.
    #[cfg(not(feature = "autograd"))]
    pub(crate) fn requires_grad(&self) -> Self {
        self.clone()
    }

    pub(crate) fn with_dtype(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    pub(crate) fn with_tape(self, tape: Tape) -> Self {
        Self { tape, ..self }
    }

    /// Whether the tensor is on the tape: a leaf that is not frozen, or a result of one.
    #[cfg(feature = "autograd")]
    pub fn is_tracked(&self) -> bool {
        match &self.tape {
            Tape::Off => false,
            Tape::Leaf(leaf) => !leaf.is_frozen.load(Ordering::Relaxed),
            Tape::Node(..) => true,
        }
    }

    /// Freezes or unfreezes a leaf together with its clones, as `requires_grad_` of PyTorch. A frozen leaf is a
    /// constant in later operations: it has no gradient, and an optimizer does not change it. Freezing clears the
    /// current gradient. Does nothing unless the tensor is a leaf.
    ///
    /// [`nn::set_requires_grad`](crate::nn::set_requires_grad) does it for all parameters of a model.
    #[cfg(feature = "autograd")]
    pub fn set_requires_grad(&self, requires_grad: bool) {
        if let Tape::Leaf(leaf) = &self.tape {
            leaf.is_frozen.store(!requires_grad, Ordering::Relaxed);
            if !requires_grad {
                self.set_grad(None);
            }
        }
    }

    #[cfg(not(feature = "autograd"))]
    pub(crate) fn is_tracked(&self) -> bool {
        false
    }

    /// Whether `backward()` accumulates a gradient in this tensor.
    #[cfg(feature = "autograd")]
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self.tape, Tape::Leaf(_))
    }

    /// Returns the gradient that `backward()` accumulated; `None` before that, or off the tape.
    #[cfg(feature = "autograd")]
    pub fn grad(&self) -> Option<Tensor> {
        match &self.tape {
            Tape::Leaf(leaf) => leaf.grad.lock().expect("no panic holds a gradient").clone(),
            _ => None,
        }
    }

    /// Replaces the gradient; `None` clears it. Does nothing off the tape.
    #[cfg(feature = "autograd")]
    pub fn set_grad(&self, grad: Option<Tensor>) {
        if let Tape::Leaf(leaf) = &self.tape {
            *leaf.grad.lock().expect("no panic holds a gradient") = grad;
        }
    }

    /// Notifies wgru that the host wrote to the elements, through [`wgpu_buffer`](Self::wgpu_buffer) or the buffer of
    /// [`from_wgpu_buffer`](Self::from_wgpu_buffer). Derived copies, such as packed weights, are then rebuilt, and
    /// `backward()` refuses a forward pass that read the old elements.
    pub fn mark_written(&self) {
        self.touch();
    }

    /// Reads the elements back without blocking the thread. A runtime such as tokio, `pollster` or a frame loop can
    /// poll the future. It waits for work recorded before it, but not for later work. On an adopted device, the host's
    /// `poll` or `submit` completes it. Dropping the future abandons the readback.
    ///
    /// # Errors
    /// [`Error::DType`] for indices; [`Error::DeviceLost`]; [`Error::OutOfMemory`], [`Error::Gpu`] or
    /// [`Error::Stopped`] if the work that computes the elements did not run.
    pub async fn read(&self) -> Result<Vec<f32>> {
        self.check_dtype("Tensor::read", "self", "f32")?;
        let mut readings = self.device().start_reads(&[(self.memory(), self.len())])?;
        self.device().finish_read(readings.remove(0)).await
    }

    /// Reads indices back without blocking the thread, such as those of [`argmax`](Self::argmax). Otherwise like
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// [`Error::DType`] for floats; otherwise like [`read`](Self::read).
    pub async fn read_indices(&self) -> Result<Vec<u32>> {
        self.check_dtype("Tensor::read_indices", "self", "u32")?;
        let reading = self.start_read()?;
        Ok(self.device().finish_read(reading).await?.into_iter().map(f32::to_bits).collect())
    }

    /// Reads the elements of several tensors back, in one submission per device. Otherwise like [`read`](Self::read).
    ///
    /// ```
    /// use wgru::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (a, b) = (Tensor::full(&device, 1.0, &[2])?, Tensor::full(&device, 2.0, &[1])?);
    /// let values = pollster::block_on(Tensor::read_all(&[&a, &b]))?;
    /// assert_eq!(values, [vec![1.0, 1.0], vec![2.0]]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// Same as [`read`](Self::read).
    pub async fn read_all(tensors: &[&Tensor]) -> Result<Vec<Vec<f32>>> {
        tensors.iter().try_for_each(|tensor| tensor.check_dtype("Tensor::read_all", "tensors", "f32"))?;
        let mut out = Vec::with_capacity(tensors.len());
        for (tensor, reading) in tensors.iter().zip(Self::start_reads(tensors)?) {
            out.push(tensor.device().finish_read(reading).await?);
        }
        Ok(out)
    }

    /// Starts a readback of the elements, of any type; see `Device::poll_read`.
    pub(crate) fn start_read(&self) -> Result<Reading> {
        Ok(self.device().start_reads(&[(self.memory(), self.len())])?.remove(0))
    }

    /// Starts readbacks of the elements of several tensors, in one submission per device.
    pub(crate) fn start_reads(tensors: &[&Tensor]) -> Result<Vec<Reading>> {
        let mut readings: Vec<Option<Reading>> = tensors.iter().map(|_| None).collect();
        while let Some(first) = readings.iter().position(Option::is_none) {
            let device = tensors[first].device();
            let of_device: Vec<usize> = (first..tensors.len()).filter(|&i| tensors[i].device() == device).collect();
            let parts: Vec<_> = of_device.iter().map(|&i| (tensors[i].memory(), tensors[i].len())).collect();
            for (i, reading) in of_device.into_iter().zip(device.start_reads(&parts)?) {
                readings[i] = Some(reading);
            }
        }
        Ok(readings.into_iter().flatten().collect())
    }

    /// Reads the elements back, and blocks until they have arrived. Not in browsers; see [`read`](Self::read).
    ///
    /// # Errors
    /// Same as [`read`](Self::read).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn read_blocking(&self) -> Result<Vec<f32>> {
        self.read_now()
    }

    /// Reads indices back, and blocks until they have arrived. Not in browsers; see
    /// [`read_indices`](Self::read_indices).
    ///
    /// ```
    /// use wgru::{Device, Tensor};
    /// let labels = Tensor::from_indices(&Device::cpu(), &[3, 1], &[2])?;
    /// assert_eq!(labels.read_indices_blocking()?, [3, 1]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// Same as [`read_indices`](Self::read_indices).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn read_indices_blocking(&self) -> Result<Vec<u32>> {
        self.check_dtype("Tensor::read_indices", "self", "u32")?;
        Ok(self.device().read_now(self.memory(), self.len())?.into_iter().map(f32::to_bits).collect())
    }

    /// Reads the only element back.
    ///
    /// # Errors
    /// [`Error::Shape`] for more than one element; otherwise like [`read`](Self::read).
    pub async fn item(&self) -> Result<f32> {
        self.check_one()?;
        Ok(self.read().await?[0])
    }

    /// Reads the only element back, and blocks until it has arrived. Not in browsers; see [`item`](Self::item).
    ///
    /// # Errors
    /// Same as [`item`](Self::item).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn item_blocking(&self) -> Result<f32> {
        self.item_now()
    }

    /// Reads the elements without awaiting: on the CPU, or on a GPU if the thread may block.
    pub(crate) fn read_now(&self) -> Result<Vec<f32>> {
        self.check_dtype("Tensor::read", "self", "f32")?;
        self.device().read_now(self.memory(), self.len())
    }

    /// Like [`read_now`](Self::read_now), for the only element.
    pub(crate) fn item_now(&self) -> Result<f32> {
        self.check_one()?;
        Ok(self.read_now()?[0])
    }

    fn check_one(&self) -> Result<()> {
        match self.len() {
            1 => Ok(()),
            _ => Err(Error::shape("Tensor::item", "self", "one element", self.dims())),
        }
    }

    /// Overwrites the elements in place, for example to load parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of `values` differs.
    pub fn assign(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.len() {
            return Err(Error::shape("Tensor::assign", "values", format!("{} values", self.len()), &[values.len()]));
        }
        let written = self.device().upload(self.memory(), values);
        self.touch();
        written
    }

    /// Copies the elements to another device, off the tape.
    ///
    /// # Errors
    /// Same as [`read`](Self::read) and [`from_slice`](Self::from_slice).
    pub async fn to_device(&self, device: &Device) -> Result<Self> {
        let reading = self.start_read()?;
        self.with_words(device, &self.device().finish_read(reading).await?)
    }

    /// Copies the elements to another device, off the tape, and blocks until they have arrived. Not in browsers; see
    /// [`to_device`](Self::to_device).
    ///
    /// # Errors
    /// Same as [`to_device`](Self::to_device).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn to_device_blocking(&self, device: &Device) -> Result<Self> {
        self.to_device_now(device)
    }

    /// Like [`read_now`](Self::read_now), copied to another device.
    pub(crate) fn to_device_now(&self, device: &Device) -> Result<Self> {
        self.with_words(device, &self.device().read_now(self.memory(), self.len())?)
    }

    /// Returns a tensor like this one on another device, with these words.
    fn with_words(&self, device: &Device, words: &[f32]) -> Result<Self> {
        Ok(Self { dtype: self.dtype, ..Self::from_slice(device, words, self.dims())? })
    }

    pub(crate) fn check_dtype(&self, op: &'static str, arg: &'static str, expected: &'static str) -> Result<()> {
        if self.dtype.name() == expected {
            return Ok(());
        }
        Err(Error::DType { op, arg, expected: expected.into(), got: self.dtype.name().into() })
    }
}

impl Device {
    /// Rejects a tensor of another device.
    pub(crate) fn check_same(&self, op: &'static str, arg: &'static str, tensor: &Tensor) -> Result<()> {
        if tensor.device() == self {
            return Ok(());
        }
        let (expected, got) = (self.title(tensor.device()), tensor.device().title(self));
        Err(Error::DeviceMix { op, arg, expected, got })
    }
}
