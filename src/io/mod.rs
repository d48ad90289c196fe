//! Weights, models and checkpoints in safetensors files, with PyTorch's names.
//!
//! A file is read and checked whole before anything is changed, and written beside its place and moved there when
//! complete: nothing is ever half-loaded or half-written.

mod checkpoint;
mod file;
mod model;

#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint::save_checkpoint;
pub use checkpoint::{checkpoint_to_file, load_checkpoint};
pub use file::{TensorFile, write_atomically};
pub use model::{gru_to_file, load_gru, load_parameters, parameters_to_file};
#[cfg(not(target_arch = "wasm32"))]
pub use model::{save_gru, save_parameters};
