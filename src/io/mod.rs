//! Reads and writes weights, models and checkpoints, with PyTorch's names.
//!
//! [`Model::open_blocking`](Model) loads a model from a file of any kind. [`TensorFile`] reads safetensors, NumPy's
//! arrays, PyTorch's state dicts and Keras' weights; [`onnx`] loads and runs ONNX models. Loading and saving are
//! atomic: a file is read and checked completely before anything is changed, and a new file is written next to its
//! destination and moved there when complete.

mod any;
mod audio;
mod budget;
mod called;
#[cfg(feature = "autograd")]
mod checkpoint;
mod compare;
mod convert;
mod element;
mod file;
mod format;
mod hdf5;
mod import;
mod layers;
mod model;
mod network;
mod npy;
pub mod onnx;
mod pickle;
mod recognize;
mod recurrent;
mod safetensors;
mod signature;
mod tensors;
mod torch;
#[cfg(not(target_arch = "wasm32"))]
mod tuning;
mod verify;
mod zip;

pub use any::{Model, ModelFile};
pub use audio::{to_guitarml, to_nam, to_rtneural};
#[cfg(not(target_arch = "wasm32"))]
pub use audio::{to_guitarml_blocking, to_nam_blocking, to_rtneural_blocking};
#[cfg(feature = "autograd")]
pub use checkpoint::{checkpoint_to_file, checkpoint_to_file_with, load_checkpoint, load_checkpoint_with};
#[cfg(all(feature = "autograd", not(target_arch = "wasm32")))]
pub use checkpoint::{save_checkpoint_blocking, save_checkpoint_with_blocking};
pub use compare::{Comparison, Difference, compare};
pub use convert::RecurrentWeights;
pub use layers::LayerInfo;
#[cfg(not(target_arch = "wasm32"))]
pub use model::save_parameters_blocking;
pub use model::{IncompatibleKeys, load_parameters, load_parameters_partly, parameters_to_file};
pub use network::{Network, load_network, network_to_file};
#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
pub use recurrent::load_recurrent_blocking;
#[cfg(not(target_arch = "wasm32"))]
pub use recurrent::save_recurrent_blocking;
pub use recurrent::{load_recurrent, load_recurrent_verified, recurrent_to_file};
pub use tensors::TensorFile;
pub use verify::{add_verification, verify};

pub use crate::replace::write_atomically;
