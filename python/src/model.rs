//! The class `Model`.

use std::path::PathBuf;
use std::sync::Arc;

use engine::io::LayerInfo;
use engine::io::onnx::{self, Extent, Info, Input};
use engine::nn::{parameter_count, widths};
use engine::train::TrainOptions;
use numpy::PyUntypedArrayMethods as _;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::array;
use crate::content::Content;
use crate::device::{self, Device};
use crate::failure::{Failure, Result};
use crate::file::{self, Source};
use crate::fit::{self, FitOptions};
use crate::part::Part;
use crate::run;
use crate::stream;

/// A model: a recurrent layer, a network of layers, or an ONNX graph.
#[pyclass(frozen, module = "wgru")]
pub struct Model {
    pub device: engine::Device,
    pub content: Arc<Content>,
    layers: Vec<LayerInfo>,
}

impl Model {
    pub fn new(device: engine::Device, content: Content) -> Self {
        Self { device, content: Arc::new(content), layers: Vec::new() }
    }
}

/// Loads a model from a path or from bytes.
#[pyfunction]
#[pyo3(signature = (source, *, device = None, layer = None, head = None, batch_first = true))]
pub fn load(
    py: Python,
    source: &Bound<'_, PyAny>,
    device: Option<&Bound<'_, PyAny>>,
    layer: Option<&str>,
    head: Option<&str>,
    batch_first: bool,
) -> Result<Model> {
    let device = device::of(device)?;
    let source = match source.cast::<PyBytes>() {
        Ok(bytes) => Source::Bytes(bytes.as_bytes().to_vec()),
        Err(_) => {
            let path = source.extract::<PathBuf>();
            Source::Path(path.map_err(|_| Failure::dtype("load: source: expected a path or bytes"))?)
        }
    };
    let (content, layers) = py.detach(|| file::load(&device, source, layer, head, batch_first))?;
    Ok(Model { device, content: Arc::new(content), layers })
}

/// Describes an input or output of an ONNX model.
fn port<'py>(py: Python<'py>, info: &Info) -> PyResult<Bound<'py, PyDict>> {
    let extent = |extent: &Extent| if let Extent::Fixed(n) = extent { Some(*n) } else { None };
    let dict = PyDict::new(py);
    dict.set_item("name", &info.name)?;
    dict.set_item("shape", info.dims.as_ref().map(|dims| dims.iter().map(extent).collect::<Vec<_>>()))?;
    dict.set_item("dtype", if info.float { "float32" } else { "int64" })?;
    Ok(dict)
}

#[pymethods]
impl Model {
    /// Runs the model on whole sequences.
    #[pyo3(signature = (x, h0 = None, *, lengths = None))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        h0: Option<&Bound<'py, PyAny>>,
        lengths: Option<&Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyAny>> {
        if let Content::Layer(Part::Recurrent(layer)) = &*self.content {
            return run::recurrent(py, &self.device, layer, x, h0, lengths);
        }
        if h0.is_some() || lengths.is_some() {
            return Err(Failure::value("model: h0, lengths: expected none; only a single recurrent layer takes them"));
        }
        run::module(py, &self.device, &self.content, x)
    }

    /// Runs the model on named arrays, and returns its named outputs.
    fn run<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyDict>) -> Result<Bound<'py, PyDict>> {
        match &*self.content {
            Content::Onnx(model) => run::graph(py, &self.device, model, inputs),
            _ => {
                let x = inputs.get_item("x")?.filter(|_| inputs.len() == 1);
                let x = x.ok_or_else(|| Failure::value("run: inputs: expected one array, \"x\""))?;
                let y = self.__call__(py, &x, None, None)?;
                let outputs = PyDict::new(py);
                match &*self.content {
                    Content::Layer(Part::Recurrent(_)) => {
                        let (y, state): (Bound<'py, PyAny>, Bound<'py, PyAny>) = y.extract()?;
                        outputs.set_item("y", y)?;
                        outputs.set_item("state", state)?;
                    }
                    _ => outputs.set_item("y", y)?,
                }
                Ok(outputs)
            }
        }
    }

    /// Creates a stream, which runs the model frame by frame.
    #[pyo3(signature = (batch = 1, *, weights = "f32", threads = 1, rate_ratio = 1.0))]
    fn stream<'py>(
        &self,
        py: Python<'py>,
        batch: usize,
        weights: &str,
        threads: usize,
        rate_ratio: f64,
    ) -> Result<Bound<'py, PyAny>> {
        stream::create(py, self, batch, weights, threads, rate_ratio)
    }

    /// Trains the model on examples `x` and targets `y`, whose first axis is the example. Returns the losses by epoch.
    ///
    /// `loss` is "mse", "mae", "huber", "bce" (with logits) or "cross_entropy", whose targets are classes. `optimizer`
    /// is "adam", "adamw" or "sgd". With `validation`, a tuple (x, y), and `patience`, training stops after that many
    /// epochs without a better loss, and the model gets the weights of the best epoch. After every epoch, `callback`
    /// gets a dictionary with its losses; training stops if it returns False. Ctrl-C stops training too: the model
    /// keeps its current weights.
    #[pyo3(signature = (x, y, *, epochs = 10, batch = 32, rate = 1e-3, loss = "mse", optimizer = "adam",
        validation = None, patience = None, clip_norm = None, ema = None, warmup = 0, shuffle = true, seed = 0,
        callback = None))]
    #[allow(clippy::too_many_arguments, reason = "arguments by name")]
    fn fit<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        epochs: usize,
        batch: usize,
        rate: f64,
        loss: &str,
        optimizer: &str,
        validation: Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
        patience: Option<usize>,
        clip_norm: Option<f32>,
        ema: Option<f32>,
        warmup: u64,
        shuffle: bool,
        seed: u64,
        callback: Option<Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyDict>> {
        let train =
            TrainOptions { epochs, batch, patience, clip_norm, ema, warmup, shuffle, ..TrainOptions::default() };
        let options = FitOptions { train, rate, loss, optimizer, seed, validation, callback };
        fit::run(py, &self.device, &self.content, x, y, options)
    }

    /// Saves the model as a safetensors file, which `load` reads.
    fn save(&self, py: Python, path: PathBuf) -> Result<()> {
        py.detach(|| Ok(file::to_file(&self.content)?.save(path)?))
    }

    /// Returns the bytes of the file that `save` writes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| -> Result<_> { Ok(file::to_file(&self.content)?.to_bytes()?) })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Writes an ONNX file with free extents of batch and time.
    #[pyo3(signature = (path, *, input = "x"))]
    fn export_onnx(&self, py: Python, path: PathBuf, input: &str) -> Result<()> {
        let module = self.content.module()?;
        let Some(given) = Input::of(module) else {
            return Err(Failure::unsupported("export_onnx: the model does not tell the features of its input"));
        };
        let input = Input { name: input.into(), ..given };
        py.detach(|| {
            let bytes = onnx::export_blocking(module, &input)?;
            Ok(engine::io::write_atomically(&path, &bytes)?)
        })
    }

    /// Returns a copy on another device.
    fn to(&self, py: Python, device: &Bound<'_, PyAny>) -> Result<Model> {
        let device = device::of(Some(device))?;
        let content = py.detach(|| file::to_device(&self.content, &device))?;
        Ok(Model { device, content: Arc::new(content), layers: self.layers.clone() })
    }

    /// Returns copies of the parameters by name.
    fn state_dict<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyDict>> {
        let parameters = self.content.module()?.parameters();
        let dict = PyDict::new(py);
        for (name, tensor) in parameters {
            let values = py.detach(|| tensor.read_blocking())?;
            dict.set_item(name, array::from_values(py, values, tensor.dims())?)?;
        }
        Ok(dict)
    }

    /// Sets all parameters from arrays by name. On an error, nothing changes.
    fn load_state_dict(&self, state: &Bound<'_, PyDict>) -> Result<()> {
        let module = self.content.module()?;
        let mut file = engine::io::TensorFile::default();
        for (name, value) in state {
            let name: String = name.extract()?;
            let values = array::floats(&name, &value)?;
            file.insert(&name, values.shape(), array::slice(&name, &values)?.to_vec());
        }
        Ok(engine::io::load_parameters(module, &file)?)
    }

    /// The device that the model is on.
    #[getter(device)]
    fn get_device(&self) -> Device {
        Device { inner: self.device.clone() }
    }

    /// Whether the batch is the first axis of arrays.
    #[getter]
    fn batch_first(&self) -> bool {
        self.content.is_batch_first()
    }

    /// Kind, sizes and number of parameters; for an ONNX model, its inputs and outputs.
    #[getter]
    fn info<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("kind", self.content.kind())?;
        if let Content::Onnx(model) = &*self.content {
            let inputs: PyResult<Vec<_>> = model.inputs().map(|info| port(py, info)).collect();
            let outputs: PyResult<Vec<_>> = model.outputs().map(|info| port(py, info)).collect();
            dict.set_item("inputs", inputs?)?;
            dict.set_item("outputs", outputs?)?;
            return Ok(dict);
        }
        let [input, output] = self.widths().unwrap_or_default();
        dict.set_item("input_size", input)?;
        dict.set_item("output_size", output)?;
        dict.set_item("parameters", parameter_count(self.content.module()?))?;
        Ok(dict)
    }

    /// Describes the recurrent layers.
    fn layers<'py>(&self, py: Python<'py>) -> Result<Vec<Bound<'py, PyDict>>> {
        let dict = |info: &LayerInfo| -> Result<Bound<'py, PyDict>> {
            let dict = PyDict::new(py);
            dict.set_item("name", &info.name)?;
            dict.set_item("cell", format!("{:?}", info.cell))?;
            dict.set_item("input_size", info.input)?;
            dict.set_item("hidden_size", info.hidden)?;
            dict.set_item("num_layers", info.layers)?;
            dict.set_item("bidirectional", info.bidirectional)?;
            Ok(dict)
        };
        match (&*self.content, self.layers.is_empty()) {
            (Content::Layer(_) | Content::Sequence(_), true) => {
                file::to_file(&self.content)?.layers().iter().map(dict).collect()
            }
            _ => self.layers.iter().map(dict).collect(),
        }
    }

    fn __repr__(&self) -> String {
        let parameters = self.content.module().map(|module| format!(", {} parameters", parameter_count(module)));
        format!("<wgru.Model {}{}>", self.content.kind(), parameters.unwrap_or_default())
    }
}

impl Model {
    /// Returns the features of a step of input and output, as far as they are known.
    fn widths(&self) -> Option<[Option<usize>; 2]> {
        if let Content::Network(network) = &*self.content {
            return Some(network.widths().map_or([None; 2], |widths| widths.map(Some)));
        }
        self.content.module().ok().map(widths)
    }
}
