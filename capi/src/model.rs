//! Models: loading, and what they are.
#![allow(unsafe_code, reason = "takes pointers from C")]

use std::ffi::c_char;

use engine::{CpuOptions, Device};

use crate::call::guard;
use crate::failure::{Failure, Result};
use crate::file::{self, Content, Part, Source};
use crate::handle::{self, Object};
use crate::info::{Layer, Port, WgruKind, WgruLayer, WgruModelInfo, WgruPort};
use crate::raw;
use crate::status::{WgruError, WgruStatus};

/// Where a model runs. A model on a GPU runs whole sequences only; streams run on the CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WgruDevice {
    /// The CPU.
    Cpu = 0,
    /// The best GPU. An error if there is none, or if the library was built without the feature `gpu`.
    Gpu = 1,
    /// A hardware GPU if there is one, else the CPU.
    Auto = 2,
}

/// Options of loading. Start from zeros (`WgruModelOptions options = {0};`), which are the defaults, and set what is
/// needed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WgruModelOptions {
    /// Name of the only recurrent layer to load, UTF-8, for files with several that do not describe how they are
    /// connected. Null for the whole model.
    pub layer: *const c_char,
    /// Name of a linear layer to apply to the output of the recurrent layer, UTF-8: its weights are `<head>.weight`
    /// and, if there is one, `<head>.bias`. Null for none. Only for files that do not describe their network.
    pub head: *const c_char,
    /// A `WgruDevice`.
    pub device: u32,
    /// Number of threads for large operations on the CPU, including the calling one: 1 to 64; 0 stands for 1. More
    /// than one starts threads, which live as long as the model and its streams.
    pub threads: usize,
}

/// A model that was loaded. It does not change: any number of threads may use it at the same time.
///
/// A stream holds what it needs of its model, so that the model may be freed first.
pub struct WgruModel {
    pub(crate) device: Device,
    pub(crate) content: Content,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    layers: Vec<Layer>,
    widths: [usize; 2],
    parameters: usize,
}

impl Object for WgruModel {
    const NAME: &'static str = "model";
    const MARK: u64 = u64::from_le_bytes(*b"\xf7wgruMo\x9d");
}

/// Opens a device.
fn device(which: u32, threads: usize) -> Result<Device> {
    const CPU: u32 = WgruDevice::Cpu as u32;
    const GPU: u32 = WgruDevice::Gpu as u32;
    const AUTO: u32 = WgruDevice::Auto as u32;
    // One thread by default: a library in someone else's process starts none unasked, and shares no pool.
    let cpu = || Ok(Device::cpu_with(CpuOptions { threads: Some(threads.max(1)), ..CpuOptions::default() })?);
    match which {
        CPU => cpu(),
        #[cfg(feature = "gpu")]
        GPU => Ok(Device::gpu_blocking()?),
        #[cfg(feature = "gpu")]
        AUTO => match Device::auto_blocking()? {
            device if device.is_gpu() => Ok(device),
            _ => cpu(),
        },
        #[cfg(not(feature = "gpu"))]
        AUTO => cpu(),
        #[cfg(not(feature = "gpu"))]
        GPU => {
            let why = "options: device: this library was built without the feature `gpu`".into();
            Err(Failure::Other(WgruStatus::NoDevice, why))
        }
        other => Err(Failure::value(format!("options: device: expected a WgruDevice, got {other}"))),
    }
}

impl WgruModel {
    fn load(source: Source, device: Device, part: Part) -> Result<Self> {
        let (content, layers) = file::load(&device, source, part)?;
        let (widths, inputs, outputs) = ports(&content);
        let layers = layers.into_iter().map(Layer::new).collect();
        let parameters = content.parameters();
        Ok(Self { device, content, inputs, outputs, layers, widths, parameters })
    }

    fn info(&self) -> WgruModelInfo {
        let kind = match self.content {
            Content::Recurrent { .. } => WgruKind::Recurrent,
            Content::Network(_) => WgruKind::Network,
            Content::Onnx(_) => WgruKind::Onnx,
        };
        WgruModelInfo {
            kind,
            input_size: self.widths[0],
            output_size: self.widths[1],
            input_count: self.inputs.len(),
            output_count: self.outputs.len(),
            layer_count: self.layers.len(),
            parameter_count: self.parameters,
        }
    }
}

/// Returns the widths of input and output, and all inputs and outputs.
fn ports(content: &Content) -> ([usize; 2], Vec<Port>, Vec<Port>) {
    // An extent of 0 stands for an unknown width.
    let extent = |width: usize| if width == 0 { -1 } else { i64::try_from(width).unwrap_or(-1) };
    match content {
        Content::Recurrent { layer, head } => {
            let c = layer.config();
            let width = head.as_ref().map_or(c.directions() * c.out(), |head| head.weight().dims()[0]);
            let [h, cell] = c.state_dims(0).map(|[layers, _, width]| [extent(layers), -1, extent(width)]);
            let mut inputs = vec![Port::floats("x", &[-1, -1, extent(c.input)]), Port::floats("h0", &h).optional()];
            let mut outputs = vec![Port::floats("y", &[-1, -1, extent(width)]), Port::floats("h_n", &h)];
            if c.cell.states() > 1 {
                inputs.push(Port::floats("c0", &cell).optional());
                outputs.push(Port::floats("c_n", &cell));
            }
            inputs.push(Port::ints("lengths", &[-1]).optional());
            ([c.input, width], inputs, outputs)
        }
        Content::Network(network) => {
            let widths = network.widths().unwrap_or([0, 0]);
            // A network whose layers are unknown may have other axes.
            let port = |name: &str, width: usize| match widths {
                [0, 0] => Port::unknown(name),
                _ => Port::floats(name, &[-1, -1, extent(width)]),
            };
            (widths, vec![port("x", widths[0])], vec![port("y", widths[1])])
        }
        Content::Onnx(model) => {
            ([0, 0], model.inputs().map(Port::of).collect(), model.outputs().map(Port::of).collect())
        }
    }
}

/// Loads a model and writes its handle.
///
/// # Safety
/// As for the exported functions.
unsafe fn create(model: *mut *mut WgruModel, options: *const WgruModelOptions, source: Result<Source>) -> Result<()> {
    // SAFETY: the caller upholds the contracts of `put`, `options` and `text`.
    unsafe {
        handle::put(model, || {
            let (mut part, mut which) = (Part::default(), (0, 0));
            if let Some(options) = raw::options(options)? {
                part.layer = raw::text("options: layer", options.layer)?;
                part.head = raw::text("options: head", options.head)?;
                which = (options.device, options.threads);
            }
            WgruModel::load(source?, device(which.0, which.1)?, part)
        })
    }
}

/// Loads a model from a file of any format: safetensors, NumPy, PyTorch (also whole modules, TorchScript and
/// `torch.export`), Keras, ONNX, RTNeural, AIDA-X, GuitarML, Neural Amp Modeler (LSTM), RNNoise. The format is detected
/// by content. Code in files is never executed.
///
/// - `path`: the file, ended by a zero; UTF-8 on Windows, any bytes elsewhere. Files next to it are read too if it names
///   them, as large ONNX models and checkpoints in several files do.
/// - `options`: null for the defaults.
/// - `model`: receives the handle, or null on an error. Free it with `wgru_model_free`.
/// - `error`: null, or receives the text of an error.
///
/// Errors: `WGRU_STATUS_IO`, `WGRU_STATUS_FORMAT`, `WGRU_STATUS_UNSUPPORTED`, `WGRU_STATUS_VALUE` for options,
/// `WGRU_STATUS_NO_DEVICE`. Any thread. Blocks while it reads and, with a GPU, opens the device.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_model_open(
    path: *const c_char,
    options: *const WgruModelOptions,
    model: *mut *mut WgruModel,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let path = raw::path("path", path)?;
            create(model, options, Ok(Source::Path(&path)))
        })
    }
}

/// Loads a model from the bytes of a file, like `wgru_model_open`. Nothing else is read: a model whose weights are in
/// other files is an error.
///
/// - `bytes`: `length` bytes, which are not needed after the call.
/// - `options`, `model`, `error`: as for `wgru_model_open`.
///
/// Errors: as for `wgru_model_open`, without `WGRU_STATUS_IO`. Any thread.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_model_load(
    bytes: *const u8,
    length: usize,
    options: *const WgruModelOptions,
    model: *mut *mut WgruModel,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe { guard(error, || create(model, options, raw::slice("bytes", bytes, length).map(Source::Bytes))) }
}

/// Frees a model, and sets `*model` to null. Null, and a pointer to null, are accepted. Streams and outputs of the model
/// stay valid.
///
/// Errors: `WGRU_STATUS_HANDLE`. No other call may use the model at the same time or later.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_model_free(model: *mut *mut WgruModel) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe { guard(std::ptr::null_mut(), || handle::free(model, |_| Ok(()))) }
}

/// Describes a model.
///
/// - `info`: receives the description.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`. Any thread.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_model_info(
    model: *const WgruModel,
    info: *mut WgruModelInfo,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let model = handle::get(model)?;
            raw::write("info", info, || Ok(model.info()))
        })
    }
}

/// Returns item `index` of a list.
fn item<T>(list: &[T], index: usize) -> Result<&T> {
    list.get(index).ok_or(Failure::Index { arg: "index", count: list.len(), got: index })
}

/// Describes a recurrent layer of a model, from 0 to `layer_count` of `wgru_model_info`.
///
/// - `layer`: receives the description. Its name belongs to the model, and is valid as long as the model.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`, `WGRU_STATUS_VALUE` for an index out of range. Any thread.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_model_layer(
    model: *const WgruModel,
    index: usize,
    layer: *mut WgruLayer,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let model = handle::get(model)?;
            raw::write("layer", layer, || Ok(item(&model.layers, index)?.view()))
        })
    }
}

/// Describes an input of a model, from 0 to `input_count` of `wgru_model_info`.
///
/// - `port`: receives the description. Its name belongs to the model, and is valid as long as the model.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`, `WGRU_STATUS_VALUE` for an index out of range. Any thread.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_model_input(
    model: *const WgruModel,
    index: usize,
    port: *mut WgruPort,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let model = handle::get(model)?;
            raw::write("port", port, || Ok(item(&model.inputs, index)?.view()))
        })
    }
}

/// Describes an output of a model, from 0 to `output_count` of `wgru_model_info`.
///
/// - `port`: receives the description. Its name belongs to the model, and is valid as long as the model.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`, `WGRU_STATUS_VALUE` for an index out of range. Any thread.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_model_output(
    model: *const WgruModel,
    index: usize,
    port: *mut WgruPort,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let model = handle::get(model)?;
            raw::write("port", port, || Ok(item(&model.outputs, index)?.view()))
        })
    }
}
