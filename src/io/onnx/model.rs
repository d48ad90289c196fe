//! A loaded model.

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::check::Report;
use super::info::Info;
use super::meter::Limits;
use super::pairs::StreamOptions;
use super::repeat::Repeat;
use super::run::Graph;
use super::stream::Stream;
use super::value::Value;
use crate::device::Device;
#[cfg_attr(target_arch = "wasm32", allow(unused_imports, reason = "only the documentation links to it"))]
use crate::error::Error;
use crate::error::Result;

/// An ONNX model on a device. Cheap to clone.
///
/// ```no_run
/// use wgru::{Device, Tensor, io::onnx::OnnxModel};
/// let device = Device::cpu();
/// let model = OnnxModel::load(&device, &std::fs::read("model.onnx").unwrap())?;
/// let x = Tensor::zeros(&device, &[1, 100, 161])?;
/// let outputs = model.run(&[("input", x.into())])?;
/// println!("{}: {:?}", outputs[0].0, outputs[0].1.dims());
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone)]
pub struct OnnxModel {
    graph: Arc<Graph>,
    limits: Limits,
    /// The last runs on the CPU, shared by all clones.
    repeat: Arc<Mutex<Repeat>>,
}

impl OnnxModel {
    /// Loads a model for `device` from the bytes of a file. Checks operators, attributes and constants;
    /// [`run`](OnnxModel::run) checks everything that depends on the inputs, such as extents.
    ///
    /// # Errors
    /// [`Error::Format`] if the bytes are not a complete ONNX graph of operator set 6 to 22, [`Error::Unsupported`]
    /// naming the node and the unsupported feature, [`Error::Node`] naming the node whose inputs or attributes do not
    /// fit; [`Error::Limit`] beyond the limits of the adapter.
    pub fn load(device: &Device, bytes: &[u8]) -> Result<Self> {
        Self::of(super::load::load(device, bytes, None)?)
    }

    /// Loads a model from a file. Weights in separate files are read from its folder, and never from outside it: names
    /// that are absolute, that hold `..`, or that lead out through a symbolic link are errors.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; otherwise like [`load`](OnnxModel::load).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(device: &Device, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let folder = super::external::folder_of(path);
        let mut read = |name: &str| super::external::read_beside(folder, name);
        Self::of(super::load::load(device, &bytes, Some(&mut read))?)
    }

    /// Loads a model whose weights are in separate files. `read` returns the content of a file by its name, which is as
    /// the model states it; it is called once for each.
    ///
    /// ```no_run
    /// # use wgru::{Device, io::onnx::OnnxModel};
    /// # let (bytes, weights) = (vec![], vec![]);
    /// let model = OnnxModel::load_with(&Device::cpu(), &bytes, |name| {
    ///     assert_eq!(name, "model.onnx.data");
    ///     Ok(weights.clone())
    /// })?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// Errors of `read`; otherwise like [`load`](OnnxModel::load).
    pub fn load_with(device: &Device, bytes: &[u8], mut read: impl FnMut(&str) -> Result<Vec<u8>>) -> Result<Self> {
        Self::of(super::load::load(device, bytes, Some(&mut read))?)
    }

    fn of(graph: Graph) -> Result<Self> {
        Ok(Self { graph: Arc::new(graph), limits: Limits::default(), repeat: Arc::default() })
    }

    /// Reports everything in a file that is not supported, also in subgraphs, and known bugs of exporters. Separate
    /// files are not needed.
    ///
    /// ```no_run
    /// # use wgru::io::onnx::OnnxModel;
    /// let report = OnnxModel::check(&std::fs::read("model.onnx").unwrap())?;
    /// print!("{report}");
    /// assert!(report.problems.is_empty(), "the file can be loaded");
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] if the bytes are not a complete ONNX graph.
    pub fn check(bytes: &[u8]) -> Result<Report> {
        super::load::check(bytes)
    }

    /// Sets the limits of each run.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, repeat: Arc::default(), ..self }
    }

    /// Returns the inputs, in the order of the file.
    pub fn inputs(&self) -> impl Iterator<Item = &Info> {
        self.graph.inputs.iter().map(|(info, _)| info)
    }

    /// Returns the outputs, in the order of the file.
    pub fn outputs(&self) -> impl Iterator<Item = &Info> {
        self.graph.outputs.iter().map(|(info, _)| info)
    }

    /// Runs the graph on inputs by name. Returns the outputs with their names, in the order of the file.
    ///
    /// On the CPU, runs for inputs of the same extents repeat the kernels of an earlier run, unless what runs depends on
    /// computed values. [`Stream::bind`] goes further: its runs allocate nothing.
    ///
    /// # Errors
    /// [`Error::Value`] for an input that is missing or unknown, [`Error::Shape`] or [`Error::DType`] for one that does
    /// not fit, [`Error::Node`] naming the node whose inputs do not fit together, or the node that exceeds the
    /// [`Limits`] (its source is then [`Error::Budget`]).
    pub fn run(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        self.run_with(inputs, false)
    }

    /// Runs the graph like [`run`](OnnxModel::run), and waits for the device where control flow or a shape depends on
    /// values that a GPU computes. On the CPU, there is no difference.
    ///
    /// # Errors
    /// Same as [`run`](OnnxModel::run).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn run_blocking(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        self.run_with(inputs, true)
    }

    fn run_with(&self, inputs: &[(&str, Value)], waits: bool) -> Result<Vec<(String, Value)>> {
        // Another thread may be running the recording.
        if let (false, Ok(mut repeat)) = (self.graph.device.is_gpu(), self.repeat.try_lock()) {
            return repeat.run(&self.graph, inputs, self.limits, None);
        }
        self.graph.run(inputs, self.limits, None, None, waits)
    }

    /// Creates a stream of the model, which carries its state over to the next call: in pairs of an input and an output
    /// if the model has such, otherwise in its recurrent nodes, even if the graph does not expose their states.
    ///
    /// # Errors
    /// [`Error::Value`] naming a state input to which several outputs fit; [`Error::Unsupported`] naming a recurrent
    /// node that keeps its state and reads its sequence in reverse, or that shares its name with another node.
    pub fn stream(&self) -> Result<Stream> {
        self.stream_with(&StreamOptions::default())
    }

    /// Creates a stream with options, for example with the pairs of a model whose names do not show them.
    ///
    /// # Errors
    /// [`Error::Value`] for pairs that the model does not have or that do not fit; otherwise like
    /// [`stream`](OnnxModel::stream).
    pub fn stream_with(&self, options: &StreamOptions) -> Result<Stream> {
        Stream::new(self.graph.clone(), self.limits, options)
    }
}

impl std::fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OnnxModel({} nodes, {:?})", self.graph.body.steps.len(), self.graph.device)
    }
}
