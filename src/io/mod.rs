//! Weights, models and checkpoints in safetensors files, with PyTorch's names.
//!
//! A file is read and checked whole before anything is changed, and written beside its place and moved there when
//! complete: nothing is ever half-loaded or half-written.

mod checkpoint;
mod file;
mod model;

pub use checkpoint::{load_checkpoint, save_checkpoint};
pub use file::{TensorFile, write_atomically};
pub use model::{load_gru, load_parameters, save_gru, save_parameters};
