//! Models in files of any kind.

use std::path::{Path, PathBuf};

use super::onnx::{self, OnnxModel, Value};
use super::{LayerInfo, Network, TensorFile, load_network, load_recurrent};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Module, Recurrent};

/// Maximum number of names in an error message.
const MOST_NAMES: usize = 16;

/// A model from a file of any kind; see [`ModelFile`].
///
/// ```
/// use wgru::{Device, Rng, Tensor, io, nn::RecurrentConfig};
/// # let path = std::env::temp_dir().join("wgru-doc-model.safetensors");
/// # let layer = RecurrentConfig::gru(2, 3).build(&Device::cpu(), &mut Rng::new(0))?;
/// # io::save_recurrent_blocking(&layer, &path)?;
/// let device = Device::cpu();
/// let model = io::Model::open_blocking(&device, &path)?;
/// let x = Tensor::zeros(&device, &[5, 1, 2])?;
/// for (name, value) in model.run_blocking(&[("x", x.into())])? {
///     println!("{name}: {:?}", value.as_tensor()?.dims());
/// }
/// # Ok::<(), wgru::Error>(())
/// ```
pub enum Model {
    /// An ONNX model.
    Onnx(OnnxModel),
    /// A network that the file describes.
    Network(Network),
    /// A recurrent layer. Other weights of the file are not part of it.
    Recurrent(Recurrent),
}

/// The content of a file of any kind.
///
/// ```no_run
/// use wgru::{Device, io::ModelFile};
/// let file = ModelFile::open("model.keras")?;
/// for layer in file.layers() {
///     println!("{} has {} units", layer.name, layer.hidden);
/// }
/// let model = file.load_blocking(&Device::cpu(), None)?;
/// # let _ = model;
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone)]
pub enum ModelFile {
    /// An ONNX model.
    Onnx {
        /// The file.
        bytes: Vec<u8>,
        /// Its path. Weights may be in other files of its folder.
        path: Option<PathBuf>,
    },
    /// Weights, with the description of a network if the file has one.
    Weights(TensorFile),
}

impl ModelFile {
    /// Reads an ONNX model, or a file of any kind that [`TensorFile::import`] reads.
    ///
    /// # Errors
    /// Same as [`TensorFile::import`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let is_named = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("onnx"));
        // By path, because a file may refer to other files in its folder.
        Self::of(bytes, Some(path), is_named, |_| TensorFile::import(path))
    }

    /// Reads the bytes of a file; `source` names it in error messages.
    ///
    /// # Errors
    /// Same as [`open`](Self::open), except for [`Error::Io`].
    pub fn from_bytes(source: &str, bytes: Vec<u8>) -> Result<Self> {
        let is_named = source.to_ascii_lowercase().ends_with(".onnx");
        Self::of(bytes, None, is_named, |bytes| TensorFile::import_bytes(source, bytes))
    }

    fn of(
        bytes: Vec<u8>,
        path: Option<&Path>,
        is_named: bool,
        import: impl FnOnce(&[u8]) -> Result<TensorFile>,
    ) -> Result<Self> {
        match import(&bytes) {
            Ok(file) => Ok(Self::Weights(file)),
            // Exporters write the version of the format first. So a damaged model still counts as ONNX, but another
            // file with this extension, such as a saved web page, does not.
            Err(_) if is_named && bytes.starts_with(&[8]) || OnnxModel::check(&bytes).is_ok() => {
                Ok(Self::Onnx { bytes, path: path.map(Into::into) })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the recurrent layers; none for an ONNX model.
    pub fn layers(&self) -> Vec<LayerInfo> {
        match self {
            Self::Onnx { .. } => Vec::new(),
            Self::Weights(file) => file.layers(),
        }
    }

    /// Loads an ONNX model, or the network that the file describes, or else its only recurrent layer. With `layer`,
    /// loads only the recurrent layer of this name.
    ///
    /// # Errors
    /// [`Error::Value`] for a `layer` of an ONNX model. [`Error::Format`] for a file that describes no network and has
    /// no recurrent layer, or several, which the error lists. Errors of [`OnnxModel::open`] and [`load_recurrent`].
    pub async fn load(&self, device: &Device, layer: Option<&str>) -> Result<Model> {
        let file = match (self, layer) {
            (Self::Onnx { .. }, Some(name)) => {
                return Err(Error::value("ModelFile::load", "layer", "none: an ONNX model runs as a whole", name));
            }
            // Browsers have no files.
            #[cfg(not(target_arch = "wasm32"))]
            (Self::Onnx { path: Some(path), .. }, _) => return OnnxModel::open(device, path).map(Model::Onnx),
            (Self::Onnx { bytes, .. }, _) => return OnnxModel::load(device, bytes).map(Model::Onnx),
            (Self::Weights(file), _) => file,
        };
        if let Some(name) = layer {
            return load_recurrent(device, &file.recurrent(name)?).await.map(Model::Recurrent);
        }
        let error = match load_network(device, file) {
            Ok(network) => return Ok(Model::Network(network)),
            Err(error) => error,
        };
        // A file of this crate may hold a layer whose kind is only in its metadata.
        if let Ok(layer) = load_recurrent(device, file).await {
            return Ok(Model::Recurrent(layer));
        }
        match &file.layers()[..] {
            // If a described network cannot be built, a single layer must not silently stand in for it.
            [only] if !file.metadata.contains_key("layers") => {
                load_recurrent(device, &file.recurrent(&only.name)?).await.map(Model::Recurrent)
            }
            [] => Err(error),
            several => {
                let names: Vec<&str> = several.iter().take(MOST_NAMES).map(|layer| layer.name.as_str()).collect();
                let why = format!("{error}; a recurrent layer of it can be loaded alone, by its name: {names:?}");
                Err(Error::format(file.source(), why))
            }
        }
    }

    /// Builds the network that the file describes, also that of an ONNX model that is a stack of layers; see
    /// [`onnx::load_network`](super::onnx::load_network).
    ///
    /// # Errors
    /// Errors of [`load_network`](super::load_network) and [`onnx::load_network`](super::onnx::load_network).
    pub fn network(&self, device: &Device) -> Result<Network> {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Self::Onnx { bytes, path: Some(path) } => onnx::load_network_at(device, bytes, path),
            Self::Onnx { bytes, .. } => onnx::load_network(device, bytes),
            Self::Weights(file) => load_network(device, file),
        }
    }

    /// Like [`load`](Self::load), but blocks until the check against a run in the file is done.
    ///
    /// # Errors
    /// Same as [`load`](Self::load).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn load_blocking(&self, device: &Device, layer: Option<&str>) -> Result<Model> {
        crate::wait::block_on(self.load(device, layer))
    }
}

impl Model {
    /// Loads a model from a file of any kind.
    ///
    /// # Errors
    /// Errors of [`ModelFile::open`] and [`ModelFile::load`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_blocking(device: &Device, path: impl AsRef<Path>) -> Result<Self> {
        ModelFile::open(path)?.load_blocking(device, None)
    }

    /// Returns the module of a model other than ONNX.
    pub fn module(&self) -> Option<&dyn Module> {
        match self {
            Model::Onnx(_) => None,
            Model::Network(network) => Some(network),
            Model::Recurrent(layer) => Some(layer),
        }
    }

    /// Runs the model on named inputs, and returns its named outputs. A network and a layer have one input, of any
    /// name, and one output, `y`.
    ///
    /// # Errors
    /// [`Error::Value`] unless a network or layer gets one input; errors of the run.
    pub fn run(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        match self {
            Model::Onnx(model) => model.run(inputs),
            _ => self.run_module(inputs),
        }
    }

    /// Like [`run`](Self::run), but waits for the GPU where an ONNX graph depends on integers that it computes
    /// ([`OnnxModel::run_blocking`]).
    ///
    /// # Errors
    /// Same as [`run`](Self::run).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn run_blocking(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        match self {
            Model::Onnx(model) => model.run_blocking(inputs),
            _ => self.run_module(inputs),
        }
    }

    fn run_module(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        let ([(_, x)], Some(module)) = (inputs, self.module()) else {
            return Err(Error::value("Model::run", "inputs", "one input", inputs.len()));
        };
        Ok(vec![("y".into(), module.forward(x.as_tensor()?)?.into())])
    }
}

/// Prints neither the bytes nor the values.
impl std::fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Onnx { bytes, path } => write!(f, "Onnx({} bytes, {path:?})", bytes.len()),
            Self::Weights(file) => write!(f, "Weights({} tensors of {})", file.names().count(), file.source()),
        }
    }
}
